// Package reason holds the codes and texts by which Berth says why it refuses
// something, why a request waits and how a request ended. It is the ground of all
// rooms that decide: it is pure, imports none of them, and knows no message.
package reason

import (
	"fmt"
	"strings"
)

// A Code says in one word why something was refused or has to wait. Programs branch
// on codes: new ones may be added, and none changes its meaning. deploy/events.md lists
// them with these comments.
type Code string

const (
	// What was sent cannot be read or is not allowed.
	Malformed         Code = "MALFORMED"           // not JSON or YAML of a known shape
	TooLarge          Code = "TOO_LARGE"           // a limit on size, count or depth
	UnknownField      Code = "UNKNOWN_FIELD"       // a field of unknown name
	DuplicateField    Code = "DUPLICATE_FIELD"     // one field twice, in one or in two spellings
	InvalidValue      Code = "INVALID_VALUE"       // a value of the wrong type, form or range
	MissingField      Code = "MISSING_FIELD"       // a field that is needed
	ReservedLabel     Code = "RESERVED_LABEL"      // a label key that belongs to Berth
	Conflict          Code = "CONFLICT"            // two parts of a message contradict each other
	WrongTopic        Code = "WRONG_TOPIC"         // an operator's message on a topic of requests, or a tenant's on the topic of operators
	Unsupported       Code = "UNSUPPORTED"         // not possible on a persistent resource (spot, flex-start, reservation affinity)
	NoResource        Code = "NO_RESOURCE"         // names no persistent resource, and none is configured
	ForeignResource   Code = "FOREIGN_RESOURCE"    // names one of another project or region
	UnknownResource   Code = "UNKNOWN_RESOURCE"    // Vertex AI has none of this name, and Berth never observed one
	IDReused          Code = "ID_REUSED"           // the id of another, different request
	SpecMismatch      Code = "SPEC_MISMATCH"       // no pool has this machine and disk spec
	TooManyReplicas   Code = "TOO_MANY_REPLICAS"   // more than the pools have when empty
	TimeoutTooLong    Code = "TIMEOUT_TOO_LONG"    // the job's time limit is above the deployment's
	NetworkMismatch   Code = "NETWORK_MISMATCH"    // network differs from the persistent resource's
	KeyMismatch       Code = "KEY_MISMATCH"        // encryption key differs
	AccountMismatch   Code = "ACCOUNT_MISMATCH"    // service account missing, or given where it cannot be
	RayCluster        Code = "RAY_CLUSTER"         // the persistent resource is a Ray cluster
	PolicyResource    Code = "POLICY_RESOURCE"     // the policy does not let the tenant use this persistent resource
	PolicyAccount     Code = "POLICY_ACCOUNT"      // it does not let it run jobs as this service account, or without one
	PolicyImage       Code = "POLICY_IMAGE"        // it does not let it run this image, or an image by its tag
	PolicyNetwork     Code = "POLICY_NETWORK"      // it does not let it use this network or attachment
	PolicyStorage     Code = "POLICY_STORAGE"      // it does not let it write to, or run packages from, this place in Cloud Storage
	PolicyEnv         Code = "POLICY_ENV"          // it does not let it set this environment variable
	PolicyWebAccess   Code = "POLICY_WEB_ACCESS"   // it does not let it open a shell or a dashboard in a job
	PolicyLabel       Code = "POLICY_LABEL"        // a label that it requires is missing, or contradicts one that it adds
	PolicyPriority    Code = "POLICY_PRIORITY"     // it does not let it ask for this priority
	PolicyLimit       Code = "POLICY_LIMIT"        // more time, replicas or waiting than it lets one request have
	PolicyRule        Code = "POLICY_RULE"         // a rule in CEL does not allow the job, or cannot be evaluated for it
	Full              Code = "FULL"                // not now: too few replicas are free
	Behind            Code = "BEHIND"              // not now: it fits, and would delay a request that comes first
	OverQuota         Code = "OVER_QUOTA"          // its tenant has, or would have, more than the policy allows
	QueueFull         Code = "QUEUE_FULL"          // as many requests of its tenant wait as the policy allows
	Overdrawn         Code = "OVERDRAWN"           // not now: more replicas are in use than the pools have
	Paused            Code = "PAUSED"              // not now: an operator has paused it
	TenantPaused      Code = "TENANT_PAUSED"       // not now: an operator has paused its tenant
	UnknownPool       Code = "UNKNOWN_POOL"        // the persistent resource has no pool of this id
	NotPaused         Code = "NOT_PAUSED"          // a resume of what is not paused
	ResourceNotReady  Code = "RESOURCE_NOT_READY"  // not now: the persistent resource is not RUNNING
	ResourceGone      Code = "RESOURCE_GONE"       // not now: it was deleted and may be created again; or the end of a job that was on it
	ObservationTooOld Code = "OBSERVATION_TOO_OLD" // not now: the last observation of Vertex AI is too old
	HoldLimit         Code = "HOLD_LIMIT"          // not now: too many jobs on one persistent resource, or too many different sets of machines are waited for
	RateLimited       Code = "RATE_LIMITED"        // its replicas are held; it waits for a submission slot
	SubmissionsDenied Code = "SUBMISSIONS_DENIED"  // its replicas are held; Vertex AI does not let Berth submit jobs at present
	BackingOff        Code = "BACKING_OFF"         // not now: Vertex AI declined a job here a moment ago
	VertexDeclined    Code = "VERTEX_DECLINED"     // Vertex AI refused the job
	SubmissionUnclear Code = "SUBMISSION_UNCLEAR"  // Berth could not find out in time whether the job was created
	JobGone           Code = "JOB_GONE"            // the job was deleted at Vertex AI
	JobTimedOut       Code = "JOB_TIMED_OUT"       // the job ran as long as its own timeout allows
	JobEnded          Code = "JOB_ENDED"           // the job ended; the state and error are Vertex AI's
	WaitedTooLong     Code = "WAITED_TOO_LONG"     // its longest wait is over
	StartOverdue      Code = "START_OVERDUE"       // submitted, but not running in time
	CancelRequested   Code = "CANCEL_REQUESTED"    // a cancel message, or an operator, asked for it
	RequeueRequested  Code = "REQUEUE_REQUESTED"   // an operator had it give its replicas back and wait again
	WrongState        Code = "WRONG_STATE"         // an operator's message to a request whose state does not allow it
	AlreadyEnded      Code = "ALREADY_ENDED"       // a cancel, or an operator's message, to something that has ended
	AlreadyActive     Code = "ALREADY_ACTIVE"      // an earlier request of its concurrency key is active, and its policy is forbid
	Replaced          Code = "REPLACED"            // a later request of its concurrency key took its place
	NothingMatched    Code = "NOTHING_MATCHED"     // a cancel whose id no request has yet, or an operator's message whose id none has
	Warning           Code = "WARNING"             // nothing is refused; only in warnings
)

// A Problem is one thing that is wrong: what, where, and how to fix it. Of the
// message it carries short excerpts at most, with hidden characters made visible.
type Problem struct {
	Code   Code   `json:"code"`
	Path   string `json:"path,omitempty"` // JSON path in the message as it was sent, for example "jobSpec.workerPoolSpecs[0].replicaCount", or "attributes.berth-priority"
	Detail string `json:"detail"`         // what is wrong, one sentence
	Fix    string `json:"fix,omitempty"`  // what to do about it, one sentence; never empty in a refusal of a message
}

func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: ", p.Code)
	if p.Path != "" {
		fmt.Fprintf(&b, "%s: ", p.Path)
	}
	b.WriteString(p.Detail)
	if p.Fix != "" {
		b.WriteString(" " + p.Fix)
	}
	return b.String()
}
