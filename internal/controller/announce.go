package controller

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// announce appends an event to the requests whose latest start is no longer the one that
// their publishers were told, by a plan of the resource as it was a moment ago; nil if
// nothing starts on it now. Then those are told whose time has passed.
func (c *Controller) announce(ctx context.Context, seen *ledger.Resource, now time.Time, plan *admission.Plan) error {
	var keys []message.Key
	if plan != nil {
		for _, r := range plan.Reserved {
			if plan.News(r, now) {
				keys = append(keys, r.ID)
			}
		}
	} else {
		for _, r := range seen.Reserved {
			if r.Passed(now) {
				keys = append(keys, r.ID)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(seen.Reannounce)) {
		if !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	if keys = keys[:min(len(keys), perUpdate)]; len(keys) == 0 {
		return nil
	}
	var told, delayed []*ledger.Record
	err := c.ledger.Update(ctx, ledger.Resources(seen.Name).And(ledger.Records(keys...)), func(tx ledger.Tx) error {
		told, delayed = nil, nil
		res := tx.Resource(seen.Name)
		if res == nil {
			return nil
		}
		for _, key := range keys {
			if !c.readable(ctx, tx, key, nil) {
				continue
			}
			isAnnounced, isLater := c.announceOne(ctx, tx, res, key)
			if isAnnounced {
				told = append(told, tx.Record(key))
			}
			if isLater {
				delayed = append(delayed, tx.Record(key))
			}
		}
		tx.Put(res)
		return nil
	})
	if err != nil {
		return fmt.Errorf("tell the latest start of %d requests of %s: %w", len(keys), seen.Name, err)
	}
	for _, rec := range delayed {
		c.log.WarnContext(withRecord(ctx, rec), "a request starts later than its publisher was told; its reason says why",
			slog.String("event", "start_delayed"), slog.Time("starts_by", rec.StartsBy))
	}
	if len(told) > 0 {
		c.publishOrLeave(ctx, told...)
	}
	return nil
}

// announceOne tells one request its latest start as it is now. It reports whether the
// record has a new event, and whether the start is later than was told.
func (c *Controller) announceOne(ctx context.Context, tx ledger.Tx, res *ledger.Resource, key message.Key) (told, later bool) {
	rec := tx.Record(key)
	if rec == nil || rec.State != lifecycle.Waiting {
		delete(res.Reannounce, key)
		return false, false
	}
	if len(rec.Unpublished()) > maxUnpublished || rec.UnpublishedWeight() > maxUnpublishedBytes {
		return false, false // its events are not published; a later pass tells it
	}
	d := admission.Decide(res.Snapshot(tx.Now()), rec.Request(), c.policyOf(res.Name))
	if d.Verdict != admission.Wait {
		return false, false // it starts, or ends, in its order
	}
	i := slices.IndexFunc(res.Reserved, func(r admission.Reservation) bool { return r.ID == key })
	if i >= 0 && res.Reserved[i].Announced.Equal(d.StartsBy) && !res.Reannounce[key] {
		return false, false // another pass has told it
	}
	d.Advise(res.Snapshot(tx.Now()), rec.Request(), c.policyOf(res.Name))
	later = !rec.StartsBy.IsZero() && (d.StartsBy.IsZero() || d.StartsBy.After(rec.StartsBy))
	if later && !d.Late {
		d.Reason.Detail += fmt.Sprintf(" It was to start by %s", rec.StartsBy.UTC().Format(time.RFC3339))
		if d.Plan != nil || d.Reason.Code == reason.Full { // nothing else moves a latest start in a plan
			d.Reason.Detail += ", and requests of a higher priority, or that an operator put first, go first"
		}
		d.Reason.Detail += "."
	}
	rec.Fit, rec.ScaleUp, rec.Ahead, rec.StartsBy = d.Fit, d.ScaleUp, d.Ahead, d.StartsBy
	before := rec.Sequence
	if rec.Renotified < maxRetold {
		rec.Renotified++
		c.move(ctx, tx, res, rec, lifecycle.ChangeReason(), d.Reason)
	} else {
		rec.Why = d.Reason
	}
	res.Announced(key, d.StartsBy)
	tx.Put(rec)
	return rec.Sequence != before, later
}
