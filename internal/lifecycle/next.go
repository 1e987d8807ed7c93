package lifecycle

import "time"

// A Reservation is what the table knows of one request. The zero value is a
// request that is not in the ledger.
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
	// Open says that the outcome of the latest attempt is not recorded. It may
	// have created a job.
	Open bool `json:"open,omitempty"`
	// UnclearUntil is the end of the latest attempt, the open one excepted, that
	// may have created a job. Zero means that each of them certainly did not.
	UnclearUntil time.Time `json:"unclearUntil,omitzero"`
	// ObserveOnly forbids further creates: Vertex AI will not accept this job, but
	// an earlier attempt is unclear, so only the search for its job is left.
	ObserveOnly bool `json:"observeOnly,omitempty"`
	// Refused says that Vertex AI refused the job for what it is, after an unclear
	// attempt. If that attempt created nothing either, the request fails.
	Refused bool `json:"refused,omitempty"`
	// Again says that a request in CANCELLING waits again once nothing of its run is
	// left, with its place in the order. A cancel takes that back.
	Again bool `json:"again,omitempty"`
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

// An Effect is the answer of [Next].
type Effect int

const (
	// Illegal means that the event cannot happen in this state. It is a bug and
	// must be logged as one. Nothing changes.
	Illegal Effect = iota
	// AlreadySo means that the reservation has ended, that the effect of the event
	// holds, or that the event is about an attempt, run or job that no longer
	// matters. Nothing changes.
	AlreadySo
	// Moved means that the returned reservation is the new one.
	Moved
)

func (e Effect) String() string { return [...]string{"illegal", "already so", "moved"}[e] }

// Next applies a move. It returns the new reservation and the row that was
// taken; both have a meaning only with Moved.
func Next(r Reservation, m Move) (Reservation, Row, Effect) {
	if r.State.Terminal() {
		return r, Row{}, AlreadySo
	}
	g, known := guards[m.event]
	if !known {
		return r, Row{}, Illegal
	}
	which, ok := g.passes(r, m)
	if !ok {
		return r, Row{}, AlreadySo
	}
	row, ok := Find(r.State, m.event, which)
	if !ok {
		return r, Row{}, Illegal
	}
	r.State = row.To
	switch m.event {
	case Admitted:
		r = Reservation{State: row.To, Run: m.run}
	case Leased:
		r.Attempt, r.ActUntil, r.Open = r.Attempt+1, m.until, true
	case Reclaimed:
		if r.Open {
			r.UnclearUntil = r.ActUntil
		}
		r.Attempt, r.ActUntil = r.Attempt+1, m.until
		r.ObserveOnly = r.ObserveOnly || m.observeOnly || r.State == Cancelling
		r.Open = !r.ObserveOnly
	case Requeued:
		r.Again = true
	case CancelAsked:
		r.Again = false
	case Accepted:
		r.Job, r.Open = m.job, false
	case Declined:
		r.Open = false
		if which == CaseUnclear {
			r.ObserveOnly = r.ObserveOnly || m.decline == Permanent
			r.Refused = r.Refused || m.decline == Permanent
			r.ActUntil = m.now
		}
	}
	if row.Capacity == Give && !r.State.Terminal() { // it waits again: the run is over
		r = Reservation{State: r.State}
	}
	return r, row, Moved
}
