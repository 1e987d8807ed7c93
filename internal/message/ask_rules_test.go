package message

import (
	"slices"
	"testing"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/capacity"
)

// TestDisksOfAJob: the disks that were compared with the pools are written into the worker
// pools that they were compared for, and into no other.
func TestDisksOfAJob(t *testing.T) {
	pool := func(replicas int64, disk *aiplatformpb.DiskSpec) *aiplatformpb.WorkerPoolSpec {
		return &aiplatformpb.WorkerPoolSpec{MachineSpec: &aiplatformpb.MachineSpec{MachineType: "m"}, ReplicaCount: replicas, DiskSpec: disk}
	}
	job := &aiplatformpb.CustomJob{JobSpec: &aiplatformpb.CustomJobSpec{WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{
		pool(1, nil), {}, pool(2, &aiplatformpb.DiskSpec{BootDiskSizeGb: 200}), pool(0, nil), pool(1, &aiplatformpb.DiskSpec{BootDiskType: "pd-standard"})}}}
	if got := UnsetDisks(job); !slices.Equal(got, []int{0, 2, 3}) {
		t.Errorf("no disk type in worker pools %v, want 0, 2 and 3: the second is a placeholder, the last has one", got)
	}
	shape := func(kind string, size int32) capacity.Shape {
		return capacity.Spec{MachineType: "m", DiskType: kind, DiskSizeGB: size}.Normal()
	}
	SetDisks(job, capacity.Ask{
		{WorkerPool: 0, Shape: shape("pd-ssd", 100)}, {WorkerPool: 2, Shape: shape("pd-ssd", 200)}, {WorkerPool: 4, Shape: shape("pd-standard", 300)},
		{WorkerPool: 5, Shape: shape("pd-ssd", 400)}, // the job has no such worker pool
	})
	for i, want := range []*aiplatformpb.DiskSpec{{BootDiskType: "pd-ssd", BootDiskSizeGb: 100}, nil, {BootDiskType: "pd-ssd", BootDiskSizeGb: 200}, nil, {BootDiskType: "pd-standard", BootDiskSizeGb: 300}} {
		got := job.GetJobSpec().GetWorkerPoolSpecs()[i].GetDiskSpec()
		if (got == nil) != (want == nil) || got.GetBootDiskType() != want.GetBootDiskType() || got.GetBootDiskSizeGb() != want.GetBootDiskSizeGb() {
			t.Errorf("worker pool %d has the disk %v, want %v", i, got, want)
		}
	}
}

// TestExclusive: a key by itself bounds nothing, and neither does the policy allow.
func TestExclusive(t *testing.T) {
	for c, want := range map[Concurrency]bool{
		{}: false, {Key: "k", Policy: Allow}: false, {Policy: Forbid}: false,
		{Key: "k", Policy: Forbid}: true, {Key: "k", Policy: Replace}: true,
	} {
		if got := c.Exclusive(); got != want {
			t.Errorf("%+v is exclusive: %v", c, got)
		}
	}
}
