package telemetry

import (
	"context"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// counts are the instruments. Their attributes have few values each: a series of a metric
// is kept, and paid for, for each set of values that it ever had.
type counts struct {
	decisions, submissions, commits metric.Int64Counter
	waiting                         metric.Int64Gauge
	oldestWaiter, oldestEvent       metric.Float64Gauge
	hold, reuse, publication, pass  metric.Float64Histogram
	resources                       resourceNames
}

// Bounds of histograms, in seconds.
var (
	short = metric.WithExplicitBucketBoundaries(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300)
	long  = metric.WithExplicitBucketBoundaries(60, 300, 900, 1800, 3600, 2*3600, 4*3600, 8*3600, 24*3600, 3*24*3600, 7*24*3600)
)

func newCounts(m metric.Meter) (c *counts, err error) {
	c = &counts{}
	fail := func(failed error) {
		if err == nil {
			err = failed
		}
	}
	counter := func(name, unit, about string) metric.Int64Counter {
		i, err := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(about))
		fail(err)
		return i
	}
	gauge := func(name, about string) metric.Float64Gauge {
		i, err := m.Float64Gauge(name, metric.WithUnit("s"), metric.WithDescription(about))
		fail(err)
		return i
	}
	histogram := func(name, about string, bounds metric.HistogramOption) metric.Float64Histogram {
		i, err := m.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(about), bounds)
		fail(err)
		return i
	}
	c.decisions = counter("berth.decisions", "{decision}", "decisions on messages, and on requests that waited")
	c.submissions = counter("berth.submissions", "{submission}", "attempts to create a job, by the answer of Vertex AI")
	c.commits = counter("berth.ledger.commits", "{commit}", "commits of the ledger, by what became of them")
	waiting, failed := m.Int64Gauge("berth.queue.waiting", metric.WithUnit("{request}"), metric.WithDescription("requests that wait"))
	fail(failed)
	c.waiting = waiting
	c.oldestWaiter = gauge("berth.queue.oldest", "the longest wait so far of a request that comes first in its class")
	c.oldestEvent = gauge("berth.outbox.oldest", "age of the oldest outcome event that is not published")
	c.hold = histogram("berth.hold.duration", "how long a request held its replicas", long)
	c.reuse = histogram("berth.reuse.delay", "from the end of a job until a request that waited has its replicas", short)
	c.publication = histogram("berth.outbox.delay", "from a change until its outcome event is published", short)
	c.pass = histogram("berth.pass.duration", "one pass over all resources", short)
	return c, err
}

// Keys of the attributes of metrics. Their values are words of Berth.
const (
	attrVerdict  = "verdict"
	attrReason   = "reason"
	attrResult   = "result"
	attrState    = "state"
	attrResource = "resource"
)

// Counts reports whether anything is counted: what is read to be counted need not be
// read otherwise.
func (r *Recorder) Counts() bool { return r != nil && r.counts != nil }

// Decision counts a decision. reason is the code of its reason.
func (r *Recorder) Decision(ctx context.Context, verdict, reason string) {
	if r.Counts() {
		r.counts.decisions.Add(ctx, 1, metric.WithAttributes(attribute.String(attrVerdict, verdict), attribute.String(attrReason, reason)))
	}
}

// Submission counts an attempt to create a job: "CREATED", or the kind of the error.
func (r *Recorder) Submission(ctx context.Context, result string) {
	if r.Counts() {
		r.counts.submissions.Add(ctx, 1, metric.WithAttributes(attribute.String(attrResult, result)))
	}
}

// Commit counts a commit of the ledger by its result.
func (r *Recorder) Commit(ctx context.Context, result string) {
	if r.Counts() {
		r.counts.commits.Add(ctx, 1, metric.WithAttributes(attribute.String(attrResult, result)))
	}
}

// Queue notes how many requests wait for a persistent resource, by its full name, and how
// long the oldest has.
func (r *Recorder) Queue(ctx context.Context, resource string, waiting int, oldest time.Duration) {
	if r.Counts() {
		of := metric.WithAttributes(attribute.String(attrResource, r.counts.resources.word(resource)))
		r.counts.waiting.Record(ctx, int64(waiting), of)
		r.counts.oldestWaiter.Record(ctx, max(0, oldest).Seconds(), of)
	}
}

// Hold notes how long a request has held replicas that it gives back, and the state that
// it has then.
func (r *Recorder) Hold(ctx context.Context, held time.Duration, state string) {
	if r.Counts() {
		r.counts.hold.Record(ctx, max(0, held).Seconds(), metric.WithAttributes(attribute.String(attrState, state)))
	}
}

// Reuse notes how long replicas were free while a request waited for them.
func (r *Recorder) Reuse(ctx context.Context, free time.Duration) {
	if r.Counts() {
		r.counts.reuse.Record(ctx, max(0, free).Seconds())
	}
}

// Published notes how old an outcome event was when it was published.
func (r *Recorder) Published(ctx context.Context, age time.Duration) {
	if r.Counts() {
		r.counts.publication.Record(ctx, max(0, age).Seconds())
	}
}

// Unpublished notes the age of the oldest outcome event that is not published, 0 for none.
func (r *Recorder) Unpublished(ctx context.Context, age time.Duration) {
	if r.Counts() {
		r.counts.oldestEvent.Record(ctx, max(0, age).Seconds())
	}
}

// Pass notes how long a pass took.
func (r *Recorder) Pass(ctx context.Context, took time.Duration) {
	if r.Counts() {
		r.counts.pass.Record(ctx, max(0, took).Seconds())
	}
}

// maxResources bounds the persistent resources that a process counts apart.
const maxResources = 50

// otherResources stands for those beyond.
const otherResources = "other"

// resourceNames gives persistent resources the names that are counted by.
type resourceNames struct {
	mu    sync.Mutex
	known map[string]string
}

// word is LOCATION/ID of projects/P/locations/LOCATION/persistentResources/ID.
func (n *resourceNames) word(name string) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if word := n.known[name]; word != "" {
		return word
	}
	if len(n.known) >= maxResources {
		return otherResources
	}
	if n.known == nil {
		n.known = map[string]string{}
	}
	parts := strings.Split(name, "/")
	n.known[name] = parts[len(parts)-1]
	if len(parts) == 6 {
		n.known[name] = parts[3] + "/" + parts[5]
	}
	return n.known[name]
}
