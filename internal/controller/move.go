package controller

import (
	"context"
	"fmt"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// words maps the outbox events of the state table to event types. An outbox event that is
// missing here is a bug that TestEveryLetterHasAType finds.
var eventTypes = map[string]message.Type{
	"queued": message.Queued, "reserved": message.Reserved, "submitted": message.Submitted,
	"started": message.Started, "cancelling": message.Cancelling, "rejected": message.Rejected,
	"succeeded": message.Succeeded, "failed": message.Failed, "cancelled": message.Cancelled,
	"expired": message.Expired,
}

// move applies an event to a record within an update, and does everything that
// the table says goes with it: the hold, the place in the queue, the outbox event, the
// times, the next look. It is the only writer of a reservation.
//
// res is the record's resource; it may be nil for a row that does not write it
// ([lifecycle.Row.WritesResource]). The caller puts both documents if it reports
// Moved. why becomes the record's reason.
func (c *Controller) move(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record, m lifecycle.Move, why *reason.Problem) lifecycle.Effect {
	before, now := rec.Reservation, tx.Now()
	next, row, effect := lifecycle.Next(before, m)
	switch effect {
	case lifecycle.Illegal:
		c.log.Error("illegal move: this is a bug, please report it",
			"event", "illegal_move", "request_key", string(rec.Key), "state", string(before.State), "move", string(m.Event()))
		return effect
	case lifecycle.AlreadySo:
		return effect
	}
	if c.env.Moved != nil {
		c.env.Moved(row)
	}
	if res == nil && row.WritesResource() {
		panic(fmt.Sprintf("controller: %s in %q needs the resource document", m.Event(), before.State))
	}
	left, joined := before.State == lifecycle.Waiting, next.State == lifecycle.Waiting
	if left && !joined {
		res.Leave(rec)
	}
	if before.Run != "" && next.Run != before.Run {
		rec.PastRuns = append(rec.PastRuns, before.Run)
		rec.PastRuns = rec.PastRuns[max(0, len(rec.PastRuns)-8):]
	}
	rec.Reservation, rec.Why = next, why
	switch row.Capacity {
	case lifecycle.Take:
		res.Hold(rec, now.Add(c.cfg.StartTimeout+rec.Timeout))
	case lifecycle.Give:
		res.Release(rec.Key)
	}
	if m.Event() == lifecycle.Leased {
		rec.LeasedAt, rec.Excused = now, 0
	}
	if pending := next.State == lifecycle.Reserved; pending || before.State == lifecycle.Reserved {
		res.SetPending(rec.Key, pending, now.Add(c.cfg.StartTimeout+rec.Timeout))
	}
	if joined && !left {
		res.Join(rec)
	}
	if next.State != before.State {
		stamp(rec, now)
	}
	rec.TimerAt = c.nextTimer(rec, now)
	if row.Outcome != "" {
		rec.Append(outcome(rec, eventTypes[row.Outcome], res), now)
	}
	return effect
}

// stamp notes when a state was reached.
func stamp(rec *ledger.Record, now time.Time) {
	switch t := &rec.Times; {
	case rec.State == lifecycle.Waiting:
		t.Queued = now
	case rec.State == lifecycle.Reserved:
		t.Reserved = now
	case rec.State == lifecycle.Submitted && t.Submitted.IsZero():
		t.Submitted = now
	case rec.State == lifecycle.Running:
		t.Started = now
	case rec.State.Terminal():
		t.Ended = now
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

// outcome builds the event that tells of the record as it is now.
func outcome(rec *ledger.Record, t message.Type, res *ledger.Resource) message.Outcome {
	o := message.Outcome{
		Type: t, Tenant: rec.Tenant, MessageID: rec.MessageID, State: string(rec.State),
		PersistentResource: rec.Resource,
		Job:                rec.Reservation.Job, JobState: rec.JobState, JobError: rec.JobError,
		Reason: rec.Why, Times: rec.Times,
	}
	if rec.Kind == message.KindRequest {
		o.RequestID = rec.ID
	}
	switch t {
	case message.Queued, message.Rejected, message.Reserved:
		o.Fit, o.ScaleUp, o.Warnings = rec.Fit, rec.ScaleUp, rec.Warnings
		if res != nil && !res.ObservedAt.IsZero() {
			seen := res.ObservedAt
			o.ObservedAt = &seen
		}
	}
	if t == message.Queued {
		ahead := rec.Ahead
		o.Ahead = &ahead
	}
	return o
}

// scope is what an update of one record reads beside it.
type scope int

const (
	recordOnly scope = iota
	withResource
	withBudget // and the resource
)

// update changes one record and, where needed, its resource; known is the record
// as it was last seen. change returns whether it changed anything; record and
// resource are then put. A record that does not exist is not an error: change is
// not called.
//
// An update of a record only may first run on it as this instance last wrote it,
// so change must then not give a right until a moment.
func (c *Controller) update(ctx context.Context, known *ledger.Record, also scope, change func(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record) bool) (after *ledger.Record, err error) {
	key := known.Key
	names := ledger.ReadSet{Records: []message.Key{key}, Recent: also == recordOnly, Tenant: known.Tenant, Bytes: known.Weight(), With: known.Resource}
	if also != recordOnly && known.Resource != "" {
		names.Resources = []string{known.Resource}
	}
	if also == withBudget {
		names.Budgets = []string{parentOf(known.Resource)}
	}
	for again := true; ; again = false {
		lost := false
		err = c.grouped.Update(ctx, names, func(tx ledger.Tx) error {
			lost = false
			var res *ledger.Resource
			var version int64
			if len(names.Resources) > 0 {
				if res = tx.Resource(known.Resource); res != nil {
					version = res.Version
				}
			}
			if after = tx.Record(key); after == nil {
				return nil
			}
			if lost = res == nil && len(names.Resources) > 0 && !after.State.Terminal(); lost {
				return nil // what it gives back or joins is not there
			}
			if change(tx, res, after) {
				tx.PutRecord(after)
				// Most moves that keep the replicas leave the resource alone: that
				// document is the one everybody writes.
				if res != nil && res.Version != version {
					tx.PutResource(res)
				}
			}
			return nil
		})
		switch {
		case err != nil || !lost:
			return after, err
		case !again:
			return nil, fmt.Errorf("the document of %s is missing", known.Resource)
		}
		if _, err := c.rebuild(ctx, known.Resource); err != nil {
			return nil, err
		}
	}
}
