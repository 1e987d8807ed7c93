// Package export sends the spans and counts of a [telemetry.Recorder] to an OpenTelemetry
// collector by OTLP, over HTTP or gRPC, with OpenTelemetry's own SDK and exporters.
//
// Cloud Run gives an instance no CPU after a request has been answered. So nothing is sent
// in the background, as the SDK's batch processor and periodic reader do: an entry point
// calls [Exporter.Flush] before it returns. A collector that does not answer costs a
// request at most [Cap], and then none for a while ([firstPause], doubling up to
// [longestPause]).
package export

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/telemetry"
)

// Bounds of what a collector may cost.
const (
	// Cap is the longest duration of one [Exporter.Flush].
	Cap          = time.Second
	firstPause   = 5 * time.Second
	longestPause = time.Minute
	// maxSpans are kept while a collector does not take them; later ones are dropped.
	maxSpans = 2000
)

// Settings say where a collector is, and what it is told about the sender.
type Settings struct {
	Traces, Metrics  string // URLs, for gRPC without a path; "" for none
	GRPC             bool
	Sampler          sdktrace.Sampler // nil for the SDK's own: what a publisher samples, and all that have none
	Project          string           // in which Cloud Logging finds the traces
	Service, Version string
	Interval         time.Duration // shortest time between two exports of the counts
	Log              *slog.Logger
	Now              func() time.Time // nil for time.Now
}

// An Exporter sends to one collector. It is safe for concurrent use. A nil one does
// nothing.
type Exporter struct {
	spans   buffer
	traces  sdktrace.SpanExporter // nil for none
	metrics sdkmetric.Exporter    // nil for none
	reader  *sdkmetric.ManualReader
	every   time.Duration
	log     *slog.Logger
	now     func() time.Time

	turn chan struct{} // held by the one that sends
	// what the one that sends reads and writes
	until    time.Time // nothing is sent before
	pause    time.Duration
	countsAt time.Time // when counts were sent last
}

// Open returns the Recorder of a deployment and the Exporter of what it records. It makes
// no connection: a collector may start later, or not at all.
func Open(ctx context.Context, s Settings) (*telemetry.Recorder, *Exporter, error) {
	e := &Exporter{every: s.Interval, log: s.Log, now: s.Now, turn: make(chan struct{}, 1)}
	if e.now == nil {
		e.now = time.Now
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		attribute.String("service.name", s.Service), attribute.String("service.version", s.Version),
		// Each instance counts from zero, so without it the counts of two would be taken for
		// one that jumps.
		attribute.String("service.instance.id", rand.Text())),
		resource.WithFromEnv()) // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES
	if err != nil {
		return nil, nil, err
	}
	var tracers trace.TracerProvider
	if s.Traces != "" {
		if e.traces, err = s.spanExporter(ctx); err != nil {
			return nil, nil, err
		}
		options := []sdktrace.TracerProviderOption{sdktrace.WithResource(about), sdktrace.WithSpanProcessor(&e.spans)}
		if s.Sampler != nil {
			options = append(options, sdktrace.WithSampler(s.Sampler))
		}
		tracers = sdktrace.NewTracerProvider(options...)
	}
	var meters metric.MeterProvider
	if s.Metrics != "" {
		if e.metrics, err = s.metricExporter(ctx); err != nil {
			return nil, nil, err
		}
		e.reader = sdkmetric.NewManualReader(sdkmetric.WithTemporalitySelector(func(kind sdkmetric.InstrumentKind) metricdata.Temporality {
			if kind == sdkmetric.InstrumentKindGauge {
				// A gauge is sent once. Otherwise an instance that makes no passes any more
				// would repeat what it observed last.
				return metricdata.DeltaTemporality
			}
			return e.metrics.Temporality(kind)
		}))
		meters = sdkmetric.NewMeterProvider(sdkmetric.WithResource(about), sdkmetric.WithReader(e.reader))
	}
	recorder, err := telemetry.New(s.Project, tracers, meters)
	return recorder, e, err
}

