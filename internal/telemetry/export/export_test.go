package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// A sink is a collector in memory. It answers err, or if hang is set not at all.
type sink struct {
	mu             sync.Mutex
	calls          int
	spans, metrics []string
	err            error
	hang           bool
	sdkmetric.Exporter
}

func (s *sink) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	s.mu.Lock()
	s.calls++
	err, hang := s.err, s.hang
	if err == nil && !hang {
		for _, span := range spans {
			s.spans = append(s.spans, span.Name())
		}
	}
	s.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return err
}

func (s *sink) Shutdown(context.Context) error { return nil }

func (s *sink) Export(_ context.Context, all *metricdata.ResourceMetrics) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	s.metrics = nil
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			s.metrics = append(s.metrics, m.Name)
		}
	}
	slices.Sort(s.metrics)
	return s.err
}

func opened(t *testing.T, s *sink) (*Exporter, func(string), *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	recorder, e, err := Open(t.Context(), Settings{Traces: "http://127.0.0.1:1/v1/traces", Project: "p", Log: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	e.traces = s
	return e, func(name string) {
		_, span := recorder.Receive(t.Context(), name, trace.SpanContext{}, trace.SpanContext{})
		span.End("")
	}, log
}

// A collector that does not answer costs one request the cap, and later ones nothing for
// 5 seconds, then 10, and at most a minute; it is logged once.
func TestSilentCollector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{hang: true}
		e, span, log := opened(t, s)
		flush := func() time.Duration {
			began := time.Now()
			span("a")
			ended, cancel := context.WithCancel(t.Context())
			cancel() // as a request's context may be by then
			e.Flush(ended)
			return time.Since(began)
		}
		for i, pause := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute} {
			if took := flush(); took != time.Second {
				t.Errorf("flush %d takes %s, want the cap", i, took)
			}
			time.Sleep(pause - 1001*time.Millisecond)
			if took := flush(); took != 0 {
				t.Errorf("%s after flush %d another takes %s", pause, i, took)
			}
			time.Sleep(time.Millisecond)
		}
		if s.calls != 6 || strings.Count(log.String(), "telemetry_failed") != 1 {
			t.Errorf("%d calls, and the log says %s", s.calls, log)
		}
		s.hang = false
		time.Sleep(time.Minute)
		if took := flush(); took != 0 || len(s.spans) != 13 {
			t.Errorf("a collector that answers again takes %s and gets %d spans, want 13", took, len(s.spans))
		}
		if !strings.Contains(log.String(), "telemetry_restored") || !strings.Contains(log.String(), "dropped=0") {
			t.Errorf("the log says %s", log)
		}
		s.hang = true
		if took := flush(); took != time.Second {
			t.Errorf("a flush after the outage takes %s", took)
		}
		if took := flush(); took != 0 || strings.Count(log.String(), "telemetry_failed") != 2 {
			t.Errorf("the second outage is not another: %s, %s", took, log)
		}
	})
}

// Requests that end together wait no longer than one.
func TestSilentCollectorAndManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sink{hang: true}
		e, span, _ := opened(t, s)
		began := time.Now()
		var all sync.WaitGroup
		for range 20 {
			span("a")
			all.Go(func() { e.Flush(t.Context()) })
		}
		all.Wait()
		if took := time.Since(began); took != Cap || s.calls != 1 {
			t.Errorf("20 requests wait %s for %d calls", took, s.calls)
		}
	})
}

// What a collector does not take is kept up to a bound, and the rest is counted.
func TestSpansAreBounded(t *testing.T) {
	s := &sink{err: status.Error(codes.Unavailable, "")}
	e, span, log := opened(t, s)
	now := time.Unix(1e9, 0)
	e.now = func() time.Time { return now }
	for i := range maxSpans + 5 {
		span(fmt.Sprint(i))
		if i == 9 {
			e.Flush(t.Context())
		}
	}
	s.err = nil
	now = now.Add(firstPause)
	e.Flush(t.Context())
	if len(s.spans) != maxSpans || s.spans[0] != "0" || s.spans[maxSpans-1] != fmt.Sprint(maxSpans-1) || !strings.Contains(log.String(), "dropped=5") {
		t.Errorf("%d spans, and the log says %s", len(s.spans), log)
	}
}

