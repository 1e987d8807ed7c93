package admission

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"example.com/berth/internal/capacity"
)

// fewHeads is a snapshot with a limited number of known heads per class.
func fewHeads(s PlanSnapshot, known map[ClassID]int) PlanSnapshot {
	queue := Queue{}
	for id, c := range s.Queue {
		queue[id] = Class{Count: c.Count, Heads: c.Heads[:min(known[id], len(c.Heads))]}
	}
	s.Queue = queue
	return s
}

// TestPlanByFewHeads plans by a few heads of each class, and by one more of
// each class that the plan wants until it wants none. The last plan is that by
// all heads, with no earlier promise; until then it starts nothing that the
// plan by all heads does not start.
func TestPlanByFewHeads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.p.NoBackfill = true // backfill depends on the known heads
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "step") > 0 {
				if !w.arrive(t, rapid.IntRange(0, 1000-w.top).Draw(t, "priority")) {
					continue
				}
			} else {
				for i := len(w.s.Held) - 1; i >= 0; i-- {
					if rapid.Bool().Draw(t, "ends") {
						w.end(i)
					}
				}
			}
			known := map[ClassID]int{}
			for id, c := range w.s.Queue {
				known[id] = 1 + len(c.Heads)
			}
			for _, h := range w.waiting { // in an order that does not depend on the map's
				if id := ClassOf("t", h.Demand, h.Limit); known[id] > len(w.s.Queue[id].Heads) {
					known[id] = rapid.IntRange(1, len(w.s.Queue[id].Heads)).Draw(t, "known")
				}
			}
			whole := MakePlan(w.s, w.p)
			few := MakePlan(fewHeads(w.s, known), w.p)
			for len(few.Want) > 0 {
				for _, st := range few.Starts {
					if !slices.ContainsFunc(whole.Starts, func(o Start) bool { return o.ID == st.ID }) {
						t.Fatalf("%s starts by the heads %v, and does not by all", st.ID, known)
					}
				}
				for _, id := range few.Want {
					if known[id]++; known[id] > w.s.Queue[id].Count {
						t.Fatalf("the plan wants more heads of %s than its %d", id, w.s.Queue[id].Count)
					}
				}
				few = MakePlan(fewHeads(w.s, known), w.p)
			}
			for i := range min(len(whole.Reserved), len(few.Reserved)) {
				if o, r := whole.Reserved[i], &few.Reserved[i]; o.ID == r.ID {
					if r.At.Before(o.At) {
						t.Fatalf("%s is promised %s by the heads %v, and %s by all", r.ID, r.At, known, o.At)
					}
					r.At = o.At
				}
			}
			same := cmp.Options{cmpopts.EquateEmpty(), cmp.Comparer(func(a, b capacity.Shape) bool { return a == b })}
			if diff := cmp.Diff(whole, few, same); diff != "" {
				t.Fatalf("by the heads %v (-all +few)\n%s", known, diff)
			}
			for len(whole.Starts) > 0 {
				w.apply(whole)
				whole = MakePlan(w.s, w.p)
			}
			w.apply(whole)
		}
	})
}

// The only known head of a class is reserved. When it starts, the plan wants
// the next of the class, and starts no later request before that is known.
func TestStartedReservationWasTheOnlyKnownHead(t *testing.T) {
	w := story(t, PlanPolicy{NoBackfill: true}, 2)
	w.arrive(ask("a", 60, 2), ask("b", 60, 1), ask("c", 60, 1), ask("d", 300, 1))
	few := map[ClassID]int{}
	for id := range w.s.Queue {
		few[id] = 1
	}
	if plan := MakePlan(fewHeads(w.s, few), w.p); len(plan.Want) != 0 {
		t.Errorf("while the reservation waits, the plan wants heads of %v", plan.Want)
	}
	w.end(0)
	plan := MakePlan(fewHeads(w.s, few), w.p)
	class := ClassOf("t", w.waiting[0].Demand, w.waiting[0].Limit)
	if len(plan.Starts) != 1 || plan.Starts[0].ID != "b" || !slices.Equal(plan.Want, []ClassID{class}) {
		t.Errorf("starts %v and wants %v, want b alone and %s", plan.Starts, plan.Want, class)
	}
}

