package admission

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// A planner makes one plan.
type planner struct {
	s       PlanSnapshot
	p       PlanPolicy
	plan    Plan
	room    capacity.Room
	classes []planClass
	// stopped are shapes whose next request in order is unknown.
	stopped []capacity.Shape

	// latest is when each reservation of the plan starts at the latest by this
	// snapshot; zero if that is unknown. It is later than the promised start if
	// the promise is broken.
	latest []time.Time

	timeline *capacity.Timeline // of running jobs and the starts of this plan
	built    int                // the starts that the timeline has

	accounts map[string]*account // by tenant; nil without a policy
	shared   bool                // tenants have shares, and get them back first
}

// A planClass is a class and the progress of the plan in it.
type planClass struct {
	id     ClassID
	heads  []Head
	more   bool // there are more requests behind the heads
	shapes []capacity.Shape
	gone   []bool // per head: it has started or is reserved
	next   int    // the first head that is not gone
	barred bool   // the quota of its tenant keeps its next request from starting in order
}

func newPlanner(s PlanSnapshot, p PlanPolicy) *planner {
	pl := &planner{s: s, p: p, room: capacity.NewRoom(s.Pools, withPaused(s.Pools, s.Use, s.Paused)), classes: make([]planClass, 0, len(s.Queue))}
	if len(p.Paused) > 0 {
		pl.s.Queue, pl.s.Reserved = pl.withoutPaused()
		s = pl.s
	}
	heads := 0
	for _, c := range s.Queue {
		heads += len(c.Heads)
	}
	type entry struct {
		order string
		id    ClassID
	}
	list := make([]entry, 0, len(s.Queue)) // smaller than classes, so faster to sort
	for id, c := range s.Queue {
		if len(c.Heads) == 0 { // its order relative to others is unknown
			pl.plan.Want = append(pl.plan.Want, id)
			continue
		}
		list = append(list, entry{c.Heads[0].Order, id})
	}
	slices.SortFunc(list, func(a, b entry) int { return strings.Compare(a.order, b.order) })
	gone := make([]bool, heads)
	for _, e := range list {
		c := s.Queue[e.id]
		n := len(c.Heads)
		if p.Quotas != nil {
			c.Heads = ofTenant(c.Heads, e.id.tenant())
		}
		pl.classes = append(pl.classes, planClass{id: e.id, heads: c.Heads, more: c.Count > n, shapes: shapesOf(c.Heads[0].Demand), gone: gone[:n:n]})
		gone = gone[n:]
	}
	slices.Sort(pl.plan.Want)
	return pl
}

// head returns the next request of a class; nil if no more are known.
func (c *planClass) head() *Head {
	if c.next == len(c.heads) {
		return nil
	}
	return &c.heads[c.next]
}

// before returns the next request of a class, or the last known one if more
// follow, because the next may have the same priority.
func (c *planClass) before() *Head {
	if h := c.head(); h != nil || !c.more {
		return h
	}
	return &c.heads[len(c.heads)-1]
}

func (c *planClass) set(k int, gone bool) {
	c.gone[k] = gone
	for c.next = 0; c.next < len(c.heads) && c.gone[c.next]; c.next++ {
	}
}

// set marks a head as handled or not.
func (pl *planner) set(id message.Key, gone bool) {
	for i := range pl.classes {
		if k := slices.IndexFunc(pl.classes[i].heads, func(h Head) bool { return h.ID == id }); k >= 0 {
			pl.classes[i].set(k, gone)
			return
		}
	}
}

func (pl *planner) start(h Head, by time.Time) {
	pl.room.Take(h.Demand)
	if t := pl.account(h.Tenant); t != nil {
		t.use.Add(h.Demand)
		t.running++
	}
	pl.plan.Starts = append(pl.plan.Starts, Start{h, by})
}

// unreserved returns the shapes that a request gets if it is reserved now: no
// reservation has them, and none that it does not outrank lacks them.
func (pl *planner) unreserved(h *Head, shapes []capacity.Shape) []capacity.Shape {
	taken := func(s capacity.Shape) bool {
		for i := range pl.plan.Reserved {
			r := &pl.plan.Reserved[i]
			if slices.Contains(r.Shapes, s) || !r.complete() && slices.Contains(shapesOf(r.Demand), s) && !pl.outranks(h, r) {
				return true
			}
		}
		return false
	}
	if len(shapes) == 1 {
		if taken(shapes[0]) {
			return nil
		}
		return shapes
	}
	return slices.DeleteFunc(slices.Clone(shapes), taken)
}

