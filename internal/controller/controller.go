// Package controller is the shell around the decision: it reads, decides,
// writes, submits and publishes in the one order that survives a crash at any
// line. It owns no rule of its own. What may follow what is
// [lifecycle.Next]'s; who goes first and what fits is [admission.Decide]'s.
//
// # The walk of one message
//
//  1. Decode. What cannot be read is answered, not retried: the same bytes will
//     never decode.
//  2. One ledger update reads the request's record and the resource, decides,
//     and writes record, hold and outcome outbox event together. Here responsibility
//     changes hands: before this commit Pub/Sub delivers again; after it the
//     entry point says yes whatever follows, and [Controller.Reconcile] goes on.
//  3. If the update admitted and there was a token of the submission budget at
//     hand, the record says SUBMITTING, with the run's label, an attempt number
//     and a moment until which this attempt may act. Create the job, or learn
//     that it was not created, or learn nothing. Without a token the record stays
//     RESERVED until it gets a submission slot (slots.go).
//  4. A guarded update records the job's name and the next outbox event. A crash
//     before it leaves a job that is found by its label.
//  5. Publish the unpublished events, wait for the server's word, mark them sent. A
//     crash before the mark publishes them again under the same event ids.
//
// Reconcile repairs whatever a crash left between these steps, and learns what
// Vertex AI never announces: jobs started, ended, gone, started by others.
//
// # Together
//
// Updates of one resource and of the requests on it that meet in one instance are
// one commit ([ledger.Group]), and their events one publication. Nothing waits for
// company: whoever finds nobody under way goes at once.
//
// # Time
//
// Moments that instances compare with each other come from the ledger
// ([ledger.Tx].Now). What an instance may still do in its own attempt is
// measured on its own monotonic clock from before the read that granted it, so
// a wrong wall clock can only make it give up early.
package controller

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/pace"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// A Publisher sends outcome events. It returns nil only when the server has all
// of them; after an error it may have some.
type Publisher interface {
	Publish(ctx context.Context, events ...message.Outcome) error
}

// Config is what the deployment decides. [DefaultConfig] gives the values that
// the state table's text names.
type Config struct {
	Project         string   // project id
	Regions         []string // regions served; the first is that of a bare persistent resource id
	DefaultResource string   // for requests that name none: id or full name; "" refuses them
	Deployment      string   // value of the deployment label on our jobs

	Policy   admission.Policy
	DiskType string // of worker pools that name none; "" for capacity.DefaultDiskType

	Tick           time.Duration // period of the reconcile tick
	Poll           time.Duration // between two looks within one tick, while something waits
	SubmitTimeout  time.Duration // how long one attempt may act
	Margin         time.Duration // an attempt ends itself this much earlier
	RetryAfter     time.Duration // between an attempt's end and the next create
	UnclearTimeout time.Duration // nothing found for so long after an unclear attempt: there is no job
	MaxAttempts    int           // creates per run; later attempts only look
	StartTimeout   time.Duration // from submitted to running
	MaxWait        time.Duration // longest wait of a request that does not say
	RateBackoff    time.Duration // first pause of all submissions after a rate refusal; doubles
	Backoff        time.Duration // first pause of a resource after a transient refusal; doubles
	MaxBackoff     time.Duration // longest pause, of either kind
	// DeclineTimeout is for how long the same request must be refused, with nothing
	// to explain it, until it is taken for refused for good.
	DeclineTimeout time.Duration
	Submissions    int           // jobs submitted a minute per project and region, by all instances
	Polls          int           // other calls of Vertex AI a minute per project and region that passes may make
	Keep           time.Duration // how long an ended request stays in the ledger
	Submitters     int           // submissions that one instance has under way
	SampleEvery    int           // one pass in so many holds a few requests against the promises; 0 for none
	PublishGrace   time.Duration // an outbox event younger than this is left to the instance that wrote it
}

// DefaultConfig returns the defaults for a one-minute tick.
func DefaultConfig() Config {
	return Config{
		Deployment:     "default",
		Policy:         admission.Policy{MaxAge: 2 * time.Minute, MaxHolds: ledger.MaxHolds, RefuseAfter: 24 * time.Hour},
		Tick:           time.Minute,
		Poll:           3 * time.Second,
		SubmitTimeout:  time.Minute,
		Margin:         5 * time.Second,
		RetryAfter:     30 * time.Second,
		UnclearTimeout: 15 * time.Minute,
		MaxAttempts:    4,
		StartTimeout:   time.Hour,
		MaxWait:        7 * 24 * time.Hour,
		RateBackoff:    20 * time.Second,
		Backoff:        15 * time.Second,
		MaxBackoff:     time.Minute, // longer would outlast an outage by more than a tick or two
		// A failure of the service is over by then, and so are most jobs that
		// cannot be seen.
		DeclineTimeout: 24 * time.Hour,
		Submissions:    60,  // Vertex AI's own limit
		Polls:          300, // half of Vertex AI's limit
		Submitters:     8,
		SampleEvery:    10,
		// Beyond 31 days in the topic, 31 in the subscription and 31 in the dead
		// outbox events, so that no late delivery finds its id forgotten.
		Keep:         100 * 24 * time.Hour,
		PublishGrace: 15 * time.Second,
	}
}

