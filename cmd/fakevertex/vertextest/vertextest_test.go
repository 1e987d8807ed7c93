package vertextest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	aiplatform "cloud.google.com/go/aiplatform/apiv1"
	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/grpc/status"

	"example.com/berth/cmd/fakevertex/vertextest"
)

const onePool = `
resources:
- name: pool
  resourcePools: [{machineSpec: {machineType: n1-standard-4}, replicaCount: 1}]
jobs:
- {name: train-*, runFor: 1h}
`

// create submits a job of one replica to the resource "pool".
func create(ctx context.Context, c *aiplatform.JobClient, name string) (*aiplatformpb.CustomJob, error) {
	return c.CreateCustomJob(ctx, &aiplatformpb.CreateCustomJobRequest{
		Parent: "projects/" + vertextest.Project + "/locations/" + vertextest.Region,
		CustomJob: &aiplatformpb.CustomJob{DisplayName: name, JobSpec: &aiplatformpb.CustomJobSpec{PersistentResourceId: "pool",
			WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{{MachineSpec: &aiplatformpb.MachineSpec{MachineType: "n1-standard-4"}, ReplicaCount: 1,
				Task: &aiplatformpb.WorkerPoolSpec_ContainerSpec{ContainerSpec: &aiplatformpb.ContainerSpec{ImageUri: "gcr.io/p/train"}}}}}},
	})
}

func Example() {
	fake, err := vertextest.New(onePool)
	check(err)
	defer fake.Close()
	ctx := context.Background()
	client, err := aiplatform.NewJobClient(ctx, fake.ClientOptions()...)
	check(err)
	defer client.Close()

	_, err = create(ctx, client, "train-1")
	check(err)
	fake.Advance(time.Minute)
	fmt.Println(fake.States())
	fake.Advance(time.Hour)
	fmt.Println(fake.States())

	// The answer to the next create is lost.
	check(fake.Change("faults: [{method: CreateCustomJob, count: 1, after: true}]"))
	_, err = create(ctx, client, "train-2")
	fmt.Println(status.Code(err), fake.States())

	// Output:
	// map[RUNNING:1]
	// map[SUCCEEDED:1]
	// Unavailable map[PENDING:1 SUCCEEDED:1]
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func TestFake(t *testing.T) {
	if _, err := vertextest.New("behaviour: {runFor: 10}"); err == nil || !strings.Contains(err.Error(), "scenario:1: behaviour.runFor") {
		t.Errorf("started with a wrong scenario: %v", err)
	}
	var names []string
	for range 2 {
		fake, err := vertextest.New(onePool)
		if err != nil {
			t.Fatal(err)
		}
		client, err := aiplatform.NewJobClient(t.Context(), fake.ClientOptions()...)
		if err != nil {
			t.Fatal(err)
		}
		job, err := create(t.Context(), client, "train-1")
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, job.Name)
		for _, bad := range []string{"seed: 4", "jobs: 1", onePool} {
			if err := fake.Change(bad); err == nil {
				t.Errorf("took %q", bad)
			}
		}
		resp, err := http.Get(fake.URL() + "/admin/clock")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(body), `"virtual"`) || !fake.Now().Equal(vertextest.Start) || fake.Calls()["CreateCustomJob"] != 1 {
			t.Errorf("%s, %v; now %v, calls %v", body, err, fake.Now(), fake.Calls())
		}
		client.Close()
		if err := errors.Join(fake.Close(), fake.Close()); err != nil { // a deferred Close comes after another
			t.Error(err)
		}
	}
	if names[0] != names[1] {
		t.Errorf("ids differ: %v", names)
	}
}
