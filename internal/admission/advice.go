package admission

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
)

// Advise adds to the decision for a request that has to wait because of others: how
// many replicas of its largest worker pool would start now, if fewer would. It makes up
// to a dozen plans, so an arrival that is decided without a plan should not ask for it.
func (d *Decision) Advise(s Snapshot, a Ask, p Policy) {
	if d.Verdict != Wait || d.Reason == nil || d.Reason.Code != reason.Full && d.Reason.Code != reason.Behind {
		return
	}
	n, most := startable(s, a, p)
	if most == 0 {
		return
	}
	fix := fmt.Sprintf("With at most %d in %s it could start now.", most, a.Paths.At(fmt.Sprintf("jobSpec.workerPoolSpecs[%d].replicaCount", n.WorkerPool)))
	why := *d.Reason
	if why.Fix != "" {
		fix = why.Fix + " " + fix
	}
	why.Fix = fix
	d.Reason = &why
}

// startable returns the largest need of a request, and for how many replicas of it the
// request would start now if it came with them now, in the place of the one that waits;
// 0 if for none.
func startable(s Snapshot, a Ask, p Policy) (largest capacity.Need, most capacity.Replicas) {
	k := 0
	for i, n := range a.Demand {
		if n.Replicas > a.Demand[k].Replicas {
			k = i
		}
	}
	if largest = a.Demand[k]; largest.Replicas == 1 {
		return largest, 0
	}
	s = s.without(a)
	if a.Waiting { // it would come as a new request, after all of its priority
		a.Order, a.Key = fmt.Sprintf("%s-~", a.Order[:4]), s.Now.Add(maxKeyDelay)
		a.Waiting, a.Class, a.Slow = false, "", false
	}
	room := capacity.NewRoom(s.Pools, s.Use)
	free := min(largest.Replicas-1, room.Free(largest.Shape))
	starts := func(n capacity.Replicas) bool {
		smaller := a
		smaller.Demand = slices.Clone(a.Demand)
		smaller.Demand[k].Replicas = n
		return Decide(s, smaller, p).Verdict == Admit
	}
	// Fewer replicas fit wherever more do, and delay no other by more.
	for low, high := capacity.Replicas(1), free; low <= high; {
		n := low + (high-low)/2
		if starts(n) {
			most, low = n, n+1
		} else {
			high = n - 1
		}
	}
	return largest, most
}

// without returns the snapshot without a request that waits in it.
func (s Snapshot) without(a Ask) Snapshot {
	if class, in := s.Queue[a.Class]; in && a.Class != "" {
		if class, in = class.Without(a.Order); in {
			s.Queue = maps.Clone(s.Queue)
			if s.Queue[a.Class] = class; class.Count == 0 {
				delete(s.Queue, a.Class)
			}
		}
	}
	s.Reserved = slices.DeleteFunc(slices.Clone(s.Reserved), func(r Reservation) bool { return r.ID == a.ID })
	return s
}

// boundMost is the longest bound that is told: a longer one helps nobody, and a time
// that far away may not be written as JSON.
const boundMost = 10 * 365 * 24 * time.Hour

// Bound is by when a request of one shape starts at the latest by the bound that the
// package comment proves, if it comes to nothing more: no request comes that is before
// it in order, and none with a longer time limit than [Policy.MaxLimit] and than all that
// run and wait. It is zero for a request of several shapes or of one that several pools
// have, while a request of a higher priority waits, and if it is more than ten years away.
func Bound(s Snapshot, a Ask, policy Policy) time.Time {
	shapes := shapesOf(a.Demand)
	var machines capacity.Replicas
	for _, pool := range s.Pools {
		if pool.Shape == shapes[0] {
			if machines > 0 {
				return time.Time{} // a group may be smaller than half of all
			}
			machines = pool.Limit()
		}
	}
	if len(shapes) != 1 || machines == 0 {
		return time.Time{}
	}
	p := policy.Plan
	longest, ahead := max(a.Limit, policy.MaxLimit), a.Demand.Replicas()
	if s.Held != nil {
		for _, h := range s.Held() {
			longest = max(longest, h.End.Sub(s.Now)-p.StartTimeout)
		}
	}
	for id, c := range s.Queue {
		if !share(c.shapes(id), shapes) {
			continue
		}
		for _, h := range c.Heads {
			if priorityOf(h.Order) < priorityOf(a.Order) {
				return time.Time{}
			}
			longest = max(longest, h.Limit)
			if h.Order < a.Order {
				ahead = ahead.Plus(h.Demand.Replicas())
			}
		}
		if n := len(c.Heads); c.Count > n {
			longest = max(longest, id.limit())
			if n == 0 || c.Heads[n-1].Order < a.Order {
				ahead = ahead.Plus(min(id.largest(), machines) * capacity.Replicas(c.Count-n))
			}
		}
	}
	for _, r := range s.Reserved {
		if r.Order > a.Order && share(shapesOf(r.Demand), shapes) {
			ahead = ahead.Plus(r.Demand.Replicas())
		}
	}
	from := a.Key.Add(p.Patience)
	if from.Before(s.Now) {
		from = s.Now
	}
	groups := int64((4*ahead + machines - 1) / machines)
	wait := float64(longest+p.StartTimeout) * float64(1+groups)
	if wait > float64(boundMost) {
		return time.Time{}
	}
	return from.Add(time.Duration(wait))
}
