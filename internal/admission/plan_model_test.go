package admission

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// modelPlan is [MakePlan] in its slowest and simplest form: one sorted list of
// waiting requests, and [capacity.Check] at every end of a job.
func modelPlan(s PlanSnapshot, p PlanPolicy) (starts []Start, reserved []Reservation) {
	var waiting []Head
	for _, c := range s.Queue {
		waiting = append(waiting, c.Heads...)
	}
	slices.SortFunc(waiting, func(a, b Head) int { return strings.Compare(a.Order, b.Order) })
	remove := func(id message.Key) {
		waiting = slices.DeleteFunc(slices.Clone(waiting), func(h Head) bool { return h.ID == id })
	}
	use := capacity.Use{}
	for shape, n := range s.Use {
		use[shape] = n
	}
	fits := func(h Head) bool { return capacity.Check(s.Pools, use, h.Demand).Verdict == capacity.Fits }
	start := func(h Head, by time.Time) {
		use.Add(h.Demand)
		starts = append(starts, Start{h, by})
		remove(h.ID)
	}
	ends := func() (list []capacity.End) {
		rest := capacity.Use{}
		for shape, n := range s.Use {
			rest[shape] = n
		}
		for _, h := range s.Held {
			at := h.End
			if !at.After(s.Now) {
				at = s.Now.Add(p.Horizon)
			}
			list = append(list, capacity.End{At: at, Ask: h.Demand})
			for _, n := range h.Demand {
				rest[n.Shape] -= n.Replicas
			}
		}
		for shape, n := range rest {
			list = append(list, capacity.End{At: s.Now.Add(p.Horizon), Ask: capacity.Ask{{Shape: shape, Replicas: n}}})
		}
		for _, st := range starts {
			list = append(list, capacity.End{At: modelEnd(s, p, st), Ask: st.Demand})
		}
		return list
	}
	useAt := func(at time.Time, list []capacity.End) capacity.Use {
		u := capacity.Use{}
		for _, e := range list {
			if e.At.After(at) {
				u.Add(e.Ask)
			}
		}
		return u
	}
	// latest is when the reservation starts at the latest: when those before it
	// of the same shapes have started, and it fits beside them.
	var latest func(k int) time.Time
	latest = func(k int) time.Time {
		list, moments := ends(), []time.Time{s.Now}
		from := s.Now
		for i, r := range reserved[:k] {
			if !share(r.Demand.Shapes(), reserved[k].Demand.Shapes()) {
				continue
			}
			at := latest(i)
			if at.IsZero() {
				return at
			}
			if at.After(from) {
				from = at
			}
			moments = append(moments, at)
			list = append(list, capacity.End{At: at.Add(r.Limit + p.StartTimeout), Ask: r.Demand})
		}
		for _, e := range list {
			moments = append(moments, e.At)
		}
		slices.SortFunc(moments, time.Time.Compare)
		for _, at := range moments {
			if !at.Before(from) && capacity.Check(s.Pools, useAt(at, list), reserved[k].Demand).Verdict == capacity.Fits {
				return at
			}
		}
		return time.Time{}
	}
	higher := func(own Head, shapes []capacity.Shape) bool {
		return slices.ContainsFunc(waiting, func(h Head) bool {
			return priorityOf(h.Order) < priorityOf(own.Order) && share(h.Demand.Shapes(), shapes)
		})
	}
	// free are shapes that no reservation has, and that no reservation of the
	// same or a higher priority asks for.
	free := func(h Head) (list []capacity.Shape) {
		for _, shape := range h.Demand.Shapes() {
			if !slices.ContainsFunc(reserved, func(r Reservation) bool {
				return slices.Contains(r.Shapes, shape) || slices.Contains(r.Demand.Shapes(), shape) && priorityOf(r.Order) <= priorityOf(h.Order)
			}) {
				list = append(list, shape)
			}
		}
		return list
	}

	for _, r := range s.Reserved {
		if higher(r.Head, r.Shapes) {
			continue
		}
		remove(r.ID)
		var shapes []capacity.Shape
		for _, shape := range free(r.Head) {
			if slices.Contains(r.Shapes, shape) || !higher(r.Head, []capacity.Shape{shape}) {
				shapes = append(shapes, shape)
			}
		}
		if len(shapes) == len(r.Demand.Shapes()) && fits(r.Head) {
			start(r.Head, time.Time{})
			continue
		}
		r.Shapes = shapes
		reserved = append(reserved, r)
	}

	for i := 0; i < len(waiting); {
		h := waiting[i]
		switch f := free(h); {
		case len(f) == 0:
			i++
			continue
		case len(f) == len(h.Demand.Shapes()) && fits(h):
			start(h, time.Time{})
		default:
			h.Tenant = "t" // a reservation names the tenant of its class
			reserved = append(reserved, Reservation{Head: h, Shapes: f, Budget: h.Demand.Replicas()})
			slices.SortStableFunc(reserved, func(a, b Reservation) int { return priorityOf(a.Order) - priorityOf(b.Order) })
			remove(h.ID)
		}
		i = 0
	}
	for i := range reserved {
		r := reserved[i]
		if at := latest(i); !at.IsZero() && (r.At.IsZero() || at.Before(r.At) && !higher(r.Head, r.Demand.Shapes())) {
			reserved[i].At = at
		}
	}
	if p.NoBackfill {
		return starts, reserved
	}

	late := s.Now.Add(-p.Patience)
	then := map[message.Key]capacity.Use{} // what is in use at each reservation's moment
	for i := range reserved {
		r := &reserved[i]
		shut := r.Key.Before(late)
		for _, c := range s.Queue { // of each class, the first that waits
			for _, h := range waiting {
				if slices.ContainsFunc(c.Heads, func(o Head) bool { return o.ID == h.ID }) {
					shut = shut || h.Key.Before(late) && share(h.Demand.Shapes(), r.Shapes)
					break
				}
			}
		}
		if shut && !r.Shut {
			r.Budget = r.Demand.Replicas()
		}
		r.Shut = shut
		then[r.ID] = useAt(r.At, ends())
		for k, o := range reserved[:i] {
			if at := latest(k); share(o.Demand.Shapes(), r.Demand.Shapes()) && (at.IsZero() || at.Add(o.Limit+p.StartTimeout).After(r.At)) {
				then[r.ID].Add(o.Demand)
			}
		}
	}
	candidates := slices.Clone(waiting)
	for _, r := range reserved {
		if len(r.Shapes) < len(r.Demand.Shapes()) {
			candidates = append(candidates, r.Head)
		}
	}
	slices.SortFunc(candidates, func(a, b Head) int { return strings.Compare(a.Order, b.Order) })
	for _, h := range candidates {
		if !fits(h) {
			continue
		}
		var by time.Time
		ok := true
		var beside []int
		for i := range reserved {
			r := &reserved[i]
			if r.ID == h.ID {
				break
			}
			if !share(r.Demand.Shapes(), h.Demand.Shapes()) {
				continue
			}
			if last := r.At.Add(-h.Limit).Add(-p.Margin); !last.Before(s.Now.Add(map[bool]time.Duration{false: p.StartIn, true: max(p.StartIn, p.StartTimeout)}[h.Slow])) {
				if by.IsZero() || last.Before(by) {
					by = last
				}
				continue
			}
			ok = ok && !(r.Shut && h.Demand.Replicas() > r.Budget)
			with := capacity.Use{}
			for shape, n := range then[r.ID] {
				with[shape] = n
			}
			with.Add(h.Demand)
			for _, f := range capacity.Check(s.Pools, with, r.Demand).Findings {
				ok = ok && (f.Verdict == capacity.Fits || !slices.Contains(h.Demand.Shapes(), f.Shape))
			}
			beside = append(beside, i)
		}
		if !ok {
			continue
		}
		for _, i := range beside {
			if reserved[i].Shut {
				reserved[i].Budget -= h.Demand.Replicas()
			}
			then[reserved[i].ID].Add(h.Demand)
		}
		start(h, by)
	}
	reserved = slices.DeleteFunc(reserved, func(r Reservation) bool {
		return slices.ContainsFunc(starts, func(st Start) bool { return st.ID == r.ID })
	})
	return starts, reserved
}

var planNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A planWorld draws snapshots and moves them forward.
type planWorld struct {
	s       PlanSnapshot
	p       PlanPolicy
	waiting []Head
	ids     int
	top     int // the highest priority, as in orders
	// promised are the promised starts of requests of the highest priority.
	promised map[message.Key]time.Time
}

func drawWorld(t *rapid.T) *planWorld {
	w := &planWorld{s: PlanSnapshot{Now: planNow, Use: capacity.Use{}, Queue: Queue{}}, promised: map[message.Key]time.Time{}}
	w.top = 1000 - rapid.IntRange(0, 1).Draw(t, "priorities")
	w.p = PlanPolicy{Horizon: time.Hour, Margin: time.Duration(rapid.IntRange(0, 2).Draw(t, "margin")) * time.Minute,
		StartIn: time.Duration(rapid.IntRange(0, 2).Draw(t, "startIn")) * time.Minute, StartTimeout: time.Duration(rapid.IntRange(0, 3).Draw(t, "startTimeout")) * time.Minute, Patience: 4 * time.Hour,
		NoBackfill: rapid.IntRange(0, 7).Draw(t, "noBackfill") == 0}
	for i := range rapid.IntRange(1, 3).Draw(t, "pools") {
		shape := capacity.Spec{MachineType: fmt.Sprintf("m%d", rapid.IntRange(0, 2).Draw(t, "shape"))}.Normal()
		w.s.Pools = append(w.s.Pools, capacity.Pool{ID: fmt.Sprint(i), Shape: shape, Count: capacity.Replicas(rapid.IntRange(1, 6).Draw(t, "count"))})
	}
	return w
}

