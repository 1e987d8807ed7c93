package controller

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// TestInCommits: records go into one commit each by number and by size; one that is too
// large for its own commit goes alone.
func TestInCommits(t *testing.T) {
	of := func(n, bytes int) (recs []*ledger.Record) {
		for range n {
			recs = append(recs, &ledger.Record{Spec: strings.Repeat("x", bytes)})
		}
		return recs
	}
	weight := of(1, 0)[0].Weight()
	for name, test := range map[string]struct {
		recs []*ledger.Record
		want string
	}{
		"none": {nil, ""}, "one": {of(1, 0), "1"}, "a hundred": {of(100, 0), "100"}, "one more": {of(101, 0), "100 1"}, "many": {of(350, 0), "100 100 100 50"},
		"large ones": {of(9, 1<<20), "1 1 1 1 1 1 1 1 1"}, "of half a megabyte": {of(9, 1<<20-1<<19), "3 3 3"},
		"to the byte": {[]*ledger.Record{of(1, 0)[0], of(1, 0)[0]}, "2"}, "too large for any": {append(of(1, 6<<20), of(2, 0)...), "1 2"},
	} {
		var sizes []string
		n := 0
		for part := range inCommits(test.recs) {
			bytes := 0
			for _, r := range part {
				bytes += r.Weight()
				if r != test.recs[n] {
					t.Errorf("%s: another order", name)
				}
				n++
			}
			if len(part) > 1 && bytes > 4<<20 {
				t.Errorf("%s: a commit of %d bytes", name, bytes)
			}
			sizes = append(sizes, fmt.Sprint(len(part)))
		}
		if name == "large ones" || name == "of half a megabyte" { // by what a record weighs
			if n != len(test.recs) || len(sizes) < 2 {
				t.Errorf("%s: %v", name, sizes)
			}
			continue
		}
		if got := strings.Join(sizes, " "); got != test.want {
			t.Errorf("%s, of %d bytes each: %q, want %q", name, weight, got, test.want)
		}
	}
	stopped := 0
	for range inCommits(of(300, 0)) {
		stopped++
		break
	}
	if stopped != 1 {
		t.Error("it goes on after its end")
	}
}

// TestOneByOne: a pass goes on where the last one ended, leaves out what cannot be read,
// and begins with the first again when it has come to the end.
func TestOneByOne(t *testing.T) {
	b := newBench(t)
	const all = 25
	var asked []string
	query := func(after ledger.Timed, limit int) (list []ledger.Timed, err error) {
		from := 0
		if after != (ledger.Timed{}) {
			_, _ = fmt.Sscanf(string(after.Key), "k%02d", &from)
			from++
		}
		asked = append(asked, fmt.Sprint(from))
		for i := from; i < min(all, from+limit); i++ {
			list = append(list, ledger.Timed{Time: noon.Add(time.Duration(i) * time.Second), Key: message.Key(fmt.Sprintf("k%02d", i))})
		}
		return list, nil
	}
	var from resume
	pass := func(most int) string {
		asked = nil
		keys, more, err := b.c.oneByOne(&from, most, query)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, k := range keys {
			got = append(got, strings.TrimPrefix(string(k), "k"))
		}
		return fmt.Sprintf("%s, more %v, asked from %s", strings.Join(got, " "), more, strings.Join(asked, " "))
	}
	for i, want := range []string{
		"00 01 02 03 04 05 06 07 08 09, more true, asked from 0",
		"10 11 12 13 14 15 16 17 18 19, more true, asked from 10",
		"20 21 22 23 24, more true, asked from 20", // those before may be due again
		"00 01 02 03 04 05 06 07 08 09, more true, asked from 0",
	} {
		if got := pass(10); got != want {
			t.Errorf("pass %d: %s; want %s", i+1, got, want)
		}
	}
	from.set(ledger.Timed{})
	if got := pass(30); got != "00 01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24, more false, asked from 0" {
		t.Errorf("all at once: %s", got)
	}
	for _, i := range []int{0, 1, 2, 3, 4, 5, 8} {
		b.c.unreadable.add(ledger.RecordRef(message.Key(fmt.Sprintf("k%02d", i))), noon)
	}
	for i, want := range []string{"06 07 09 10 11, more true, asked from 0 5 10", "12 13 14 15 16, more true, asked from 12", "17 18 19 20 21, more true, asked from 17", "22 23 24, more true, asked from 22"} {
		if got := pass(5); got != want {
			t.Errorf("some cannot be read, pass %d: %s; want %s", i+1, got, want)
		}
	}
	for i := range all {
		b.c.unreadable.add(ledger.RecordRef(message.Key(fmt.Sprintf("k%02d", i))), noon)
	}
	if got := pass(1); got != ", more true, asked from 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19" {
		t.Errorf("none can be read: %s", got)
	}
	if got := pass(1); got != ", more true, asked from 20 21 22 23 24 25" {
		t.Errorf("the next pass: %s", got)
	}
	broken := errors.New("broken")
	from.set(ledger.Timed{Key: "k07", Time: noon})
	if keys, more, err := b.c.oneByOne(&from, 3, func(ledger.Timed, int) ([]ledger.Timed, error) { return nil, broken }); !errors.Is(err, broken) || keys != nil || more || from.get().Key != "k07" {
		t.Errorf("a query that fails: %v, %v, %v, from %s on", keys, more, err, from.get().Key)
	}
}

