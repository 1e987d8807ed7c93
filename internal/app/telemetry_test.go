package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/telemetry"
	"example.com/berth/internal/telemetry/export"
	"example.com/berth/internal/vertex"
)

// A recording is a site with spans and counts in memory.
type recording struct {
	*site
	spans  *tracetest.SpanRecorder
	counts *sdkmetric.ManualReader
	runs   atomic.Int64
}

// record gives a site a recorder in memory.
func record(t *testing.T, s *site) *recording {
	t.Helper()
	r := &recording{site: s, spans: tracetest.NewSpanRecorder(), counts: sdkmetric.NewManualReader()}
	recorder, err := telemetry.New("test-project", sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans)), sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.counts)))
	if err != nil {
		t.Fatal(err)
	}
	s.app.telemetry = recorder
	r.restart()
	return r
}

// restart puts another instance in the place of the one that runs.
func (r *recording) restart() {
	r.app.controller = controller.New(r.Config, r.Ledger, r.Vertex, r.Out, r.app.log, controller.Env{
		Monotonic: func() time.Time { return r.Now },
		Sleep:     func(_ context.Context, d time.Duration) error { r.Now = r.Now.Add(d); return nil },
		NewRun:    func() string { return fmt.Sprintf("run%d", r.runs.Add(1)) },
		Telemetry: r.app.telemetry,
	})
	r.Controller = r.app.controller
}

// send delivers a request of a publisher with a trace.
func (r *recording) send(j sim.Job, trace string) {
	r.Helper()
	d := message.Delivery{ID: "m-" + j.ID, PublishTime: r.Now, Data: j.Body(), Attributes: map[string]string{"googclient_traceparent": trace}}
	if err := push(r.app.admit, d); err != nil {
		r.Fatalf("%v", err)
	}
}

// tree is the ended spans of a trace, each below its parent, with verdict, state and error.
func (r *recording) tree(trace string) string {
	spans := slices.DeleteFunc(r.spans.Ended(), func(s sdktrace.ReadOnlySpan) bool { return s.SpanContext().TraceID().String() != trace })
	known := map[string]bool{}
	for _, s := range spans {
		known[s.SpanContext().SpanID().String()] = true
	}
	slices.SortFunc(spans, func(a, b sdktrace.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) })
	var out strings.Builder
	var show func(parent, indent string)
	show = func(parent, indent string) {
		for _, s := range spans {
			if of := s.Parent().SpanID().String(); of != parent && (parent != "" || known[of]) {
				continue
			}
			line := indent + s.Name()
			for _, a := range s.Attributes() {
				if key := string(a.Key); key == "berth.verdict" || key == "berth.state" || key == "error.type" {
					line += " " + a.Value.AsString()
				}
			}
			if parent == "" {
				line = strings.Replace(line, s.Name(), s.Name()+" of "+s.Parent().SpanID().String(), 1)
			}
			for _, l := range s.Links() {
				line += " linked " + r.nameOf(l.SpanContext.SpanID().String())
			}
			fmt.Fprintln(&out, line)
			show(s.SpanContext().SpanID().String(), indent+"  ")
		}
	}
	show("", "")
	return out.String()
}

func (r *recording) nameOf(id string) string {
	for _, s := range r.spans.Ended() {
		if s.SpanContext().SpanID().String() == id {
			return s.Name()
		}
	}
	return id
}

// A request that starts at once is one trace, from its publisher to each of its events.
func TestTraceOfARequest(t *testing.T) {
	r := record(t, deployed(t))
	d := message.Delivery{ID: "m1", PublishTime: r.Now, Data: oneCPU.Body(), Attributes: map[string]string{"googclient_traceparent": publisherSpan}}
	if w := postWith(r.app.admit, d.Push(), "traceparent: 00-"+requestTrace+"-b7ad6b7169203331-01"); w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	const want = `admit of 2222222222222222 linked b7ad6b7169203331
  decide admit SUBMITTING
    commit
    vertex resource
    vertex list
    vertex resource
    commit
  submit SUBMITTED
    vertex create
    commit
  publish
  commit
`
	if got := r.tree(publisherTrace); got != want {
		t.Errorf("the spans are\n%swant\n%s", got, want)
	}
	if n := len(r.spans.Started()) - len(r.spans.Ended()); n != 0 {
		t.Errorf("%d spans have not ended", n)
	}
	for _, line := range append(r.logged("decision"), r.logged("submitted")...) {
		if line["logging.googleapis.com/trace"] != "projects/test-project/traces/"+publisherTrace || line["request_trace"] != "projects/test-project/traces/"+requestTrace ||
			r.nameOf(fmt.Sprint(line["logging.googleapis.com/spanId"])) == line["logging.googleapis.com/spanId"] {
			t.Errorf("the record %v is shown with another span", line)
		}
	}
	r.carried("a", publisherTrace, 2)
}

