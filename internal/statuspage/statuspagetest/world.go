// Package statuspagetest makes a busy deployment in memory, for tests that look at the
// pages of the Status function: two persistent resources after a day of work, with jobs
// of Berth's and others', a queue with reservations, failures and a paused pool. The real
// controller makes it, over the memory twins of ledger and Vertex AI, and it is the same
// every time.
package statuspagetest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/statuspage"
	"example.com/berth/internal/vertex"
)

// Project is that of the deployment.
const Project = "ml-platform"

// Parents of the persistent resources, and their full names.
const (
	Iowa        = "projects/" + Project + "/locations/us-central1"
	Netherlands = "projects/" + Project + "/locations/europe-west4"
	Training    = Iowa + "/persistentResources/training"
	Batch       = Netherlands + "/persistentResources/batch"
)

// End is the moment that the world shows.
var End = time.Date(2026, 11, 27, 14, 3, 20, 0, time.UTC)

// Shapes of the pools.
var (
	A100   = capacity.Spec{MachineType: "a2-highgpu-8g", Accelerator: "NVIDIA_TESLA_A100", AcceleratorCount: 8, DiskSizeGB: 500}.Normal()
	L4     = capacity.Spec{MachineType: "g2-standard-12", Accelerator: "NVIDIA_L4", AcceleratorCount: 1}.Normal()
	CPU    = capacity.Spec{MachineType: "n1-standard-8"}.Normal()
	Memory = capacity.Spec{MachineType: "n1-highmem-16", DiskType: "pd-standard", DiskSizeGB: 200}.Normal()
)

// A World is a deployment with its Status function. Its clock moves only when a test
// moves it.
type World struct {
	T      testing.TB
	Now    time.Time
	Ledger *ledger.Mem
	Vertex *vertex.Mem
	// Info may be changed before Handler is called.
	Info statuspage.Info

	controller *controller.Controller
	runs       *atomic.Int64
	sent       int
	pools      map[string][]capacity.Pool
	hidden     map[string]capacity.Use // machines in use by no job that is listed
	ends       map[string]end          // of jobs, by the id of their requests
}

// An end is how a job ends, and how long after its start.
type end struct {
	after time.Duration
	state vertex.JobState
}

type nowhere struct{}

func (nowhere) Publish(context.Context, ...message.Outcome) error { return nil }

// Empty makes a deployment that has received nothing.
func Empty(t testing.TB) *World {
	w := &World{T: t, Now: End, runs: new(atomic.Int64), hidden: map[string]capacity.Use{}, ends: map[string]end{}, pools: map[string][]capacity.Pool{
		Training: {{ID: "a100", Shape: A100, Count: 4}, {ID: "l4", Shape: L4, Count: 6, Max: 10}, {ID: "cpu-a", Shape: CPU, Count: 8}, {ID: "cpu-b", Shape: CPU, Count: 4}},
		Batch:    {{ID: "mem-a", Shape: Memory, Count: 3}, {ID: "mem-b", Shape: Memory, Count: 2}},
	}}
	clock := func() time.Time { return w.Now }
	w.Ledger, w.Vertex = ledger.NewMem(clock), vertex.NewMem(clock)
	cfg := controller.DefaultConfig()
	cfg.Project, cfg.Regions, cfg.DefaultResource = Project, []string{"us-central1", "europe-west4"}, "training"
	w.controller = controller.New(cfg, w.Ledger, w.Vertex, nowhere{}, slog.New(slog.DiscardHandler), controller.Env{
		Monotonic: clock,
		Sleep:     func(_ context.Context, d time.Duration) error { w.Now = w.Now.Add(d); return nil },
		NewRun:    func() string { return fmt.Sprintf("run%d", w.runs.Add(1)) },
	})
	w.Info = statuspage.Info{
		Project: Project, Regions: cfg.Regions, Deployment: "production", Version: "v1.4.0", Policy: cfg.Policy,
		DefaultResource: cfg.DefaultResource, RequestTopic: "berth-requests", OutcomeTopic: "berth-outcomes", Keep: cfg.Keep, AllTenants: true,
	}
	w.setPools()
	return w
}

// Handler is the Status function for programs.
func (w *World) Handler() http.Handler { return statuspage.New(w.controller, w.Ledger, w.Info) }

