package gcp

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// states are what Vertex AI calls the states of a job, and what the port does.
var states = map[aiplatformpb.JobState]vertex.JobState{
	aiplatformpb.JobState_JOB_STATE_UNSPECIFIED:         vertex.JobUnspecified,
	aiplatformpb.JobState_JOB_STATE_QUEUED:              vertex.JobQueued,
	aiplatformpb.JobState_JOB_STATE_PENDING:             vertex.JobPending,
	aiplatformpb.JobState_JOB_STATE_RUNNING:             vertex.JobRunning,
	aiplatformpb.JobState_JOB_STATE_SUCCEEDED:           vertex.JobSucceeded,
	aiplatformpb.JobState_JOB_STATE_FAILED:              vertex.JobFailed,
	aiplatformpb.JobState_JOB_STATE_CANCELLING:          vertex.JobCancelling,
	aiplatformpb.JobState_JOB_STATE_CANCELLED:           vertex.JobCancelled,
	aiplatformpb.JobState_JOB_STATE_PAUSED:              vertex.JobPaused,
	aiplatformpb.JobState_JOB_STATE_EXPIRED:             vertex.JobExpired,
	aiplatformpb.JobState_JOB_STATE_UPDATING:            vertex.JobUpdating,
	aiplatformpb.JobState_JOB_STATE_PARTIALLY_SUCCEEDED: vertex.JobPartiallySucceeded,
}

// Every state is mapped, and exactly those in which a job has ended are kept out
// of the list of live jobs: one that is missing there fills the list, one too many
// hides jobs that hold machines.
func TestStatesAndLiveFilter(t *testing.T) {
	terms := strings.Split(liveFilter, " AND ")
	for number, name := range aiplatformpb.JobState_name {
		state := aiplatformpb.JobState(number)
		want, known := states[state]
		if !known {
			t.Errorf("the library has a state %s that this test does not know", name)
		}
		if got := jobOf(&aiplatformpb.CustomJob{State: state}, "").State; got != want {
			t.Errorf("%s is mapped to %q, want %q", name, got, want)
		}
		excluded := 0
		for _, term := range terms {
			if term == fmt.Sprintf("state!=%q", name) {
				excluded++
			}
		}
		if (excluded == 1) != want.Ended() || excluded > 1 {
			t.Errorf("%s is excluded %d times by %s; ended: %t", name, excluded, liveFilter, want.Ended())
		}
	}
	if len(terms) != 5 {
		t.Errorf("the filter has %d terms: %s", len(terms), liveFilter)
	}
}

// fullJob is a job with a value in every field that is read.
func fullJob() *aiplatformpb.CustomJob {
	at := func(s int64) *timestamppb.Timestamp { return &timestamppb.Timestamp{Seconds: s} }
	return &aiplatformpb.CustomJob{
		Name: parent + "/customJobs/7", DisplayName: "shown", State: aiplatformpb.JobState_JOB_STATE_FAILED,
		Labels:     map[string]string{vertex.LabelRun: "run-1", vertex.LabelRequest: string(requestKey), vertex.LabelDeployment: "dep", "other": "x"},
		CreateTime: at(1), StartTime: at(2), EndTime: at(3), UpdateTime: at(4),
		Error: &status.Status{Code: 9, Message: "it broke"},
		JobSpec: &aiplatformpb.CustomJobSpec{PersistentResourceId: "pool", Scheduling: &aiplatformpb.Scheduling{Timeout: durationpb.New(90 * time.Minute)}, WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{
			{MachineSpec: gpuSpec(), DiskSpec: &aiplatformpb.DiskSpec{BootDiskSizeGb: 200}, ReplicaCount: 3},
		}},
	}
}

