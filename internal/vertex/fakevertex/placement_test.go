package fakevertex_test

import (
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/grpc/codes"

	"example.com/berth/internal/vertex/fakevertex"
)

func TestYoungerJobStartsBeforeOneThatDoesNotFit(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("", 3))
	w.mustCreate(t, one(2, "fake-run", "1h"))
	wide := w.mustCreate(t, one(2))
	narrow := w.mustCreate(t, one(1))
	w.clock.Advance(time.Minute)
	w.is(t, narrow, succeeded)
	w.is(t, wide, pending)
}

func TestReleaseLag(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.ReleaseLag = time.Minute })
	w.add(t, fixedPool("", 1))
	first := w.mustCreate(t, one(1))
	second := w.mustCreate(t, one(1, "fake-run", "1h"))
	w.clock.Advance(time.Minute) // the first ends at 6s
	w.is(t, first, succeeded)
	w.is(t, second, pending)
	if n := w.used(t); n != 0 {
		t.Errorf("%d machines used by live jobs, want 0 though none can be given yet", n)
	}
	w.clock.Advance(10 * time.Second)
	w.is(t, second, running)
}

func TestUsedCountLag(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.UsedCountLag = time.Minute })
	w.add(t, fixedPool("", 3))
	w.mustCreate(t, one(2, "fake-run", "10m"))
	for _, step := range []struct {
		at   time.Duration
		want int64
	}{{0, 0}, {59 * time.Second, 0}, {time.Minute, 2}, {10*time.Minute + 30*time.Second, 2}, {11*time.Minute + 4*time.Second, 0}} {
		w.clock.Advance(step.at - w.clock.Now().Sub(start))
		if n := w.used(t); n != step.want {
			t.Errorf("at %v: %d used, want %d", step.at, n, step.want)
		}
	}
}

func TestAutoscaling(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, scalingPool("", 1, 4))
	size := func() int64 { return w.resource(t).ResourcePools[0].GetReplicaCount() }
	job := w.mustCreate(t, one(3, "fake-run", "1m"))
	w.clock.Advance(2*time.Minute - time.Second)
	w.is(t, job, pending)
	if size() != 1 || w.used(t) != 0 {
		t.Errorf("before growth: size %d, used %d", size(), w.used(t))
	}
	_, err := w.create(t, one(5))
	refused(t, err, codes.InvalidArgument, "do not match")
	w.clock.Advance(time.Second)
	if size() != 3 || w.used(t) != 3 {
		t.Errorf("after growth: size %d, used %d", size(), w.used(t))
	}
	w.clock.Advance(1500 * time.Millisecond)
	w.is(t, job, running)
	w.clock.Advance(time.Minute)
	w.is(t, job, succeeded)
	w.clock.Advance(10*time.Minute - time.Second)
	if size() != 3 {
		t.Errorf("shrank to %d too early", size())
	}
	w.clock.Advance(time.Second)
	if size() != 1 {
		t.Errorf("size %d after idling, want 1", size())
	}
}

func TestScaleUpDenied(t *testing.T) {
	t.Run("at creation", func(t *testing.T) {
		w := newWorld(t, func(b *fakevertex.Behaviour) {
			b.ScaleUpDenied, b.FullPool = true, fakevertex.FullResourceExhausted
		})
		w.add(t, scalingPool("", 1, 4))
		_, err := w.create(t, one(2))
		refused(t, err, codes.ResourceExhausted, "free replicas")
		w.mustCreate(t, one(1))
	})
	t.Run("when it should happen", func(t *testing.T) {
		w := newWorld(t, nil)
		w.add(t, scalingPool("", 1, 4))
		job := w.mustCreate(t, one(2))
		w.SetBehaviour(func(b *fakevertex.Behaviour) { b.ScaleUpDenied = true })
		w.clock.Advance(time.Hour)
		w.is(t, job, pending)
		w.SetBehaviour(func(b *fakevertex.Behaviour) { b.ScaleUpDenied = false })
		w.clock.Advance(2*time.Minute + 2*time.Second)
		w.is(t, job, running)
	})
	t.Run("and jobs fail of it", func(t *testing.T) {
		w := newWorld(t, func(b *fakevertex.Behaviour) { b.FullPool = fakevertex.FullAcceptThenFail })
		w.add(t, scalingPool("", 1, 4))
		job := w.mustCreate(t, one(2))
		w.SetBehaviour(func(b *fakevertex.Behaviour) { b.ScaleUpDenied = true })
		w.clock.Advance(2*time.Minute + time.Second)
		w.is(t, job, failed)
	})
}

