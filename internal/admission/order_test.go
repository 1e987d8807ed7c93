package admission

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// snapshot is the resource of a world as a decision reads it.
func (w *planWorld) snapshot() Snapshot {
	return Snapshot{Now: w.s.Now, State: "RUNNING", ObservedAt: w.s.Now, Known: true, Pools: w.s.Pools, Use: w.s.Use,
		Held: func() []Held { return w.s.Held }, Queue: w.s.Queue, Reserved: w.s.Reserved}
}

func (w *planWorld) policy() Policy {
	return Policy{MaxAge: time.Minute, MaxHolds: 1000, RefuseAfter: time.Hour, Plan: w.p}
}

// TestDecideAgreesWithThePlan: an arrival starts exactly if a plan of the queue with
// it starts it, and one that needs no plan changes none. So what an arrival is told
// is what the next pass does.
func TestDecideAgreesWithThePlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0:
				for i := len(w.s.Held) - 1; i >= 0; i-- {
					if rapid.Bool().Draw(t, "ends") {
						w.end(i)
					}
				}
			case 1:
				w.apply(MakePlan(w.s, w.p))
			default:
				before := w.s
				if !w.arrive(t, rapid.IntRange(0, 1000-w.top).Draw(t, "priority")) {
					continue
				}
				i := slices.IndexFunc(w.waiting, func(h Head) bool { return h.ID == message.Key(fmt.Sprintf("%04d", w.ids)) })
				ask := Ask{Head: w.waiting[i], OnFull: message.Queue}
				joined := w.s
				w.s = before
				d := Decide(w.snapshot(), ask, w.policy())
				w.s = joined
				want := MakePlan(joined, w.p)
				starts := slices.IndexFunc(want.Starts, func(st Start) bool { return st.ID == ask.ID })
				if (d.Verdict == Admit) != (starts >= 0) {
					t.Fatalf("%+v is decided %s %v, and the plan is %+v", ask.Head, d.Verdict, d.Reason, want)
				}
				if starts >= 0 && !d.By.Equal(want.Starts[starts].By) {
					t.Fatalf("it has to run by %s, in the plan by %s", d.By, want.Starts[starts].By)
				}
				// Decided again as one that waits, it gets the same.
				ask.Waiting, ask.Class = true, ClassOf("t", ask.Demand, ask.Limit)
				if again := Decide(w.snapshot(), ask, w.policy()); again.Verdict != d.Verdict || !again.By.Equal(d.By) || !again.StartsBy.Equal(d.StartsBy) {
					t.Fatalf("new it is decided %s, and waiting %s", d.Verdict, again.Verdict)
				}
				reserved := slices.IndexFunc(want.Reserved, func(r Reservation) bool { return r.ID == ask.ID })
				if promised := !d.StartsBy.IsZero(); promised && (reserved < 0 || !want.Reserved[reserved].At.Equal(d.StartsBy)) {
					t.Fatalf("it is promised %s, and the plan reserves %+v", d.StartsBy, want.Reserved)
				}
				without := MakePlan(before, w.p)
				upToDate := len(without.Starts) == 0 && slices.EqualFunc(without.Reserved, before.Reserved, func(a, b Reservation) bool { return a.ID == b.ID })
				if d.Plan == nil && d.Verdict == Wait && reserved >= 0 && upToDate {
					t.Fatalf("it is decided without a plan, and a plan reserves %+v", want.Reserved[reserved])
				}
				if d.Plan != nil && d.Plan.Only(ask) != (len(want.Starts) == 0 || len(want.Starts) == 1 && starts == 0) {
					t.Fatalf("of %+v the plan is said to start it alone: %v", want.Starts, d.Plan.Only(ask))
				}
			}
		}
	})
}

