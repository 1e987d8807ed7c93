package message

import (
	"errors"
	"strings"
	"testing"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/reflect/protoreflect"

	"example.com/berth/internal/spelling"
)

// TestNearestNames is about what is proposed for names as users misspell them.
// want is one name, several that may all be meant, or nothing. A name that is
// proposed as certain has a "!" before it.
func TestNearestNames(t *testing.T) {
	enum := func(ed protoreflect.EnumDescriptor) (names []string) {
		for i := 1; i < ed.Values().Len(); i++ {
			names = append(names, string(ed.Values().Get(i).Name()))
		}
		return names
	}
	fields := func(m protoreflect.Message) (names []string) {
		fd := m.Descriptor().Fields()
		for i := range fd.Len() {
			names = append(names, fd.Get(i).JSONName())
		}
		return names
	}
	accelerators := enum(aiplatformpb.AcceleratorType(0).Descriptor())
	strategies := enum(aiplatformpb.Scheduling_Strategy(0).Descriptor())
	machine := fields((&aiplatformpb.MachineSpec{}).ProtoReflect())
	pool := fields((&aiplatformpb.WorkerPoolSpec{}).ProtoReflect())
	spec := fields((&aiplatformpb.CustomJobSpec{}).ProtoReflect())
	container := fields((&aiplatformpb.ContainerSpec{}).ProtoReflect())
	disk := fields((&aiplatformpb.DiskSpec{}).ProtoReflect())
	scheduling := fields((&aiplatformpb.Scheduling{}).ProtoReflect())
	options := []string{"displayName", "dryRun", "labels", "maxWait", "onFull", "persistentResource", "priority", "requestId"}
	machines := []string{"n1-standard-4", "n1-standard-8", "n1-highmem-8", "g2-standard-12", "a2-highgpu-1g", "a2-ultragpu-1g", "a3-highgpu-8g", "a3-megagpu-8g", "e2-standard-4", "ct5lp-hightpu-4t"}
	disks := []string{"pd-ssd", "pd-standard", "hyperdisk-balanced"}

	for _, c := range []struct {
		in    string
		names []string
		v     spelling.Vocabulary
		want  string
	}{
		{"NVIDIA_H100", accelerators, enumWords, "NVIDIA_H100_80GB NVIDIA_H100_MEGA_80GB"},
		{"H100", accelerators, enumWords, "NVIDIA_H100_80GB NVIDIA_H100_MEGA_80GB"},
		{"nvidia-h100", accelerators, enumWords, "NVIDIA_H100_80GB NVIDIA_H100_MEGA_80GB"},
		{"nvidia-h100-80gb", accelerators, enumWords, "!NVIDIA_H100_80GB"},
		{"H100_80GB", accelerators, enumWords, "!NVIDIA_H100_80GB"},
		{"NVIDIA_TESLA_H100_80GB", accelerators, enumWords, "!NVIDIA_H100_80GB"},
		{"NVIDIA_H100_MEGA", accelerators, enumWords, "NVIDIA_H100_MEGA_80GB"},
		{"nvidia-h100-mega-80gb", accelerators, enumWords, "!NVIDIA_H100_MEGA_80GB"},
		{"H100_94GB", accelerators, enumWords, "NVIDIA_H100_80GB NVIDIA_H100_MEGA_80GB"},
		{"NVIDIA_TESLA_A100_80GB", accelerators, enumWords, "!NVIDIA_A100_80GB"},
		{"NVIDIA_A100", accelerators, enumWords, "NVIDIA_TESLA_A100 NVIDIA_A100_80GB"},
		{"A100", accelerators, enumWords, "NVIDIA_TESLA_A100 NVIDIA_A100_80GB"},
		{"A100_40GB", accelerators, enumWords, "NVIDIA_TESLA_A100"},
		{"NVIDIA_TESLA_A100_40GB", accelerators, enumWords, "NVIDIA_TESLA_A100"},
		{"nvidia-a100-80gb", accelerators, enumWords, "!NVIDIA_A100_80GB"},
		{"A100-SXM4-80GB", accelerators, enumWords, "!NVIDIA_A100_80GB"},
		{"a10080gb", accelerators, enumWords, "NVIDIA_A100_80GB"},
		{"NVIDIA_T4", accelerators, enumWords, "!NVIDIA_TESLA_T4"},
		{"T4", accelerators, enumWords, "!NVIDIA_TESLA_T4"},
		{"nvidia-tesla-t4", accelerators, enumWords, "!NVIDIA_TESLA_T4"},
		{"NVIDIA_TELSA_T4", accelerators, enumWords, "!NVIDIA_TESLA_T4"},
		{"NVDIA_TESLA_T4", accelerators, enumWords, "!NVIDIA_TESLA_T4"},
		{"teslat4", accelerators, enumWords, "NVIDIA_TESLA_T4"},
		{"V100", accelerators, enumWords, "!NVIDIA_TESLA_V100"},
		{"NVIDIA_P100", accelerators, enumWords, "!NVIDIA_TESLA_P100"},
		{"K80", accelerators, enumWords, "!NVIDIA_TESLA_K80"},
		{"NVIDIA_TESLA_L4", accelerators, enumWords, "!NVIDIA_L4"},
		{"L4", accelerators, enumWords, "!NVIDIA_L4"},
		{"NVIDIA_H200", accelerators, enumWords, "NVIDIA_H200_141GB"},
		{"NVIDIA_TESLA_B200", accelerators, enumWords, "!NVIDIA_B200"},
		{"NVIDIA_RTX_6000", accelerators, enumWords, "NVIDIA_RTX_PRO_6000"},
		{"NVIDIA_L40S", accelerators, enumWords, ""},
		{"NVIDIA_B100", accelerators, enumWords, ""},
		{"banana", accelerators, enumWords, ""},
		{"TPU_V5E", accelerators, enumWords, "TPU_V5_LITEPOD"},
		{"v5e", accelerators, enumWords, "TPU_V5_LITEPOD"},
		{"TPU_V5LITE", accelerators, enumWords, "TPU_V5_LITEPOD"},
		{"tpu-v5-lite-podslice", accelerators, enumWords, "TPU_V5_LITEPOD"},
		{"TPU_V5_LITE", accelerators, enumWords, "TPU_V5_LITEPOD"},
		{"TPU_V4", accelerators, enumWords, "TPU_V4_POD"},
		{"TPU_V5P", accelerators, enumWords, ""},
		{"TPU_V6E", accelerators, enumWords, ""},
		{"TPU", accelerators, enumWords, "TPU_V2 TPU_V3 TPU_V4_POD TPU_V5_LITEPOD"},
		{"flex-start", strategies, enumWords, "!FLEX_START"},
		{"FLEX", strategies, enumWords, "FLEX_START"},
		{"standrd", strategies, enumWords, "STANDARD"},
		{"PREEMPTIBLE", strategies, enumWords, "SPOT"},
		{"acceleratorNumber", machine, fieldWords, "acceleratorCount"},
		{"acceleratorsCount", machine, fieldWords, "!acceleratorCount"},
		{"acceleratorTyp", machine, fieldWords, "acceleratorType"},
		{"accelerator", machine, fieldWords, "acceleratorType acceleratorCount"},
		{"gpuType", machine, fieldWords, "acceleratorType"},
		{"gpu_count", machine, fieldWords, "acceleratorCount"},
		{"num_gpus", machine, fieldWords, "acceleratorCount"},
		{"machineTpye", machine, fieldWords, "machineType"},
		{"machine", machine, fieldWords, "machineType"},
		{"replicas", pool, fieldWords, "replicaCount"},
		{"numReplicas", pool, fieldWords, "replicaCount"},
		{"nodeCount", pool, fieldWords, "replicaCount"},
		{"replicacount", pool, fieldWords, "!replicaCount"},
		{"containerSpce", pool, fieldWords, "containerSpec"},
		{"disk", pool, fieldWords, "diskSpec"},
		{"workerPoolSpec", spec, fieldWords, "!workerPoolSpecs"},
		{"wokerPoolSpecs", spec, fieldWords, "workerPoolSpecs"},
		{"base_output_dir", spec, fieldWords, "baseOutputDirectory"},
		{"imageUrl", container, fieldWords, "imageUri"},
		{"image", container, fieldWords, "imageUri"},
		{"arguments", container, fieldWords, "args"},
		{"cmd", container, fieldWords, "command"},
		{"envVars", container, fieldWords, "env"},
		{"bootDiskSize", disk, fieldWords, "bootDiskSizeGb"},
		{"boot_disk_size_gb", disk, fieldWords, "!bootDiskSizeGb"},
		{"diskType", disk, fieldWords, "bootDiskType"},
		{"maxRunDuration", scheduling, fieldWords, "timeout"},
		{"timeOut", scheduling, fieldWords, "!timeout"},
		{"prio", options, optionWords, "priority"},
		{"request_id", options, optionWords, "!requestId"},
		{"idempotencyKey", options, optionWords, "requestId"},
		{"dryrun", options, optionWords, "!dryRun"},
		{"n1-standard4", machines, spelling.Vocabulary{}, "!n1-standard-4"},
		{"n1_standard_8", machines, spelling.Vocabulary{}, "!n1-standard-8"},
		{"n1-standrd-4", machines, spelling.Vocabulary{}, "n1-standard-4"},
		{"N1-STANDARD-4", machines, spelling.Vocabulary{}, "!n1-standard-4"},
		{"n1-highmemory-8", machines, spelling.Vocabulary{}, "n1-highmem-8"},
		{"a2-high-gpu-1g", machines, spelling.Vocabulary{}, "!a2-highgpu-1g"},
		{"a2-ultra-1g", machines, spelling.Vocabulary{}, "a2-ultragpu-1g"},
		{"a3-mega-8g", machines, spelling.Vocabulary{}, "a3-megagpu-8g"},
		{"g2-standard-12g", machines, spelling.Vocabulary{}, "g2-standard-12"},
		{"c9-giant-2", machines, spelling.Vocabulary{}, ""},
		{"pd_ssd", disks, spelling.Vocabulary{}, "!pd-ssd"},
		{"PD-SSD", disks, spelling.Vocabulary{}, "!pd-ssd"},
		{"ssd", disks, spelling.Vocabulary{}, "pd-ssd"},
		{"pd-sdd", disks, spelling.Vocabulary{}, "pd-ssd pd-standard"},
		{"standard", disks, spelling.Vocabulary{}, "pd-standard"},
		{"pd-std", disks, spelling.Vocabulary{}, "pd-ssd pd-standard"},
		{"hyperdisk", disks, spelling.Vocabulary{}, "hyperdisk-balanced"},
		{"hyper-disk-balanced", disks, spelling.Vocabulary{}, "!hyperdisk-balanced"},
	} {
		near, sure := spelling.Nearest(c.in, c.names, c.v)
		got := strings.Join(near, " ")
		if sure {
			got = "!" + got
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.in, got, c.want)
		}
	}
}

