package message

import (
	"strings"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
)

// An Outcome is one event of the outcome topic: the data of a CloudEvent, and
// what its attributes are made of. Consumers sort by Sequence within one
// request and drop event ids that they have received before. Both are fixed in the
// commit of the change, so a second publication is the same event.
type Outcome struct {
	// EventID is the CloudEvent id: the request's key and the sequence number.
	EventID string    `json:"-"`
	Type    Type      `json:"-"`
	Time    time.Time `json:"-"` // of the change, by the ledger's clock
	// Trace is the trace context of the publication, as a traceparent; "" without one.
	// That of a second publication may be another span of the same trace.
	Trace string `json:"-"`

	Tenant string `json:"tenant"`
	// RequestID is the producer's id; empty when the message's id serves.
	RequestID string `json:"requestId,omitempty"`
	// ClaimedRequestID is the request id that a message carries which owns no
	// reservation. It is a claim, so it is only here and never in RequestID.
	ClaimedRequestID string `json:"claimedRequestId,omitempty"`
	// MessageID is the Pub/Sub message that made the request, or that the
	// answer is for.
	MessageID string `json:"messageId,omitempty"`
	// Verdict is the answer to a dry run: ADMIT, WAIT or REFUSE.
	Verdict string `json:"verdict,omitempty"`
	// Sequence counts the events of one request from 1, without a gap. An
	// answer is its message's only event and has number 1, but for a drain's, which has
	// another event once nothing runs.
	Sequence int64 `json:"sequence"`
	// State is the reservation's new state, a word of the state table. An answer
	// to a message that was refused has StateRefused, the answer to a repeat has the
	// state that the request ended in, another answer has none.
	State string `json:"state,omitempty"`

	PersistentResource string            `json:"persistentResource,omitempty"` // full name
	DisplayName        string            `json:"displayName,omitempty"`
	Job                string            `json:"job,omitempty"`      // full name of the CustomJob, once recorded
	JobState           string            `json:"jobState,omitempty"` // Vertex AI's word, when the event is about it
	Labels             map[string]string `json:"labels,omitempty"`   // the job's own labels

	// Reason says why, always there for queued, rejected, failed, cancelled,
	// expired, cancelling and answers to tenants, except for the repeat of a request
	// that succeeded.
	Reason *reason.Problem `json:"reason,omitempty"`
	// Problems lists everything wrong with a message that was refused.
	Problems []reason.Problem `json:"problems,omitempty"`
	// Warnings are about a job that was taken.
	Warnings []reason.Problem `json:"warnings,omitempty"`
	// Fit shows per shape what was asked, what is taken and what is short.
	Fit     []capacity.Finding `json:"fit,omitempty"`
	ScaleUp bool               `json:"scaleUp,omitempty"` // the autoscaler has to add machines first
	// Ahead is the number of waiting requests for the same machines that may come
	// before this one in order; set in queued events.
	Ahead *int `json:"ahead,omitempty"`
	// StartsBy is when the request starts at the latest, by the time limits of the
	// jobs that run, if it has a reservation; in queued events.
	StartsBy time.Time `json:"startsBy,omitzero"`
	// Bound is by when a request that is explained would start at the latest even
	// without a reservation, if no request comes that is before it in order.
	Bound time.Time `json:"bound,omitzero"`
	// PolicyVersion is the version of the policy that the request was held against as it
	// came in; 0 without a policy.
	PolicyVersion int64 `json:"policyVersion,omitempty"`
	// ObservedAt is when Berth last observed the persistent resource.
	ObservedAt *time.Time `json:"observedAt,omitempty"`
	// JobError is Vertex AI's error of the job, or of the refused call.
	JobError *JobError `json:"error,omitempty"`
	// CancelUntil is until when a request ends that comes under an id which was
	// cancelled before any request had it; set in noted events.
	CancelUntil time.Time `json:"cancelUntil,omitzero"`
	// Operator is what an operator did, in the events that say so.
	Operator *Operation `json:"operator,omitempty"`
	Times    Times      `json:"times"`
}

