package lifecycle

import "time"

// A Move is an event with the values that it needs. Only the functions below
// build one, so a move never carries a value of another event, and never lacks
// one of its own. The zero Move is illegal in every state.
type Move struct {
	event          Event
	run            string
	attempt        int
	now, until     time.Time
	unclearTimeout time.Duration
	observeOnly    bool
	decline        DeclineKind
	last           bool
	job            string
	end            State
}

// Event returns the event that the move applies.
func (m Move) Event() Event { return m.event }

// Admit takes the replicas for a new run. run is its label, drawn at random.
func Admit(run string) Move { return Move{event: Admitted, run: run} }

// Defer puts a new request into the queue.
func Defer() Move { return Move{event: Deferred} }

// ChangeReason publishes another reason for the wait.
func ChangeReason() Move { return Move{event: ReasonChanged} }

// Refuse ends a request that can never run.
func Refuse() Move { return Move{event: Refused} }

// TimeOut ends a request that has waited for its longest wait.
func TimeOut() Move { return Move{event: TimedOut} }

// Cancel ends a request, or starts the search for a job that must be cancelled.
func Cancel() Move { return Move{event: CancelAsked} }

// Lease lets the first attempt of a run submit until a moment of the ledger's
// clock.
func Lease(run string, until time.Time) Move {
	return Move{event: Leased, run: run, until: until}
}

// Withdraw takes the replicas from a request that has not been submitted.
func Withdraw() Move { return Move{event: Withdrawn} }

// Reclaim gives an expired lease to another attempt, for the time lease from now
// by the ledger's clock. With observeOnly the attempt searches for a job and
// never creates one; an attempt of a request in CANCELLING is always so.
func Reclaim(run string, now time.Time, lease time.Duration, observeOnly bool) Move {
	return Move{event: Reclaimed, run: run, now: now, until: now.Add(lease), observeOnly: observeOnly}
}

// Accept records the job of a run by its full name, whichever attempt created it.
func Accept(run, job string) Move { return Move{event: Accepted, run: run, job: job} }

// Decline records that an attempt certainly created no job. now is the time of
// the ledger.
func Decline(run string, attempt int, kind DeclineKind, now time.Time) Move {
	return Move{event: Declined, run: run, attempt: attempt, decline: kind, now: now}
}

// GiveUp ends a run for which a search found no job. searched is a time of the
// ledger before that search began; it must be unclearTimeout or more after the
// last attempt that may have created a job. last says that the request is not
// submitted again.
func GiveUp(run string, attempt int, searched time.Time, unclearTimeout time.Duration, last bool) Move {
	return Move{event: GivenUp, run: run, attempt: attempt, now: searched, unclearTimeout: unclearTimeout, last: last}
}

// MissStart cancels a job that Vertex AI has not started in time.
func MissStart() Move { return Move{event: Overdue} }

// Requeue cancels the job of a run so that the request waits again: the job was not
// running in time, or an operator asked for it. Its place in the order stays.
func Requeue() Move { return Move{event: Requeued} }

// Start records that a job, by its full name, was observed running.
func Start(job string) Move { return Move{event: Started, job: job} }

// End records that a job ended. end is the state of the request that the job's
// state means: SUCCEEDED, FAILED, CANCELLED or EXPIRED; any other is illegal.
func End(job string, end State) Move { return Move{event: Ended, job: job, end: end} }

// LoseJob records that a Get of a job answered NOT_FOUND.
func LoseJob(job string) Move { return Move{event: Gone, job: job} }
