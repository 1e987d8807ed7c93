package statuspage

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

var update = flag.Bool("update", false, "write the golden files")

const (
	parent = "projects/test-project/locations/us-central1"
	prName = parent + "/persistentResources/pool"
)

var (
	cpu = capacity.Spec{MachineType: "n1-standard-4"}.Normal()
	gpu = capacity.Spec{MachineType: "g2-standard-12", Accelerator: "NVIDIA_L4", AcceleratorCount: 1}.Normal()
)

// A world is the Status function over a real controller and the memory twins.
// Its clock moves only when a test moves it.
type world struct {
	t       *testing.T
	now     time.Time
	ledger  *ledger.Mem
	vertex  *vertex.Mem
	c       *controller.Controller
	info    Info
	handler http.Handler
	runs    atomic.Int64
	sent    int
}

type nowhere struct{}

func (nowhere) Publish(context.Context, ...message.Outcome) error { return nil }

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	clock := func() time.Time { return w.now }
	w.ledger, w.vertex = ledger.NewMem(clock), vertex.NewMem(clock)
	w.vertex.SetResource(prName, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{
		{ID: "cpu", Shape: cpu, Count: 4}, {ID: "gpu", Shape: gpu, Count: 2, Max: 4},
	}})
	cfg := controller.DefaultConfig()
	cfg.Policy.Plan.StartIn = cfg.StartTimeout // no job passes another in the hour that it has to start
	cfg.Project, cfg.Regions, cfg.DefaultResource = "test-project", []string{"us-central1", "europe-west4"}, "pool"
	w.c = controller.New(cfg, w.ledger, w.vertex, nowhere{}, slog.New(slog.DiscardHandler), controller.Env{
		Monotonic: clock,
		Sleep:     func(_ context.Context, d time.Duration) error { w.now = w.now.Add(d); return nil },
		NewRun:    func() string { return fmt.Sprintf("run%d", w.runs.Add(1)) },
	})
	w.info = Info{
		Project: cfg.Project, Regions: cfg.Regions, Deployment: cfg.Deployment, Version: "v1", Policy: cfg.Policy,
		DefaultResource: cfg.DefaultResource, RequestTopic: "berth-requests", OutcomeTopic: "berth-outcomes", Keep: cfg.Keep,
	}
	w.handler = New(w.c, w.ledger, w.info)
	return w
}

// job is the envelope of a request for n machines of a shape, with a secret in
// its container's environment.
func job(id string, shape capacity.Shape, n int, priority int) []byte {
	s := shape.Spec()
	machine := map[string]any{"machineType": s.MachineType}
	if s.Accelerator != "" {
		machine["acceleratorType"], machine["acceleratorCount"] = s.Accelerator, s.AcceleratorCount
	}
	env := map[string]any{"priority": priority, "job": map[string]any{"displayName": "train", "jobSpec": map[string]any{
		"workerPoolSpecs": []any{map[string]any{"machineSpec": machine, "replicaCount": n, "containerSpec": map[string]any{
			"imageUri": "gcr.io/p/image", "env": []any{map[string]any{"name": "TOKEN", "value": "hush-hush"}},
		}}},
	}}}
	if id != "" {
		env["requestId"] = id
	}
	data, _ := json.Marshal(env)
	return data
}

// send delivers a message and returns its id.
func (w *world) send(data []byte) string {
	w.t.Helper()
	return w.sendAs("default", data)
}

func (w *world) sendAs(tenant string, data []byte) string {
	w.t.Helper()
	w.sent++
	w.now = w.now.Add(time.Second)
	id := fmt.Sprint(100 + w.sent)
	if err := w.c.Handle(context.Background(), tenant, message.Delivery{ID: id, PublishTime: w.now, Data: data}); err != nil {
		w.t.Fatalf("Handle(%s): %v", id, err)
	}
	return id
}

// do makes a request and checks what holds for every answer.
func (w *world) do(method, path, body string) (int, string) {
	w.t.Helper()
	rr := httptest.NewRecorder()
	w.handler.ServeHTTP(rr, httptest.NewRequest(method, path, strings.NewReader(body)))
	text := rr.Body.String()
	if h := rr.Header(); h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" {
		w.t.Errorf("%s %s: headers %v", method, path, h)
	}
	if !json.Valid([]byte(text)) {
		w.t.Errorf("%s %s: no JSON: %s", method, path, text)
	}
	if strings.Contains(text, "hush-hush") {
		w.t.Errorf("%s %s shows an environment variable's value", method, path)
	}
	return rr.Code, text
}

// get decodes the answer of a GET that must succeed.
func get[T any](w *world, path string) (v T) {
	w.t.Helper()
	code, text := w.do("GET", path, "")
	if code != http.StatusOK {
		w.t.Fatalf("GET %s: %d %s", path, code, text)
	}
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields() // a client decodes into the same structs
	if err := dec.Decode(&v); err != nil {
		w.t.Fatalf("GET %s: %v in %s", path, err, text)
	}
	return v
}

// fails makes a request that must fail and returns its error.
func (w *world) fails(method, path, body string, status int) *Error {
	w.t.Helper()
	code, text := w.do(method, path, body)
	var f Failure
	if err := json.Unmarshal([]byte(text), &f); err != nil || f.Error == nil || code != status {
		w.t.Fatalf("%s %s: %d %s, want %d and an error", method, path, code, text, status)
	}
	return f.Error
}

// golden compares the answer of a GET with a file.
func (w *world) golden(name, path string) {
	w.t.Helper()
	_, text := w.do("GET", path, "")
	w.compare(name, text)
}

func (w *world) compare(name, text string) {
	w.t.Helper()
	var v any
	json.Unmarshal([]byte(text), &v) //nolint:errcheck // checked by do
	got, _ := json.MarshalIndent(v, "", "  ")
	got = append(got, '\n')
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
