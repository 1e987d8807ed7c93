package repair

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// A Publisher publishes outcome events. It returns nil only after the server
// has confirmed all of them.
type Publisher interface {
	Publish(ctx context.Context, events ...message.Outcome) error
}

// Republish marks outbox events of a request as unpublished, so that reconcile
// publishes them again under the same event ids, and subscribers that have them
// drop them. An empty list of sequence numbers means all that are kept. The
// document cannot be deleted before they are published.
func (k Kit) Republish(ctx context.Context, key message.Key, sequences []int64) ([]Change, error) {
	changes, err := k.onOne(ctx, key, func(tx ledger.Tx, rec *ledger.Record) Change {
		c := onRecord(rec, "outbox events")
		c.From = outboxText(rec)
		changed := false
		for i := range rec.Outbox {
			l := &rec.Outbox[i]
			if !l.Published || len(sequences) > 0 && !slices.Contains(sequences, l.Outcome.Sequence) {
				continue
			}
			if i > 0 && rec.Outbox[i-1].Outcome.Sequence != l.Outcome.Sequence-1 {
				c.Note = fmt.Sprintf("event %d stays as it is: the event before it is no longer kept", l.Outcome.Sequence)
				continue // an unpublished event must not follow a gap
			}
			l.Published, changed = false, true
		}
		over := rec.Kind == message.KindAnswer || rec.State.Terminal() || rec.Tombstone()
		if !rec.ExpireAt.IsZero() && (!over || len(rec.Unpublished()) > 0) {
			rec.ExpireAt, changed = time.Time{}, true
		}
		for _, n := range sequences {
			if !slices.ContainsFunc(rec.Outbox, func(l ledger.OutboxEvent) bool { return l.Outcome.Sequence == n }) {
				c.Note = fmt.Sprintf("event %d is not kept", n)
			}
		}
		if c.To = outboxText(rec); !changed {
			c.Left = "no change: they are unpublished already, or are not kept"
			return c
		}
		tx.Put(rec)
		return c
	})
	if err != nil {
		return nil, fmt.Errorf("mark outbox events of %s as unpublished: %w", key, err)
	}
	return changes, nil
}

func outboxText(rec *ledger.Record) string {
	s := fmt.Sprintf("%d kept", len(rec.Outbox))
	if len(rec.Outbox) > 0 {
		s += fmt.Sprintf(" (%d to %d)", rec.Outbox[0].Outcome.Sequence, rec.Outbox[len(rec.Outbox)-1].Outcome.Sequence)
	}
	s += fmt.Sprintf(", %d unpublished", len(rec.Unpublished()))
	if !rec.ExpireAt.IsZero() {
		s += ", may be deleted from " + rec.ExpireAt.UTC().Format(time.RFC3339)
	}
	return s
}

// Send publishes the events that have been unpublished for long, as reconcile
// does: for a deployment whose tick does not run, or that may not publish. A
// crash before the mark publishes an event twice, under one id.
func (k Kit) Send(ctx context.Context, out Publisher) ([]Change, error) {
	// A published event leaves the query and an unpublished one stays in it, so
	// this is one query for all of them, not one per page.
	places, err := k.Ledger.Unpublished(ctx, ledger.Timed{}, 10_000)
	if err != nil {
		return nil, fmt.Errorf("list unpublished events: %w", err)
	}
	var all []Change
	for _, key := range ledger.KeysOf(places) {
		change, err := k.send(ctx, out, key)
		if bad := (*ledger.UnreadableError)(nil); errors.As(err, &bad) {
			all = append(all, leftUnread(bad, "outbox events"))
			continue
		}
		if err != nil {
			return all, err
		}
		if change != nil {
			all = append(all, *change)
		}
	}
	return all, nil
}

func (k Kit) send(ctx context.Context, out Publisher, key message.Key) (*Change, error) {
	var rec *ledger.Record
	var now time.Time
	err := ledger.Read(ctx, k.Ledger, ledger.Records(key), func(tx ledger.Tx) { rec, now = tx.Record(key), tx.Now() })
	if err != nil {
		return nil, fmt.Errorf("read record %s: %w", key, err)
	}
	if rec == nil || len(rec.Unpublished()) == 0 || now.Sub(rec.Unpublished()[0].Time) < k.Settings.Tick {
		return nil, nil // published meanwhile, or about to be by the instance that wrote it
	}
	c := onRecord(rec, "outbox events")
	c.From = outboxText(rec)
	var events []message.Outcome
	var ids []string
	for _, l := range rec.Unpublished() {
		events, ids = append(events, rec.Event(l)), append(ids, l.ID)
	}
	mark := func(rec *ledger.Record, now time.Time) { rec.MarkPublished(ids, now, k.Settings.Keep) }
	if k.DryRun {
		mark(rec, now)
		c.To = outboxText(rec)
		return &c, nil
	}
	if err := out.Publish(ctx, events...); err != nil {
		return nil, fmt.Errorf("publish %s of %s: %w", reason.Count(len(events), "outcome event"), key, err)
	}
	changes, err := k.onOne(ctx, key, func(tx ledger.Tx, rec *ledger.Record) Change {
		if slices.ContainsFunc(rec.Unpublished(), func(l ledger.OutboxEvent) bool { return slices.Contains(ids, l.ID) }) {
			mark(rec, tx.Now())
			tx.Put(rec)
		}
		c.To = outboxText(rec)
		return c
	})
	if err != nil {
		return nil, fmt.Errorf("mark %s of %s as published: %w", reason.Count(len(events), "outcome event"), key, err)
	}
	return &changes[0], nil
}
