package controller

import (
	"context"
	"fmt"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/reason"
)

// notifyMost bounds the requests of a resource that are notified in one pass.
const notifyMost = 10 * perUpdate

// notify gives the waiting requests of a resource its condition as reason, in their
// order, a bounded number per pass. How far it got is kept in the resource, so
// another instance goes on there.
func (c *Controller) notify(ctx context.Context, res *ledger.Resource, p *progress) error {
	for range notifyMost / perUpdate {
		if res == nil || res.Notice == nil {
			return nil
		}
		waiting, err := c.ledger.InState(ctx, res.Name, lifecycle.Waiting, res.Notice.After, perUpdate)
		if err = c.skipped(ctx, err, p); err != nil {
			return fmt.Errorf("list waiting requests of %s: %w", res.Name, err)
		}
		after, notified, err := c.notifyPart(ctx, res, waiting)
		if err != nil {
			return err
		}
		if len(notified) > 0 {
			c.publishOrLeave(ctx, notified...)
		}
		res = after
	}
	if res != nil && res.Notice != nil {
		p.more = true
	}
	return nil
}

// notifyPart notifies some waiting requests, and returns the resource as it is
// then.
func (c *Controller) notifyPart(ctx context.Context, seen *ledger.Resource, waiting []*ledger.Record) (res *ledger.Resource, notified []*ledger.Record, err error) {
	names := ledger.Resources(seen.Name).And(ledger.ReadSetOf(waiting...))
	err = c.ledger.Update(ctx, names, func(tx ledger.Tx) error {
		notified = nil
		bytes := 0
		res = tx.Resource(seen.Name)
		if res == nil || res.Notice == nil || *res.Notice != *seen.Notice || res.Restarts != seen.Restarts {
			return nil // another instance is further, or it began anew
		}
		next := ""
		if len(waiting) == perUpdate {
			next = waiting[len(waiting)-1].Order
		}
		for i, known := range waiting {
			key := known.Key
			if bytes >= commitBytes {
				next = waiting[i-1].Order // the others in another commit
				break
			}
			if !c.readable(ctx, tx, key, nil) {
				continue
			}
			rec := tx.Record(key)
			if rec == nil || rec.State != lifecycle.Waiting || len(rec.Unpublished()) > maxUnpublished {
				continue
			}
			d := admission.Decide(res.Snapshot(tx.Now()), rec.Request(), c.policyOf(res.Name))
			if d.Verdict != admission.Wait || !ofCondition(code(rec.Why)) && !ofCondition(code(d.Reason)) {
				continue // what can start or end now is decided in its order
			}
			before := rec.Sequence
			if rec.Fit, rec.ScaleUp, rec.Ahead = d.Fit, d.ScaleUp, d.Ahead; res.State == ledger.Absent {
				rec.Fit, rec.ScaleUp = nil, false // by pools that are no longer there
			}
			if code(d.Reason) == string(reason.TenantPaused) {
				rec.StartsBy = time.Time{} // it has no reservation any more
			}
			c.waitsOn(ctx, tx, res, rec, d.Reason)
			tx.Put(rec)
			bytes += rec.Weight()
			if rec.Sequence != before {
				notified = append(notified, rec)
			}
		}
		if res.Notice = nil; next != "" {
			res.Notice = &ledger.Notice{After: next}
		}
		tx.Put(res)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("notify %d waiting requests of %s: %w", len(waiting), seen.Name, err)
	}
	return res, notified, nil
}

// ofCondition says whether a reason is about the resource or the tenant as a whole.
func ofCondition(code string) bool {
	return code == string(reason.ResourceGone) || code == string(reason.ResourceNotReady) || code == string(reason.Paused) || code == string(reason.TenantPaused)
}
