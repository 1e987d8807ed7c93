package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// submit acts for a record's present attempt, within its time: it searches for a job
// of an earlier attempt, creates one if there is none, and records what came of it.
// started is when the update that granted the attempt began, on the monotonic clock. It
// returns the record as it is after that, nil if nothing was recorded.
//
// At every return a job may exist that the ledger does not name. It never names a job
// that does not exist.
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
		return c.declined(ctx, rec, lifecycle.Permanent, &vertex.Error{Op: "create", Kind: vertex.Permanent, Message: undecodable})
	}
	create, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	created, err := c.vertex.Create(create, vertex.NameOf(rec.Resource).Parent(), job)
	if err == nil {
		c.env.Telemetry.Submission(ctx, "CREATED")
		return c.accepted(ctx, rec, created)
	}
	var e *vertex.Error
	if !errors.As(err, &e) {
		e = &vertex.Error{Op: "create", Kind: vertex.Unclear, Err: err}
	}
	c.env.Telemetry.Submission(ctx, string(e.Kind))
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
	// the next attempt searches before it creates.
	c.unanswered(ctx, rec)
	return nil, err
}

// jobOf is the job to create for a record's present run.
func (c *Controller) jobOf(rec *ledger.Record) (*aiplatformpb.CustomJob, error) {
	job, err := message.ParseJob([]byte(rec.Spec))
	if err != nil {
		return nil, err
	}
	job.DisplayName = rec.DisplayName
	job.JobSpec.PersistentResourceId = vertex.NameOf(rec.Resource).ID()
	message.SetDisks(job, rec.Ask)
	if job.Labels == nil {
		job.Labels = map[string]string{}
	}
	job.Labels[vertex.LabelRun] = rec.Run
	job.Labels[vertex.LabelRequest] = string(rec.Key)
	job.Labels[vertex.LabelDeployment] = c.cfg.Deployment
	return job, nil
}

// search searches for a job of the record's run and records it. If there is none
// and none can appear any more, the run is given up. It returns the record if
// either settled it.
func (c *Controller) search(ctx context.Context, rec *ledger.Record) (*ledger.Record, error) {
	var searchedAt time.Time // before the search, so that "nothing for so long" is not overstated
	err := ledger.Read(ctx, c.ledger, ledger.Records(rec.Key), func(tx ledger.Tx) { searchedAt = tx.Now() })
	if err != nil {
		return nil, fmt.Errorf("read the time of the search for a job of %s: %w", rec.Key, err)
	}
	jobs, err := c.vertex.Find(ctx, vertex.NameOf(rec.Resource).Parent(), rec.Run)
	if err != nil {
		return nil, fmt.Errorf("search for a job of %s: %w", rec.Key, err)
	}
	// The label of the run can have been copied to a foreign job.
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
		case res != nil && res.Paused != nil:
			cause = res.Paused.Problem()
		default:
			if pause, is := c.tenantPause(rec.Tenant); is {
				cause = pause.TenantProblem()
			}
		}
		rec.Rounds++
		accepted := time.Time{}
		if res != nil {
			accepted = res.AcceptedAt
		}
		last := outdone(rec, rec.LeasedAt, accepted) || rec.Rounds >= maxRounds || !searchedAt.Before(rec.LeasedAt.Add(maxSubmitting))
		settled = c.move(ctx, tx, res, rec, lifecycle.GiveUp(run, attempt, searchedAt, c.cfg.UnclearTimeout, last), cause) == lifecycle.Moved
		return settled
	})
	if err != nil || !settled {
		return nil, err
	}
	return after, nil
}

