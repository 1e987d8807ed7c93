package app

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/logctx"
	"example.com/berth/internal/message"
	"example.com/berth/internal/telemetry"
	"example.com/berth/internal/telemetry/export"
)

// checkTelemetry validates the settings of traces and metrics. OpenTelemetry's own SDK
// would log that a value is wrong, and go on without it.
func (c Config) checkTelemetry() (errs []error) {
	for _, e := range []struct{ name, value string }{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", c.OTLPEndpoint}, {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", c.OTLPTracesEndpoint},
		{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", c.OTLPMetricsEndpoint},
	} {
		if u, err := url.Parse(e.value); e.value != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			errs = append(errs, fmt.Errorf("%s %q: want a URL with http or https, as http://localhost:4318", e.name, e.value))
		}
	}
	if c.OTLPProtocol != "" && c.OTLPProtocol != overHTTP && c.OTLPProtocol != overGRPC {
		errs = append(errs, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL %q: want %s or %s", c.OTLPProtocol, overHTTP, overGRPC))
	}
	if c.MetricInterval < 1 || c.MetricInterval > 3600000 {
		errs = append(errs, fmt.Errorf("OTEL_METRIC_EXPORT_INTERVAL is %d; want 1 to 3600000", c.MetricInterval))
	}
	if _, err := export.SamplerOf(c.TracesSampler, c.TracesSamplerArg); err != nil {
		errs = append(errs, fmt.Errorf("OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG: %w", err))
	}
	return errs
}

const (
	overHTTP = "http/protobuf"
	overGRPC = "grpc"
)

// telemetry returns what records and sends traces and metrics; nil and nil if they are off.
func (c Config) telemetry(ctx context.Context, log *slog.Logger) (*telemetry.Recorder, *export.Exporter, error) {
	s, err := c.exports()
	if err != nil || s.Traces == "" && s.Metrics == "" {
		return nil, nil, err
	}
	s.Log = log
	return export.Open(ctx, s)
}

// exports says what is sent where; without a URL if traces and metrics are off.
func (c Config) exports() (export.Settings, error) {
	if c.TelemetryDisabled {
		return export.Settings{}, nil
	}
	traces, metrics := cmp.Or(c.OTLPTracesEndpoint, c.OTLPEndpoint), cmp.Or(c.OTLPMetricsEndpoint, c.OTLPEndpoint)
	sampler, err := export.SamplerOf(c.TracesSampler, c.TracesSamplerArg)
	if err != nil {
		return export.Settings{}, err
	}
	s := export.Settings{Traces: traces, Metrics: metrics, Sampler: sampler, Project: c.Project,
		Interval: time.Duration(c.MetricInterval) * time.Millisecond}
	s.Service, s.Version = service()
	if s.GRPC = c.OTLPProtocol == overGRPC || c.OTLPProtocol == "" && gRPCPort(cmp.Or(traces, metrics)); !s.GRPC {
		// The general endpoint is that of a server, those of its kind have a path.
		if c.OTLPTracesEndpoint == "" && traces != "" {
			s.Traces = strings.TrimSuffix(traces, "/") + "/v1/traces"
		}
		if c.OTLPMetricsEndpoint == "" && metrics != "" {
			s.Metrics = strings.TrimSuffix(metrics, "/") + "/v1/metrics"
		}
	}
	return s, nil
}

// gRPCPort reports whether an endpoint has the port that is registered for OTLP over gRPC.
func gRPCPort(endpoint string) bool {
	u, err := url.Parse(endpoint)
	return err == nil && u.Port() == "4317"
}

// receive begins the work on a delivery: its log records, and the spans of what is done,
// belong to the trace of its publisher, or else of the request that delivers it.
func (a *App) receive(ctx context.Context, r *http.Request, name string, d *message.Delivery) (context.Context, telemetry.Span) {
	request, publisher := telemetry.OfRequest(r.Header.Get), telemetry.OfMessage(d.Attributes)
	begin := a.telemetry.Receive
	if name == reconcileSpan {
		begin = a.telemetry.Tick
	}
	ctx, span := begin(ctx, name, publisher, request)
	ctx = logctx.With(ctx, telemetry.DeliveryAttrs(a.cfg.Project, request, publisher, span.Context())...)
	d.Trace = a.telemetry.Traceparent(ctx, d.Attributes)
	return logctx.With(ctx, slog.String("message_id", d.ID)), span
}

// Names of the spans of the entry points.
const (
	admitSpan     = "admit"
	reconcileSpan = "reconcile"
)

// ended ends the work on a delivery, and sends what was recorded of it.
func (a *App) ended(ctx context.Context, span telemetry.Span, answer any, err error) {
	if report, is := answer.(controller.Report); is {
		span.Count(telemetry.KeyPasses, report.Passes)
		span.Count(telemetry.KeyStarted, report.Started)
		span.Count(telemetry.KeyLearned, report.Learned)
	}
	kind := ""
	if err != nil {
		kind = "FAILED"
	}
	span.End(kind)
	a.export.Flush(ctx)
}
