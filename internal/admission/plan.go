package admission

import (
	"slices"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// A Held is a job that has replicas: ours, or one that somebody else started.
type Held struct {
	ID     message.Key // "" for a foreign job
	Demand capacity.Ask
	// End is when it is over at the latest, as far as is known: its start plus its
	// time limit. What has passed its end is taken to end one horizon from now.
	End time.Time
}

// A Reservation is the first waiting request of some shapes, with the moment at
// which it starts at the latest. A shape has at most one.
//
// A request for several shapes may find some of them reserved for others. It then
// reserves the rest, and gets each of the others after the reservations that come
// before it (see [Plan]): otherwise it would never find all of them free at once,
// and starve.
type Reservation struct {
	Head
	// Shapes are those that are reserved for it, sorted. It is complete when they
	// are all that it asks for.
	Shapes []capacity.Shape
	// At is when it starts at the latest. It never becomes later. It is kept while
	// the resource keeps its machines, the jobs on it keep their limits, no request
	// of higher priority waits, and every end of a job is followed by a plan. It is
	// zero while the request does not fit even the empty machines, or comes after
	// one that does not.
	At time.Time
	// Budget is how many replicas may still be let past it for longer than until At
	// while it is Shut.
	Budget capacity.Replicas
	// Shut says that somebody who waits for one of its shapes has waited too long.
	Shut bool
}

func (r *Reservation) complete() bool { return len(r.Shapes) == len(shapesOf(r.Demand)) }

// A Start is a request that starts now.
type Start struct {
	Head
	// By is when its job has to be running at the latest, because it would hold up
	// a reservation that it was let past; zero if it was let past nobody.
	By time.Time
}

// A PlanPolicy is what the deployment decides about order.
type PlanPolicy struct {
	Horizon    time.Duration // what has passed its end is taken to end so much from now
	Margin     time.Duration // between the end of what is let past a reservation, and the reservation
	StartIn    time.Duration // what is let past a reservation has at least so long to be running
	Patience   time.Duration // from a request's key until it shuts the gate of its shapes
	NoBackfill bool          // nobody is let past a reservation
}

// A PlanSnapshot is one resource document, as values.
type PlanSnapshot struct {
	Now      time.Time
	Pools    []capacity.Pool
	Use      capacity.Use // everything that is taken
	Held     []Held       // what of it ends; the rest is taken to end one horizon from now
	Queue    Queue
	Reserved []Reservation // in the order of the plan that made them
}

// A Plan is what to do now.
type Plan struct {
	Starts []Start
	// Reserved are sorted by priority, then by age: a new one comes last. A shape
	// that several of them ask for goes to the first of them. The next snapshot has
	// to give them in this order, because each moment counts on it: a later arrival
	// that got a shape first would move the moments of those that wait for it.
	Reserved []Reservation
	// Want are classes of which more heads have to be known for the plan to go on.
	Want []ClassID
}

// MakePlan decides which waiting requests start now and which are reserved. It
// changes nothing that it is given.
//
// The order of its steps is what keeps every promise. Reservations first, because
// their moment must not be taken by those behind them. Then the requests of whose
// shapes nothing is reserved, in order: they wait for nobody. Then those that no
// reservation is held up by.
func MakePlan(s PlanSnapshot, p PlanPolicy) Plan {
	pl := newPlanner(s, p)
	pl.keepReservations()
	pl.serveHeads()
	pl.promise()
	if !p.NoBackfill {
		pl.backfill()
	}
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
