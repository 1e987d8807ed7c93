package repair

import (
	"context"
	"fmt"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// Wake sets the time at which reconcile looks at a record: now, or as soon as a
// look does no harm (see timerAt).
func (k Kit) RunTimer(ctx context.Context, key message.Key) ([]Change, error) {
	changes, err := k.onOne(ctx, key, func(tx ledger.Tx, rec *ledger.Record) Change {
		now := tx.Now()
		at := k.nextTimer(rec, now)
		c := onRecord(rec, "timerAt")
		c.From, c.To = moment(rec.TimerAt), moment(at)
		switch {
		case rec.Kind == message.KindAnswer || rec.Tombstone() || rec.State.Terminal():
			c.Left = fmt.Sprintf("nobody has to look at it: it is %s", ended(rec))
		case rec.State == lifecycle.Running:
			c.Left = "reconcile asks about running jobs in every pass; it needs no time"
		case !rec.TimerAt.IsZero() && !rec.TimerAt.After(at):
			c.Left = "it is to be looked at by then already. If that time is past, the tick does not run: see berth doctor"
		}
		if c.Left != "" {
			return c
		}
		switch {
		case at.After(now):
			c.Note = fmt.Sprintf("not earlier, because it is %s: a look before that could start or end something twice", rec.State)
		case rec.State == lifecycle.Submitted:
			c.Note = fmt.Sprintf("it has been submitted for more than %s without running, and will be cancelled as overdue", k.Settings.StartWithin)
		}
		rec.TimerAt = at
		tx.PutRecord(rec)
		return c
	})
	if err != nil {
		return nil, fmt.Errorf("wake %s: %w", key, err)
	}
	return changes, nil
}

func ended(rec *ledger.Record) string {
	switch {
	case rec.Kind == message.KindAnswer:
		return "an answer"
	case rec.Tombstone():
		return "a cancel of what has not come yet"
	}
	return string(rec.State)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}
