package admission

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// asked is a waiting request of a world.
func (w *planWorld) asked(h Head) Ask {
	return Ask{Head: h, OnFull: message.Queue, Waiting: true, Class: ClassOf("t", h.Demand, h.Limit)}
}

// drawQueue moves a world to a moment at which requests wait. A plan follows every end.
func drawQueue(t *rapid.T) *planWorld {
	w := drawWorld(t)
	for range rapid.IntRange(1, 15).Draw(t, "steps") {
		if next := w.next(); next.After(w.s.Now) && rapid.IntRange(0, 3).Draw(t, "step") == 0 {
			w.s.Now = next
			w.ended()
		} else if !w.arrive(t, rapid.IntRange(0, 1000-w.top).Draw(t, "priority")) {
			continue
		}
		w.settle()
	}
	return w
}

// ended takes the jobs away that have reached their limits.
func (w *planWorld) ended() {
	for i := len(w.s.Held) - 1; i >= 0; i-- {
		if !w.s.Held[i].End.After(w.s.Now) {
			w.end(i)
		}
	}
}

func (w *planWorld) settle() {
	for starts := true; starts; {
		plan := MakePlan(w.s, w.p)
		w.apply(plan)
		starts = len(plan.Starts) > 0
	}
}

// TestAdviceHolds: a waiting request is told the most replicas with which it would
// start, and the longest time limit. Sent anew with so many, or that limit, it starts, and
// with more it does not.
func TestAdviceHolds(t *testing.T) {
	advised, limits := 0, 0
	// Worlds are drawn until both kinds of advice have been given: some hundred of them give none.
	for round := 0; round < 20 && (advised == 0 || limits == 0); round++ {
		rapid.Check(t, func(t *rapid.T) {
			w := drawQueue(t)
			for i, h := range w.waiting {
				a := w.asked(h)
				d := Decide(w.snapshot(), a, w.policy())
				if d.Verdict != Wait {
					continue
				}
				plain := *d.Reason
				d.Advise(w.snapshot(), a, w.policy())
				if d.Reason.Detail != plain.Detail || d.Reason.Code != plain.Code {
					t.Fatalf("advice changes the reason from %+v to %+v", plain, d.Reason)
				}
				k := 0
				for j, n := range h.Demand {
					if n.Replicas > h.Demand[k].Replicas {
						k = j
					}
				}
				alone := *w
				alone.waiting = slices.Delete(slices.Clone(w.waiting), i, i+1)
				alone.queue()
				alone.s.Reserved = slices.DeleteFunc(slices.Clone(w.s.Reserved), func(r Reservation) bool { return r.ID == h.ID })
				starts := func(n capacity.Replicas) bool {
					anew := a
					anew.Demand = slices.Clone(h.Demand)
					anew.Demand[k].Replicas = n
					anew.Waiting, anew.Class, anew.Slow, anew.ID = false, "", false, "anew"
					anew.Key = w.s.Now.Add(maxKeyDelay)
					anew.Order = fmt.Sprintf("%s-%s-anew", h.Order[:4], anew.Key.Format("20060102T150405.000000000"))
					return Decide(alone.snapshot(), anew, w.policy()).Verdict == Admit
				}
				var most capacity.Replicas
				for n := h.Demand[k].Replicas - 1; n > 0; n-- {
					if starts(n) {
						most = n
						break
					}
				}
				want := ""
				if plain.Code == reason.Behind {
					// Of all time limits in minutes the longest with which it starts now.
					limited := func(minutes int) bool {
						anew := a
						anew.Limit = time.Duration(minutes) * time.Minute
						anew.Waiting, anew.Class, anew.Slow, anew.ID = false, "", false, "anew"
						anew.Key = w.s.Now.Add(maxKeyDelay)
						anew.Order = fmt.Sprintf("%s-%s-anew", h.Order[:4], anew.Key.Format("20060102T150405.000000000"))
						return Decide(alone.snapshot(), anew, w.policy()).Verdict == Admit
					}
					for minutes := int(h.Limit/time.Minute) - 1; minutes > 0; minutes-- {
						if limited(minutes) {
							limits++
							want = fmt.Sprintf("With a jobSpec.scheduling.timeout of at most %s it could start now.", time.Duration(minutes)*time.Minute)
							break
						}
					}
				}
				if most > 0 && (plain.Code == reason.Full || plain.Code == reason.Behind) {
					advised++
					want = strings.TrimSpace(fmt.Sprintf("%s With at most %d in jobSpec.workerPoolSpecs[%d].replicaCount it could start now.", want, most, k))
				}
				if d.Reason.Fix != want {
					t.Fatalf("%s of %v waits: %q, and is told %q; want %q", h.ID, h.Demand, d.Reason.Detail, d.Reason.Fix, want)
				}
			}
		})
	}
	if advised == 0 || limits == 0 {
		t.Errorf("%d requests were advised of replicas, %d of limits", advised, limits)
	}
}