// setPools reports the pools with the machines in use.
func (w *World) setPools() {
	for name, pools := range w.pools {
		n, _ := vertex.ParseName(name)
		use := capacity.Use{}
		for _, j := range w.Vertex.Jobs() {
			if of, ok := vertex.ParseName(j.Name); ok && !j.State.Ended() && j.State != vertex.JobPending && of.Parent() == n.Parent() && j.PersistentResource == n.ID() {
				use.Add(j.Ask)
			}
		}
		for shape, more := range w.hidden[name] {
			use[shape] += more
		}
		now := vertex.Resource{State: vertex.Running, CreateTime: End.Add(-400 * time.Hour)}
		for _, p := range pools {
			p.Used = min(use[p.Shape], p.Limit())
			use[p.Shape] -= p.Used
			p.Count = max(p.Count, p.Used)
			now.Pools = append(now.Pools, p)
		}
		w.Vertex.SetResource(name, now)
	}
}

// Pass moves the clock, lets Vertex AI start and end jobs, and has the controller look.
func (w *World) Pass(d time.Duration) {
	w.T.Helper()
	w.Now = w.Now.Add(d)
	requests := map[message.Key]string{}
	for _, rec := range w.Ledger.Records() {
		requests[rec.Key] = rec.ID
	}
	for _, j := range w.Vertex.Jobs() {
		id := requests[j.Request]
		switch e, known := w.ends[id]; {
		case j.State == vertex.JobPending:
			w.Vertex.SetJob(j.Name, vertex.JobRunning)
		case known && j.State == vertex.JobRunning && w.Now.Sub(j.StartTime) >= e.after:
			w.Vertex.SetJob(j.Name, e.state)
		}
	}
	w.setPools()
	if _, err := w.controller.Reconcile(w.T.Context(), "tick", 0); err != nil {
		w.T.Fatal(err)
	}
}

// A Job is a request to send.
type Job struct {
	ID, Tenant, Name string
	Resource         string // "" for the default one
	Shape            capacity.Shape
	Replicas         int
	Priority         int
	Limit, Runs      time.Duration // its time limit, and how long it runs
	End              vertex.JobState
	Labels           map[string]string
}

// Send publishes a request.
func (w *World) Send(j Job) {
	w.T.Helper()
	s := j.Shape.Spec()
	machine := map[string]any{"machineType": s.MachineType}
	if s.Accelerator != "" {
		machine["acceleratorType"], machine["acceleratorCount"] = s.Accelerator, s.AcceleratorCount
	}
	spec := map[string]any{"workerPoolSpecs": []any{map[string]any{
		"machineSpec": machine, "replicaCount": j.Replicas, "diskSpec": map[string]any{"bootDiskType": s.DiskType, "bootDiskSizeGb": s.DiskSizeGB},
		"containerSpec": map[string]any{"imageUri": "europe-docker.pkg.dev/" + Project + "/train/main"},
	}}}
	if j.Limit > 0 {
		spec["scheduling"] = map[string]any{"timeout": fmt.Sprintf("%ds", int(j.Limit.Seconds()))}
	}
	envelope := map[string]any{"requestId": j.ID, "priority": j.Priority, "job": map[string]any{"displayName": j.Name, "labels": j.Labels, "jobSpec": spec}}
	if j.Resource != "" {
		envelope["persistentResource"] = j.Resource
	}
	if j.Runs > 0 {
		w.ends[j.ID] = end{j.Runs, j.End}
	}
	tenant := j.Tenant
	if tenant == "" {
		tenant = "default"
	}
	data, err := json.Marshal(envelope)
	if err != nil {
		w.T.Fatal(err)
	}
	w.Deliver(tenant, data)
}

// Deliver delivers a message of a tenant, a second later.
func (w *World) Deliver(tenant string, data []byte) {
	w.T.Helper()
	w.sent++
	w.Now = w.Now.Add(time.Second)
	d := message.Delivery{ID: fmt.Sprint(9000000 + w.sent), PublishTime: w.Now.Add(-300 * time.Millisecond), Data: data}
	if err := w.controller.Handle(w.T.Context(), tenant, d); err != nil {
		w.T.Fatalf("%s: %v", data, err)
	}
}

// Operate delivers an operator's message.
func (w *World) Operate(data string) {
	w.T.Helper()
	w.sent++
	w.Now = w.Now.Add(time.Second)
	d := message.Delivery{ID: fmt.Sprint(9000000 + w.sent), PublishTime: w.Now, Data: []byte(data), Subscription: "projects/" + Project + "/subscriptions/berth-operators"}
	if err := w.controller.Operate(w.T.Context(), d); err != nil {
		w.T.Fatalf("%s: %v", data, err)
	}
}
