package lifecycle

import "slices"

// A State of a reservation. Stored states are these words; they may be added
// to but never renamed.
type State string

const (
	// None is the state of a request that is not in the ledger.
	None State = ""

	Waiting    State = "WAITING"    // in the queue, holds nothing
	Reserved   State = "RESERVED"   // holds replicas, waits for a submission slot
	Submitting State = "SUBMITTING" // one attempt may act until a stated time
	Submitted  State = "SUBMITTED"  // Vertex AI has the job, it has not been observed running
	Running    State = "RUNNING"
	Cancelling State = "CANCELLING" // the job is to be cancelled, or searched for so that it can be cancelled

	Rejected  State = "REJECTED"
	Succeeded State = "SUCCEEDED"
	Failed    State = "FAILED"
	Cancelled State = "CANCELLED"
	Expired   State = "EXPIRED"
)

// States lists every state but None, in the order of a request's life.
var States = []State{
	Waiting, Reserved, Submitting, Submitted, Running, Cancelling,
	Rejected, Succeeded, Failed, Cancelled, Expired,
}

// Known reports whether this release knows the state. A newer release may have
// stored another one.
func (s State) Known() bool { return slices.Contains(States, s) }

// Holds reports whether a reservation in this state holds replicas. It is the
// only definition of that: a hold exists exactly while this is true.
func (s State) Holds() bool {
	switch s {
	case Reserved, Submitting, Submitted, Running, Cancelling:
		return true
	}
	return false
}

// Terminal reports whether the state is final. Terminal states are written once.
func (s State) Terminal() bool {
	switch s {
	case Rejected, Succeeded, Failed, Cancelled, Expired:
		return true
	}
	return false
}

// An Event is something that happened to a reservation.
type Event string

const (
	Admitted      Event = "ADMITTED"       // the decision took the replicas
	Deferred      Event = "DEFERRED"       // the decision put it into the queue
	ReasonChanged Event = "REASON_CHANGED" // it still waits, for another reason
	Refused       Event = "REFUSED"        // it can never run
	TimedOut      Event = "TIMED_OUT"      // it waited for its longest wait
	CancelAsked   Event = "CANCEL_ASKED"   // a publisher or an operator cancels it
	Leased        Event = "LEASED"         // an attempt may submit until a stated time
	Withdrawn     Event = "WITHDRAWN"      // its pool was lost before submission
	Reclaimed     Event = "RECLAIMED"      // a later attempt took over an expired lease
	Accepted      Event = "ACCEPTED"       // Vertex AI has a job under this run's label
	Declined      Event = "DECLINED"       // Vertex AI certainly did not create the job
	GivenUp       Event = "GIVEN_UP"       // no job was found under the label for the unclear timeout: the run has none
	Overdue       Event = "OVERDUE"        // submitted, but not observed running in time
	Requeued      Event = "REQUEUED"       // its job is cancelled, and it waits again
	Started       Event = "STARTED"        // observed running
	Ended         Event = "ENDED"          // the job is in a terminal state
	Gone          Event = "GONE"           // Get answers NOT_FOUND; absence from a list proves nothing
)

// A DeclineKind says why Vertex AI did not create a job.
type DeclineKind string

const (
	Rate      DeclineKind = "RATE"      // too many calls a minute: the hold stays, the next attempt comes later
	Denied    DeclineKind = "DENIED"    // Berth's own permission or credentials are refused: the hold stays, the next attempt comes later
	Transient DeclineKind = "TRANSIENT" // full or not ready: back into the queue
	Permanent DeclineKind = "PERMANENT" // this job will never be accepted
)

// A Capacity says what a move does to the replicas.
type Capacity string

const (
	Keep Capacity = "-"
	Take Capacity = "take"
	Give Capacity = "give"
)
