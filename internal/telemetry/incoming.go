package telemetry

import (
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// Names under which a trace context travels.
const (
	traceparent = "traceparent"
	// GoogleAttribute is the attribute by which the Pub/Sub client libraries pass a trace
	// context on (pubsub/v2, EnableOpenTelemetryTracing).
	GoogleAttribute = "googclient_" + traceparent
	cloudHeader     = "X-Cloud-Trace-Context"
)

// maxTraceparent is how much of a traceparent is read, in bytes. That of version 00 has
// 55, later ones may have more.
const maxTraceparent = 256

// OfRequest returns the trace context of an HTTP request: that of its traceparent, else
// that of its X-Cloud-Trace-Context, else an invalid one. header returns the first value
// of a request header. A caller chooses what is in them, so nothing of it gets further
// but two numbers and a flag.
func OfRequest(header func(string) string) trace.SpanContext {
	if sc := Parse(header(traceparent)); sc.IsValid() {
		return sc
	}
	return cloudContext(header(cloudHeader))
}

// OfMessage returns the trace context of the publisher of a message, by its attributes:
// that of the Pub/Sub client libraries, else a plain traceparent, else an invalid one.
func OfMessage(attributes map[string]string) trace.SpanContext {
	if sc := Parse(attributes[GoogleAttribute]); sc.IsValid() {
		return sc
	}
	return Parse(attributes[traceparent])
}

// Parse reads a traceparent (https://www.w3.org/TR/trace-context/#traceparent-header). What
// is not one is an invalid context. Flags that are not known are dropped, and so is what a
// later version adds.
func Parse(text string) trace.SpanContext {
	if text == "" || len(text) > maxTraceparent {
		return trace.SpanContext{}
	}
	parts := strings.SplitN(text, "-", 5)
	if len(parts) < 4 || len(parts) > 4 && parts[0] == "00" || parts[0] == "ff" {
		return trace.SpanContext{}
	}
	version, flags := octet(parts[0]), octet(parts[3])
	id, errTrace := trace.TraceIDFromHex(parts[1])
	span, errSpan := trace.SpanIDFromHex(parts[2])
	if version < 0 || flags < 0 || errTrace != nil || errSpan != nil {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: span, TraceFlags: trace.TraceFlags(flags) & trace.FlagsSampled, Remote: true,
	})
}

// octet reads two hexadecimal digits in small letters; -1 for anything else.
func octet(text string) int {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != 1 || text != strings.ToLower(text) {
		return -1
	}
	return int(b[0])
}

// Format returns the traceparent of a trace context, "" for an invalid one.
func Format(sc trace.SpanContext) string {
	if !sc.IsValid() {
		return ""
	}
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + sc.TraceFlags().String()
}

// cloudContext reads TRACE_ID/SPAN_ID;o=OPTIONS: 32 hexadecimal digits, a decimal number
// of 64 bits, and 1 for a trace that is sampled.
// https://cloud.google.com/trace/docs/trace-context#legacy-http-header
func cloudContext(text string) trace.SpanContext {
	if len(text) > maxTraceparent {
		return trace.SpanContext{}
	}
	rest, options, _ := strings.Cut(text, ";")
	traceText, spanText, _ := strings.Cut(rest, "/")
	id, err := trace.TraceIDFromHex(strings.ToLower(traceText))
	if err != nil {
		return trace.SpanContext{}
	}
	number, err := strconv.ParseUint(spanText, 10, 64)
	if err != nil {
		return trace.SpanContext{}
	}
	var span trace.SpanID
	binary.BigEndian.PutUint64(span[:], number)
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: id, SpanID: span, TraceFlags: trace.TraceFlags(0).WithSampled(options == "o=1"), Remote: true,
	})
}

// Attrs are the attributes of a log record by which Cloud Logging shows it with a trace,
// none for an invalid context.
// https://cloud.google.com/logging/docs/structured-logging#special-payload-fields
func Attrs(project string, sc trace.SpanContext) []slog.Attr {
	if !sc.IsValid() {
		return nil
	}
	return []slog.Attr{
		slog.String("logging.googleapis.com/trace", traceName(project, sc)),
		slog.String("logging.googleapis.com/spanId", sc.SpanID().String()),
		slog.Bool("logging.googleapis.com/trace_sampled", sc.IsSampled()),
	}
}

func traceName(project string, sc trace.SpanContext) string {
	return "projects/" + project + "/traces/" + sc.TraceID().String()
}

// DeliveryAttrs are the attributes of the log records about a delivery. Those of [Attrs]
// are of its span, or without spans of the request that delivers it,
// or if that has no trace context, of its publisher. If request or publisher have another
// trace than that, it has an attribute of its own.
func DeliveryAttrs(project string, request, publisher, span trace.SpanContext) (attrs []slog.Attr) {
	shown := span
	if !shown.IsValid() {
		if shown = request; !shown.IsValid() {
			shown, attrs = publisher, Attrs(project, publisher)
		}
	}
	if request.IsValid() && request.TraceID() != shown.TraceID() {
		attrs = append(attrs, slog.String("request_trace", traceName(project, request)))
	}
	if publisher.IsValid() && publisher.TraceID() != shown.TraceID() {
		attrs = append(attrs, slog.String("publisher_trace", traceName(project, publisher)))
	}
	return attrs
}