// keepReservations continues the reservations. Each starts as soon as it has
// all of its shapes and fits, and yields only to a request that outranks it.
// A shape that becomes free goes to the first reservation that asks for it, so
// two of them never wait for each other.
func (pl *planner) keepReservations() {
	for _, r := range pl.s.Reserved {
		if r.Tenant == "" && pl.accounts != nil {
			r.Tenant = pl.tenantOf(r.ID) // it was made while there was no policy
		}
		t := pl.account(r.Tenant)
		outranked := pl.outranked(&r, r.Shapes, (*planClass).head)
		if outranked && (!pl.shared || pl.byPriority(&r, r.Shapes)) || t != nil && !allows(t.Cap, nil, r.Demand, true) {
			continue // it is an ordinary waiting request again
		}
		r.Owed = r.Owed || pl.shared && t.owed(r.Demand)
		pl.set(r.ID, true)
		had := r.Shapes
		r.Shapes = slices.DeleteFunc(slices.Clone(pl.unreserved(&r.Head, shapesOf(r.Demand))), func(s capacity.Shape) bool {
			if slices.Contains(had, s) {
				return outranked && pl.outranked(&r, []capacity.Shape{s}, (*planClass).head)
			}
			return pl.outranked(&r, []capacity.Shape{s}, (*planClass).before)
		})
		if r.complete() && pl.room.Fits(r.Demand) && (t == nil || t.fits(r.Demand)) {
			pl.start(r.Head, time.Time{})
		} else {
			pl.plan.Reserved = append(pl.plan.Reserved, r)
			t.stand(&r)
		}
	}
	pl.foresee(0)
}

// outranked reports whether a request that outranks a reservation waits for one of
// the shapes, by a head of each class.
func (pl *planner) outranked(r *Reservation, shapes []capacity.Shape, of func(*planClass) *Head) bool {
	for i := range pl.classes {
		c := &pl.classes[i]
		if h := of(c); h != nil && h.ID != r.ID && share(shapes, c.shapes) && pl.outranks(h, r) && !pl.barred(h) {
			return true
		}
	}
	return false
}

// byPriority reports whether a request of a higher priority than a reservation waits for
// one of the shapes.
func (pl *planner) byPriority(r *Reservation, shapes []capacity.Shape) bool {
	own := priorityOf(r.Order)
	for i := range pl.classes {
		c := &pl.classes[i]
		if h := c.head(); h != nil && priorityOf(h.Order) < own && share(shapes, c.shapes) && !pl.barred(h) {
			return true
		}
	}
	return false
}

// foresee computes the latest start of each reservation from one on, after an
// earlier one is new or has changed.
func (pl *planner) foresee(from int) {
	pl.latest = pl.latest[:from]
	for i := from; i < len(pl.plan.Reserved); i++ {
		pl.latest = append(pl.latest, pl.earliest(i))
	}
}

// promise makes start times of reservations earlier where possible. It needs
// all reservations of the plan, and changes nothing while a request of higher
// priority waits: a start that ignored one would be promised too early, and
// never be made later again.
func (pl *planner) promise() {
	for i, at := range pl.latest {
		r := &pl.plan.Reserved[i]
		switch {
		case !at.IsZero() && (r.At.IsZero() || at.Before(r.At) && !pl.outranked(r, shapesOf(r.Demand), (*planClass).before)):
			r.At, r.Machines, r.Delays = at, pl.machines(r), nil
		case !r.At.IsZero() && (at.IsZero() || at.After(r.At)):
			if pl.plan.Late == nil {
				pl.plan.Late = map[message.Key]time.Time{}
			}
			pl.plan.Late[r.ID], r.Delays = at, pl.delays(i)
		default:
			r.Delays = nil
		}
	}
}

// earliest is the latest start of a reservation; zero if unknown. Earlier
// reservations for one of its shapes must start first, whether they have that
// shape or lack it too, and count as if they already ran. No other start delays
// it, because any request for one of its shapes either passes it or waits.
func (pl *planner) earliest(k int) time.Time {
	r, shapes, from := &pl.plan.Reserved[k], shapesOf(pl.plan.Reserved[k].Demand), pl.s.Now
	var others []capacity.End
	for i := range k {
		o := &pl.plan.Reserved[i]
		if !share(shapesOf(o.Demand), shapes) {
			continue
		}
		if pl.latest[i].IsZero() {
			return time.Time{}
		}
		if pl.latest[i].After(from) {
			from = pl.latest[i]
		}
		others = append(others, capacity.End{At: pl.latest[i].Add(pl.p.StartTimeout + o.Limit), Ask: o.Demand})
	}
	t := pl.time()
	if others != nil {
		with := capacity.NewTimeline(pl.s.Pools, pl.s.Paused, append(pl.ends(), others...))
		t = &with
	}
	at, _ := t.Earliest(from, r.Demand)
	return at
}

