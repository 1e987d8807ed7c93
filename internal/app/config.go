package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/message"
)

// Config has every setting of a deployment, each an environment variable. The
// comments are the manual: deploy/settings.md follows from them (go test -run Page
// -update writes it).
type Config struct {
	// Project is the project id (not the number) of the persistent resources,
	// the ledger and the topics.
	Project string `env:"BERTH_PROJECT, required"`
	// Regions are the Vertex AI regions served, comma-separated. A bare id of a
	// persistent resource means one in the first region.
	Regions []string `env:"BERTH_REGIONS, required"`
	// DefaultResource is the persistent resource of requests that name none: id
	// or full name. Without it they are refused.
	DefaultResource string `env:"BERTH_DEFAULT_RESOURCE"`
	// Deployment names this installation in the label berth-deployment of its
	// jobs: lowercase letters, digits and dashes.
	Deployment string `env:"BERTH_DEPLOYMENT, default=default"`

	// Database is the Firestore database (Standard edition, Native mode).
	Database string `env:"BERTH_DATABASE, default=berth"`
	// OutcomeTopic is the id of the topic for outcome events.
	OutcomeTopic string `env:"BERTH_OUTCOME_TOPIC, default=berth-outcomes"`
	// Tenants maps subscriptions to tenants: "subscription-id:tenant,...". A
	// request from a subscription that is not listed belongs to the tenant
	// "default". A message cannot name a tenant: a field tenant is refused.
	Tenants map[string]string `env:"BERTH_TENANTS"`

	// OperatorsSubscription is the id of the subscription of operators' messages, in
	// the deployment's project. The IAM policy of its topic decides who is an operator.
	// Without it, none is taken. It carries no requests, and no other carries an
	// operator's message.
	OperatorsSubscription string `env:"BERTH_OPERATORS_SUBSCRIPTION"`

	// StatusOperators are the addresses of callers to whom Status shows the requests
	// of all tenants, comma-separated. Addresses are of users or service accounts:
	// an identity token names no groups.
	StatusOperators []string `env:"BERTH_STATUS_OPERATORS"`
	// StatusCallers maps the addresses of callers to the tenants whose requests
	// Status shows to them: "address:tenant+tenant,...". Of other tenants, and to
	// other callers, Status shows sums only. Without this setting and without
	// BERTH_STATUS_OPERATORS it shows every caller the tenant "default", unless
	// BERTH_TENANTS names others: then it shows sums only.
	StatusCallers map[string]string `env:"BERTH_STATUS_CALLERS"`
	// StatusAudiences are the audiences of identity tokens that Status accepts: its
	// URLs, comma-separated. 32555940559.apps.googleusercontent.com is that of a
	// user's gcloud auth print-identity-token; every service that a user sends such a
	// token to can send it on, so add it only if all of these are trusted.
	StatusAudiences []string `env:"BERTH_STATUS_AUDIENCES"`
	// StatusIAP are the audiences of the assertions that Identity-Aware Proxy signs,
	// if it is in front of Status: /projects/NUMBER/locations/REGION/services/NAME or
	// /projects/NUMBER/global/backendServices/ID.
	StatusIAP []string `env:"BERTH_STATUS_IAP"`
	// StatusAllTenants lets Status show the requests of all tenants to every caller,
	// without identities: for a local stack, or where every caller is an operator.
	StatusAllTenants bool `env:"BERTH_STATUS_ALL_TENANTS"`
	// RunIAM says that Cloud Run checks the callers of the functions by IAM, as
	// deploy.sh makes it. Cloud Run then removes the signature of the token that it
	// has checked, and Berth accepts such a token. Never set it for a service that
	// allUsers may call: a token without a signature is easily forged.
	RunIAM bool `env:"BERTH_RUN_IAM"`
	// PushAccount is the address of the service account with whose token Pub/Sub
	// pushes. With it Admit and Reconcile refuse deliveries by other callers, who could
	// name any subscription and so any tenant. Needs BERTH_RUN_IAM or
	// BERTH_PUSH_AUDIENCES.
	PushAccount string `env:"BERTH_PUSH_ACCOUNT"`
	// PushAudiences are the audiences of the push tokens that are accepted,
	// comma-separated. With BERTH_RUN_IAM it may be empty, because Cloud Run compares
	// the audience too.
	PushAudiences []string `env:"BERTH_PUSH_AUDIENCES"`

	// Tick is the period of the tick topic. An observation of a persistent
	// resource that is older than two ticks admits nothing. 1s to 10m.
	Tick time.Duration `env:"BERTH_TICK, default=1m"`
	// Poll is the pause between two observations within one tick, while requests
	// wait. 100ms to 1m.
	Poll time.Duration `env:"BERTH_POLL, default=3s"`
	// Submissions is how many jobs all instances together may submit to Vertex
	// AI in a minute, per project and region. Other submitters there share
	// Vertex AI's own limit (60 by default). 1 to 1000000.
	Submissions int `env:"BERTH_SUBMISSIONS, default=60"`
	// Polls is how many other calls to Vertex AI the passes of reconcile may
	// make in a minute, per project and region. Vertex AI allows 600. 10 to
	// 100000.
	Polls int `env:"BERTH_POLLS, default=300"`
	// RateBackoff is the first pause of all submissions after Vertex AI refused
	// one because of its rate limit or for lack of permission; it doubles up to
	// a minute. 1s to 5m.
	RateBackoff time.Duration `env:"BERTH_RATE_BACKOFF, default=20s"`
	// Backoff is the first pause of admissions to a persistent resource after
	// Vertex AI found it full although Berth counted room; it doubles up to a
	// minute. 1s to 5m.
	Backoff time.Duration `env:"BERTH_BACKOFF, default=15s"`
	// Timeout is the service's own request timeout; an entry point stops a
	// little earlier. It must be below the acknowledgement deadline of its
	// subscription.
	Timeout time.Duration `env:"BERTH_TIMEOUT, default=120s"`
	// MaxWait is the longest wait of a request that sets none. At most 30 days.
	MaxWait time.Duration `env:"BERTH_MAX_WAIT, default=168h"`
	// StartTimeout is how long a submitted job may take to be RUNNING before it
	// is cancelled. Autoscaling takes tens of minutes.
	StartTimeout time.Duration `env:"BERTH_START_TIMEOUT, default=1h"`
	// RefuseAfter is how long a RUNNING resource must contradict a waiting
	// request before the request is refused because it can never fit.
	RefuseAfter time.Duration `env:"BERTH_REFUSE_AFTER, default=24h"`
	// DeclineTimeout is how long Vertex AI must refuse a request with
	// FAILED_PRECONDITION or NOT_FOUND, on a persistent resource that stays
	// RUNNING and seems to have room, until the request fails with
	// VERTEX_DECLINED. Until then such an answer counts as transient. It should
	// exceed the duration of use that Berth cannot observe. 1m to 30 days.
	DeclineTimeout time.Duration `env:"BERTH_DECLINE_TIMEOUT, default=24h"`
	// DiskType is the boot disk type for a job that sets none: pd-ssd,
	// pd-standard or hyperdisk-balanced. Berth writes it into the job that it
	// submits, so that Vertex AI's own default does not matter. Recorded traffic
	// shows pd-ssd; the page on creating a persistent resource says pd-standard.
	DiskType string `env:"BERTH_DISK_TYPE, default=pd-ssd"`
	// ServiceAccounts says whether to refuse or allow a job that names a service
	// account on a persistent resource made without enableCustomServiceAccount.
	// What Vertex AI does with such a job is not documented.
	ServiceAccounts string `env:"BERTH_SERVICE_ACCOUNTS, default=refuse"`
	// RayClusters says whether to refuse or allow a job on a persistent resource
	// that is a Ray cluster.
	RayClusters string `env:"BERTH_RAY_CLUSTERS, default=refuse"`
	// DefaultTimeout is the time limit of a job that sets no scheduling.timeout; Berth
	// writes it into the job that it submits. 0 leaves it to Vertex AI: 7 days. A short
	// one is the best help for short waits, because reservations count on limits.
	DefaultTimeout time.Duration `env:"BERTH_DEFAULT_TIMEOUT, default=0s"`
	// MaxTimeout is the longest scheduling.timeout that is taken; 0 for any.
	MaxTimeout time.Duration `env:"BERTH_MAX_TIMEOUT, default=0s"`
	// Backfill says whether a request may start before one that comes first in
	// order and waits for the same machines, if that does not delay it: allow or
	// refuse.
	Backfill string `env:"BERTH_BACKFILL, default=allow"`
	// Estimates says whether Berth learns from the jobs that have ended how long others
	// run, and orders requests by that, or by their time limits alone: learn or off. Each
	// tenant's jobs teach about its own. An estimate moves a request by at most 48 hours in
	// order. Reservations and latest starts always count on limits.
	Estimates string `env:"BERTH_ESTIMATES, default=learn"`
	// Gang is from how many replicas on a request is a gang. Gangs are hard to
	// place, so they come up to 24 hours earlier in order. 2 to 1000000.
	Gang int `env:"BERTH_GANG, default=2"`
	// Patience is the wait after which backfill past a request is limited to as
	// many replicas as it asks for. 1m to 30 days.
	Patience time.Duration `env:"BERTH_PATIENCE, default=24h"`
	// SubmitTimeout is how long one submission attempt may take. 2s to 5m.
	SubmitTimeout time.Duration `env:"BERTH_SUBMIT_TIMEOUT, default=1m"`
	// RetryAfter is the pause between an attempt whose answer was lost and the
	// next create: long enough for a job to appear in a list.
	RetryAfter time.Duration `env:"BERTH_RETRY_AFTER, default=30s"`
	// UnclearTimeout is how long no job must be found, after an attempt whose
	// answer was lost, until Berth decides that there is none. Longer than
	// SubmitTimeout and RetryAfter together.
	UnclearTimeout time.Duration `env:"BERTH_UNCLEAR_TIMEOUT, default=15m"`
	// PublishGrace is how long a stored outcome is left to the instance that
	// stored it before another instance publishes it.
	PublishGrace time.Duration `env:"BERTH_PUBLISH_GRACE, default=15s"`

	// LogLevel is debug, info, warn or error. Alerts and log-based metrics count
	// records of info, so warn and error silence them.
	LogLevel slog.Level `env:"BERTH_LOG_LEVEL, default=info"`

	// OTLPEndpoint is the URL of an OpenTelemetry collector, as http://localhost:4318: a
	// sidecar. Traces and metrics are sent there. Without it, and without an endpoint for
	// one of the two, nothing is recorded and nothing sent.
	OTLPEndpoint string `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
	// OTLPTracesEndpoint is the URL for traces, with its path, in the place of OTLPEndpoint.
	OTLPTracesEndpoint string `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"`
	// OTLPMetricsEndpoint is the URL for metrics, with its path, in the place of
	// OTLPEndpoint.
	OTLPMetricsEndpoint string `env:"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"`
	// OTLPProtocol is http/protobuf or grpc. Without it, it is grpc at port 4317, and
	// http/protobuf at any other.
	OTLPProtocol string `env:"OTEL_EXPORTER_OTLP_PROTOCOL"`
	// TracesSampler says which traces are kept: always_on, always_off, traceidratio, or
	// each with parentbased_ before it, which follows what the publisher decided.
	TracesSampler string `env:"OTEL_TRACES_SAMPLER, default=parentbased_always_on"`
	// TracesSamplerArg is the share of traces that traceidratio keeps, 0 to 1.
	TracesSamplerArg string `env:"OTEL_TRACES_SAMPLER_ARG"`
	// MetricInterval is the shortest time between two exports of metrics by one instance, in
	// milliseconds. Cloud Monitoring takes a point of one series every 5 seconds. 1 to
	// 3600000.
	MetricInterval int `env:"OTEL_METRIC_EXPORT_INTERVAL, default=10000"`
	// TelemetryDisabled turns traces and metrics off whatever the endpoints are.
	TelemetryDisabled bool `env:"OTEL_SDK_DISABLED"`

	// Ledger is "firestore", or "memory" for a local stack without an emulator,
	// which loses everything with the process.
	Ledger string `env:"BERTH_LEDGER, default=firestore"`
	// Emulators allows FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST to
	// redirect the clients. Without it, either of them is an error, because in
	// production it would silently redirect the ledger and the events.
	Emulators bool `env:"BERTH_EMULATORS"`
	// VertexEndpoint replaces the regional endpoints with one host:port without
	// TLS or credentials: a fake.
	VertexEndpoint string `env:"BERTH_VERTEX_ENDPOINT"`
}

