package repair

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// Adopt records a job at Vertex AI for a reservation that names none, as the
// submission would have. The job must carry the labels of the request and of
// its present run, and be on its persistent resource: a job of an earlier run
// is always an orphan job. job is a full name, or the last segment of one.
func (k Kit) Adopt(ctx context.Context, key message.Key, job string) ([]Change, error) {
	var rec *ledger.Record
	err := ledger.Read(ctx, k.Ledger, ledger.Records(key), func(tx ledger.Tx) { rec = tx.Record(key) })
	switch {
	case err != nil:
		return nil, fmt.Errorf("read record %s: %w", key, err)
	case rec == nil:
		return nil, fmt.Errorf("record %s: %w", key, ErrNotFound)
	}
	if !strings.Contains(job, "/") {
		job = vertex.NameOf(rec.Resource).Job(job).String()
	}
	found, err := k.Vertex.Get(ctx, job)
	if err != nil {
		return nil, fmt.Errorf("get job %s, to be adopted by %s: %w", job, key, err)
	}
	changes, err := k.onOne(ctx, key, func(tx ledger.Tx, rec *ledger.Record) Change { return k.adopt(tx, rec, found) })
	if err != nil {
		return nil, fmt.Errorf("record job %s of %s: %w", found.Name, key, err)
	}
	return changes, nil
}

func (k Kit) adopt(tx ledger.Tx, rec *ledger.Record, job vertex.Job) Change {
	c := onRecord(rec, "job")
	c.From, c.To = reservationText(rec.Reservation), job.Name
	switch {
	case rec.Reservation.Job == job.Name:
		c.Left = "the request names this job already"
	case rec.Reservation.Job != "":
		c.Left = "the request names another job: " + rec.Reservation.Job
	case job.Request != rec.Key:
		c.Left = fmt.Sprintf("the job's label %s is %q, which is not this request", vertex.LabelRequest, job.Request)
	case slices.Contains(rec.PastRuns, job.Run):
		c.Left = fmt.Sprintf("the job is of run %s, which is over; the present one is %q. Reconcile cancels it", job.Run, rec.Run)
	case job.Run != rec.Run || rec.Run == "":
		c.Left = fmt.Sprintf("the job's label %s is %q; the run of the request is %q", vertex.LabelRun, job.Run, rec.Run)
	case elsewhere(rec, job):
		c.Left = fmt.Sprintf("the job is on persistent resource %q in %s, the request on %q in %s", job.PersistentResource, vertex.NameOf(job.Name).Region(), vertex.NameOf(rec.Resource).ID(), vertex.NameOf(rec.Resource).Region())
	case !slices.Equal(job.Ask, rec.Ask):
		c.Left = fmt.Sprintf("the job uses %s, the request asks for %s", asked(job.Ask), asked(rec.Ask))
	}
	if c.Left != "" {
		return c
	}
	next, row, effect := lifecycle.Next(rec.Reservation, lifecycle.Accept(job.Run, job.Name))
	if effect != lifecycle.Moved {
		c.Left = fmt.Sprintf("a request that is %s takes no job", rec.State)
		return c
	}
	rec.Reservation, rec.JobState = next, string(job.State)
	if rec.State == lifecycle.Submitted && rec.Times.Submitted.IsZero() {
		rec.Times.Submitted = tx.Now()
	}
	rec.TimerAt = k.nextTimer(rec, tx.Now())
	if row.Outcome != "" {
		rec.Append(submitted(rec), tx.Now())
		c.Note = "with the outcome event " + row.Outcome
	}
	c.To = reservationText(next)
	tx.Put(rec)
	return c
}

// submitted is the one outcome event that a fix writes: only
// [lifecycle.Accepted] rows publish it.
func submitted(rec *ledger.Record) message.Outcome {
	o := message.Outcome{
		Type: message.Submitted, Tenant: rec.Tenant, MessageID: rec.MessageID, State: string(rec.State),
		PersistentResource: rec.Resource, DisplayName: rec.DisplayName, Labels: rec.Labels,
		Job: rec.Reservation.Job, JobState: rec.JobState, JobError: rec.JobError, Reason: rec.Why, Times: rec.Times,
	}
	if rec.Kind == message.KindRequest {
		o.RequestID = rec.ID
	}
	return o
}

func reservationText(r lifecycle.Reservation) string {
	s := string(r.State)
	if r.State == lifecycle.None {
		s = "no state"
	}
	if r.Job == "" {
		return s + " without a job"
	}
	return s + " with job " + r.Job
}

// nextTimer is the earliest time at which the timer of the record may run. An
// earlier run could create a second job for a submission that may still act or
// whose job is not in lists yet, and would take a submitted job for overdue.
func (k Kit) nextTimer(rec *ledger.Record, now time.Time) time.Time {
	at := now
	switch rec.State {
	case lifecycle.Submitting:
		at = rec.ActUntil.Add(k.Settings.RetryAfter)
	case lifecycle.Submitted:
		at = rec.Times.Submitted.Add(k.Settings.StartTimeout)
	}
	if at.Before(now) {
		return now
	}
	return at
}
