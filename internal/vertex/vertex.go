// Package vertex is the port for training jobs and the persistent resources
// they run on.
//
// # What Vertex AI promises
//
// The contract of [Client] promises what Vertex AI does, which is little: a create
// takes no idempotency key and returns at once; a created job need not run; states
// go back and forth between pending and queued; a cancelled job may still succeed; a
// list may lag behind a create; and the answer to any call may be lost.
//
// A job that Berth submits carries three labels: [LabelRun] names one run of one
// request, [LabelRequest] the request's key, [LabelDeployment] the deployment. Every
// user who may create jobs can set them, so a label alone proves nothing: it finds
// jobs that the ledger then confirms.
package vertex

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// Label keys on the jobs that Berth submits. Requests with such labels are refused
// (message.LabelPrefix).
const (
	LabelRun        = "berth-run"
	LabelRequest    = "berth-request"
	LabelDeployment = "berth-deployment"
)

// PageSize is how many jobs a list returns in one call: [Client.Live] and
// [Client.Find] make one for every so many. It is what gcloud asks for; the
// largest that is served is not documented.
const PageSize = 100

// A Client talks to Vertex AI. All errors are [*Error]. Implementations set a
// deadline of their own on every call, unless the context has an earlier one,
// and repeat nothing.
type Client interface {
	// Create submits a job under a parent, projects/P/locations/L. Of its errors
	// only those of kind [RateLimited], [Denied], [Transient] and [Permanent] mean
	// that no job was created. After [Unclear] there may be one, now or in a while.
	Create(ctx context.Context, parent string, job *aiplatformpb.CustomJob) (Job, error)
	// Get returns one job; [NotFound] when there is none of that name.
	Get(ctx context.Context, name string) (Job, error)
	// Find returns the jobs, live or ended, that carry a run's label, oldest
	// first. A job created a moment ago may be missing.
	Find(ctx context.Context, parent, run string) ([]Job, error)
	// Live returns all jobs under a parent that are in no terminal state, Berth's
	// and foreign ones. A job created a moment ago may be missing; absence proves
	// nothing.
	Live(ctx context.Context, parent string) ([]Job, error)
	// Cancel asks for the end of a job. It returns before the job has ended, and
	// the job may still succeed. Cancelling an ended job is no error;
	// [NotFound] when there is none of that name.
	Cancel(ctx context.Context, name string) error
	// Resource returns a persistent resource by its full name; [NotFound] when
	// there is none.
	Resource(ctx context.Context, name string) (Resource, error)
}

// A Job is what Berth reads of a CustomJob.
type Job struct {
	Name               string // projects/NUMBER/locations/L/customJobs/ID, as Vertex AI wrote it
	State              JobState
	Run                string // value of LabelRun; it and Request are "" unless both have the form of Berth's labels, see Named
	Request            message.Key
	Deployment         string
	PersistentResource string // id, "" for a job that runs elsewhere
	Ask                capacity.Ask
	CreateTime         time.Time
	StartTime          time.Time // set long before RUNNING
	EndTime            time.Time
	Timeout            time.Duration     // its scheduling.timeout; 0 for Vertex AI's default
	Error              *message.JobError // of ended jobs
}

// DefaultTimeout is how long Vertex AI lets a job run that sets no scheduling.timeout
// (field comment of Scheduling.timeout).
const DefaultTimeout = 7 * 24 * time.Hour

// LatestEnd is when the job ends at the latest, by its start (its creation before that)
// and its time limit; zero if neither is known.
func (j Job) LatestEnd() time.Time {
	start := j.StartTime
	if start.IsZero() {
		start = j.CreateTime
	}
	if start.IsZero() {
		return start
	}
	return start.Add(cmp.Or(j.Timeout, DefaultTimeout))
}

// A JobState is the name of a google.cloud.aiplatform.v1.JobState without its
// prefix.
type JobState string

const (
	JobUnspecified        JobState = "STATE_UNSPECIFIED"
	JobQueued             JobState = "QUEUED"
	JobPending            JobState = "PENDING"
	JobRunning            JobState = "RUNNING"
	JobSucceeded          JobState = "SUCCEEDED"
	JobFailed             JobState = "FAILED"
	JobCancelling         JobState = "CANCELLING"
	JobCancelled          JobState = "CANCELLED"
	JobPaused             JobState = "PAUSED"
	JobExpired            JobState = "EXPIRED"
	JobUpdating           JobState = "UPDATING"
	JobPartiallySucceeded JobState = "PARTIALLY_SUCCEEDED"
)

// Ended reports whether the state is terminal.
func (s JobState) Ended() bool {
	switch s {
	case JobSucceeded, JobFailed, JobCancelled, JobExpired, JobPartiallySucceeded:
		return true
	}
	return false
}

// Ran reports whether a job in this state runs or has run. UPDATING is reached
// only from RUNNING.
func (s JobState) Ran() bool {
	return s == JobRunning || s == JobUpdating || s == JobPaused
}

// A Resource is what Berth reads of a persistent resource.
type Resource struct {
	State         string // PersistentResource.State without prefix, for example "RUNNING"
	CreateTime    time.Time
	Pools         []capacity.Pool // shapes normal
	Network       string
	EncryptionKey string
	CustomAccount bool // enable_custom_service_account
	Ray           bool // it is a Ray cluster: resource_runtime_spec has a ray_spec
}

// Running is the one State in which jobs are accepted.
const Running = "RUNNING"

// Stopping is the State of a resource that is being deleted.
const Stopping = "STOPPING"

// A Kind sorts errors by what they allow to conclude.
type Kind string

const (
	// Unclear: the call may have had its effect. Everything not known to be one
	// of the others is unclear: lost connections, deadlines, Internal, Unknown.
	Unclear Kind = "UNCLEAR"
	// RateLimited: too many calls a minute, nothing done.
	RateLimited Kind = "RATE_LIMITED"
	// Denied: refused because of the caller: Berth's own permission or credentials
	// are missing, or the region does not serve the API. It is not about the job.
	// Nothing done.
	Denied Kind = "DENIED"
	// Transient: refused because of the present state: no free replica, persistent
	// resource not ready. Nothing done.
	Transient Kind = "TRANSIENT"
	// Permanent: refused because of what was asked. Nothing done.
	Permanent Kind = "PERMANENT"
	// NotFound: there is nothing of that name. Create returns Transient instead:
	// the persistent resource is missing, and can be created again.
	NotFound Kind = "NOT_FOUND"
)

// An Error is a failed call.
type Error struct {
	Op      string // "create", "get", ...
	Name    string // what it was about
	Kind    Kind
	Code    int32  // google.rpc.Code; 0 when there was no answer
	Message string // Vertex AI's words. It may quote the job, so it goes into events, not into logs.
	Err     error
}

// Unspecific reports whether the refusal of a create leaves open what it is about.
// FAILED_PRECONDITION and NOT_FOUND may be about the present state of the persistent
// resource, which changes, or about the job, which does not. RESOURCE_EXHAUSTED is
// about a shortage, and a call without an answer is about neither.
func (e *Error) Unspecific() bool { return e.Code == 5 || e.Code == 9 }

func (e *Error) Error() string {
	return fmt.Sprintf("vertex: %s %s: %s (code %d)", e.Op, e.Name, e.Kind, e.Code)
}

func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of an error of a [Client], Unclear for any other.
func KindOf(err error) Kind {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	return Unclear
}
