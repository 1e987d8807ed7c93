package lifecycle

import "slices"

// A Row of the state table says what an event does to a reservation in a state
// and to its replicas, and which outcome event is published.
type Row struct {
	From     State
	Event    Event
	Case     string // distinguishes the rows of one state and event; "" if there is one
	To       State
	Capacity Capacity
	Outcome  string // word of the outcome event, "" for none
}

// WritesResource reports whether the row changes what the resource document shows
// of a reservation: its place in the queue, its hold, or that the hold waits for
// a submission slot. Any other row writes the record only, so that most moves do
// not contend for the document that all requests of a resource share.
func (r Row) WritesResource() bool { return shownAs(r.From) != shownAs(r.To) }

// shownAs names what a resource document shows of a reservation in a state.
func shownAs(s State) string {
	switch {
	case s == Waiting:
		return "queued"
	case s == Reserved:
		return "pending hold"
	case s.Holds():
		return "hold"
	}
	return ""
}

// WritesResource reports whether an event can take a row from this state that
// writes the resource document.
func WritesResource(from State, event Event) bool {
	return slices.ContainsFunc(Table, func(r Row) bool { return r.From == from && r.Event == event && r.WritesResource() })
}

// Cases that are no state and no [DeclineKind].
const (
	// CaseUnclear: this attempt was declined, but an earlier one may have
	// created a job. Nothing is proved about the run.
	CaseUnclear = "UNCLEAR"
	// CaseLast: the request is not submitted again after this run.
	CaseLast = "LAST"
	// CaseAgain: the request waits again after this run.
	CaseAgain = "AGAIN"
)

// Table lists every legal move. A test draws the diagram in the package comment
// from it.
var Table = []Row{
	{None, Admitted, "", Reserved, Take, "reserved"},
	{None, Deferred, "", Waiting, Keep, "queued"},
	{None, Refused, "", Rejected, Keep, "rejected"},
	{None, CancelAsked, "", Cancelled, Keep, "cancelled"},

	{Waiting, Admitted, "", Reserved, Take, "reserved"},
	{Waiting, ReasonChanged, "", Waiting, Keep, "queued"},
	{Waiting, Refused, "", Rejected, Keep, "rejected"},
	{Waiting, TimedOut, "", Expired, Keep, "expired"},
	{Waiting, CancelAsked, "", Cancelled, Keep, "cancelled"},

	{Reserved, Leased, "", Submitting, Keep, ""},
	{Reserved, CancelAsked, "", Cancelled, Give, "cancelled"},
	{Reserved, Withdrawn, "", Waiting, Give, "queued"},

	{Submitting, Accepted, "", Submitted, Keep, "submitted"},
	{Submitting, Reclaimed, "", Submitting, Keep, ""},
	{Submitting, Declined, string(Rate), Reserved, Keep, ""},
	{Submitting, Declined, string(Denied), Reserved, Keep, ""},
	{Submitting, Declined, string(Transient), Waiting, Give, "queued"},
	{Submitting, Declined, string(Permanent), Failed, Give, "failed"},
	{Submitting, Declined, CaseUnclear, Submitting, Keep, ""},
	{Submitting, GivenUp, "", Waiting, Give, "queued"},
	{Submitting, GivenUp, CaseLast, Failed, Give, "failed"},
	{Submitting, CancelAsked, "", Cancelling, Keep, "cancelling"},
	{Submitting, Requeued, "", Cancelling, Keep, "requeuing"},

	{Submitted, CancelAsked, "", Cancelling, Keep, "cancelling"},
	{Submitted, Overdue, "", Cancelling, Keep, "cancelling"},
	{Submitted, Requeued, "", Cancelling, Keep, "requeuing"},
	{Submitted, Started, "", Running, Keep, "started"},
	{Submitted, Ended, string(Succeeded), Succeeded, Give, "succeeded"},
	{Submitted, Ended, string(Failed), Failed, Give, "failed"},
	{Submitted, Ended, string(Cancelled), Cancelled, Give, "cancelled"},
	{Submitted, Ended, string(Expired), Expired, Give, "expired"},
	{Submitted, Gone, "", Failed, Give, "failed"},

	{Running, CancelAsked, "", Cancelling, Keep, "cancelling"},
	{Running, Requeued, "", Cancelling, Keep, "requeuing"},
	{Running, Ended, string(Succeeded), Succeeded, Give, "succeeded"},
	{Running, Ended, string(Failed), Failed, Give, "failed"},
	{Running, Ended, string(Cancelled), Cancelled, Give, "cancelled"},
	{Running, Ended, string(Expired), Expired, Give, "expired"},
	{Running, Gone, "", Failed, Give, "failed"},

	{Cancelling, CancelAsked, CaseAgain, Cancelling, Keep, "cancelling"},
	{Cancelling, Accepted, "", Cancelling, Keep, ""},
	{Cancelling, Reclaimed, "", Cancelling, Keep, ""},
	{Cancelling, Declined, "", Cancelled, Give, "cancelled"},
	{Cancelling, Declined, CaseAgain, Waiting, Give, "queued"},
	{Cancelling, Declined, CaseUnclear, Cancelling, Keep, ""},
	{Cancelling, GivenUp, "", Cancelled, Give, "cancelled"},
	{Cancelling, GivenUp, CaseAgain, Waiting, Give, "queued"},
	{Cancelling, Ended, string(Succeeded), Succeeded, Give, "succeeded"},
	{Cancelling, Ended, string(Failed), Failed, Give, "failed"},
	{Cancelling, Ended, string(Cancelled), Cancelled, Give, "cancelled"},
	{Cancelling, Ended, CaseAgain, Waiting, Give, "queued"},
	{Cancelling, Ended, string(Expired), Expired, Give, "expired"},
	{Cancelling, Gone, "", Cancelled, Give, "cancelled"},
	{Cancelling, Gone, CaseAgain, Waiting, Give, "queued"},
}

// Find returns the row for a state, event and case.
func Find(from State, event Event, which string) (Row, bool) {
	for _, r := range Table {
		if r.From == from && r.Event == event && r.Case == which {
			return r, true
		}
	}
	return Row{}, false
}
