package controller

import (
	"context"
	"fmt"
	"strings"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// move applies an event to a record within an update, and does everything that
// the table says goes with it: the hold, the place in the queue, the outbox event, the
// times, the timer. It is the only writer of a reservation.
//
// res is the record's resource; it may be nil for a row that does not write it
// ([lifecycle.Row.WritesResource]). The caller puts both documents if it reports
// Moved. why becomes the record's reason.
func (c *Controller) move(ctx context.Context, tx ledger.Tx, res *ledger.Resource, rec *ledger.Record, m lifecycle.Move, why *reason.Problem) lifecycle.Effect {
	before, now := rec.Reservation, tx.Now()
	next, row, effect := lifecycle.Next(before, m)
	switch effect {
	case lifecycle.Illegal:
		c.log.ErrorContext(withRecord(ctx, rec), "illegal move: this is a bug, please report it",
			"event", "illegal_move", "state", string(before.State), "move", string(m.Event()))
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
		res.Hold(rec, c.latestEnd(rec, now))
	case lifecycle.Give:
		res.Release(rec.Key)
	}
	if m.Event() == lifecycle.Leased {
		rec.LeasedAt, rec.Excused = now, 0
	}
	if pending := next.State == lifecycle.Reserved; pending || before.State == lifecycle.Reserved {
		res.SetPending(rec.Key, pending, c.latestEnd(rec, now))
	}
	if m.Event() == lifecycle.Requeued {
		if code(why) == string(reason.RequeueRequested) {
			rec.SentBack++
		} else {
			rec.Requeues++
		}
	}
	if joined && !left {
		rec.StartBy = time.Time{}
		if before.Again { // nothing of its job is the request's
			rec.JobState, rec.JobError, rec.Times.JobStarted, rec.Times.JobEnded = "", nil, time.Time{}, time.Time{}
			rec.Times.Submitted, rec.Times.Started = time.Time{}, time.Time{} // its next job has the whole start timeout
		}
		res.Join(rec)
	}
	if next.State != before.State {
		stamp(rec, now)
	}
	if m.Event() == lifecycle.Ended && next.State.Terminal() {
		c.addEnded(res, rec, before.State, now)
	}
	rec.TimerAt = c.nextTimer(rec, now)
	if row.Outcome != "" {
		rec.Append(outcome(rec, eventTypes[row.Outcome], res), now)
	}
	return effect
}

// latestEnd is when the job of a record ends at the latest, if it takes as long to be
// running as it may from a moment on.
func (c *Controller) latestEnd(rec *ledger.Record, from time.Time) time.Time {
	return byStart(rec, from.Add(c.cfg.StartTimeout)).Add(rec.Timeout)
}

// eventTypes maps the outbox events of the state table to event types.
var eventTypes = map[string]message.Type{
	"queued": message.Queued, "reserved": message.Reserved, "submitted": message.Submitted,
	"started": message.Started, "cancelling": message.Cancelling, "requeuing": message.Requeuing, "rejected": message.Rejected,
	"succeeded": message.Succeeded, "failed": message.Failed, "cancelled": message.Cancelled,
	"expired": message.Expired,
}

// stamp records when a state was reached.
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

// outcome builds the event that says how the record is now.
func outcome(rec *ledger.Record, t message.Type, res *ledger.Resource) message.Outcome {
	o := message.Outcome{
		Type: t, Tenant: rec.Tenant, MessageID: rec.MessageID, State: string(rec.State),
		PersistentResource: rec.Resource,
		Job:                rec.Reservation.Job, JobState: rec.JobState, JobError: rec.JobError,
		Reason: rec.Why, Times: rec.Times, PolicyVersion: rec.PolicyVersion,
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
		o.Ahead, o.StartsBy = &ahead, rec.StartsBy
	}
	return o
}

func code(p *reason.Problem) string {
	if p == nil {
		return ""
	}
	return string(p.Code)
}

// maxError is how much of an error's text is kept, in bytes. It is in every
// later event, and the record has to fit into one document.
const maxError = 2 << 10

// jobError is Vertex AI's error of a record's job. Its text may quote the job, so the
// values that may be secret are taken out.
func jobError(rec *ledger.Record, code int32, text string) *message.JobError {
	if text != undecodable {
		text = message.Redact(rec.Spec, text)
	}
	return &message.JobError{Code: code, Message: clip(text)}
}

// undecodable is the error of a job that this release cannot read, so that Vertex AI never
// got it.
const undecodable = "stored job does not decode"

func clip(text string) string {
	if len(text) <= maxError {
		return text
	}
	return strings.ToValidUTF8(text[:maxError], "") + "..."
}