// modelEnd is the latest end of a start: it has its own time to be running, or the
// ordinary one if that is shorter.
func modelEnd(s PlanSnapshot, p PlanPolicy, st Start) time.Time {
	running := s.Now.Add(p.StartTimeout)
	if !st.By.IsZero() && running.After(st.By) {
		running = st.By
	}
	return running.Add(st.Limit)
}

// arrive adds a waiting request that fits the empty pools.
func (w *planWorld) arrive(t *rapid.T, priority int) bool {
	var ask capacity.Ask
	for i := range rapid.IntRange(1, 2).Draw(t, "needs") {
		pool := rapid.SampledFrom(w.s.Pools).Draw(t, "of")
		ask = append(ask, capacity.Need{WorkerPool: i, Shape: pool.Shape, Replicas: capacity.Replicas(rapid.IntRange(1, int(pool.Count)).Draw(t, "replicas"))})
	}
	if capacity.Check(w.s.Pools, nil, ask).Verdict != capacity.Fits {
		return false
	}
	limit := time.Duration(rapid.SampledFrom([]int{20, 60, 200, 700, 1500}).Draw(t, "limit")) * time.Minute
	key := Key(w.s.Now, time.Duration(rapid.IntRange(0, 90).Draw(t, "expected"))*time.Minute, ask.Replicas() > 1)
	w.ids++
	id := message.Key(fmt.Sprintf("%04d", w.ids))
	h := Head{ID: id, Key: key, Order: fmt.Sprintf("%04d-%s-%s", 1000-priority, key.Format("20060102T150405.000000000"), id), Demand: ask, Limit: limit, Slow: rapid.IntRange(0, 3).Draw(t, "slow") == 3}
	w.waiting = append(w.waiting, h)
	w.queue()
	return true
}

// queue makes the classes of all waiting requests, with all heads.
func (w *planWorld) queue() {
	slices.SortFunc(w.waiting, func(a, b Head) int { return strings.Compare(a.Order, b.Order) })
	w.s.Queue = Queue{}
	for _, h := range w.waiting {
		id := ClassOf("t", h.Demand, h.Limit)
		c := w.s.Queue[id]
		c.Count++
		c.Heads = append(c.Heads, h)
		w.s.Queue[id] = c
	}
}

// apply executes the plan.
func (w *planWorld) apply(plan Plan) {
	for _, st := range plan.Starts {
		w.s.Use.Add(st.Demand)
		w.s.Held = append(w.s.Held, Held{ID: st.ID, Demand: st.Demand, End: modelEnd(w.s, w.p, st)})
		w.waiting = slices.DeleteFunc(w.waiting, func(h Head) bool { return h.ID == st.ID })
	}
	w.s.Reserved = plan.Reserved
	w.queue()
}

// end ends a running job.
func (w *planWorld) end(i int) {
	for _, n := range w.s.Held[i].Demand {
		w.s.Use[n.Shape] -= n.Replicas
	}
	w.s.Held = slices.Delete(slices.Clone(w.s.Held), i, i+1)
}

// pass plans until nothing more starts, and checks every plan against the model
// and the promises.
func (w *planWorld) pass(t *rapid.T) {
	for {
		plan := MakePlan(w.s, w.p)
		starts, reserved := modelPlan(w.s, w.p)
		same := cmp.Options{cmpopts.EquateEmpty(), cmpopts.IgnoreFields(Reservation{}, "Since", "Announced", "Machines", "Delays"), cmp.Comparer(func(a, b capacity.Shape) bool { return a == b })}
		if diff := cmp.Diff(starts, plan.Starts, same); diff != "" {
			t.Fatalf("starts (-model +plan)\n%s", diff)
		}
		if diff := cmp.Diff(reserved, plan.Reserved, same); diff != "" {
			t.Fatalf("reserved (-model +plan)\n%s", diff)
		}
		w.promises(t, plan)
		w.apply(plan)
		if len(plan.Starts) == 0 {
			return
		}
	}
}

