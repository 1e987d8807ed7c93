package controller

import (
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/pace"
)

// Config is what the deployment decides. [DefaultConfig] gives the values that
// the state table's text names.
type Config struct {
	Project         string   // project id
	Regions         []string // regions served; the first is that of a bare persistent resource id
	DefaultResource string   // for requests that name none: id or full name; "" refuses them
	Deployment      string   // value of the deployment label on our jobs

	Policy admission.Policy
	Gang   int // a request for so many replicas or more is a gang
	// Estimates orders requests by the run times that the jobs of their tenant have had,
	// and not by their time limits.
	Estimates bool
	// DefaultTimeout is the time limit of a job that sets none; 0 for Vertex AI's own.
	DefaultTimeout time.Duration
	DiskType       string // of worker pools that name none; "" for capacity.DefaultDiskType

	Tick           time.Duration // period of the reconcile tick
	Poll           time.Duration // between two passes within one tick, while requests wait
	SubmitTimeout  time.Duration // how long one attempt may act
	Margin         time.Duration // an attempt ends itself this much earlier
	RetryAfter     time.Duration // between an attempt's end and the next create
	UnclearTimeout time.Duration // nothing found for so long after an unclear attempt: there is no job
	MaxAttempts    int           // creates per run; later attempts only search
	StartTimeout   time.Duration // from submitted to running
	MaxWait        time.Duration // longest wait of a request that does not say
	RateBackoff    time.Duration // first pause of all submissions after a rate refusal; doubles
	Backoff        time.Duration // first pause of a resource after a transient refusal; doubles
	MaxBackoff     time.Duration // longest pause, of either kind
	// DeclineTimeout is for how long Vertex AI must refuse a request, with nothing to
	// explain it, until the request fails.
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
		Deployment: "default",
		Policy: admission.Policy{MaxAge: 2 * time.Minute, MaxHolds: ledger.MaxHolds, RefuseAfter: 24 * time.Hour,
			Plan: admission.PlanPolicy{Horizon: time.Hour, Margin: 5 * time.Minute, StartIn: 10 * time.Minute, StartTimeout: time.Hour, Patience: 24 * time.Hour}},
		Gang:           2,
		Estimates:      true,
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
		// By then a failure of the service is over, and most jobs that Berth cannot
		// observe have ended.
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
