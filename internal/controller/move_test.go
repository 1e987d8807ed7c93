package controller

import (
	"reflect"
	"strings"
	"testing"

	"example.com/berth/internal/ledger"
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

// A move that the state does not allow changes nothing, and is logged for an alert.
func TestIllegalMoveIsReported(t *testing.T) {
	b := newBench(t)
	rec := recordIn(lifecycle.Running, "j")
	before := rec.Reservation
	err := b.mem.Update(t.Context(), ledger.Records(rec.Key), func(tx ledger.Tx) error {
		if effect := b.c.move(t.Context(), tx, nil, rec, lifecycle.Refuse(), nil); effect != lifecycle.Illegal {
			t.Errorf("the move is %v", effect)
		}
		return nil
	})
	if err != nil || !reflect.DeepEqual(rec.Reservation, before) {
		t.Errorf("%v, %+v", err, rec.Reservation)
	}
	if !strings.Contains(b.log.String(), `"event":"illegal_move","state":"RUNNING"`) {
		t.Errorf("the log says %s", &b.log)
	}
}
