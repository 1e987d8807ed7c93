package lifecycle

import "slices"

// A State of a reservation. Stored states are these words; they may be added
// to but never renamed.
type State string

const (
	// None is the state of a request that the ledger does not know yet.
	None State = ""

	Waiting    State = "WAITING"    // in the queue, holds nothing
	Reserved   State = "RESERVED"   // holds replicas, its submission is not leased to anybody
	Submitting State = "SUBMITTING" // one attempt may act until a stated time
	Submitted  State = "SUBMITTED"  // Vertex AI has the job, it has not been seen running
	Running    State = "RUNNING"
	Cancelling State = "CANCELLING" // to be cancelled at Vertex AI, or looked for in order to be cancelled

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

// Known reports whether this release knows the state. A newer one may have
// stored another.
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
	Deferred      Event = "DEFERRED"       // the decision put it in the queue
	ReasonChanged Event = "REASON_CHANGED" // it waits on, for another reason
	Refused       Event = "REFUSED"        // it can never run
	TimedOut      Event = "TIMED_OUT"      // waited longer than its longest wait
	CancelAsked   Event = "CANCEL_ASKED"   // somebody wants it gone
	Leased        Event = "LEASED"         // an attempt may submit until a stated time
	Withdrawn     Event = "WITHDRAWN"      // its pool was lost before submission
	Reclaimed     Event = "RETAKEN"        // a later attempt took over an expired lease
	Accepted      Event = "ACCEPTED"       // Vertex AI has a job under this run's label
	Declined      Event = "DECLINED"       // Vertex AI certainly did not create the job
	GivenUp       Event = "GIVEN_UP"       // nothing found under the label for the settle time: there is no job of this run
	Overdue       Event = "OVERDUE"        // submitted, but not seen running in time
	Started       Event = "STARTED"        // seen RUNNING
	Ended         Event = "ENDED"          // the job is in a terminal state
	Gone          Event = "GONE"           // Get answers NOT_FOUND; absence from a list proves nothing
)

// A Decline says why Vertex AI did not create a job.
type Decline string

const (
	NoDecline Decline = ""
	Rate      Decline = "RATE"      // too many calls a minute: same hold, later
	Denied    Decline = "DENIED"    // our own permission or credentials are refused: same hold, later
	Transient Decline = "TRANSIENT" // full or not ready: back into the queue
	Permanent Decline = "PERMANENT" // this job will never be accepted
)

// A Capacity says what a move does to the replicas.
type Capacity string

const (
	Keep Capacity = "-"
	Take Capacity = "take"
	Give Capacity = "give"
)
