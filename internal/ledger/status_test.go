package ledger_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// The status of a request is its state; of an answer, the kind of answer.
func TestStatus(t *testing.T) {
	answer := func(first ...message.Type) *ledger.Record {
		r := &ledger.Record{Kind: message.KindAnswer}
		for _, typ := range first {
			r.Append(message.Outcome{Type: typ}, time.Unix(1, 0))
		}
		return r
	}
	for want, r := range map[string]*ledger.Record{
		"RUNNING":   {Kind: message.KindRequest, Reservation: lifecycle.Reservation{State: lifecycle.Running}},
		"WAITING":   {Kind: message.KindMessage, Reservation: lifecycle.Reservation{State: lifecycle.Waiting}},
		"QUOTED":    answer(message.Quoted),
		"NOTED":     answer(message.Noted),
		"DUPLICATE": answer(message.Duplicate),
		"REFUSED":   answer(message.Refused),
	} {
		if got := r.Status(); got != want {
			t.Errorf("status %s, want %s", got, want)
		}
	}
	for _, typ := range message.Types() {
		if operated := strings.Contains(string(typ), ".operator."); (answer(typ).Status() == "DONE") != operated {
			t.Errorf("the status of an answer that is %s is %s", typ, answer(typ).Status())
		}
	}
	if got := answer(message.Draining, message.Drained).Status(); got != "DONE" {
		t.Errorf("the status of a drain that is over is %s", got)
	}
	for _, want := range []string{"DONE", "REFUSED", "DUPLICATE"} {
		if !slices.Contains(ledger.Statuses(), want) {
			t.Errorf("%s is no status to filter by", want)
		}
	}
	if got := answer().Status(); got != "REFUSED" {
		t.Errorf("the status of an answer without an event is %s", got)
	}
}
