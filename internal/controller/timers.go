package controller

import (
	"cmp"
	"fmt"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// A timer is when a record in some state is due, and what is done then. Every move
// sets the time of the state that it enters.
type timer struct {
	when func(cfg Config, rec *ledger.Record, now time.Time) time.Time
	// what does not change the documents. res is nil if it cannot be read.
	what func(cfg Config, rec *ledger.Record, now time.Time, res *ledger.Resource) due
}

// due is what a timer calls for. Without a move the timer is set anew.
type due struct {
	moves []dueMove // one after the other
	place bool      // admission decides it again
	retry bool      // the move lets an attempt create a job, so it needs a token of the budget
}

type dueMove struct {
	move lifecycle.Move
	why  *reason.Problem
}

// timers has the states in which a record must not stay unobserved. A RUNNING job
// has none: each pass lists the live jobs and asks for those that are missing.
var timers = map[lifecycle.State]timer{
	lifecycle.Waiting:    {whenWaiting, whatWaiting},
	lifecycle.Reserved:   {whenReserved, whatReserved},
	lifecycle.Submitting: {whenSubmitting, whatSubmitting},
	lifecycle.Submitted:  {whenSubmitted, whatSubmitted},
	lifecycle.Cancelling: {whenCancelling, whatCancelling},
}

// nextTimer is when a record is due, if nothing moves it before; zero for never.
func (c *Controller) nextTimer(rec *ledger.Record, now time.Time) time.Time {
	if t, has := timers[rec.State]; has {
		return t.when(c.cfg, rec, now)
	}
	return time.Time{}
}

// endOfWait is when a request has waited for as long as it may.
func endOfWait(rec *ledger.Record) time.Time { return rec.Times.Received.Add(rec.MaxWait) }

func whenWaiting(cfg Config, rec *ledger.Record, now time.Time) time.Time {
	end := endOfWait(rec)
	if !rec.Parked {
		return end
	}
	// The pass that observes a change of the pools decides it again. It is refused once they
	// have contradicted it for long.
	if t := rec.ContradictedSince.Add(cfg.Policy.RefuseAfter); !rec.ContradictedSince.IsZero() && t.After(now) && t.Before(end) {
		end = t
	}
	if rec.RetryAt.After(now) && rec.RetryAt.Before(end) {
		end = rec.RetryAt
	}
	return end
}

func whatWaiting(_ Config, rec *ledger.Record, now time.Time, _ *ledger.Resource) due {
	if now.Before(endOfWait(rec)) {
		return due{place: true}
	}
	return due{moves: []dueMove{{lifecycle.TimeOut(), waitedTooLong(rec)}}}
}

// whenReserved is for a lost pool and the end of the wait. The submission slot comes
// by way of the budget.
func whenReserved(cfg Config, rec *ledger.Record, now time.Time) time.Time {
	at := now.Add(cfg.StartTimeout)
	if end := endOfWait(rec); end.Before(at) {
		at = end
	}
	return byStart(rec, at)
}

// byStart is a moment, or when the job must be running if that is earlier.
func byStart(rec *ledger.Record, at time.Time) time.Time {
	if !rec.StartBy.IsZero() && rec.StartBy.Before(at) {
		return rec.StartBy
	}
	return at
}

// missedStart reports whether a job is not running although it must be by now.
func missedStart(rec *ledger.Record, now time.Time) bool {
	return !rec.StartBy.IsZero() && !now.Before(rec.StartBy)
}

// maxRequeues bounds how often a request goes back because its job was not running
// when it began to delay another.
const maxRequeues = 10

func delays(rec *ledger.Record) *reason.Problem {
	return &reason.Problem{Code: reason.StartOverdue,
		Detail: fmt.Sprintf("The job was not running by %s. From then on it would delay a request that comes before it and that it had passed, so it waits again.",
			rec.StartBy.UTC().Format(time.RFC3339))}
}

// whatReserved gives the replicas back if the pool is lost, and at the end of the
// wait: they must not stay held for days because nothing can be submitted.
func whatReserved(cfg Config, rec *ledger.Record, now time.Time, res *ledger.Resource) due {
	why := lost(now, res, rec, cfg.Policy)
	switch {
	case !now.Before(endOfWait(rec)):
		return due{moves: []dueMove{{lifecycle.Withdraw(), cmp.Or(why, rec.Why)}, {lifecycle.TimeOut(), waitedTooLong(rec)}}}
	case why != nil:
		return due{moves: []dueMove{{lifecycle.Withdraw(), why}}}
	case missedStart(rec, now):
		return due{moves: []dueMove{{lifecycle.Withdraw(), delays(rec)}}}
	}
	return due{}
}

// whenSubmitting leaves a job of the last attempt time to appear in a list: the next
// attempt may create one.
func whenSubmitting(cfg Config, rec *ledger.Record, _ time.Time) time.Time {
	return byStart(rec, rec.ActUntil.Add(cfg.RetryAfter))
}

// maxSubmitting is how long one run is tried while no create is answered.
const maxSubmitting = 24 * time.Hour

// whatSubmitting begins the next attempt. After the last all that is left is to
// wait until it is settled that there is no job. An outage does not use up the
// attempts. While the resource or the tenant is paused there is no next attempt.
func whatSubmitting(cfg Config, rec *ledger.Record, now time.Time, res *ledger.Resource) due {
	if missedStart(rec, now) {
		return due{moves: []dueMove{{lifecycle.Requeue(), delays(rec)}}}
	}
	_, paused := cfg.Policy.Plan.Paused[rec.Tenant]
	observeOnly := rec.Attempt-rec.Excused >= cfg.MaxAttempts || !now.Before(rec.LeasedAt.Add(maxSubmitting)) ||
		paused || res != nil && res.Paused != nil
	return due{moves: []dueMove{{lifecycle.Reclaim(rec.Run, now, cfg.SubmitTimeout, observeOnly), rec.Why}}, retry: !observeOnly && !rec.ObserveOnly}
}

func whenSubmitted(cfg Config, rec *ledger.Record, _ time.Time) time.Time {
	return byStart(rec, rec.Times.Submitted.Add(cfg.StartTimeout))
}

func whatSubmitted(cfg Config, rec *ledger.Record, now time.Time, res *ledger.Resource) due {
	switch {
	case now.Before(whenSubmitted(cfg, rec, now)):
		return due{} // the timer was set too early: a healthy job is not cancelled
	case res != nil && res.Holding(rec) && res.Holds[rec.Key].Ran:
		// It was observed RUNNING, so the record is older than its hold: restored.
		return due{moves: []dueMove{{lifecycle.Start(rec.Reservation.Job), nil}}}
	case now.Before(rec.Times.Submitted.Add(cfg.StartTimeout)) && rec.Requeues < maxRequeues:
		return due{moves: []dueMove{{lifecycle.Requeue(), delays(rec)}}}
	}
	return due{moves: []dueMove{{lifecycle.MissStart(), &reason.Problem{Code: reason.StartOverdue,
		Detail: fmt.Sprintf("Vertex AI has had the job for %s and has not started it.", cfg.StartTimeout)}}}}
}

func whenCancelling(cfg Config, rec *ledger.Record, now time.Time) time.Time {
	if rec.Job != "" {
		return now.Add(cfg.Tick) // the cancel is sent again
	}
	return rec.ActUntil
}

// whatCancelling searches for a job that is not known yet, and never creates one.
func whatCancelling(cfg Config, rec *ledger.Record, now time.Time, _ *ledger.Resource) due {
	if rec.Job != "" {
		return due{}
	}
	return due{moves: []dueMove{{lifecycle.Reclaim(rec.Run, now, cfg.SubmitTimeout, true), rec.Why}}}
}

func waitedTooLong(rec *ledger.Record) *reason.Problem {
	return &reason.Problem{Code: reason.WaitedTooLong,
		Detail: fmt.Sprintf("It waited %s, the longest it was to wait.", rec.MaxWait), Fix: fmt.Sprintf("Send it again under a new id, with a longer %s or at a better time.", rec.Paths.At("maxWait"))}
}

// lost says why a reservation that is not submitted yet has lost its pool; nil
// if it has not.
func lost(now time.Time, res *ledger.Resource, rec *ledger.Record, p admission.Policy) *reason.Problem {
	ask := rec.Request()
	ask.Waiting, ask.OnFull = true, message.Queue
	s := res.Snapshot(now)
	s.Held, s.Queue, s.Reserved = nil, nil, nil
	// Its own replicas are held already: what has to be true is that they are there,
	// not that as many again are free.
	s.Use, s.Holds, s.NoRoom, s.NotBefore = nil, 0, false, time.Time{}
	s.PausedPools = nil
	if res.Paused != nil && !res.Paused.Drain {
		s.Paused = nil // a pause takes nothing from those that have it
	}
	d := admission.Decide(s, ask, p)
	if d.Verdict == admission.Admit || d.Reason.Code == reason.ObservationTooOld {
		return nil
	}
	return d.Reason
}
