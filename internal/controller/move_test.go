package controller

import (
	"testing"

	"example.com/berth/internal/lifecycle"
)

// An outcome of the state table without an event type would be published as an event
// that no subscriber can read.
func TestEveryOutcomeHasAnEventType(t *testing.T) {
	for _, row := range lifecycle.Table {
		if row.Outcome != "" && eventTypes[row.Outcome] == "" {
			t.Errorf("%s in %q appends %q, which has no type", row.Event, row.From, row.Outcome)
		}
	}
}
