package capacity

import (
	"math"
	"slices"
)

// Replicas is a number of machines. Sums saturate instead of wrapping, so that
// a forged count can never come out as free room.
type Replicas int64

// MaxReplicas bounds what one worker pool may ask for and what a pool may
// report. It is far above any real pool (gcloud caps autoscaling at 1,000).
const MaxReplicas Replicas = 1_000_000

// Plus returns r+s, at most math.MaxInt64.
func (r Replicas) Plus(s Replicas) Replicas {
	if s > 0 && r > math.MaxInt64-s {
		return math.MaxInt64
	}
	return r + s
}

// A Pool is one resource pool of a persistent resource.
type Pool struct {
	ID    string   `json:"id"`
	Shape Shape    `json:"shape"`
	Count Replicas `json:"count"`         // machines there now, as Vertex AI reports them
	Max   Replicas `json:"max,omitempty"` // autoscaling maximum; 0 when the pool has a fixed size
	Used  Replicas `json:"used"`          // machines in use, as Vertex AI reports them (its own time, no attribution)
}

// Limit is the number of replicas that all jobs together may have on the pool:
// the autoscaling maximum, or the machines it has.
func (p Pool) Limit() Replicas {
	if p.Max > 0 {
		return max(p.Max, p.Count)
	}
	return p.Count
}

// A Need is what one worker pool of a job asks for.
type Need struct {
	WorkerPool int      `json:"workerPool"` // index in workerPoolSpecs, 0 to 3
	Shape      Shape    `json:"shape"`
	Replicas   Replicas `json:"replicas"` // 1 to MaxReplicas
}

// An Ask is what a whole job needs, one Need per worker pool that is not an
// empty placeholder. All of it is placed or none.
type Ask []Need

// Shapes returns the distinct shapes of the ask, sorted.
func (a Ask) Shapes() []Shape {
	var shapes []Shape
	for _, n := range a {
		if s := n.Shape; !slices.Contains(shapes, s) { // mostly there is one
			shapes = append(shapes, s)
		}
	}
	slices.SortFunc(shapes, Shape.Compare)
	return shapes
}

// Of is the sum over the worker pools of one shape.
func (a Ask) Of(shape Shape) (sum Replicas) {
	for _, n := range a {
		if n.Shape == shape {
			sum = sum.Plus(n.Replicas)
		}
	}
	return sum
}

// Replicas is the sum over all worker pools.
func (a Ask) Replicas() (sum Replicas) {
	for _, n := range a {
		sum = sum.Plus(n.Replicas)
	}
	return sum
}

// Use counts the machines that are taken, per shape.
type Use map[Shape]Replicas

// Add counts an ask into the use.
func (u Use) Add(a Ask) {
	for len(a) > 0 {
		s, n := a[0].Shape, a[0].Replicas
		// Worker pools of one shape are counted as one: to find a shape's entry
		// costs more than all the rest.
		for a = a[1:]; len(a) > 0 && a[0].Shape == s; a = a[1:] {
			n = n.Plus(a[0].Replicas)
		}
		u[s] = u[s].Plus(n)
	}
}

// Limits sums the limits of the pools per shape.
func Limits(pools []Pool) Use {
	limits := Use{}
	for _, p := range pools {
		s := p.Shape
		limits[s] = limits[s].Plus(p.Limit())
	}
	return limits
}

// Overdrawn lists the shapes of which more is in use than the pools have, and
// by how much. A use of a shape that no pool has is not overdrawn: nothing can
// be admitted there anyway, and the machines it names are gone.
func Overdrawn(pools []Pool, use Use) Use {
	over := Use{}
	for s, used := range use {
		var limit Replicas
		known := false
		for _, p := range pools { // few, and to compare shapes is cheaper than to hash them
			if p.Shape == s {
				known = true
				limit = limit.Plus(p.Limit())
			}
		}
		if known && used > limit {
			over[s] = used - limit
		}
	}
	return over
}
