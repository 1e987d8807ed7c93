package controller

import (
	"context"
	"errors"
	"sync"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// Bounds of what an instance remembers of unreadable documents.
const (
	unreadableFor = 10 * time.Minute // until one is logged, and read, again
	maxUnreadable = 10_000
)

// unreadable remembers which documents could not be read lately, so that each is
// logged now and then and not in every pass, and is not read in every pass.
type unreadable struct {
	mu    sync.Mutex
	until map[ledger.Ref]time.Time // on the monotonic clock
}

// known reports whether a record could not be read lately.
func (u *unreadable) known(key message.Key, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	until, known := u.until[ledger.RecordRef(key)]
	return known && now.Before(until)
}

// add reports whether a document is new, or was added long ago.
func (u *unreadable) add(d ledger.Ref, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if until, known := u.until[d]; known && now.Before(until) {
		return false
	}
	if u.until == nil || len(u.until) >= maxUnreadable {
		u.until = map[ledger.Ref]time.Time{} // logged again rather than remembered without bound
	}
	u.until[d] = now.Add(unreadableFor)
	return true
}

// report adds a document to a report, which several goroutines may share.
func (u *unreadable) report(p *progress, d ledger.Ref) {
	u.mu.Lock()
	defer u.mu.Unlock()
	p.unread(d)
}

// leftAlone logs a document that cannot be read, if that is what an error says. The
// caller then goes on with the others: what the document says is not known, so it
// must not be written over.
func (c *Controller) leftAlone(ctx context.Context, err error, p *progress) bool {
	bad := (*ledger.UnreadableError)(nil)
	if !errors.As(err, &bad) {
		return false
	}
	c.reportUnreadable(ctx, p, bad)
	return true
}

// skipped logs the documents that a query left out, and returns the error of
// one that failed.
func (c *Controller) skipped(ctx context.Context, err error, p *progress) error {
	documents, err := ledger.Skipped(err)
	c.reportUnreadable(ctx, p, documents...)
	return err
}

func (c *Controller) reportUnreadable(ctx context.Context, p *progress, documents ...*ledger.UnreadableError) {
	for _, bad := range documents {
		if p != nil {
			c.unreadable.report(p, bad.Ref)
		}
		if c.unreadable.add(bad.Ref, c.env.Monotonic()) {
			c.log.ErrorContext(ctx, "a document cannot be read and is left alone; berth doctor says what depends on it",
				"event", "unreadable_document", "document", bad.Ref.String(), "resource", bad.Resource, "why", bad.Why)
		}
	}
}

// readable reports whether an update can use a record. It logs one that cannot be
// read.
func (c *Controller) readable(ctx context.Context, tx ledger.Tx, key message.Key, p *progress) bool {
	bad := tx.Unreadable(ledger.RecordRef(key))
	if bad != nil {
		c.reportUnreadable(ctx, p, bad)
	}
	return bad == nil
}
