package admission

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
)

// planned finds out whether the order lets the request start now. It makes a plan
// only where the answer depends on one: a request that fits an empty queue starts,
// and one that does not fit waits for the reservations that have its machines.
func (d *Decision) planned(s Snapshot, a Ask, p Policy, fit capacity.Result) {
	fits := fit.Verdict == capacity.Fits
	switch {
	case fits && len(s.Reserved) == 0 && (len(s.Queue) == 0 || len(s.Queue) == 1 && s.Queue[a.Class].Count == 1):
		d.Reason = overQuota(s, a, p.Plan)
		return
	case !fits && reservedByOthers(s.Reserved, a) && !a.Within:
		d.Reason = short(s, fit)
		d.Reason.Detail += first(s.Reserved, a)
		d.overToo(s, a, p.Plan)
		return
	}
	ps := s.plan()
	if a.Class == "" {
		ps.Queue = maps.Clone(ps.Queue)
		if ps.Queue == nil {
			ps.Queue = Queue{}
		}
		class := ps.Queue.ClassFor(a.Head)
		ps.Queue[class] = ps.Queue[class].With(a.Head, len(ps.Queue[class].Heads)+1)
	}
	plan := MakePlan(ps, p.Plan)
	d.Plan = &plan
	if i := slices.IndexFunc(plan.Starts, func(st Start) bool { return st.ID == a.ID }); i >= 0 {
		d.By = plan.Starts[i].By
		return
	}
	i := slices.IndexFunc(plan.Reserved, func(r Reservation) bool { return r.ID == a.ID })
	if i >= 0 {
		d.StartsBy, d.Late = plan.StartsBy(plan.Reserved[i])
	}
	switch d.Reason = short(s, fit); {
	case plan.over(a) != nil:
		why := plan.over(a)
		if !fits && d.Reason.Code == reason.Full {
			why.Detail += " " + d.Reason.Detail
		}
		d.Reason = why
	case fits:
		d.Reason = behind(a, p.Plan, plan)
	case i < 0:
		d.Reason.Detail += first(plan.Reserved, a)
	}
	d.overToo(s, a, p.Plan)
	if d.Late {
		d.Reason.Detail += " " + plan.Reserved[i].late()
	}
}

// overToo says first that the quota of its tenant keeps a request waiting which other
// requests keep waiting too: the end of their jobs alone would not start it.
func (d *Decision) overToo(s Snapshot, a Ask, p PlanPolicy) {
	if d.Reason.Code != reason.Full && d.Reason.Code != reason.Behind {
		return
	}
	if why := overQuota(s, a, p); why != nil {
		why.Detail += " " + d.Reason.Detail
		d.Reason = why
	}
}

// reservedByOthers reports whether each shape of a request is reserved for a
// request of the same or a higher priority. If such a request does not fit, it
// changes no plan.
func reservedByOthers(reserved []Reservation, a Ask) bool {
	own := priorityOf(a.Order)
	for _, shape := range shapesOf(a.Demand) {
		if !slices.ContainsFunc(reserved, func(r Reservation) bool {
			return r.ID != a.ID && priorityOf(r.Order) <= own && slices.Contains(r.Shapes, shape)
		}) {
			return false
		}
	}
	return true
}

// Only reports whether the plan starts no other request than this one. Only then do
// its reservations hold if this request alone is moved.
func (p *Plan) Only(a Ask) bool {
	return !slices.ContainsFunc(p.Starts, func(st Start) bool { return st.ID != a.ID })
}

// short is the reason of a request that does not fit now.
func short(s Snapshot, fit capacity.Result) *reason.Problem {
	over := capacity.Overdrawn(s.Pools, s.Use)
	for _, f := range fit.Findings {
		if n := over[f.Shape]; n > 0 && f.Verdict == capacity.Full {
			return &reason.Problem{Code: reason.Overdrawn,
				Detail: fmt.Sprintf("%s of %s %s in use than its pools have.", reason.Count(n, "more replica"), f.Shape, reason.Agree(n, "is", "are"))}
		}
	}
	for _, f := range fit.Findings {
		if f.Verdict == capacity.Full {
			paused, alone := s.pausedPools(f)
			if alone {
				return &reason.Problem{Code: reason.Paused, Detail: fmt.Sprintf("%s; of %d, %d %s in use or paused: %s.",
					asked(f.Asked, f.Shape), f.Limit, f.Taken, reason.Agree(f.Taken, "is", "are"), paused)}
			}
			if paused != "" {
				paused = " The machines of paused pools count as in use: " + paused + "."
			}
			return &reason.Problem{Code: reason.Full, Detail: Short(f) + paused}
		}
	}
	return &reason.Problem{Code: reason.SpecMismatch, Detail: "The present pools do not have these machines."}
}

// Short says how many machines a job lacks that does not fit now, in one sentence. It is
// written for every request that waits, so it is made in one go.
func Short(f capacity.Finding) string {
	return fmt.Sprintf("%d %s of %s %s asked for; of %d, %d %s in use, and %d of those %s to end first.",
		f.Asked, reason.Agree(f.Asked, "replica", "replicas"), f.Shape, reason.Agree(f.Asked, "is", "are"), f.Limit, f.Taken, reason.Agree(f.Taken, "is", "are"),
		f.Short, reason.Agree(f.Short, "has", "have"))
}

func asked(n capacity.Replicas, shape capacity.Shape) string {
	return fmt.Sprintf("%s of %s %s asked for", reason.Count(n, "replica"), shape, reason.Agree(n, "is", "are"))
}

// first says which reservation a request that does not fit waits behind: the earliest of
// those that share a shape with it, if its start is known.
func first(reserved []Reservation, a Ask) string {
	var r *Reservation
	shapes := shapesOf(a.Demand)
	for i := range reserved {
		o := &reserved[i]
		if o.ID != a.ID && !o.At.IsZero() && share(shapes, shapesOf(o.Demand)) && (r == nil || o.At.Before(r.At)) {
			r = o
		}
	}
	if r == nil {
		return ""
	}
	return fmt.Sprintf(" Before it comes a waiting request that has %s reserved from %s on.", reason.Count(r.Demand.Replicas(), "machine"), r.At.UTC().Format(time.RFC3339))
}

// behind is the reason of a request that fits, and would delay a reservation.
func behind(a Ask, p PlanPolicy, plan Plan) *reason.Problem {
	why := &reason.Problem{Code: reason.Behind, Detail: "It fits now; waiting requests that need the same machines come earliest."}
	shapes := shapesOf(a.Demand)
	var earliest *Reservation
	for i := range plan.Reserved {
		r := &plan.Reserved[i]
		if r.ID == a.ID || r.At.IsZero() || !share(shapes, shapesOf(r.Demand)) {
			continue
		}
		if earliest == nil || r.At.Before(earliest.At) {
			earliest = r
		}
	}
	switch {
	case earliest == nil:
		return why
	case p.NoBackfill:
		why.Detail = fmt.Sprintf("It fits now; a waiting request that comes first has %d of these machines reserved from %s on, and this deployment lets no request pass another.",
			earliest.Demand.Replicas(), earliest.At.UTC().Format(time.RFC3339))
		return why
	}
	why.Detail = fmt.Sprintf("It fits now, but with its time limit of %s it would delay a waiting request that has %d of these machines reserved from %s on.",
		a.Limit, earliest.Demand.Replicas(), earliest.At.UTC().Format(time.RFC3339))
	return why
}
