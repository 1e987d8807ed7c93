package repair

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// perUpdate bounds the records that one update reads. It writes none of them.
const perUpdate = 100

// LeakedHolds releases holds whose request does not hold, and restores the hold
// of a request that holds and has none, or one of another run or size. A hold
// that does not fit beside the other use, and whose job does not count as
// foreign use, is not restored, because it would make the resource overdrawn.
// It rebuilds a lost document from the requests.
func (k Kit) LeakedHolds(ctx context.Context) ([]Change, error) {
	res, bad, err := scan[*ledger.Resource](ctx, k.Ledger, ledger.KindResource)
	if err != nil {
		return nil, err
	}
	recs, unread, err := scan[*ledger.Record](ctx, k.Ledger, ledger.KindRecord)
	if err != nil {
		return nil, err
	}
	all, err := k.lost(ctx, res, recs, append(bad, unread...))
	if err != nil {
		return all, err
	}
	for _, u := range append(bad, unread...) {
		all = append(all, leftUnread(u, "hold")) // its holds are unknown, so none is released
	}
	for _, r := range res {
		for keys := range slices.Chunk(suspects(r, recs), perUpdate) {
			changes, err := k.update(ctx, ledger.Resources(r.Name).And(ledger.Records(keys...)), func(tx ledger.Tx) []Change {
				return k.repairHolds(tx, r.Name, keys)
			})
			if err != nil {
				return all, fmt.Errorf("fix %s of %s: %w", reason.Count(len(keys), "hold"), r.Name, err)
			}
			all = append(all, changes...)
		}
	}
	return all, nil
}

// lost rebuilds the missing documents of resources on which requests hold or
// wait.
func (k Kit) lost(ctx context.Context, known []*ledger.Resource, recs []*ledger.Record, unread []*ledger.UnreadableError) ([]Change, error) {
	missing := map[string][]*ledger.Record{}
	for _, r := range recs {
		if r.Resource != "" && r.Kind != message.KindAnswer && !r.State.Terminal() {
			missing[r.Resource] = append(missing[r.Resource], r)
		}
	}
	for _, res := range known {
		delete(missing, res.Name)
	}
	// An unreadable document exists. A document that is rebuilt without an
	// unreadable request would admit too much.
	for _, u := range unread {
		delete(missing, u.Name)
		if u.Kind == ledger.KindRecord && u.Resource == "" {
			clear(missing)
		}
		delete(missing, u.Resource)
	}
	var all []Change
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		changes, err := k.update(ctx, ledger.Resources(name), func(tx ledger.Tx) []Change {
			res := ledger.Rebuild(name, missing[name], tx.Now(), k.latestEnd)
			if tx.Resource(name) != nil || res == nil {
				return nil
			}
			tx.Put(res)
			return []Change{{Document: "resources/" + name, What: "document", From: "none",
				To: fmt.Sprintf("%s and %s", reason.Count(len(res.Holds), "hold"), reason.Count(res.Queue.Waiting(), "waiting request")), Note: "nothing is admitted before the next observation"}}
		})
		if err != nil {
			return all, fmt.Errorf("rebuild the document of %s: %w", name, err)
		}
		all = append(all, changes...)
	}
	return all, nil
}

// latestEnd is the latest end of the job of a holding record.
func (k Kit) latestEnd(rec *ledger.Record) time.Time { return k.endFrom(rec, rec.Times.Reserved) }

// endFrom is the same for a record that got its replicas at a moment.
func (k Kit) endFrom(rec *ledger.Record, reserved time.Time) time.Time {
	by := reserved.Add(k.Settings.StartTimeout)
	if !rec.StartBy.IsZero() && rec.StartBy.Before(by) {
		by = rec.StartBy
	}
	return by.Add(rec.Timeout)
}

