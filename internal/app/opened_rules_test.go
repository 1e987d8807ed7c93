package app

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"example.com/berth/internal/message"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/telemetry/export"
	"example.com/berth/internal/vertex"
)

// A collector keeps what is sent to it, by path.
type collector struct {
	url string

	mu   sync.Mutex
	sent map[string][]string // bodies
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{sent: map[string][]string{}}
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sent[r.URL.Path] = append(c.sent[r.URL.Path], string(body))
	}))
	t.Cleanup(web.Close)
	c.url = web.URL
	return c
}

// of returns the bodies that were sent to a path.
func (c *collector) of(path string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.sent[path])
}

// bad is a delivery of a message that cannot be read, which is answered and recorded.
func bad(id string) []byte { return message.Delivery{ID: id, Data: []byte("{")}.Push() }

// TestOpenedAppRecordsEverything: the spans of the entry points and of the controller, and
// the counts of the controller and of the ledger, all reach the collector.
func TestOpenedAppRecordsEverything(t *testing.T) {
	c := newCollector(t)
	listen(t).open(t, "BERTH_LEDGER=firestore", "OTEL_EXPORTER_OTLP_ENDPOINT="+c.url).post(t, oneCPU)
	traces, metrics := strings.Join(c.of("/v1/traces"), ""), strings.Join(c.of("/v1/metrics"), "")
	for _, span := range []string{"admit", "decide", "commit", "vertex resource"} {
		if !strings.Contains(traces, span) {
			t.Errorf("no span %s is sent", span)
		}
	}
	if !strings.Contains(metrics, "berth.ledger.commits") {
		t.Error("the commits of the ledger are not counted")
	}
	c = newCollector(t)
	post(listen(t).open(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.url).app.admit, bad("m"))
	if metrics := strings.Join(c.of("/v1/metrics"), ""); !strings.Contains(metrics, "berth.decisions") {
		t.Error("the decisions of the controller are not counted")
	}
}

// TestTickOfAnOpenedApp: a deployed instance knows the time, and answers a tick.
func TestTickOfAnOpenedApp(t *testing.T) {
	s := listen(t).open(t)
	for age, want := range map[time.Duration]bool{0: true, 2 * time.Minute: false} {
		w := post(s.app.reconcile, message.Delivery{ID: "t", PublishTime: time.Now().Add(-age)}.Push())
		if w.Code != http.StatusOK || strings.Contains(w.Body.String(), `"passes":1`) != want {
			t.Errorf("a tick of %s ago is answered %d %s; a pass: want %t", age, w.Code, w.Body, want)
		}
	}
}

// TestDiskTypeOfAnOpenedApp: a pool that shows no disk has the disk type of the deployment,
// so that a job with that type fits.
func TestDiskTypeOfAnOpenedApp(t *testing.T) {
	for _, disk := range []string{"pd-standard", "hyperdisk-balanced"} {
		outside := listen(t)
		s := outside.open(t, "BERTH_DISK_TYPE="+disk)
		s.post(t, oneCPU)
		if _, text := s.get("/pools?resource=pool"); !strings.Contains(text, disk) {
			t.Errorf("BERTH_DISK_TYPE=%s: Status shows %s", disk, text)
		}
		if !outside.called("CreateCustomJob") {
			t.Errorf("BERTH_DISK_TYPE=%s: a job without a disk is not submitted", disk)
		}
	}
}

// TestNewSaysWhatCannotBeMade: what cannot work is an error of the opening, which names the
// part, and no App that fails at its first request.
func TestNewSaysWhatCannotBeMade(t *testing.T) {
	c := settings(t, "BERTH_LEDGER=memory", "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1")
	c.TracesSampler = "xray"
	if a, err := New(t.Context(), c); a != nil || err == nil || !strings.HasPrefix(err.Error(), "make exporter of traces and metrics: ") {
		t.Errorf("with a sampler that does not exist: %v, %v", a, err)
	}
	c = settings(t, "BERTH_LEDGER=memory")
	c.OutcomeTopic = ""
	if a, err := New(t.Context(), c); a != nil || err == nil || !strings.HasPrefix(err.Error(), "make publisher: ") {
		t.Errorf("without a topic: %v, %v", a, err)
	}
	c = settings(t)
	c.Project = ""
	if a, err := New(t.Context(), c); a != nil || err == nil || !strings.HasPrefix(err.Error(), "open ledger: ") {
		t.Errorf("without a project: %v, %v", a, err)
	}
}