// pace is the part of the configuration that package pace goes by.
func (c Config) pace() pace.Rules {
	return pace.Rules{PerMinute: c.Submissions, Precedence: c.Tick,
		Lifetime:     c.Policy.MaxAge, // as long as an observation admits anything
		RefusalPause: c.RateBackoff, SilencePause: c.Poll, MaxPause: c.MaxBackoff}
}

// A Controller is safe for concurrent use, in one process and across many.
type Controller struct {
	cfg       Config
	pace      pace.Rules
	ledger    ledger.Ledger
	grouped   *ledger.Group // the ledger, for updates that may meet others of this instance
	vertex    vertex.Client
	out       *outbox
	log       *slog.Logger
	env       Env
	refreshes singleflight.Group
	passes    atomic.Int64 // of this instance
	slots     *slots
	hints     *rate.Limiter
	alarms    alarms
	unseen    *missingNames
	// hinting is how many hints are being followed.
	hinting atomic.Int64

	unreadable unreadable
	dueFrom    [len(dueClasses)]resume // where the next pass goes on with the timers
	unsentFrom resume
	searches   searches
}

// A resume is where a pass of this instance left off a query that goes by time.
type resume struct {
	mu   sync.Mutex
	from ledger.Timed
}

func (r *resume) get() ledger.Timed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.from
}

func (r *resume) set(from ledger.Timed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.from = from
}

// Env is the part of the world that a test replaces.
//
// Its functions may be called by several goroutines at once.
type Env struct {
	// Monotonic is read for differences only.
	Monotonic func() time.Time
	// Sleep waits, or returns early with the context's error.
	Sleep func(context.Context, time.Duration) error
	// Within bounds a context to a time on the monotonic clock; nil bounds nothing.
	Within func(context.Context, time.Duration) (context.Context, context.CancelFunc)
	// NewRun draws a run label: 1 to 63 lowercase letters and digits, never the
	// same twice.
	NewRun func() string
	// Moved, if set, hears of every row of the state table that an update takes,
	// before it is committed and once per run of its closure.
	Moved func(lifecycle.Row)
}

func (e Env) within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if e.Within == nil {
		return ctx, func() {}
	}
	return e.Within(ctx, d)
}

// RealEnv is the world.
func RealEnv() Env {
	return Env{
		Monotonic: time.Now,
		Within:    context.WithTimeout,
		Sleep: func(ctx context.Context, d time.Duration) error {
			t := time.NewTimer(d)
			defer t.Stop()
			select {
			case <-t.C:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
		NewRun: func() string {
			var b [16]byte
			rand.Read(b[:])
			return "r" + hex.EncodeToString(b[:])
		},
	}
}

// New returns a controller. The logger must not be nil.
func New(cfg Config, l ledger.Ledger, v vertex.Client, out Publisher, log *slog.Logger, env Env) *Controller {
	return &Controller{cfg: cfg, pace: cfg.pace(), ledger: l, grouped: ledger.NewGroup(l), vertex: v, out: newOutbox(out), log: log, slots: newSlots(),
		hints: rate.NewLimiter(rate.Limit(float64(cfg.Polls)/3/60), max(1, cfg.Polls/10)), unseen: newMissingNames(cfg.Polls), env: env}
}

// resolve makes the full name of the persistent resource that a request means.
func (c *Controller) resolve(named string, paths message.Paths) (string, *reason.Problem) {
	if named == "" {
		named = c.cfg.DefaultResource
	}
	if named == "" {
		return "", &reason.Problem{Code: reason.NoResource, Path: paths.At("persistentResource"),
			Detail: "The request names no persistent resource, and the deployment has no default.",
			Fix:    "Set " + paths.At("persistentResource") + "; the id is enough."}
	}
	if !strings.Contains(named, "/") {
		return ResourceName(c.cfg.Project, c.cfg.Regions[0], named), nil
	}
	part := strings.Split(named, "/")
	if len(part) != 6 || part[1] != c.cfg.Project || !contains(c.cfg.Regions, part[3]) {
		return "", &reason.Problem{Code: reason.ForeignResource, Path: paths.At("persistentResource"),
			Detail: fmt.Sprintf("This deployment serves project %s in %s only.", c.cfg.Project, strings.Join(c.cfg.Regions, ", ")),
			Fix:    "Name a persistent resource there, by its id or with that project and region."}
	}
	return named, nil
}

// ResourceName is the full name of a persistent resource.
func ResourceName(project, region, id string) string {
	return "projects/" + project + "/locations/" + region + "/persistentResources/" + id
}

// parentOf returns projects/P/locations/L of a full name.
func parentOf(name string) string {
	part := strings.SplitN(name, "/", 5)
	return strings.Join(part[:min(4, len(part))], "/")
}

// idOf returns the last segment of a full name.
func idOf(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
