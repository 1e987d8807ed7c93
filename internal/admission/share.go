package admission

import (
	"math"
	"time"

	"example.com/berth/internal/capacity"
)

// halfLife is how long ago use counts half as much as now.
const halfLife = 24 * time.Hour

// A Used is what a tenant has used of a resource of late: the average of the replicas that
// it held, all shapes together. Use one half-life ago counts half.
type Used struct {
	Replicas float64   `json:"replicas"`
	At       time.Time `json:"at"`
}

// After is the average at a later moment, if the tenant has held some replicas since.
func (u Used) After(now time.Time, held capacity.Replicas) Used {
	if u.At.IsZero() || !now.After(u.At) {
		return Used{u.Replicas, now}
	}
	kept := math.Exp2(-float64(now.Sub(u.At)) / float64(halfLife))
	return Used{u.Replicas*kept + float64(held)*(1-kept), now}
}

// Offsets of the key of a request that is beyond the share of its tenant. Larger ones order
// tenants more strictly, and gangs, which are beyond most shares, wait longer for it: with
// twice as much, or without the quarter for gangs, the longest wait of a gang grows by a
// fifth on public traces.
const (
	borrowDelay = 6 * time.Hour // of every such request
	usedDelay   = 6 * time.Hour // more, for a tenant that has used without end
	gangPart    = 4             // a gang gets this part of both
)

// maxOffset bounds what the quotas of tenants add to a key. It is part of the bound on
// waiting.
const maxOffset = borrowDelay + usedDelay

// Place is where a new request stands because of its tenant.
type Place struct {
	Within bool          `json:"within,omitempty"` // it is within the share of the tenant
	Offset time.Duration `json:"offset,omitempty"` // how much later its key is because it is not
}

// Place says whether a new request is within the share of its tenant, beside what the
// tenant holds and waits for, and how much later its key is if it is not: the later, the
// more the tenant has used of late. Without shares every request has the zero Place.
func (q *Quotas) Place(tenant string, asked capacity.Use, demand capacity.Ask, gang bool, used Used) Place {
	if !q.Shared() {
		return Place{}
	}
	quota := q.Of(tenant)
	if allows(quota.Share, asked, demand, false) {
		return Place{Within: true}
	}
	offset := borrowDelay + time.Duration(float64(usedDelay)*quota.excess(used))
	if gang {
		offset /= gangPart
	}
	return Place{Offset: offset}
}

// excess is how far a tenant has been beyond its share of late, by its weight: from 0 for
// nothing towards 1 without bound, and one half for as much as its share.
func (q *Quota) excess(used Used) float64 {
	share := capacity.Replicas(0)
	for _, n := range q.Share {
		share = share.Plus(n)
	}
	weight := q.Weight
	if weight == 0 {
		weight = 1
	}
	x := used.Replicas / (weight * max(1, float64(share)))
	return x / (1 + x)
}
