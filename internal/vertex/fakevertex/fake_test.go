package fakevertex_test

import (
	"net"
	"testing"
	"time"

	aiplatform "cloud.google.com/go/aiplatform/apiv1"
	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/vertex/fakevertex"
)

const (
	parent       = "projects/my-project/locations/us-central1"
	numbered     = "projects/123456789012/locations/us-central1"
	resourceName = parent + "/persistentResources/pr"
	pool         = "n1-standard-4"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// A world is a server that stands at start, and real clients connected to it.
type world struct {
	*fakevertex.Server
	clock     *fakevertex.ManualClock
	addr      string
	jobs      *aiplatform.JobClient
	resources *aiplatform.PersistentResourceClient
}

// newWorld starts a server with default knobs, edited by change.
func newWorld(t *testing.T, change func(*fakevertex.Behaviour)) *world {
	t.Helper()
	b := fakevertex.DefaultBehaviour()
	if change != nil {
		change(&b)
	}
	return openWorld(t, fakevertex.Options{
		Clock:     fakevertex.NewManualClock(start),
		Behaviour: &b,
		Projects:  map[string]string{"my-project": "123456789012"},
		Seed:      1,
	})
}

func openWorld(t *testing.T, o fakevertex.Options) *world {
	t.Helper()
	w := &world{Server: fakevertex.New(o)}
	w.clock, _ = o.Clock.(*fakevertex.ManualClock)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- w.Serve(l) }()
	t.Cleanup(func() {
		w.Stop()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	opts := []option.ClientOption{
		option.WithEndpoint(w.addr),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
	if w.jobs, err = aiplatform.NewJobClient(t.Context(), opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.jobs.Close() })
	if w.resources, err = aiplatform.NewPersistentResourceClient(t.Context(), opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.resources.Close() })
	return w
}

// fixedPool is a pool of n1-standard-4 without accelerators.
func fixedPool(id string, replicas int64) *aiplatformpb.ResourcePool {
	return &aiplatformpb.ResourcePool{
		Id:           id,
		MachineSpec:  &aiplatformpb.MachineSpec{MachineType: "n1-standard-4"},
		ReplicaCount: proto.Int64(replicas),
	}
}

// scalingPool is the same with autoscaling, at its minimum.
func scalingPool(id string, low, high int64) *aiplatformpb.ResourcePool {
	p := fixedPool(id, low)
	p.AutoscalingSpec = &aiplatformpb.ResourcePool_AutoscalingSpec{
		MinReplicaCount: proto.Int64(low), MaxReplicaCount: proto.Int64(high)}
	return p
}

// add stores the resource "pr" with these pools, RUNNING.
func (w *world) add(t *testing.T, pools ...*aiplatformpb.ResourcePool) *aiplatformpb.PersistentResource {
	t.Helper()
	r, err := w.AddResource(&aiplatformpb.PersistentResource{Name: resourceName, ResourcePools: pools})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// workers is a worker pool of n1-standard-4.
func workers(replicas int64) *aiplatformpb.WorkerPoolSpec {
	return &aiplatformpb.WorkerPoolSpec{
		MachineSpec:  &aiplatformpb.MachineSpec{MachineType: "n1-standard-4"},
		ReplicaCount: replicas,
		Task: &aiplatformpb.WorkerPoolSpec_ContainerSpec{
			ContainerSpec: &aiplatformpb.ContainerSpec{ImageUri: "gcr.io/p/train"}},
	}
}

// jobOf is a job on the resource "pr"; labels come in pairs.
func jobOf(pools []*aiplatformpb.WorkerPoolSpec, labels ...string) *aiplatformpb.CustomJob {
	j := &aiplatformpb.CustomJob{
		DisplayName: "train",
		JobSpec:     &aiplatformpb.CustomJobSpec{PersistentResourceId: "pr", WorkerPoolSpecs: pools},
	}
	for i := 0; i+1 < len(labels); i += 2 {
		if j.Labels == nil {
			j.Labels = map[string]string{}
		}
		j.Labels[labels[i]] = labels[i+1]
	}
	return j
}

// one is a job of so many replicas in one worker pool.
func one(replicas int64, labels ...string) *aiplatformpb.CustomJob {
	return jobOf([]*aiplatformpb.WorkerPoolSpec{workers(replicas)}, labels...)
}

func (w *world) create(t *testing.T, j *aiplatformpb.CustomJob) (*aiplatformpb.CustomJob, error) {
	t.Helper()
	return w.jobs.CreateCustomJob(t.Context(), &aiplatformpb.CreateCustomJobRequest{Parent: parent, CustomJob: j})
}

func (w *world) mustCreate(t *testing.T, j *aiplatformpb.CustomJob) string {
	t.Helper()
	out, err := w.create(t, j)
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	return out.Name
}

func (w *world) get(t *testing.T, name string) *aiplatformpb.CustomJob {
	t.Helper()
	j, err := w.jobs.GetCustomJob(t.Context(), &aiplatformpb.GetCustomJobRequest{Name: name})
	if err != nil {
		t.Fatalf("get %s: %v", name, err)
	}
	return j
}

// is fails the test unless the job is in that state.
func (w *world) is(t *testing.T, name string, state aiplatformpb.JobState) *aiplatformpb.CustomJob {
	t.Helper()
	j := w.get(t, name)
	if j.State != state {
		t.Fatalf("at %v: job is %v, want %v (error %v)", w.clock.Now().Sub(start), j.State, state, j.Error)
	}
	return j
}

func (w *world) resource(t *testing.T) *aiplatformpb.PersistentResource {
	t.Helper()
	r, err := w.resources.GetPersistentResource(t.Context(), &aiplatformpb.GetPersistentResourceRequest{Name: resourceName})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// used is used_replica_count of the first pool of "pr".
func (w *world) used(t *testing.T) int64 {
	t.Helper()
	return w.resource(t).ResourcePools[0].UsedReplicaCount
}

// States under short names.
const (
	queued     = aiplatformpb.JobState_JOB_STATE_QUEUED
	pending    = aiplatformpb.JobState_JOB_STATE_PENDING
	running    = aiplatformpb.JobState_JOB_STATE_RUNNING
	succeeded  = aiplatformpb.JobState_JOB_STATE_SUCCEEDED
	failed     = aiplatformpb.JobState_JOB_STATE_FAILED
	cancelling = aiplatformpb.JobState_JOB_STATE_CANCELLING
	cancelled  = aiplatformpb.JobState_JOB_STATE_CANCELLED
)
