package ledger

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/estimate"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// KindRecord is the kind of [Record].
const KindRecord Kind = "requests"

// RecordRef names the document of a record.
func RecordRef(key message.Key) Ref { return Ref{KindRecord, string(key)} }

// Ref names the document.
func (r *Record) Ref() Ref { return RecordRef(r.Key) }

// A Record is the document of one request; or of the answer to one message
// that owns no reservation (its Kind is [message.KindAnswer], its reservation
// the zero value); or a tombstone (see [Record.Tombstone]).
type Record struct {
	Versioned
	Key         message.Key  `json:"key"`
	Kind        message.Kind `json:"kind"`
	Tenant      string       `json:"tenant"`
	ID          string       `json:"id"`        // the id that Key hashes: request id or message id
	MessageID   string       `json:"messageId"` // message that made the record
	Fingerprint string       `json:"fingerprint,omitempty"`
	Trace       string       `json:"trace,omitempty"` // its events carry it on, and later steps belong to it: a traceparent

	Resource       string            `json:"resource,omitempty"`    // full name
	NamedInFull    bool              `json:"namedInFull,omitempty"` // the message names Resource so, and not by its id or by default
	DisplayName    string            `json:"displayName,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	Spec           string            `json:"spec,omitempty"` // what to submit: JSON of a CustomJob without id of the persistent resource and our labels
	Ask            capacity.Ask      `json:"ask,omitempty"`
	Network        string            `json:"network,omitempty"`
	EncryptionKey  string            `json:"encryptionKey,omitempty"`
	ServiceAccount string            `json:"serviceAccount,omitempty"`
	UnsetDisks     []int             `json:"unsetDisks,omitempty"` // worker pools whose disk type Ask has from the deployment, not from the job
	Priority       int               `json:"priority,omitempty"`
	OnFull         message.OnFull    `json:"onFull,omitempty"`
	// Concurrency is the key that requests of one recurring job have in common.
	Concurrency  message.Concurrency `json:"concurrency,omitzero"`
	MaxWait      time.Duration       `json:"maxWait,omitempty"`
	Timeout      time.Duration       `json:"timeout,omitempty"`      // the job's time limit
	UnsetTimeout bool                `json:"unsetTimeout,omitempty"` // it has Timeout from the deployment or Vertex AI, not from the job
	Family       string              `json:"family,omitempty"`       // see [estimate.FamilyOf]
	Warnings     []reason.Problem    `json:"warnings,omitempty"`
	// Paths says how the message writes the fields of the job, for reasons that
	// are given later.
	Paths message.Paths `json:"paths,omitzero"`

	// Order is where the request stands among all of its resource: lower comes
	// first. It is set by the first decision and never changes, so a request
	// that goes back into the queue keeps its age.
	Order string `json:"order,omitempty"`
	// PolicyVersion is the version of the policy that the request was held against as it came
	// in; 0 for none. It never changes: a request that waits keeps what it was taken with.
	PolicyVersion int64 `json:"policyVersion,omitempty"`
	// Place is what Order owes to the shares of the tenants; zero without them. It never
	// changes either.
	Place admission.Place `json:"place,omitzero"`
	// Estimate is the expected run time that Order is made of; zero if that is Timeout. It
	// never changes either.
	Estimate estimate.Estimate `json:"estimate,omitzero"`

	lifecycle.Reservation `json:"reservation"`
	// LeasedAt is when the first attempt of the run began.
	LeasedAt time.Time `json:"leasedAt,omitzero"`
	// Excused is how many attempts of the run were made while Vertex AI answered no
	// creates in the region.
	Excused int `json:"excused,omitempty"`
	// DeniedAt is when Vertex AI last refused Berth itself while this request was
	// submitted.
	DeniedAt time.Time `json:"deniedAt,omitzero"`
	// Rounds is how many runs ended without a job because Vertex AI did not say
	// whether it created one; Outdone how often it did not get a job, by that or by a
	// denial, while Vertex AI accepted others.
	Rounds  int `json:"rounds,omitempty"`
	Outdone int `json:"outdone,omitempty"`
	// PastRuns are the labels of earlier runs. A live job under one of them is
	// ours and an orphan job.
	PastRuns []string `json:"pastRuns,omitempty"`
	// Cancels are the messages that asked for the end, the first few. A second
	// delivery of one is a duplicate, whatever has become of the request.
	Cancels []string `json:"cancels,omitempty"`
	// Why is the reason for the present state; it goes into the next events.
	Why *reason.Problem `json:"why,omitempty"`
	// Renotified counts the events that gave a waiting request another reason.
	Renotified int `json:"renotified,omitempty"`
	// Fit, ScaleUp and Ahead are what the last decision found.
	Fit     []capacity.Finding `json:"fit,omitempty"`
	ScaleUp bool               `json:"scaleUp,omitempty"`
	Ahead   int                `json:"ahead,omitempty"`
	// StartBy is when the job of the present run must be running, because it would
	// otherwise delay a reservation that it passed; zero if it passed none.
	StartBy time.Time `json:"startBy,omitzero"`
	// Requeues is how often the request went back into the queue because its job was
	// not running in time.
	Requeues int `json:"requeues,omitempty"`
	// SentBack is how often operators had it wait again.
	SentBack int `json:"sentBack,omitempty"`
	// ContradictedSince is since when a RUNNING resource says that a waiting
	// request can never fit.
	ContradictedSince time.Time `json:"contradictedSince,omitzero"`
	// Class is the class of the queue that a waiting request is in; "" for any other
	// request, and for one that is parked.
	Class admission.ClassID `json:"class,omitempty"`
	// StartsBy is the latest start that a waiting request was promised by the last
	// decision; zero without one.
	StartsBy time.Time `json:"startsBy,omitzero"`
	// Parked says that a waiting request is in no queue: the pools as last observed
	// can never take it, or Vertex AI has refused it while others wait or are accepted
	// (RetryAt). So no request waits behind it, and shapes that no pool has make no
	// queues. It is decided again when the pools change.
	Parked bool `json:"parked,omitempty"`
	// RetryAt is until when a request is parked that Vertex AI has refused; zero for
	// one that is parked for its pools.
	RetryAt time.Time `json:"retryAt,omitzero"`
	// Declined is for how long Vertex AI has refused this request without a cause
	// that can be seen.
	Declined Declined          `json:"declined,omitzero"`
	JobState string            `json:"jobState,omitempty"`
	JobError *message.JobError `json:"jobError,omitempty"`
	Times    message.Times     `json:"times"`

	// TimerAt is when the record's timer runs; zero for never.
	TimerAt time.Time `json:"timerAt,omitzero"`
	// Sequence is the number of the last outbox event written.
	Sequence int64         `json:"sequence"`
	Outbox   []OutboxEvent `json:"outbox,omitempty"` // oldest first; see keepEvents
	// ExpireAt is when the document may be deleted. It is set by the write that
	// marks the terminal outbox event published, and of a tombstone by the cancel.
	ExpireAt time.Time `json:"expireAt,omitzero"`
}

// Declined counts the creates of a request in a row that Vertex AI refused while
// nothing that can be seen explained it.
type Declined struct {
	Times int           `json:"times"`
	Last  time.Time     `json:"last"`            // ledger's time of the latest
	For   time.Duration `json:"for"`             // time between them, without the time in which it was not tried
	Alone int           `json:"alone,omitempty"` // those since Vertex AI has accepted another job on the resource
}

// An OutboxEvent is an outcome event and whether the outcome topic has it.
type OutboxEvent struct {
	ID        string          `json:"id"`
	Type      message.Type    `json:"type"`
	Time      time.Time       `json:"time"`
	Published bool            `json:"published,omitempty"`
	Outcome   message.Outcome `json:"outcome"`
}

// Tombstone says that nothing has come under the id yet, and that a cancel has:
// a request that comes before ExpireAt is cancelled as it comes. Its reservation
// is the zero value and it has no outbox events, because nothing has ended.
func (r *Record) Tombstone() bool {
	return r.Kind != message.KindAnswer && r.State == lifecycle.None
}

// Preferred returns the record that an id alone names, of those that are known under
// it in several kinds: one that has not ended, else one that has ended or is an
// answer, else a tombstone; of equals the first. It leaves out nil records, and
// returns nil if there is no other.
func Preferred(found ...*Record) *Record {
	rank := func(r *Record) int {
		switch {
		case r.Tombstone(), r.Kind != message.KindAnswer && r.Fingerprint == "": // of an earlier release
			return 2
		case r.Kind == message.KindAnswer, r.State.Terminal():
			return 1
		}
		return 0
	}
	var best *Record
	for _, r := range found {
		if r != nil && (best == nil || rank(r) < rank(best)) {
			best = r
		}
	}
	return best
}

// Event returns an outbox event as the event to publish. The parts that never change
// are stored once, in the record, and added here.
func (r *Record) Event(l OutboxEvent) message.Outcome {
	o := l.Outcome
	o.EventID, o.Type, o.Time, o.Trace = l.ID, l.Type, l.Time, r.Trace
	if r.Kind != message.KindAnswer {
		o.DisplayName, o.Labels = r.DisplayName, r.Labels
	}
	return o
}

// keepEvents is how many published outbox events a record keeps for its history, so
// that the document of a job that Vertex AI declines again and again does not grow
// without bound. Unpublished outbox events are always kept.
const keepEvents = 40

// keepBytes bounds the same by size, in bytes.
const keepBytes = 96 << 10

// Append adds an unpublished event, numbered after the last.
func (r *Record) Append(o message.Outcome, now time.Time) {
	r.Sequence++
	o.Sequence = r.Sequence
	r.Outbox = append(r.Outbox, OutboxEvent{
		ID: fmt.Sprintf("%s-%d", r.Key, r.Sequence), Type: o.Type, Time: now, Outcome: o,
	})
	bytes := 0
	for _, l := range r.Outbox {
		bytes += l.weight()
	}
	for i := 0; i < len(r.Outbox) && (len(r.Outbox) > keepEvents || bytes > keepBytes); {
		if !r.Outbox[i].Published {
			i++
			continue
		}
		bytes -= r.Outbox[i].weight()
		r.Outbox = slices.Delete(r.Outbox, i, i+1)
	}
}

// Unpublished returns the outbox events that are not published yet, oldest first.
func (r *Record) Unpublished() []OutboxEvent {
	var unpublished []OutboxEvent
	for _, l := range r.Outbox {
		if !l.Published {
			unpublished = append(unpublished, l)
		}
	}
	return unpublished
}

// MarkPublished marks outbox events as published. A record that has ended, or is an
// answer, may expire after keep once all its events are published.
func (r *Record) MarkPublished(ids []string, now time.Time, keep time.Duration) {
	for i := range r.Outbox {
		if slices.Contains(ids, r.Outbox[i].ID) {
			r.Outbox[i].Published = true
		}
	}
	done := r.Kind == message.KindAnswer || r.State.Terminal()
	if done && len(r.Unpublished()) == 0 && r.ExpireAt.IsZero() {
		r.ExpireAt = now.Add(keep)
	}
}

// Parked is the queue of all parked requests. It is in the index only
// ([Ledger.Queue]): its order decides nothing.
const Parked = "parked"

// ParkedIn is the queue of the parked requests that ask for a shape.
func ParkedIn(shape string) string { return Parked + " " + shape }

// Indexed names the queues in which [Ledger.Queue] finds the record: its class, or
// of a parked one those of parked requests.
func (r *Record) Indexed() []string {
	switch {
	case r.State != lifecycle.Waiting:
		return nil
	case !r.Parked:
		return []string{string(r.Class)}
	}
	queues := []string{Parked}
	for _, s := range r.Ask.Shapes() {
		queues = append(queues, ParkedIn(s.String()))
	}
	return queues
}

const orderLayout = "20060102T150405.000000000"

// OrderKey returns a record's static order: higher priority first, then the
// earlier key (see [admission.Key]), then by key of the record. Priorities are
// -1000 to 1000.
func OrderKey(priority int, at time.Time, key message.Key) string {
	return fmt.Sprintf("%04d-%s-%s", 1000-priority, at.UTC().Format(orderLayout), key)
}

// orderTime is the time in an order key; zero if there is none.
func orderTime(order string) time.Time {
	const from = len("1000-")
	if len(order) < from+len(orderLayout) {
		return time.Time{}
	}
	at, err := time.Parse(orderLayout, order[from:from+len(orderLayout)])
	if err != nil {
		return time.Time{}
	}
	return at
}

// CompareOrder compares two order keys.
func CompareOrder(a, b string) int { return strings.Compare(a, b) }