// TestBeforeIsWhatRanksBefore: what is said to come before a waiting request is what a
// count of all waiting requests says.
func TestBeforeIsWhatRanksBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawQueue(t)
		for _, h := range w.waiting {
			var want Before
			for _, o := range w.waiting {
				if o.Order < h.Order && share(o.Demand.Shapes(), h.Demand.Shapes()) {
					want.Requests, want.Replicas = want.Requests+1, want.Replicas+o.Demand.Replicas()
					if o.Order[:4] < h.Order[:4] {
						want.HigherPriority++
					}
				}
			}
			a := w.asked(h)
			if got := w.s.Queue.Before(h.Order, h.Demand.Shapes(), a.Class); got != want {
				t.Fatalf("before %s come %+v, want %+v", h.ID, got, want)
			}
			// With fewer heads known there are not fewer requests, and not more replicas.
			few := Queue{}
			for id, c := range w.s.Queue {
				c.Heads = c.Heads[:rapid.IntRange(0, len(c.Heads)).Draw(t, "known")]
				few[id] = c
			}
			if got := few.Before(h.Order, h.Demand.Shapes(), a.Class); got.Requests < want.Requests {
				t.Fatalf("by few heads before %s come %+v, want at least %+v", h.ID, got, want)
			}
		}
	})
}

func (w *planWorld) poolsOf(shape capacity.Shape) (n int) {
	for _, p := range w.s.Pools {
		if p.Shape == shape {
			n++
		}
	}
	return n
}

// TestBoundHolds: when nothing more arrives, and every job takes its whole limit, each
// waiting request starts within the bound that it was told.
func TestBoundHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawQueue(t)
		bounds := map[message.Key]time.Time{}
		for _, h := range w.waiting {
			at := Bound(w.snapshot(), w.asked(h), w.policy())
			if !at.IsZero() {
				bounds[h.ID] = at
			}
			if at.IsZero() && len(h.Demand.Shapes()) == 1 && priorityOf(h.Order) == w.top && w.poolsOf(h.Demand[0].Shape) == 1 {
				t.Fatalf("%s has no bound", h.ID)
			}
			if !at.IsZero() && w.poolsOf(h.Demand[0].Shape) != 1 {
				t.Fatalf("%s has a bound with several pools of its shape", h.ID)
			}
		}
		for range 10 * (len(w.waiting) + len(w.s.Held) + 1) {
			for _, h := range w.waiting {
				if at, is := bounds[h.ID]; is && w.s.Now.After(at) {
					t.Fatalf("%s waits at %s, after its bound %s", h.ID, w.s.Now, at)
				}
			}
			if len(w.waiting) == 0 {
				return
			}
			if next := w.next(); next.After(w.s.Now) {
				w.s.Now = next
			}
			w.ended()
			w.settle()
		}
	})
}

