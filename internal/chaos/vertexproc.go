package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/localstack"
	"example.com/berth/internal/localstack/child"
	"example.com/berth/internal/vertex/fakevertex"
)

// vertexEnv makes a process of this program a fake Vertex AI: where to listen,
// the persistent resource it has, and its state file, separated by spaces.
const vertexEnv = "BERTH_CHAOS_VERTEX"

// RoleMain is the main of the processes that a run starts. It returns false at
// once in a process that is none of them. main, and the TestMain of tests that
// run chaos, call it first.
func RoleMain() bool {
	if localstack.FunctionMain() {
		return true
	}
	spec := os.Getenv(vertexEnv)
	if spec == "" {
		return false
	}
	child.EndWithParent()
	if err := serveVertex(spec); err != nil {
		fmt.Fprintln(os.Stderr, "fake Vertex AI:", err)
		os.Exit(1)
	}
	return true
}

func serveVertex(spec string) error {
	part := strings.SplitN(spec, " ", 3)
	if len(part) != 3 {
		return fmt.Errorf("%s=%q", vertexEnv, spec)
	}
	b := fakevertex.DefaultBehaviour()
	b.StartTimeAfter, b.QueuedAfter, b.PendingAfter, b.RunningAfter = 20*time.Millisecond, 40*time.Millisecond, 80*time.Millisecond, 150*time.Millisecond
	b.RunFor, b.CancelAfter, b.ScaleUpAfter, b.ScaleDownAfter = time.Second, 200*time.Millisecond, 300*time.Millisecond, 3*time.Second
	b.SubmitPerMinute, b.OtherPerMinute = 0, 0
	s := fakevertex.New(fakevertex.Options{Behaviour: &b, StateFile: part[2]})
	if len(s.Resources()) == 0 { // the first start
		if _, err := s.AddResource(&aiplatformpb.PersistentResource{Name: part[1], ResourcePools: pools()}); err != nil {
			return err
		}
	}
	lis, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp4", part[0])
	if err != nil {
		return err
	}
	return s.Serve(lis)
}

// Machines of the pools.
const (
	cpuMachine, gpuMachine, bigMachine = "n1-standard-4", "n1-highmem-2", "g2-standard-12"
	cpuCount, gpuCount, gpuMax         = 12, 2, 6
	bigCount                           = 4
)

// pools are two that stay as they are and one that grows and shrinks.
func pools() []*aiplatformpb.ResourcePool {
	return []*aiplatformpb.ResourcePool{
		{MachineSpec: &aiplatformpb.MachineSpec{MachineType: cpuMachine}, ReplicaCount: proto.Int64(cpuCount)},
		{
			MachineSpec:     &aiplatformpb.MachineSpec{MachineType: gpuMachine, AcceleratorType: aiplatformpb.AcceleratorType_NVIDIA_TESLA_T4, AcceleratorCount: 1},
			ReplicaCount:    proto.Int64(gpuCount),
			AutoscalingSpec: &aiplatformpb.ResourcePool_AutoscalingSpec{MinReplicaCount: proto.Int64(gpuCount), MaxReplicaCount: proto.Int64(gpuMax)},
		},
		{
			MachineSpec:  &aiplatformpb.MachineSpec{MachineType: bigMachine, AcceleratorType: aiplatformpb.AcceleratorType_NVIDIA_L4, AcceleratorCount: 1},
			DiskSpec:     &aiplatformpb.DiskSpec{BootDiskType: "pd-standard", BootDiskSizeGb: 200},
			ReplicaCount: proto.Int64(bigCount),
		},
	}
}

// A vertexProcess is a supervised fake Vertex AI: when it dies, another takes
// its place on the same port, with the jobs of the state file.
type vertexProcess struct {
	*child.Service
	host string
}

func startVertex(ctx context.Context, port int, resource, stateFile string, log io.Writer) (*vertexProcess, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	v := &vertexProcess{host: fmt.Sprintf("127.0.0.1:%d", port)}
	listens := func(ctx context.Context) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp4", v.host)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	var err error
	v.Service, err = child.Serve(ctx, child.Spec{Env: []string{vertexEnv + "=" + v.host + " " + resource + " " + stateFile}, Log: log}, listens, nil)
	if err != nil {
		return nil, fmt.Errorf("start the fake Vertex AI at %s: %w", v.host, err)
	}
	return v, nil
}

// freePort returns a port of 127.0.0.1 below those that outgoing connections
// take, so that no other process takes it while the one that serves there is dead.
func freePort(pick func(n int) int) (int, error) {
	for range 200 {
		port := 15000 + pick(15000)
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port between 15000 and 30000")
}