// carried checks that so many events of a request carry a trace, each from its publication.
func (r *recording) carried(id, trace string, n int) {
	r.Helper()
	events := slices.DeleteFunc(r.Out.All(), func(o message.Outcome) bool { return o.RequestID != id })
	if len(events) != n {
		r.Errorf("%d events of %s, want %d", len(events), id, n)
	}
	for _, e := range events {
		_, attributes, err := e.PubSub(message.Source{Project: "p", Deployment: "d"})
		if err != nil {
			r.Fatalf("%v", err)
		}
		sc := telemetry.OfMessage(attributes)
		if sc.TraceID().String() != trace || r.nameOf(sc.SpanID().String()) != "publish" || attributes["ce-traceparent"] != attributes["googclient_traceparent"] {
			r.Errorf("event %s carries %v of %s", e.Type, attributes, r.nameOf(sc.SpanID().String()))
		}
	}
}

// What later ticks of other instances do for a request belongs to its trace, and links the
// tick. A pass that does nothing for a request makes one span.
func TestTraceOfARequestThatWaits(t *testing.T) {
	const first, second = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1111111111111111-01", "00-bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-1111111111111111-01"
	r := record(t, deployed(t))
	r.send(allCPU, first)
	r.send(oneCPU, second)
	if r.State("a") != lifecycle.Waiting {
		t.Fatal(r.State("a"))
	}
	r.restart()
	r.Vertex.SetJob(r.JobOf("first"), vertex.JobSucceeded)
	r.After(time.Minute)
	if got, want := r.tree(strings.Repeat("b", 32)), `admit of 1111111111111111
  decide wait WAITING
    commit
  publish
  commit
  decide admit SUBMITTING linked reconcile
  submit SUBMITTED linked reconcile
    vertex create
    commit
  publish linked reconcile
`; got != want {
		t.Errorf("the spans are\n%swant\n%s", got, want)
	}
	r.carried("a", strings.Repeat("b", 32), 3)
	r.carried("first", strings.Repeat("a", 32), 3)
	before := len(r.spans.Ended())
	r.After(time.Minute)
	if idle := r.spans.Ended()[before:]; len(idle) != 1 || idle[0].Name() != "reconcile" {
		t.Errorf("an idle tick makes the spans %v", idle)
	}
}

// An event that the instance which decided could not publish is published by another, in
// the trace of its request.
func TestTraceSurvivesTheInstance(t *testing.T) {
	r := record(t, deployed(t))
	r.Out.Fail = func() (bool, bool) { return true, false }
	r.send(oneCPU, publisherSpan)
	if got := r.tree(publisherTrace); !strings.Contains(got, "publish FAILED\n") {
		t.Errorf("the publication that failed is not shown:\n%s", got)
	}
	if lines := r.logged("publish_failed"); len(lines) != 1 || lines[0]["severity"] != "WARNING" || lines[0]["@type"] != nil {
		t.Errorf("the log says %v", lines)
	}
	r.Out.Fail = nil
	r.restart()
	r.After(time.Minute)
	r.carried("a", publisherTrace, 2)
	if got := r.tree(publisherTrace); !strings.HasSuffix(got, "  publish linked reconcile\n") {
		t.Errorf("the spans are\n%s", got)
	}
}

// Steps that fail say so by the kind of their error, never by its text.
func TestSpansOfFailures(t *testing.T) {
	for kind, want := range map[vertex.Kind]string{
		vertex.Permanent: "submit FAILED\n    vertex create PERMANENT", vertex.Transient: "submit WAITING\n    vertex create TRANSIENT",
		vertex.RateLimited: "submit RESERVED\n    vertex create RATE_LIMITED", vertex.Denied: "submit RESERVED\n    vertex create DENIED",
		vertex.Unclear: "submit UNCLEAR\n    vertex create UNCLEAR",
	} {
		r := record(t, deployed(t))
		decline(r.World, kind)
		r.send(oneCPU, publisherSpan)
		if got := r.tree(publisherTrace); !strings.Contains(got, want) {
			t.Errorf("%s: the spans are\n%s", kind, got)
		}
	}
	r := record(t, deployed(t))
	r.Ledger.Fault = func(string) ledger.Fault { return ledger.FailRead }
	post(r.app.admit, message.Delivery{ID: "m", Data: oneCPU.Body(), Attributes: map[string]string{"traceparent": publisherSpan}}.Push())
	if got := r.tree(publisherTrace); !strings.HasPrefix(got, "admit of 2222222222222222 FAILED") {
		t.Errorf("the spans are\n%s", got)
	}
	r = record(t, deployed(t))
	r.Vertex.Fault = func(string, string) vertex.Fault { panic("a bug") }
	post(r.app.admit, message.Delivery{ID: "m", Data: oneCPU.Body(), Attributes: map[string]string{"traceparent": publisherSpan}}.Push())
	if got := r.tree(publisherTrace); !strings.HasPrefix(got, "admit of 2222222222222222 PANIC") {
		t.Errorf("the spans of a panic are\n%s", got)
	}
}

