package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/telemetry"
)

// Handle takes in one delivery of a tenant's topic. When it returns nil, the
// request or the answer to it is durable and the message may be acknowledged.
// An error means that nothing is promised and Pub/Sub should deliver again.
//
// A request whose own document, or whose resource's, cannot be read is not taken:
// its delivery comes again until a release that can read it runs.
func (c *Controller) Handle(ctx context.Context, tenant string, d message.Delivery) error {
	err := c.handle(ctx, tenant, d)
	c.leftAlone(ctx, err, nil)
	return err
}

func (c *Controller) handle(ctx context.Context, tenant string, d message.Delivery) error {
	started := c.env.Monotonic()
	m, err := message.Decode(d)
	if refusal := (*message.Refusal)(nil); errors.As(err, &refusal) {
		return c.Refuse(ctx, tenant, d, refusal)
	} else if err != nil {
		return fmt.Errorf("decode message %s: %w", d.ID, err)
	}
	if m.Cancel != nil {
		return c.cancel(ctx, tenant, d, *m.Cancel)
	}
	if m.Request.DryRun {
		q, err := c.quote(ctx, tenant, d, m)
		if err != nil {
			return err
		}
		return c.answer(ctx, tenant, d, q.Outcome)
	}
	rules, err := c.rulebook(ctx)
	if err != nil {
		return fmt.Errorf("decide message %s: %w", d.ID, err)
	}
	rec := c.draft(rules, tenant, d, m)
	ctx = withRecord(ctx, rec)
	return c.enter(ctx, d, rec, started)
}

// enter decides a new request and, if it was admitted, submits it.
func (c *Controller) enter(ctx context.Context, d message.Delivery, draft *ledger.Record, started time.Time) error {
	deciding, span := c.env.Telemetry.Start(ctx, "decide")
	v, rec, started, err := c.decideNew(deciding, draft, started)
	switch {
	case err == nil && v == entered:
		c.decided(ctx, span, rec)
	case err == nil:
		span.Set(telemetry.KeyVerdict, "answer") // it made no request
		fallthrough
	default:
		span.End(failure(err))
	}
	return c.conclude(ctx, d, draft, v, rec, err, started)
}

// decideNew decides a new request. It returns when the update that did so began, on the
// monotonic clock.
func (c *Controller) decideNew(ctx context.Context, draft *ledger.Record, started time.Time) (v verdict, rec *ledger.Record, began time.Time, err error) {
	if draft.Why != nil {
		return c.refuse(ctx, draft)
	}
	var e entry
	v, rec, err = c.decideAmong(ctx, draft, &e)
	if err == nil && v == unlearned {
		c.readHistory(ctx, draft.Tenant)
		c.estimate(draft)
		started = c.env.Monotonic()
		e.learned = true
		v, rec, err = c.decideAmong(ctx, draft, &e)
	}
	if err == nil && v == unobserved {
		// Ask Vertex AI outside the update, then decide on what was written. If it
		// cannot be asked, the request waits for an observation.
		absent, observeErr := c.refresh(ctx, draft.Resource)
		if absent {
			draft.Why = c.unknown(draft)
			return c.refuse(ctx, draft)
		}
		if observeErr != nil {
			c.log.WarnContext(ctx, "cannot observe the persistent resource; the request waits until it can be", "event", "observe_failed", "error", observeErr)
		}
		started = c.env.Monotonic()
		e.learned, e.blind = true, true
		if v, rec, err = c.decideAmong(ctx, draft, &e); err == nil && v == unobserved {
			// The name may be made up: a document for every such name would stay forever.
			err = neverObserved{cmp.Or(observeErr, errors.New("its document is gone"))}
		}
	}
	if err == nil && e.replaced != nil {
		c.sendReplaced(ctx, e.replaced)
	}
	return v, rec, started, err
}

// neverObserved is the error of a request for a resource of which nothing is known.
type neverObserved struct{ error }

func (e neverObserved) Unwrap() error { return e.error }

// conclude goes on after the update that decided a new request: it submits and
// publishes what the update moved, or answers the message that made no request.
func (c *Controller) conclude(ctx context.Context, d message.Delivery, draft *ledger.Record, v verdict, rec *ledger.Record, err error, started time.Time) error {
	unknown := neverObserved{}
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("message %s names a resource that was never observed: %w", d.ID, unknown.error)
	case tooLarge(err, rec):
		return c.answerTooLarge(ctx, d, draft)
	case err != nil:
		return fmt.Errorf("decide message %s: %w", d.ID, err)
	case v == duplicate:
		return nil
	case v == repeated:
		return c.answerRepeat(ctx, d, rec)
	case v == reused:
		return c.answerReuse(ctx, d, draft)
	}
	c.log.InfoContext(ctx, "decided", "event", "decision", "state", string(rec.State), "reason", code(rec.Why), "replicas", int64(rec.Ask.Replicas()), "policy", rec.PolicyVersion)
	c.proceed(ctx, rec, started)
	return nil
}

