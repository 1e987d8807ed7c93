package gcp

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
	"example.com/berth/internal/vertex/fakevertex"
)

const (
	parent   = "projects/my-project/locations/us-central1"
	numbered = "projects/123456789012/locations/us-central1"
	pool     = parent + "/persistentResources/pool"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A world is a fake Vertex AI, its clock, and the client that is tested.
type world struct {
	*fakevertex.Server
	*Vertex
	clock *fakevertex.ManualClock
}

func newWorld(t *testing.T, o VertexOptions, change func(*fakevertex.Behaviour)) world {
	t.Helper()
	b := fakevertex.DefaultBehaviour()
	if change != nil {
		change(&b)
	}
	w := world{clock: fakevertex.NewManualClock(start)}
	w.Server = fakevertex.New(fakevertex.Options{
		Clock: w.clock, Behaviour: &b, Projects: map[string]string{"my-project": "123456789012"}, Seed: 1,
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- w.Serve(listener) }()
	o.Endpoint, o.Insecure = func(string) string { return listener.Addr().String() }, true
	if w.Vertex, err = NewVertex(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Vertex.Close(); err != nil {
			t.Error(err)
		}
		w.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	if _, err := w.AddResource(&aiplatformpb.PersistentResource{
		Name:           pool,
		EncryptionSpec: &aiplatformpb.EncryptionSpec{KmsKeyName: "key"},
		Network:        "projects/7/global/networks/net",
		ResourceRuntimeSpec: &aiplatformpb.ResourceRuntimeSpec{
			ServiceAccountSpec: &aiplatformpb.ServiceAccountSpec{EnableCustomServiceAccount: true},
		},
		ResourcePools: []*aiplatformpb.ResourcePool{
			{Id: "cpu", MachineSpec: &aiplatformpb.MachineSpec{MachineType: "n1-standard-4"}, ReplicaCount: proto.Int64(3)},
			{Id: "gpu", MachineSpec: gpuSpec(), DiskSpec: &aiplatformpb.DiskSpec{BootDiskSizeGb: 200},
				AutoscalingSpec: &aiplatformpb.ResourcePool_AutoscalingSpec{MinReplicaCount: proto.Int64(1), MaxReplicaCount: proto.Int64(4)}},
		},
	}); err != nil {
		t.Fatal(err)
	}
	return w
}

func gpuSpec() *aiplatformpb.MachineSpec {
	return &aiplatformpb.MachineSpec{MachineType: "n1-standard-8", AcceleratorType: aiplatformpb.AcceleratorType_NVIDIA_TESLA_T4, AcceleratorCount: 2}
}

var (
	cpuShape = capacity.Spec{MachineType: "n1-standard-4", DiskType: "pd-ssd", DiskSizeGB: 100}.Normal()
	gpuShape = capacity.Spec{MachineType: "n1-standard-8", Accelerator: "NVIDIA_TESLA_T4", AcceleratorCount: 2, DiskType: "pd-ssd", DiskSizeGB: 200}.Normal()
)

var requestKey = message.KeyOf("default", message.KindRequest, "a")

// job makes a job for the cpu pool.
func job(run string, replicas int64) *aiplatformpb.CustomJob {
	return &aiplatformpb.CustomJob{
		DisplayName:    "job",
		EncryptionSpec: &aiplatformpb.EncryptionSpec{KmsKeyName: "key"},
		Labels:         map[string]string{vertex.LabelRun: run, vertex.LabelRequest: string(requestKey), vertex.LabelDeployment: "d", "fake-run": "1h"},
		JobSpec: &aiplatformpb.CustomJobSpec{
			PersistentResourceId: "pool", Network: "projects/7/global/networks/net", ServiceAccount: "account@p.iam.gserviceaccount.com",
			WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{{
				MachineSpec: &aiplatformpb.MachineSpec{MachineType: "n1-standard-4"}, ReplicaCount: replicas,
				Task: &aiplatformpb.WorkerPoolSpec_ContainerSpec{ContainerSpec: &aiplatformpb.ContainerSpec{ImageUri: "image"}},
			}},
		},
	}
}

func (w world) create(t *testing.T, run string, replicas int64) vertex.Job {
	t.Helper()
	j, err := w.Create(t.Context(), parent, job(run, replicas))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestVertexJob(t *testing.T) {
	w := newWorld(t, VertexOptions{}, nil)
	created := w.create(t, "run-1", 2)
	want := vertex.Job{
		Name: created.Name, State: vertex.JobPending, Run: "run-1", Request: requestKey, Deployment: "d", PersistentResource: "pool",
		Ask: capacity.Ask{{Shape: cpuShape, Replicas: 2}}, CreateTime: start,
	}
	if diff := cmp.Diff(want, created); diff != "" || !strings.HasPrefix(created.Name, numbered+"/customJobs/") {
		t.Errorf("%s: want -, got +:\n%s", created.Name, diff)
	}
	w.clock.Advance(10 * time.Second)
	got, err := w.Get(t.Context(), created.Name)
	want.State, want.StartTime = vertex.JobRunning, start.Add(150*time.Millisecond)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v: want -, got +:\n%s", err, diff)
	}
	if err := w.Cancel(t.Context(), created.Name); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(10 * time.Second)
	got, err = w.Get(t.Context(), created.Name)
	want.State, want.EndTime = vertex.JobCancelled, start.Add(12500*time.Millisecond)
	want.Error = &message.JobError{Code: 1, Message: "CANCELED"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v: want -, got +:\n%s", err, diff)
	}
	// Cancelling what has ended is no error, whatever the server says.
	for _, code := range []codes.Code{codes.OK, codes.FailedPrecondition, codes.InvalidArgument} {
		if code != codes.OK {
			w.FaultOnce("CancelCustomJob", fakevertex.FailBefore(code, "The CustomJob has ended."))
		}
		if err := w.Cancel(t.Context(), created.Name); err != nil {
			t.Errorf("cancel of an ended job, answered %v: %v", code, err)
		}
	}
	// But for a live one it is.
	live := w.create(t, "run-2", 1)
	w.FaultOnce("CancelCustomJob", fakevertex.FailBefore(codes.FailedPrecondition, "no"))
	if err := w.Cancel(t.Context(), live.Name); vertex.KindOf(err) != vertex.Transient {
		t.Errorf("cancel that was refused: %v", err)
	}
}

func TestVertexLists(t *testing.T) {
	w := newWorld(t, VertexOptions{}, func(b *fakevertex.Behaviour) { b.SubmitPerMinute, b.OtherPerMinute = 0, 0 })
	const jobs = 2*vertex.PageSize + 1
	var names []string
	for i := range jobs {
		names = append(names, w.create(t, fmt.Sprintf("run-%d", i%100), 1).Name)
		w.clock.Advance(time.Millisecond)
	}
	if err := w.Cancel(t.Context(), names[0]); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Minute)
	before := w.RPCs()["ListCustomJobs"]
	live, err := w.Live(t.Context(), parent)
	if err != nil || len(live) != jobs-1 || slices.ContainsFunc(live, func(j vertex.Job) bool { return j.Name == names[0] || j.State.Ended() }) {
		t.Fatalf("%d live jobs, %v; want all %d that have not ended", len(live), err, jobs-1)
	}
	if calls := w.RPCs()["ListCustomJobs"] - before; calls != 2 {
		t.Errorf("%d calls for %d jobs", calls, jobs-1)
	}
	if live[0].Ask.Replicas() != 1 || live[0].Run == "" || live[0].CreateTime.IsZero() {
		t.Errorf("a listed job lacks something: %+v", live[0])
	}
	found, err := w.Find(t.Context(), parent, "run-0")
	if err != nil || len(found) != 3 || found[0].Name != names[0] || found[1].Name != names[100] || found[2].Name != names[200] {
		t.Errorf("found %v, %v; want the three of the run, ended or not, oldest first", found, err)
	}
	if none, err := w.Find(t.Context(), parent, "run"); err != nil || len(none) != 0 {
		t.Errorf("found %v, %v, want none", none, err)
	}
	if _, err := w.Find(t.Context(), parent, `x" OR state!="`); vertex.KindOf(err) != vertex.Permanent {
		t.Errorf("a run that is no label value: %v", err)
	}

	// A list is complete or an error.
	pages := 0
	w.SetFault(func(method string, _ any) fakevertex.Fault {
		if pages++; method == "ListCustomJobs" && pages == 2 {
			return fakevertex.FailBefore(codes.Unavailable, "injected")
		}
		return fakevertex.Fault{}
	})
	if live, err := w.Live(t.Context(), parent); vertex.KindOf(err) != vertex.Unclear || err == nil || live != nil {
		t.Errorf("%d jobs, %v; want an error when the second page fails", len(live), err)
	}
}

func TestVertexResource(t *testing.T) {
	w := newWorld(t, VertexOptions{}, nil)
	w.create(t, "run-1", 2)
	w.clock.Advance(10 * time.Second)
	got, err := w.Resource(t.Context(), pool)
	want := vertex.Resource{
		State: "RUNNING", CreateTime: start, Network: "projects/7/global/networks/net", EncryptionKey: "key", CustomAccount: true,
		Pools: []capacity.Pool{
			{ID: "cpu", Shape: cpuShape, Count: 3, Used: 2},
			{ID: "gpu", Shape: gpuShape, Count: 1, Max: 4},
		},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v: want -, got +:\n%s", err, diff)
	}
	const ray = parent + "/persistentResources/ray"
	if _, err := w.AddResource(&aiplatformpb.PersistentResource{Name: ray, ResourcePools: []*aiplatformpb.ResourcePool{
		{MachineSpec: &aiplatformpb.MachineSpec{MachineType: "n1-standard-4"}, ReplicaCount: proto.Int64(1)},
	}, ResourceRuntimeSpec: &aiplatformpb.ResourceRuntimeSpec{RaySpec: &aiplatformpb.RaySpec{}}}); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Resource(t.Context(), ray); err != nil || !got.Ray {
		t.Errorf("a Ray cluster: %+v, %v", got, err)
	}
	if err := w.SetResourceState(pool, aiplatformpb.PersistentResource_STOPPING); err != nil {
		t.Fatal(err)
	}
	if got, err := w.Resource(t.Context(), pool); err != nil || got.State != "STOPPING" {
		t.Errorf("%s, %v", got.State, err)
	}
}

// A disk type that Vertex AI does not show is the deployment's.
func TestDiskTypeNotShown(t *testing.T) {
	machine := &aiplatformpb.MachineSpec{MachineType: "n1-standard-4"}
	job := jobOf(&aiplatformpb.CustomJob{JobSpec: &aiplatformpb.CustomJobSpec{WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{{MachineSpec: machine, ReplicaCount: 1}}}}, "pd-standard")
	resource := resourceOf(&aiplatformpb.PersistentResource{ResourcePools: []*aiplatformpb.ResourcePool{{MachineSpec: machine}}}, "pd-standard")
	if j, r := job.Ask[0].Shape.Spec().DiskType, resource.Pools[0].Shape.Spec().DiskType; j != "pd-standard" || r != "pd-standard" {
		t.Errorf("the job has %s, the pool %s", j, r)
	}
}

func TestVertexNotFound(t *testing.T) {
	w := newWorld(t, VertexOptions{}, nil)
	_, get := w.Get(t.Context(), parent+"/customJobs/1")
	cancel := w.Cancel(t.Context(), parent+"/customJobs/1")
	_, resource := w.Resource(t.Context(), parent+"/persistentResources/other")
	for _, err := range []error{get, cancel, resource} {
		if vertex.KindOf(err) != vertex.NotFound {
			t.Errorf("%v, want %s", err, vertex.NotFound)
		}
	}
	// Where a create needs the resource, it may come back.
	j := job("run", 1)
	j.JobSpec.PersistentResourceId = "other"
	if _, err := w.Create(t.Context(), parent, j); vertex.KindOf(err) != vertex.Transient {
		t.Errorf("create on an absent resource: %v", err)
	}
}

// Names that are none never leave.
func TestVertexNames(t *testing.T) {
	w := newWorld(t, VertexOptions{}, nil)
	_, create := w.Create(t.Context(), pool, job("run", 1))
	_, get := w.Get(t.Context(), parent)
	_, find := w.Find(t.Context(), "projects/p/locations/a.b", "run")
	_, live := w.Live(t.Context(), "projects/p/locations/evil.example.com:1/x")
	_, resource := w.Resource(t.Context(), parent+"/customJobs/1")
	for i, err := range []error{create, get, find, live, resource, w.Cancel(t.Context(), pool)} {
		if vertex.KindOf(err) != vertex.Permanent {
			t.Errorf("call %d: %v, want %s", i, err, vertex.Permanent)
		}
	}
	if calls := w.RPCs(); len(calls) != 0 {
		t.Errorf("calls %v were sent", calls)
	}
}

// What becomes of a create that goes wrong on the way: unclear, whether the job
// is there or not.
func TestVertexCreateUnclear(t *testing.T) {
	for name, test := range map[string]struct {
		fault fakevertex.Fault
		jobs  int
	}{
		"dropped before": {fakevertex.DropBefore(), 0},
		"dropped after":  {fakevertex.DropAfter(), 1},
		"hung before":    {fakevertex.HangBefore(), 0},
		"hung after":     {fakevertex.HangAfter(), 1},
		"failed after":   {fakevertex.FailAfter(codes.Internal, "injected"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, VertexOptions{CreateDeadline: 300 * time.Millisecond}, nil)
			w.FaultOnce("CreateCustomJob", test.fault)
			_, err := w.Create(t.Context(), parent, job("run", 1))
			if err == nil || vertex.KindOf(err) != vertex.Unclear {
				t.Errorf("%v, want %s", err, vertex.Unclear)
			}
			if n := len(w.Jobs()); n != test.jobs {
				t.Errorf("%d jobs, want %d: a create is sent once", n, test.jobs)
			}
			if n := w.RPCs()["CreateCustomJob"]; n != 1 {
				t.Errorf("sent %d times", n)
			}
			found, err := w.Find(t.Context(), parent, "run")
			if err != nil || len(found) != test.jobs {
				t.Errorf("found %v, %v; want %d", found, err, test.jobs)
			}
		})
	}
	t.Run("no server", func(t *testing.T) {
		v, err := NewVertex(VertexOptions{Endpoint: func(string) string { return "127.0.0.1:1" }, Insecure: true, CreateDeadline: 5 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		if _, err := v.Create(t.Context(), parent, job("run", 1)); vertex.KindOf(err) != vertex.Unclear {
			t.Errorf("%v, want %s", err, vertex.Unclear)
		}
	})
}

// The caller's deadline counts if it is earlier; else this takes an hour.
func TestVertexDeadline(t *testing.T) {
	w := newWorld(t, VertexOptions{CallDeadline: time.Hour}, nil)
	w.FaultOnce("GetCustomJob", fakevertex.HangBefore())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := w.Get(ctx, parent+"/customJobs/1"); err == nil || vertex.KindOf(err) != vertex.Unclear {
		t.Errorf("%v, want %s", err, vertex.Unclear)
	}
}

// One client per region, however many ask at once.
func TestVertexRegions(t *testing.T) {
	w := newWorld(t, VertexOptions{}, nil)
	asked := make(chan string, 100)
	endpoint := w.options.Endpoint
	w.options.Endpoint = func(region string) string {
		asked <- region
		return endpoint(region)
	}
	var done sync.WaitGroup
	for range 8 {
		for _, region := range []string{"us-central1", "europe-west4"} {
			done.Go(func() {
				if _, err := w.Live(t.Context(), "projects/my-project/locations/"+region); err != nil {
					t.Error(err)
				}
			})
		}
	}
	done.Wait()
	close(asked)
	var regions []string
	for r := range asked {
		regions = append(regions, r)
	}
	slices.Sort(regions)
	if !slices.Equal(regions, []string{"europe-west4", "us-central1"}) {
		t.Errorf("clients were made for %v", regions)
	}
	if err := w.Vertex.Close(); err != nil {
		t.Error(err)
	}
	if _, err := w.Live(t.Context(), parent); err == nil {
		t.Error("a call after Close succeeds")
	}
}

func TestNewVertexRefuses(t *testing.T) {
	if _, err := NewVertex(VertexOptions{Insecure: true}); err == nil {
		t.Error("insecure to Google is accepted")
	}
	v, err := NewVertex(VertexOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if e := v.options.Endpoint("us-central1"); e != "us-central1-aiplatform.googleapis.com:443" {
		t.Errorf("endpoint %s", e)
	}
}

// Labels become a run and a request only in the form that Berth writes.
func TestVertexJobWithHostileLabels(t *testing.T) {
	for run, request := range map[string]string{"run-1": "__x__", "run-2": "..", "run-3": "", "../run": string(requestKey), "": string(requestKey)} {
		j := jobOf(&aiplatformpb.CustomJob{Name: "j", Labels: map[string]string{vertex.LabelRun: run, vertex.LabelRequest: request}}, "")
		if j.Run != "" || j.Request != "" {
			t.Errorf("labels %q and %q: run %q, request %q; want none", run, request, j.Run, j.Request)
		}
	}
	if j := jobOf(job("run-1", 1), ""); j.Run != "run-1" || j.Request != requestKey {
		t.Errorf("labels of ours: run %q, request %q", j.Run, j.Request)
	}
}
