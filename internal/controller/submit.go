package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/pace"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// submit acts for a record's present attempt, within its time: looks for a job
// of an earlier attempt, and if there is none creates one, and records what
// came of it. started is when the update that granted the attempt began, on
// the monotonic clock. It returns the record as it is after that, nil if
// nothing was recorded.
//
// At every return the ledger tells the truth or less than the truth: a job may
// exist that it does not name, never the other way round.
func (c *Controller) submit(ctx context.Context, rec *ledger.Record, started time.Time) (*ledger.Record, error) {
	end := started.Add(c.cfg.SubmitTimeout - c.cfg.Margin)
	if !rec.UnclearUntil.IsZero() || rec.ObserveOnly {
		after, err := c.search(ctx, rec)
		if err != nil || after != nil || rec.ObserveOnly {
			return after, err
		}
	}
	left := end.Sub(c.env.Monotonic())
	if left <= 0 {
		// Another instance may have taken over; creating now could double the job.
		return nil, fmt.Errorf("attempt %d of %s ran out of time before create", rec.Attempt, rec.Key)
	}
	job, err := c.jobOf(rec)
	if err != nil {
		return c.declined(ctx, rec, lifecycle.Permanent, &vertex.Error{Op: "create", Kind: vertex.Permanent, Message: "stored job does not decode"})
	}
	create, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	created, err := c.vertex.Create(create, parentOf(rec.Resource), job)
	if err == nil {
		return c.accepted(ctx, rec, created)
	}
	var e *vertex.Error
	if !errors.As(err, &e) {
		e = &vertex.Error{Op: "create", Kind: vertex.Unclear, Err: err}
	}
	switch e.Kind {
	case vertex.RateLimited:
		return c.declined(ctx, rec, lifecycle.Rate, e)
	case vertex.Denied:
		return c.declined(ctx, rec, lifecycle.Denied, e)
	case vertex.Transient, vertex.NotFound:
		return c.declined(ctx, rec, lifecycle.Transient, e)
	case vertex.Permanent:
		return c.declined(ctx, rec, lifecycle.Permanent, e)
	}
	// Unclear: there may be a job now, or in a while. The record stays as it is;
	// whoever takes over looks before it creates.
	c.unanswered(ctx, rec)
	return nil, err
}

// unanswered pauses the submissions of a region after a create without an answer,
// for a moment that doubles: while Vertex AI does not answer, each attempt leaves
// machines held until it is settled that nothing came of it.
func (c *Controller) unanswered(ctx context.Context, rec *ledger.Record) {
	// The context may have ended with the create.
	ctx, cancel := c.env.within(context.WithoutCancel(ctx), noteWithin)
	defer cancel()
	parent := parentOf(rec.Resource)
	var granted []string
	var news bool
	err := c.grouped.Update(ctx, ledger.ReadSet{Resources: []string{rec.Resource}, Budgets: []string{parent}}, func(tx ledger.Tx) error {
		granted, news = nil, false
		res, b := tx.Resource(rec.Resource), budgetFor(tx, rec.Resource)
		if res == nil {
			return nil
		}
		changed := false
		if changed, news = b.Unanswered(tx.Now(), c.pace); changed {
			granted = c.putPaused(tx, b, res)
		}
		return nil
	})
	if err != nil {
		c.log.Warn("submissions go on although one was not answered", "event", "pause_failed", "region", parent, "error", err)
		return
	}
	c.slots.pause(parent, true)
	if news {
		c.log.Error("Vertex AI does not answer when jobs are created: submissions in this region are tried one at a time until it does",
			"event", "submissions_unanswered", "region", parent)
	}
	c.revoke(ctx, granted)
}

// noteWithin bounds what is written after a create whose context may be over.
const noteWithin = 5 * time.Second

// jobOf is the job to create for a record's present run.
func (c *Controller) jobOf(rec *ledger.Record) (*aiplatformpb.CustomJob, error) {
	job, err := message.ParseJob([]byte(rec.Spec))
	if err != nil {
		return nil, err
	}
	job.DisplayName = rec.DisplayName
	job.JobSpec.PersistentResourceId = idOf(rec.Resource)
	message.SetDisks(job, rec.Ask)
	if job.Labels == nil {
		job.Labels = map[string]string{}
	}
	job.Labels[vertex.LabelRun] = rec.Run
	job.Labels[vertex.LabelRequest] = string(rec.Key)
	job.Labels[vertex.LabelDeployment] = c.cfg.Deployment
	return job, nil
}