// TestUnreadableIsRemembered for ten minutes, and no more than so many documents.
func TestUnreadableIsRemembered(t *testing.T) {
	var u unreadable
	a := ledger.RecordRef("a")
	if !u.add(a, noon) || u.add(a, noon.Add(10*time.Minute-1)) || !u.known("a", noon.Add(10*time.Minute-1)) || u.known("a", noon.Add(10*time.Minute)) || u.known("b", noon) {
		t.Error("it is not remembered for ten minutes")
	}
	if !u.add(a, noon.Add(10*time.Minute)) || !u.known("a", noon.Add(20*time.Minute-1)) {
		t.Error("it is not logged again after ten minutes")
	}
	for i := range 9_999 {
		u.add(ledger.RecordRef(message.Key(fmt.Sprint(i))), noon)
	}
	if len(u.until) != 10_000 || !u.known("0", noon) {
		t.Errorf("%d are remembered", len(u.until))
	}
	u.add(ledger.RecordRef("one more"), noon)
	if len(u.until) != 1 || !u.known("one more", noon) {
		t.Errorf("beyond the bound %d are remembered", len(u.until))
	}
	b := newBench(t)
	p := &progress{}
	bad := &ledger.UnreadableError{Ref: a, Why: "it has layout 9", Resource: "r"}
	for range 3 {
		b.c.reportUnreadable(t.Context(), p, bad)
	}
	if p.Unreadable != 1 || strings.Count(b.log.String(), `"unreadable_document"`) != 1 || !strings.Contains(b.log.String(), `"document":"requests/a","resource":"r","why":"it has layout 9"`) {
		t.Errorf("three reports of one document: %d counted, logged %s", p.Unreadable, &b.log)
	}
	if b.c.leftAlone(t.Context(), errors.New("another"), p) || b.c.leftAlone(t.Context(), nil, p) || !b.c.leftAlone(t.Context(), fmt.Errorf("update: %w", bad), nil) {
		t.Error("only what cannot be read is left alone")
	}
}

// TestSearchesAreSeldom: a region without observed resources is searched at once, and then
// every so often.
func TestSearchesAreSeldom(t *testing.T) {
	var s searches
	for i, test := range []struct {
		parent string
		at     time.Duration
		want   bool
	}{{"a", 0, true}, {"a", 5*time.Minute - 1, false}, {"b", time.Minute, true}, {"a", 5 * time.Minute, true}, {"a", 6 * time.Minute, false}, {"b", 6 * time.Minute, true}} {
		if got := s.due(test.parent, noon.Add(test.at), 5*time.Minute); got != test.want {
			t.Errorf("question %d, %s after %v: %v", i, test.parent, test.at, got)
		}
	}
}

// TestFirstOf: each tick begins with another quarter, and with none there is nothing.
func TestFirstOf(t *testing.T) {
	b := newBench(t)
	for n, want := range map[int][]int{0: {0, 0, 0, 0}, 1: {0, 0, 0, 0}, 2: {0, 1, 0, 1}, 4: {0, 1, 2, 3}, 5: {0, 2, 4, 1}, 100: {0, 25, 50, 75}} {
		for tick := range 8 {
			now := time.Unix(0, 0).Add(time.Duration(tick)*time.Minute + 59*time.Second)
			if got := b.c.firstOf(n, now); got != want[tick%4] {
				t.Errorf("tick %d of %d things begins with %d, want %d", tick, n, got, want[tick%4])
			}
		}
	}
	b.c.cfg.Tick = time.Millisecond
	if got := b.c.firstOf(8, time.Unix(3, 0)); got != 6 {
		t.Errorf("with a short tick it begins with %d", got)
	}
}

