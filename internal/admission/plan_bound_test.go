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
)

// TestBoundOnWaiting holds every request of random streams to the bound on waiting of
// the package comment: small jobs that arrive for ever, limits that are used up or not,
// and gangs of up to all replicas.
func TestBoundOnWaiting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := capacity.Replicas(rapid.IntRange(1, 8).Draw(t, "replicas"))
		longest := time.Duration(rapid.SampledFrom([]int{30, 120, 600}).Draw(t, "longest limit")) * time.Minute
		w := &planWorld{s: PlanSnapshot{Now: planNow, Use: capacity.Use{}, Queue: Queue{},
			Pools: []capacity.Pool{{ID: "p", Shape: shapeOf(0), Count: total}}},
			p: PlanPolicy{Horizon: time.Hour, Patience: time.Duration(rapid.IntRange(0, 240).Draw(t, "patience")) * time.Minute}}
		ends := map[message.Key]time.Time{}
		bounds := map[message.Key]time.Time{} // of those that have waited for Patience beyond their key
		waiting := map[message.Key]Head{}
		settle := func() {
			for starts := true; starts; {
				plan := MakePlan(w.s, w.p)
				for _, st := range plan.Starts {
					ran := time.Duration(rapid.Int64Range(1, int64(st.Limit/time.Minute)).Draw(t, "runs")) * time.Minute
					if rapid.Bool().Draw(t, "to its limit") {
						ran = st.Limit
					}
					ends[st.ID] = w.s.Now.Add(ran)
					if bound, late := bounds[st.ID]; late && w.s.Now.After(bound) {
						t.Fatalf("%s starts at %s, and was to start by %s", st.ID, w.s.Now, bound)
					}
					delete(waiting, st.ID)
				}
				w.apply(plan)
				starts = len(plan.Starts) > 0
			}
			// A request has waited long enough at T: the bound counts what is ahead then.
			for id, h := range waiting {
				if _, known := bounds[id]; known || w.s.Now.Before(h.Key.Add(w.p.Patience)) {
					continue
				}
				ahead := h.Demand.Replicas()
				for _, o := range waiting {
					if o.Order < h.Order {
						ahead += o.Demand.Replicas()
					}
				}
				for _, r := range w.s.Reserved {
					if r.Order > h.Order { // it stands before those of an earlier key that came later
						ahead += r.Demand.Replicas()
					}
				}
				bounds[id] = w.s.Now.Add(longest + longest*4*time.Duration(ahead)/time.Duration(total))
			}
			for id, bound := range bounds {
				if _, waits := waiting[id]; waits && w.s.Now.After(bound) {
					t.Fatalf("%s still waits at %s, and was to start by %s", id, w.s.Now, bound)
				}
			}
		}
		for i := range rapid.IntRange(1, 40).Draw(t, "requests") {
			then := w.s.Now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "after")) * time.Minute)
			for next := first(ends); !next.IsZero() && !next.After(then); next = first(ends) {
				w.s.Now = next
				w.endAll(ends)
				settle()
			}
			w.s.Now = then
			n := capacity.Replicas(rapid.IntRange(1, int(total)).Draw(t, "size"))
			if rapid.IntRange(0, 2).Draw(t, "small") > 0 {
				n = 1
			}
			limit := time.Duration(rapid.Int64Range(1, int64(longest/time.Minute)).Draw(t, "limit")) * time.Minute
			key := Key(w.s.Now, min(limit, 30*time.Minute), n > 1)
			id := message.Key(fmt.Sprintf("%04d", i))
			h := Head{ID: id, Key: key, Order: "1000-" + key.Format("20060102T150405.000000000") + "-" + string(id), Limit: limit,
				Demand: capacity.Ask{{Shape: shapeOf(0), Replicas: n}}}
			waiting[id] = h
			w.waiting = append(w.waiting, h)
			w.queue()
			settle()
		}
		for len(waiting) > 0 {
			next := first(ends)
			if next.IsZero() {
				t.Fatalf("nothing runs, and %d wait", len(waiting))
			}
			w.s.Now = next
			w.endAll(ends)
			settle()
		}
	})
}

// first is the earliest end; zero if no job runs.
func first(ends map[message.Key]time.Time) (at time.Time) {
	for _, end := range ends {
		if at.IsZero() || end.Before(at) {
			at = end
		}
	}
	return at
}

// endAll ends the jobs whose time has come.
func (w *planWorld) endAll(ends map[message.Key]time.Time) {
	slices.SortFunc(w.s.Held, func(a, b Held) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for i := len(w.s.Held) - 1; i >= 0; i-- {
		if id := w.s.Held[i].ID; !ends[id].After(w.s.Now) {
			delete(ends, id)
			w.end(i)
		}
	}
}
