// Package lifecycle holds the one table of states and moves of a reservation.
// Nobody else decides what may follow what.
//
// A request is in exactly one [State]. An [Event] moves it along a [Row] of
// [Table]; [Next] applies an event and says whether it moved the reservation,
// was already so, or cannot happen. The first two are answers, the third is a
// bug. Replicas are held exactly where [State.Holds] says so, and moves say what
// they do to them; so the hold of a request can be derived from its state, and a
// hold that disagrees is a leak or an over-commit.
//
// Submission is where two worlds meet: Vertex AI takes no idempotency key, so
// what became of an attempt can stay unknown. The rules that keep that honest:
//
//   - A run is one admission. Its label is on the job, and every event about the
//     submission names its run; one of an earlier run changes nothing.
//   - "Certainly not created" is a fact about a run, not about an attempt. As
//     long as one attempt is unclear, a later attempt's refusal proves nothing;
//     only a job found, or nothing found for the settle time, ends it. After
//     the settle time the request waits again with its age: an outage of Vertex
//     AI is not the request's fault.
//   - Declined is void unless it names the latest attempt. Accepted is good from
//     any attempt while no job is recorded.
//   - To cancel while submitting is to find out first: the replicas stay held
//     until Vertex AI says that nothing runs.
//
// The table, drawn by TestDiagram:
//
//	(new)
//	  ADMITTED             -> RESERVED   take       "reserved"
//	  DEFERRED             -> WAITING               "queued"
//	  REFUSED              -> REJECTED              "rejected"
//	  CANCEL_ASKED         -> CANCELLED             "cancelled"
//
//	WAITING
//	  ADMITTED             -> RESERVED   take       "reserved"
//	  REASON_CHANGED       -> WAITING               "queued"
//	  REFUSED              -> REJECTED              "rejected"
//	  TIMED_OUT            -> EXPIRED               "expired"
//	  CANCEL_ASKED         -> CANCELLED             "cancelled"
//
//	RESERVED
//	  LEASED               -> SUBMITTING
//	  CANCEL_ASKED         -> CANCELLED  give       "cancelled"
//	  WITHDRAWN            -> WAITING    give       "queued"
//
//	SUBMITTING
//	  ACCEPTED             -> SUBMITTED             "submitted"
//	  RETAKEN              -> SUBMITTING
//	  DECLINED RATE        -> RESERVED
//	  DECLINED DENIED      -> RESERVED
//	  DECLINED TRANSIENT   -> WAITING    give       "queued"
//	  DECLINED PERMANENT   -> FAILED     give       "failed"
//	  DECLINED UNCLEAR     -> SUBMITTING
//	  GIVEN_UP             -> WAITING    give       "queued"
//	  GIVEN_UP LAST        -> FAILED     give       "failed"
//	  CANCEL_ASKED         -> CANCELLING            "cancelling"
//
//	SUBMITTED
//	  CANCEL_ASKED         -> CANCELLING            "cancelling"
//	  OVERDUE              -> CANCELLING            "cancelling"
//	  STARTED              -> RUNNING               "started"
//	  ENDED                -> SUCCEEDED  give       "succeeded"
//	  ENDED                -> FAILED     give       "failed"
//	  ENDED                -> CANCELLED  give       "cancelled"
//	  ENDED                -> EXPIRED    give       "expired"
//	  GONE                 -> FAILED     give       "failed"
//
//	RUNNING
//	  CANCEL_ASKED         -> CANCELLING            "cancelling"
//	  ENDED                -> SUCCEEDED  give       "succeeded"
//	  ENDED                -> FAILED     give       "failed"
//	  ENDED                -> CANCELLED  give       "cancelled"
//	  ENDED                -> EXPIRED    give       "expired"
//	  GONE                 -> FAILED     give       "failed"
//
//	CANCELLING
//	  ACCEPTED             -> CANCELLING
//	  RETAKEN              -> CANCELLING
//	  DECLINED             -> CANCELLED  give       "cancelled"
//	  DECLINED UNCLEAR     -> CANCELLING
//	  GIVEN_UP             -> CANCELLED  give       "cancelled"
//	  ENDED                -> SUCCEEDED  give       "succeeded"
//	  ENDED                -> FAILED     give       "failed"
//	  ENDED                -> CANCELLED  give       "cancelled"
//	  ENDED                -> EXPIRED    give       "expired"
//	  GONE                 -> CANCELLED  give       "cancelled"
package lifecycle
