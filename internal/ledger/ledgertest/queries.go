package ledgertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

var (
	cpu = capacity.Spec{MachineType: "n1-standard-4"}.Normal()
	gpu = capacity.Spec{MachineType: "n1-standard-4", Accelerator: "NVIDIA_TESLA_T4", AcceleratorCount: 1}.Normal()
)

// waiting makes a record in the queue for the shapes. Keys run against the order, so
// that the one cannot be taken for the other.
func waiting(resource string, n int, shapes ...capacity.Shape) *ledger.Record {
	key := message.Key(fmt.Sprintf("k%02d", 50-n))
	r := &ledger.Record{Key: key, Resource: resource, Order: ledger.OrderKey(0, at(n), key)}
	r.State = lifecycle.Waiting
	r.Spec = strings.Repeat("x", n)
	for i, s := range shapes {
		r.Ask = append(r.Ask, capacity.Need{WorkerPool: i, Shape: s, Replicas: capacity.Replicas(1 + i + n)})
	}
	r.Class, r.Timeout = classOf(shapes[0]), time.Duration(n+1)*time.Hour
	return r
}

// classOf is the class of the records here: by their first shape.
func classOf(shape capacity.Shape) admission.ClassID {
	return admission.ClassID("t|" + shape.String() + "|1|1h")
}

func headsOf(records ...*ledger.Record) []admission.Head {
	var heads []admission.Head
	for _, r := range records {
		heads = append(heads, r.Head())
	}
	return heads
}

