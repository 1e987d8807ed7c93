package controller

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/pace"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// run does what is due for one record.
func (c *Controller) runTimer(ctx context.Context, key message.Key, p *progress) error {
	rec, err := c.read(ctx, key)
	if c.leftAlone(err, p) {
		return nil
	}
	if err != nil || rec == nil {
		return err
	}
	began := c.env.Monotonic()
	moved, unheld, alone := false, false, false
	also, state := withResource, rec.State
	var seen vertex.Job
	var unseenErr error
	if end := rec.Times.Submitted.Add(c.cfg.StartTimeout); state == lifecycle.Submitted && !rec.TimerAt.Before(end) {
		// A job that could not be looked at for an hour may have run all the while.
		seen, unseenErr = c.vertex.Get(ctx, rec.Reservation.Job)
	}
	if state == lifecycle.Submitting {
		also = withBudget
	}
	after, err := c.update(ctx, rec, also, func(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record) bool {
		moved, unheld, alone = false, false, false
		if rec.TimerAt.IsZero() || tx.Now().Before(rec.TimerAt) || rec.State != state {
			return false // somebody else was here
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
			if moved = c.apply(tx, res, rec, seen); moved {
				return true
			}
		}
		moved = c.timerMove(tx, res, rec)
		return true
	})
	if c.leftAlone(err, p) {
		return nil
	}
	if alone && err == nil {
		return fmt.Errorf("there is no document of its persistent resource %s", rec.Resource)
	}
	if err != nil || after == nil {
		return err
	}
	if unheld {
		c.reportNoHold(after)
	}
	if !moved {
		c.sendCancel(ctx, after)
		return nil
	}
	switch after.State {
	case lifecycle.Cancelling:
		if after.Reservation.Job == "" {
			c.keepObserving(ctx, after)
			return nil
		}
		c.sendCancel(ctx, after)
	}
	c.proceed(ctx, after, began)
	return nil
}

// tellNoHold tells of a request whose job is to be created and whose hold is missing
// or for another run.
func (c *Controller) reportNoHold(rec *ledger.Record) {
	c.log.Error("a request has lost its hold, so its job is not created until berth repair leaked-holds has run",
		"event", "hold_missing", "request_key", string(rec.Key), "resource", rec.Resource, "state", string(rec.State))
}

// due makes the move that a record's state calls for when its time has come.
// It reports whether it moved; if not, it has set the next time to look.
func (c *Controller) timerMove(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record) bool {
	now := tx.Now()
	var m lifecycle.Move
	why := rec.Why
	switch rec.State {
	case lifecycle.Waiting:
		if now.Before(rec.Times.Received.Add(rec.MaxWait)) {
			told := rec.Sequence
			c.place(tx, res, rec)
			return rec.State != lifecycle.Waiting || rec.Sequence != told
		}
		m = lifecycle.TimeOut()
		why = waitedTooLong(rec)
	case lifecycle.Reserved:
		// It waits for a submission slot, unless its machines are gone: then the replicas
		// are held for nothing.
		p := lost(now, res, rec, c.cfg.Policy)
		if !now.Before(rec.Times.Received.Add(rec.MaxWait)) {
			// Its replicas must not stay held for days because nothing can be submitted.
			p = cmp.Or(p, rec.Why)
			if c.move(tx, res, rec, lifecycle.Withdraw(), p) == lifecycle.Moved {
				m, why = lifecycle.TimeOut(), waitedTooLong(rec)
				break
			}
		}
		if p == nil {
			rec.TimerAt = c.nextTimer(rec, now)
			return false
		}
		m, why = lifecycle.Withdraw(), p
	case lifecycle.Submitting:
		// Attempts are not used up by an outage: after the last all that is left is to
		// wait until it is settled that there is no job.
		b := budgetFor(tx, rec.Resource)
		observeOnly := rec.Attempt-rec.Excused >= c.cfg.MaxAttempts || !now.Before(rec.LeasedAt.Add(maxSubmitting))
		m = lifecycle.Reclaim(rec.Run, now, c.cfg.SubmitTimeout, observeOnly)
		if observeOnly || rec.ObserveOnly {
			break
		}
		var allowance *pace.Allowance
		if res != nil {
			allowance = &res.Allowance
		}
		retry := b.Retry(now, c.pace, allowance) // it may create
		if !retry.At.IsZero() {
			rec.TimerAt = retry.At
			return false
		}
		if retry.Excused {
			c.slots.pause(parentOf(rec.Resource), true)
			rec.Excused++
		}
		if retry.OfAllowance {
			tx.PutResource(res)
		} else {
			tx.PutBudget(b)
		}
	case lifecycle.Submitted:
		if end := rec.Times.Submitted.Add(c.cfg.StartTimeout); now.Before(end) {
			rec.TimerAt = end // whoever set it earlier, a healthy job is not cancelled
			return false
		}
		if res != nil && res.Holding(rec) && res.Holds[rec.Key].Ran {
			// It was seen running, so the record is older than its hold: restored.
			m, why = lifecycle.Start(rec.Reservation.Job), nil
			break
		}
		m = lifecycle.MissStart()
		why = &reason.Problem{Code: reason.StartOverdue,
			Detail: fmt.Sprintf("Vertex AI has had the job for %s and has not started it.", c.cfg.StartTimeout)}
	case lifecycle.Cancelling:
		if rec.Reservation.Job != "" {
			rec.TimerAt = now.Add(c.cfg.Tick)
			return false
		}
		m = lifecycle.Reclaim(rec.Run, now, c.cfg.SubmitTimeout, true)
	default:
		rec.TimerAt = time.Time{}
		return false
	}
	if c.move(tx, res, rec, m, why) == lifecycle.Moved {
		return true
	}
	rec.TimerAt = now.Add(c.cfg.Tick)
	return false
}