// TestReasonsOfTheOrder: a request that fits and has to wait is told what it would
// delay, and a time limit with which it would start; with that limit it starts.
func TestReasonsOfTheOrder(t *testing.T) {
	w := story(t, PlanPolicy{Margin: 5 * time.Minute, StartIn: 10 * time.Minute, StartTimeout: time.Hour, Patience: 24 * time.Hour}, 4)
	w.arrive(ask("a", 180, 3), ask("b", 60, 4))
	w.want("a-240", "b m0 by 240")
	late := Ask{Head: ask("c", 600, 1), OnFull: message.Queue}
	decide := func(a Ask) Decision {
		d := Decide(w.snapshot(), a, w.policy())
		d.Advise(w.snapshot(), a, w.policy())
		return d
	}
	d := decide(late)
	if d.Verdict != Wait || d.Reason.Code != reason.Behind || d.Ahead != 1 || !d.StartsBy.IsZero() {
		t.Errorf("it is decided %+v", d)
	}
	if want := "would delay a waiting request that has 4 of these machines reserved from 2026-"; !strings.Contains(d.Reason.Detail, want) {
		t.Errorf("the reason is %q, want %q in it", d.Reason.Detail, want)
	}
	if want := "With a jobSpec.scheduling.timeout of at most 3h45m0s it could start now."; d.Reason.Fix != want {
		t.Errorf("the fix is %q, want %q", d.Reason.Fix, want)
	}
	for minutes, verdict := range map[int]Verdict{225: Admit, 226: Wait} {
		late.Head = ask("c", minutes, 1)
		if d := decide(late); d.Verdict != verdict || verdict == Admit && !d.By.Equal(planNow.Add(10*time.Minute)) {
			t.Errorf("with %d minutes it is decided %s, to run by %s", minutes, d.Verdict, d.By)
		}
	}
	// One that Vertex AI did not start in time once needs its whole start timeout.
	for minutes, verdict := range map[int]Verdict{175: Admit, 176: Wait} {
		late.Head = ask("c", minutes, 1)
		late.Slow = true
		if d := decide(late); d.Verdict != verdict || verdict == Wait && !strings.Contains(d.Reason.Fix, "at most 2h55m0s") {
			t.Errorf("slow, with %d minutes it is decided %s %v", minutes, d.Verdict, d.Reason)
		}
	}
	// Without backfill no shorter limit helps.
	w.p.NoBackfill = true
	late.Head = ask("c", 30, 1)
	if d := decide(late); d.Verdict != Wait || d.Reason.Code != reason.Behind || d.Reason.Fix != "" ||
		!strings.HasSuffix(d.Reason.Detail, "and this deployment lets no request pass another.") {
		t.Errorf("without backfill: %+v", d.Reason)
	}
	// The one that has the reservation does not fit: that is its reason, and its start is told.
	first := Ask{Head: w.waiting[0], Waiting: true, Class: ClassOf("t", w.waiting[0].Demand, w.waiting[0].Limit)}
	if d := Decide(w.snapshot(), first, w.policy()); d.Reason.Code != reason.Full || !d.StartsBy.Equal(planNow.Add(240*time.Minute)) || d.Ahead != 0 {
		t.Errorf("the first is decided %+v", d)
	}
	// One that does not fit either waits for the same, and its arrival makes no plan.
	if d := Decide(w.snapshot(), Ask{Head: ask("d", 30, 2)}, w.policy()); d.Reason.Code != reason.Full || d.Plan != nil || d.Ahead != 1 ||
		!strings.HasSuffix(d.Reason.Detail, " Before it comes a waiting request that has 4 machines reserved from 2026-03-01T16:00:00Z on.") {
		t.Errorf("the next is decided %+v", d)
	}
	// A request that does not wait reserves nothing.
	if d := Decide(w.snapshot(), Ask{Head: ask("A", 30, 4), OnFull: message.Reject}, w.policy()); d.Verdict != Refuse || d.Plan != nil {
		t.Errorf("one that must not wait is decided %+v", d)
	}
}

// TestClassesOfATenantAreBounded: one tenant with requests of every kind has a bounded
// number of classes, another keeps its own, and every request is in a class of its
// shapes.
func TestClassesOfATenantAreBounded(t *testing.T) {
	q := Queue{}
	join := func(tenant string, replicas capacity.Replicas, limit time.Duration, shapes ...int) ClassID {
		var demand capacity.Ask
		for i, s := range shapes {
			demand = append(demand, capacity.Need{WorkerPool: i, Shape: shapeOf(s), Replicas: replicas})
		}
		id := q.ClassFor(Head{Tenant: tenant, Demand: demand, Limit: limit})
		h := Head{Order: fmt.Sprintf("1000-%06d", q.Waiting()), ID: message.Key(fmt.Sprint(q.Waiting())), Demand: demand, Limit: limit}
		q[id] = q[id].With(h, MaxHeads)
		if c := q[id]; !slices.Equal(c.Heads[0].Demand.Shapes(), demand.Shapes()) {
			t.Fatalf("class %s has the shapes %v and %v", id, c.Heads[0].Demand.Shapes(), demand.Shapes())
		}
		return id
	}
	n := 0
	for size := range 12 {
		for step := range limitSteps {
			for s := range 6 {
				for tenants := range 5 {
					join(fmt.Sprintf("hostile-%d", tenants), 1<<size, time.Duration(limitSteps[step])*time.Hour, s, (s+1)%6)
					n++
				}
			}
		}
		if own := join("quiet", 2, time.Hour, 0); own != ClassOf("quiet", capacity.Ask{{Shape: shapeOf(0), Replicas: 2}}, time.Hour) {
			t.Errorf("a quiet tenant is put into class %s", own)
		}
		n++
	}
	if q.Waiting() != n {
		t.Errorf("%d wait, want %d", q.Waiting(), n)
	}
	of := map[string]int{}
	for id := range maps.Keys(q) {
		tenant, _, _ := strings.Cut(string(id), "|")
		of[tenant]++
	}
	for tenant, n := range of {
		if n > 2*tenantClasses {
			t.Errorf("%s has %d classes", tenant, n)
		}
	}
	if len(q) > 2*MaxClasses {
		t.Errorf("there are %d classes", len(q))
	}
}

// A key comes four times the expected run time after the submission, half of that for
// a gang, and at most 48 hours. A job may declare a limit of centuries.
func TestKey(t *testing.T) {
	at := time.Date(2026, 9, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		expected time.Duration
		gang     bool
		want     time.Duration
	}{
		{0, false, 0},
		{-time.Hour, false, 0},
		{time.Hour, false, 4 * time.Hour},
		{time.Hour, true, 2 * time.Hour},
		{12 * time.Hour, false, 48 * time.Hour},
		{12*time.Hour + 1, false, 48 * time.Hour},
		{7 * 24 * time.Hour, true, 24 * time.Hour},
		{100 * 365 * 24 * time.Hour, false, 48 * time.Hour},
		{math.MaxInt64, true, 24 * time.Hour},
		{math.MinInt64, false, 0},
	} {
		if got := Key(at, test.expected, test.gang).Sub(at); got != test.want {
			t.Errorf("%s, gang %v: the key comes %s after the submission, want %s", test.expected, test.gang, got, test.want)
		}
	}
}