// An entry says what has been done for a new request before it is decided.
type entry struct {
	learned  bool           // its tenant's history has been read, or that has failed
	among                   // what its concurrency key says
	replaced *ledger.Record // the earlier request of its key that it has taken the place of
	blind    bool           // its resource has been observed, or that has failed: an old observation will do, and the request then waits
}

// decide is the one atomic update of a new request. Requests for the same resource
// that come in at the same time share the commit.
func (c *Controller) decide(ctx context.Context, draft *ledger.Record, e *entry) (v verdict, rec *ledger.Record, err error) {
	reads := ledger.Resources(draft.Resource).And(ledger.Records(draft.Key)).And(e.among.reads(draft))
	hints := ledger.Hints{Tenant: draft.Tenant, Bytes: draft.Weight()}
	err = c.grouped.Update(ctx, reads, func(tx ledger.Tx) error {
		v, rec, e.replaced = entered, nil, nil
		old := tx.Record(draft.Key)
		if old != nil && !old.Tombstone() {
			v, rec = known(old, draft), old
			return nil
		}
		if old != nil {
			rec = c.received(tx, draft, nil)
			c.cancelOnArrival(ctx, tx, old, rec)
			tx.Put(rec)
			return nil
		}
		earlier, unread := e.among.earlier(tx, draft)
		if unread {
			v = crowded
			return nil
		}
		if why := forbidden(draft, earlier); why != nil {
			rec = c.received(tx, draft, nil)
			c.move(ctx, tx, nil, rec, lifecycle.Refuse(), why)
			tx.Put(rec)
			return nil
		}
		res := tx.Resource(draft.Resource)
		if res != nil && !e.learned && c.unlearned(draft.Tenant, res) {
			v = unlearned
			return nil
		}
		if res == nil || !e.blind && tx.Now().Sub(res.ObservedAt) > c.cfg.Policy.MaxAge {
			v = unobserved
			return nil
		}
		rec = c.received(tx, draft, res)
		if c.place(ctx, tx, res, rec) {
			tx.Put(res)
		}
		tx.Put(rec)
		if rec.Active() {
			e.replaced = c.takeConcurrency(ctx, tx, rec, earlier)
		}
		return nil
	}, hints)
	return v, rec, err
}

// decideAmong decides a request, and reads before what its concurrency key asks for.
func (c *Controller) decideAmong(ctx context.Context, draft *ledger.Record, e *entry) (v verdict, rec *ledger.Record, err error) {
	for range 8 { // each round reads one thing more, unless others take the key meanwhile
		v, rec, err = c.decide(ctx, draft, e)
		if err != nil || v != crowded {
			return v, rec, err
		}
		if err = c.meet(ctx, draft, &e.among); err != nil {
			return v, nil, err
		}
	}
	return v, nil, fmt.Errorf("requests of one concurrency key: %w", ledger.ErrBusy)
}

// received is a draft that comes in now, for a resource or to be refused without one.
func (c *Controller) received(tx ledger.Tx, draft *ledger.Record, res *ledger.Resource) *ledger.Record {
	rec := draft.Clone()
	rec.Times.Received = tx.Now()
	c.placeIn(rec, res, tx.Now())
	return rec
}

// cancelOnArrival ends a new request that finds a tombstone under its id: it was
// cancelled before it came.
func (c *Controller) cancelOnArrival(ctx context.Context, tx ledger.Tx, tombstone, rec *ledger.Record) {
	rec.Cancels = tombstone.Cancels
	c.move(ctx, tx, nil, rec, lifecycle.Cancel(), tombstone.Why)
}

// refuse stores a request as rejected without reading a resource: the request names
// none that this deployment serves, or one that Vertex AI does not have; or deployment or
// policy do not allow it. draft.Why says which.
func (c *Controller) refuse(ctx context.Context, draft *ledger.Record) (v verdict, rec *ledger.Record, began time.Time, err error) {
	reads := ledger.Records(draft.Key)
	hints := ledger.Hints{Tenant: draft.Tenant, Bytes: draft.Weight()}
	err = c.grouped.Update(ctx, reads, func(tx ledger.Tx) error {
		v, rec = entered, nil
		old := tx.Record(draft.Key)
		if old != nil && !old.Tombstone() {
			v, rec = known(old, draft), old
			return nil
		}
		rec = c.received(tx, draft, nil)
		if old != nil {
			c.cancelOnArrival(ctx, tx, old, rec)
		} else {
			c.move(ctx, tx, nil, rec, lifecycle.Refuse(), draft.Why)
		}
		tx.Put(rec)
		return nil
	}, hints)
	return v, rec, c.env.Monotonic(), err
}