// TestWhereTracesAndMetricsGo: the general endpoint is that of a server, one for a kind has
// its path; gRPC needs none.
func TestWhereTracesAndMetricsGo(t *testing.T) {
	t.Setenv("K_SERVICE", "berth-admit")
	t.Setenv("K_REVISION", "berth-admit-00007-abc")
	const general, traces, metrics, protocol = "OTEL_EXPORTER_OTLP_ENDPOINT=", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=", "OTEL_EXPORTER_OTLP_PROTOCOL="
	for _, test := range []struct {
		pairs           []string
		traces, metrics string
		grpc            bool
	}{
		{nil, "", "", false},
		{[]string{general + "http://c:4318"}, "http://c:4318/v1/traces", "http://c:4318/v1/metrics", false},
		{[]string{general + "http://c:4318/"}, "http://c:4318/v1/traces", "http://c:4318/v1/metrics", false},
		{[]string{general + "http://c:4318/below/"}, "http://c:4318/below/v1/traces", "http://c:4318/below/v1/metrics", false},
		{[]string{traces + "http://c:4318/x/"}, "http://c:4318/x/", "", false},
		{[]string{metrics + "http://c:4318/y/"}, "", "http://c:4318/y/", false},
		{[]string{traces + "http://c/x", metrics + "http://d/y"}, "http://c/x", "http://d/y", false},
		{[]string{general + "http://c", traces + "http://d/x"}, "http://d/x", "http://c/v1/metrics", false},
		{[]string{general + "http://c", metrics + "http://d/y"}, "http://c/v1/traces", "http://d/y", false},
		{[]string{general + "http://c:4317"}, "http://c:4317", "http://c:4317", true},
		{[]string{metrics + "http://c:4317"}, "", "http://c:4317", true},
		{[]string{traces + "http://c:4318", metrics + "http://d:4317"}, "http://c:4318", "http://d:4317", false}, // the traces decide
		{[]string{traces + "http://c:4317", metrics + "http://d:4318"}, "http://c:4317", "http://d:4318", true},
		{[]string{general + "http://c:4317", protocol + "http/protobuf"}, "http://c:4317/v1/traces", "http://c:4317/v1/metrics", false},
		{[]string{general + "http://c:4318", protocol + "grpc"}, "http://c:4318", "http://c:4318", true},
	} {
		got, err := settings(t, append(test.pairs, "BERTH_PROJECT=other-project", "OTEL_METRIC_EXPORT_INTERVAL=1500")...).exports()
		want := export.Settings{Traces: test.traces, Metrics: test.metrics, GRPC: test.grpc, Project: "other-project",
			Service: "berth-admit", Version: "berth-admit-00007-abc", Interval: 1500 * time.Millisecond}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(export.Settings{}, "Sampler")); err != nil || diff != "" {
			t.Errorf("%v: %v (-want +got):\n%s", test.pairs, err, diff)
		}
		if got.Sampler == nil || got.Sampler.Description() != "ParentBased{root:AlwaysOnSampler,remoteParentSampled:AlwaysOnSampler,remoteParentNotSampled:AlwaysOffSampler,localParentSampled:AlwaysOnSampler,localParentNotSampled:AlwaysOffSampler}" {
			t.Errorf("%v: the sampler is %v", test.pairs, got.Sampler)
		}
		off, err := settings(t, append(test.pairs, "OTEL_SDK_DISABLED=true")...).exports()
		if err != nil || off.Traces != "" || off.Metrics != "" {
			t.Errorf("%v, and off: %+v, %v", test.pairs, off, err)
		}
	}
	if gRPCPort("http://a b:4317") {
		t.Error("what is no URL has the port of gRPC")
	}
	// The exporter's warnings go to the log of the instance.
	var b bytes.Buffer
	_, exporter, err := settings(t, general+"http://127.0.0.1:1").telemetry(t.Context(), newLogger(&b, slog.LevelInfo))
	if err != nil || exporter == nil {
		t.Fatal(exporter, err)
	}
	if exporter.Last(t.Context()); !strings.Contains(b.String(), "telemetry_failed") {
		t.Errorf("a collector that is not there is logged as %q", &b)
	}
}

// TestVersionOf: the commit counts, or else the version of a module; a build that knows
// neither says so.
func TestVersionOf(t *testing.T) {
	build := func(main string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: main}, Settings: settings}
	}
	flags, commit := debug.BuildSetting{Key: "-buildmode", Value: "exe"}, debug.BuildSetting{Key: "vcs.revision", Value: "abc"}
	for want, infos := range map[string][]*debug.BuildInfo{
		"abc":     {build("", commit), build("v1.2.3", flags, commit), build("(devel)", flags, commit, flags)},
		"v1.2.3":  {build("v1.2.3"), build("v1.2.3", flags, flags)},
		"unknown": {build(""), build("(devel)"), build("(devel)", flags, flags), build("", debug.BuildSetting{Value: "abc"})},
	} {
		for _, info := range infos {
			if got := versionOf(info, true); got != want {
				t.Errorf("%+v: %q, want %q", info, got, want)
			}
		}
	}
	if got := versionOf(nil, false); got != "unknown" {
		t.Errorf("a build without information: %q", got)
	}
	if Version() == "" {
		t.Error("this build has no version")
	}
}

