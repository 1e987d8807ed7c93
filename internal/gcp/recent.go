package gcp

import (
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// Bounds of what is remembered. A submission may take a minute; after that
// somebody else has most likely written the record.
const (
	recentFor   = 2 * time.Minute
	recentBytes = 8 << 20
)

// recent remembers the records and leases that this process wrote last, so that
// the next write of one needs no read before it: a request is admitted, submitted
// and marked as told within seconds, by one process. It is a guess at what a read
// would show; the commit finds out. Documents that everybody writes are not worth
// the guess.
type recent struct {
	mu      sync.Mutex
	written map[id]memory
	order   []id // oldest first
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
func (r *recent) keep(i id, doc any, update, commit *timestamppb.Timestamp, now time.Time) {
	var weight int
	switch doc := doc.(type) {
	case *ledger.Record:
		weight = doc.Weight()
	case *ledger.Lease:
		weight = len(doc.Name) + len(doc.Holder)
	default:
		return
	}
	if update == nil || commit == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(i)
	if r.written == nil {
		r.written = map[id]memory{}
	}
	m := memory{version{doc, update}, weight, commit.AsTime(), now}
	r.written[i] = m
	r.order = append(r.order, i)
	r.bytes += m.weight
	for r.bytes > recentBytes || now.Sub(r.written[r.order[0]].answered) >= recentFor {
		r.forget(r.order[0])
	}
}

// take returns those of the documents that it knows and that need not be fresh,
// and the others' ids. It forgets what it gives out: the next owner changes it.
// The snapshot's time is the latest of their commits', moved on by the time since
// its answer, which is at most the ledger's time now.
func (r *recent) take(ids []id, fresh []message.Key, now time.Time) (snap snapshot, others []id) {
	read := make(map[id]bool, len(fresh))
	for _, key := range fresh {
		read[id{Requests, string(key)}] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	snap.docs = make(map[id]version, len(ids))
	for _, i := range ids {
		m, known := r.written[i]
		if !known || read[i] || now.Sub(m.answered) >= recentFor {
			others = append(others, i)
			continue
		}
		snap.docs[i] = m.version
		if at := m.at.Add(now.Sub(m.answered)).Truncate(time.Microsecond); at.After(snap.at) {
			snap.at = at
		}
		r.forget(i)
	}
	return snap, others
}

func (r *recent) forget(i id) {
	if m, known := r.written[i]; known {
		r.bytes -= m.weight
		delete(r.written, i)
		at := slices.Index(r.order, i)
		r.order = slices.Delete(r.order, at, at+1)
	}
}
