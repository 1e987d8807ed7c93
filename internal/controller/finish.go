package controller

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/telemetry"
)

// finishAll submits the records that have their submission slot, several at a time,
// and publishes the events of all.
func (c *Controller) finishAll(ctx context.Context, moved []*ledger.Record, began time.Time) {
	var g errgroup.Group
	g.SetLimit(c.cfg.Submitters)
	var rest []*ledger.Record
	for _, rec := range moved {
		if rec.State != lifecycle.Submitting {
			rest = append(rest, rec)
			continue
		}
		g.Go(func() error {
			c.finish(ctx, rec, began)
			return nil
		})
	}
	if len(rest) > 0 {
		g.Go(func() error {
			c.publishOrLeave(ctx, rest...)
			return nil
		})
	}
	_ = g.Wait() // what cannot be done is left to a later pass
}

// finish submits a record that has its submission slot, and publishes its events. It
// returns the record as it is then.
func (c *Controller) finish(ctx context.Context, rec *ledger.Record, started time.Time) *ledger.Record {
	ctx = withRecord(ctx, rec)
	if rec.State == lifecycle.Submitting {
		submitting, span := c.env.Telemetry.Follow(ctx, "submit", rec.Trace)
		after, err := c.submit(submitting, rec, started)
		if after != nil {
			span.Set(telemetry.KeyState, string(after.State))
			span.Set(telemetry.KeyReason, code(after.Why))
		}
		span.End(failure(err))
		if err != nil {
			c.log.WarnContext(ctx, "submission left to reconcile", "event", "submit_failed", "error", err)
		}
		if after != nil {
			rec = after
		}
	}
	c.publishOrLeave(ctx, rec)
	return rec
}