// accepted records the job of a run, whichever attempt created it.
func (c *Controller) accepted(ctx context.Context, rec *ledger.Record, job vertex.Job) (*ledger.Record, error) {
	run := rec.Run
	after, err := c.update(ctx, rec, recordOnly, func(tx ledger.Tx, _ *ledger.Resource, rec *ledger.Record) bool {
		rec.JobState, rec.Declined = string(job.State), ledger.Declined{}
		return c.move(ctx, tx, nil, rec, lifecycle.Accept(run, job.Name), rec.Why) == lifecycle.Moved
	})
	if err != nil {
		return nil, fmt.Errorf("record job %s of %s: %w", job.Name, rec.Key, err)
	}
	c.resumed(ctx, vertex.NameOf(rec.Resource).Parent())
	if after == nil {
		// An operator deleted the record, perhaps to restore another. Then the label of
		// the run finds the job again. Until then it counts as foreign use.
		c.log.ErrorContext(ctx, "the record of a job was lost while the job was submitted; the job is left alone",
			"event", "record_lost", "job", job.Name)
		return nil, nil
	}
	if after.Reservation.Job != job.Name {
		// The run is over, or has another job. This one is an orphan.
		c.log.WarnContext(ctx, "cancelling a job that its reservation does not name", "event", "orphan_job", "job", job.Name)
		if err := c.vertex.Cancel(ctx, job.Name); err != nil {
			c.log.WarnContext(ctx, "orphan job left to reconcile", "event", "cancel_failed", "job", job.Name, "error", err)
		}
		return after, nil
	}
	c.log.InfoContext(ctx, "submitted", "event", "submitted", "job", job.Name, "attempt", after.Attempt)
	c.sendCancel(ctx, after) // a cancel came while the job was being created
	return after, nil
}

// ofRun reports whether a job in the region of a record's resource can be the job
// of its present run. The labels can have been copied to a job elsewhere.
func ofRun(rec *ledger.Record, j vertex.Job) bool {
	return j.Run == rec.Run && j.Request == rec.Key && j.PersistentResource == vertex.NameOf(rec.Resource).ID()
}

// sendCancel asks Vertex AI for the end of a record's job, if it is one to be
// cancelled. An error is not passed on: the record's timer sends it again.
func (c *Controller) sendCancel(ctx context.Context, rec *ledger.Record) {
	if rec.State != lifecycle.Cancelling || rec.Reservation.Job == "" {
		return
	}
	ctx, span := c.env.Telemetry.Follow(ctx, "cancel", rec.Trace)
	err := c.vertex.Cancel(ctx, rec.Reservation.Job)
	span.End(failure(err))
	if err != nil {
		c.log.WarnContext(ctx, "cancel will be sent again", "event", "cancel_failed", "error", err)
	}
}

// unanswered pauses the submissions of a region after a create without an answer,
// for a moment that doubles: while Vertex AI does not answer, each attempt leaves
// replicas held until it is settled that no job came of it.
func (c *Controller) unanswered(ctx context.Context, rec *ledger.Record) {
	// The context may have ended with the create.
	ctx, cancel := c.env.within(context.WithoutCancel(ctx), noteWithin)
	defer cancel()
	parent := vertex.NameOf(rec.Resource).Parent()
	var granted []string
	var news bool
	err := c.grouped.Update(ctx, ledger.Resources(rec.Resource).And(ledger.Budgets(parent)), func(tx ledger.Tx) error {
		granted, news = nil, false
		res, b := tx.Resource(rec.Resource), budgetFor(tx, rec.Resource)
		if res == nil {
			return nil
		}
		var changed bool
		if changed, news = b.Unanswered(tx.Now(), c.pace); changed {
			granted = c.putPaused(tx, b, res)
		}
		return nil
	})
	if err != nil {
		c.log.WarnContext(ctx, "submissions go on although one was not answered", "event", "pause_failed", "region", parent, "error", err)
		return
	}
	c.slots.pause(parent, true)
	if news {
		c.log.ErrorContext(ctx, "Vertex AI does not answer when jobs are created: submissions in this region are tried one at a time until it does",
			"event", "submissions_unanswered", "region", parent)
	}
	c.revoke(ctx, granted)
}

// noteWithin bounds what is written after a create whose context may be over.
const noteWithin = 5 * time.Second