func testQueue(t *testing.T, l ledger.Ledger) {
	a, b, c, d := waiting(pool, 3, cpu), waiting(pool, 1, gpu, cpu), waiting(pool, 2, cpu), waiting(pool, 7, cpu)
	elsewhere, onlyGPU, running := waiting(other, 0, cpu), waiting(pool, 4, gpu), waiting(pool, 5, cpu)
	running.State = lifecycle.Running
	write(t, l, a, b, c, d, elsewhere, onlyGPU, running)
	parked := waiting(pool, 6, gpu, cpu)
	parked.Parked, parked.Class = true, ""
	write(t, l, parked)
	for _, queue := range []string{ledger.Parked, ledger.ParkedIn(gpu.String()), ledger.ParkedIn(cpu.String())} {
		got, err := l.Queue(t.Context(), pool, queue, "", 10)
		if err != nil || len(got) != 1 || !got[0].Same(parked.Head()) {
			t.Errorf("%s: %+v, %v; want the parked request", queue, got, err)
		}
	}
	for _, test := range []struct {
		resource, after string
		shape           capacity.Shape
		limit           int
		want            []admission.Head
	}{
		{pool, "", cpu, 10, headsOf(c, a, d)},
		{pool, "", cpu, 2, headsOf(c, a)},
		{pool, c.Order, cpu, 10, headsOf(a, d)},
		{pool, d.Order, cpu, 10, nil},
		{pool, "", gpu, 10, headsOf(b, onlyGPU)},
		{other, "", cpu, 10, headsOf(elsewhere)},
		{pool, "", capacity.Spec{MachineType: "m"}.Normal(), 10, nil},
		{pool, "", cpu, 0, nil},
	} {
		got, err := l.Queue(t.Context(), test.resource, string(classOf(test.shape)), test.after, test.limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 0 || len(test.want) != 0 {
			same(t, test.want, got)
		}
	}
}

func keysOf(records ...*ledger.Record) []message.Key {
	var keys []message.Key
	for _, r := range records {
		keys = append(keys, r.Key)
	}
	return keys
}

func sameKeys(t *testing.T, want, got []message.Key, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 0 || len(want) != 0 {
		same(t, want, got)
	}
}

func testDue(t *testing.T, l ledger.Ledger) {
	in := func(state lifecycle.State, key message.Key, n int) *ledger.Record {
		r := &ledger.Record{Key: key, TimerAt: at(n)}
		r.State = state
		return r
	}
	a, b, c := in(lifecycle.Waiting, "a", 3), in(lifecycle.Submitting, "b", 1), in(lifecycle.Cancelling, "c", 2)
	d := in(lifecycle.Waiting, "d", 3)
	write(t, l, a, b, c, d, &ledger.Record{Key: "never"})
	all := []lifecycle.State{lifecycle.Waiting, lifecycle.Submitting, lifecycle.Cancelling}
	for _, test := range []struct {
		states     []lifecycle.State
		now, limit int
		after      ledger.Timed
		want       []message.Key
	}{
		{all, 0, 10, ledger.Timed{}, nil},
		{all, 1, 10, ledger.Timed{}, keysOf(b)}, // at the moment itself
		{all, 9, 10, ledger.Timed{}, keysOf(b, c, a, d)},
		{all, 9, 2, ledger.Timed{}, keysOf(b, c)},
		{all, 9, 0, ledger.Timed{}, nil},
		{all, 9, 10, ledger.Timed{Time: at(1), Key: "b"}, keysOf(c, a, d)},
		{all, 9, 1, ledger.Timed{Time: at(3), Key: "a"}, keysOf(d)}, // of one moment
		{all, 9, 10, ledger.Timed{Time: at(3), Key: "d"}, nil},
		{all[:1], 9, 10, ledger.Timed{}, keysOf(a, d)},
		{all[1:], 9, 10, ledger.Timed{}, keysOf(b, c)},
		{[]lifecycle.State{lifecycle.Running}, 9, 10, ledger.Timed{}, nil},
	} {
		got, err := l.Due(t.Context(), test.states, at(test.now), test.after, test.limit)
		sameKeys(t, test.want, ledger.KeysOf(got), err)
	}
}

// outboxOf makes a record with outbox events written at the given moments. Those of
// negative time are published.
func outboxOf(key message.Key, times ...int) *ledger.Record {
	r := &ledger.Record{Key: key}
	for i, s := range times {
		r.Outbox = append(r.Outbox, ledger.OutboxEvent{ID: fmt.Sprintf("%s-%d", key, i+1), Time: at(max(s, -s)), Published: s < 0})
	}
	return r
}

func testUnpublished(t *testing.T, l ledger.Ledger) {
	// The oldest unpublished event counts, not the oldest, nor the newest.
	a, b, c := outboxOf("a", 5), outboxOf("b", -1, 4, 9), outboxOf("c", -1, 3)
	write(t, l, a, b, c, outboxOf("published", -1, -2), outboxOf("none"))
	for limit, want := range map[int][]message.Key{10: keysOf(c, b, a), 2: keysOf(c, b), 0: nil} {
		got, err := l.Unpublished(t.Context(), ledger.Timed{}, limit)
		sameKeys(t, want, ledger.KeysOf(got), err)
	}
	got, err := l.Unpublished(t.Context(), ledger.Timed{Time: at(3), Key: "c"}, 10)
	sameKeys(t, keysOf(b, a), ledger.KeysOf(got), err)
}

func testInState(t *testing.T, l ledger.Ledger) {
	a, b, c := waiting(pool, 3, cpu), waiting(pool, 1, cpu), waiting(pool, 2, cpu)
	running, elsewhere, answer := waiting(pool, 0, cpu), waiting(other, 0, gpu), &ledger.Record{Key: "answer", Resource: pool}
	running.State, elsewhere.Key = lifecycle.Running, "elsewhere"
	write(t, l, a, b, c, running, elsewhere, answer)
	for _, test := range []struct {
		resource string
		state    lifecycle.State
		after    string
		limit    int
		want     []*ledger.Record
	}{
		{pool, lifecycle.Waiting, "", 10, []*ledger.Record{b, c, a}},
		{pool, lifecycle.Waiting, "", 2, []*ledger.Record{b, c}},
		{pool, lifecycle.Waiting, b.Order, 10, []*ledger.Record{c, a}},
		{pool, lifecycle.Waiting, a.Order, 10, nil},
		{pool, lifecycle.Running, "", 10, []*ledger.Record{running}},
		{other, lifecycle.Waiting, "", 10, []*ledger.Record{elsewhere}},
		{pool, lifecycle.Reserved, "", 10, nil},
		{pool, lifecycle.None, "", 10, nil}, // an answer is in no state
		{pool, lifecycle.Waiting, "", 0, nil},
	} {
		got, err := l.InState(t.Context(), test.resource, test.state, test.after, test.limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 0 || len(test.want) != 0 {
			same(t, test.want, got)
		}
	}
}

func testResources(t *testing.T, l ledger.Ledger) {
	var all []*ledger.Resource
	// In the order of names, in which a slash comes before a digit or letter and
	// after a dash.
	for _, name := range []string{
		"projects/p/locations/l-1/persistentResources/a", "projects/p/locations/l/persistentResources/a",
		"projects/p/locations/l/persistentResources/a-b", "projects/p/locations/l/persistentResources/ab",
		"projects/p/locations/l1/persistentResources/a",
	} {
		r := &ledger.Resource{Name: name, Version: 1}
		all = append(all, r)
		write(t, l, r)
	}
	for _, test := range []struct {
		after string
		limit int
		want  []*ledger.Resource
	}{
		{"", 10, all},
		{"", 2, all[:2]},
		{all[1].Name, 10, all[2:]},
		{all[1].Name + "!", 1, all[2:3]}, // the cursor need not exist
		{all[4].Name, 10, nil},
		{"", 0, nil},
	} {
		got, err := l.Resources(t.Context(), test.after, test.limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 0 || len(test.want) != 0 {
			same(t, test.want, got)
		}
	}
}

// A record leaves the results of queries when it leaves what they ask for.
func testQueryFollowsChange(t *testing.T, l ledger.Ledger) {
	r := waiting(pool, 1, cpu)
	r.TimerAt, r.Outbox = at(1), outboxOf("", 1).Outbox
	write(t, l, r)
	count := func() (n [4]int) {
		queue, err1 := l.Queue(t.Context(), pool, string(classOf(cpu)), "", 10)
		due, err2 := l.Due(t.Context(), lifecycle.States, at(9), ledger.Timed{}, 10)
		unpublished, err3 := l.Unpublished(t.Context(), ledger.Timed{}, 10)
		state, err4 := l.InState(t.Context(), pool, lifecycle.Waiting, "", 10)
		for _, err := range []error{err1, err2, err3, err4} {
			if err != nil {
				t.Fatal(err)
			}
		}
		return [4]int{len(queue), len(due), len(unpublished), len(state)}
	}
	same(t, [4]int{1, 1, 1, 1}, count())
	r.State, r.TimerAt, r.Outbox[0].Published = lifecycle.Reserved, at(10), true
	write(t, l, r)
	same(t, [4]int{}, count())
}