// Only a reservation of a class is known, and the class may have a request that
// can pass it. The plan wants more heads, and lets no later request pass until
// it knows them.
func TestBackfillWantsHeadsBehindAReservation(t *testing.T) {
	w := story(t, PlanPolicy{NoBackfill: true, Patience: 24 * time.Hour}, 4)
	w.arrive(ask("a", 60, 1), ask("b", 60, 4), ask("c", 50, 3), ask("d", 40, 2), ask("e", 30, 2))
	w.want("a-60", "b m0 by 60")
	w.p.NoBackfill = false
	one := map[ClassID]int{}
	for id := range w.s.Queue {
		one[id] = 1 // of b, and of d: c and e come next in the same classes
	}
	class := ClassOf("t", w.waiting[0].Demand, w.waiting[0].Limit)
	if plan := MakePlan(fewHeads(w.s, one), w.p); len(plan.Starts) != 0 || !slices.Equal(plan.Want, []ClassID{class}) {
		t.Errorf("starts %v and wants %v, want no start and %s", plan.Starts, plan.Want, class)
	}
	one[class]++
	if plan := MakePlan(fewHeads(w.s, one), w.p); len(plan.Starts) != 1 || plan.Starts[0].ID != "c" || len(plan.Want) != 0 {
		t.Errorf("starts %v and wants %v, want c and nothing", plan.Starts, plan.Want)
	}
}

// With fewer free replicas than any request of the class asks for, the plan does not
// want to know them.
func TestBackfillWantsNoHeadsThatCannotFit(t *testing.T) {
	w := story(t, PlanPolicy{NoBackfill: true, Patience: 24 * time.Hour}, 4)
	w.arrive(ask("a", 60, 2), ask("b", 60, 4), ask("c", 50, 3), ask("d", 40, 2))
	w.p.NoBackfill = false
	one := map[ClassID]int{}
	for id := range w.s.Queue {
		one[id] = 1 // of b: c comes next in the same class, for more than two
	}
	if plan := MakePlan(fewHeads(w.s, one), w.p); len(plan.Starts) != 1 || plan.Starts[0].ID != "d" || len(plan.Want) != 0 {
		t.Errorf("starts %v and wants %v, want d and nothing", plan.Starts, plan.Want)
	}
}

// A request over two shapes must wait until the next request of one of them is
// known. A later request does not get its other shape meanwhile.
func TestUnknownHeadStopsAllShapesOfThoseBehindIt(t *testing.T) {
	w := story(t, PlanPolicy{Patience: 24 * time.Hour}, 1, 1, 1)
	w.waiting = []Head{ask("a", 60, 0, 1), ask("b", 60, 0, 1), ask("c", 300, 1, 1), ask("d", 60, 1), ask("e", 60, 0, 0, 1)}
	w.queue()
	few := map[ClassID]int{}
	for id := range w.s.Queue {
		few[id] = 1
	}
	w.apply(MakePlan(fewHeads(w.s, few), w.p))
	w.want("a-60 e-60", "")
	w.apply(MakePlan(w.s, w.p))
	w.want("a-60 d-60 e-60", "b m1 by 60, c m0 by 120")
}

// The only known head of a class starts. The next may have its priority, so no
// reservation of a lower priority gets its shape before the next is known.
func TestUnknownHeadMayHaveTheHigherPriority(t *testing.T) {
	w := story(t, PlanPolicy{NoBackfill: true}, 1, 2)
	w.arrive(ask("a", 60, 0, 2), ask("B", 500, 0, 1), ask("C", 500, 0, 1), ask("p", 60, 1, 1), ask("x", 60, 0, 1))
	w.want("a-60", "B m1 by 60, p m0 by 60")
	few := map[ClassID]int{}
	for id := range w.s.Queue {
		few[id] = 1
	}
	w.end(0)
	plan := MakePlan(fewHeads(w.s, few), w.p)
	if class := ClassOf("t", w.s.Reserved[0].Demand, w.s.Reserved[0].Limit); !slices.Equal(plan.Want, []ClassID{class}) {
		t.Errorf("wants %v, want %s", plan.Want, class)
	}
	w.apply(plan)
	w.want("B-500", "p m0 by 60")
	w.plan()
	w.want("B-500 C-500", "p m0 m1 by 60")
}
