package ledger

import (
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/lifecycle"
)

// Snapshot returns the resource as [admission.Decide] reads it: at a moment by the
// ledger's clock.
func (r *Resource) Snapshot(now time.Time) admission.Snapshot {
	return admission.Snapshot{
		Now: now, State: r.State, ObservedAt: r.ObservedAt, Known: !r.CreateTime.IsZero(), Pools: r.Pools,
		Network: r.Network, EncryptionKey: r.EncryptionKey, CustomAccount: r.CustomAccount, Ray: r.Ray,
		Use: r.Use(), Holds: len(r.Holds), NoRoom: !r.HasRoom(), Paused: r.Paused, PausedPools: r.PausedPools, NotBefore: r.NotBefore,
		Held: r.held, Queue: r.readableQueue(), Reserved: r.Reserved,
	}
}

// Planning returns the part of the snapshot that a plan reads.
func (r *Resource) Planning(now time.Time) admission.PlanSnapshot {
	return admission.PlanSnapshot{Now: now, Pools: r.Pools, Use: r.Use(), Paused: admission.PausedUse(r.Pools, r.PausedPools), Held: r.held(), Queue: r.readableQueue(), Reserved: r.Reserved}
}

// held returns what has replicas, with the end of each.
func (r *Resource) held() []admission.Held {
	list := make([]admission.Held, 0, len(r.Holds)+len(r.Foreign))
	for key, h := range r.Holds {
		list = append(list, admission.Held{ID: key, Tenant: h.Tenant, Demand: h.Ask, End: h.LatestEnd})
	}
	for _, f := range r.Foreign {
		list = append(list, admission.Held{Demand: f.Ask, End: f.LatestEnd})
	}
	return list
}

// readableQueue is the queue without the requests whose record could not be read.
func (r *Resource) readableQueue() admission.Queue {
	if len(r.Skipped) == 0 {
		return r.Queue
	}
	q := make(admission.Queue, len(r.Queue))
	for id, c := range r.Queue {
		heads := r.Readable(c.Heads)
		c.Count -= len(c.Heads) - len(heads)
		if c.Heads = heads; c.Count > 0 {
			q[id] = c
		}
	}
	return q
}

// Request returns the request of a record as [admission.Decide] reads it.
func (r *Record) Request() admission.Ask {
	return admission.Ask{
		Head: r.Head(), Class: r.Class,
		Network: r.Network, EncryptionKey: r.EncryptionKey, ServiceAccount: r.ServiceAccount, UnsetDisks: r.UnsetDisks,
		OnFull: r.OnFull, Waiting: r.State == lifecycle.Waiting, ContradictedSince: r.ContradictedSince, Paths: r.Paths,
	}
}

// Head returns the record's place in the order, and what a plan needs of it.
func (r *Record) Head() admission.Head {
	return admission.Head{ID: r.Key, Tenant: r.Tenant, Order: r.Order, Key: orderTime(r.Order), Demand: r.Ask, Limit: r.Timeout, Within: r.Place.Within, Slow: r.Requeues > 0, Bytes: len(r.Spec)}
}