// suspects are the requests whose hold appeared wrong, those to be released
// first, so that others may get the released replicas.
func suspects(res *ledger.Resource, recs []*ledger.Record) []message.Key {
	var free, take []message.Key
	known := map[message.Key]*ledger.Record{}
	for _, r := range recs {
		known[r.Key] = r
		if h, held := res.Holds[r.Key]; holding(r, res.Name) && (!held || !matches(h, r)) {
			take = append(take, r.Key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(res.Holds)) {
		if !holding(known[key], res.Name) {
			free = append(free, key)
		}
	}
	return append(free, take...)
}

func matches(h ledger.Hold, r *ledger.Record) bool {
	return h.Run == r.Run && slices.Equal(h.Ask, r.Ask)
}

func (k Kit) repairHolds(tx ledger.Tx, resource string, keys []message.Key) []Change {
	res := tx.Resource(resource)
	if res == nil {
		return nil
	}
	var changes []Change
	version := res.Version
	for _, key := range keys {
		if tx.Unreadable(ledger.RecordRef(key)) != nil {
			continue
		}
		rec := tx.Record(key)
		h, held := res.Holds[key]
		c := Change{Document: "resources/" + resource, Request: key, What: "hold of " + string(key), From: "none", To: "none"}
		if rec != nil {
			c.RequestID, c.What = rec.ID, "hold of "+who(rec)
		}
		if held {
			c.From = holdText(h)
		}
		switch {
		case held && !holding(rec, resource):
			c.Note = "there is no such request"
			if rec != nil {
				c.Note = "the request is " + string(rec.State) + " on " + rec.Resource
			}
			res.Release(key)
			if h.Job != "" && !slices.ContainsFunc(res.Foreign, func(f ledger.Foreign) bool { return f.Job == h.Job }) {
				// It was observed live, and the next observation says whether it
				// still is.
				res.Foreign = append(res.Foreign, ledger.Foreign{Job: h.Job, Ask: h.Ask, LatestEnd: h.LatestEnd})
				res.Recompute()
				c.Note += "; its job counts as foreign use until the next observation"
			}
		case holding(rec, resource) && (!held || !matches(h, rec)):
			c.Note = "the request is " + string(rec.State)
			k.take(tx, res, rec, &c)
		default:
			continue // correct by now
		}
		changes = append(changes, c)
	}
	if res.Version != version {
		tx.Put(res)
	}
	return changes
}

// take restores the hold of a record, if it fits.
func (k Kit) take(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record, c *Change) {
	// The use that was counted for its own job by mistake must not block it.
	others := res.Clone()
	delete(others.Holds, rec.Key)
	named := func(f ledger.Foreign) bool { return rec.Reservation.Job != "" && f.Job == rec.Reservation.Job }
	others.Foreign = slices.DeleteFunc(others.Foreign, named)
	// A job that counts as foreign use already uses no more machines as one of
	// Berth's.
	counted := len(others.Foreign) < len(res.Foreign)
	fit := capacity.Check(res.Pools, others.Use(), rec.Ask)
	c.To = holdText(ledger.Hold{Ask: rec.Ask, Run: rec.Run})
	switch {
	case fit.Verdict != capacity.Fits && !counted:
		c.Left = unfit(fit)
		return
	case len(others.Holds) >= ledger.MaxHolds:
		c.Left = fmt.Sprintf("the resource has %d holds, as many as it can have", len(others.Holds))
		return
	}
	since := rec.Times.Reserved
	if since.IsZero() {
		since = tx.Now()
	}
	res.ForeignJobs -= len(res.Foreign) - len(others.Foreign)
	res.Foreign = others.Foreign
	res.Hold(rec, k.endFrom(rec, since))
	res.Recompute()
}

func unfit(fit capacity.Result) string {
	for _, f := range fit.Findings {
		switch f.Verdict {
		case capacity.Full:
			return "it does not fit: " + admission.Short(f) + " Wait for that and try again, or cancel the request"
		case capacity.Never:
			return fmt.Sprintf("it does not fit: the pools as they are cannot have %s of %s. Cancel the request", reason.Count(f.Asked, "replica"), f.Shape)
		}
	}
	return "it does not fit"
}

func holdText(h ledger.Hold) string { return fmt.Sprintf("%s for run %s", asked(h.Ask), h.Run) }
