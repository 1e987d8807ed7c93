package export

import (
	"context"
	"fmt"
	"strconv"

	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// The exporters read headers, certificates and compression from the standard variables
// (https://opentelemetry.io/docs/specs/otel/protocol/exporter/). None repeats a call: a
// later flush does.

func (s Settings) spanExporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	if s.GRPC {
		return otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(s.Traces), otlptracegrpc.WithTimeout(Cap),
			otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{Enabled: false}))
	}
	return otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(s.Traces), otlptracehttp.WithTimeout(Cap),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{Enabled: false}))
}

func (s Settings) metricExporter(ctx context.Context) (sdkmetric.Exporter, error) {
	if s.GRPC {
		return otlpmetricgrpc.New(ctx, otlpmetricgrpc.WithEndpointURL(s.Metrics), otlpmetricgrpc.WithTimeout(Cap),
			otlpmetricgrpc.WithRetry(otlpmetricgrpc.RetryConfig{Enabled: false}))
	}
	return otlpmetrichttp.New(ctx, otlpmetrichttp.WithEndpointURL(s.Metrics), otlpmetrichttp.WithTimeout(Cap),
		otlpmetrichttp.WithRetry(otlpmetrichttp.RetryConfig{Enabled: false}))
}

// SamplerOf returns the sampler of OTEL_TRACES_SAMPLER and OTEL_TRACES_SAMPLER_ARG; nil
// for "", the SDK's default.
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/#general-sdk-configuration
func SamplerOf(name, arg string) (sdktrace.Sampler, error) {
	ratio := 1.0
	if arg != "" {
		var err error
		if ratio, err = strconv.ParseFloat(arg, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
			return nil, fmt.Errorf("%q is not a share from 0 to 1", arg)
		}
	}
	switch name {
	case "":
		if arg != "" {
			return nil, fmt.Errorf("the share %s has no sampler", arg)
		}
		return nil, nil
	case "always_on":
		return sdktrace.AlwaysSample(), nil
	case "always_off":
		return sdktrace.NeverSample(), nil
	case "traceidratio":
		return sdktrace.TraceIDRatioBased(ratio), nil
	case "parentbased_always_on":
		return sdktrace.ParentBased(sdktrace.AlwaysSample()), nil
	case "parentbased_always_off":
		return sdktrace.ParentBased(sdktrace.NeverSample()), nil
	case "parentbased_traceidratio":
		return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio)), nil
	}
	return nil, fmt.Errorf("there is no sampler %q", name)
}
