package controller

import (
	"context"
	"fmt"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// rebuild writes the document of a resource anew if it is missing although records
// of the resource hold replicas or wait: it was deleted, or the rest was restored
// without it. Without its holds the replicas of running jobs would be taken a second
// time. It reports whether the document was missing and is there now.
//
// For a resource that is new it finds no records; that costs one query per state.
func (c *Controller) rebuild(ctx context.Context, name string) (rebuilt bool, err error) {
	records, err := c.active(ctx, name)
	if err != nil || len(records) == 0 {
		return false, err
	}
	holds := 0
	err = c.ledger.Update(ctx, ledger.Resources(name), func(tx ledger.Tx) error {
		rebuilt, holds = false, 0
		if tx.Resource(name) != nil {
			return nil // another instance was faster
		}
		if res := ledger.Rebuild(name, records, tx.Now(), func(rec *ledger.Record) time.Time { return c.latestEnd(rec, rec.Times.Reserved) }); res != nil {
			rebuilt, holds = true, len(res.Holds)
			tx.Put(res)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("rebuild the document of %s: %w", name, err)
	}
	if rebuilt {
		c.log.ErrorContext(ctx, "the document of a persistent resource was lost; it has been rebuilt from its requests",
			"event", "resource_lost", "resource", name, "requests", len(records), "holds", holds)
	}
	return rebuilt, nil
}

// active reads all records of a resource that have not ended, without their specs.
// Those that cannot be read and wait, or have a job that counts as foreign use while
// it is live, it logs and leaves out: one of them must not stop the whole resource. It fails for one whose job may yet appear, because what that holds is not
// known, and its replicas would be given to others.
func (c *Controller) active(ctx context.Context, name string) ([]*ledger.Record, error) {
	var all []*ledger.Record
	for _, state := range lifecycle.States {
		if state.Terminal() {
			continue
		}
		for after := ""; ; {
			page, err := c.ledger.InState(ctx, name, state, after, perUpdate)
			if visible := state != lifecycle.Reserved && state != lifecycle.Submitting && state != lifecycle.Cancelling; visible {
				err = c.skipped(ctx, err, nil)
			}
			if err != nil {
				return nil, fmt.Errorf("list the requests of %s that are %s: %w", name, state, err)
			}
			for _, rec := range page {
				rec.Outbox, rec.Fit, rec.Warnings = nil, nil, nil
				after = rec.Order
				all = append(all, rec)
			}
			if len(page) < perUpdate {
				break
			}
		}
	}
	return all, nil
}