// TestUnknownFieldsWithAMeaning is about names of other tools: each is answered
// with the field or the kind of document that is meant.
func TestUnknownFieldsWithAMeaning(t *testing.T) {
	const pool = `{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":1,"containerSpec":{"imageUri":"i"}}`
	for _, c := range []struct{ data, path, says string }{
		{`{"workerPoolSpecs":[` + pool + `],"base_output_dir":"gs://b"}`, "base_output_dir", `Write baseOutputDirectory: {"outputUriPrefix"`},
		{`{"displayName":"x","jobSpec":{"workerPoolSpecs":[` + pool + `],"baseOutputDir":"gs://b"}}`, "jobSpec.baseOutputDir", `Write jobSpec.baseOutputDirectory: {"outputUriPrefix"`},
		{`{"customJob":{"jobSpec":{"workerPoolSpecs":[` + pool + `]}}}`, "customJob", `Write {"job": {...}}`},
		{`{"parent":"projects/p/locations/l","custom_job":{}}`, "custom_job", `Write {"job": {...}}`},
		{`{"displayName":"x","spec":{"workerPoolSpecs":[` + pool + `]}}`, "spec", "jobSpec; did you mean that?"},
		{`{"job":{"display_name":"x","spec":{}}}`, "job.spec", "job.job_spec; did you mean that?"},
		{`{"displayName":"x","trialJobSpec":{},"studySpec":{}}`, "trialJobSpec", "trialJobSpec holds"},
		{`{"displayName":"x","trainingTaskDefinition":"gs://","trainingTaskInputs":{"workerPoolSpecs":[]}}`, "trainingTaskInputs", "This is a TrainingPipeline"},
		{`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"x"},"spec":{}}`, "apiVersion", "This is a Kubernetes Job"},
		{"apiVersion: jobset.x-k8s.io/v1alpha2\nkind: JobSet\nspec: {}", "apiVersion", "This is a Kubernetes JobSet"},
		{`{"apiVersion":"v1","kind":"Pod","spec":{}}`, "apiVersion", "This is a Kubernetes Pod"},
		{`{"displayName":"x","pipelineSpec":{}}`, "pipelineSpec", "This is a PipelineJob"},
		{`{"pipelineInfo":{"name":"x"},"root":{},"schemaVersion":"2.1.0"}`, "pipelineInfo", "a compiled pipeline"},
		{`{"displayName":"x","resourcePools":[{}]}`, "resourcePools", "This is a PersistentResource"},
		{`{"jobId":"x","trainingInput":{}}`, "trainingInput", "AI Platform Training"},
		{`{"display_name":"x","worker_pool_specs":[` + pool + `],"timeout":"3600s"}`, "timeout", "scheduling.timeout"},
		{`{"worker_pool_specs":[` + pool + `],"restart_job_on_worker_restart":true}`, "restart_job_on_worker_restart", "scheduling.restart_job_on_worker_restart"},
		{`{"worker_pool_specs":[` + pool + `],"encryption_spec_key_name":"k"}`, "encryption_spec_key_name", "kms_key_name"},
		{`{"worker_pool_specs":[` + pool + `],"location":"us-central1"}`, "location", "persistentResource"},
		{`{"worker_pool_specs":[` + pool + `],"strategy":"SPOT"}`, "strategy", "scheduling.strategy"},
		{`{"worker-pool-spec":[` + pool + `]}`, "worker-pool-spec", "jobSpec.workerPoolSpecs"},
		{`[{"machine-type":"n1-standard-4","replica-count":1,"container-image-uri":"i"}]`, "[0].machine-type", "[0].machineSpec.machineType"},
		{`[{"machine-type":"n1-standard-4","replica-count":1,"container-image-uri":"i"}]`, "[0].container-image-uri", "[0].containerSpec.imageUri"},
		{`[` + pool + `,{"machine-type":"n1-standard-4","replicaCount":1,"containerSpec":{"imageUri":"i"}}]`, "[1].machine-type", "[1].machineSpec.machineType"},
		{`{"job":{"jobSpec":{"workerPoolSpecs":[{"machineType":"x"}]}}}`, "job.jobSpec.workerPoolSpecs[0].machineType", "job.jobSpec.workerPoolSpecs[0].machineSpec.machineType"},
		{`{"job":{"job_spec":{"worker_pool_specs":{"machine_type":"x"}}}}`, "job.job_spec.worker_pool_specs.machine_type", "job.job_spec.worker_pool_specs.machine_spec.machine_type"},
		{`{"job":[` + pool + `],"serviceAccount":"x"}`, "serviceAccount", "Put it into the job"},
		{`{"job":[` + pool + `],"timeout":"5s"}`, "timeout", "Put it into the job"},
	} {
		_, err := Decode(Delivery{ID: "1", Data: []byte(c.data)})
		var r *Refusal
		if !errors.As(err, &r) {
			t.Errorf("%s: taken", c.data)
			continue
		}
		found := false
		for _, p := range r.Problems {
			if strings.Contains(p.Fix, "Leave it out") {
				t.Errorf("%s: %s", c.data, p)
			}
			found = found || p.Path == c.path && strings.Contains(p.Detail+" "+p.Fix, c.says)
		}
		if !found {
			t.Errorf("%s: want %s at %s, found %v", c.data, c.says, c.path, r.Problems)
		}
	}
}
