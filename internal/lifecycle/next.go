package lifecycle

import "time"

// A Reservation is what the table has to know about one request. The zero
// value is a request that the ledger does not know yet.
type Reservation struct {
	State State `json:"state"`
	// Run is the label of this run of the request, drawn at random by the
	// admission and carried by the job at Vertex AI. Another admission of the
	// same request is another run.
	Run string `json:"run,omitempty"`
	// Attempt numbers the submission attempts of the run from 1.
	Attempt int `json:"attempt,omitempty"`
	// ActUntil is when the latest attempt's right to act ends, by the ledger's
	// clock.
	ActUntil time.Time `json:"actUntil,omitzero"`
	// Open says that nobody has recorded what became of the latest attempt. It
	// may have created a job.
	Open bool `json:"open,omitempty"`
	// UnclearUntil is the end of the latest attempt but the open one that may
	// have created a job. Zero means that each of them certainly did not.
	UnclearUntil time.Time `json:"unclearUntil,omitzero"`
	// LookOnly forbids further creates: Vertex AI will not take this job, but an
	// earlier attempt is unclear, so all that is left is to find out.
	ObserveOnly bool `json:"observeOnly,omitempty"`
	// Refused says that Vertex AI refused the job for what it is, after an unclear
	// attempt. If that one created nothing either, the request fails.
	Refused bool `json:"refused,omitempty"`
	// Job is the full name of the job at Vertex AI, once recorded. It is
	// written once per run.
	Job string `json:"job,omitempty"`
}

// Unclear returns when the last attempt that may have created an unrecorded
// job lost its right to act, and whether there is such an attempt.
func (r Reservation) Unclear() (time.Time, bool) {
	if r.Open && r.ActUntil.After(r.UnclearUntil) {
		return r.ActUntil, true
	}
	return r.UnclearUntil, !r.UnclearUntil.IsZero()
}

// What happened: an event with what it brings. Fields that an event does not
// need are ignored.
type What struct {
	Event Event
	Run   string // Admitted (the new run), Leased, Retaken, Accepted, Declined, GivenUp
	// Attempt is the attempt that speaks: Declined, GivenUp.
	Attempt int
	// Now is the ledger's time: Retaken; and for GivenUp a moment before the
	// search that found nothing.
	Now time.Time
	// Until is the end of the new attempt's right to act: Leased, Retaken.
	Until time.Time
	// LookOnly makes the new attempt one that searches and never creates:
	// Retaken. An attempt to cancel is always such.
	ObserveOnly    bool
	Decline        Decline       // Declined
	UnclearTimeout time.Duration // GivenUp: how long nothing must have been found
	Last           bool          // GivenUp: the request is not to be submitted again
	Job            string        // Accepted, Ended, Gone, Started: full job name
	JobState       State         // Ended: the terminal state that the job's state means
}

// An Effect is what [Next] says of an event.
type Effect int

const (
	// Illegal means that the event cannot happen in this state: a bug, to be
	// shouted about. Nothing changes.
	Illegal Effect = iota
	// AlreadySo means that the reservation has ended, or that what the event
	// asks for holds, or that it speaks of an attempt, run or job that no longer
	// matters. Nothing changes.
	AlreadySo
	// Moved means that the returned reservation is the new one.
	Moved
)

func (e Effect) String() string { return [...]string{"illegal", "already so", "moved"}[e] }

// Next applies an event. It returns the new reservation and the row that was
// taken; both are only meaningful with Moved.
func Next(r Reservation, w What) (Reservation, Row, Effect) {
	if r.State.Terminal() {
		return r, Row{}, AlreadySo
	}
	which, effect := guard(r, w)
	if effect != Moved {
		return r, Row{}, effect
	}
	row, ok := Find(r.State, w.Event, which)
	if !ok {
		return r, Row{}, Illegal
	}
	r.State = row.To
	switch w.Event {
	case Admitted:
		r = Reservation{State: row.To, Run: w.Run}
	case Leased:
		r.Attempt, r.ActUntil, r.Open = r.Attempt+1, w.Until, true
	case Reclaimed:
		if r.Open {
			r.UnclearUntil = r.ActUntil
		}
		r.Attempt, r.ActUntil = r.Attempt+1, w.Until
		r.ObserveOnly = r.ObserveOnly || w.ObserveOnly || r.State == Cancelling
		r.Open = !r.ObserveOnly
	case Accepted:
		r.Job, r.Open = w.Job, false
	case Declined:
		r.Open = false
		if which == CaseUnclear {
			r.ObserveOnly = r.ObserveOnly || w.Decline == Permanent
			r.Refused = r.Refused || w.Decline == Permanent
			r.ActUntil = w.Now
		}
	}
	if row.Capacity == Give && !r.State.Terminal() { // back in the queue: the run is over
		r = Reservation{State: r.State}
	}
	return r, row, Moved
}

// guard says which case of the table an event is, or why it is none.
func guard(r Reservation, w What) (string, Effect) {
	switch w.Event {
	case Leased, Reclaimed, Accepted, Declined, GivenUp:
		if r.State != None && w.Run != r.Run {
			return "", AlreadySo // it speaks of a run that is over
		}
	case Started, Ended, Gone:
		if w.Job == "" || r.State != None && w.Job != r.Job {
			return "", AlreadySo // a job that the reservation does not name
		}
	}
	switch w.Event {
	case Admitted:
		if r.State.Holds() {
			return "", AlreadySo
		}
	case Deferred:
		if r.State == Waiting {
			return "", AlreadySo
		}
	case ReasonChanged:
		if r.State != Waiting {
			return "", AlreadySo // it waits no longer
		}
	case TimedOut:
		if r.State.Holds() {
			return "", AlreadySo
		}
	case CancelAsked:
		if r.State == Cancelling {
			return "", AlreadySo
		}
	case Leased, Withdrawn:
		if r.State.Holds() && r.State != Reserved || w.Event == Withdrawn && r.State == Waiting {
			return "", AlreadySo
		}
	case Overdue, Started:
		if r.State == Running || r.State == Cancelling {
			return "", AlreadySo
		}
	case Reclaimed:
		if r.Job != "" || w.Now.Before(r.ActUntil) {
			return "", AlreadySo // settled, or somebody may still act
		}
	case Accepted:
		if r.Job != "" || r.State == Reserved {
			return "", AlreadySo // one job is recorded; another is an orphan job
		}
	case Declined:
		if r.Job != "" || w.Attempt != r.Attempt || !r.Open {
			return "", AlreadySo // void: only the present attempt can speak for itself
		}
		if !r.UnclearUntil.IsZero() {
			return CaseUnclear, Moved
		}
		if r.State == Submitting {
			return string(w.Decline), Moved
		}
	case GivenUp:
		end, unclear := r.Unclear()
		if r.Job != "" || w.Attempt != r.Attempt || !unclear || w.Now.Before(end.Add(w.UnclearTimeout)) {
			return "", AlreadySo
		}
		if r.State == Submitting && (w.Last || r.Refused) {
			return CaseLast, Moved
		}
	case Ended:
		return string(w.JobState), Moved
	}
	return "", Moved
}
