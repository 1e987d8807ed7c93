package admission

import (
	"slices"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// A Held is a job that has replicas: one of Berth's, or a foreign one.
type Held struct {
	ID     message.Key // "" for a foreign job
	Tenant string
	Demand capacity.Ask
	// End is the latest known end of the job: its start plus its time limit. A
	// job that has passed its end is assumed to end one horizon from now.
	End time.Time
}

// A Reservation is the first waiting request of some shapes, with its latest
// start. A shape has at most one.
//
// A request for several shapes may find some of them reserved for others. It
// then reserves the rest, and gets each of the others after the earlier
// reservations (see [Plan]). Otherwise it would never find all of them free at
// once, and would starve.
type Reservation struct {
	Head
	// Shapes are those reserved for it, sorted. The reservation is complete when
	// they are all shapes that it asks for.
	Shapes []capacity.Shape `json:"shapes,omitempty"`
	// At is its latest start. It never becomes later while the resource keeps
	// its machines, the jobs on it keep their limits, no request of higher
	// priority waits, no tenant takes back its share, and a plan follows every end of a
	// job. It is zero while
	// the request does not fit even the empty machines, or comes after one that
	// does not.
	At time.Time `json:"at,omitzero"`
	// Budget is how many replicas may still pass it beyond At while it is Shut.
	Budget capacity.Replicas `json:"budget,omitempty"`
	// Shut says that a request for one of its shapes has waited too long.
	Shut bool `json:"shut,omitempty"`
	// Owed says that its machines are within the share of its tenant. One that is not
	// yields to requests that are, until it has waited too long.
	Owed bool `json:"owed,omitempty"`
	// Since is when the reservation was made. Announced is the latest start that the last
	// event to the request's publisher names; zero if none names one.
	Since     time.Time `json:"since,omitzero"`
	Announced time.Time `json:"announced,omitzero"`
	// Machines is how many machines its shapes had when At was set.
	Machines capacity.Replicas `json:"machines,omitempty"`
	// Delays are why it starts after At, since that is known.
	Delays []Delay `json:"delays,omitempty"`
}

func (r *Reservation) complete() bool { return len(r.Shapes) == len(shapesOf(r.Demand)) }

// A Start is a request that starts now.
type Start struct {
	Head
	// By is when its job must be running at the latest, because it would
	// otherwise delay a reservation that it passed; zero if it passed none.
	By time.Time
}

// End is when the job of a start ends at the latest, if it starts now.
func (st *Start) End(now time.Time, p PlanPolicy) time.Time {
	by := now.Add(p.StartTimeout)
	if !st.By.IsZero() && st.By.Before(by) {
		by = st.By
	}
	return by.Add(st.Limit)
}

// A PlanPolicy holds the settings of a deployment for the order.
type PlanPolicy struct {
	Horizon time.Duration // a job past its end is assumed to end this long from now
	Margin  time.Duration // between the end of a job that passes a reservation, and the reservation
	StartIn time.Duration // the least time that a job which passes a reservation has to be running
	// StartTimeout is how long after its start a job has to be running at the
	// latest, if it passes no reservation.
	StartTimeout time.Duration
	Patience     time.Duration // from a request's key until the gates of its shapes shut
	NoBackfill   bool          // no request passes a reservation
	Quotas       *Quotas       // of the tenants on this resource; nil for no policy
	// Paused are the tenants that operators have paused. Their requests take no part in a
	// plan: none starts, none has a reservation, and no other waits for one.
	Paused map[string]Pause
}

// startIn is the least time that the job of a request which passes a reservation has
// to be running.
func (p *PlanPolicy) startIn(h Head) time.Duration {
	if h.Slow {
		return max(p.StartIn, p.StartTimeout)
	}
	return p.StartIn
}

// A PlanSnapshot holds the values of one resource document.
type PlanSnapshot struct {
	Now      time.Time
	Pools    []capacity.Pool
	Use      capacity.Use // everything that is taken
	Paused   capacity.Use // see [PausedUse]: nothing that comes free there is given to a request
	Held     []Held       // the part of it with a known end; the rest is assumed to end one horizon from now
	Queue    Queue
	Reserved []Reservation // in the order of the plan that made them
}

// A Plan is what starts now and what is reserved.
type Plan struct {
	Starts []Start
	// Reserved are sorted by priority, then by age, so a new one comes last. A shape
	// that several of them ask for goes to the first of them. The next snapshot must
	// give them in this order: the start times count on it, and a later arrival
	// that got a shape first would delay them.
	Reserved []Reservation
	// Late is when the reservations that start after their At start at the latest; zero
	// if that is not known. Their Delays say why.
	Late map[message.Key]time.Time
	// Over are the first requests, one of a tenant, that the quotas of their tenants keep
	// waiting.
	Over []Over
	// Want are classes of which the plan must know more heads to continue.
	Want []ClassID
}

// MakePlan decides which waiting requests start now and which are reserved. It
// does not change its arguments.
//
// The order of its steps keeps every promise. Reservations are first, because
// later requests must not take their start. Then follow the requests whose
// shapes are not reserved, in order: they wait for no other request. Then those
// that delay no reservation.
func MakePlan(s PlanSnapshot, p PlanPolicy) Plan {
	pl := newPlanner(s, p)
	pl.openAccounts()
	pl.keepReservations()
	pl.serveHeads()
	pl.promise()
	if !p.NoBackfill {
		pl.backfill()
	}
	pl.listOver()
	return pl.plan
}

func shapesOf(a capacity.Ask) []capacity.Shape {
	if len(a) == 1 {
		return []capacity.Shape{a[0].Shape}
	}
	return a.Shapes()
}

func share(a, b []capacity.Shape) bool {
	return slices.ContainsFunc(a, func(s capacity.Shape) bool { return slices.Contains(b, s) })
}