// search looks for a job of the record's run and records it. If there is none
// and none can appear any more, the run is given up. It returns the record if
// either settled it.
func (c *Controller) search(ctx context.Context, rec *ledger.Record) (*ledger.Record, error) {
	var lookedAt time.Time // before the look, so that "nothing for so long" is not overstated
	err := ledger.Read(ctx, c.ledger, ledger.ReadSet{Records: []message.Key{rec.Key}}, func(tx ledger.Tx) { lookedAt = tx.Now() })
	if err != nil {
		return nil, fmt.Errorf("read the time to look for a job of %s: %w", rec.Key, err)
	}
	jobs, err := c.vertex.Find(ctx, parentOf(rec.Resource), rec.Run)
	if err != nil {
		return nil, fmt.Errorf("look for a job of %s: %w", rec.Key, err)
	}
	// The label of the run can have been copied to a job of somebody else.
	jobs = slices.DeleteFunc(jobs, func(j vertex.Job) bool { return !ofRun(rec, j) })
	if len(jobs) > 0 {
		return c.accepted(ctx, rec, jobs[0])
	}
	why := &reason.Problem{Code: reason.SubmissionUnclear,
		Detail: fmt.Sprintf("Vertex AI did not say whether it created the job, and none has been found for %s.", c.cfg.UnclearTimeout)}
	refused := &reason.Problem{Code: reason.VertexDeclined, Detail: "Vertex AI refused the job."}
	run, attempt, settled := rec.Run, rec.Attempt, false
	after, err := c.update(ctx, rec, withResource, func(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record) bool {
		cause := why
		switch {
		case rec.State == lifecycle.Cancelling:
			cause = rec.Why
		case rec.Refused:
			cause = refused
		}
		rec.Rounds++
		accepted := time.Time{}
		if res != nil {
			accepted = res.AcceptedAt
		}
		last := outdone(rec, rec.LeasedAt, accepted) || rec.Rounds >= maxRounds || !lookedAt.Before(rec.LeasedAt.Add(maxSubmitting))
		settled = c.move(tx, res, rec, lifecycle.GiveUp(run, attempt, lookedAt, c.cfg.UnclearTimeout, last), cause) == lifecycle.Moved
		return settled
	})
	if err != nil || !settled {
		return nil, err
	}
	return after, nil
}

// ofRun reports whether a job in the region of a record's resource can be the job
// of its present run. Somebody can have copied the labels to a job elsewhere.
func ofRun(rec *ledger.Record, j vertex.Job) bool {
	return j.Run == rec.Run && j.Request == rec.Key && j.PersistentResource == idOf(rec.Resource)
}

// Bounds of what is tried for a request whose submission does not come to a job
// and is not refused for what the job is.
const (
	// maxOutdone is how often Vertex AI may accept others meanwhile. Then the trouble is the request's own.
	maxOutdone = 3
	// maxRounds is how many runs there are at most, of twenty minutes and more each:
	// longer than an outage of a night, but not without end.
	maxRounds = 50
	// maxSubmitting is how long one run is tried while nobody's creates are answered.
	maxSubmitting = 24 * time.Hour
)

// outdone counts whether Vertex AI has accepted another's job since a request was
// last tried, and reports whether it has done so too often.
func outdone(rec *ledger.Record, since, accepted time.Time) bool {
	if !since.IsZero() && accepted.After(since) {
		rec.Outdone++
	}
	return rec.Outdone >= maxOutdone
}

