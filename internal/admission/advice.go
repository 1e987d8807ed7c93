package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
)

// Advise adds to the reason of a request that has to wait because of others what would
// start it now: a shorter time limit, or fewer replicas of its largest worker pool. It
// holds for a request that is sent anew in the place of the one that waits. It makes up to
// a dozen plans, so an arrival that is decided without a plan should not ask for it.
func (d *Decision) Advise(s Snapshot, a Ask, p Policy) {
	if d.Verdict != Wait || d.Reason == nil || d.Reason.Code != reason.Full && d.Reason.Code != reason.Behind {
		return
	}
	var fixes []string
	s, a = anew(s, a)
	if d.Reason.Code == reason.Behind {
		if limit := passing(s, a, p); limit > 0 {
			fixes = append(fixes, fmt.Sprintf("With a %s of at most %s it could start now.", a.Paths.At("jobSpec.scheduling.timeout"), limit))
		}
	}
	if n, most := startable(s, a, p); most > 0 {
		fixes = append(fixes, fmt.Sprintf("With at most %d in %s it could start now.", most, a.Paths.At(fmt.Sprintf("jobSpec.workerPoolSpecs[%d].replicaCount", n.WorkerPool))))
	}
	if fixes != nil {
		why := *d.Reason
		why.Fix = strings.Join(fixes, " ")
		d.Reason = &why
	}
}

// anew returns a request as it would come if it were sent again now, in the place of the
// one that waits: after all of its priority.
func anew(s Snapshot, a Ask) (Snapshot, Ask) {
	s = s.without(a)
	if a.Waiting {
		a.Order, a.Key = fmt.Sprintf("%s-~", a.Order[:4]), s.Now.Add(maxKeyDelay+maxOffset)
		a.Waiting, a.Class, a.Slow = false, "", false
	}
	return s, a
}

// passing returns the longest time limit, in minutes, with which a request that fits would
// pass the reservations that it would delay; 0 for none. That is the time until one of
// them: with a longer one it would have to fit beside it.
func passing(s Snapshot, a Ask, p Policy) time.Duration {
	var limits []time.Duration
	shapes := shapesOf(a.Demand)
	for _, r := range s.Reserved {
		limit := (r.At.Sub(s.Now) - p.Plan.Margin - p.Plan.startIn(a.Head)).Truncate(time.Minute)
		// One that did not start in time once may not pass a reservation that it could
		// pass as it is: sent anew, it starts with any shorter limit.
		limit = min(limit, a.Limit.Truncate(time.Minute)-time.Minute)
		if limit > 0 && share(shapes, shapesOf(r.Demand)) {
			limits = append(limits, limit)
		}
	}
	slices.Sort(limits)
	for _, limit := range slices.Backward(slices.Compact(limits)) {
		shorter := a
		if shorter.Limit = limit; Decide(s, shorter, p).Verdict == Admit {
			return limit
		}
	}
	return 0
}

// startable returns the largest need of a request, and for how many replicas of it the
// request would start; 0 if for none.
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
	room := capacity.NewRoom(s.Pools, s.taken())
	starts := func(n capacity.Replicas) bool {
		smaller := a
		smaller.Demand = slices.Clone(a.Demand)
		smaller.Demand[k].Replicas = n
		return Decide(s, smaller, p).Verdict == Admit
	}
	// Fewer replicas fit wherever more do, and delay no other by more.
	for low, high := capacity.Replicas(1), min(largest.Replicas-1, room.Free(largest.Shape)); low <= high; {
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
	if quota := policy.Plan.Quotas.Of(a.Tenant); quota.bounds() {
		return time.Time{} // its own tenant may keep it waiting
	}
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