// headsOf returns requests that wait, each for some machines of one shape.
func headsOf(sizes ...capacity.Replicas) (list []admission.Head) {
	for i, n := range sizes {
		key := message.Key(fmt.Sprint("h", i))
		list = append(list, admission.Head{ID: key, Order: ledger.OrderKey(0, noon.Add(time.Duration(i)*time.Second), key), Key: noon, Limit: time.Hour, Demand: capacity.Ask{{Shape: small, Replicas: n}}})
	}
	return list
}

// TestHeadsOfAQueue: those that can never fit come in their order, but for what cannot be
// read; any other is found by its key.
func TestHeadsOfAQueue(t *testing.T) {
	heads := headsOf(9, 1, 8, 4, 7)
	res := &ledger.Resource{Name: resourceOfTests, Pools: []capacity.Pool{poolOf(small, 2, 6, 0)}, Queue: admission.Queue{
		"a": {Heads: []admission.Head{heads[0], heads[3]}, Count: 2}, "b": {Heads: []admission.Head{heads[1], heads[2], heads[4]}, Count: 3},
	}, Skipped: map[message.Key]bool{"h2": true}}
	var got []string
	for _, h := range misfits(res) {
		got = append(got, string(h.ID))
	}
	if strings.Join(got, " ") != "h0 h4" {
		t.Errorf("these can never fit: %v", got)
	}
	for _, h := range heads {
		if found, ok := headOf(res, h.ID); !ok || !found.Same(h) {
			t.Errorf("%s is found as %+v, %v", h.ID, found, ok)
		}
	}
	if found, ok := headOf(res, "none"); ok || found.ID != "" {
		t.Errorf("found %+v", found)
	}
	if got := waitingOn(res); got != 4 {
		t.Errorf("%d wait that can be read", got)
	}
	res.Skipped = map[message.Key]bool{"1": true, "2": true, "3": true, "4": true, "5": true, "6": true}
	if got := waitingOn(res); got != 0 {
		t.Errorf("%d wait", got)
	}
}

// TestMayStart: of a class no more is read than free machines can start, and one more.
func TestMayStart(t *testing.T) {
	class := admission.ClassOf("t", capacity.Ask{{Shape: small, Replicas: 2}}, time.Hour)
	for _, test := range []struct {
		pool  capacity.Pool
		used  capacity.Replicas
		known int
		want  int
	}{
		{poolOf(small, 10, 0, 0), 0, 0, 6}, {poolOf(small, 10, 0, 0), 5, 0, 3}, {poolOf(small, 10, 0, 0), 0, 4, 2}, {poolOf(small, 10, 0, 0), 10, 0, 1}, {poolOf(small, 10, 0, 0), 12, 3, 1},
		{poolOf(small, 2, 20, 0), 0, 0, 11}, {poolOf(small, 5000, 0, 0), 0, 0, 101}, {poolOf(small, 5000, 0, 0), 0, 40, 61},
	} {
		res := &ledger.Resource{Name: resourceOfTests, Pools: []capacity.Pool{test.pool}, Holds: map[message.Key]ledger.Hold{}}
		if test.used > 0 {
			res.Holds["x"] = ledger.Hold{Ask: capacity.Ask{{Shape: small, Replicas: test.used}}}
		}
		res.Queue = admission.Queue{class: {Heads: headsOf(slices.Repeat([]capacity.Replicas{2}, test.known)...), Count: 500}}
		if got := mayStart(res, class); got != test.want {
			t.Errorf("%d of %d machines are used, %d heads known: %d are read, want %d", test.used, test.pool.Limit(), test.known, got, test.want)
		}
	}
}