// Counts go at most every ten seconds; those of a failure go again.
func TestCountsAreNotSentTooOften(t *testing.T) {
	s := &sink{}
	recorder, e, err := Open(t.Context(), Settings{Metrics: "http://127.0.0.1:1/v1/metrics", Interval: 10 * time.Second, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if ctx, span := recorder.Start(t.Context(), "a"); span.Context().IsValid() || ctx != t.Context() {
		t.Error("there are spans without an endpoint for traces")
	}
	now := time.Unix(1e9, 0)
	e.metrics, e.now = s, func() time.Time { return now }
	for i, c := range []struct {
		later time.Duration
		err   error
		want  int
	}{{0, nil, 1}, {9 * time.Second, nil, 1}, {time.Second, errors.New("x"), 2}, {4 * time.Second, nil, 2}, {time.Second, nil, 3}, {0, nil, 3}} {
		now, s.err = now.Add(c.later), c.err
		if e.Flush(t.Context()); s.calls != c.want {
			t.Errorf("step %d: %d calls, want %d", i, s.calls, c.want)
		}
	}
	if e.Last(t.Context()); s.calls != 4 {
		t.Errorf("what an instance counted in its last seconds is lost: %d calls", s.calls)
	}
	recorder.Queue(t.Context(), "pool", 3, time.Minute)
	recorder.Decision(t.Context(), "admit", "")
	for i, want := range []string{"berth.decisions berth.queue.oldest berth.queue.waiting", "berth.decisions"} {
		now = now.Add(time.Minute)
		if e.Flush(t.Context()); strings.Join(s.metrics, " ") != want {
			t.Errorf("export %d has %v, want %s: a gauge of a pass is sent once, a count goes on", i, s.metrics, want)
		}
	}
	var none *Exporter
	none.Flush(t.Context()) // nothing to do
	none.Last(t.Context())
}

type service struct {
	collector.UnimplementedTraceServiceServer
	got chan *collector.ExportTraceServiceRequest
}

func (s service) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.got <- r
	return &collector.ExportTraceServiceResponse{}, nil
}

// Both protocols, to a server that speaks them.
func TestProtocols(t *testing.T) {
	t.Setenv("OTEL_SERVICE_NAME", "of-the-operator")
	s := service{got: make(chan *collector.ExportTraceServiceRequest, 1)}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, s)
	go func() { _ = server.Serve(lis) }()
	t.Cleanup(server.Stop)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var req collector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &req); err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL, err)
		}
		s.got <- &req
	}))
	t.Cleanup(web.Close)
	for _, settings := range []Settings{{Traces: web.URL + "/v1/traces"}, {Traces: "http://" + lis.Addr().String(), GRPC: true}} {
		settings.Log, settings.Service, settings.Version = slog.New(slog.NewTextHandler(io.Discard, nil)), "berth", "v1"
		recorder, e, err := Open(t.Context(), settings)
		if err != nil {
			t.Fatal(err)
		}
		_, span := recorder.Receive(t.Context(), "admit", trace.SpanContext{}, trace.SpanContext{})
		span.End("")
		e.Flush(t.Context())
		select {
		case r := <-s.got: // before Flush has returned
			if got := r.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans()[0].GetName(); got != "admit" || !strings.Contains(r.String(), "of-the-operator") || !strings.Contains(r.String(), "service.instance.id") {
				t.Errorf("gRPC %v: the collector has %v", settings.GRPC, r)
			}
		default:
			t.Errorf("gRPC %v: the collector has nothing", settings.GRPC)
		}
	}
}

// Spans that a collector has refused, or taken a part of, are not sent again; those that
// reach none are.
func TestWhatIsSentAgain(t *testing.T) {
	closed := httptest.NewServer(nil)
	closed.Close()
	part, err := proto.Marshal(&collector.ExportTraceServiceResponse{PartialSuccess: &collector.ExportTracePartialSuccess{RejectedSpans: 1, ErrorMessage: "too many"}})
	if err != nil {
		t.Fatal(err)
	}
	answers := func(status int, body []byte) string {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/x-protobuf")
			w.WriteHeader(status)
			_, _ = w.Write(body)
		}))
		t.Cleanup(web.Close)
		return web.URL
	}
	for name, c := range map[string]struct {
		settings Settings
		again    int
	}{
		"takes a part":    {Settings{Traces: answers(200, part)}, 0},
		"refuses":         {Settings{Traces: answers(400, nil)}, 0},
		"is overloaded":   {Settings{Traces: answers(503, nil)}, 0},
		"is not there":    {Settings{Traces: closed.URL}, 1},
		"is no gRPC host": {Settings{Traces: closed.URL, GRPC: true}, 1},
	} {
		var log bytes.Buffer
		c.settings.Log = slog.New(slog.NewTextHandler(&log, nil))
		recorder, e, err := Open(t.Context(), c.settings)
		if err != nil {
			t.Fatal(err)
		}
		_, span := recorder.Receive(t.Context(), "admit", trace.SpanContext{}, trace.SpanContext{})
		span.End("")
		e.Flush(t.Context())
		if again, dropped := len(e.spans.take()), e.spans.forget(); again != c.again || dropped != 1-c.again || strings.Count(log.String(), "telemetry_failed") != 1 {
			t.Errorf("a collector that %s: %d spans are sent again, %d are dropped; the log says %s", name, again, dropped, log.String())
		}
	}
}

func TestSamplers(t *testing.T) {
	for _, c := range []struct {
		name, arg string
		good      bool
	}{
		{"", "", true}, {"always_on", "", true}, {"always_off", "", true}, {"traceidratio", "0.1", true}, {"traceidratio", "1", true},
		{"parentbased_always_on", "", true}, {"parentbased_always_off", "", true}, {"parentbased_traceidratio", "0", true},
		{"", "0.1", false}, {"traceidratio", "1.1", false}, {"traceidratio", "-0.1", false}, {"traceidratio", "NaN", false}, {"traceidratio", "x", false}, {"xray", "", false},
	} {
		if _, err := SamplerOf(c.name, c.arg); (err == nil) != c.good {
			t.Errorf("%q %q: %v", c.name, c.arg, err)
		}
	}
}
