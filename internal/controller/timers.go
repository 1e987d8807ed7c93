package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/pace"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// dueClasses are the states whose timers go before others: whatever holds
// machines goes first, because a lost submission keeps them from everybody.
var dueClasses = [...][]lifecycle.State{
	{lifecycle.Submitting, lifecycle.Cancelling, lifecycle.Reserved, lifecycle.Submitted},
	{lifecycle.Waiting},
}

// duePerPass bounds the timers of each class that one pass runs.
const duePerPass = 200

// wake looks at the records whose time has come, a bounded number of each class
// per pass, longest due first.
func (c *Controller) runTimers(ctx context.Context, now time.Time, r *Report) error {
	// Usually all that are due fit into one pass, and one query finds them.
	first, err := c.ledger.Due(ctx, slices.Concat(dueClasses[:]...), now, ledger.Timed{}, duePerPass)
	if err != nil {
		return fmt.Errorf("list due records: %w", err)
	}
	if len(first) < duePerPass {
		return c.runAllTimers(ctx, slices.DeleteFunc(ledger.KeysOf(first), func(key message.Key) bool {
			return c.unreadable.known(key, c.env.Monotonic())
		}), r)
	}
	var errs []error
	for class, states := range dueClasses {
		keys, more, err := c.oneByOne(&c.dueFrom[class], duePerPass, func(after ledger.Timed, limit int) ([]ledger.Timed, error) {
			return c.ledger.Due(ctx, states, now, after, limit)
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("list due records in %s: %w", states, err))
			continue
		}
		r.more = r.more || more
		errs = append(errs, c.runAllTimers(ctx, keys, r))
	}
	return errors.Join(errs...)
}

// rouseAll does what is due for some records, side by side by region, and several
// of a region at a time. Waiting requests only need to be looked at, one after the
// other.
func (c *Controller) runAllTimers(ctx context.Context, keys []message.Key, r *Report) error {
	groups := map[string][]message.Key{}
	var names []string // in the order of what is due first
	var errs []error
	for part := range slices.Chunk(keys, perUpdate) {
		var group []string
		err := ledger.Read(ctx, c.ledger, ledger.ReadSet{Records: part}, func(tx ledger.Tx) {
			group = make([]string, len(part))
			for i, key := range part {
				if !c.readable(tx, key, r) {
					group[i] = unreadableGroup
					continue
				}
				switch rec := tx.Record(key); {
				case rec == nil || rec.Resource == "":
				case rec.State == lifecycle.Waiting:
					group[i] = waitingIn + parentOf(rec.Resource)
				default:
					group[i] = parentOf(rec.Resource)
				}
			}
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("read %d due records: %w", len(part), err))
			group = make([]string, len(part)) // each by itself
		}
		for i, key := range part {
			if groups[group[i]] == nil {
				names = append(names, group[i])
			}
			groups[group[i]] = append(groups[group[i]], key)
		}
	}
	for _, name := range names {
		if name == unreadableGroup {
			continue
		}
		together := 1
		if !strings.HasPrefix(name, waitingIn) {
			together = c.cfg.Submitters
		}
		r.tasks.start(ctx, "timers "+name, "", r, func(r *Report) error { return c.runEachTimer(ctx, groups[name], together, r) })
	}
	return errors.Join(errs...)
}

// unreadableGroup is the group of records that are left alone.
const unreadableGroup = "unreadable"

// waitingIn begins the name of a group of waiting requests.
const waitingIn = "waiting in "

func (c *Controller) runEachTimer(ctx context.Context, keys []message.Key, together int, r *Report) error {
	var mu sync.Mutex
	var errs []error
	var g errgroup.Group
	g.SetLimit(together)
	for _, key := range keys {
		g.Go(func() error {
			err := c.runTimer(ctx, key, r)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("look after %s: %w", key, err))
			} else {
				r.Timers++
			}
			return nil
		})
	}
	_ = g.Wait()
	return errors.Join(errs...)
}

