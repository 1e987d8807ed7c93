// Package collector is a small OpenTelemetry collector in memory: it takes traces and
// metrics by OTLP over HTTP, and shows them as text. A local stack has one to show what a
// deployment would send to its own.
package collector

import (
	"compress/gzip"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	metricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// maxBody bounds one export, in bytes.
const maxBody = 16 << 20

// A Collector keeps what it gets until it ends. It is safe for concurrent use.
type Collector struct {
	address string
	server  *http.Server

	mu      sync.Mutex
	spans   map[string][]*traces.Span  // by trace, in hexadecimal digits
	metrics map[string]*metrics.Metric // the last of each name
	changed chan struct{}              // closed and replaced at every export
}

// Start starts a collector on a free port of this machine.
func Start() (*Collector, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the collector: %w", err)
	}
	c := &Collector{address: lis.Addr().String(), spans: map[string][]*traces.Span{}, metrics: map[string]*metrics.Metric{}, changed: make(chan struct{})}
	c.server = &http.Server{Handler: c, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = c.server.Serve(lis) }()
	return c, nil
}

// Stop ends the collector.
func (c *Collector) Stop() error { return c.server.Close() }

// URL is what OTEL_EXPORTER_OTLP_ENDPOINT is to be.
func (c *Collector) URL() string { return "http://" + c.address }

// ServeHTTP takes one export.
// https://opentelemetry.io/docs/specs/otlp/#otlphttp-request
func (c *Collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = http.MaxBytesReader(w, r.Body, maxBody)
	if r.Header.Get("Content-Encoding") == "gzip" {
		unzipped, err := gzip.NewReader(body)
		if err != nil {
			http.Error(w, "the body is not gzip", http.StatusBadRequest)
			return
		}
		body = io.LimitReader(unzipped, maxBody)
	}
	data, err := io.ReadAll(body)
	var answer proto.Message
	switch {
	case err != nil:
	case r.URL.Path == "/v1/traces":
		answer, err = c.takeTraces(data)
	case r.URL.Path == "/v1/metrics":
		answer, err = c.takeMetrics(data)
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, "the body cannot be read", http.StatusBadRequest)
		return
	}
	text, _ := proto.Marshal(answer) // an answer without fields
	w.Header().Set("Content-Type", "application/x-protobuf")
	_, _ = w.Write(text)
}

func (c *Collector) takeTraces(data []byte) (proto.Message, error) {
	var req tracepb.ExportTraceServiceRequest
	if err := proto.Unmarshal(data, &req); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range req.GetResourceSpans() {
		for _, scope := range of.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := hex.EncodeToString(span.GetTraceId())
				c.spans[id] = append(c.spans[id], span)
			}
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return &tracepb.ExportTraceServiceResponse{}, nil
}

func (c *Collector) takeMetrics(data []byte) (proto.Message, error) {
	var req metricpb.ExportMetricsServiceRequest
	if err := proto.Unmarshal(data, &req); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range req.GetResourceMetrics() {
		for _, scope := range of.GetScopeMetrics() {
			for _, m := range scope.GetMetrics() {
				c.metrics[m.GetName()] = m
			}
		}
	}
	return &metricpb.ExportMetricsServiceResponse{}, nil
}