func TestSharedPool(t *testing.T) {
	two := jobOf([]*aiplatformpb.WorkerPoolSpec{workers(1), workers(2)})
	w := newWorld(t, nil)
	w.add(t, fixedPool("", 3))
	name := w.mustCreate(t, two)
	if got := w.Placed(name)[pool]; got != 3 {
		t.Errorf("%d replicas placed, want 3", got)
	}
	_, err := w.create(t, jobOf([]*aiplatformpb.WorkerPoolSpec{workers(1), workers(3)}))
	refused(t, err, codes.InvalidArgument, "do not match") // together more than the limit

	w.SetBehaviour(func(b *fakevertex.Behaviour) { b.RejectSharedPool = true })
	w.clock.Advance(time.Hour)
	_, err = w.create(t, two)
	refused(t, err, codes.InvalidArgument, "do not match")
	if _, err := w.RecreateResource(&aiplatformpb.PersistentResource{Name: resourceName,
		ResourcePools: []*aiplatformpb.ResourcePool{fixedPool("a", 2), fixedPool("b", 1)}}); err != nil {
		t.Fatal(err)
	}
	if got := w.Placed(w.mustCreate(t, two)); got["a"] != 2 || got["b"] != 1 {
		t.Errorf("placed %v", got)
	}
}

func TestManyChiefs(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("", 3))
	w.mustCreate(t, one(2))
	w.SetBehaviour(func(b *fakevertex.Behaviour) { b.RejectManyChiefs = true })
	_, err := w.create(t, one(2))
	refused(t, err, codes.InvalidArgument, "worker_pool_specs[0].replica_count")
	w.mustCreate(t, jobOf([]*aiplatformpb.WorkerPoolSpec{workers(1), workers(2)}))
}

func TestChoiceOfPool(t *testing.T) {
	for _, first := range []bool{false, true} {
		w := newWorld(t, func(b *fakevertex.Behaviour) { b.FirstPool = first })
		w.add(t, fixedPool("wide", 3), fixedPool("tight", 2))
		want := "tight"
		if first {
			want = "wide"
		}
		if got := w.Placed(w.mustCreate(t, one(2))); got[want] != 2 {
			t.Errorf("first pool %v: placed %v", first, got)
		}
	}
}

func TestPlacingTriesEveryCombination(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("a", 2), fixedPool("b", 3))
	// The tightest pool for the first worker pool would leave no room for the second.
	got := w.Placed(w.mustCreate(t, jobOf([]*aiplatformpb.WorkerPoolSpec{workers(1), workers(2), workers(2)})))
	if got["a"] != 2 || got["b"] != 3 {
		t.Errorf("placed %v", got)
	}
}

func TestDiskSize(t *testing.T) {
	w := newWorld(t, nil)
	w.add(t, fixedPool("", 3))
	bigger := one(1)
	bigger.JobSpec.WorkerPoolSpecs[0].DiskSpec = &aiplatformpb.DiskSpec{BootDiskSizeGb: 200}
	_, err := w.create(t, bigger)
	refused(t, err, codes.InvalidArgument, "do not match")
	w.SetBehaviour(func(b *fakevertex.Behaviour) { b.IgnoreDiskSize = true })
	w.mustCreate(t, bigger)
}

func TestCancelledWaiterTakesNoMachines(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.CancelAfter = time.Hour })
	w.add(t, fixedPool("", 1))
	w.mustCreate(t, one(1))
	waits := w.mustCreate(t, one(1))
	if err := w.jobs.CancelCustomJob(t.Context(), &aiplatformpb.CancelCustomJobRequest{Name: waits}); err != nil {
		t.Fatal(err)
	}
	w.clock.Advance(time.Minute) // the first has ended
	if n := w.used(t); n != 0 || w.Placed(waits) != nil {
		t.Errorf("%d machines used, the cancelled job is placed %v", n, w.Placed(waits))
	}
	w.is(t, waits, cancelling)
}

func TestDeletingAJobReleasesItsMachines(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.ReleaseLag = time.Hour })
	w.add(t, fixedPool("", 1))
	first := w.mustCreate(t, one(1))
	w.clock.Advance(10 * time.Second)
	if _, err := w.jobs.DeleteCustomJob(t.Context(), &aiplatformpb.DeleteCustomJobRequest{Name: first}); err != nil {
		t.Fatal(err)
	}
	if got := w.Placed(w.mustCreate(t, one(1)))[pool]; got != 1 {
		t.Errorf("%d replicas placed after the deletion", got)
	}
}

func TestShrinkingSparesMachinesInUse(t *testing.T) {
	w := newWorld(t, func(b *fakevertex.Behaviour) { b.ScaleUpAfter = 0 })
	w.add(t, scalingPool("", 1, 4))
	w.mustCreate(t, one(2, "fake-run", "1m"))
	w.mustCreate(t, one(2, "fake-run", "1h"))
	w.clock.Advance(30 * time.Minute)
	if p := w.resource(t).ResourcePools[0]; p.GetReplicaCount() != 2 || p.UsedReplicaCount != 2 {
		t.Errorf("pool %v, want 2 machines, both used", p)
	}
}
