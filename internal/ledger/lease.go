package ledger

import "time"

// KindLease is the kind of [Lease].
const KindLease Kind = "leases"

// A Lease is a right to do some work alone, until a moment.
type Lease struct {
	Versioned
	Name   string    `json:"name"`
	Holder string    `json:"holder"`
	Until  time.Time `json:"until"`
}

// LeaseRef names the document of a lease.
func LeaseRef(name string) Ref { return Ref{KindLease, name} }

// Ref names the document.
func (l *Lease) Ref() Ref { return LeaseRef(l.Name) }

const leaseWeight = 100 // bytes

// Weight is about how many bytes the lease takes in the ledger.
func (l *Lease) Weight() int { return leaseWeight + len(l.Name) + len(l.Holder) }

// Clone returns a copy that shares no memory with the original.
func (l *Lease) Clone() *Lease { return copier{}.lease(l) }

func (l *Lease) copied(c copier) Document { return c.lease(l) }

func (c copier) lease(l *Lease) *Lease {
	if l == nil {
		return nil
	}
	n := *l
	n.Until = c.time(l.Until)
	return &n
}
