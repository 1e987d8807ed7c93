package localstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/localstack/child"
	"example.com/berth/internal/localstack/collector"
	"example.com/berth/internal/localstack/emulator"
	"example.com/berth/internal/vertex"
	"example.com/berth/internal/vertex/fakevertex"
	"example.com/berth/internal/vertex/fakevertex/scenario"
)

// What the stack calls things. Topics are named as a deployment names them.
const (
	Region        = "us-central1"
	ResourceID    = "pool"
	RequestTopic  = "berth-requests"
	OperatorTopic = "berth-operators"
	TickTopic     = "berth-ticks"
	OutcomeTopic  = "berth-outcomes"
	DeadTopic     = "berth-dead-letters"
	OutcomePull   = "localstack-outcomes" // subscription that the story follows
	DeadPull      = "berth-dead-letters"
	operatorPush  = "berth-operators"
	defaultTick   = 2 * time.Second
	defaultPoll   = 300 * time.Millisecond
	stopWithin    = 10 * time.Second
	// A push that was cut off by a kill counts as out until its deadline, and the
	// official emulator has two out at a time.
	ackDeadline   = 10 * time.Second
	functionLimit = "9s"
)

// Options say how to start a stack. The zero value is usable.
type Options struct {
	Project  string // project id; "" for berth-local
	Embedded bool   // do not use official emulators

	// Ports of 127.0.0.1, 1 to 65535; 0 picks a free one.
	FunctionPort, PubSubPort, FirestorePort, VertexPort int

	Tick time.Duration // period of the tick topic; 0 for 2 s
	Env  []string      // further variables of the function process, KEY=value

	Traces bool // have a collector take the function's traces and metrics

	Behaviour *fakevertex.Behaviour // of the fake Vertex AI; nil for its defaults with quick jobs
	Log       io.Writer             // logs of all processes; nil drops them
	Say       func(format string, args ...any)
}

// A Stack is everything that Berth needs, running on this machine.
type Stack struct {
	Project   string
	Firestore string // host:port, "" with the embedded ledger
	PubSub    string
	Vertex    string
	Function  *Function
	Fake      *fakevertex.Server
	Client    *pubsub.Client
	Collector *collector.Collector // nil without traces

	conn  *grpc.ClientConn
	tick  *time.Ticker
	stops []func() error
	ended chan struct{}
	lost  chan error
}

// ResourceName is the full name of the stack's persistent resource.
func (s *Stack) ResourceName() string {
	return vertex.InRegion(s.Project, Region).Resource(ResourceID).String()
}

// QuickJobs is the fake's behaviour in a stack: jobs run for two seconds,
// submissions are not limited to one a second.
func QuickJobs() fakevertex.Behaviour {
	b := fakevertex.DefaultBehaviour()
	b.StartTimeAfter, b.QueuedAfter, b.PendingAfter, b.RunningAfter = 50*time.Millisecond, 100*time.Millisecond, 200*time.Millisecond, 400*time.Millisecond
	b.RunFor, b.CancelAfter, b.ScaleUpAfter = 2*time.Second, 500*time.Millisecond, time.Second
	b.SubmitPerMinute, b.OtherPerMinute = 0, 0
	return b
}

// Pools are the stack's: a fixed CPU pool, an autoscaled one with T4s, and one
// with L4s and a larger disk of the slower kind.
func Pools() []*aiplatformpb.ResourcePool {
	return []*aiplatformpb.ResourcePool{
		{
			MachineSpec:  &aiplatformpb.MachineSpec{MachineType: "n1-standard-4"},
			ReplicaCount: proto.Int64(4),
		},
		{
			MachineSpec: &aiplatformpb.MachineSpec{MachineType: "n1-highmem-2",
				AcceleratorType: aiplatformpb.AcceleratorType_NVIDIA_TESLA_T4, AcceleratorCount: 1},
			ReplicaCount:    proto.Int64(1),
			AutoscalingSpec: &aiplatformpb.ResourcePool_AutoscalingSpec{MinReplicaCount: proto.Int64(1), MaxReplicaCount: proto.Int64(3)},
		},
		{
			MachineSpec: &aiplatformpb.MachineSpec{MachineType: "g2-standard-12",
				AcceleratorType: aiplatformpb.AcceleratorType_NVIDIA_L4, AcceleratorCount: 1},
			DiskSpec:     &aiplatformpb.DiskSpec{BootDiskType: "pd-standard", BootDiskSizeGb: 200},
			ReplicaCount: proto.Int64(2),
		},
	}
}

