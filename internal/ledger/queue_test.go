package ledger

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// A queueModel is what queues are meant to be: the requests that wait and are not
// parked, sorted at every read.
type queueModel []*Record

func (m queueModel) class(id admission.ClassID) []*Record {
	var in []*Record
	for _, r := range m {
		if r.State == lifecycle.Waiting && !r.Parked && r.Class == id {
			in = append(in, r)
		}
	}
	slices.SortFunc(in, func(a, b *Record) int { return CompareOrder(a.Order, b.Order) })
	return in
}

func (m queueModel) classes() []admission.ClassID {
	seen := map[admission.ClassID]bool{}
	for _, r := range m {
		if r.Class != "" {
			seen[r.Class] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// before is how many of a class come before a record.
func before(class []*Record, rec *Record) (n int) {
	for _, r := range class {
		if r.Order < rec.Order {
			n++
		}
	}
	return n
}

// After any moves of requests, in the queue, parked or neither: the counts are right, the
// heads begin their class, a request has a class exactly while it is in the queue, and
// Ahead is exact as far as the heads are known and never too low.
func TestQueuesAgainstAModel(t *testing.T) {
	shapes := []capacity.Shape{capacity.Spec{MachineType: "a"}.Normal(), capacity.Spec{MachineType: "b"}.Normal()}
	rapid.Check(t, func(t *rapid.T) {
		var m queueModel
		r := &Resource{}
		n := rapid.IntRange(1, 45).Draw(t, "requests") // more than heads are kept
		for i := range n {
			rec := &Record{Key: message.Key(fmt.Sprintf("k%02d", i)), Tenant: "t", Timeout: time.Duration(rapid.IntRange(1, 2).Draw(t, "hours")) * 3 * time.Hour}
			for j, which := 0, rapid.IntRange(1, 3).Draw(t, "shapes"); j < 2; j++ {
				if which>>j&1 == 1 {
					rec.Ask = append(rec.Ask, capacity.Need{Shape: shapes[j], Replicas: 1})
				}
			}
			rec.Order = OrderKey(rapid.IntRange(-1, 1).Draw(t, "priority"), time.Unix(int64(i), 0), rec.Key)
			m = append(m, rec)
		}
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			rec := m[rapid.IntRange(0, n-1).Draw(t, "request")]
			classes := m.classes()
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
			case len(classes) == 0:
			case op < 7: // a class is read
				id := rapid.SampledFrom(classes).Draw(t, "class")
				class := m.class(id)
				var heads []admission.Head
				for _, w := range class[:min(len(class), rapid.IntRange(1, 40).Draw(t, "read"))] {
					heads = append(heads, w.Head())
				}
				r.Refill(id, heads, r.Version)
				r.Trim()
			case op == 7: // a class's known heads are gone
				id := rapid.SampledFrom(classes).Draw(t, "class")
				class := r.Queue[id]
				class.Heads = nil
				r.Queue[id] = class
			}
			m.hold(t, r)
		}
	})
}

func (m queueModel) hold(t *rapid.T, r *Resource) {
	classes := m.classes()
	if len(classes) != len(r.Queue) {
		t.Fatalf("%d classes are stored, want %v", len(r.Queue), classes)
	}
	waiting := 0
	for _, id := range classes {
		got, want := r.Queue[id], m.class(id)
		if waiting += len(want); got.Count != len(want) {
			t.Fatalf("class %s counts %d, want %d", id, got.Count, len(want))
		}
		for i, h := range got.Heads {
			if !h.Same(want[i].Head()) {
				t.Fatalf("head %d of class %s is %v, want %v", i, id, h, want[i].Head())
			}
		}
	}
	if got := r.Queue.Waiting(); got != waiting {
		t.Fatalf("%d wait, want %d", got, waiting)
	}
	for _, rec := range m {
		if waits := rec.State == lifecycle.Waiting && !rec.Parked; waits != (rec.Class != "") {
			t.Fatalf("%s is %s, parked %v, in class %q", rec.Key, rec.State, rec.Parked, rec.Class)
		}
		exact, want := 0, 0
		for _, id := range classes {
			class, known := m.class(id), len(r.Queue[id].Heads)
			if !shares(class[0].Ask, rec.Ask) {
				continue
			}
			n := before(class, rec)
			exact += n
			if n >= known && known < len(class) { // the known heads do not say
				if n = len(class); slices.Contains(class, rec) {
					n--
				}
			}
			want += n
		}
		if got := r.Queue.Ahead(rec.Order, rec.Ask.Shapes(), rec.Class); got != want || got < exact {
			t.Fatalf("%s (%s, parked %v) has %d ahead, want %d; in truth %d", rec.Key, rec.State, rec.Parked, got, want, exact)
		}
	}
}

func shares(a, b capacity.Ask) bool {
	return slices.ContainsFunc(a, func(n capacity.Need) bool { return slices.Contains(b.Shapes(), n.Shape) })
}

// A document that lost its queue must not be counted down for requests that it
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
	lost.Class = late.Class
	r.Leave(lost)
	if c := r.Queue[late.Class]; c.Count != 2 || len(c.Heads) != 2 || c.Heads[0].ID != "early" {
		t.Errorf("the class is %+v, want early and late", c)
	}
	next := record("next", 4)
	if n := r.Queue.Ahead(next.Order, next.Ask.Shapes(), ""); n != 2 {
		t.Errorf("%d ahead of the next, want 2", n)
	}
}
