package app

import (
	"encoding/json"
	"slices"
	"testing"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// TestEventSchemaKnowsEveryState holds the published words of states against the
// table of states, which package message does not know.
func TestEventSchemaKnowsEveryState(t *testing.T) {
	var schema struct {
		Properties struct {
			State struct{ Enum []lifecycle.State }
		}
	}
	if err := json.Unmarshal(message.EventSchema, &schema); err != nil {
		t.Fatal(err)
	}
	want := slices.DeleteFunc(slices.Clone(lifecycle.States), func(s lifecycle.State) bool { return s == lifecycle.None })
	want = append(want, message.StateRefused) // of a message, which has no reservation
	got := slices.Clone(schema.Properties.State.Enum)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("states in the schema: %q, in the table: %q", got, want)
	}
}