// Flush sends what has been recorded, in at most [Cap], also after the context has ended.
// What cannot be sent is logged once. Spans to which no collector answers are sent later.
func (e *Exporter) Flush(ctx context.Context) {
	if e != nil {
		e.flush(ctx, e.every)
	}
}

// Last is the flush of an instance that ends: it sends counts also if the last ones were
// sent a moment ago.
func (e *Exporter) Last(ctx context.Context) {
	if e != nil {
		e.flush(ctx, 0)
	}
}

func (e *Exporter) flush(ctx context.Context, every time.Duration) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), Cap)
	defer cancel()
	select {
	case e.turn <- struct{}{}:
	case <-bounded.Done():
		return // another request sends, and finds no answer
	}
	defer func() { <-e.turn }()
	now := e.now()
	if now.Before(e.until) {
		return
	}
	err := errors.Join(e.sendSpans(bounded), e.sendCounts(bounded, now, every))
	switch {
	case err != nil:
		if e.pause == 0 {
			e.log.WarnContext(ctx, "spans and counts cannot be sent to the collector; requests go on without it", "event", "telemetry_failed", "error", err)
		}
		e.pause = min(max(2*e.pause, firstPause), longestPause)
		e.until = now.Add(e.pause)
	case e.pause > 0:
		e.pause = 0
		e.log.InfoContext(ctx, "the collector takes spans and counts again", "event", "telemetry_restored", "dropped", e.spans.forget())
	}
}

func (e *Exporter) sendSpans(ctx context.Context) error {
	if e.traces == nil {
		return nil
	}
	spans := e.spans.take()
	if len(spans) == 0 {
		return nil
	}
	err := e.traces.ExportSpans(ctx, spans)
	switch {
	case err == nil:
	case unanswered(err):
		e.spans.putBack(spans)
	default: // the same spans would be refused again, or those that were taken be there twice
		e.spans.drop(len(spans))
	}
	return err
}

// unanswered reports whether an error comes from no collector: it can get the same later.
func unanswered(err error) bool {
	noHTTP := (*url.Error)(nil)
	code := status.Code(err)
	return errors.As(err, &noHTTP) || errors.Is(err, context.DeadlineExceeded) || code == codes.Unavailable || code == codes.DeadlineExceeded
}

func (e *Exporter) sendCounts(ctx context.Context, now time.Time, every time.Duration) error {
	if e.metrics == nil || now.Sub(e.countsAt) < every {
		return nil
	}
	var all metricdata.ResourceMetrics
	if err := e.reader.Collect(ctx, &all); err != nil {
		return err
	}
	err := e.metrics.Export(ctx, &all)
	if err == nil {
		e.countsAt = now
	}
	return err
}

// A buffer keeps the spans that have ended until they are sent.
type buffer struct {
	mu      sync.Mutex
	spans   []sdktrace.ReadOnlySpan
	dropped int
}

var _ sdktrace.SpanProcessor = (*buffer)(nil)

// OnEnd keeps a span, unless a collector has not taken any for long.
func (b *buffer) OnEnd(s sdktrace.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.spans) >= maxSpans {
		b.dropped++
		return
	}
	b.spans = append(b.spans, s)
}

func (b *buffer) take() []sdktrace.ReadOnlySpan {
	b.mu.Lock()
	defer b.mu.Unlock()
	taken := b.spans
	b.spans = nil
	return taken
}

// putBack keeps what was taken and not sent, before what has ended since.
func (b *buffer) putBack(spans []sdktrace.ReadOnlySpan) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := append(spans, b.spans...)
	b.spans = all[:min(len(all), maxSpans)]
	b.dropped += len(all) - len(b.spans)
}

func (b *buffer) drop(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.dropped += n
}

// forget returns how many spans were dropped, and counts anew.
func (b *buffer) forget() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	dropped := b.dropped
	b.dropped = 0
	return dropped
}

// OnStart, Shutdown and ForceFlush complete [sdktrace.SpanProcessor]: what is to be sent
// is taken by [Exporter.Flush].
func (b *buffer) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (b *buffer) Shutdown(context.Context) error                  { return nil }
func (b *buffer) ForceFlush(context.Context) error                { return nil }