func (pl *planner) time() *capacity.Timeline {
	if pl.timeline == nil || pl.built != len(pl.plan.Starts) {
		t := capacity.NewTimeline(pl.s.Pools, pl.s.Paused, pl.ends())
		pl.timeline, pl.built = &t, len(pl.plan.Starts)
	}
	return pl.timeline
}

// ends returns when the replicas in use become free: those of running jobs,
// unexplained use, and the starts of this plan.
func (pl *planner) ends() []capacity.End {
	ends := make([]capacity.End, 0, len(pl.s.Held)+len(pl.plan.Starts)+len(pl.s.Pools)+len(pl.plan.Reserved))
	rest, horizon := maps.Clone(pl.s.Use), pl.s.Now.Add(pl.p.Horizon)
	for i := range pl.s.Held {
		h := &pl.s.Held[i]
		ends = append(ends, capacity.End{At: pl.endOf(h), Ask: h.Demand})
		for _, n := range h.Demand {
			rest[n.Shape] -= n.Replicas
		}
	}
	for shape, n := range rest {
		if n > 0 {
			ends = append(ends, capacity.End{At: horizon, Ask: capacity.Ask{{Shape: shape, Replicas: n}}})
		}
	}
	for i := range pl.plan.Starts {
		st := &pl.plan.Starts[i]
		ends = append(ends, capacity.End{At: st.End(pl.s.Now, pl.p), Ask: st.Demand})
	}
	return ends
}

// serveHeads handles the requests that have an unreserved shape, in order. One
// that fits without a reserved shape starts; any other reserves the unreserved
// shapes.
func (pl *planner) serveHeads() {
	for i := range pl.classes {
		pl.stopBehind(&pl.classes[i]) // its known heads may all be started reservations
	}
	for {
		var c *planClass
		for i := range pl.classes {
			o := &pl.classes[i]
			if o.head() != nil && !o.barred && (c == nil || pl.compare(o.head(), c.head()) < 0) &&
				!pl.allStopped(o.shapes) && len(pl.unreserved(o.head(), o.shapes)) > 0 {
				c = o
			}
		}
		if c == nil {
			return
		}
		if share(c.shapes, pl.stopped) {
			// Later requests must not get its other shapes first.
			pl.stopped = append(pl.stopped, c.shapes...)
			continue
		}
		h := *c.head()
		free := pl.unreserved(&h, c.shapes)
		starts := len(free) == len(c.shapes) && pl.room.Fits(h.Demand)
		t := pl.account(h.Tenant)
		by, may := pl.mayStart(&h)
		if !may || t != nil && !t.fitsReserved(h.Demand) || !starts && !by.IsZero() {
			c.barred = true
			continue
		}
		c.set(c.next, true)
		if starts {
			pl.start(h, by)
			if i := slices.IndexFunc(pl.plan.Reserved, func(r Reservation) bool { return share(shapesOf(r.Demand), c.shapes) }); i >= 0 {
				pl.foresee(i) // it has a lower priority, so it waits for this start too
			}
		} else {
			h.Tenant = cmp.Or(h.Tenant, c.id.tenant())
			r := Reservation{Head: h, Shapes: slices.Clone(free), Budget: h.Demand.Replicas(), Since: pl.s.Now, Owed: pl.shared && t.owed(h.Demand)}
			pl.reserve(r)
			t.stand(&r)
		}
		pl.stopBehind(c)
	}
}

// stopBehind stops at a class without known heads if one of its shapes is
// unreserved, because its next request may come before all others of its
// shapes.
func (pl *planner) stopBehind(c *planClass) {
	if c.head() == nil && c.more && len(pl.unreserved(c.before(), c.shapes)) > 0 && !pl.barredBehind(c) {
		pl.want(c)
	}
}

func (pl *planner) allStopped(shapes []capacity.Shape) bool {
	return !slices.ContainsFunc(shapes, func(s capacity.Shape) bool { return !slices.Contains(pl.stopped, s) })
}

// want asks for more heads of a class, and stops at its shapes until they are
// known.
func (pl *planner) want(c *planClass) {
	pl.plan.Want = append(pl.plan.Want, c.id)
	pl.stopped = append(pl.stopped, c.shapes...)
}

// reserve adds a reservation after all that it does not outrank.
func (pl *planner) reserve(r Reservation) {
	if k := slices.IndexFunc(pl.s.Reserved, func(o Reservation) bool { return o.ID == r.ID }); k >= 0 {
		r.Since, r.Announced = pl.s.Reserved[k].Since, pl.s.Reserved[k].Announced // it was outranked a moment ago
	}
	i := len(pl.plan.Reserved)
	for i > 0 && pl.outranks(&r.Head, &pl.plan.Reserved[i-1]) {
		i--
	}
	pl.plan.Reserved = slices.Insert(pl.plan.Reserved, i, r)
	pl.foresee(i)
}