// StateRefused is the state in the answer to a message that made no request. It
// is not a state of a reservation.
const StateRefused = "REFUSED"

// A JobError is a google.rpc.Status in short.
type JobError struct {
	Code    int32  `json:"code"` // a google.rpc.Code
	Message string `json:"message"`
}

// Times are the moments of a request's life so far, by the ledger's clock, except
// Published (Pub/Sub's clock), JobStarted and JobEnded (Vertex AI's).
type Times struct {
	Published  time.Time `json:"published,omitzero"`
	Received   time.Time `json:"received,omitzero"`
	Queued     time.Time `json:"queued,omitzero"` // last time it was put in the queue
	Reserved   time.Time `json:"reserved,omitzero"`
	Submitted  time.Time `json:"submitted,omitzero"`
	Started    time.Time `json:"started,omitzero"`
	Ended      time.Time `json:"ended,omitzero"`
	JobStarted time.Time `json:"jobStarted,omitzero"`
	JobEnded   time.Time `json:"jobEnded,omitzero"`
}

// A Type is a CloudEvent type.
type Type string

// The types of requests are named after the state that the event announces.
const (
	typePrefix = "berth."

	Queued     Type = typePrefix + "request.queued.v1"
	Reserved   Type = typePrefix + "request.reserved.v1"
	Submitted  Type = typePrefix + "request.submitted.v1"
	Started    Type = typePrefix + "request.started.v1"
	Cancelling Type = typePrefix + "request.cancelling.v1"
	Requeuing  Type = typePrefix + "request.requeuing.v1"
	Rejected   Type = typePrefix + "request.rejected.v1"
	Succeeded  Type = typePrefix + "request.succeeded.v1"
	Failed     Type = typePrefix + "request.failed.v1"
	Cancelled  Type = typePrefix + "request.cancelled.v1"
	Expired    Type = typePrefix + "request.expired.v1"

	// Refused answers a message that owns no reservation: malformed, an id
	// reused, a cancel of something that has ended.
	Refused Type = typePrefix + "message.refused.v1"
	// Quoted answers a dry run.
	Quoted Type = typePrefix + "message.quoted.v1"
	// Duplicate answers a message that sends a request again, same id and same
	// content, after the request has ended: with the state and the reason it ended
	// in.
	Duplicate Type = typePrefix + "message.duplicate.v1"
	// Noted answers a cancel under whose id nothing has come yet.
	Noted Type = typePrefix + "message.noted.v1"

	// Paused and Resumed answer an operator: it is done.
	Paused  Type = typePrefix + "operator.paused.v1"
	Resumed Type = typePrefix + "operator.resumed.v1"
	// Draining answers an operator: nothing starts any more. Drained follows once
	// nothing runs.
	Draining Type = typePrefix + "operator.draining.v1"
	Drained  Type = typePrefix + "operator.drained.v1"
	// OperatorCancelling, Requeued and Prioritised answer an operator: it is done to the
	// request, whose own events follow.
	OperatorCancelling Type = typePrefix + "operator.cancelling.v1"
	Requeued           Type = typePrefix + "operator.requeued.v1"
	Prioritised        Type = typePrefix + "operator.prioritised.v1"
)

// Word returns what the type says has happened: "queued" for
// "berth.request.queued.v1". It is "" for a type of another form.
func (t Type) Word() string {
	parts := strings.Split(string(t), ".")
	if len(parts) != 4 {
		return ""
	}
	return parts[2]
}

// Operated reports whether the event answers an operator whose message was done.
func (t Type) Operated() bool {
	switch t {
	case Paused, Resumed, Draining, Drained, OperatorCancelling, Requeued, Prioritised:
		return true
	}
	return false
}

// Terminal reports whether the event is the last of its request.
func (t Type) Terminal() bool {
	switch t {
	case Rejected, Succeeded, Failed, Cancelled, Expired, Refused, Quoted, Duplicate, Noted, Paused, Resumed, Drained, OperatorCancelling, Requeued, Prioritised:
		return true
	}
	return false
}