// Start starts a stack and returns when all of it answers. ctx bounds the
// start. After an error nothing is left running. Options that cannot work are an
// [OptionError], before anything is started.
func Start(ctx context.Context, o Options) (*Stack, error) {
	if o.Project == "" {
		o.Project = "berth-local"
	}
	if o.Tick == 0 {
		o.Tick = defaultTick
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Say == nil {
		o.Say = func(string, ...any) {}
	}
	if err := o.check(ctx); err != nil {
		return nil, err
	}
	s := &Stack{Project: o.Project, ended: make(chan struct{}), lost: make(chan error, 2)}
	if err := s.start(ctx, o); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Stack) start(ctx context.Context, o Options) error {
	if err := s.startPubSub(ctx, o); err != nil {
		return err
	}
	if err := s.startFirestore(ctx, o); err != nil {
		return err
	}
	if err := s.startVertex(o); err != nil {
		return err
	}
	o.Say("  %-12s %s", "Vertex AI", "fake at "+s.Vertex)
	var err error
	if o.Traces {
		if s.Collector, err = collector.Start(); err != nil {
			return err
		}
		s.stops = append(s.stops, s.Collector.Stop)
		o.Env = append(slices.Clip(o.Env), "OTEL_EXPORTER_OTLP_ENDPOINT="+s.Collector.URL(), "OTEL_METRIC_EXPORT_INTERVAL=1")
		o.Say("  %-12s OTLP over HTTP at %s", "collector", s.Collector.URL())
	}
	if s.Function, err = StartFunction(ctx, o.FunctionPort, append(s.environment(o), o.Env...), o.Log); err != nil {
		return err
	}
	s.stops = append(s.stops, s.Function.Stop)
	o.Say("  %-12s functions framework at %s, process %d", "function", s.Function.URL(""), s.Function.PID())
	s.Function.OnRestart(func(r child.Restart) {
		lost := ""
		if s.Firestore == "" {
			lost = "; the ledger was in its memory and is empty now"
		}
		o.Say("  %-12s process %d ended (%s); process %d takes its place%s", "function", r.Ended, r.Why, r.PID, lost)
	})
	if err := unshared(ctx, s.PubSub, s.topology()); err != nil {
		return err
	}
	if err := Apply(ctx, s.PubSub, s.topology()); err != nil {
		return fmt.Errorf("make topics and subscriptions: %w", err)
	}
	return s.startTicks(ctx, o.Tick)
}

// watch closes Lost when an emulator of this stack ends without Stop.
func (s *Stack) watch(e *emulator.Emulator) {
	if !e.Started() {
		return
	}
	go func() {
		<-e.Exited()
		s.lost <- fmt.Errorf("the %s (process %d) has ended", e.Name(), e.PID())
	}()
}

// Lost receives an error when a part of the stack that nothing replaces has
// ended. It receives one for each part that Stop ends, too.
func (s *Stack) Lost() <-chan error { return s.lost }

func (s *Stack) startPubSub(ctx context.Context, o Options) error {
	if !o.Embedded {
		e, err := emulator.StartPubSub(ctx, emulator.Options{Port: o.PubSubPort, Output: o.Log})
		if err == nil {
			s.PubSub = e.Host()
			s.stops = append(s.stops, e.Stop)
			s.watch(e)
			o.Say("  %-12s official emulator at %s", "Pub/Sub", s.PubSub)
			return nil
		}
		if !errors.Is(err, emulator.ErrNotInstalled) {
			return fmt.Errorf("start Pub/Sub emulator: %w", err)
		}
		o.Say("  %-12s no official emulator: %v", "Pub/Sub", err)
	}
	b, err := StartBroker(BrokerOptions{Port: o.PubSubPort})
	if err != nil {
		return fmt.Errorf("start embedded Pub/Sub: %w", err)
	}
	s.PubSub = b.Host()
	s.stops = append(s.stops, b.Stop)
	o.Say("  %-12s embedded at %s", "Pub/Sub", s.PubSub)
	return nil
}

func (s *Stack) startFirestore(ctx context.Context, o Options) error {
	if !o.Embedded {
		e, err := emulator.StartFirestore(ctx, emulator.Options{Port: o.FirestorePort, Output: o.Log})
		if err == nil {
			s.Firestore = e.Host()
			s.stops = append(s.stops, e.Stop)
			s.watch(e)
			o.Say("  %-12s official emulator at %s", "Firestore", s.Firestore)
			return nil
		}
		if !errors.Is(err, emulator.ErrNotInstalled) {
			return fmt.Errorf("start Firestore emulator: %w", err)
		}
		o.Say("  %-12s no official emulator: %v", "Firestore", err)
	}
	o.Say("  %-12s embedded in the function process (lost when it ends)", "ledger")
	return nil
}

func (s *Stack) startVertex(o Options) error {
	behaviour := o.Behaviour
	if behaviour == nil {
		quick := QuickJobs()
		behaviour = &quick
	}
	s.Fake = fakevertex.New(fakevertex.Options{Behaviour: behaviour})
	if _, err := s.Fake.AddResource(&aiplatformpb.PersistentResource{Name: s.ResourceName(), ResourcePools: Pools()}); err != nil {
		return fmt.Errorf("make persistent resource %s: %w", s.ResourceName(), err)
	}
	s.Fake.Handle(scenario.AdminPath, scenario.NewAdmin(s.Fake, nil, nil, scenario.Location{Project: s.Project, Region: Region}))
	lis, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(o.VertexPort)))
	if err != nil {
		return fmt.Errorf("listen for the fake Vertex AI: %w", err)
	}
	s.Vertex = lis.Addr().String()
	go func() { _ = s.Fake.Serve(lis) }()
	s.stops = append(s.stops, func() error { s.Fake.Stop(); return nil })
	return nil
}

