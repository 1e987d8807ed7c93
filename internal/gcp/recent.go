package gcp

import (
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/berth/internal/ledger"
)

// Bounds of what is remembered. A submission may take a minute; after that another
// process has most likely written the record.
const (
	recentFor   = 2 * time.Minute
	recentBytes = 8 << 20
)

// recent remembers the records and leases that this process wrote last, so that
// the next write of one needs no read before it: one process admits and submits a
// request and marks its events as published, within seconds. It is a guess at what a
// read would return, which the commit checks. Documents that all processes write are
// not worth the guess.
type recent struct {
	mu      sync.Mutex
	written map[ledger.Ref]memory
	order   []ledger.Ref // oldest first
	bytes   int
}

// A memory is a document as it was written.
type memory struct {
	version
	weight   int
	at       time.Time // of the commit, by the ledger's clock
	answered time.Time // when the commit's answer came, on the monotonic clock
}

// keep remembers a document, if it is of a kind to be remembered, in place of
// what was known of it.
func (r *recent) keep(ref ledger.Ref, doc ledger.Document, update, commit *timestamppb.Timestamp, now time.Time) {
	if ref.Kind != ledger.KindRecord && ref.Kind != ledger.KindLease || update == nil || commit == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(ref)
	if r.written == nil {
		r.written = map[ledger.Ref]memory{}
	}
	m := memory{version{doc: doc, update: update}, ledger.Weight(doc), commit.AsTime(), now}
	r.written[ref] = m
	r.order = append(r.order, ref)
	r.bytes += m.weight
	for r.bytes > recentBytes || now.Sub(r.written[r.order[0]].answered) >= recentFor {
		r.forget(r.order[0])
	}
}

// take returns those of the documents that it knows and that need not be fresh,
// and the references of the others. It forgets the documents that it returns, because
// the closure may change them. The snapshot's time is that of their latest commit plus
// the time since its answer, which is at most the ledger's time now.
func (r *recent) take(refs []ledger.Ref, fresh ledger.ReadSet, now time.Time) (snap snapshot, others []ledger.Ref) {
	read := make(map[ledger.Ref]bool, len(fresh))
	for _, ref := range fresh {
		read[ref] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	snap.docs = make(map[ledger.Ref]version, len(refs))
	for _, ref := range refs {
		m, known := r.written[ref]
		if !known || read[ref] || now.Sub(m.answered) >= recentFor {
			others = append(others, ref)
			continue
		}
		snap.docs[ref] = m.version
		if at := m.at.Add(now.Sub(m.answered)).Truncate(time.Microsecond); at.After(snap.at) {
			snap.at = at
		}
		r.forget(ref)
	}
	return snap, others
}

func (r *recent) forget(ref ledger.Ref) {
	if m, known := r.written[ref]; known {
		r.bytes -= m.weight
		delete(r.written, ref)
		at := slices.Index(r.order, ref)
		r.order = slices.Delete(r.order, at, at+1)
	}
}
