package fakevertex_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
)

// TestGcloud lets the real gcloud do what a user would do by hand.
func TestGcloud(t *testing.T) {
	if testing.Short() {
		t.Skip("gcloud takes about a second per command")
	}
	path, err := exec.LookPath("gcloud")
	if err != nil {
		t.Skip("gcloud is not installed: ", err)
	}
	w := newWorld(t, nil)
	w.add(t, fixedPool("", 2))
	config := t.TempDir()
	gcloud := func(ok bool, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), path, append([]string{"ai"}, args...)...)
		cmd.Env = append(os.Environ(),
			"CLOUDSDK_CONFIG="+config,
			"CLOUDSDK_CORE_DISABLE_PROMPTS=1",
			"CLOUDSDK_CORE_PROJECT=my-project",
			"CLOUDSDK_AI_REGION=us-central1",
			"CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true",
			"CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM=http://"+w.addr+"/",
		)
		out, err := cmd.CombinedOutput()
		if (err == nil) != ok {
			t.Fatalf("gcloud ai %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	has := func(text string, words ...string) {
		t.Helper()
		for _, word := range words {
			if !strings.Contains(text, word) {
				t.Errorf("%q is not in\n%s", word, text)
			}
		}
	}

	has(gcloud(true, "custom-jobs", "create", "--display-name=by-hand", "--persistent-resource-id=pr", "--labels=fake-run=1h",
		"--worker-pool-spec=machine-type=n1-standard-4,replica-count=2,container-image-uri=gcr.io/p/train"),
		"is submitted successfully")
	job := w.Jobs()[0]
	if job.DisplayName != "by-hand" || job.JobSpec.WorkerPoolSpecs[0].ReplicaCount != 2 || w.Placed(job.Name)[pool] != 2 {
		t.Errorf("job %v is placed %v", job, w.Placed(job.Name))
	}
	id := job.Name[strings.LastIndex(job.Name, "/")+1:]
	w.clock.Advance(5 * time.Second)
	has(gcloud(true, "custom-jobs", "describe", id), "state: JOB_STATE_RUNNING", "bootDiskType: pd-ssd")
	has(gcloud(true, "custom-jobs", "list"), id)
	has(gcloud(true, "persistent-resources", "describe", "pr"), "usedReplicaCount: '2'", "state: RUNNING", "error: {}")
	has(gcloud(true, "persistent-resources", "list"), "persistentResources/pr")
	gcloud(true, "custom-jobs", "cancel", id)
	w.clock.Advance(5 * time.Second)
	if state := w.Jobs()[0].State; state != aiplatformpb.JobState_JOB_STATE_CANCELLED {
		t.Errorf("cancelled by hand, but is %v", state)
	}

	file := filepath.Join(config, "job.yaml")
	spec := "workerPoolSpecs:\n- machineSpec:\n    machineType: n1-standard-4\n  diskSpec:\n    bootDiskType: pd-standard\n" +
		"  replicaCount: 1\n  containerSpec:\n    imageUri: gcr.io/p/train\n"
	if err := os.WriteFile(file, []byte(spec), 0o600); err != nil {
		t.Fatal(err)
	}
	has(gcloud(false, "custom-jobs", "create", "--display-name=other-disk", "--persistent-resource-id=pr", "--config="+file),
		"INVALID_ARGUMENT", "do not match the resource pools")
	has(gcloud(false, "custom-jobs", "describe", "1234"), "NOT_FOUND", "The CustomJob does not exist.")
	gcloud(true, "persistent-resources", "create", "--persistent-resource-id=made",
		"--resource-pool-spec=machine-type=n1-standard-4,replica-count=3,disk-type=pd-standard,disk-size=200")
	if made := w.Resources()[1]; made.ResourcePools[0].GetReplicaCount() != 3 || made.ResourcePools[0].DiskSpec.BootDiskSizeGb != 200 {
		t.Errorf("made %v", made)
	}
	if n := w.Calls()["CreateCustomJob"]; n != 2 {
		t.Errorf("%d creates, want 2", n)
	}
}