// A cancel belongs to the trace of its own message; what becomes of the request, to that
// of the request. So does the answer to a message that makes none.
func TestTracesOfOtherMessages(t *testing.T) {
	const other = "00-cccccccccccccccccccccccccccccccc-1111111111111111-01"
	r := record(t, deployed(t))
	r.send(oneCPU, publisherSpan)
	for i, data := range []string{`{"cancel":{"requestId":"a"}}`, `{"cancel":`} {
		if err := push(r.app.admit, message.Delivery{ID: fmt.Sprint("c", i), PublishTime: r.Now, Data: []byte(data), Attributes: map[string]string{"traceparent": other}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.tree(publisherTrace); !strings.Contains(got, "cancel linked admit\n    vertex cancel\n") {
		t.Errorf("the request's spans are\n%s", got)
	}
	r.carried("a", publisherTrace, 3)
	if o := r.Out.Last("c1"); o.Type != message.Refused || telemetry.Parse(o.Trace).TraceID().String() != strings.Repeat("c", 32) {
		t.Errorf("the answer carries %q: %+v", o.Trace, o)
	}
}

// Without a collector an event carries on what its publisher sent, and a record without a
// trace is stored as it ever was.
func TestTraceWithoutSpans(t *testing.T) {
	s := deployed(t)
	r := &recording{site: s}
	r.restart()
	r.send(oneCPU, publisherSpan)
	r.send(sim.Job{ID: "b", CPU: 1}, "canary")
	if err := push(r.app.admit, message.Delivery{ID: "m", PublishTime: r.Now, Data: []byte("{"), Attributes: map[string]string{"traceparent": publisherSpan}}); err != nil {
		t.Fatal(err)
	}
	if o := s.Out.Last("m"); o.Type != message.Refused || o.Trace != publisherSpan {
		t.Errorf("the answer carries %q: %+v", o.Trace, o)
	}
	for id, want := range map[string]string{"a": publisherSpan, "b": ""} {
		for _, e := range s.Out.All() {
			_, attributes, err := e.PubSub(message.Source{Project: "p", Deployment: "d"})
			if err != nil {
				t.Fatal(err)
			}
			if e.RequestID == id && (attributes["googclient_traceparent"] != want || attributes["ce-traceparent"] != want) {
				t.Errorf("%s of %s carries %v", e.Type, id, attributes)
			}
		}
		text, err := json.Marshal(s.Record(id))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), `"trace"`) != (want != "") || bytes.Contains(text, []byte(canary)) {
			t.Errorf("%s is stored as %s", id, text)
		}
	}
}

// counted is all counts as text.
func (r *recording) counted() string {
	r.Helper()
	var all metricdata.ResourceMetrics
	if err := r.counts.Collect(context.Background(), &all); err != nil {
		r.Fatalf("%v", err)
	}
	text, err := json.Marshal(all.ScopeMetrics)
	if err != nil {
		r.Fatalf("%v", err)
	}
	return string(text)
}

// sent is where at a collector a request is sent to before its entry point returns, in
// order; @URL@ in a pair is the collector's.
func sent(t *testing.T, pairs ...string) string {
	t.Helper()
	var mu sync.Mutex
	var paths []string
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		paths = append(paths, r.URL.Path)
	}))
	t.Cleanup(web.Close)
	for i := range pairs {
		pairs[i] = strings.Replace(pairs[i], "@URL@", web.URL, 1)
	}
	listen(t).open(t, pairs...).post(t, oneCPU)
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(paths)
	return strings.Join(paths, " ")
}

// Every span with its attributes.
func TestTelemetryPageListsTheSpans(t *testing.T) {
	page := map[string]bool{}
	for _, row := range table(t, "deploy/telemetry.md", "span |") {
		for _, name := range quoted.FindAllStringSubmatch(row[0]+row[2], -1) {
			page[name[1]] = true
		}
	}
	made := map[string]bool{}
	for _, span := range secretive(t).spans.Ended() {
		made[span.Name()] = true
		for _, a := range span.Attributes() {
			if strings.HasPrefix(string(a.Key), "berth.") {
				made[string(a.Key)] = true
			}
		}
	}
	for name := range made {
		if !page[name] {
			t.Errorf("the page does not name %s", name)
		}
	}
	for name := range page {
		if strings.Contains(name, " ") && !made[name] && name != "vertex get" && name != "vertex cancel" {
			t.Errorf("the page names %s, which no span has", name)
		}
	}
}

// Cloud Run tells an instance that it ends. What it has counted since it last sent its
// counts is sent then, and after that the process ends.
func TestInstanceThatEndsSendsItsCounts(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }))
	t.Cleanup(collector.Close)
	recorder, exporter, err := export.Open(t.Context(), export.Settings{Metrics: collector.URL + "/v1/metrics", Interval: time.Hour, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		recorder.Decision(t.Context(), "admit", "")
		exporter.Flush(t.Context())
	}
	if calls.Load() != 1 {
		t.Fatalf("%d exports within the interval", calls.Load())
	}
	ending, term := context.WithCancel(t.Context())
	term()
	atEnd := int64(0)
	(&App{export: exporter}).untilEnd(ending, func() { atEnd = calls.Load() })
	if atEnd != 2 {
		t.Errorf("the process ends after %d exports, want 2", atEnd)
	}
}
