package gcp

import (
	"strings"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// jobOf returns a job as the port has it. diskType is for disks without a type.
func jobOf(j *aiplatformpb.CustomJob, diskType string) vertex.Job {
	if j == nil {
		return vertex.Job{}
	}
	run, request := vertex.Named(j.GetLabels())
	job := vertex.Job{
		Name:               j.GetName(),
		State:              vertex.JobUnspecified,
		Run:                run,
		Request:            request,
		Deployment:         j.GetLabels()[vertex.LabelDeployment],
		PersistentResource: j.GetJobSpec().GetPersistentResourceId(),
		Ask:                message.AskOf(j, diskType),
		CreateTime:         timeOf(j.GetCreateTime()),
		StartTime:          timeOf(j.GetStartTime()),
		EndTime:            timeOf(j.GetEndTime()),
		Timeout:            j.GetJobSpec().GetScheduling().GetTimeout().AsDuration(),
	}
	if j.GetState() != aiplatformpb.JobState_JOB_STATE_UNSPECIFIED {
		job.State = vertex.JobState(strings.TrimPrefix(j.GetState().String(), "JOB_STATE_"))
	}
	// Vertex AI also sends an empty error for none.
	if e := j.GetError(); e.GetCode() != 0 || e.GetMessage() != "" {
		job.Error = &message.JobError{Code: e.GetCode(), Message: e.GetMessage()}
	}
	return job
}

// resourceOf returns a persistent resource as the port has it. diskType is for
// disks without a type.
func resourceOf(r *aiplatformpb.PersistentResource, diskType string) vertex.Resource {
	if r == nil {
		return vertex.Resource{}
	}
	resource := vertex.Resource{
		State:         r.GetState().String(),
		CreateTime:    timeOf(r.GetCreateTime()),
		Network:       r.GetNetwork(),
		EncryptionKey: r.GetEncryptionSpec().GetKmsKeyName(),
		CustomAccount: r.GetResourceRuntimeSpec().GetServiceAccountSpec().GetEnableCustomServiceAccount(),
		Ray:           r.GetResourceRuntimeSpec().GetRaySpec() != nil,
	}
	for _, p := range r.GetResourcePools() {
		pool := capacity.Pool{
			ID:    p.GetId(),
			Count: capacity.Replicas(p.GetReplicaCount()),
			Used:  capacity.Replicas(p.GetUsedReplicaCount()),
			Max:   capacity.Replicas(p.GetAutoscalingSpec().GetMaxReplicaCount()),
		}
		if p.ReplicaCount == nil { // may be left out where the pool autoscales
			pool.Count = capacity.Replicas(p.GetAutoscalingSpec().GetMinReplicaCount())
		}
		// A pool's shape is written as a job's.
		for _, need := range message.AskOf(&aiplatformpb.CustomJob{JobSpec: &aiplatformpb.CustomJobSpec{
			WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{{MachineSpec: p.GetMachineSpec(), DiskSpec: p.GetDiskSpec(), ReplicaCount: 1}},
		}}, diskType) {
			pool.Shape = need.Shape
		}
		resource.Pools = append(resource.Pools, pool)
	}
	return resource
}

func timeOf(t *timestamppb.Timestamp) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.AsTime()
}