var (
	projectID = regexp.MustCompile(`^[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
	labelText = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,61}$`)
	// diskTypes are the boot disk types that Vertex AI accepts (DiskSpec).
	diskTypes = []string{"pd-ssd", "pd-standard", "hyperdisk-balanced"}
	// https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names
	subscriptionID = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9._~+%-]{2,254}$`)
	regionID       = regexp.MustCompile(`^[a-z]+-[a-z]+[0-9]+$`)
)

// allow is the other value of settings that are refuse by default.
const (
	allow = "allow"
	learn = "learn"
)

// LoadConfig reads the configuration from a lookup (the environment, or a
// test's map) and validates it.
func LoadConfig(ctx context.Context, lookup envconfig.Lookuper) (Config, error) {
	var c Config
	if err := envconfig.ProcessWith(ctx, &envconfig.Config{Target: &c, Lookuper: lookup}); err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	if err := errors.Join(keysTwice(lookup), c.Validate()); err != nil {
		return c, fmt.Errorf("configuration: %w", err)
	}
	return c, nil
}

// Validate reports every wrong setting at once, each with the name of its
// variable.
func (c Config) Validate() error {
	var errs []error
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	between := func(name string, d, least, most time.Duration) {
		bad(d >= least && d <= most, "%s is %s; want %s to %s", name, d, least, most)
	}
	bad(projectID.MatchString(c.Project), "BERTH_PROJECT %q is not a project id (a project number is not accepted)", c.Project)
	bad(len(c.Regions) > 0, "BERTH_REGIONS is empty")
	for i, r := range c.Regions {
		bad(regionID.MatchString(r), "BERTH_REGIONS: %q is not a region", r)
		bad(!slices.Contains(c.Regions[:i], r), "BERTH_REGIONS names %q twice; name it once", r)
	}
	bad(labelText.MatchString(c.Deployment), "BERTH_DEPLOYMENT %q: want lowercase letters, digits and dashes, at most 62", c.Deployment)
	bad(c.Ledger == "firestore" || c.Ledger == "memory", "BERTH_LEDGER %q: want firestore or memory", c.Ledger)
	for sub, tenant := range c.Tenants {
		bad(labelText.MatchString(tenant), "BERTH_TENANTS: tenant %q of %q: want lowercase letters, digits and dashes", tenant, sub)
	}
	errs = append(errs, c.checkCallers()...)
	errs = append(errs, c.checkTelemetry()...)
	for sub, tenant := range c.Tenants {
		bad(tenant != message.Operators, "BERTH_TENANTS: no tenant can be named %q, as that of %q is", tenant, sub)
		bad(sub != c.OperatorsSubscription, "BERTH_TENANTS: %q is the subscription of operators, who are no tenant", sub)
	}
	bad(c.OperatorsSubscription == "" || subscriptionID.MatchString(c.OperatorsSubscription), "BERTH_OPERATORS_SUBSCRIPTION %q is not the id of a subscription", c.OperatorsSubscription)
	between("BERTH_TICK", c.Tick, time.Second, 10*time.Minute)
	between("BERTH_POLL", c.Poll, 100*time.Millisecond, time.Minute)
	bad(c.Submissions >= 1 && c.Submissions <= 1_000_000, "BERTH_SUBMISSIONS is %d; want 1 to 1000000", c.Submissions)
	bad(c.Polls >= 10 && c.Polls <= 100_000, "BERTH_POLLS is %d; want 10 to 100000", c.Polls)
	between("BERTH_RATE_BACKOFF", c.RateBackoff, time.Second, 5*time.Minute)
	between("BERTH_BACKOFF", c.Backoff, time.Second, 5*time.Minute)
	between("BERTH_TIMEOUT", c.Timeout, 5*time.Second, 9*time.Minute)
	between("BERTH_MAX_WAIT", c.MaxWait, time.Second, 30*24*time.Hour)
	between("BERTH_START_TIMEOUT", c.StartTimeout, time.Second, 7*24*time.Hour)
	between("BERTH_REFUSE_AFTER", c.RefuseAfter, 0, 30*24*time.Hour)
	between("BERTH_DECLINE_TIMEOUT", c.DeclineTimeout, time.Minute, 30*24*time.Hour)
	bad(c.Estimates == learn || c.Estimates == "off", "BERTH_ESTIMATES %q: want learn or off", c.Estimates)
	bad(c.Gang >= 2 && c.Gang <= 1_000_000, "BERTH_GANG is %d; want 2 to 1000000", c.Gang)
	between("BERTH_DEFAULT_TIMEOUT", c.DefaultTimeout, 0, 90*24*time.Hour)
	between("BERTH_MAX_TIMEOUT", c.MaxTimeout, 0, 90*24*time.Hour)
	for name, d := range map[string]time.Duration{"BERTH_DEFAULT_TIMEOUT": c.DefaultTimeout, "BERTH_MAX_TIMEOUT": c.MaxTimeout} {
		bad(d%time.Second == 0, "%s is %s; want whole seconds", name, d)
	}
	bad(c.MaxTimeout == 0 || c.DefaultTimeout <= c.MaxTimeout, "BERTH_DEFAULT_TIMEOUT %s is longer than BERTH_MAX_TIMEOUT %s", c.DefaultTimeout, c.MaxTimeout)
	between("BERTH_PATIENCE", c.Patience, time.Minute, 30*24*time.Hour)
	between("BERTH_SUBMIT_TIMEOUT", c.SubmitTimeout, 2*time.Second, 5*time.Minute)
	between("BERTH_RETRY_AFTER", c.RetryAfter, 0, 10*time.Minute)
	between("BERTH_PUBLISH_GRACE", c.PublishGrace, 0, 10*time.Minute)
	bad(slices.Contains(diskTypes, c.DiskType), "BERTH_DISK_TYPE %q: want %s", c.DiskType, strings.Join(diskTypes, ", "))
	for name, value := range map[string]string{"BERTH_SERVICE_ACCOUNTS": c.ServiceAccounts, "BERTH_RAY_CLUSTERS": c.RayClusters, "BERTH_BACKFILL": c.Backfill} {
		bad(value == "refuse" || value == allow, "%s %q: want refuse or allow", name, value)
	}
	bad(c.UnclearTimeout > c.SubmitTimeout+c.RetryAfter, "BERTH_UNCLEAR_TIMEOUT %s must be longer than BERTH_SUBMIT_TIMEOUT and BERTH_RETRY_AFTER together", c.UnclearTimeout)
	if c.DefaultResource != "" {
		_, ok := message.ResourceID(c.DefaultResource)
		bad(ok, "BERTH_DEFAULT_RESOURCE %q: want an id or projects/P/locations/L/persistentResources/ID", c.DefaultResource)
	}
	if c.VertexEndpoint != "" {
		u, err := url.Parse("//" + c.VertexEndpoint)
		bad(err == nil && u.Port() != "", "BERTH_VERTEX_ENDPOINT %q: want host:port", c.VertexEndpoint)
	}
	return errors.Join(errs...)
}

// controller returns the settings of the controller.
func (c Config) controller() controller.Config {
	cc := controller.DefaultConfig()
	cc.Project, cc.Regions, cc.DefaultResource, cc.Deployment = c.Project, c.Regions, c.DefaultResource, c.Deployment
	cc.Tick, cc.Poll, cc.MaxWait, cc.StartTimeout = c.Tick, c.Poll, c.MaxWait, c.StartTimeout
	cc.SubmitTimeout, cc.RetryAfter, cc.UnclearTimeout, cc.PublishGrace = c.SubmitTimeout, c.RetryAfter, c.UnclearTimeout, c.PublishGrace
	cc.Submissions, cc.Polls, cc.RateBackoff, cc.Backoff = c.Submissions, c.Polls, c.RateBackoff, c.Backoff
	cc.MaxBackoff = max(cc.MaxBackoff, c.RateBackoff, c.Backoff)
	cc.Margin = min(cc.Margin, c.SubmitTimeout/4)
	cc.Policy.MaxAge, cc.Policy.RefuseAfter = 2*c.Tick, c.RefuseAfter
	cc.Policy.AllowAccounts, cc.Policy.AllowRay = c.ServiceAccounts == allow, c.RayClusters == allow
	cc.Policy.Plan.StartIn, cc.Policy.Plan.StartTimeout = min(cc.Policy.Plan.StartIn, c.StartTimeout), c.StartTimeout
	cc.Policy.Plan.NoBackfill, cc.Policy.Plan.Patience = c.Backfill != allow, c.Patience
	cc.Estimates = c.Estimates == learn
	cc.Gang, cc.DefaultTimeout, cc.Policy.MaxLimit = c.Gang, c.DefaultTimeout, c.MaxTimeout
	cc.DiskType, cc.DeclineTimeout = c.DiskType, c.DeclineTimeout
	return cc
}

// ofOperators reports whether a subscription, given by its full name, is that of
// operators' messages.
func (c Config) ofOperators(subscription string) bool {
	return c.OperatorsSubscription != "" && subscription == "projects/"+c.Project+"/subscriptions/"+c.OperatorsSubscription
}

// tenant returns the tenant of a subscription, given by its full name. A
// subscription of another project has the default tenant.
func (c Config) tenant(subscription string) string {
	if id, ours := strings.CutPrefix(subscription, "projects/"+c.Project+"/subscriptions/"); ours && c.Tenants[id] != "" {
		return c.Tenants[id]
	}
	return "default"
}