// TestSameReservation: a reservation is another as soon as anything of it that counts is.
func TestSameReservation(t *testing.T) {
	base := admission.Reservation{Head: headsOf(1)[0], Shapes: []capacity.Shape{small}, At: noon, Budget: 3, Shut: true, Delays: []admission.Delay{"x"}}
	if !sameReservation(base, base) {
		t.Error("it is not itself")
	}
	for name, change := range map[string]func(*admission.Reservation){
		"request": func(r *admission.Reservation) { r.ID = "other" }, "time": func(r *admission.Reservation) { r.At = noon.Add(1) }, "budget": func(r *admission.Reservation) { r.Budget = 2 },
		"shut": func(r *admission.Reservation) { r.Shut = false }, "shapes": func(r *admission.Reservation) { r.Shapes = nil }, "delays": func(r *admission.Reservation) { r.Delays = nil },
	} {
		other := base
		if change(&other); sameReservation(base, other) {
			t.Errorf("with another %s it is the same", name)
		}
	}
	other := base
	other.Announced, other.Since, other.At = noon, noon, noon.Local()
	if !sameReservation(base, other) {
		t.Error("when it was announced makes it another")
	}
}

// TestCandidatesAreBounded: one update decides at most a hundred requests, and as many as
// fit its size by twice their specifications; the others come in the next.
func TestCandidatesAreBounded(t *testing.T) {
	for _, test := range []struct{ n, bytes, want int }{{3, 0, 3}, {150, 0, 100}, {30, 1 << 20, 2}, {30, 300 << 10, 6}, {2, 5 << 20, 1}} {
		b := newBench(t)
		res := &ledger.Resource{Name: resourceOfTests, State: vertex.Running, ObservedAt: noon, CreateTime: noon, Pools: []capacity.Pool{poolOf(small, 1000, 0, 0)}}
		for i := range test.n {
			rec := recordIn(lifecycle.Waiting, "")
			b.rename(rec, nil, fmt.Sprint("w", i))
			rec.Run, rec.Timeout, rec.Spec = "", time.Hour, strings.Repeat("x", test.bytes)
			rec.Order = ledger.OrderKey(0, noon.Add(time.Duration(i)*time.Second), rec.Key)
			res.Join(rec)
			if test.bytes < 1<<20 {
				put(t, b.mem, rec, nil)
			}
		}
		next, err := b.c.candidates(t.Context(), res, noon, nil)
		if err != nil || len(next.keys) != test.want {
			t.Errorf("%d requests of %d bytes: %d are decided, %v; want %d", test.n, test.bytes, len(next.keys), err, test.want)
		}
	}
}

// TestParkedAreDecidedInParts: a pass decides some two hundred parked requests of a
// resource again, in their order, and the next one goes on; each is decided once.
func TestParkedAreDecidedInParts(t *testing.T) {
	b := newBench(t)
	const n = 350
	res := &ledger.Resource{Name: resourceOfTests, State: vertex.Running, ObservedAt: noon, CreateTime: noon, Pools: []capacity.Pool{poolOf(small, 4, 0, 0)},
		HasParked: true, Recheck: map[string]string{ledger.Parked: ""}, Holds: map[message.Key]ledger.Hold{}}
	var keys []message.Key
	for i := range n {
		rec := recordIn(lifecycle.Waiting, "")
		b.rename(rec, nil, fmt.Sprintf("p%03d", i))
		rec.Run, rec.Timeout, rec.Parked, rec.Attempt, rec.ActUntil = "", time.Hour, true, 0, time.Time{}
		rec.Why = &reason.Problem{Code: reason.SpecMismatch}
		if i%2 == 0 {
			rec.Ask = capacity.Ask{{Shape: small, Replicas: 9}} // never fits these pools either
		} else {
			rec.Ask = capacity.Ask{{Shape: small, Replicas: 3}}
		}
		rec.Order = ledger.OrderKey(0, noon.Add(time.Duration(i)*time.Second), rec.Key)
		put(t, b.mem, rec, nil)
		keys = append(keys, rec.Key)
	}
	put(t, b.mem, nil, res)
	decided := func() (n int) {
		for _, key := range keys {
			if rec := b.record(key); !rec.Parked || rec.Why.Code != reason.SpecMismatch {
				n++
			}
		}
		return n
	}
	for i, want := range []struct {
		decided int
		more    bool
	}{{200, true}, {350, false}} {
		p := &progress{tasks: newTasks(true)}
		after, err := b.c.recheck(t.Context(), b.resource(), p)
		if err != nil || decided() != want.decided || p.more != want.more || after == nil || len(after.Recheck) > 0 != want.more {
			t.Fatalf("pass %d: %d decided, more %v, %v", i+1, decided(), p.more, err)
		}
	}
	for i, key := range keys {
		rec := b.record(key)
		if parked := i%2 == 0; rec.Parked != parked || parked && rec.Why.Code != reason.TooManyReplicas || i > 1 && !parked && rec.Why.Code != reason.Full {
			if i != 1 || rec.State == lifecycle.Waiting {
				t.Fatalf("request %d is %s, parked %v because of %+v", i, rec.State, rec.Parked, rec.Why)
			}
		}
	}
	if got := b.resource(); !got.HasParked || got.Queue.Waiting() != n/2-1 && got.Queue.Waiting() != n/2 {
		t.Errorf("parked %v, %d in the queue", got.HasParked, got.Queue.Waiting())
	}
}