// environment is the function's, as a deployment sets it, with shorter times.
func (s *Stack) environment(o Options) []string {
	env := []string{
		"BERTH_PROJECT=" + s.Project, "BERTH_REGIONS=" + Region, "BERTH_DEFAULT_RESOURCE=" + ResourceID,
		"BERTH_DEPLOYMENT=local", "BERTH_OPERATORS_SUBSCRIPTION=" + operatorPush, "BERTH_OUTCOME_TOPIC=" + OutcomeTopic, "BERTH_STATUS_ALL_TENANTS=true",
		"BERTH_TICK=" + o.Tick.String(), "BERTH_POLL=" + defaultPoll.String(), "BERTH_TIMEOUT=" + functionLimit,
		"BERTH_VERTEX_ENDPOINT=" + s.Vertex, "BERTH_EMULATORS=true",
		"PUBSUB_EMULATOR_HOST=" + s.PubSub, "FUNCTION_TARGET=",
		// A lost answer is resolved in seconds here, not in minutes.
		"BERTH_SUBMIT_TIMEOUT=6s", "BERTH_RETRY_AFTER=2s", "BERTH_UNCLEAR_TIMEOUT=20s", "BERTH_PUBLISH_GRACE=2s",
	}
	if s.Firestore == "" {
		return append(env, "BERTH_LEDGER=memory", "FIRESTORE_EMULATOR_HOST=")
	}
	return append(env, "BERTH_LEDGER=firestore", "FIRESTORE_EMULATOR_HOST="+s.Firestore)
}

func (s *Stack) topology() Topology {
	push := func(id, topic, entry string) PushSubscription {
		// No retry policy, unlike a deployment: under one, the official emulator does
		// not try again for minutes once the endpoint was down for a few seconds.
		return PushSubscription{ID: id, Topic: topic, Endpoint: s.Function.URL(entry), AckDeadline: ackDeadline}
	}
	admit := push("berth-admit", RequestTopic, "Admit")
	// A lost tick is not missed: dead letters are requests, cancels and operators' messages only.
	admit.DeadLetter, admit.MaxAttempts = DeadTopic, 100
	operators := push(operatorPush, OperatorTopic, "Admit")
	operators.DeadLetter, operators.MaxAttempts = DeadTopic, 100
	return Topology{
		Project: s.Project,
		Topics:  []string{RequestTopic, OperatorTopic, TickTopic, OutcomeTopic, DeadTopic},
		Push:    []PushSubscription{admit, operators, push("berth-reconcile", TickTopic, "Reconcile")},
		Pull: []PullSubscription{
			{ID: OutcomePull, Topic: OutcomeTopic, AckDeadline: ackDeadline},
			{ID: DeadPull, Topic: DeadTopic, AckDeadline: ackDeadline},
		},
	}
}

// startTicks publishes a tick every period until the stack stops: what Cloud
// Scheduler does in a deployment.
func (s *Stack) startTicks(ctx context.Context, period time.Duration) error {
	var err error
	s.conn, err = grpc.NewClient(s.PubSub, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connect to Pub/Sub at %s: %w", s.PubSub, err)
	}
	if s.Client, err = pubsub.NewClient(ctx, s.Project, option.WithGRPCConn(s.conn)); err != nil {
		return fmt.Errorf("make Pub/Sub client for %s: %w", s.PubSub, err)
	}
	s.stops = append(s.stops, s.Client.Close)
	ticks := s.Client.Publisher(TickTopic)
	stop, done := context.WithCancel(context.Background())
	s.tick = time.NewTicker(period)
	go func() {
		defer close(s.ended)
		for {
			select {
			case <-s.tick.C:
				ticks.Publish(stop, &pubsub.Message{Data: []byte("{}")})
			case <-stop.Done():
				s.tick.Stop()
				ticks.Stop()
				return
			}
		}
	}()
	s.stops = append(s.stops, func() error {
		done()
		<-s.ended
		return nil
	})
	return nil
}

// Stop ends everything that Start started, last first. It may be called again.
func (s *Stack) Stop() error {
	var errs []error
	for _, stop := range slices.Backward(s.stops) {
		errs = append(errs, stop())
	}
	s.stops = nil
	return errors.Join(errs...)
}

// Root finds the project's folder from here upward: the one with go.mod.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod here or above; say where the requests are with -requests")
		}
		dir = parent
	}
}
