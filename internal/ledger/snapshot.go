package ledger

import (
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/lifecycle"
)

// Snapshot returns the resource as [admission.Decide] reads it: at a moment by the
// ledger's clock, for a request that has so many waiting requests ahead of it (see
// [Resource.Ahead]).
func (r *Resource) Snapshot(now time.Time, ahead int) admission.Snapshot {
	return admission.Snapshot{
		Now: now, State: r.State, ObservedAt: r.ObservedAt, Known: !r.CreateTime.IsZero(), Pools: r.Pools,
		Network: r.Network, EncryptionKey: r.EncryptionKey, CustomAccount: r.CustomAccount, Ray: r.Ray,
		Use: r.Use(), Holds: len(r.Holds), NoRoom: !r.HasRoom(), NotBefore: r.NotBefore, Ahead: ahead,
	}
}

// Request returns the request of a record as [admission.Decide] reads it.
func (r *Record) Request() admission.Ask {
	return admission.Ask{
		Needs: r.Ask, Network: r.Network, EncryptionKey: r.EncryptionKey, ServiceAccount: r.ServiceAccount, UnsetDisks: r.UnsetDisks,
		OnFull: r.OnFull, Waiting: r.State == lifecycle.Waiting, ContradictedSince: r.ContradictedSince, Paths: r.Paths,
	}
}
