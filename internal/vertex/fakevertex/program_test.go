package fakevertex_test

import (
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
)

func TestAddResource(t *testing.T) {
	w := newWorld(t, nil)
	r := w.add(t, fixedPool("", 2))
	if d := cmp.Diff(r, w.resource(t), protocmp.Transform()); d != "" {
		t.Errorf("returned and got differ:\n%s", d)
	}
	if r.State != aiplatformpb.PersistentResource_RUNNING || r.Name != numbered+"/persistentResources/pr" {
		t.Errorf("added %v", r)
	}
	for _, bad := range []*aiplatformpb.PersistentResource{
		{Name: resourceName, ResourcePools: []*aiplatformpb.ResourcePool{fixedPool("", 2)}},
		{Name: "pr", ResourcePools: []*aiplatformpb.ResourcePool{fixedPool("", 2)}},
		{Name: resourceName + "2"},
	} {
		if _, err := w.AddResource(bad); err == nil || !strings.Contains(err.Error(), "add resource "+bad.Name) {
			t.Errorf("added %v: %v", bad, err)
		}
	}
}

func TestReplaceAndRecreate(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("a", 2))
	job := w.mustCreate(t, one(2, "fake-run", "1h"))
	waits := w.mustCreate(t, one(1, "fake-run", "1h"))
	w.clock.Advance(10 * time.Second)
	wide := &aiplatformpb.PersistentResource{Name: resourceName, ResourcePools: []*aiplatformpb.ResourcePool{fixedPool("a", 3)}}
	r, err := w.ReplaceResource(wide)
	if err != nil || !r.CreateTime.AsTime().Equal(start) || r.ResourcePools[0].UsedReplicaCount != 3 {
		t.Errorf("replaced: %v, %v", r, err)
	}
	w.is(t, job, running)
	w.clock.Advance(2 * time.Second)
	w.is(t, waits, running)

	r, err = w.RecreateResource(wide)
	if err != nil || r.CreateTime.AsTime().Equal(start) || r.ResourcePools[0].UsedReplicaCount != 0 {
		t.Errorf("recreated: %v, %v", r, err)
	}
	w.is(t, job, cancelled)
	w.is(t, waits, cancelled)
	if got := w.Placed(w.mustCreate(t, one(3))); got["a"] != 3 {
		t.Errorf("placed on the new one: %v", got)
	}
	wide.Name += "x"
	if _, err := w.ReplaceResource(wide); status.Code(err) != codes.NotFound {
		t.Errorf("replaced what is not: %v", err)
	}
	if _, err := w.RecreateResource(wide); status.Code(err) != codes.NotFound {
		t.Errorf("recreated what is not: %v", err)
	}
}

func TestRecreateInTheSameMomentHasAnotherCreateTime(t *testing.T) {
	w := newWorld(t, nil)
	first := w.add(t, fixedPool("", 1))
	second, err := w.RecreateResource(first)
	if err != nil || !second.CreateTime.AsTime().After(first.CreateTime.AsTime()) {
		t.Errorf("created %v, then %v: %v", first.CreateTime.AsTime(), second.GetCreateTime().AsTime(), err)
	}
}

func TestSetResourceState(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("", 1))
	first := w.mustCreate(t, one(1))
	waits := w.mustCreate(t, one(1))
	if err := w.SetResourceState(resourceName, aiplatformpb.PersistentResource_ERROR); err != nil {
		t.Fatal(err)
	}
	if r := w.resource(t); r.Error.GetCode() == 0 {
		t.Errorf("no error: %v", r)
	}
	w.clock.Advance(time.Minute)
	w.is(t, first, succeeded) // went on
	w.is(t, waits, pending)   // was not started
	if err := w.SetResourceState(resourceName, aiplatformpb.PersistentResource_RUNNING); err != nil {
		t.Fatal(err)
	}
	if r := w.resource(t); r.Error == nil || r.Error.Code != 0 {
		t.Errorf("error: %v", r.Error)
	}
	w.clock.Advance(2 * time.Second)
	w.is(t, waits, running)
	if err := w.SetResourceState(resourceName+"x", aiplatformpb.PersistentResource_ERROR); status.Code(err) != codes.NotFound {
		t.Errorf("set the state of what is not: %v", err)
	}
}

func TestResizePool(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("", 1))
	w.mustCreate(t, one(1, "fake-run", "1h"))
	waits := w.mustCreate(t, one(1))
	if err := w.ResizePool(resourceName, pool, 2); err != nil {
		t.Fatal(err)
	}
	if w.used(t) != 2 || w.Placed(waits) == nil {
		t.Errorf("used %d, placed %v", w.used(t), w.Placed(waits))
	}
	if err := w.ResizePool(resourceName, pool, 1); err != nil || w.used(t) != 2 {
		t.Errorf("shrunk under its jobs: used %d, %v", w.used(t), err)
	}
	if err := w.ResizePool(resourceName, "none", 1); err == nil {
		t.Error("resized a pool that is not")
	}
}

func TestForeignJob(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("a", 2), fixedPool("b", 1))
	j, err := w.StartForeignJob(resourceName, "a", 1, -1) // b would be tighter
	if err != nil || len(j.Labels) != 0 || w.Placed(j.Name)["a"] != 1 || w.used(t) != 1 {
		t.Fatalf("started %v, %v; used %d", j, err, w.used(t))
	}
	if got, err := w.listed(t, `display_name="foreign"`); err != nil || got != "foreign" {
		t.Errorf("listed %q, %v", got, err)
	}
	w.clock.Advance(24 * time.Hour)
	w.is(t, j.Name, running)
	for _, bad := range []struct {
		pool string
		n    int64
	}{{"a", 2}, {"a", 0}, {"c", 1}} {
		if _, err := w.StartForeignJob(resourceName, bad.pool, bad.n, 0); err == nil {
			t.Errorf("started on %v", bad)
		}
	}
}
