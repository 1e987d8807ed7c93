package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"example.com/berth/internal/logctx"
)

// Scope is the name under which the spans and counts are.
const Scope = "example.com/berth"

// A Recorder makes spans and keeps counts. It is safe for concurrent use. A nil one does
// nothing.
type Recorder struct {
	tracer  trace.Tracer
	project string  // in which Cloud Logging finds the traces
	counts  *counts // nil for none
}

// New returns a Recorder for the providers of a deployment, nil for no spans or no counts;
// project is the id of the project that its traces are exported to.
func New(project string, traces trace.TracerProvider, meters metric.MeterProvider) (*Recorder, error) {
	r := &Recorder{project: project}
	if traces != nil {
		r.tracer = traces.Tracer(Scope)
	}
	if meters != nil {
		var err error
		if r.counts, err = newCounts(meters.Meter(Scope)); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *Recorder) traces() bool { return r != nil && r.tracer != nil }

// A Key names an attribute of a span. Its values are words of Berth.
type Key string

// The attributes of spans.
const (
	KeyVerdict  Key = "berth.verdict" // admit, wait, refuse, end, or answer for a message that made no request
	KeyReason   Key = "berth.reason"  // code of the reason
	KeyState    Key = "berth.state"   // of the request then
	KeyEvents   Key = "berth.events"  // how many outcome events are published
	KeyPasses   Key = "berth.passes"  // how many passes a reconcile made
	KeyStarted  Key = "berth.started" // how many waiting requests it admitted
	KeyLearned  Key = "berth.learned" // how many moves it learned from Vertex AI
	KeyError    Key = "error.type"    // kind of the error
	keyService  Key = "peer.service"  // what is called
	keySystem   Key = "messaging.system"
	keyDelivery Key = "messaging.operation.type"
	pubsub          = "gcp_pubsub"
)

// A Span is a step in what happens to a request. The zero Span is none.
type Span struct{ span trace.Span }

// Set sets an attribute to a word.
func (s Span) Set(key Key, word string) {
	if s.span != nil && word != "" {
		s.span.SetAttributes(attribute.String(string(key), word))
	}
}

// Count sets an attribute to a number.
func (s Span) Count(key Key, n int) {
	if s.span != nil {
		s.span.SetAttributes(attribute.Int(string(key), n))
	}
}

// End ends the step. kind says in a word how it failed, "" if it did not: the text of an
// error may quote what a user sent.
func (s Span) End(kind string) {
	if s.span == nil {
		return
	}
	if kind != "" {
		s.span.SetAttributes(attribute.String(string(KeyError), kind))
		s.span.SetStatus(codes.Error, "")
	}
	s.span.End()
}

// Context is the trace context of the step, invalid without one.
func (s Span) Context() trace.SpanContext {
	if s.span == nil {
		return trace.SpanContext{}
	}
	return s.span.SpanContext()
}

// scope says in a context whose work it is.
type scope struct{}

// quiet is the scope of work for nobody's request: a pass observes the same resources
// again and again, and spans of that would be most of all spans.
type quiet bool

// Receive begins the work on a message, in the trace of its publisher if it has one. The
// HTTP request that delivers it is linked.
func (r *Recorder) Receive(ctx context.Context, name string, publisher, request trace.SpanContext) (context.Context, Span) {
	if !r.traces() {
		return ctx, Span{}
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String(string(keySystem), pubsub), attribute.String(string(keyDelivery), "process"))}
	parent := request
	if publisher.IsValid() {
		if parent = publisher; request.IsValid() {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: request}))
		}
	}
	return r.start(trace.ContextWithRemoteSpanContext(ctx, parent), name, options...)
}

// Tick begins the work on a tick, which is on no request in particular. Steps below it
// have no span until [Recorder.Follow] says whose they are.
func (r *Recorder) Tick(ctx context.Context, name string, publisher, request trace.SpanContext) (context.Context, Span) {
	ctx, span := r.Receive(ctx, name, publisher, request)
	if r.traces() {
		ctx = context.WithValue(ctx, scope{}, quiet(true))
	}
	return ctx, span
}

// Start begins a step of the work that a context is for.
func (r *Recorder) Start(ctx context.Context, name string) (context.Context, Span) {
	if !r.traces() || ctx.Value(scope{}) == quiet(true) {
		return ctx, Span{}
	}
	return r.start(ctx, name)
}

// Call begins a call of another service.
func (r *Recorder) Call(ctx context.Context, name, service string) (context.Context, Span) {
	if !r.traces() || ctx.Value(scope{}) == quiet(true) {
		return ctx, Span{}
	}
	return r.start(ctx, name, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attribute.String(string(keyService), service)))
}

// Follow begins a step of the request that a record is of; traceparent is the record's.
// If the context is for something else, a tick or another request, the step belongs to
// the record's trace all the same, and what does it is linked.
func (r *Recorder) Follow(ctx context.Context, name, traceparent string) (context.Context, Span) {
	return r.follow(ctx, name, traceparent)
}

// Publish begins the publication of a record's events, as Follow does.
func (r *Recorder) Publish(ctx context.Context, name, traceparent string) (context.Context, Span) {
	if !r.traces() {
		return ctx, Span{}
	}
	return r.follow(ctx, name, traceparent, trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(attribute.String(string(keySystem), pubsub), attribute.String(string(keyDelivery), "send")))
}

func (r *Recorder) follow(ctx context.Context, name, traceparent string, options ...trace.SpanStartOption) (context.Context, Span) {
	if !r.traces() {
		return ctx, Span{}
	}
	if ctx.Value(scope{}) != nil {
		ctx = context.WithValue(ctx, scope{}, quiet(false))
	}
	own, current := Parse(traceparent), trace.SpanContextFromContext(ctx)
	if own.IsValid() && own.TraceID() != current.TraceID() {
		if current.IsValid() {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: current}))
		}
		ctx = trace.ContextWithRemoteSpanContext(ctx, own)
	}
	return r.start(ctx, name, options...)
}

func (r *Recorder) start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, Span) {
	ctx, span := r.tracer.Start(ctx, name, options...)
	return logctx.With(ctx, Attrs(r.project, span.SpanContext())...), Span{span}
}

// Traceparent is the trace context that a record made of a message keeps: that of the
// work on it, or of its publisher if there are no spans. "" without either.
func (r *Recorder) Traceparent(ctx context.Context, attributes map[string]string) string {
	if r.traces() {
		if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
			return Format(sc)
		}
	}
	return Format(OfMessage(attributes))
}
