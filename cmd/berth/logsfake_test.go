package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1"
	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/cmd/fakevertex/vertextest"
	"example.com/berth/internal/localstack/statefile"
)

// The log of a job at the fake of the local stack, through Google's client.
func TestLogsOfTheFake(t *testing.T) {
	w := newLogWorld(t)
	fake, err := vertextest.New("resources: [{name: pool, resourcePools: [{machineSpec: {machineType: n1-standard-4}, replicaCount: 1}]}]")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fake.Close() })
	client, err := aiplatform.NewJobClient(t.Context(), fake.ClientOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	job, err := client.CreateCustomJob(t.Context(), &aiplatformpb.CreateCustomJobRequest{Parent: "projects/" + vertextest.Project + "/locations/" + vertextest.Region,
		CustomJob: &aiplatformpb.CustomJob{DisplayName: "x", Labels: map[string]string{"fake-end": "failed"}, JobSpec: &aiplatformpb.CustomJobSpec{PersistentResourceId: "pool",
			WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{{MachineSpec: &aiplatformpb.MachineSpec{MachineType: "n1-standard-4"}, ReplicaCount: 1,
				Task: &aiplatformpb.WorkerPoolSpec_ContainerSpec{ContainerSpec: &aiplatformpb.ContainerSpec{ImageUri: "gcr.io/p/i"}}}}}}})
	if err != nil {
		t.Fatal(err)
	}
	fake.Advance(time.Minute)
	w.request.Job, w.request.Resource, w.request.Times.Received = job.GetName(), "projects/"+vertextest.Project+"/locations/us-central1/persistentResources/pool", vertextest.Start
	status := httptest.NewServer(http.HandlerFunc(w.serveStatus))
	defer status.Close()
	logs := func(c logsCmd) (string, error) {
		var o, e bytes.Buffer
		g := &globals{ctx: t.Context(), out: &o, err: &e, target: target{Project: vertextest.Project, StatusURL: status.URL, Timeout: 10 * time.Second,
			pubsub: "x", stack: statefile.State{Vertex: strings.TrimPrefix(fake.URL(), "http://")}}}
		c.ID, c.Every = "r", time.Second
		err := c.run(g, w)
		return o.String(), err
	}
	all, err := logs(logsCmd{})
	if n := strings.Count(all, "\n"); err != nil || n != 8 || !strings.HasPrefix(all, "2026-01-01 00:00:00 UTC  INFO     service        Waiting for job to be provisioned.\n") {
		t.Errorf("%v\n%s", err, all)
	}
	for _, limit := range []int{3, 100} {
		rows := strings.SplitAfter(all, "\n")
		want := strings.Join(rows[max(0, len(rows)-1-limit):], "")
		if got, err := logs(logsCmd{Limit: limit}); err != nil || got != want {
			t.Errorf("the last %d: %v\n%s, want\n%s", limit, err, got, want)
		}
	}
	if out, err := logs(logsCmd{Severity: "error"}); err != nil || strings.Count(out, "\n") != 2 || !strings.HasSuffix(out, "ERROR    service        Job failed.\n") {
		t.Errorf("errors: %v\n%s", err, out)
	}
	for _, task := range []string{"workerpool0", "workerpool0-0"} {
		if out, err := logs(logsCmd{Task: []string{task}}); err != nil || strings.Count(out, "\n") != 1 || !strings.Contains(out, "  workerpool0-0  This is a fake") {
			t.Errorf("task %s: %v\n%s", task, err, out)
		}
	}
	if out, err := logs(logsCmd{Task: []string{"service", "workerpool0"}}); err != nil || out != all {
		t.Errorf("all tasks: %v\n%s", err, out)
	}
}