// inTurn returns up to most records of a query that goes by time, and whether
// there are more. It leaves out those that could not be read lately. Where it
// ends, the instance's next pass begins: records that stay in the query, because
// what is due for them fails, must not keep the others from their turn.
func (c *Controller) oneByOne(from *resume, most int, query func(after ledger.Timed, limit int) ([]ledger.Timed, error)) (keys []message.Key, more bool, err error) {
	const pages = 20 // of which all but one are about unreadable records
	start := from.get()
	after, now := start, c.env.Monotonic()
	for range pages {
		found, err := query(after, most)
		if err != nil {
			return nil, false, err
		}
		for _, place := range found {
			if len(keys) == most {
				from.set(after)
				return keys, true, nil
			}
			if after = place; !c.unreadable.known(place.Key, now) {
				keys = append(keys, place.Key)
			}
		}
		if len(found) < most {
			from.set(ledger.Timed{}) // the next pass begins with the first again
			return keys, start != ledger.Timed{}, nil
		}
		if len(keys) == most {
			break
		}
	}
	from.set(after)
	return keys, true, nil
}

// run does what is due for one record.
func (c *Controller) runTimer(ctx context.Context, key message.Key, r *Report) error {
	rec, err := c.read(ctx, key)
	if c.leftAlone(err, r) {
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
	if c.leftAlone(err, r) {
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
	c.carryOn(ctx, after, began)
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

// lost says why a reservation that is not submitted yet has lost its pool; nil
// if it has not.
func lost(now time.Time, res *ledger.Resource, rec *ledger.Record, p admission.Policy) *reason.Problem {
	ask := rec.Request()
	ask.Waiting, ask.OnFull = true, message.Queue
	s := res.Snapshot(now, 0)
	// Its own replicas are held already: what has to be true is that the machines
	// are there, not that as many again are free.
	s.Use, s.Holds, s.NoRoom, s.NotBefore = nil, 0, false, time.Time{}
	d := admission.Decide(s, ask, p)
	if d.Verdict == admission.Admit || d.Reason.Code == reason.ObservationTooOld {
		return nil
	}
	return d.Reason
}

// carryOnLooking looks for the job of a request that is being cancelled.
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

// handOnNow hands on what has just come free, outside a pass.
func (c *Controller) scheduleNow(ctx context.Context, resource string) error {
	var r Report
	_, err := c.schedule(ctx, resource, nil, &r)
	if len(r.pending) == 0 {
		return err
	}
	began := c.env.Monotonic()
	g, slotErr := c.grantSlots(ctx, parentOf(resource), []string{resource}, false)
	c.carryOnAll(ctx, g.moved, began, &r)
	return errors.Join(err, slotErr)
}

// maxHinting is how many hints an instance follows at one time: less than the
// requests that deploy.sh lets it have, so that a tick always finds room.
const maxHinting = 4

// Hint tells of a job that may have changed: one Get, and if it has ended its
// replicas are handed on. It never starts a pass, and an instance follows no more
// hints than a third of its share of Vertex AI's calls allows, and few at one time:
// the others are dropped, since the tick learns the same.
func (c *Controller) Hint(ctx context.Context, job string) error {
	if !c.hints.AllowN(c.env.Monotonic(), 1) {
		return nil
	}
	// A hint that hangs holds one of the function's request slots, and ticks need
	// these.
	if c.hinting.Add(1) > maxHinting {
		c.hinting.Add(-1)
		return nil
	}
	defer c.hinting.Add(-1)
	j, err := c.vertex.Get(ctx, job)
	switch {
	case err != nil && vertex.KindOf(err) == vertex.NotFound:
		return nil // the tick asks for those that a reservation names
	case err != nil:
		return fmt.Errorf("hint: get %s: %w", job, err)
	case j.Request == "" || j.Run == "":
		return nil
	}
	rec, err := c.read(ctx, j.Request)
	if err != nil || rec == nil || rec.Resource == "" || parentOf(job) != parentOf(rec.Resource) || !ofRun(rec, j) {
		return err
	}
	moved := false
	after, err := c.update(ctx, rec, withResource, func(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record) bool {
		moved = ofRun(rec, j) && c.apply(tx, res, rec, j)
		return moved
	})
	if err != nil || !moved {
		return err
	}
	c.sendCancel(ctx, after)
	if err := c.publish(ctx, after); err != nil {
		c.log.Warn("outcome left to reconcile", "event", "publish_failed", "request_key", string(rec.Key), "error", err)
	}
	if after.State.Terminal() {
		err = c.scheduleNow(ctx, rec.Resource)
	}
	return err
}
