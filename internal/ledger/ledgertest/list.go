package ledgertest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

func received(key message.Key, resource string, state lifecycle.State, second int) *ledger.Record {
	r := &ledger.Record{Key: key, Kind: message.KindRequest, Resource: resource}
	r.State, r.Times.Received = state, at(second)
	return r
}

func testList(t *testing.T, l ledger.Ledger) {
	// Keys run against the order, so that the one cannot be taken for the other.
	first, second := received("k5", pool, lifecycle.Succeeded, 1), received("k4", pool, lifecycle.Running, 2)
	third, fourth := received("k3", other, lifecycle.Running, 3), received("k2", pool, lifecycle.Waiting, 4)
	later := received("k1", pool, lifecycle.Waiting, 4)
	later.Times.Received = later.Times.Received.Add(time.Microsecond)
	refused, quoted := received("k0", pool, lifecycle.None, 5), received("k00", "", lifecycle.None, 6)
	for r, typ := range map[*ledger.Record]message.Type{refused: message.Refused, quoted: message.Quoted} {
		r.Kind, r.Outbox = message.KindAnswer, []ledger.OutboxEvent{{ID: "1", Type: typ, Time: at(5)}}
	}
	never := received("never", pool, lifecycle.Waiting, 0)
	never.Times.Received = time.Time{}
	tombstone := received("tomb", pool, lifecycle.None, 7)
	write(t, l, tombstone, first, second, third, fourth, later, refused, quoted, never)
	all := []*ledger.Record{quoted, refused, later, fourth, third, second, first}
	running, waiting := string(lifecycle.Running), string(lifecycle.Waiting)
	for i, test := range []struct {
		filter ledger.Filter
		after  string
		limit  int
		want   []*ledger.Record
	}{
		{ledger.Filter{}, "", 10, all},
		{ledger.Filter{}, "", 3, all[:3]},
		{ledger.Filter{}, all[2].ListKey(), 10, all[3:]},
		{ledger.Filter{}, first.ListKey(), 10, nil},
		{ledger.Filter{}, "", 0, nil},
		{ledger.Filter{Resource: pool}, "", 10, []*ledger.Record{later, fourth, second, first}}, // an answer is of no resource
		{ledger.Filter{Resource: pool}, later.ListKey(), 1, []*ledger.Record{fourth}},
		{ledger.Filter{Resource: pool + "-2"}, "", 10, nil},
		{ledger.Filter{Statuses: []string{running}}, "", 10, []*ledger.Record{third, second}},
		{ledger.Filter{Statuses: []string{"REFUSED"}}, "", 10, []*ledger.Record{refused}},
		{ledger.Filter{Statuses: []string{running, waiting, "QUOTED"}}, "", 10, []*ledger.Record{quoted, later, fourth, third, second}},
		{ledger.Filter{Statuses: []string{running, waiting}}, third.ListKey(), 10, []*ledger.Record{second}},
		{ledger.Filter{Resource: other, Statuses: []string{running}}, "", 10, []*ledger.Record{third}},
		{ledger.Filter{Resource: pool, Statuses: []string{running, waiting}}, "", 2, []*ledger.Record{later, fourth}},
	} {
		got, err := l.List(t.Context(), test.filter, test.after, test.limit)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(keysOf(test.want...), keysOf(got...)) {
			t.Errorf("%d: %+v after %q: %v, want %v", i, test.filter, test.after, keysOf(got...), keysOf(test.want...))
		}
	}
	// Whole records, as they were written.
	got, err := l.List(t.Context(), ledger.Filter{}, "", 1)
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	same(t, quoted, got[0])

	// A record moves between statuses, and never in the order.
	second.State = lifecycle.Failed
	write(t, l, second)
	got, err = l.List(t.Context(), ledger.Filter{Statuses: []string{string(lifecycle.Failed), running}}, "", 10)
	if err != nil || fmt.Sprint(keysOf(got...)) != "[k3 k4]" {
		t.Errorf("after a move: %v, %v", keysOf(got...), err)
	}
}

func testOfJob(t *testing.T, l ledger.Ledger) {
	a, b, c := received("a", pool, lifecycle.Running, 1), received("b", other, lifecycle.Failed, 2), received("c", pool, lifecycle.Reserved, 3)
	a.Reservation.Job = "projects/p/locations/l/customJobs/1234567890123456789"
	b.Reservation.Job = "projects/17/locations/l2/customJobs/1234567890123456789"
	write(t, l, a, b, c)
	for number, want := range map[string][]message.Key{
		"1234567890123456789": {"a", "b"}, "123456789012345678": nil, "": nil, a.Reservation.Job: nil,
	} {
		got, err := l.OfJob(t.Context(), number, 10)
		sameKeys(t, want, got, err)
	}
	got, err := l.OfJob(t.Context(), "1234567890123456789", 1)
	sameKeys(t, []message.Key{"a"}, got, err)

	// A request that goes back to wait has no job.
	a.Reservation.Job = ""
	write(t, l, a)
	got, err = l.OfJob(t.Context(), "1234567890123456789", 10)
	sameKeys(t, []message.Key{"b"}, got, err)
}