// TestDelaysAreTold: a reservation that cannot start by the time it was promised says
// when it does, and why.
func TestDelaysAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(*planStory)
		want []Delay
		by   int // minute
		text string
	}{
		"nothing": {func(*planStory) {}, nil, 60, ""},
		"a job overstays": {func(w *planStory) { w.s.Now = w.s.Now.Add(90 * time.Minute) }, []Delay{Overstay}, 150,
			"It was to start by 2026-03-01T13:00:00Z, and starts later: jobs run beyond their time limits."},
		"others use machines": {func(w *planStory) {
			w.s.Use.Add(ask("x", 0, 2).Demand)
			w.s.Held = append(w.s.Held, Held{Demand: ask("x", 0, 2).Demand, End: planNow.Add(3 * time.Hour)})
		}, []Delay{OtherUse}, 180, "machines are used by jobs that Berth did not start."},
		"use is unexplained, and not for as long": {func(w *planStory) { w.s.Use.Add(ask("x", 0, 2).Demand) }, nil, 60, ""},
		"unexplained for long": {func(w *planStory) {
			w.s.Use.Add(ask("x", 0, 2).Demand)
			w.s.Now = w.s.Now.Add(30 * time.Minute)
		}, []Delay{OtherUse}, 90, "machines are used by jobs that Berth did not start."},
		"a pool shrinks": {func(w *planStory) { w.s.Pools[0].Count = 2 }, []Delay{FewerMachines}, -1, "the pools have fewer machines than then."},
		"a job started late": {func(w *planStory) { w.s.Held[0].End = planNow.Add(2 * time.Hour) }, []Delay{LateStart}, 120,
			"an earlier job started later than planned."},
		"a higher priority came": {func(w *planStory) {
			w.s.Held[0].End = planNow.Add(2 * time.Hour) // so it is late for this cause as well
			w.s.Reserved = slices.Insert(w.s.Reserved, 0, Reservation{Head: ask("H", 60, 2, 1), Shapes: []capacity.Shape{shapeOf(1)}, At: planNow.Add(time.Hour)})
			w.waiting = append(w.waiting, ask("H", 60, 2, 1))
			w.queue()
		}, []Delay{HigherPriority}, 180, "requests of a higher priority go first."},
	} {
		w := story(t, PlanPolicy{Patience: 24 * time.Hour}, 4, 1)
		w.arrive(ask("a", 60, 4), ask("b", 60, 3))
		w.want("a-60", "b m0 by 60")
		c.harm(w)
		plan := MakePlan(w.s, w.p)
		i := slices.IndexFunc(plan.Reserved, func(r Reservation) bool { return r.ID == "b" })
		if i < 0 {
			t.Errorf("%s: it has no reservation any more: %+v", name, plan)
			continue
		}
		r := plan.Reserved[i]
		if !r.At.Equal(planNow.Add(time.Hour)) || !r.Since.Equal(planNow) {
			t.Errorf("%s: it is reserved by %s since %s", name, r.At, r.Since)
		}
		at, late := plan.StartsBy(r)
		if want := planNow.Add(time.Duration(c.by) * time.Minute); c.by >= 0 && !at.Equal(want) || c.by < 0 && !at.IsZero() {
			t.Errorf("%s: it starts by %s, want %s", name, at, want)
		}
		if c.text == "" {
			if late != (c.want != nil) || !slices.Equal(r.Delays, c.want) {
				t.Errorf("%s: it is late: %v, for %v", name, late, r.Delays)
			}
			continue
		}
		if !late || !slices.Equal(r.Delays, c.want) {
			t.Errorf("%s: it is late: %v, for %v, want %v", name, late, r.Delays, c.want)
			continue
		}
		h := w.waiting[slices.IndexFunc(w.waiting, func(h Head) bool { return h.ID == "b" })]
		d := Decide(w.snapshot(), w.asked(h), w.policy())
		if c.by < 0 {
			continue // it can never fit
		}
		if !d.Late || !d.StartsBy.Equal(at) || !strings.HasSuffix(d.Reason.Detail, c.text) {
			t.Errorf("%s: it is decided %+v %+v", name, d, d.Reason)
		}
	}
}

// TestCausesOfADelay: a cause that has passed is remembered as long as the start is late, a
// start that is kept after all has none, and a job of others that ends in time is none.
func TestCausesOfADelay(t *testing.T) {
	w := story(t, PlanPolicy{Patience: 24 * time.Hour}, 4)
	w.arrive(ask("a", 60, 4), ask("b", 60, 3))
	foreign := func(minutes int) Held {
		return Held{Demand: ask("x", 0, 2).Demand, End: planNow.Add(time.Duration(minutes) * time.Minute)}
	}
	causes := func() []Delay {
		t.Helper()
		plan := MakePlan(w.s, w.p)
		if len(plan.Reserved) != 1 {
			t.Fatalf("reserved are %+v", plan.Reserved)
		}
		w.s.Reserved = plan.Reserved
		return plan.Reserved[0].Delays
	}
	expect := func(when string, want ...Delay) {
		t.Helper()
		if got := causes(); !slices.Equal(got, want) {
			t.Errorf("%s: it is late for %v, want %v", when, got, want)
		}
	}
	held := slices.Clone(w.s.Held)
	w.s.Held[0].End = planNow.Add(90 * time.Minute)
	expect("a started late", LateStart)
	w.s.Held, w.s.Use = append(slices.Clone(w.s.Held), foreign(120)), capacity.Use{shapeOf(0): 6}
	expect("others came as well", OtherUse)
	w.s.Held, w.s.Use = w.s.Held[:1], capacity.Use{shapeOf(0): 4}
	expect("others have gone, and it is late", OtherUse)
	w.s.Held = held
	expect("it is kept after all")
	w.s.Held, w.s.Use = append([]Held{{ID: "a", Demand: held[0].Demand}}, foreign(30)), capacity.Use{shapeOf(0): 6}
	w.s.Held[0].End = planNow
	w.s.Now = planNow.Add(10 * time.Minute)
	expect("a overstays, and others end in time", Overstay)
}

