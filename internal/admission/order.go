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
		return
	case !fits && reservedByOthers(s.Reserved, a):
		d.Reason = short(s, fit)
		return
	}
	ps := s.plan()
	if a.Class == "" {
		ps.Queue = maps.Clone(ps.Queue)
		if ps.Queue == nil {
			ps.Queue = Queue{}
		}
		class := ps.Queue.ClassFor(a.Tenant, a.Demand, a.Limit)
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
	if d.Reason = short(s, fit); fits {
		d.Reason = behind(s, a, p.Plan, plan)
	}
	if d.Late {
		d.Reason.Detail += " " + plan.Reserved[i].late()
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
				Detail: fmt.Sprintf("%d more replicas of %s are in use than its pools have.", n, f.Shape)}
		}
	}
	for _, f := range fit.Findings {
		if f.Verdict == capacity.Full {
			return &reason.Problem{Code: reason.Full, Detail: fmt.Sprintf("%d replicas of %s are asked for; of %d, %d are in use, and %d of those have to end first.",
				f.Asked, f.Shape, f.Limit, f.Taken, f.Short)}
		}
	}
	return &reason.Problem{Code: reason.SpecMismatch, Detail: "The present pools do not have these machines."}
}

// behind is the reason of a request that fits, and would delay a reservation.
func behind(s Snapshot, a Ask, p PlanPolicy, plan Plan) *reason.Problem {
	why := &reason.Problem{Code: reason.Behind, Detail: "It fits now; waiting requests that need the same machines come first."}
	shapes := shapesOf(a.Demand)
	var first *Reservation
	for i := range plan.Reserved {
		r := &plan.Reserved[i]
		if r.ID == a.ID || r.At.IsZero() || !share(shapes, shapesOf(r.Demand)) {
			continue
		}
		if first == nil || r.At.Before(first.At) {
			first = r
		}
	}
	if first == nil {
		return why
	}
	why.Detail = fmt.Sprintf("It fits now, but with its time limit of %s it would delay a waiting request that has %d of these machines reserved from %s on.",
		a.Limit, first.Demand.Replicas(), first.At.UTC().Format(time.RFC3339))
	if most := first.At.Sub(s.Now) - p.Margin - p.startIn(a.Head); !p.NoBackfill && most >= time.Minute {
		why.Fix = fmt.Sprintf("With a %s of at most %s it could start now.", a.Paths.At("jobSpec.scheduling.timeout"), most.Truncate(time.Minute))
	}
	return why
}