func TestJobOf(t *testing.T) {
	want := vertex.Job{
		Name: parent + "/customJobs/7", State: vertex.JobFailed, Run: "run-1", Request: requestKey, Deployment: "dep", PersistentResource: "pool",
		Ask: capacity.Ask{{Shape: gpuShape, Replicas: 3}}, Error: &message.JobError{Code: 9, Message: "it broke"},
		CreateTime: time.Unix(1, 0).UTC(), StartTime: time.Unix(2, 0).UTC(), EndTime: time.Unix(3, 0).UTC(), Timeout: 90 * time.Minute,
	}
	if diff := cmp.Diff(want, jobOf(fullJob(), "")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(vertex.Job{}, jobOf(nil, "")); diff != "" {
		t.Errorf("no job: %s", diff)
	}
	for name, c := range map[string]struct {
		in   *status.Status
		want *message.JobError
	}{
		"none": {nil, nil}, "an empty one": {&status.Status{}, nil},
		"a code alone": {&status.Status{Code: 3}, &message.JobError{Code: 3}},
		"words alone":  {&status.Status{Message: "m"}, &message.JobError{Message: "m"}},
	} {
		if diff := cmp.Diff(c.want, jobOf(&aiplatformpb.CustomJob{Error: c.in}, "").Error); diff != "" {
			t.Errorf("error %s: %s", name, diff)
		}
	}
	if j := jobOf(&aiplatformpb.CustomJob{}, ""); !j.CreateTime.IsZero() || !j.StartTime.IsZero() || !j.EndTime.IsZero() {
		t.Errorf("times that are not set: %+v", j)
	}
}

// A list asks for the fields that are read of it, and for all of them.
func TestWantedFields(t *testing.T) {
	masked := fullJob()
	masked.ProtoReflect().Range(func(fd protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		for _, name := range wanted {
			if name == string(fd.Name()) {
				return true
			}
		}
		masked.ProtoReflect().Clear(fd)
		return true
	})
	if diff := cmp.Diff(jobOf(fullJob(), ""), jobOf(masked, "")); diff != "" {
		t.Errorf("of a job in a list (-whole +listed):\n%s", diff)
	}
	fields := (&aiplatformpb.CustomJob{}).ProtoReflect().Descriptor().Fields()
	for _, name := range wanted {
		if fields.ByName(protoreflect.Name(name)) == nil {
			t.Errorf("a job has no field %s", name)
		}
		less := fullJob()
		less.ProtoReflect().Clear(fields.ByName(protoreflect.Name(name)))
		if cmp.Equal(jobOf(fullJob(), ""), jobOf(less, "")) {
			t.Errorf("the field %s is asked for, and nothing is read of it", name)
		}
	}
}

func TestResourceOf(t *testing.T) {
	in := &aiplatformpb.PersistentResource{
		State: aiplatformpb.PersistentResource_STOPPING, CreateTime: &timestamppb.Timestamp{Seconds: 5}, Network: "net",
		EncryptionSpec: &aiplatformpb.EncryptionSpec{KmsKeyName: "key"},
		ResourceRuntimeSpec: &aiplatformpb.ResourceRuntimeSpec{
			ServiceAccountSpec: &aiplatformpb.ServiceAccountSpec{EnableCustomServiceAccount: true},
		},
		ResourcePools: []*aiplatformpb.ResourcePool{
			{Id: "fixed", ReplicaCount: proto.Int64(3), UsedReplicaCount: 2, MachineSpec: &aiplatformpb.MachineSpec{MachineType: "n1-standard-4"}},
			{Id: "scales", AutoscalingSpec: &aiplatformpb.ResourcePool_AutoscalingSpec{MinReplicaCount: proto.Int64(1), MaxReplicaCount: proto.Int64(4)},
				MachineSpec: gpuSpec(), DiskSpec: &aiplatformpb.DiskSpec{BootDiskSizeGb: 200}},
			{Id: "both", ReplicaCount: proto.Int64(0), MachineSpec: gpuSpec(), DiskSpec: &aiplatformpb.DiskSpec{BootDiskSizeGb: 200},
				AutoscalingSpec: &aiplatformpb.ResourcePool_AutoscalingSpec{MinReplicaCount: proto.Int64(1), MaxReplicaCount: proto.Int64(4)}},
		},
	}
	got := resourceOf(in, "")
	pools := []capacity.Pool{
		{ID: "fixed", Shape: cpuShape, Count: 3, Used: 2},
		{ID: "scales", Shape: gpuShape, Count: 1, Max: 4},
		{ID: "both", Shape: gpuShape, Count: 0, Max: 4},
	}
	if got.State != "STOPPING" || !got.CreateTime.Equal(time.Unix(5, 0)) || got.Network != "net" || got.EncryptionKey != "key" || !got.CustomAccount {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(pools, got.Pools); diff != "" {
		t.Errorf("pools (-want +got)\n%s", diff)
	}
	if plain := resourceOf(&aiplatformpb.PersistentResource{State: aiplatformpb.PersistentResource_RUNNING}, ""); plain.State != vertex.Running || plain.CustomAccount || plain.Pools != nil {
		t.Errorf("a plain one: %+v", plain)
	}
	if diff := cmp.Diff(vertex.Resource{}, resourceOf(nil, "")); diff != "" {
		t.Errorf("no resource: %s", diff)
	}
}
