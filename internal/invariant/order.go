package invariant

import (
	"fmt"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// Order judges one commit by the moments before and after it: no request that starts
// takes replicas at the latest start of a reservation that would have them without
// it. Only a request of higher priority may, and an earlier reservation that starts
// later than promised. While such a request waits, the reservation has another start.
func Order(before, after Picture) []Violation {
	c := checker{}
	was := map[message.Key]*ledger.Record{}
	for _, r := range before.Records {
		was[r.Key] = r
	}
	docs := map[string]*ledger.Resource{}
	for _, res := range before.Resources {
		docs[res.Name] = res
	}
	started := map[string][]*ledger.Record{}
	for _, r := range after.Records {
		if old := was[r.Key]; r.State.Holds() && (old == nil || !old.State.Holds()) {
			started[r.Resource] = append(started[r.Resource], r)
		}
	}
	for _, res := range after.Resources {
		old := docs[res.Name]
		if old == nil {
			continue
		}
		c.promises(old, res, started[res.Name])
		if len(started[res.Name]) == 0 {
			continue
		}
		for i, o := range old.Reserved {
			k := slices.IndexFunc(res.Reserved, func(n admission.Reservation) bool { return n.ID == o.ID })
			if k < 0 {
				continue
			}
			if n, passed := res.Reserved[k], startedHigher(started[res.Name], o); passed || outranked(res, o) {
				if !passed && !n.At.After(o.At) {
					continue // a request of a higher priority goes first, and the plan that says when it starts is not stored yet
				}
				o = n
			}
			if !o.At.After(after.Now) {
				continue
			}
			for _, shape := range o.Demand.Shapes() {
				limit := capacity.Limits(res.Pools)[shape]
				if usedAt(old, shape, o.At)+o.Demand.Of(shape) > limit || usedAt(res, shape, o.At)+o.Demand.Of(shape) <= limit {
					continue
				}
				for _, r := range started[res.Name] {
					if reservedIn(old.Reserved[:i], r.Key) {
						continue
					}
					if r.Ask.Of(shape) > 0 && r.Order[:4] >= o.Order[:4] && (o.Owed || !r.Place.Within) && res.Holds[r.Key].LatestEnd.After(o.At) {
						c.add(QueueOrder, r, nil, fmt.Sprintf("it started as %s and may run until %s", r.State, res.Holds[r.Key].LatestEnd), "request %s has its %s reserved from %s on", o.ID, shape, o.At)
					}
				}
			}
		}
	}
	return c.sorted()
}

// promises checks that no reservation of a resource has become later. Only a request of
// a higher priority may make one later, waiting or just started.
func (c *checker) promises(old, res *ledger.Resource, started []*ledger.Record) {
	for _, n := range res.Reserved {
		i := slices.IndexFunc(old.Reserved, func(o admission.Reservation) bool { return o.ID == n.ID })
		if i < 0 || old.Reserved[i].At.IsZero() || outranked(res, n) || startedHigher(started, n) {
			continue
		}
		if o := old.Reserved[i]; n.At.IsZero() || n.At.After(o.At) {
			c.add(PromiseKept, &ledger.Record{Key: n.ID}, res, fmt.Sprintf("it starts by %s", o.At), "then it starts by %s", n.At)
		}
	}
}

// outranked reports whether a request of a higher priority waits for one of the shapes
// of a reservation.
func outranked(res *ledger.Resource, o admission.Reservation) bool {
	for _, class := range res.Queue {
		if slices.ContainsFunc(class.Heads, func(h admission.Head) bool { return higher(h, o) }) {
			return true
		}
	}
	return false
}

// startedHigher reports whether a request of a higher priority that has just started takes
// a shape of a reservation.
func startedHigher(started []*ledger.Record, o admission.Reservation) bool {
	return slices.ContainsFunc(started, func(r *ledger.Record) bool { return higher(r.Head(), o) })
}

// higher reports whether a request of a higher priority asks for a shape of a reservation.
func higher(h admission.Head, o admission.Reservation) bool {
	return h.Order[:4] < o.Order[:4] && slices.ContainsFunc(h.Demand, func(n capacity.Need) bool { return o.Demand.Of(n.Shape) > 0 })
}

func reservedIn(list []admission.Reservation, key message.Key) bool {
	return slices.ContainsFunc(list, func(o admission.Reservation) bool { return o.ID == key })
}

// usedAt is what is still in use of a shape at a moment, if every job takes as long as
// it may. What has no known end does not count.
func usedAt(res *ledger.Resource, shape capacity.Shape, at time.Time) (n capacity.Replicas) {
	for _, h := range res.Holds {
		if h.LatestEnd.After(at) {
			n += h.Ask.Of(shape)
		}
	}
	return n
}
