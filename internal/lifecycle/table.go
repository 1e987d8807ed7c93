package lifecycle

// A Row is one line of the state table: what an event does to a reservation in
// a state, to its replicas, and which outcome event tells of it.
type Row struct {
	From     State
	Event    Event
	Case     string // tells apart rows of one state and event; "" where there is one
	To       State
	Capacity Capacity
	Outcome  string // word of the outcome event, "" for none
}

// Cases of [Row]. An event of kind Ended has the target state as its case, a
// Declined one its [Decline] or CaseUnclear, a GivenUp nothing or CaseLast.
const (
	// CaseUnclear: this attempt was declined, but an earlier one may have
	// created a job. Nothing is proved about the run.
	CaseUnclear = "UNCLEAR"
	// CaseLast: the request is not submitted again after this run.
	CaseLast = "LAST"
)

// Table is the one table. The diagram in the package comment is drawn from it
// by a test.
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

	{Submitted, CancelAsked, "", Cancelling, Keep, "cancelling"},
	{Submitted, Overdue, "", Cancelling, Keep, "cancelling"},
	{Submitted, Started, "", Running, Keep, "started"},
	{Submitted, Ended, string(Succeeded), Succeeded, Give, "succeeded"},
	{Submitted, Ended, string(Failed), Failed, Give, "failed"},
	{Submitted, Ended, string(Cancelled), Cancelled, Give, "cancelled"},
	{Submitted, Ended, string(Expired), Expired, Give, "expired"},
	{Submitted, Gone, "", Failed, Give, "failed"},

	{Running, CancelAsked, "", Cancelling, Keep, "cancelling"},
	{Running, Ended, string(Succeeded), Succeeded, Give, "succeeded"},
	{Running, Ended, string(Failed), Failed, Give, "failed"},
	{Running, Ended, string(Cancelled), Cancelled, Give, "cancelled"},
	{Running, Ended, string(Expired), Expired, Give, "expired"},
	{Running, Gone, "", Failed, Give, "failed"},

	{Cancelling, Accepted, "", Cancelling, Keep, ""},
	{Cancelling, Reclaimed, "", Cancelling, Keep, ""},
	{Cancelling, Declined, "", Cancelled, Give, "cancelled"},
	{Cancelling, Declined, CaseUnclear, Cancelling, Keep, ""},
	{Cancelling, GivenUp, "", Cancelled, Give, "cancelled"},
	{Cancelling, Ended, string(Succeeded), Succeeded, Give, "succeeded"},
	{Cancelling, Ended, string(Failed), Failed, Give, "failed"},
	{Cancelling, Ended, string(Cancelled), Cancelled, Give, "cancelled"},
	{Cancelling, Ended, string(Expired), Expired, Give, "expired"},
	{Cancelling, Gone, "", Cancelled, Give, "cancelled"},
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