// promises checks what every plan promises.
func (w *planWorld) promises(t *rapid.T, plan Plan) {
	use := capacity.Use{}
	for shape, n := range w.s.Use {
		use[shape] = n
	}
	for _, st := range plan.Starts {
		if capacity.Check(w.s.Pools, use, st.Demand).Verdict != capacity.Fits {
			t.Fatalf("%s starts without room", st.ID)
		}
		use.Add(st.Demand)
	}
	for _, r := range plan.Reserved {
		for _, o := range plan.Reserved {
			if o.ID != r.ID && share(o.Shapes, r.Shapes) {
				t.Fatalf("%s and %s are both reserved one shape", o.ID, r.ID)
			}
		}
	}
	for _, h := range w.waiting {
		// A pass plans again after every start, so only the last of its plans
		// must leave nothing undone.
		if len(plan.Starts) == 0 && !slices.ContainsFunc(plan.Reserved, func(r Reservation) bool { return share(r.Shapes, h.Demand.Shapes()) }) {
			t.Fatalf("%s waits although none of its shapes is reserved", h.ID)
		}
	}
	for _, r := range plan.Reserved {
		late, is := plan.Late[r.ID]
		if !is {
			continue
		}
		// Every job ends within its limit here, and the pools stay.
		if priorityOf(r.Order) == w.top || !slices.Equal(r.Delays, []Delay{HigherPriority}) || !late.IsZero() && !late.After(r.At) {
			t.Fatalf("%s, reserved by %s, is late: %s for %v", r.ID, r.At, late, r.Delays)
		}
	}
	for _, old := range w.s.Reserved {
		outranked := slices.ContainsFunc(w.waiting, func(h Head) bool { return priorityOf(h.Order) < priorityOf(old.Order) })
		for _, r := range plan.Reserved {
			if r.ID == old.ID && r.At.After(old.At) && !outranked {
				t.Fatalf("the moment of %s becomes later: %s, then %s", r.ID, old.At, r.At)
			}
		}
	}
}

// leave removes a waiting request, with its reservation.
func (w *planWorld) leave(i int) {
	gone := w.waiting[i].ID
	w.waiting = slices.Delete(slices.Clone(w.waiting), i, i+1)
	w.s.Reserved = slices.DeleteFunc(slices.Clone(w.s.Reserved), func(r Reservation) bool { return r.ID == gone })
	w.queue()
}

// next is when the next job reaches its limit; zero if no job runs.
func (w *planWorld) next() (next time.Time) {
	for _, h := range w.s.Held {
		if next.IsZero() || h.End.Before(next) {
			next = h.End
		}
	}
	return next
}

// observe plans after the jobs that have reached their limits have ended, and
// those that end early.
func (w *planWorld) observe(t *rapid.T, early func() bool) {
	for i := len(w.s.Held) - 1; i >= 0; i-- {
		if !w.s.Held[i].End.After(w.s.Now) || early() {
			w.end(i)
		}
	}
	w.pass(t)
	w.punctual(t)
}

// punctual checks the promised starts of requests that none outranks.
func (w *planWorld) punctual(t *rapid.T) {
	for _, r := range w.s.Reserved {
		if priorityOf(r.Order) != w.top {
			continue
		}
		if at, ok := w.promised[r.ID]; ok && r.At.After(at) {
			t.Fatalf("%s was promised %s, and is now promised %s", r.ID, at, r.At)
		}
		if w.promised[r.ID] = r.At; !r.At.After(w.s.Now) {
			t.Fatalf("%s waits at %s and was promised %s", r.ID, w.s.Now, r.At)
		}
	}
}

// TestPlanAgainstModel moves worlds forward at random: requests arrive and
// leave, jobs end before their limits or at them, and every plan equals the
// model's. A plan follows every end, so promised starts are exact.
func TestPlanAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		never := func() bool { return false }
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0, 1, 2, 3:
				if !w.arrive(t, rapid.IntRange(0, 1000-w.top).Draw(t, "priority")) {
					continue
				}
			case 4, 5:
				then := w.s.Now.Add(time.Duration(rapid.IntRange(1, 60).Draw(t, "minutes")) * time.Minute)
				for next := w.next(); !next.IsZero() && !next.After(then); next = w.next() {
					w.s.Now = next
					w.observe(t, never)
				}
				w.s.Now = then
			case 6:
				if len(w.waiting) > 0 {
					w.leave(rapid.IntRange(0, len(w.waiting)-1).Draw(t, "leaves"))
				}
			}
			w.observe(t, func() bool { return rapid.IntRange(0, 5).Draw(t, "early") == 0 })
		}
		// When no more requests arrive, all start.
		for range 10 * (len(w.waiting) + len(w.s.Held) + 1) {
			if len(w.waiting) == 0 {
				return
			}
			if next := w.next(); next.After(w.s.Now) {
				w.s.Now = next
			}
			w.observe(t, never)
		}
		t.Fatalf("%d requests never start", len(w.waiting))
	})
}