// accepted records the job of a run, whichever attempt created it.
func (c *Controller) accepted(ctx context.Context, rec *ledger.Record, job vertex.Job) (*ledger.Record, error) {
	run := rec.Run
	after, err := c.update(ctx, rec, recordOnly, func(tx ledger.Tx, _ *ledger.Resource, rec *ledger.Record) bool {
		rec.JobState, rec.Declined = string(job.State), ledger.Declined{}
		return c.move(tx, nil, rec, lifecycle.Accept(run, job.Name), rec.Why) == lifecycle.Moved
	})
	if err != nil {
		return nil, fmt.Errorf("record job %s of %s: %w", job.Name, rec.Key, err)
	}
	c.resumed(ctx, parentOf(rec.Resource))
	if after == nil {
		// Somebody deleted the record, perhaps to restore another. Then the label of
		// the run finds the job again; until then it counts as foreign use.
		c.log.Error("the record of a job was lost while the job was submitted; the job is left alone",
			"event", "record_lost", "request_key", string(rec.Key), "job", job.Name)
		return nil, nil
	}
	if after.Reservation.Job != job.Name {
		// The run is over, or has another job. This one is ours and nobody's.
		c.log.Warn("cancelling a job that its reservation does not name", "event", "orphan_job", "request_key", string(rec.Key), "job", job.Name)
		if err := c.vertex.Cancel(ctx, job.Name); err != nil {
			c.log.Warn("orphan job left to reconcile", "event", "cancel_failed", "job", job.Name, "error", err)
		}
		return after, nil
	}
	c.log.Info("submitted", "event", "submitted", "request_key", string(rec.Key), "job", job.Name, "attempt", after.Attempt)
	c.sendCancel(ctx, after) // a cancel came while the job was being created
	return after, nil
}

