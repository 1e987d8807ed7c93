package repair

import (
	"context"
	"fmt"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// RunTimer sets the timer of a record: to now, or to the earliest harmless time
// (see nextTimer).
func (k Kit) RunTimer(ctx context.Context, key message.Key) ([]Change, error) {
	changes, err := k.onOne(ctx, key, func(tx ledger.Tx, rec *ledger.Record) Change {
		now := tx.Now()
		at := k.nextTimer(rec, now)
		c := onRecord(rec, "timerAt")
		c.From, c.To = moment(rec.TimerAt), moment(at)
		switch {
		case rec.Kind == message.KindAnswer || rec.Tombstone() || rec.State.Terminal():
			c.Left = fmt.Sprintf("it needs no timer: it is %s", ended(rec))
		case rec.State == lifecycle.Running:
			c.Left = "it needs no timer: every pass of reconcile asks for running jobs"
		case !rec.TimerAt.IsZero() && !rec.TimerAt.After(at):
			c.Left = "its timer is not later than that. If that time is past, the tick does not run: see berth doctor"
		}
		if c.Left != "" {
			return c
		}
		switch {
		case at.After(now):
			c.Note = fmt.Sprintf("not earlier, because it is %s: an earlier run could create a second job or cancel a healthy one", rec.State)
		case rec.State == lifecycle.Submitted:
			c.Note = fmt.Sprintf("it has been submitted for more than %s without running, and will be cancelled as overdue", k.Settings.StartTimeout)
		}
		rec.TimerAt = at
		tx.Put(rec)
		return c
	})
	if err != nil {
		return nil, fmt.Errorf("set the timer of %s: %w", key, err)
	}
	return changes, nil
}

func ended(rec *ledger.Record) string {
	switch {
	case rec.Kind == message.KindAnswer:
		return "an answer"
	case rec.Tombstone():
		return "a cancel of an unknown id"
	}
	return string(rec.State)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format(time.RFC3339)
}
