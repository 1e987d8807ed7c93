package message

import (
	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/capacity"
)

// AskOf returns what a job needs, one entry per worker pool that is not an
// empty placeholder. diskType stands for a disk type that is not set; empty for
// [capacity.DefaultDiskType]. AskOf believes what the job says: a job that Vertex
// AI lists was checked there, one of ours by [Decode].
func AskOf(job *aiplatformpb.CustomJob, diskType string) (ask capacity.Ask) {
	for i, pool := range job.GetJobSpec().GetWorkerPoolSpecs() {
		m, d := pool.GetMachineSpec(), pool.GetDiskSpec()
		if placeholder(pool) {
			continue
		}
		s := capacity.Spec{
			MachineType: m.GetMachineType(), AcceleratorCount: m.GetAcceleratorCount(),
			TPUTopology: m.GetTpuTopology(), GPUPartition: m.GetGpuPartitionSize(),
			DiskType: d.GetBootDiskType(), DiskSizeGB: d.GetBootDiskSizeGb(),
		}
		if m.GetAcceleratorType() != aiplatformpb.AcceleratorType_ACCELERATOR_TYPE_UNSPECIFIED {
			s.Accelerator = m.GetAcceleratorType().String()
		}
		ask = append(ask, capacity.Need{WorkerPool: i, Shape: s.WithDisk(diskType).Normal(), Replicas: max(1, capacity.Replicas(pool.GetReplicaCount()))})
	}
	return ask
}

func placeholder(pool *aiplatformpb.WorkerPoolSpec) bool {
	return pool.GetMachineSpec() == nil && pool.GetReplicaCount() == 0
}

// UnsetDisks lists the worker pools of a job, by index, that name no disk type.
func UnsetDisks(job *aiplatformpb.CustomJob) (pools []int) {
	for i, pool := range job.GetJobSpec().GetWorkerPoolSpecs() {
		if !placeholder(pool) && pool.GetDiskSpec().GetBootDiskType() == "" {
			pools = append(pools, i)
		}
	}
	return pools
}

// SetDisks writes the disks of an ask into its job. The disks that were compared with
// the pools are then the disks that are submitted, and Vertex AI fills in none.
func SetDisks(job *aiplatformpb.CustomJob, ask capacity.Ask) {
	pools := job.GetJobSpec().GetWorkerPoolSpecs()
	for _, n := range ask {
		if n.WorkerPool < len(pools) {
			p, s := pools[n.WorkerPool], n.Shape.Spec()
			if p.DiskSpec == nil {
				p.DiskSpec = &aiplatformpb.DiskSpec{}
			}
			p.DiskSpec.BootDiskType, p.DiskSpec.BootDiskSizeGb = s.DiskType, s.DiskSizeGB
		}
	}
}
