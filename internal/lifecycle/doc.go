// Package lifecycle holds the one table of states and moves of a reservation. No
// other package decides which state may follow which.
//
// A request is in exactly one [State]. A [Move] applies an [Event] along a [Row]
// of [Table]. [Next] answers that the move changed the reservation, that its
// effect already holds, or that it cannot happen; the last is a bug. Replicas are
// held exactly where [State.Holds] says so, so the hold of a request follows from
// its state, and a hold that disagrees is a leak or an over-commit.
//
// Vertex AI takes no idempotency key, so it can stay unknown whether an attempt
// created a job. These rules hold then:
//
//   - A run is one admission. Its label is on the job, and every event about the
//     submission names its run. An event of an earlier run changes nothing.
//   - "Certainly not created" is a fact about a run, not about an attempt. As
//     long as one attempt is unclear, a later attempt's refusal proves nothing.
//     Only a job that is found, or none found for the unclear timeout, ends that.
//     After the timeout the request waits again with its age, because an outage of
//     Vertex AI is not the request's fault.
//   - Declined counts only from the latest attempt. Accepted counts from any
//     attempt while no job is recorded.
//   - A request that goes back into the queue after its submission is CANCELLING
//     until nothing of its run is left, and then waits again. A cancel that comes
//     meanwhile ends it. An end of the job by itself counts as that.
//   - A cancel while submitting searches for the job first. The replicas stay held
//     until Vertex AI shows that nothing runs.
//
// The table, drawn by TestDiagram. A move "=>" also writes the resource document,
// a move "->" writes the record only:
//
//	(new)
//	  ADMITTED             => RESERVED   take       "reserved"
//	  DEFERRED             => WAITING               "queued"
//	  REFUSED              -> REJECTED              "rejected"
//	  CANCEL_ASKED         -> CANCELLED             "cancelled"
//
//	WAITING
//	  ADMITTED             => RESERVED   take       "reserved"
//	  REASON_CHANGED       -> WAITING               "queued"
//	  REFUSED              => REJECTED              "rejected"
//	  TIMED_OUT            => EXPIRED               "expired"
//	  CANCEL_ASKED         => CANCELLED             "cancelled"
//
//	RESERVED
//	  LEASED               => SUBMITTING
//	  CANCEL_ASKED         => CANCELLED  give       "cancelled"
//	  WITHDRAWN            => WAITING    give       "queued"
//
//	SUBMITTING
//	  ACCEPTED             -> SUBMITTED             "submitted"
//	  RECLAIMED            -> SUBMITTING
//	  DECLINED RATE        => RESERVED
//	  DECLINED DENIED      => RESERVED
//	  DECLINED TRANSIENT   => WAITING    give       "queued"
//	  DECLINED PERMANENT   => FAILED     give       "failed"
//	  DECLINED UNCLEAR     -> SUBMITTING
//	  GIVEN_UP             => WAITING    give       "queued"
//	  GIVEN_UP LAST        => FAILED     give       "failed"
//	  CANCEL_ASKED         -> CANCELLING            "cancelling"
//	  REQUEUED             -> CANCELLING            "requeuing"
//
//	SUBMITTED
//	  CANCEL_ASKED         -> CANCELLING            "cancelling"
//	  OVERDUE              -> CANCELLING            "cancelling"
//	  REQUEUED             -> CANCELLING            "requeuing"
//	  STARTED              -> RUNNING               "started"
//	  ENDED                => SUCCEEDED  give       "succeeded"
//	  ENDED                => FAILED     give       "failed"
//	  ENDED                => CANCELLED  give       "cancelled"
//	  ENDED                => EXPIRED    give       "expired"
//	  GONE                 => FAILED     give       "failed"
//
//	RUNNING
//	  CANCEL_ASKED         -> CANCELLING            "cancelling"
//	  REQUEUED             -> CANCELLING            "requeuing"
//	  ENDED                => SUCCEEDED  give       "succeeded"
//	  ENDED                => FAILED     give       "failed"
//	  ENDED                => CANCELLED  give       "cancelled"
//	  ENDED                => EXPIRED    give       "expired"
//	  GONE                 => FAILED     give       "failed"
//
//	CANCELLING
//	  CANCEL_ASKED AGAIN   -> CANCELLING            "cancelling"
//	  ACCEPTED             -> CANCELLING
//	  RECLAIMED            -> CANCELLING
//	  DECLINED             => CANCELLED  give       "cancelled"
//	  DECLINED AGAIN       => WAITING    give       "queued"
//	  DECLINED UNCLEAR     -> CANCELLING
//	  GIVEN_UP             => CANCELLED  give       "cancelled"
//	  GIVEN_UP AGAIN       => WAITING    give       "queued"
//	  ENDED                => SUCCEEDED  give       "succeeded"
//	  ENDED                => FAILED     give       "failed"
//	  ENDED                => CANCELLED  give       "cancelled"
//	  ENDED AGAIN          => WAITING    give       "queued"
//	  ENDED                => EXPIRED    give       "expired"
//	  GONE                 => CANCELLED  give       "cancelled"
//	  GONE AGAIN           => WAITING    give       "queued"
package lifecycle
