package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// apply makes the moves that a job's state calls for. A job without a state is
// gone. It reports whether anything changed.
func (c *Controller) apply(ctx context.Context, tx ledger.Tx, res *ledger.Resource, rec *ledger.Record, job vertex.Job) bool {
	changed := false
	do := func(m lifecycle.Move, why *reason.Problem) {
		if c.move(ctx, tx, res, rec, m, why) == lifecycle.Moved {
			changed = true
		}
	}
	if rec.Reservation.Job == "" && job.Name != "" && job.Run == rec.Run {
		rec.JobState = string(job.State)
		do(lifecycle.Accept(job.Run, job.Name), rec.Why)
	}
	if rec.Reservation.Job != job.Name {
		return changed
	}
	switch {
	case job.State == "":
		why := &reason.Problem{Code: reason.JobGone, Detail: "The job was deleted at Vertex AI; how it ended is not known."}
		if rec.Again {
			why = rec.Why // it waits again, as it was to
		}
		do(lifecycle.LoseJob(job.Name), why)
	case job.State.Ended():
		if rec.JobState = string(job.State); job.Error != nil {
			rec.JobError = jobError(rec, job.Error.Code, job.Error.Message)
		}
		rec.Times.JobStarted, rec.Times.JobEnded = job.StartTime, job.EndTime
		do(lifecycle.End(job.Name, endOf(job.State)), whyEnded(rec, res, job))
	case job.State.Ran():
		rec.JobState, rec.Times.JobStarted = string(job.State), job.StartTime
		do(lifecycle.Start(job.Name), nil)
	}
	return changed
}

// endOf says what a terminal job state means for the request.
func endOf(s vertex.JobState) lifecycle.State {
	switch s {
	case vertex.JobSucceeded, vertex.JobPartiallySucceeded:
		return lifecycle.Succeeded
	case vertex.JobCancelled:
		return lifecycle.Cancelled
	case vertex.JobExpired:
		return lifecycle.Expired
	}
	return lifecycle.Failed
}

// whyEnded says why a job ended, with the cause where it is known. res is its
// persistent resource as it was last observed, nil if that is not known.
func whyEnded(rec *ledger.Record, res *ledger.Resource, job vertex.Job) *reason.Problem {
	switch {
	case job.State == vertex.JobSucceeded && rec.State != lifecycle.Cancelling:
		return nil
	case job.State == vertex.JobSucceeded:
		return &reason.Problem{Code: reason.JobEnded, Detail: "The job succeeded before the cancel reached it."}
	case job.State == vertex.JobPartiallySucceeded:
		return &reason.Problem{Code: reason.JobEnded, Detail: "The job ended as PARTIALLY_SUCCEEDED: some results may be missing."}
	case job.State == vertex.JobCancelled && rec.State == lifecycle.Cancelling:
		return rec.Why
	}
	// Vertex AI ends a job over its scheduling.timeout, and the jobs of a resource
	// that is deleted, as CANCELLED; it is not documented that it does so always.
	switch ran := job.EndTime.Sub(job.StartTime); {
	case job.State != vertex.JobExpired && !job.StartTime.IsZero() && rec.Timeout > 0 && ran >= rec.Timeout:
		return &reason.Problem{Code: reason.JobTimedOut,
			Detail: fmt.Sprintf("The job reached its timeout of %s: it took %s from start to end, and Vertex AI ended it as %s.", rec.Timeout, ran.Round(time.Second), job.State),
			Fix:    fmt.Sprintf("Send it again under a new id with a longer %s.", rec.Paths.At("jobSpec.scheduling.timeout"))}
	case job.State == vertex.JobCancelled && lostUnder(res, job):
		return &reason.Problem{Code: reason.ResourceGone,
			Detail: "The persistent resource was deleted while the job was on it; Vertex AI cancelled the job.",
			Fix:    "Send it again under a new id once there is a persistent resource for it."}
	case job.State == vertex.JobCancelled:
		return &reason.Problem{Code: reason.JobEnded, Detail: "The job was cancelled at Vertex AI, and not by Berth."}
	}
	return &reason.Problem{Code: reason.JobEnded, Detail: "The job ended as " + string(job.State) + "; Vertex AI's error is in the event."}
}

// lostUnder says whether the resource was deleted under a job: it is gone or
// going, or was made anew after the job was created.
func lostUnder(res *ledger.Resource, job vertex.Job) bool {
	switch {
	case res == nil:
		return false
	case res.State == ledger.Absent || res.State == vertex.Stopping:
		return true
	}
	return !job.CreateTime.IsZero() && job.CreateTime.Before(res.CreateTime)
}

// isOrphan says whether a job is of a run of ours and can never be named any more: a
// run names one job, once, and a run that is over names none.
func isOrphan(rec *ledger.Record, job vertex.Job) bool {
	switch {
	case rec == nil || rec.Reservation.Job == job.Name:
		return false
	case job.Run == rec.Run:
		return rec.Reservation.Job != "" || rec.State.Terminal()
	}
	return slices.Contains(rec.PastRuns, job.Run)
}
