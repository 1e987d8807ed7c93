package statuspage

import (
	"strconv"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// Codes of [Error], in addition to those of package reason.
const (
	NotFound         = "NOT_FOUND"
	MethodNotAllowed = "METHOD_NOT_ALLOWED"
	Forbidden        = "FORBIDDEN"       // the caller may not see requests of this tenant
	Unauthenticated  = "UNAUTHENTICATED" // the caller has no identity that can be verified
	Unavailable      = "UNAVAILABLE"     // the ledger or Vertex AI did not answer; try again
	Unreadable       = "UNREADABLE"      // a document is damaged, or was written by a newer release
)

// An Error says what is wrong with a call of the Status function, or with the
// function.
type Error struct {
	Status int    `json:"-"` // HTTP status
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

func (e *Error) Error() string {
	s := e.Code + ": " + e.Detail
	if e.Fix != "" {
		s += " " + e.Fix
	}
	return s
}

// A Failure is the body of every error answer.
type Failure struct {
	Error *Error `json:"error"`
}

// A Duration is written as seconds with an s, as protobuf does: "3600s".
type Duration time.Duration

// MarshalText writes seconds, to the millisecond.
func (d Duration) MarshalText() ([]byte, error) {
	s := time.Duration(d).Round(time.Millisecond).Seconds()
	return append(strconv.AppendFloat(nil, s, 'f', -1, 64), 's'), nil
}

// UnmarshalText is the inverse of MarshalText.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// An Index is the answer of /.
type Index struct {
	Service         string   `json:"service"`
	Version         string   `json:"version,omitempty"`
	Project         string   `json:"project"`
	Regions         []string `json:"regions"`
	Deployment      string   `json:"deployment"`
	DefaultResource string   `json:"defaultResource,omitempty"`
	RequestTopic    string   `json:"requestTopic,omitempty"`
	OutcomeTopic    string   `json:"outcomeTopic,omitempty"`
	MaxAge          Duration `json:"maxAge"`         // an older observation admits nothing
	Keep            Duration `json:"keep,omitempty"` // how long an id is kept after its request has ended, or after a cancel of an unknown id
	Routes          []Route  `json:"routes"`
}

// A Route is one path of the Status function.
type Route struct {
	Method  string `json:"method"`
	Path    string `json:"path"`
	Purpose string `json:"purpose"`
}

// A Health is the answer of /health. It is sent only if the ledger can be read,
// so OK is always true; a failure is a 503.
type Health struct {
	OK   bool      `json:"ok"`
	AsOf time.Time `json:"asOf"` // by the ledger's clock
	// Reconcile is the instance that made the last passes, and the time
	// until which it may continue.
	Reconcile *ledger.Lease `json:"reconcile,omitempty"`
	Resources int           `json:"resources"` // persistent resources that reconcile observes
	// Oldest is the resource with the oldest observation, or with none;
	// Stale says that this observation is too old to admit anything.
	Oldest    string   `json:"oldest,omitempty"`
	OldestAge Duration `json:"oldestAge,omitempty"`
	Stale     bool     `json:"stale,omitempty"`
	// Unreadable are documents that this release cannot read. It leaves
	// them unchanged.
	Unreadable []*ledger.UnreadableError `json:"unreadable,omitempty"`
}

// Pools is the answer of /pools.
type Pools struct {
	AsOf      time.Time  `json:"asOf"`
	Resources []Resource `json:"resources"`
	// PausedTenants are the tenants, of those that are shown to the caller, of which
	// operators let nothing start.
	PausedTenants map[string]admission.Pause `json:"pausedTenants,omitempty"`
	Next          string                     `json:"next,omitempty"`
	// Unreadable are documents that this release cannot read. It leaves
	// them unchanged.
	Unreadable []*ledger.UnreadableError `json:"unreadable,omitempty"`
}

// A Resource is one persistent resource as the ledger has it.
type Resource struct {
	Name        string    `json:"name"`
	State       string    `json:"state"`
	CreateTime  time.Time `json:"createTime,omitzero"`
	ObservedAt  time.Time `json:"observedAt,omitzero"`
	ObservedAge Duration  `json:"observedAge"`     // 0 if it was never observed
	Stale       bool      `json:"stale,omitempty"` // the observation is too old to admit anything
	Network     string    `json:"network,omitempty"`
	Ray         bool      `json:"ray,omitempty"` // it is a Ray cluster
	Pools       []Pool    `json:"pools"`
	Shapes      []Shape   `json:"shapes"`
	Holds       int       `json:"holds"`                 // requests that hold replicas
	Overstaying int       `json:"overstaying,omitempty"` // those of them whose jobs run beyond their time limits
	// Foreign are the first 100 live jobs that no reservation names;
	// ForeignJobs counts all of them.
	Foreign     []ledger.Foreign `json:"foreign,omitempty"`
	ForeignJobs int              `json:"foreignJobs,omitempty"`
	// Paused is who lets nothing start on it, since when and why; nil if nobody does.
	Paused *admission.Pause `json:"paused,omitempty"`
	// PausedPools are the pools, by id, on whose machines operators let nothing start.
	PausedPools map[string]admission.Pause `json:"pausedPools,omitempty"`
	NotBefore   time.Time                  `json:"notBefore,omitzero"`
	Declines    int                        `json:"declines,omitempty"` // by Vertex AI, in a row
}

// A Pool is one resource pool. Of an absent resource it is the last
// observation: a limit of 0 says that there are no machines now.
type Pool struct {
	capacity.Pool
	Limit capacity.Replicas `json:"limit"` // machines, or the autoscaling maximum
}

// A Shape is the arithmetic of all pools of one shape: taken is the sum of
// held, foreign and unexplained.
type Shape struct {
	Shape       capacity.Shape    `json:"shape"`
	Limit       capacity.Replicas `json:"limit"`
	Held        capacity.Replicas `json:"held"`
	Foreign     capacity.Replicas `json:"foreign"`
	Unexplained capacity.Replicas `json:"unexplained"`
	Taken       capacity.Replicas `json:"taken"`
	Paused      capacity.Replicas `json:"paused,omitempty"` // machines of paused pools; nothing starts on them
	Free        capacity.Replicas `json:"free"`
	Overdrawn   capacity.Replicas `json:"overdrawn"`
	Waiting     int               `json:"waiting"` // requests in the queue
}

// Queue is the answer of /queue.
type Queue struct {
	AsOf    time.Time `json:"asOf"`
	Waiting []Waiter  `json:"waiting"`
	Next    string    `json:"next,omitempty"`
	// Unreadable are documents that this release cannot read. It leaves
	// them unchanged.
	Unreadable []*ledger.UnreadableError `json:"unreadable,omitempty"`
}

// A Waiter is one waiting request.
type Waiter struct {
	Position    int          `json:"position"`         // among the queued requests of the resource, from 1; 0 if parked
	Parked      bool         `json:"parked,omitempty"` // no present pool can ever fit it, so it is in no queue
	ID          string       `json:"id"`
	Kind        message.Kind `json:"kind"`
	Tenant      string       `json:"tenant"`
	Resource    string       `json:"resource"`
	DisplayName string       `json:"displayName,omitempty"`
	Priority    int          `json:"priority"`
	Ask         capacity.Ask `json:"ask"`
	Since       time.Time    `json:"since"` // when it last joined the queue
	Waited      Duration     `json:"waited"`
	Until       time.Time    `json:"until,omitzero"` // when its longest wait ends
	Live
}

// Live is a decision made now on a waiting request.
type Live struct {
	Verdict admission.Verdict  `json:"verdict,omitempty"`
	Reason  *reason.Problem    `json:"reason,omitempty"` // nil for ADMIT
	Fit     []capacity.Finding `json:"fit,omitempty"`
	ScaleUp bool               `json:"scaleUp,omitempty"`
	Ahead   *int               `json:"ahead,omitempty"` // waiting requests for the same machines that come before it in order
	// StartsBy is the latest start of a waiting request that has a reservation, by
	// the time limits of the jobs that run.
	StartsBy time.Time `json:"startsBy,omitzero"`
	// Before is what comes before it in order. Only /requests/ID has it, and Bound: by
	// when it starts at the latest even without a reservation, if no request comes that
	// is before it in order.
	Before            *admission.Before `json:"before,omitempty"`
	Bound             time.Time         `json:"bound,omitzero"`
	ObservedAt        time.Time         `json:"observedAt,omitzero"`
	ContradictedSince time.Time         `json:"contradictedSince,omitzero"` // since when no pool could ever fit it
}

// Requests is the answer of /requests and of /recent.
type Requests struct {
	AsOf     time.Time `json:"asOf"`
	Requests []Summary `json:"requests"`
	Next     string    `json:"next,omitempty"`
	// Unreadable are documents that this release cannot read. It leaves
	// them unchanged.
	Unreadable []*ledger.UnreadableError `json:"unreadable,omitempty"`
}

// A Summary is one request in a list. Its reason is the stored one.
type Summary struct {
	ID          string            `json:"id"`
	Kind        message.Kind      `json:"kind"`
	Tenant      string            `json:"tenant"`
	State       lifecycle.State   `json:"state"` // REFUSED, QUOTED or DONE and the like for an answer: see ledger.Statuses
	Resource    string            `json:"resource,omitempty"`
	DisplayName string            `json:"displayName,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Priority    int               `json:"priority,omitempty"`
	// PolicyVersion is the version of the policy that the request was held against as it
	// came in; 0 for none.
	PolicyVersion int64           `json:"policyVersion,omitempty"`
	Ask           capacity.Ask    `json:"ask,omitempty"`
	Reason        *reason.Problem `json:"reason,omitempty"`
	Timeout       Duration        `json:"timeout,omitempty"` // the job's time limit
	StartsBy      time.Time       `json:"startsBy,omitzero"` // of a waiting request, as its publisher was told last
	Hold          *Hold           `json:"hold,omitempty"`    // what it holds; only in /requests
	Job           string          `json:"job,omitempty"`
	JobState      string          `json:"jobState,omitempty"`
	Times         message.Times   `json:"times"`
	// Operation is what an operator did, in a DONE answer; Target is the full name of the
	// persistent resource that it was done on.
	Operation *message.Operation `json:"operation,omitempty"`
	Target    string             `json:"target,omitempty"`
}

// A Request is the answer of /requests/{id}. For a waiting request Live is a
// decision made now. For others it is the last stored decision, and the verdict
// is empty.
type Request struct {
	AsOf      time.Time       `json:"asOf"`
	ID        string          `json:"id"`
	Kind      message.Kind    `json:"kind"`
	Tenant    string          `json:"tenant"`
	Key       message.Key     `json:"key"`
	MessageID string          `json:"messageId,omitempty"`
	State     lifecycle.State `json:"state,omitempty"` // empty for an answer, and with CancelledUntil
	// CancelledUntil is set if only a cancel has arrived under the id. A
	// request that arrives before that time is cancelled.
	CancelledUntil time.Time         `json:"cancelledUntil,omitzero"`
	Terminal       bool              `json:"terminal"`
	Resource       string            `json:"resource,omitempty"`
	DisplayName    string            `json:"displayName,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	Priority       int               `json:"priority,omitempty"`
	PolicyVersion  int64             `json:"policyVersion,omitempty"` // as in a Summary
	OnFull         message.OnFull    `json:"onFull,omitempty"`
	MaxWait        Duration          `json:"maxWait,omitempty"`
	Timeout        Duration          `json:"timeout,omitempty"`
	Ask            capacity.Ask      `json:"ask,omitempty"`
	// Concurrency is the key that it has in common with other runs of a recurring job.
	Concurrency message.Concurrency `json:"concurrency,omitzero"`
	// Expected is by the jobs that had ended when the request came; nil if none was like
	// it, so that it is ordered by its time limit.
	Expected *Expected `json:"expected,omitempty"`
	Live
	Hold     *Hold             `json:"hold,omitempty"`
	Run      string            `json:"run,omitempty"`
	Attempt  int               `json:"attempt,omitempty"`
	ActUntil time.Time         `json:"actUntil,omitzero"` // while submitting: when this attempt's right to act ends
	Job      string            `json:"job,omitempty"`
	JobState string            `json:"jobState,omitempty"`
	JobError *message.JobError `json:"jobError,omitempty"`
	Times    message.Times     `json:"times"`
	TimerAt  time.Time         `json:"timerAt,omitzero"` // when its timer runs
	Warnings []reason.Problem  `json:"warnings,omitempty"`
	Events   []Event           `json:"events"` // oldest first; the latest ones of a long history
}

// Expected is how long a job is expected to run. It decides the request's place in the
// order, and nothing else.
type Expected struct {
	Run  Duration `json:"run"`
	Jobs int64    `json:"jobs"` // how many jobs like it have taught that
}

// A Hold is what a request holds.
type Hold struct {
	Ask       capacity.Ask `json:"ask"`
	LatestEnd time.Time    `json:"latestEnd,omitzero"`
	Overstays bool         `json:"overstays,omitempty"` // its job runs well beyond its latest end
}

// An Event is one outcome event of a request.
type Event struct {
	ID        string          `json:"id"`
	Type      message.Type    `json:"type"`
	Time      time.Time       `json:"time"`
	Sequence  int64           `json:"sequence"`
	Published bool            `json:"published"` // Pub/Sub has confirmed it
	Outcome   message.Outcome `json:"outcome"`
}

// A Quote is the answer of /explain: the outcome of the message if it were
// published now, and its type.
type Quote struct {
	Type message.Type `json:"type"`
	message.Outcome
	// Expected is set for a message that would be taken, if jobs like its own have ended.
	Expected *Expected `json:"expected,omitempty"`
}