// TestAWalkThatBeganAnew: while a pass reads parked requests, one more is parked by an old
// observation, and the next observation has all of them decided again. What the pass has
// read does not end that.
func TestAWalkThatBeganAnew(t *testing.T) {
	b := newBench(t)
	res := &ledger.Resource{Name: resourceOfTests, State: vertex.Running, ObservedAt: noon, CreateTime: noon, Pools: []capacity.Pool{poolOf(small, 4, 0, 0)},
		HasParked: true, Recheck: map[string]string{ledger.Parked: ""}, Holds: map[message.Key]ledger.Hold{}}
	park := func(id string, at time.Duration) message.Key {
		rec := recordIn(lifecycle.Waiting, "")
		b.rename(rec, nil, id)
		rec.Run, rec.Timeout, rec.Parked, rec.Attempt, rec.ActUntil = "", time.Hour, true, 0, time.Time{}
		rec.Why, rec.Ask = &reason.Problem{Code: reason.ObservationTooOld}, capacity.Ask{{Shape: small, Replicas: 9}}
		rec.Order = ledger.OrderKey(0, noon.Add(at), rec.Key)
		put(t, b.mem, rec, nil)
		return rec.Key
	}
	first := park("first", 0)
	put(t, b.mem, nil, res)
	step, err := b.c.parkedAfter(t.Context(), b.resource(), ledger.Parked)
	if err != nil || len(step.keys) != 1 || step.to != "" {
		t.Fatalf("%+v, %v", step, err)
	}
	second := park("second", time.Second)
	seen := b.resource()
	seen.Restarts++ // by an observation that has found the last one too old
	put(t, b.mem, nil, seen)
	p := &progress{tasks: newTasks(true)}
	after, _, err := b.c.decideParked(t.Context(), resourceOfTests, ledger.Parked, step, p)
	if err != nil || len(after.Recheck) != 1 || b.record(first).Why.Code != reason.ObservationTooOld {
		t.Fatalf("what was read before ends the walk: %+v, %v", after, err)
	}
	if after, err = b.c.recheck(t.Context(), after, p); err != nil || len(after.Recheck) > 0 {
		t.Fatalf("%+v, %v", after, err)
	}
	for _, key := range []message.Key{first, second} {
		if why := b.record(key).Why; why.Code != reason.TooManyReplicas {
			t.Errorf("%s waits because of %+v", key, why)
		}
	}
}

// TestANoticeThatBeganAnew: the same for the requests that get the condition of their
// resource as reason.
func TestANoticeThatBeganAnew(t *testing.T) {
	b := newBench(t)
	wait := func(id string, at time.Duration) *ledger.Record {
		rec := recordIn(lifecycle.Waiting, "")
		b.rename(rec, nil, id)
		rec.Run, rec.Timeout, rec.Attempt, rec.ActUntil = "", time.Hour, 0, time.Time{}
		rec.Why, rec.Order = &reason.Problem{Code: reason.Full}, ledger.OrderKey(0, noon.Add(at), rec.Key)
		put(t, b.mem, rec, nil)
		return rec
	}
	first := wait("first", 0)
	put(t, b.mem, nil, &ledger.Resource{Name: resourceOfTests, State: ledger.Absent, ObservedAt: noon, CreateTime: noon, Pools: []capacity.Pool{poolOf(small, 4, 0, 0)}, Notice: &ledger.Notice{}})
	seen := b.resource()
	second := wait("second", time.Second)
	anew := b.resource()
	anew.Restarts++ // it was there for a while, and is gone again
	put(t, b.mem, nil, anew)
	after, _, err := b.c.notifyPart(t.Context(), seen, []*ledger.Record{first})
	if err != nil || after.Notice == nil || b.record(first.Key).Why.Code != reason.Full {
		t.Fatalf("what was read before ends the notice: %+v, %v", after, err)
	}
	if err := b.c.notify(t.Context(), after, &progress{tasks: newTasks(true)}); err != nil || b.resource().Notice != nil {
		t.Fatalf("%+v, %v", b.resource().Notice, err)
	}
	for _, rec := range []*ledger.Record{first, second} {
		if why := b.record(rec.Key).Why; why.Code != reason.ResourceGone {
			t.Errorf("%s waits because of %+v", rec.Key, why)
		}
	}
}

