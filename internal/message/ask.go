package message

import (
	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/capacity"
)

// AskOf returns what a job needs, one entry per worker pool that is not an
// empty placeholder. It believes what the job says: a job that Vertex AI lists
// was checked there, one of ours by [Decode].
func AskOf(job *aiplatformpb.CustomJob) (ask capacity.Ask) {
	for i, pool := range job.GetJobSpec().GetWorkerPoolSpecs() {
		m, d := pool.GetMachineSpec(), pool.GetDiskSpec()
		if m == nil && pool.GetReplicaCount() == 0 {
			continue
		}
		s := capacity.Shape{
			MachineType: m.GetMachineType(), AcceleratorCount: m.GetAcceleratorCount(),
			TPUTopology: m.GetTpuTopology(), GPUPartition: m.GetGpuPartitionSize(),
			DiskType: d.GetBootDiskType(), DiskSizeGB: d.GetBootDiskSizeGb(),
		}
		if m.GetAcceleratorType() != aiplatformpb.AcceleratorType_ACCELERATOR_TYPE_UNSPECIFIED {
			s.Accelerator = m.GetAcceleratorType().String()
		}
		ask = append(ask, capacity.Need{WorkerPool: i, Shape: s.Normal(), Replicas: max(1, capacity.Replicas(pool.GetReplicaCount()))})
	}
	return ask
}
