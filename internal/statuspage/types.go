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

// Codes of [Error], beside those of package message.
const (
	NotFound         = "NOT_FOUND"
	MethodNotAllowed = "METHOD_NOT_ALLOWED"
	Forbidden        = "FORBIDDEN"   // of another tenant than this deployment answers for
	Unavailable      = "UNAVAILABLE" // the ledger or Vertex AI did not answer; it passes
	Unreadable       = "UNREADABLE"  // a document is damaged, or of a newer release
)

// An Error says what is wrong with a request to the door, or with the door.
type Error struct {
	Status int    `json:"-"` // of HTTP
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

// A Failure is the body of every answer that is not a success.
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
	MaxAge          Duration `json:"maxAge"`         // an observation older than this admits nothing
	Keep            Duration `json:"keep,omitempty"` // how long an id is kept after its request has ended, or after a cancel under whose id nothing has come
	Routes          []Route  `json:"routes"`
}

// A Route is one path of the door.
type Route struct {
	Method  string `json:"method"`
	Path    string `json:"path"`
	Purpose string `json:"purpose"`
}

// A Health is the answer of /health. It is given only when the ledger could be
// read, so OK is always true; a failure is a 503.
type Health struct {
	OK   bool      `json:"ok"`
	AsOf time.Time `json:"asOf"` // by the ledger's clock
	// Reconcile is who made the last passes, and until when it may go on.
	Reconcile *ledger.Lease `json:"reconcile,omitempty"`
	Resources int           `json:"resources"` // persistent resources looked after
	// Oldest is the resource that was looked at the longest time ago, or never;
	// Stale says that its observation is too old to admit anything.
	Oldest    string   `json:"oldest,omitempty"`
	OldestAge Duration `json:"oldestAge,omitempty"`
	Stale     bool     `json:"stale,omitempty"`
	// Unreadable are documents that this release cannot read. Nothing is known of
	// what they say, and they are left alone.
	Unreadable []*ledger.UnreadableError `json:"unreadable,omitempty"`
}

// Pools is the answer of /pools.
type Pools struct {
	AsOf      time.Time  `json:"asOf"`
	Resources []Resource `json:"resources"`
	Next      string     `json:"next,omitempty"`
	// Unreadable are documents that this release cannot read. Nothing is known of
	// what they say, and they are left alone.
	Unreadable []*ledger.UnreadableError `json:"unreadable,omitempty"`
}

// A Resource is one persistent resource as the ledger sees it.
type Resource struct {
	Name        string    `json:"name"`
	State       string    `json:"state"`
	CreateTime  time.Time `json:"createTime,omitzero"`
	ObservedAt  time.Time `json:"observedAt,omitzero"`
	ObservedAge Duration  `json:"observedAge"`     // 0 when it never was looked at
	Stale       bool      `json:"stale,omitempty"` // the observation is too old to admit anything
	Network     string    `json:"network,omitempty"`
	Ray         bool      `json:"ray,omitempty"` // it is a Ray cluster
	Pools       []Pool    `json:"pools"`
	Shapes      []Shape   `json:"shapes"`
	Holds       int       `json:"holds"` // requests that hold machines
	// Foreign are live jobs that no reservation names, the first 100; ForeignJobs
	// counts all of them.
	Foreign     []ledger.Foreign `json:"foreign,omitempty"`
	ForeignJobs int              `json:"foreignJobs,omitempty"`
	NotBefore   time.Time        `json:"notBefore,omitzero"`
	Declines    int              `json:"declines,omitempty"` // by Vertex AI, in a row
}

// A Pool is one resource pool. Of a resource that is absent it is what was there
// when it was last seen: a limit of 0 says that there is nothing now.
type Pool struct {
	capacity.Pool
	Limit capacity.Replicas `json:"limit"` // machines, or the autoscaling maximum
}

// A Shape is the arithmetic of all pools of one shape: taken is held, foreign
// and unexplained together.
type Shape struct {
	Shape       capacity.Shape    `json:"shape"`
	Limit       capacity.Replicas `json:"limit"`
	Held        capacity.Replicas `json:"held"`
	Foreign     capacity.Replicas `json:"foreign"`
	Unexplained capacity.Replicas `json:"unexplained"`
	Taken       capacity.Replicas `json:"taken"`
	Free        capacity.Replicas `json:"free"`
	Overdrawn   capacity.Replicas `json:"overdrawn"`
	Waiting     int               `json:"waiting"` // requests in the queue
}

// Queue is the answer of /queue.
type Queue struct {
	AsOf    time.Time `json:"asOf"`
	Waiting []Waiter  `json:"waiting"`
	Next    string    `json:"next,omitempty"`
	// Unreadable are documents that this release cannot read. Nothing is known of
	// what they say, and they are left alone.
	Unreadable []*ledger.UnreadableError `json:"unreadable,omitempty"`
}