// TestReorderBeginsWalksAnew: a request gets another place, which a walk through the
// requests may have passed.
func TestReorderBeginsWalksAnew(t *testing.T) {
	b := newBench(t)
	rec := recordIn(lifecycle.Waiting, "")
	res := &ledger.Resource{Name: resourceOfTests, Recheck: map[string]string{ledger.Parked: "x"}, Notice: &ledger.Notice{After: "x"}, Restarts: 3}
	b.c.reorder(res, rec, 5, true, noon)
	if res.Recheck[ledger.Parked] != "" || len(res.Recheck) != 1 || *res.Notice != (ledger.Notice{}) || res.Restarts != 4 {
		t.Errorf("%+v, %+v, %d", res.Recheck, res.Notice, res.Restarts)
	}
}

// TestDueInClasses: with more due than a pass runs, those that hold replicas have a share
// of their own, and every class goes on where it ended.
func TestDueInClasses(t *testing.T) {
	b := newBench(t)
	res := &ledger.Resource{Name: resourceOfTests, State: vertex.Running, ObservedAt: noon, CreateTime: noon, Pools: []capacity.Pool{poolOf(small, 1000, 0, 0)}, Holds: map[message.Key]ledger.Hold{}}
	var waiting, holding []message.Key
	for i := range 260 {
		rec := recordIn(lifecycle.Waiting, "")
		b.rename(rec, nil, fmt.Sprintf("w%03d", i))
		rec.Run, rec.Timeout, rec.Attempt, rec.ActUntil = "", time.Hour, 0, time.Time{}
		rec.Times.Received, rec.TimerAt = noon.Add(-rec.MaxWait), noon.Add(-time.Duration(300-i)*time.Second)
		rec.Order = ledger.OrderKey(0, noon.Add(time.Duration(i)*time.Second), rec.Key)
		res.Join(rec)
		put(t, b.mem, rec, nil)
		waiting = append(waiting, rec.Key)
	}
	for i := range 3 {
		rec := recordIn(lifecycle.Cancelling, fmt.Sprintf("%s/customJobs/%d", regionOfTests, i+1))
		b.rename(rec, nil, fmt.Sprintf("c%d", i))
		rec.TimerAt = noon.Add(-time.Second)
		res.Holds[rec.Key] = ledger.Hold{Ask: rec.Ask, Run: rec.Run}
		put(t, b.mem, rec, nil)
		holding = append(holding, rec.Key)
	}
	put(t, b.mem, nil, res)
	expired := func() (n int) {
		for _, key := range waiting {
			if b.state(key) == lifecycle.Expired {
				n++
			}
		}
		return n
	}
	p := &progress{tasks: newTasks(true)}
	if err := b.c.runTimers(t.Context(), noon, p); err != nil || !p.more || expired() != 200 || p.Timers != 203 {
		t.Errorf("%d timers, %d have expired, more %v, %v", p.Timers, expired(), p.more, err)
	}
	if b.state(waiting[0]) != lifecycle.Expired || b.state(waiting[200]) != lifecycle.Waiting {
		t.Error("those that are due for longest do not come first")
	}
	if got := b.ai.Calls()["cancel"]; got != len(holding) {
		t.Errorf("%d cancels are sent again", got)
	}
	p = &progress{tasks: newTasks(true)}
	if err := b.c.runTimers(t.Context(), noon, p); err != nil || p.more || expired() != 260 || p.Timers != 60 {
		t.Errorf("the next pass: %d timers, %d have expired, more %v, %v", p.Timers, expired(), p.more, err)
	}
}