func waitedTooLong(rec *ledger.Record) *reason.Problem {
	return &reason.Problem{Code: reason.WaitedTooLong,
		Detail: fmt.Sprintf("It waited %s, the longest it was to wait.", rec.MaxWait), Fix: fmt.Sprintf("Send it again under a new id, with a longer %s or at a better time.", rec.Paths.At("maxWait"))}
}

// keepObserving looks for the job of a request that is being cancelled.
func (c *Controller) keepObserving(ctx context.Context, rec *ledger.Record) {
	after, err := c.search(ctx, rec)
	if err != nil {
		c.log.Warn("search left to reconcile", "event", "search_failed", "request_key", string(rec.Key), "error", err)
	}
	if after == nil {
		after = rec
	}
	if err := c.publish(ctx, after); err != nil {
		c.log.Warn("outcome left to reconcile", "event", "publish_failed", "request_key", string(rec.Key), "error", err)
	}
}

// timerAt says when somebody has to look at the record again even if nothing is
// heard of it.
func (c *Controller) nextTimer(rec *ledger.Record, now time.Time) time.Time {
	switch rec.State {
	case lifecycle.Waiting:
		end := rec.Times.Received.Add(rec.MaxWait)
		if !rec.Parked {
			return end
		}
		// It waits for the pools to change, which brings a pass to it (parked.go), and
		// is refused once they have contradicted it for long.
		if t := rec.ContradictedSince.Add(c.cfg.Policy.RefuseAfter); !rec.ContradictedSince.IsZero() && t.After(now) && t.Before(end) {
			end = t
		}
		if rec.RetryAt.After(now) && rec.RetryAt.Before(end) {
			end = rec.RetryAt
		}
		return end
	case lifecycle.Reserved:
		// Its turn comes by way of the budget; this is for a lost pool and the end of
		// its wait.
		if end := rec.Times.Received.Add(rec.MaxWait); end.Before(now.Add(c.cfg.StartTimeout)) {
			return end
		}
		return now.Add(c.cfg.StartTimeout)
	case lifecycle.Submitting:
		// The next attempt may create, so it must not come before a job of this
		// one has had time to appear in a list.
		return rec.ActUntil.Add(c.cfg.RetryAfter)
	case lifecycle.Submitted:
		return rec.Times.Submitted.Add(c.cfg.StartTimeout)
	case lifecycle.Cancelling:
		if rec.Job != "" {
			return now.Add(c.cfg.Tick) // send the cancel again
		}
		return rec.ActUntil
	}
	return time.Time{}
}
