package ledger

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// A queueModel is what queues are meant to be: the requests that wait and are not
// parked, sorted at every read.
type queueModel []*Record

func (m queueModel) queue(shape string) []*Record {
	var in []*Record
	for _, r := range m {
		if r.State == lifecycle.Waiting && !r.Parked && slices.Contains(r.Ask.Shapes(), must(capacity.ParseShape(shape))) {
			in = append(in, r)
		}
	}
	slices.SortFunc(in, func(a, b *Record) int { return CompareOrder(a.Order, b.Order) })
	return in
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// before is how many in a queue come before a record.
func before(queue []*Record, rec *Record) (n int) {
	for _, r := range queue {
		if r.Order < rec.Order {
			n++
		}
	}
	return n
}

// After any moves of requests, in the queue, parked or neither: the counts are right, the
// heads begin the queue, and Ahead is exact as far as the heads are known and never too
// low. A request with none ahead overtakes none.
func TestQueuesAgainstAModel(t *testing.T) {
	shapes := []string{capacity.Spec{MachineType: "a"}.Normal().String(), capacity.Spec{MachineType: "b"}.Normal().String()}
	rapid.Check(t, func(t *rapid.T) {
		var m queueModel
		r := &Resource{}
		n := rapid.IntRange(1, 45).Draw(t, "requests") // more than heads are kept
		for i := range n {
			rec := &Record{Key: message.Key(fmt.Sprintf("k%02d", i))}
			for j, which := 0, rapid.IntRange(1, 3).Draw(t, "shapes"); j < 2; j++ {
				if which>>j&1 == 1 {
					rec.Ask = append(rec.Ask, capacity.Need{Shape: must(capacity.ParseShape(shapes[j])), Replicas: 1})
				}
			}
			rec.Order = OrderKey(rapid.IntRange(-1, 1).Draw(t, "priority"), time.Unix(int64(i), 0), rec.Key)
			m = append(m, rec)
		}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			rec := m[rapid.IntRange(0, n-1).Draw(t, "request")]
			switch op := rapid.IntRange(0, 9).Draw(t, "op"); {
			case rec.State == lifecycle.None && op < 8: // it comes
				rec.State, rec.Parked = lifecycle.Waiting, op == 0
				r.Join(rec)
			case rec.State == lifecycle.Waiting && op < 2: // it starts or ends
				r.Leave(rec)
				rec.State, rec.Parked = lifecycle.None, false
			case rec.State == lifecycle.Waiting && op < 4 && rec.Parked: // its machines are there again
				rec.Parked = false
				r.Join(rec)
			case rec.State == lifecycle.Waiting && op < 4: // the pools can never take it
				r.Leave(rec)
				rec.Parked = true
			case op < 7: // a queue is read
				shape := shapes[op%2]
				queue := m.queue(shape)
				var heads []Head
				for _, w := range queue[:min(len(queue), rapid.IntRange(1, 40).Draw(t, "read"))] {
					heads = append(heads, w.HeadIn(shape))
				}
				r.Refill(shape, heads, r.Version)
				r.Trim()
			case op == 7: // a queue's known heads are gone
				if l, ok := r.Queues[shapes[0]]; ok {
					l.Heads = nil
					r.Queues[shapes[0]] = l
				}
			}
			m.hold(t, r, shapes)
		}
	})
}

func (m queueModel) hold(t *rapid.T, r *Resource, shapes []string) {
	for _, shape := range shapes {
		got, want := r.Queues[shape], m.queue(shape)
		if got.Count != len(want) {
			t.Fatalf("queue %s counts %d, want %d", shape, got.Count, len(want))
		}
		for i, h := range got.Heads {
			if h.Key != want[i].Key {
				t.Fatalf("head %d of queue %s is %s, want %s", i, shape, h.Key, want[i].Key)
			}
		}
	}
	for _, rec := range m {
		least, want := 0, 0
		for _, shape := range rec.Ask.Shapes() {
			queue, known := m.queue(shape.String()), len(r.Queues[shape.String()].Heads)
			n := before(queue, rec)
			least = max(least, n)
			if n >= known && known < len(queue) { // the known heads do not say
				if n = len(queue); slices.Contains(queue, rec) {
					n--
				}
			}
			want = max(want, n)
		}
		if got := r.Ahead(rec); got != want || got < least {
			t.Fatalf("%s (%s, parked %v) has %d ahead, want %d; in truth %d", rec.Key, rec.State, rec.Parked, got, want, least)
		}
	}
}

// A document that lost its queues must not be counted down for requests that it
// does not count, nor up for those that it counts.
func TestQueuesThatWereLost(t *testing.T) {
	shape := capacity.Spec{MachineType: "a"}.Normal()
	record := func(key message.Key, second int64) *Record {
		r := &Record{Key: key, Ask: capacity.Ask{{Shape: shape, Replicas: 1}}, Order: OrderKey(0, time.Unix(second, 0), key)}
		r.State = lifecycle.Waiting
		return r
	}
	lost, early, late := record("lost", 1), record("early", 2), record("late", 3)
	r := &Resource{}
	r.Join(late)
	r.Join(early)
	r.Join(early)
	r.Leave(lost)
	if l := r.Queues[shape.String()]; l.Count != 2 || len(l.Heads) != 2 || l.Heads[0].Key != "early" {
		t.Errorf("the queue is %+v, want early and late", l)
	}
	if n := r.Ahead(record("next", 4)); n != 2 {
		t.Errorf("%d ahead of the next, want 2", n)
	}
}
