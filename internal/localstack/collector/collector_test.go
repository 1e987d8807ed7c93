package collector

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	metricpb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

const ms = 1_000_000

func text(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

func number(key string, n int64) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: n}}}
}

// post sends an export and returns the status of the answer.
func post(t *testing.T, c *Collector, path string, body []byte, zipped bool) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.URL()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if zipped {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func encoded(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestShows(t *testing.T) {
	c, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop() })
	id := bytes.Repeat([]byte{0xab}, 16)
	span := func(name string, own, parent byte, from, to uint64, attributes ...*common.KeyValue) *traces.Span {
		return &traces.Span{TraceId: id, SpanId: []byte{own}, ParentSpanId: []byte{parent}, Name: name, StartTimeUnixNano: from * ms, EndTimeUnixNano: to * ms, Attributes: attributes}
	}
	failed := span("publish", 4, 1, 50, 51, number("berth.events", 7))
	failed.Status = &traces.Status{Code: traces.Status_STATUS_CODE_ERROR}
	linked := span("publish", 5, 1, 2000, 2060, number("berth.events", 2))
	linked.Links = []*traces.Span_Link{{TraceId: bytes.Repeat([]byte{1}, 16)}}
	export := func(spans ...*traces.Span) []byte {
		return encoded(t, &tracepb.ExportTraceServiceRequest{ResourceSpans: []*traces.ResourceSpans{{ScopeSpans: []*traces.ScopeSpans{{Spans: spans}}}}})
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(export(span("decide", 2, 1, 12, 20, text("berth.verdict", "admit"), text("messaging.system", "x")), span("commit", 3, 2, 13, 15, text("error.type", "BUSY"))))
	_ = z.Close()
	if n := post(t, c, "/v1/traces", zipped.Bytes(), true); n != http.StatusOK { // children first, as spans end
		t.Error(n)
	}
	trace := strings.Repeat("ab", 16)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Await(ended, map[string]int{trace: 2}); !errors.Is(err, context.Canceled) {
		t.Errorf("a trace without its publications is complete: %v", err)
	}
	done := make(chan error)
	go func() { done <- c.Await(t.Context(), map[string]int{trace: 2, "none": 0}) }()
	if n := post(t, c, "/v1/traces", export(failed, linked, span("admit", 1, 9, 10, 1510)), false); n != http.StatusOK {
		t.Error(n)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	var tree strings.Builder
	c.Tree(&tree, trace)
	want := `    admit                            1.5s  +0s
      decide                          8ms  +2ms       verdict=admit
        commit                        2ms  +3ms       error.type=BUSY
      publish                         1ms  +40ms      events=7
      publish                        60ms  +1.99s     events=2 (linked to trace 01010101)
`
	if tree.String() != want {
		t.Errorf("the trace is shown as\n%swant\n%s", tree.String(), want)
	}
	point := func(n int64, attributes ...*common.KeyValue) *metrics.NumberDataPoint {
		return &metrics.NumberDataPoint{Value: &metrics.NumberDataPoint_AsInt{AsInt: n}, Attributes: attributes}
	}
	sum := 3.0
	all := []*metrics.Metric{
		{Name: "b", Data: &metrics.Metric_Sum{Sum: &metrics.Sum{DataPoints: []*metrics.NumberDataPoint{point(3, text("reason", "FULL")), point(2, text("reason", ""))}}}},
		{Name: "a", Unit: "s", Data: &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: []*metrics.NumberDataPoint{{Value: &metrics.NumberDataPoint_AsDouble{AsDouble: 1.25}}}}}},
		{Name: "c", Unit: "s", Data: &metrics.Metric_Histogram{Histogram: &metrics.Histogram{DataPoints: []*metrics.HistogramDataPoint{{Count: 2, Sum: &sum}}}}},
	}
	if n := post(t, c, "/v1/metrics", encoded(t, &metricpb.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: all}}}}}), false); n != http.StatusOK {
		t.Error(n)
	}
	var lines strings.Builder
	c.Metrics(&lines)
	if got := strings.Join(strings.Fields(lines.String()), " "); got != "a 1.2 s b 2 b reason=FULL 3 c 2 of 1.50 s on average" {
		t.Errorf("the metrics are shown as %s", got)
	}
	for _, bad := range []struct {
		path   string
		body   string
		zipped bool
		want   int
	}{{"/v1/traces", "no protobuf", false, 400}, {"/v1/metrics", "no protobuf", false, 400}, {"/v1/traces", "no gzip", true, 400}, {"/v1/logs", "", false, 404}} {
		if n := post(t, c, bad.path, []byte(bad.body), bad.zipped); n != bad.want {
			t.Errorf("%s %q is answered %d, want %d", bad.path, bad.body, n, bad.want)
		}
	}
}