// TestBoundCounts: what the bound is made of.
func TestBoundCounts(t *testing.T) {
	p := PlanPolicy{Patience: 10 * time.Hour, StartTimeout: time.Hour}
	w := story(t, p, 4)
	w.arrive(ask("a", 600, 4), ask("b", 120, 3), ask("c", 60, 2))
	h := func(n int) time.Duration { return time.Duration(n) * time.Hour }
	of := func(name string, most time.Duration) time.Duration {
		i := slices.IndexFunc(w.waiting, func(h Head) bool { return string(h.ID) == name })
		policy := w.policy()
		policy.MaxLimit = most
		at := Bound(w.snapshot(), w.asked(w.waiting[i]), policy)
		if at.IsZero() {
			return 0
		}
		return at.Sub(planNow)
	}
	// Patience, then 1 + 4 A/N times the longest limit with its start: a runs for ten hours.
	for name, want := range map[string]time.Duration{"b": h(10) + h(11)*(1+3), "c": h(10) + h(11)*(1+5)} {
		if got := of(name, 0); got != want {
			t.Errorf("the bound of %s is %s, want %s", name, got, want)
		}
	}
	if got, want := of("b", h(20)), h(10)+h(21)*4; got != want {
		t.Errorf("with jobs of 20 hours the bound is %s, want %s", got, want)
	}
	if got := of("b", 10000*h(24)); got != 0 {
		t.Errorf("a bound of centuries is told: %s", got)
	}
	// One that stands although it comes later in order counts.
	w.s.Reserved[0].Order = "1000-z"
	if got, want := of("c", 0), h(10)+h(11)*(1+8); got != want {
		t.Errorf("beside a reservation the bound is %s, want %s", got, want)
	}
	w.s.Now = planNow.Add(h(20)) // it has waited longer than its patience
	w.s.Held[0].End = planNow.Add(h(21))
	w.s.Reserved[0].Order = "1000-b"
	if got, want := of("c", 0), h(20)+h(3)*(1+5); got != want {
		t.Errorf("later the bound is %s, want %s", got, want)
	}
	w.waiting = append(w.waiting, ask("H", 60, 1))
	w.queue()
	if got := of("c", 0); got != 0 {
		t.Errorf("while a higher priority waits the bound is %s", got)
	}
}

// TestAdviceForOneThatWasSlow: a request that did not start in time once may not pass a
// reservation any more, and is told the limit with which it would start if it is sent anew.
func TestAdviceForOneThatWasSlow(t *testing.T) {
	shape := capacity.Spec{MachineType: "m0"}.Normal()
	head := func(id string, n capacity.Replicas, limit time.Duration) Head {
		return Head{ID: message.Key(id), Order: "1000-" + id, Key: planNow, Demand: capacity.Ask{{Shape: shape, Replicas: n}}, Limit: limit}
	}
	gang, slow := head("a", 2, time.Hour), head("b", 1, 20*time.Minute)
	slow.Slow = true
	w := &planWorld{p: PlanPolicy{Horizon: time.Hour, Margin: time.Minute, StartTimeout: time.Hour, StartIn: time.Minute, Patience: 24 * time.Hour}}
	end := planNow.Add(63 * time.Minute)
	w.s = PlanSnapshot{Now: planNow, Pools: []capacity.Pool{{ID: "p", Shape: shape, Count: 2}}, Use: capacity.Use{shape: 1},
		Held:     []Held{{ID: "runs", Demand: capacity.Ask{{Shape: shape, Replicas: 1}}, End: end}},
		Queue:    Queue{ClassOf("t", gang.Demand, gang.Limit): {Count: 1, Heads: []Head{gang}}, ClassOf("t", slow.Demand, slow.Limit): {Count: 1, Heads: []Head{slow}}},
		Reserved: []Reservation{{Head: gang, Shapes: []capacity.Shape{shape}, At: end, Budget: 2, Since: planNow}}}
	a := w.asked(slow)
	d := Decide(w.snapshot(), a, w.policy())
	if d.Verdict != Wait || d.Reason.Code != reason.Behind {
		t.Fatalf("%s: %+v", d.Verdict, d.Reason)
	}
	d.Advise(w.snapshot(), a, w.policy())
	if want := "With a jobSpec.scheduling.timeout of at most 19m0s it could start now."; d.Reason.Fix != want {
		t.Errorf("%q, want %q", d.Reason.Fix, want)
	}
}
