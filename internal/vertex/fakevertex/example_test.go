package fakevertex_test

import (
	"context"
	"fmt"
	"net"
	"time"

	aiplatform "cloud.google.com/go/aiplatform/apiv1"
	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/vertex/fakevertex"
)

// A server of one pool, as a test of a client uses it: the clock is the test's own.
func Example() {
	clock := fakevertex.NewManualClock(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	server := fakevertex.New(fakevertex.Options{Clock: clock, Seed: 1})
	const parent = "projects/my-project/locations/us-central1"
	machine := &aiplatformpb.MachineSpec{MachineType: "n1-standard-4"}
	_, err := server.AddResource(&aiplatformpb.PersistentResource{
		Name:          parent + "/persistentResources/pool",
		ResourcePools: []*aiplatformpb.ResourcePool{{MachineSpec: machine, ReplicaCount: proto.Int64(1)}},
	})
	check(err)
	check(server.SetJobRules([]fakevertex.JobRule{{Name: "train-*", RunFor: &fakevertex.Span{From: time.Hour, To: time.Hour}}}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() { _ = server.Serve(l) }()
	defer server.Stop()

	ctx := context.Background()
	client, err := aiplatform.NewJobClient(ctx, option.WithEndpoint(l.Addr().String()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	check(err)
	defer client.Close()
	create := func() (*aiplatformpb.CustomJob, error) {
		return client.CreateCustomJob(ctx, &aiplatformpb.CreateCustomJobRequest{Parent: parent, CustomJob: &aiplatformpb.CustomJob{
			DisplayName: "train-1",
			JobSpec: &aiplatformpb.CustomJobSpec{PersistentResourceId: "pool", WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{{
				MachineSpec: machine, ReplicaCount: 1,
				Task: &aiplatformpb.WorkerPoolSpec_ContainerSpec{ContainerSpec: &aiplatformpb.ContainerSpec{ImageUri: "gcr.io/p/train"}},
			}}},
		}})
	}
	job, err := create()
	check(err)
	fmt.Println(job.State)
	for _, d := range []time.Duration{time.Minute, time.Hour} {
		clock.Advance(d)
		job, err = client.GetCustomJob(ctx, &aiplatformpb.GetCustomJobRequest{Name: job.Name})
		check(err)
		fmt.Println(job.State)
	}

	// What the real service leaves open is a switch, and a call can fail.
	server.SetBehaviour(func(b *fakevertex.Behaviour) { b.FullPool = fakevertex.FullResourceExhausted })
	_, err = create()
	check(err)
	_, err = create()
	fmt.Println(status.Code(err))

	// Output:
	// JOB_STATE_PENDING
	// JOB_STATE_RUNNING
	// JOB_STATE_SUCCEEDED
	// ResourceExhausted
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
