package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/berth/internal/batch"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/telemetry"
)

// publishOrLeave publishes the events of records; what cannot be published now is left
// to a pass.
func (c *Controller) publishOrLeave(ctx context.Context, recs ...*ledger.Record) {
	if err := c.publish(ctx, recs...); err != nil {
		c.log.WarnContext(withRecord(ctx, recs[0]), "outcome left to reconcile", "event", "publish_failed", "records", len(recs), "error", err)
	}
}

// publish publishes the unpublished events of records and marks them published. It does
// nothing for records without any. An error leaves them to the next pass.
func (c *Controller) publish(ctx context.Context, recs ...*ledger.Record) error {
	var events []message.Outcome
	var unpublished []*ledger.Record
	var spans []telemetry.Span
	ids := map[message.Key][]string{}
	for _, rec := range recs {
		late := rec.Unpublished()
		if len(late) == 0 {
			continue
		}
		trace := rec.Trace
		if c.env.Telemetry != nil {
			_, span := c.env.Telemetry.Publish(ctx, "publish", rec.Trace)
			span.Count(telemetry.KeyEvents, len(late))
			spans, trace = append(spans, span), cmp.Or(telemetry.Format(span.Context()), trace)
		}
		for _, l := range late {
			event := rec.Event(l)
			event.Trace = trace
			events = append(events, event)
			ids[rec.Key] = append(ids[rec.Key], l.ID)
		}
		unpublished = append(unpublished, rec)
	}
	if len(events) == 0 {
		return nil
	}
	err := c.out.publish(ctx, unpublished[0].Tenant, events)
	for _, span := range spans {
		span.End(failure(err))
	}
	if err != nil {
		return fmt.Errorf("publish %d outcome events of %s: %w", len(events), about(unpublished), err)
	}
	// A crash here publishes them once more, under the same ids.
	for part := range inCommits(unpublished) {
		if err := c.markPublished(ctx, part, ids); err != nil {
			return fmt.Errorf("mark the outcome events of %s as published: %w", about(part), err)
		}
	}
	return nil
}

func about(recs []*ledger.Record) string {
	if len(recs) == 1 {
		return string(recs[0].Key)
	}
	return fmt.Sprintf("%s and %d more", recs[0].Key, len(recs)-1)
}

// An outbox publishes in one call what several handlers have to publish at one
// time.
type outbox struct {
	to    Publisher
	queue *batch.Queue[*publication]
}

// A publication is the events of one handler.
type publication struct {
	events []message.Outcome
	err    error
}

// eventWeight is about how many bytes an event takes.
const eventWeight = 2 << 10

func newOutbox(to Publisher) *outbox {
	return &outbox{to, batch.NewQueue[*publication](batch.Limits{Items: 200, Bytes: 2 << 20, Waiting: 4000, WaitingBytes: 32 << 20})}
}

// publish returns nil when the server has all events of the caller. After an
// error it may have some: that of another's event may be the reason.
func (o *outbox) publish(ctx context.Context, tenant string, events []message.Outcome) error {
	p := &publication{events: events}
	err := o.queue.Do(ctx, tenant, len(events)*eventWeight, p, func(ctx context.Context, publications []*publication, _ func() []*publication) {
		var all []message.Outcome
		for _, p := range publications {
			all = append(all, p.events...)
		}
		err := o.to.Publish(ctx, all...)
		for _, p := range publications {
			p.err = err
		}
	})
	return cmp.Or(err, p.err)
}

// markPublished records in one update which outbox events the outcome topic has.
func (c *Controller) markPublished(ctx context.Context, recs []*ledger.Record, ids map[message.Key][]string) error {
	hints := ledger.Hints{Recent: true, Tenant: recs[0].Tenant, With: recs[0].Resource}
	for _, rec := range recs {
		hints.Bytes += rec.Weight()
	}
	var marked []ledger.OutboxEvent
	var now time.Time
	err := c.grouped.Update(ctx, ledger.ReadSetOf(recs...), func(tx ledger.Tx) error {
		marked, now = nil, tx.Now()
		for _, known := range recs {
			key := known.Key
			rec := tx.Record(key)
			if rec != nil && slices.ContainsFunc(rec.Unpublished(), func(l ledger.OutboxEvent) bool { return slices.Contains(ids[key], l.ID) }) {
				if c.env.Telemetry.Counts() {
					marked = append(marked, slices.DeleteFunc(rec.Unpublished(), func(l ledger.OutboxEvent) bool { return !slices.Contains(ids[key], l.ID) })...)
				}
				rec.MarkPublished(ids[key], tx.Now(), c.cfg.Keep)
				tx.Put(rec)
			}
		}
		return nil
	}, hints)
	if err == nil {
		c.published(ctx, marked, now)
	}
	return err
}

// publishLate publishes outbox events that the instance that wrote them has not.
func (c *Controller) publishLate(ctx context.Context, now time.Time, p *progress) error {
	const most = 200
	keys, more, err := c.oneByOne(&c.unpublishedFrom, most, func(after ledger.Timed, limit int) ([]ledger.Timed, error) {
		found, err := c.ledger.Unpublished(ctx, after, limit)
		c.since(&p.late.event, found)
		if err == nil && after == (ledger.Timed{}) {
			age := time.Duration(0)
			if len(found) > 0 {
				age = now.Sub(found[0].Time)
			}
			c.env.Telemetry.Unpublished(ctx, age)
		}
		return found, err
	})
	if err != nil {
		return fmt.Errorf("list unpublished events: %w", err)
	}
	p.more = p.more || more
	var errs []error
	for part := range slices.Chunk(keys, perUpdate) {
		sent, err := c.publishLateOf(ctx, now, p, part...)
		p.Published += sent
		if err == nil {
			continue
		}
		// One that cannot be sent must not keep the others back.
		for _, key := range part {
			sent, err := c.publishLateOf(ctx, now, p, key)
			p.Published += sent
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// publishLateOf publishes the events of records whose instance has not done so in time,
// and returns of how many.
func (c *Controller) publishLateOf(ctx context.Context, now time.Time, p *progress, keys ...message.Key) (int, error) {
	var late []*ledger.Record
	err := ledger.Read(ctx, c.ledger, ledger.Records(keys...), func(tx ledger.Tx) {
		late = nil
		for _, key := range keys {
			// What is not late was sent meanwhile, or is about to be by the instance
			// that wrote it.
			if !c.readable(ctx, tx, key, p) {
				continue
			}
			if rec := tx.Record(key); rec != nil && len(rec.Unpublished()) > 0 && now.Sub(rec.Unpublished()[0].Time) >= c.cfg.PublishGrace {
				late = append(late, rec)
			}
		}
	})
	if err != nil {
		return 0, fmt.Errorf("read %d records with unpublished events: %w", len(keys), err)
	}
	if err := c.publish(ctx, late...); err != nil {
		return 0, err
	}
	return len(late), nil
}
