package admission

import (
	"maps"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// A planner is a plan in the making.
type planner struct {
	s       PlanSnapshot
	p       PlanPolicy
	plan    Plan
	room    capacity.Room
	classes []planClass
	// stopped are shapes of which the next request in order is not known.
	stopped []capacity.Shape

	timeline *capacity.Timeline // of what runs and what has started in this plan
	built    int                // starts that are in it
}

// A planClass is a class and how far the plan has come in it.
type planClass struct {
	id     ClassID
	heads  []Head
	more   bool // there are others behind the heads
	shapes []capacity.Shape
	gone   []bool // per head: it has started or is reserved
	next   int    // the first head that is not gone
}

func newPlanner(s PlanSnapshot, p PlanPolicy) *planner {
	pl := &planner{s: s, p: p, room: capacity.NewRoom(s.Pools, s.Use), classes: make([]planClass, 0, len(s.Queue))}
	heads := 0
	for _, c := range s.Queue {
		heads += len(c.Heads)
	}
	gone := make([]bool, heads)
	for id, c := range s.Queue {
		if len(c.Heads) == 0 { // nothing is known of it, so neither is what comes before what
			pl.plan.Want = append(pl.plan.Want, id)
			continue
		}
		n := len(c.Heads)
		pl.classes = append(pl.classes, planClass{id: id, heads: c.Heads, more: c.Count > n, shapes: shapesOf(c.Heads[0].Demand), gone: gone[:n:n]})
		gone = gone[n:]
	}
	slices.SortFunc(pl.classes, func(a, b planClass) int { return strings.Compare(a.heads[0].Order, b.heads[0].Order) })
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

func (c *planClass) set(k int, gone bool) {
	c.gone[k] = gone
	for c.next = 0; c.next < len(c.heads) && c.gone[c.next]; c.next++ {
	}
}

// set marks a head, wherever it is, as dealt with or not.
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
	pl.plan.Starts = append(pl.plan.Starts, Start{h, by})
}

// holder returns the index of the reservation that has a shape, -1 for none.
func (pl *planner) holder(s capacity.Shape) int {
	return slices.IndexFunc(pl.plan.Reserved, func(r Reservation) bool { return slices.Contains(r.Shapes, s) })
}

// unreserved returns those of the shapes that nobody has.
func (pl *planner) unreserved(shapes []capacity.Shape) []capacity.Shape {
	if len(shapes) == 1 {
		if pl.holder(shapes[0]) >= 0 {
			return nil
		}
		return shapes
	}
	return slices.DeleteFunc(slices.Clone(shapes), func(s capacity.Shape) bool { return pl.holder(s) >= 0 })
}

// keepReservations goes on with the reservations: each starts as soon as it fits,
// and gives way to nobody but a request of higher priority.
func (pl *planner) keepReservations() {
	for _, r := range pl.s.Reserved {
		switch {
		case pl.outranked(r):
			// It is a waiting request like any other again.
		case r.complete() && pl.room.Fits(r.Demand):
			pl.set(r.ID, true)
			pl.start(r.Head, time.Time{})
		default:
			pl.set(r.ID, true)
			r.Shapes = slices.Clone(r.Shapes)
			pl.plan.Reserved = append(pl.plan.Reserved, r)
		}
	}
	// What has come free goes to those that wait for it with a part in hand, oldest
	// first. Two of them can then never wait for each other.
	for i := 0; i < len(pl.plan.Reserved); i++ {
		r := &pl.plan.Reserved[i]
		if !r.complete() {
			r.Shapes = append(r.Shapes, pl.unreserved(shapesOf(r.Demand))...)
			slices.SortFunc(r.Shapes, capacity.Shape.Compare)
			if r.complete() && pl.room.Fits(r.Demand) {
				pl.start(r.Head, time.Time{})
				pl.plan.Reserved = slices.Delete(pl.plan.Reserved, i, i+1)
				i = -1 // its shapes are free for the others
			}
		}
	}
	for i := range pl.plan.Reserved {
		r := &pl.plan.Reserved[i]
		if at, ok := pl.earliest(r.Head); ok && (r.At.IsZero() || at.Before(r.At)) {
			r.At = at
		}
	}
}

// outranked reports whether a request of higher priority waits for one of the
// shapes.
func (pl *planner) outranked(r Reservation) bool {
	own := priorityOf(r.Order)
	return slices.ContainsFunc(pl.classes, func(c planClass) bool {
		h := c.head()
		return h != nil && priorityOf(h.Order) < own && share(r.Shapes, c.shapes)
	})
}

// earliest is when a request fits at the latest. Reservations of others that it
// shares a shape with are counted as if they ran already, until the end of what
// they will run.
func (pl *planner) earliest(h Head) (time.Time, bool) {
	var others []capacity.End
	for i := range pl.plan.Reserved {
		r := &pl.plan.Reserved[i]
		if r.ID != h.ID && share(r.Shapes, shapesOf(h.Demand)) {
			others = append(others, capacity.End{At: r.At.Add(r.Limit), Ask: r.Demand})
		}
	}
	if others == nil {
		return pl.time().Earliest(pl.s.Now, h.Demand)
	}
	t := capacity.NewTimeline(pl.s.Pools, nil, append(pl.ends(), others...))
	return t.Earliest(pl.s.Now, h.Demand)
}

func (pl *planner) time() *capacity.Timeline {
	if pl.timeline == nil || pl.built != len(pl.plan.Starts) {
		t := capacity.NewTimeline(pl.s.Pools, nil, pl.ends())
		pl.timeline, pl.built = &t, len(pl.plan.Starts)
	}
	return pl.timeline
}

// ends says when what is in use comes free: what runs, what nobody accounts for,
// and what has started in this plan.
func (pl *planner) ends() []capacity.End {
	ends := make([]capacity.End, 0, len(pl.s.Held)+len(pl.plan.Starts)+len(pl.s.Pools)+len(pl.plan.Reserved))
	rest, horizon := maps.Clone(pl.s.Use), pl.s.Now.Add(pl.p.Horizon)
	for i := range pl.s.Held {
		h := &pl.s.Held[i]
		end := h.End
		if !end.After(pl.s.Now) {
			end = horizon
		}
		ends = append(ends, capacity.End{At: end, Ask: h.Demand})
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
		ends = append(ends, capacity.End{At: pl.s.Now.Add(st.Limit), Ask: st.Demand})
	}
	return ends
}

// serveHeads goes through the requests that have a shape which nobody has
// reserved, in order. One that fits, with nothing of it reserved, starts; any
// other reserves what there is.
func (pl *planner) serveHeads() {
	for {
		var c *planClass
		for i := range pl.classes {
			o := &pl.classes[i]
			if o.head() != nil && (c == nil || o.head().Order < c.head().Order) &&
				!share(o.shapes, pl.stopped) && len(pl.unreserved(o.shapes)) > 0 {
				c = o
			}
		}
		if c == nil {
			return
		}
		h := *c.head()
		c.set(c.next, true)
		if free := pl.unreserved(c.shapes); len(free) == len(c.shapes) && pl.room.Fits(h.Demand) {
			pl.start(h, time.Time{})
		} else {
			at, _ := pl.earliest(h)
			pl.plan.Reserved = append(pl.plan.Reserved, Reservation{Head: h, Shapes: slices.Clone(free), At: at, Budget: h.Demand.Replicas()})
		}
		if c.head() == nil && c.more {
			// Whoever comes next here may come before all others of these shapes.
			pl.plan.Want = append(pl.plan.Want, c.id)
			pl.stopped = append(pl.stopped, c.shapes...)
		}
	}
}
