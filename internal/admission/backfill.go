package admission

import (
	"slices"
	"time"

	"example.com/berth/internal/capacity"
)

// A gate is the room that a reservation leaves to later requests.
type gate struct {
	*Reservation
	shapes []capacity.Shape
	room   capacity.Room // at the reservation's start, with the requests that have passed it
	// lent is room without the machines that waiting requests are to get within the shares
	// of their tenants: a request that borrows leaves them free as well.
	lent capacity.Room
}

// backfill starts later requests that delay no reservation: those that end
// before its start, and those that fit beside it.
func (pl *planner) backfill() {
	if len(pl.plan.Reserved) == 0 {
		return
	}
	candidates := pl.candidates()
	pl.shut()
	if len(candidates) == 0 {
		return
	}
	gates := make([]gate, len(pl.plan.Reserved))
	owed := pl.owedHeads()
	for i := range gates {
		gates[i] = pl.gate(i)
		if pl.shared {
			gates[i].lent = gates[i].room.With(owed)
		}
	}
	var started []Head
	for _, h := range candidates {
		if !pl.room.Fits(h.Demand) {
			continue
		}
		latest, may := pl.mayStart(h)
		if !may {
			continue
		}
		if by, ok := pl.pass(gates, *h); ok {
			if by.IsZero() || !latest.IsZero() && latest.Before(by) {
				by = latest
			}
			pl.start(*h, by)
			started = append(started, *h)
		}
	}
	pl.plan.Reserved = slices.DeleteFunc(pl.plan.Reserved, func(r Reservation) bool {
		return slices.ContainsFunc(started, func(h Head) bool { return h.ID == r.ID })
	})
}

// owedHeads is what the waiting requests ask for that are within the share of their tenants.
func (pl *planner) owedHeads() (all capacity.Ask) {
	if !pl.shared {
		return nil
	}
	for i := range pl.classes {
		c := &pl.classes[i]
		for k := range c.heads {
			if h := &c.heads[k]; !c.gone[k] && pl.owed(h) && !pl.barred(h) {
				all = append(all, h.Demand...)
			}
		}
	}
	return all
}

// candidates returns the first request of every class that fits now, and
// reservations that still lack a shape, in order. If only reservations of a
// class are known, an unknown request of the class may come before others of
// the same shapes, so these wait until it is known.
func (pl *planner) candidates() []*Head {
	for i := range pl.classes {
		if c := &pl.classes[i]; c.head() == nil && c.more && pl.mayFit(c) && !pl.barredBehind(c) && !slices.Contains(pl.plan.Want, c.id) {
			pl.want(c)
		}
	}
	var list []*Head
	for i := range pl.classes {
		c := &pl.classes[i]
		if share(c.shapes, pl.stopped) || slices.ContainsFunc(c.shapes, func(s capacity.Shape) bool { return pl.room.Free(s) < 1 }) {
			continue
		}
		for k := c.next; k < len(c.heads); k++ {
			if !c.gone[k] && pl.room.Fits(c.heads[k].Demand) {
				list = append(list, &c.heads[k])
			}
		}
	}
	for i := range pl.plan.Reserved {
		if r := &pl.plan.Reserved[i]; !r.complete() && pl.room.Fits(r.Demand) {
			list = append(list, &r.Head)
		}
	}
	slices.SortFunc(list, pl.compare)
	return list
}

// mayFit reports whether an unknown request of a class may fit now. Without it, each
// pass over full pools would read requests that cannot start.
func (pl *planner) mayFit(c *planClass) bool {
	least := c.id.Smallest()
	if len(c.shapes) > 1 {
		least = 1
	}
	return !slices.ContainsFunc(c.shapes, func(s capacity.Shape) bool { return pl.room.Free(s) < least })
}

// shut shuts the gate of every reservation that shares a shape with a request
// that has waited too long, and opens the others. From then on a gate lets at
// most as many replicas pass as the reservation has.
func (pl *planner) shut() {
	late := pl.s.Now.Add(-pl.p.Patience)
	for i := range pl.plan.Reserved {
		r := &pl.plan.Reserved[i]
		shut := r.Key.Before(late) || slices.ContainsFunc(pl.classes, func(c planClass) bool {
			h := c.head()
			return h != nil && h.Key.Before(late) && share(c.shapes, r.Shapes) && !pl.barred(h)
		})
		if shut && !r.Shut {
			r.Budget = r.Demand.Replicas()
		}
		r.Shut = shut
	}
}

// gate counts the earlier reservations that may still run at the start of its
// own as if they ran then. Later ones wait, or pass the gate.
func (pl *planner) gate(k int) gate {
	r := &pl.plan.Reserved[k]
	g := gate{Reservation: r, shapes: shapesOf(r.Demand), room: pl.time().At(r.At)}
	for i := range k {
		o := &pl.plan.Reserved[i]
		if share(shapesOf(o.Demand), g.shapes) && (pl.latest[i].IsZero() || pl.latest[i].Add(pl.p.StartTimeout+o.Limit).After(r.At)) {
			g.room.Take(o.Demand)
		}
	}
	return g
}

// pass lets a request pass the gates of all reservations that share a shape
// with it, or of none. A reservation passes earlier ones only, because the
// start times of the others count on it. by is when the job must be running at
// the latest.
func (pl *planner) pass(gates []gate, h Head) (by time.Time, ok bool) {
	shapes, startIn := shapesOf(h.Demand), pl.p.startIn(h)
	var beside []*gate
	for i := range gates {
		g := &gates[i]
		if g.ID == h.ID {
			break
		}
		if !share(shapes, g.shapes) {
			continue
		}
		if last := g.At.Add(-h.Limit - pl.p.Margin); !last.Before(pl.s.Now.Add(startIn)) {
			if by.IsZero() || last.Before(by) {
				by = last
			}
			continue
		}
		if g.Shut && h.Demand.Replicas() > g.Budget {
			return by, false
		}
		room := &g.room
		if pl.borrows(&h) {
			room = &g.lent
		}
		if !room.FitsBeside(g.Demand, h.Demand) || !pl.quotaBeside(g, &h) {
			return by, false
		}
		beside = append(beside, g)
	}
	for _, g := range beside {
		if g.Shut {
			g.Budget -= h.Demand.Replicas()
		}
		g.room.Take(h.Demand)
		if pl.shared {
			g.lent.Take(h.Demand)
		}
	}
	return by, true
}
