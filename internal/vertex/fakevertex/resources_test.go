package fakevertex_test

import (
	"context"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	aiplatform "cloud.google.com/go/aiplatform/apiv1"
	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"example.com/berth/internal/vertex/fakevertex"
)

func createRequest(id string, pools ...*aiplatformpb.ResourcePool) *aiplatformpb.CreatePersistentResourceRequest {
	return &aiplatformpb.CreatePersistentResourceRequest{Parent: parent, PersistentResourceId: id,
		PersistentResource: &aiplatformpb.PersistentResource{ResourcePools: pools}}
}

func TestCreateResource(t *testing.T) {
	w := newWorld(t, nil)
	gpu := fixedPool("", 1)
	gpu.MachineSpec.AcceleratorType, gpu.MachineSpec.AcceleratorCount = aiplatformpb.AcceleratorType_NVIDIA_TESLA_T4, 2
	gpu.DiskSpec = &aiplatformpb.DiskSpec{BootDiskType: "pd-standard"}
	op, err := w.resources.CreatePersistentResource(t.Context(), createRequest("pr", fixedPool("", 2), fixedPool("", 1), gpu))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^` + numbered + `/persistentResources/pr/operations/[0-9]+$`).MatchString(op.Name()) {
		t.Errorf("operation %s", op.Name())
	}
	if m, err := op.Metadata(); err != nil || !strings.Contains(m.GetProgressMessage(), "checking") {
		t.Errorf("metadata %v, %v", m, err)
	}
	r := w.resource(t)
	if r.State != aiplatformpb.PersistentResource_PROVISIONING || r.DisplayName != "pr" || r.Name != numbered+"/persistentResources/pr" ||
		r.Error != nil || r.StartTime != nil {
		t.Errorf("new resource: %v", r)
	}
	for i, want := range []struct {
		id, disk string
	}{{"n1-standard-4", "pd-ssd"}, {"n1-standard-4-2", "pd-ssd"}, {"n1-standard-4-nvidia-tesla-t4-2", "pd-standard"}} {
		p := r.ResourcePools[i]
		if p.Id != want.id || p.DiskSpec.BootDiskType != want.disk || p.DiskSpec.BootDiskSizeGb != 100 {
			t.Errorf("pool %d: %v", i, p)
		}
	}
	_, err = w.resources.CreatePersistentResource(t.Context(), createRequest("pr", fixedPool("", 2)))
	refused(t, err, codes.AlreadyExists, `same ID "pr" created or being created`)
	_, err = w.resources.DeletePersistentResource(t.Context(), &aiplatformpb.DeletePersistentResourceRequest{Name: resourceName})
	refused(t, err, codes.FailedPrecondition, `PersistentResource "pr" is being created thus can not be deleted now.`)
	_, err = w.resources.RebootPersistentResource(t.Context(), &aiplatformpb.RebootPersistentResourceRequest{Name: resourceName})
	refused(t, err, codes.FailedPrecondition, "PROVISIONING")

	w.clock.Advance(5*time.Minute - time.Second)
	if got, err := op.Poll(t.Context()); err != nil || got != nil {
		t.Errorf("poll before: %v, %v", got, err)
	}
	w.clock.Advance(time.Second)
	if got, err := op.Poll(t.Context()); err != nil || got.GetName() != r.Name || !op.Done() {
		t.Errorf("poll after: %v, %v", got, err)
	}
	if m, err := op.Metadata(); err != nil || m.GetProgressMessage() != "Your persistent resource is ready." {
		t.Errorf("metadata %v, %v", m, err)
	}
	r = w.resource(t)
	if r.State != aiplatformpb.PersistentResource_RUNNING || r.Error == nil || r.Error.Code != 0 || !r.StartTime.AsTime().Equal(start.Add(5*time.Minute)) {
		t.Errorf("ready resource: %v", r)
	}
}

func TestProvisionFails(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.ProvisionFails, b.ProvisionAfter = true, time.Minute })
	op, err := w.resources.CreatePersistentResource(t.Context(), createRequest("pr", fixedPool("", 2)))
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Minute)
	_, err = op.Poll(t.Context())
	refused(t, err, codes.ResourceExhausted, "Resources are insufficient in region: us-central1")
	if r := w.resource(t); r.State != aiplatformpb.PersistentResource_ERROR || r.Error.GetCode() == 0 {
		t.Errorf("resource: %v", r)
	}
}

func TestCreateResourceIsValidated(t *testing.T) {
	w := newWorld(t, nil)
	poolOf := func(change func(*aiplatformpb.ResourcePool)) *aiplatformpb.ResourcePool {
		p := scalingPool("a", 1, 3)
		change(p)
		return p
	}
	for text, req := range map[string]*aiplatformpb.CreatePersistentResourceRequest{
		"persistent_resource_id":                      createRequest("Bad_ID", fixedPool("", 1)),
		"resource_pools; Message: Required":           createRequest("x"),
		"Duplicate ID":                                createRequest("x", fixedPool("a", 1), fixedPool("a", 1)),
		"replica_count; Message: Must be at least":    createRequest("x", fixedPool("", 0)),
		"min_replica_count; Message: Must be greater": createRequest("x", scalingPool("", 0, 3)),
		"max_replica_count; Message: Must be greater": createRequest("x", scalingPool("", 2, 2)),
		"Must be between":                             createRequest("x", poolOf(func(p *aiplatformpb.ResourcePool) { p.ReplicaCount = proto.Int64(4) })),
		"machine_type":                                createRequest("x", poolOf(func(p *aiplatformpb.ResourcePool) { p.MachineSpec = nil })),
		"pd-balanced": createRequest("x", poolOf(func(p *aiplatformpb.ResourcePool) {
			p.DiskSpec = &aiplatformpb.DiskSpec{BootDiskType: "pd-balanced"}
		})),
		"Reservation affinity is not supported yet for persistent clusters": createRequest("x", poolOf(func(p *aiplatformpb.ResourcePool) {
			p.MachineSpec.ReservationAffinity = &aiplatformpb.ReservationAffinity{
				ReservationAffinityType: aiplatformpb.ReservationAffinity_SPECIFIC_RESERVATION}
		})),
	} {
		_, err := w.resources.CreatePersistentResource(t.Context(), req)
		refused(t, err, codes.InvalidArgument, text)
	}
	if n := len(w.Resources()); n != 0 {
		t.Errorf("%d resources", n)
	}
}

func TestUpdateIsRefused(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("", 1))
	for path, text := range map[string]string{"resource_pools.replica_count": "only supported on Ray clusters", "labels": "Unrecognized path"} {
		_, err := w.resources.UpdatePersistentResource(t.Context(), &aiplatformpb.UpdatePersistentResourceRequest{
			PersistentResource: &aiplatformpb.PersistentResource{Name: resourceName}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}})
		refused(t, err, codes.InvalidArgument, text)
	}
}

func TestUpdate(t *testing.T) {
	for _, ray := range []bool{false, true} {
		w := newWorld(t, func(b *fakevertex.Behaviour) { b.AllowUpdate = !ray })
		r := &aiplatformpb.PersistentResource{Name: resourceName, ResourcePools: []*aiplatformpb.ResourcePool{fixedPool("", 1), scalingPool("b", 1, 4)}}
		if ray {
			r.ResourceRuntimeSpec = &aiplatformpb.ResourceRuntimeSpec{RaySpec: &aiplatformpb.RaySpec{}}
		}
		if _, err := w.AddResource(r); err != nil {
			t.Fatal(err)
		}
		update := func(path, id string, n int64) (*aiplatform.UpdatePersistentResourceOperation, error) {
			return w.resources.UpdatePersistentResource(t.Context(), &aiplatformpb.UpdatePersistentResourceRequest{
				PersistentResource: &aiplatformpb.PersistentResource{Name: resourceName, ResourcePools: []*aiplatformpb.ResourcePool{{Id: id, ReplicaCount: &n}}},
				UpdateMask:         &fieldmaskpb.FieldMask{Paths: []string{path}}})
		}
		const path = "resource_pools.replica_count"
		_, err := update(path, "none", 1)
		refused(t, err, codes.InvalidArgument, "no such resource pool")
		_, err = update(path, "b", 5)
		refused(t, err, codes.InvalidArgument, "bounds of autoscaling")
		_, err = update("display_name", pool, 2)
		refused(t, err, codes.InvalidArgument, "Unrecognized path")
		waits := w.mustCreate(t, one(1, "fake-run", "1h"))
		more := w.mustCreate(t, one(4, "fake-run", "1h"))
		more2 := w.mustCreate(t, one(1, "fake-run", "1h"))
		op, err := update(path, pool, 2)
		if err != nil {
			t.Fatal(err)
		}
		if w.Placed(more2) != nil || w.resource(t).State != aiplatformpb.PersistentResource_UPDATING {
			t.Errorf("placed %v while %v", w.Placed(more2), w.resource(t).State)
		}
		_, err = w.create(t, one(1))
		refused(t, err, codes.FailedPrecondition, "UPDATING")
		_, err = update(path, pool, 3)
		refused(t, err, codes.FailedPrecondition, "UPDATING thus can not be updated")
		w.clock.Advance(2*time.Minute - time.Second)
		if got, err := op.Poll(t.Context()); err != nil || got != nil {
			t.Errorf("done early: %v, %v", got, err)
		}
		w.clock.Advance(time.Second)
		got, err := op.Poll(t.Context())
		if err != nil || got.GetName() != numbered+"/persistentResources/pr" {
			t.Errorf("done: %v, %v", got, err)
		}
		if r := w.resource(t); r.State != aiplatformpb.PersistentResource_RUNNING || r.ResourcePools[0].GetReplicaCount() != 2 ||
			w.Placed(waits)[pool] != 1 || w.Placed(more)["b"] != 4 || w.Placed(more2)[pool] != 1 {
			t.Errorf("updated %v; %v, %v", r, w.Placed(more), w.Placed(more2))
		}
	}
}

func TestReboot(t *testing.T) {
	for _, kills := range []bool{false, true} {
		w := newWorld(t, func(b *fakevertex.Behaviour) { b.RebootKills = kills; b.ScaleUpAfter = 0 })
		w.add(t, scalingPool("", 1, 4))
		job := w.mustCreate(t, one(3, "fake-run", "1h"))
		w.clock.Advance(10 * time.Second)
		w.is(t, job, running)
		op, err := w.resources.RebootPersistentResource(t.Context(), &aiplatformpb.RebootPersistentResourceRequest{Name: resourceName})
		if err != nil {
			t.Fatal(err)
		}
		if r := w.resource(t); r.State != aiplatformpb.PersistentResource_REBOOTING {
			t.Errorf("state %v", r.State)
		}
		_, err = w.create(t, one(1))
		refused(t, err, codes.FailedPrecondition, "REBOOTING")
		_, err = w.resources.DeletePersistentResource(t.Context(), &aiplatformpb.DeletePersistentResourceRequest{Name: resourceName})
		refused(t, err, codes.FailedPrecondition, "REBOOTING")
		w.clock.Advance(2 * time.Minute)
		if got, err := op.Poll(t.Context()); err != nil || got.GetName() == "" {
			t.Errorf("poll: %v, %v", got, err)
		}
		size := w.resource(t).ResourcePools[0].GetReplicaCount()
		if kills {
			if j := w.is(t, job, failed); j.Error.GetCode() != int32(codes.Aborted) || size != 1 {
				t.Errorf("error %v, size %d", j.Error, size)
			}
		} else if w.is(t, job, running); size != 3 {
			t.Errorf("size %d under a running job", size)
		}
	}
}

func TestDeleteResource(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.StopAfter = time.Second })
	w.add(t, fixedPool("", 1))
	job := w.mustCreate(t, one(1, "fake-run", "1h"))
	waits := w.mustCreate(t, one(1))
	op, err := w.resources.DeletePersistentResource(t.Context(), &aiplatformpb.DeletePersistentResourceRequest{Name: resourceName})
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`^` + numbered + `/operations/[0-9]+$`).MatchString(op.Name()) {
		t.Errorf("operation %s", op.Name())
	}
	w.clock.Advance(2 * time.Second) // longer than StopAfter, shorter than the cancel
	if r := w.resource(t); r.State != aiplatformpb.PersistentResource_STOPPING {
		t.Errorf("state %v", r.State)
	}
	w.is(t, job, cancelling)
	w.clock.Advance(500 * time.Millisecond)
	w.is(t, job, cancelled)
	w.is(t, waits, cancelled)
	if err := op.Poll(t.Context()); err != nil || !op.Done() {
		t.Errorf("poll: %v, done %v", err, op.Done())
	}
	_, err = w.resources.GetPersistentResource(t.Context(), &aiplatformpb.GetPersistentResourceRequest{Name: resourceName})
	refused(t, err, codes.NotFound, "The PersistentResource does not exist.")
	w.add(t, fixedPool("", 1)) // the name is free again
}

func TestStoppingTakesItsTime(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.StopAfter = time.Minute })
	w.add(t, fixedPool("", 1))
	w.mustCreate(t, one(1, "fake-run", "1h"))
	op, err := w.resources.DeletePersistentResource(t.Context(), &aiplatformpb.DeletePersistentResourceRequest{Name: resourceName})
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(59 * time.Second) // its job has long been cancelled
	if err := op.Poll(t.Context()); err != nil || op.Done() {
		t.Errorf("before: %v, done %v", err, op.Done())
	}
	w.clock.Advance(time.Second)
	if err := op.Poll(t.Context()); err != nil || !op.Done() {
		t.Errorf("after: %v, done %v", err, op.Done())
	}
}

func TestDeleteIdleResourceIsDoneAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("", 1))
	op, err := w.resources.DeletePersistentResource(t.Context(), &aiplatformpb.DeletePersistentResourceRequest{Name: resourceName})
	if err != nil || !op.Done() {
		t.Errorf("done %v, %v", op.Done(), err)
	}
}

func TestListResources(t *testing.T) {
	w := newWorld(t, nil)
	for _, id := range []string{"a", "b", "c"} {
		if _, err := w.AddResource(&aiplatformpb.PersistentResource{Name: parent + "/persistentResources/" + id,
			ResourcePools: []*aiplatformpb.ResourcePool{fixedPool("", 1)}}); err != nil {
			t.Fatal(err)
		}
	}
	it := w.resources.ListPersistentResources(t.Context(), &aiplatformpb.ListPersistentResourcesRequest{Parent: parent, PageSize: 2})
	got := ""
	for {
		r, err := it.Next()
		if err == iterator.Done {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got += r.DisplayName
	}
	if got != "cba" || w.Calls()["ListPersistentResources"] != 2 {
		t.Errorf("listed %s in %d calls", got, w.Calls()["ListPersistentResources"])
	}
}

func TestOperations(t *testing.T) {
	w := newWorld(t, nil)
	conn, err := grpc.NewClient(w.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ops := longrunningpb.NewOperationsClient(conn)
	op, err := w.resources.CreatePersistentResource(t.Context(), createRequest("pr", fixedPool("", 1)))
	if err != nil {
		t.Fatal(err)
	}

	// WaitOperation sleeps on the server's clock: first until its own limit, then
	// until the operation is done.
	wait := func(limit *durationpb.Duration) <-chan *longrunningpb.Operation {
		answer := make(chan *longrunningpb.Operation, 1)
		go func() {
			got, err := ops.WaitOperation(t.Context(), &longrunningpb.WaitOperationRequest{Name: op.Name(), Timeout: limit})
			if err != nil {
				t.Errorf("wait: %v", err)
			}
			answer <- got
		}()
		until(t, func() bool { return w.clock.Waiters() == 1 })
		return answer
	}
	short := wait(durationpb.New(time.Minute))
	w.clock.Advance(time.Minute)
	if got := <-short; got.GetDone() {
		t.Errorf("done after a minute: %v", got)
	}
	long := wait(nil)
	w.clock.Advance(4 * time.Minute)
	if got := <-long; !got.GetDone() {
		t.Errorf("not done after five minutes: %v", got)
	}

	// What another caller does may end it sooner than what is due.
	first := op
	if op, err = w.resources.CreatePersistentResource(t.Context(), createRequest("pr2", fixedPool("", 1))); err != nil {
		t.Fatal(err)
	}
	sooner := wait(nil)
	if err := w.SetResourceState(parent+"/persistentResources/pr2", aiplatformpb.PersistentResource_RUNNING); err != nil {
		t.Fatal(err)
	}
	if got := <-sooner; !got.GetDone() || got.GetError() != nil || w.clock.Waiters() != 0 {
		t.Errorf("not done when the resource is RUNNING: %v, %d waiters", got, w.clock.Waiters())
	}
	if op, err = w.resources.CreatePersistentResource(t.Context(), createRequest("pr3", fixedPool("", 1))); err != nil {
		t.Fatal(err)
	}
	removed := wait(nil)
	if err := w.RemoveResource(parent + "/persistentResources/pr3"); err != nil {
		t.Fatal(err)
	}
	if got := <-removed; codes.Code(got.GetError().GetCode()) != codes.Aborted {
		t.Errorf("the resource was removed: %v", got)
	}
	op = first

	byID := strings.Replace(op.Name(), "123456789012", "my-project", 1)
	if got, err := ops.GetOperation(t.Context(), &longrunningpb.GetOperationRequest{Name: byID}); err != nil || got.Name != op.Name() {
		t.Errorf("get by project id: %v, %v", got, err)
	}
	if got, err := ops.ListOperations(t.Context(), &longrunningpb.ListOperationsRequest{Name: resourceName}); err != nil || len(got.Operations) != 1 {
		t.Errorf("list: %v, %v", got, err)
	}
	if got, err := ops.ListOperations(t.Context(), &longrunningpb.ListOperationsRequest{Name: parent}); err != nil || len(got.Operations) != 0 {
		t.Errorf("list of the location: %v, %v", got, err)
	}
	_, err = ops.CancelOperation(t.Context(), &longrunningpb.CancelOperationRequest{Name: op.Name()})
	refused(t, err, codes.Unimplemented, "")
	if _, err := ops.DeleteOperation(t.Context(), &longrunningpb.DeleteOperationRequest{Name: op.Name()}); err != nil {
		t.Errorf("delete: %v", err)
	}
	_, err = ops.GetOperation(t.Context(), &longrunningpb.GetOperationRequest{Name: op.Name()})
	refused(t, err, codes.NotFound, "does not exist")
	_, err = ops.GetOperation(t.Context(), &longrunningpb.GetOperationRequest{Name: "operations/1"})
	refused(t, err, codes.InvalidArgument, "Invalid Operation resource name.")
}

func TestWaitOperationEndsWithItsCaller(t *testing.T) {
	w := newWorld(t, nil)
	op, err := w.resources.CreatePersistentResource(t.Context(), createRequest("pr", fixedPool("", 1)))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(w.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := longrunningpb.NewOperationsClient(conn).WaitOperation(ctx, &longrunningpb.WaitOperationRequest{Name: op.Name()})
		ended <- err
	}()
	until(t, func() bool { return w.clock.Waiters() == 1 })
	cancel()
	refused(t, <-ended, codes.Canceled, "")
	until(t, func() bool { return w.clock.Waiters() == 0 })
}

// until lets others run until holds does.
func until(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("waited ten seconds in vain")
		}
	}
}
