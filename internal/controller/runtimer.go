package controller

import (
	"context"
	"fmt"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/pace"
	"example.com/berth/internal/vertex"
)

// runTimer does what is due for one record.
func (c *Controller) runTimer(ctx context.Context, key message.Key, p *progress) error {
	rec, err := c.read(ctx, key)
	if c.leftAlone(ctx, err, p) {
		return nil
	}
	if err != nil || rec == nil {
		return err
	}
	ctx = withRecord(ctx, rec)
	began := c.env.Monotonic()
	moved, unheld, alone := false, false, false
	also, state := withResource, rec.State
	var seen vertex.Job
	var unseenErr error
	if end := whenSubmitted(c.cfg, rec, time.Time{}); state == lifecycle.Submitted && !rec.TimerAt.Before(end) {
		// A job that could not be observed for an hour may have run all the while.
		seen, unseenErr = c.vertex.Get(ctx, rec.Reservation.Job)
	}
	if state == lifecycle.Submitting {
		also = withBudget
	}
	ruled := true
	if state == lifecycle.Waiting || state == lifecycle.Submitting || state == lifecycle.Reserved {
		_, noRules := c.rulebook(ctx)
		ruled = noRules == nil
	}
	after, err := c.update(ctx, rec, also, func(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record) bool {
		moved, unheld, alone = false, false, false
		if rec.TimerAt.IsZero() || tx.Now().Before(rec.TimerAt) || rec.State != state {
			return false // another instance was faster
		}
		if alone = res == nil && rec.Resource != ""; alone {
			return false
		}
		// Without its hold it must not create a job.
		creates := rec.State == lifecycle.Reserved || rec.State == lifecycle.Submitting && !rec.ObserveOnly
		if unheld = creates && res != nil && !res.Holding(rec); unheld {
			rec.TimerAt = tx.Now().Add(c.cfg.Tick)
			return true
		}
		switch {
		case unseenErr != nil:
			rec.TimerAt = tx.Now().Add(c.cfg.Tick) // a pass learns it if the job is gone
			return true
		case seen.Name != "":
			if moved = c.apply(ctx, tx, res, rec, seen); moved {
				return true
			}
		}
		moved = c.doDue(ctx, tx, res, rec, ruled)
		return true
	})
	if c.leftAlone(ctx, err, p) {
		return nil
	}
	if alone && err == nil {
		return fmt.Errorf("there is no document of its persistent resource %s", rec.Resource)
	}
	if err != nil || after == nil {
		return err
	}
	if unheld {
		c.reportNoHold(ctx, after)
	}
	if !moved {
		c.sendCancel(ctx, after)
		return nil
	}
	c.gaveBack(after)
	if after.State == lifecycle.Cancelling {
		if after.Reservation.Job == "" {
			c.keepObserving(ctx, after)
			return nil
		}
		c.sendCancel(ctx, after)
	}
	c.proceed(ctx, after, began)
	return nil
}

// doDue makes the moves that a record's timer calls for. It reports whether the
// record moved; if not, it has set the timer anew. Without the policy it decides nothing and
// lets no attempt begin.
func (c *Controller) doDue(ctx context.Context, tx ledger.Tx, res *ledger.Resource, rec *ledger.Record, ruled bool) bool {
	now := tx.Now()
	t, has := timers[rec.State]
	if !has {
		rec.TimerAt = time.Time{}
		return false
	}
	cfg := c.cfg
	cfg.Policy = c.withPauses(cfg.Policy)
	d := t.what(cfg, rec, now, res)
	switch {
	case (d.place || d.retry) && !ruled:
		rec.TimerAt = now.Add(c.cfg.Tick)
		return false
	case d.place:
		state, events := rec.State, rec.Sequence
		c.place(ctx, tx, res, rec)
		return rec.State != state || rec.Sequence != events
	case len(d.moves) == 0:
		rec.TimerAt = t.when(c.cfg, rec, now)
		return false
	case d.retry && !c.takeForRetry(tx, res, rec):
		return false
	}
	for _, m := range d.moves {
		if c.move(ctx, tx, res, rec, m.move, m.why) != lifecycle.Moved {
			rec.TimerAt = now.Add(c.cfg.Tick)
			return false
		}
	}
	return true
}

// takeForRetry takes the token for another attempt. It returns false and sets the
// timer if submissions are paused.
func (c *Controller) takeForRetry(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record) bool {
	b := budgetFor(tx, rec.Resource)
	share := c.submissionShare(rec.Tenant)
	var allowance *pace.Allowance
	if res != nil && share == 0 {
		allowance = &res.Allowance
	}
	retry := b.Retry(tx.Now(), c.pace, allowance)
	if !retry.At.IsZero() {
		rec.TimerAt = retry.At
		return false
	}
	if retry.Excused {
		c.slots.pause(vertex.NameOf(rec.Resource).Parent(), true)
		rec.Excused++
	}
	if share > 0 {
		b.Count(tx.Now(), rec.Tenant)
	}
	if retry.OfAllowance {
		tx.Put(res)
	} else {
		tx.Put(b)
	}
	return true
}

// reportNoHold logs a request whose job is to be created and whose hold is missing
// or for another run.
func (c *Controller) reportNoHold(ctx context.Context, rec *ledger.Record) {
	c.log.ErrorContext(ctx, "a request has lost its hold, so its job is not created until berth repair leaked-holds has run",
		"event", "hold_missing", "state", string(rec.State))
}

// keepObserving searches for the job of a request that is being cancelled.
func (c *Controller) keepObserving(ctx context.Context, rec *ledger.Record) {
	after, err := c.search(ctx, rec)
	if err != nil {
		c.log.WarnContext(ctx, "search left to reconcile", "event", "search_failed", "error", err)
	}
	if after == nil {
		after = rec
	}
	c.publishOrLeave(ctx, after)
}