// TestPassOverManyResources: every resource is worked on, over pages of the list; those
// that are gone and unused are left alone, and regions that rest are left to a later pass.
func TestPassOverManyResources(t *testing.T) {
	b := newBench(t)
	b.c.cfg.Project, b.c.cfg.Regions = "p", []string{"us-central1", "europe-west4"}
	for i := range 120 {
		name := fmt.Sprintf("%s/persistentResources/r%03d", regionOfTests, i)
		res := &ledger.Resource{Name: name, State: vertex.Running, ObservedAt: noon.Add(-time.Hour)}
		if i%10 == 0 {
			res.State = ledger.Absent
		} else {
			b.ai.SetResource(name, vertex.Resource{State: vertex.Running, CreateTime: noon})
		}
		put(t, b.mem, nil, res)
	}
	clock := func() time.Time { return noon }
	p := &progress{tasks: newTasks(true)}
	if err := b.c.passRegions(t.Context(), clock, nil, p); err != nil {
		t.Fatal(err)
	}
	if calls := b.ai.Calls(); p.Resources != 108 || calls["resource"] != 108 || calls["live"] != 2 || p.more { // a list of each region
		t.Errorf("%d resources, calls %v, more %v", p.Resources, calls, p.more)
	}
	if p.calls[regionOfTests] != 109 || p.calls["projects/p/locations/europe-west4"] != 1 {
		t.Errorf("calls are counted as %v", p.calls)
	}
	p = &progress{tasks: newTasks(true)}
	if err := b.c.passRegions(t.Context(), clock, map[string]time.Time{regionOfTests: noon.Add(1)}, p); err != nil || b.ai.Calls()["resource"] != 108 || !p.more || p.Resources != 108 {
		t.Errorf("a region that rests: calls %v, more %v, %v", b.ai.Calls(), p.more, err)
	}
	p = &progress{tasks: newTasks(true)}
	if err := b.c.passRegions(t.Context(), clock, map[string]time.Time{regionOfTests: noon}, p); err != nil || b.ai.Calls()["resource"] != 216 || p.more {
		t.Errorf("one that has rested: calls %v, more %v, %v", b.ai.Calls(), p.more, err)
	}
}

// TestLateEvents: events are published late in parts, and one record that cannot be
// published does not keep the others back.
func TestLateEvents(t *testing.T) {
	b := newBench(t)
	_, keys := b.records(lifecycle.Running, 45)
	for i, key := range keys {
		rec := b.record(key)
		rec.Append(message.Outcome{Type: message.Started, Tenant: rec.Tenant, RequestID: rec.ID}, noon.Add(-15*time.Second+time.Duration(i/40)*time.Nanosecond*1000))
		put(t, b.mem, rec, nil)
	}
	poison := b.record(keys[7]).ID
	b.out.refuse = func(o message.Outcome) bool { return o.RequestID == poison }
	p := &progress{tasks: newTasks(true)}
	err := b.c.publishLate(t.Context(), noon, p)
	if err == nil || !strings.Contains(err.Error(), "publish 1 outcome events of "+string(keys[7])+": ") || p.Published != 39 || len(b.out.events) != 39 || p.more {
		t.Errorf("%d published, %d events, more %v, %v; want 39: five are not late, one cannot go", p.Published, len(b.out.events), p.more, err)
	}
	for i, key := range keys {
		if left := len(b.record(key).Unpublished()); (left > 0) != (i == 7 || i >= 40) {
			t.Errorf("record %d has %d unpublished events", i, left)
		}
	}
	b.out.refuse = nil
	p = &progress{tasks: newTasks(true)}
	if err := b.c.publishLate(t.Context(), noon.Add(time.Second), p); err != nil || p.Published != 6 || len(b.out.events) != 45 {
		t.Errorf("the next pass: %d published, %d events, %v", p.Published, len(b.out.events), err)
	}
	if got := about([]*ledger.Record{{Key: "a"}}) + "; " + about([]*ledger.Record{{Key: "a"}, {Key: "b"}, {Key: "c"}}); got != "a; a and 2 more" {
		t.Errorf("they are called %s", got)
	}
}

