package repair

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// A Publisher sends outcome events. It returns nil only when the server has all
// of them.
type Publisher interface {
	Publish(ctx context.Context, events ...message.Outcome) error
}

// Resend marks letters of a request as not sent, so that reconcile publishes
// them again, under the same event ids: consumers that have them drop them. An
// empty list of sequence numbers means all that are kept. The document may not
// be deleted before they are sent.
func (k Kit) Resend(ctx context.Context, key message.Key, sequences []int64) ([]Change, error) {
	changes, err := k.onOne(ctx, key, func(tx ledger.Tx, rec *ledger.Record) Change {
		c := onRecord(rec, "letters")
		c.From = lettersText(rec)
		changed := false
		for i := range rec.Letters {
			l := &rec.Letters[i]
			if !l.Sent || len(sequences) > 0 && !slices.Contains(sequences, l.Outcome.Sequence) {
				continue
			}
			if i > 0 && rec.Letters[i-1].Outcome.Sequence != l.Outcome.Sequence-1 {
				c.Note = fmt.Sprintf("event %d stays as it is: the one before it is not kept any more", l.Outcome.Sequence)
				continue // an unsent letter must not be the first that anybody misses
			}
			l.Sent, changed = false, true
		}
		over := rec.Kind == message.KindAnswer || rec.State.Terminal() || rec.Tombstone()
		if !rec.ExpireAt.IsZero() && (!over || len(rec.Unsent()) > 0) {
			rec.ExpireAt, changed = time.Time{}, true
		}
		for _, n := range sequences {
			if !slices.ContainsFunc(rec.Letters, func(l ledger.Letter) bool { return l.Outcome.Sequence == n }) {
				c.Note = fmt.Sprintf("event %d is not kept", n)
			}
		}
		if c.To = lettersText(rec); !changed {
			c.Left = "none of them is to be marked: they are not sent yet, or are not kept"
			return c
		}
		tx.PutRecord(rec)
		return c
	})
	if err != nil {
		return nil, fmt.Errorf("mark letters of %s as not sent: %w", key, err)
	}
	return changes, nil
}

func lettersText(rec *ledger.Record) string {
	s := fmt.Sprintf("%d kept", len(rec.Letters))
	if len(rec.Letters) > 0 {
		s += fmt.Sprintf(" (%d to %d)", rec.Letters[0].Outcome.Sequence, rec.Letters[len(rec.Letters)-1].Outcome.Sequence)
	}
	s += fmt.Sprintf(", %d unsent", len(rec.Unsent()))
	if !rec.ExpireAt.IsZero() {
		s += ", may be deleted from " + rec.ExpireAt.UTC().Format(time.RFC3339)
	}
	return s
}

// Send publishes what has been unsent for long, as reconcile does: for a
// deployment whose tick does not run, or that may not publish. A crash before
// the mark publishes an event twice, under one id.
func (k Kit) Send(ctx context.Context, out Publisher) ([]Change, error) {
	// A letter that is sent leaves the query, one that is not stays in it: so one
	// query with all of them, rather than pages.
	places, err := k.Ledger.Unsent(ctx, ledger.Timed{}, 10_000)
	if err != nil {
		return nil, fmt.Errorf("list unsent letters: %w", err)
	}
	var all []Change
	for _, key := range ledger.KeysOf(places) {
		change, err := k.send(ctx, out, key)
		if bad := (*ledger.UnreadableError)(nil); errors.As(err, &bad) {
			all = append(all, leftUnread(bad, "letters"))
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
	err := ledger.Read(ctx, k.Ledger, ledger.Names{Records: []message.Key{key}}, func(tx ledger.Tx) { rec, now = tx.Record(key), tx.Now() })
	if err != nil {
		return nil, fmt.Errorf("read record %s: %w", key, err)
	}
	if rec == nil || len(rec.Unsent()) == 0 || now.Sub(rec.Unsent()[0].Time) < k.Settings.Tick {
		return nil, nil // sent meanwhile, or soon to be by whoever wrote it
	}
	c := onRecord(rec, "letters")
	c.From = lettersText(rec)
	var events []message.Outcome
	var ids []string
	for _, l := range rec.Unsent() {
		events, ids = append(events, rec.Event(l)), append(ids, l.ID)
	}
	mark := func(rec *ledger.Record, now time.Time) { rec.MarkSent(ids, now, k.Settings.Keep) }
	if !k.Do {
		mark(rec, now)
		c.To = lettersText(rec)
		return &c, nil
	}
	if err := out.Publish(ctx, events...); err != nil {
		return nil, fmt.Errorf("publish %s of %s: %w", plural(len(events), "outcome event"), key, err)
	}
	changes, err := k.onOne(ctx, key, func(tx ledger.Tx, rec *ledger.Record) Change {
		if slices.ContainsFunc(rec.Unsent(), func(l ledger.Letter) bool { return slices.Contains(ids, l.ID) }) {
			mark(rec, tx.Now())
			tx.PutRecord(rec)
		}
		c.To = lettersText(rec)
		return c
	})
	if err != nil {
		return nil, fmt.Errorf("mark %s of %s as sent: %w", plural(len(events), "outcome event"), key, err)
	}
	return &changes[0], nil
}