// declined records that the present attempt certainly created nothing.
func (c *Controller) declined(ctx context.Context, rec *ledger.Record, d lifecycle.DeclineKind, e *vertex.Error) (*ledger.Record, error) {
	run, attempt := rec.Run, rec.Attempt
	why := &reason.Problem{Code: reason.VertexDeclined, Detail: "Vertex AI refused the job."}
	if d == lifecycle.Transient {
		why.Detail = "Vertex AI refused the job for now; the request keeps its place by age."
	}
	also, pauses := withResource, d == lifecycle.Rate || d == lifecycle.Denied
	if pauses {
		also = withBudget
		c.slots.pause(parentOf(rec.Resource), true)
	}
	var granted []string
	var news, own bool
	after, err := c.update(ctx, rec, also, func(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record) bool {
		recorded := d
		cause := why
		own = false
		if d == lifecycle.Denied {
			if own = outdone(rec, rec.DeniedAt, budgetFor(tx, rec.Resource).ResumedAt); own {
				recorded = lifecycle.Permanent // others are let through: it is about this job after all
			}
			rec.DeniedAt = tx.Now()
		}
		switch {
		case rec.State == lifecycle.Cancelling:
			cause = rec.Why // the cancel is what ends it
		case d == lifecycle.Transient && c.countDecline(tx.Now(), res, rec, e):
			recorded, cause = lifecycle.Permanent, declinedForGood(rec.Declined)
		case d == lifecycle.Rate:
			cause = c.rateLimited()
		case d == lifecycle.Denied && !own:
			cause = denied()
		}
		if !pauses || own {
			rec.JobError = &message.JobError{Code: e.Code, Message: clip(e.Message)}
		}
		if granted, news = nil, false; pauses && !own && res != nil {
			b := budgetFor(tx, rec.Resource)
			news = b.Refused(tx.Now(), c.pace, d == lifecycle.Denied)
			granted = c.putPaused(tx, b, res)
		}
		before := rec.State
		pause := c.ownPause(rec.Declined)
		if pause == 0 && othersWait(res, rec) {
			// They are tried first once the resource's pause is over: one that is
			// never taken must not head the line for a day.
			pause = c.cfg.MaxBackoff + c.cfg.Tick/4
		}
		alone := rec.Declined.Alone > 0
		if before != lifecycle.Submitting || recorded != lifecycle.Transient || !e.Unspecific() {
			pause = 0
		}
		if pause > 0 {
			rec.Parked, rec.RetryAt = true, tx.Now().Add(pause) // before it would join its line
			if alone {
				cause = refusedAlone(rec)
			}
		}
		if c.move(tx, res, rec, lifecycle.Decline(run, attempt, recorded, tx.Now()), cause) != lifecycle.Moved {
			return false
		}
		if rec.State != lifecycle.Waiting {
			rec.Parked, rec.RetryAt = false, time.Time{}
		} else if pause > 0 {
			res.HasParked = true
		}
		if before == lifecycle.Submitting && recorded == lifecycle.Transient && !alone {
			res.BackOff(tx.Now(), c.cfg.Backoff, c.cfg.MaxBackoff)
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("record that %s was declined: %w", rec.Key, err)
	}
	if news {
		c.log.Error("Vertex AI does not let Berth submit jobs: submissions in this region are paused until it does",
			"event", "submissions_denied", "region", parentOf(rec.Resource), "code", e.Code)
	}
	c.revoke(ctx, granted)
	c.log.Info("declined", "event", "declined", "request_key", string(rec.Key), "kind", string(d), "code", e.Code, "attempt", attempt)
	return after, nil
}

// denied is why a request keeps its machines and is not submitted while Vertex AI
// refuses Berth itself.
func denied() *reason.Problem {
	return &reason.Problem{Code: reason.SubmissionsDenied,
		Detail: "Its machines are held. Vertex AI does not let Berth submit jobs in this region at present; the request is submitted when it does."}
}

// countDecline counts a transient refusal of a request, and reports whether there
// have been enough to take it for a refusal of the request itself. Without a bound
// a job that Vertex AI never takes would be submitted every minute for as long
// as it may wait.
//
// A refusal counts if it could be about the job ([vertex.Error.Unspecific]) and the
// persistent resource has been RUNNING with the same pools since the refusal before
// it: an outage or a new resource explains the refusals before. The time in which
// the request was not tried, because its pools were full or backing off, does not
// count. What is left is longer than machines are taken by what Berth cannot see.
func (c *Controller) countDecline(now time.Time, res *ledger.Resource, rec *ledger.Record, e *vertex.Error) bool {
	if !e.Unspecific() {
		return false
	}
	r := &rec.Declined
	if steady := res != nil && !res.SteadySince.IsZero() && !res.SteadySince.After(r.Last); r.Times == 0 || !steady {
		*r = ledger.Declined{}
	} else {
		r.For += min(now.Sub(r.Last), c.ownPause(*r)+2*max(c.cfg.MaxBackoff, c.cfg.Tick))
		if r.Alone > 0 || res.AcceptedAt.After(r.Last) {
			r.Alone++
		}
	}
	r.Times, r.Last = r.Times+1, now
	return r.For >= c.cfg.DeclineTimeout
}

// maxOwnPause is the longest pause of one request that Vertex AI goes on refusing.
const maxOwnPause = time.Hour

// ownPause is for how long a request that was refused is not submitted again, beyond
// the pause of its resource: nothing while nobody's jobs are accepted there, because
// then the trouble is the service's or the resource's and may pass at any moment; else
// twice as long each time.
func (c *Controller) ownPause(r ledger.Declined) time.Duration {
	if r.Alone == 0 {
		return 0
	}
	most := max(c.cfg.MaxBackoff, min(maxOwnPause, c.cfg.DeclineTimeout/24))
	return pace.Double(c.cfg.MaxBackoff, most, r.Alone)
}

// othersWait reports whether requests wait in the queue for machines that a request asks for.
func othersWait(res *ledger.Resource, rec *ledger.Record) bool {
	return res != nil && slices.ContainsFunc(rec.Ask.Shapes(), func(s capacity.Shape) bool { return res.Queues[s.String()].Count > 0 })
}

// refusedAlone is why a request is parked that Vertex AI refuses while it accepts
// others.
func refusedAlone(rec *ledger.Record) *reason.Problem {
	return &reason.Problem{Code: reason.VertexDeclined,
		Detail: fmt.Sprintf("Vertex AI refused the job %d times and accepted others on this persistent resource meanwhile. It is submitted again after %s, or when the pools change.",
			rec.Declined.Times, rec.RetryAt.UTC().Format(time.RFC3339))}
}

func declinedForGood(r ledger.Declined) *reason.Problem {
	return &reason.Problem{Code: reason.VertexDeclined,
		Detail: fmt.Sprintf("Vertex AI refused the job %d times in %s, while the persistent resource was RUNNING and, as far as can be seen, had room for it.", r.Times, r.For.Round(time.Minute)),
		Fix:    "Vertex AI's words are in error. Fix the job, and send it again under a new id."}
}

// maxError is how much of an error's text is kept, in bytes. It is in every
// later event, and the record has to fit into one document.
const maxError = 2 << 10

func clip(text string) string {
	if len(text) <= maxError {
		return text
	}
	return strings.ToValidUTF8(text[:maxError], "") + "..."
}