// TestLargeSpecifications: whatever an update does with many requests of nearly the largest
// size, it stays within a commit, and all of them are served in the same pass.
func TestLargeSpecifications(t *testing.T) {
	const n, size = 14, 800 << 10 // a commit has 10 MiB
	large := func(b *bench, s lifecycle.State, change func(*ledger.Record, *ledger.Resource)) (keys []message.Key) {
		res := &ledger.Resource{Name: resourceOfTests, State: vertex.Running, ObservedAt: noon, CreateTime: noon.Add(-time.Hour), Pools: []capacity.Pool{poolOf(small, 100, 0, 0)}, Holds: map[message.Key]ledger.Hold{}}
		for i := range n {
			rec := recordIn(s, "")
			b.rename(rec, nil, fmt.Sprintf("l%02d", i))
			rec.Spec, rec.Timeout, rec.Order = strings.Repeat("x", size), time.Hour, ledger.OrderKey(0, noon.Add(time.Duration(i)*time.Second), rec.Key)
			if s == lifecycle.Waiting {
				rec.Run, rec.Attempt, rec.ActUntil = "", 0, time.Time{}
			} else {
				rec.Reservation.Job = fmt.Sprintf("%s/customJobs/%d", regionOfTests, i+1)
				res.Holds[rec.Key] = ledger.Hold{Ask: rec.Ask, Run: rec.Run}
			}
			change(rec, res)
			if rec.State == lifecycle.Waiting && !rec.Parked {
				res.Join(rec)
			}
			put(b.T, b.mem, rec, nil)
			keys = append(keys, rec.Key)
		}
		put(b.T, b.mem, nil, res)
		return keys
	}
	all := func(b *bench, keys []message.Key, is func(*ledger.Record) bool) {
		t.Helper()
		for i, key := range keys {
			if rec := b.record(key); !is(rec) {
				t.Errorf("request %d is %s because of %v", i, rec.State, rec.Why)
				return
			}
		}
	}
	b := newBench(t)
	keys := large(b, lifecycle.Waiting, func(r *ledger.Record, res *ledger.Resource) {
		r.Parked, r.Why = true, &reason.Problem{Code: reason.SpecMismatch}
		res.HasParked, res.Recheck = true, map[string]string{ledger.Parked: ""}
	})
	p := &progress{tasks: newTasks(true)}
	if _, err := b.c.recheck(t.Context(), b.resource(), p); err != nil {
		t.Error(err)
	}
	all(b, keys, func(r *ledger.Record) bool { return r.State.Holds() && !r.Parked })

	b = newBench(t)
	keys = large(b, lifecycle.Waiting, func(_ *ledger.Record, res *ledger.Resource) { res.State, res.Notice = ledger.Absent, &ledger.Notice{} })
	if err := b.c.notify(t.Context(), b.resource(), p); err != nil {
		t.Error(err)
	}
	all(b, keys, func(r *ledger.Record) bool { return r.Sequence == 1 && r.Why.Code == reason.ResourceGone })

	b = newBench(t)
	keys = large(b, lifecycle.Waiting, func(*ledger.Record, *ledger.Resource) {})
	if waiting, err := b.c.schedule(t.Context(), resourceOfTests, nil, p); err != nil || waiting != 0 {
		t.Errorf("%d wait, %v", waiting, err)
	}
	all(b, keys, func(r *ledger.Record) bool { return r.State == lifecycle.Reserved })
	if g, err := b.c.grantSlots(t.Context(), regionOfTests, []string{resourceOfTests}, true); err != nil || len(g.moved) != n {
		t.Errorf("%d get a slot, %v", len(g.moved), err)
	}

	b = newBench(t)
	keys = large(b, lifecycle.Running, func(*ledger.Record, *ledger.Resource) {})
	jobs := map[message.Key]vertex.Job{}
	for _, key := range keys {
		jobs[key] = vertex.Job{Name: b.record(key).Reservation.Job, Run: "r1", State: vertex.JobSucceeded}
	}
	if err := b.c.applyAll(t.Context(), classified{res: b.resource()}, keys, jobs, p); err != nil {
		t.Error(err)
	}
	all(b, keys, func(r *ledger.Record) bool { return r.State == lifecycle.Succeeded && len(r.Unpublished()) == 0 })
}
