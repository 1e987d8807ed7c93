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
// is always an orphan job. A request that waits, and has never heard of the run, takes
// the run with the job: the ledger was restored from a backup that is older than both.
// job is a full name, or the last segment of one.
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
	var changes []Change
	if rec.State == lifecycle.Waiting || rec.State == lifecycle.Reserved {
		changes, err = k.update(ctx, ledger.Resources(rec.Resource).And(ledger.Records(key)), func(tx ledger.Tx) []Change {
			rec := tx.Record(key)
			return []Change{k.adoptUnsubmitted(tx, tx.Resource(rec.Resource), rec, found)}
		})
	} else {
		changes, err = k.onOne(ctx, key, func(tx ledger.Tx, rec *ledger.Record) Change { return k.adopt(tx, rec, found) })
	}
	if err != nil {
		return nil, fmt.Errorf("record job %s of %s: %w", found.Name, key, err)
	}
	return changes, nil
}

func (k Kit) adopt(tx ledger.Tx, rec *ledger.Record, job vertex.Job) Change {
	c := refusal(rec, job)
	if c.Left == "" && (job.Run != rec.Run || rec.Run == "") {
		c.Left = fmt.Sprintf("the job's label %s is %q; the run of the request is %q", vertex.LabelRun, job.Run, rec.Run)
	}
	if c.Left != "" {
		return c
	}
	rec.JobState = string(job.State)
	if k.move(tx, rec, lifecycle.Accept(job.Run, job.Name), &c) {
		rec.TimerAt = k.nextTimer(rec, tx.Now())
		tx.Put(rec)
	}
	return c
}

// adoptUnsubmitted is the same for a request that was not submitted when the backup was
// made that the ledger was restored from.
func (k Kit) adoptUnsubmitted(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record, job vertex.Job) Change {
	c := refusal(rec, job)
	moves := []lifecycle.Move{lifecycle.Lease(job.Run, tx.Now()), lifecycle.Accept(job.Run, job.Name)}
	switch {
	case c.Left != "":
		return c
	case rec.State == lifecycle.Waiting:
		moves = slices.Insert(moves, 0, lifecycle.Admit(job.Run))
	case job.Run != rec.Run:
		c.Left = fmt.Sprintf("the job's label %s is %q; the run of the request is %q", vertex.LabelRun, job.Run, rec.Run)
	}
	switch {
	case c.Left != "":
		return c
	case job.Run == "":
		c.Left = "the job has no label " + vertex.LabelRun
	case res == nil:
		c.Left = "the persistent resource has no document in the ledger: first berth repair leaked-holds"
	case len(res.Holds) >= ledger.MaxHolds && rec.State == lifecycle.Waiting:
		c.Left = fmt.Sprintf("the resource has %d holds, as many as it can have", len(res.Holds))
	}
	if c.Left != "" {
		return c
	}
	for _, m := range moves {
		if m.Event() == lifecycle.Accepted {
			rec.JobState = string(job.State)
		}
		if !k.move(tx, rec, m, &c) {
			return c
		}
	}
	rec.Parked, rec.RetryAt = false, time.Time{}
	rec.TimerAt = k.nextTimer(rec, tx.Now())
	// The job runs, so its replicas are taken whether or not they fit; an observation may
	// have counted it as foreign use.
	res.Leave(rec)
	before := len(res.Foreign)
	res.Foreign = slices.DeleteFunc(res.Foreign, func(f ledger.Foreign) bool { return f.Job == job.Name })
	res.ForeignJobs -= before - len(res.Foreign)
	res.Hold(rec, k.endFrom(rec, tx.Now()))
	res.Recompute()
	tx.Put(res)
	tx.Put(rec)
	return c
}

// refusal says why a job cannot be that of a request, whatever its run.
func refusal(rec *ledger.Record, job vertex.Job) Change {
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
	case elsewhere(rec, job):
		c.Left = fmt.Sprintf("the job is on persistent resource %q in %s, the request on %q in %s", job.PersistentResource, vertex.NameOf(job.Name).Region(), vertex.NameOf(rec.Resource).ID(), vertex.NameOf(rec.Resource).Region())
	case !slices.Equal(job.Ask, rec.Ask):
		c.Left = fmt.Sprintf("the job uses %s, the request asks for %s", asked(job.Ask), asked(rec.Ask))
	}
	return c
}

// move makes a move of a record and appends its outcome event. It reports whether it
// could.
func (k Kit) move(tx ledger.Tx, rec *ledger.Record, m lifecycle.Move, c *Change) bool {
	next, row, effect := lifecycle.Next(rec.Reservation, m)
	if effect != lifecycle.Moved {
		c.Left = fmt.Sprintf("a request that is %s takes no job", rec.State)
		return false
	}
	rec.Reservation, c.To = next, reservationText(next)
	switch now := tx.Now(); {
	case m.Event() == lifecycle.Admitted:
		rec.Times.Reserved, rec.Why = now, nil
	case m.Event() == lifecycle.Leased:
		rec.LeasedAt, rec.Excused = now, 0
	case rec.State == lifecycle.Submitted && rec.Times.Submitted.IsZero():
		rec.Times.Submitted = now
	}
	if row.Outcome != "" {
		rec.Append(outcome(rec, eventTypes[row.Outcome]), tx.Now())
		c.Note = "with the outcome event " + row.Outcome
	}
	return true
}

// eventTypes are the outcome events that a fix writes, by their names in the state table.
var eventTypes = map[string]message.Type{"reserved": message.Reserved, "submitted": message.Submitted}

// outcome is the event that says how a record is now.
func outcome(rec *ledger.Record, t message.Type) message.Outcome {
	o := message.Outcome{
		Type: t, Tenant: rec.Tenant, MessageID: rec.MessageID, State: string(rec.State),
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