// ending says that this process is one that [TestInstanceEndsItself] starts.
const ending = "BERTH_TEST_ENDING"

// TestInstanceEndsItself: an instance that counts takes Cloud Run's signal, sends what it
// has counted, and then ends by the signal as if it had not taken it.
func TestInstanceEndsItself(t *testing.T) {
	if os.Getenv(ending) != "" {
		post(Admit, bad("m1"))
		post(Admit, bad("m2")) // within the interval: its counts are not sent yet
		_, _ = os.Stdout.WriteString("ready\n")
		time.Sleep(time.Minute)
		return
	}
	t.Parallel()
	c := newCollector(t)
	const nowhere = "127.0.0.1:1"
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestInstanceEndsItself$") // #nosec G204 G702 -- this test
	process.Env = append(os.Environ(), ending+"=1", "BERTH_PROJECT=test-project", "BERTH_REGIONS=us-central1", "BERTH_LEDGER=memory", "BERTH_EMULATORS=true",
		"PUBSUB_EMULATOR_HOST="+nowhere, "BERTH_VERTEX_ENDPOINT="+nowhere, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT="+c.url+"/m", "OTEL_METRIC_EXPORT_INTERVAL=3600000")
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(30*time.Second, func() { _ = process.Process.Kill() })
	defer late.Stop()
	text := ""
	for part := make([]byte, 1000); !strings.Contains(text, "ready\n"); {
		n, err := out.Read(part)
		if text += string(part[:n]); err != nil {
			t.Fatalf("%v after %s", err, text)
		}
	}
	if n := len(c.of("/m")); n != 1 {
		t.Errorf("%d exports within the interval, want 1", n)
	}
	if err := process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_, _ = io.ReadAll(out)
	_ = process.Wait()
	if status, is := process.ProcessState.Sys().(syscall.WaitStatus); !is || !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("the process ended with %v, want by SIGTERM", process.ProcessState)
	}
	if n := len(c.of("/m")); n != 2 {
		t.Errorf("%d exports when it has ended, want 2: the last with what it counted since", n)
	}
}

// TestPanicIsSent: the spans of a request that ends in a panic are sent before it is
// answered, as those of others; what was refused before any work sends nothing.
func TestPanicIsSent(t *testing.T) {
	c := newCollector(t)
	s := listen(t).open(t, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.url)
	s.app.log = slog.New(slog.DiscardHandler)
	w := httptest.NewRecorder()
	if s.app.admit(w, httptest.NewRequest(http.MethodGet, "/", nil)); w.Code != http.StatusMethodNotAllowed || len(c.of("/v1/traces"))+len(c.of("/v1/metrics")) > 0 {
		t.Errorf("a request by another method is answered %d, after %d exports", w.Code, len(c.of("/v1/traces"))+len(c.of("/v1/metrics")))
	}
	s.app.now = func() time.Time { panic("a bug") }
	if w := post(s.app.reconcile, message.Delivery{ID: "t"}.Push()); w.Code != http.StatusServiceUnavailable {
		t.Errorf("a panic is answered %d", w.Code)
	}
	if traces := strings.Join(c.of("/v1/traces"), ""); !strings.Contains(traces, "PANIC") || !strings.Contains(traces, reconcileSpan) {
		t.Errorf("the span of a panic is sent as %q", traces)
	}
}

// TestSpanOfATick says what a reconcile did, in the words of its report.
func TestSpanOfATick(t *testing.T) {
	r := record(t, deployed(t))
	r.Ask(sim.Job{ID: "first", CPU: 4})
	for _, id := range []string{"b", "c", "d", "e"} { // one learned, four started
		r.Ask(sim.Job{ID: id, CPU: 1})
	}
	r.Vertex.SetJob(r.JobOf("first"), vertex.JobSucceeded)
	w := post(r.app.reconcile, message.Delivery{ID: "t", PublishTime: r.Now}.Push())
	got := map[string]string{}
	for _, span := range r.spans.Ended() {
		if span.Name() == reconcileSpan {
			for _, a := range span.Attributes() {
				got[string(a.Key)] = a.Value.String()
			}
		}
	}
	if got["berth.started"] != "4" || got["berth.learned"] != "1" || got["berth.passes"] == "" || !strings.Contains(w.Body.String(), `"passes":`+got["berth.passes"]) || got["berth.state"]+got["berth.reason"]+got["error.type"] != "" {
		t.Errorf("the span of a tick that is answered %s has the attributes %v", w.Body, got)
	}
}