// A Waiter is one waiting request.
type Waiter struct {
	Position    int          `json:"position"`         // among all that wait in the queue for the resource, from 1; 0 for one that is parked
	Parked      bool         `json:"parked,omitempty"` // the pools as they are can never take it, so it waits in no queue
	ID          string       `json:"id"`
	Kind        message.Kind `json:"kind"`
	Tenant      string       `json:"tenant"`
	Resource    string       `json:"resource"`
	DisplayName string       `json:"displayName,omitempty"`
	Priority    int          `json:"priority"`
	Ask         capacity.Ask `json:"ask"`
	Since       time.Time    `json:"since"` // when it was last put in the queue
	Waited      Duration     `json:"waited"`
	Until       time.Time    `json:"until,omitzero"` // when its longest wait is over
	Live
}

// Live is what a decision made now says of a waiting request.
type Live struct {
	Verdict           admission.Verdict  `json:"verdict,omitempty"`
	Reason            *reason.Problem    `json:"reason,omitempty"` // nil for ADMIT
	Fit               []capacity.Finding `json:"fit,omitempty"`
	ScaleUp           bool               `json:"scaleUp,omitempty"`
	Ahead             *int               `json:"ahead,omitempty"` // in the longest of its queues
	ObservedAt        time.Time          `json:"observedAt,omitzero"`
	ContradictedSince time.Time          `json:"contradictedSince,omitzero"` // since when it can, as it looks, never fit
}

// Requests is the answer of /requests and of /recent.
type Requests struct {
	AsOf     time.Time `json:"asOf"`
	Requests []Summary `json:"requests"`
	Next     string    `json:"next,omitempty"`
	// Unreadable are documents that this release cannot read. Nothing is known of
	// what they say, and they are left alone.
	Unreadable []*ledger.UnreadableError `json:"unreadable,omitempty"`
}

// A Summary is one request in a list. Its reason is the stored one.
type Summary struct {
	ID          string          `json:"id"`
	Kind        message.Kind    `json:"kind"`
	Tenant      string          `json:"tenant"`
	State       lifecycle.State `json:"state"` // REFUSED or QUOTED for the answer to a message that made no request
	Resource    string          `json:"resource,omitempty"`
	DisplayName string          `json:"displayName,omitempty"`
	Priority    int             `json:"priority,omitempty"`
	Ask         capacity.Ask    `json:"ask,omitempty"`
	Reason      *reason.Problem `json:"reason,omitempty"`
	Job         string          `json:"job,omitempty"`
	JobState    string          `json:"jobState,omitempty"`
	Times       message.Times   `json:"times"`
}

// A Request is the answer of /requests/{id}. For a waiting one, what Live holds
// is as of now; for others it is what the last decision found, and the verdict
// is empty.
type Request struct {
	AsOf      time.Time       `json:"asOf"`
	ID        string          `json:"id"`
	Kind      message.Kind    `json:"kind"`
	Tenant    string          `json:"tenant"`
	Key       message.Key     `json:"key"`
	MessageID string          `json:"messageId,omitempty"`
	State     lifecycle.State `json:"state,omitempty"` // empty for an answer, and if CancelledUntil is set
	// CancelledUntil is set if nothing has come under the id but a cancel: until
	// then whatever comes is cancelled.
	CancelledUntil time.Time         `json:"cancelledUntil,omitzero"`
	Terminal       bool              `json:"terminal"`
	Resource       string            `json:"resource,omitempty"`
	DisplayName    string            `json:"displayName,omitempty"`
	Labels         map[string]string `json:"labels,omitempty"`
	Priority       int               `json:"priority,omitempty"`
	OnFull         message.OnFull    `json:"onFull,omitempty"`
	MaxWait        Duration          `json:"maxWait,omitempty"`
	Timeout        Duration          `json:"timeout,omitempty"`
	Ask            capacity.Ask      `json:"ask,omitempty"`
	Live
	Hold     *Hold             `json:"hold,omitempty"`
	Run      string            `json:"run,omitempty"`
	Attempt  int               `json:"attempt,omitempty"`
	ActUntil time.Time         `json:"actUntil,omitzero"` // while submitting: until when this attempt may act
	Job      string            `json:"job,omitempty"`
	JobState string            `json:"jobState,omitempty"`
	JobError *message.JobError `json:"jobError,omitempty"`
	Times    message.Times     `json:"times"`
	TimerAt  time.Time         `json:"timerAt,omitzero"` // when it will be looked at again, whatever is heard
	Warnings []reason.Problem  `json:"warnings,omitempty"`
	Events   []Event           `json:"events"` // oldest first; of a long history the latest
}

// A Hold is what a request has taken.
type Hold struct {
	Ask       capacity.Ask `json:"ask"`
	LatestEnd time.Time    `json:"latestEnd,omitzero"`
}

// An Event is one outcome event of a request.
type Event struct {
	ID        string          `json:"id"`
	Type      message.Type    `json:"type"`
	Time      time.Time       `json:"time"`
	Sequence  int64           `json:"sequence"`
	Published bool            `json:"published"` // the outcome topic has it
	Outcome   message.Outcome `json:"outcome"`
}

// A Quote is the answer of /explain: the outcome that the message would have,
// and its type.
type Quote struct {
	Type message.Type `json:"type"`
	message.Outcome
}
