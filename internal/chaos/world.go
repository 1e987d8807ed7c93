package chaos

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	aiplatform "cloud.google.com/go/aiplatform/apiv1"
	"cloud.google.com/go/pubsub/v2"
	pubsubadmin "cloud.google.com/go/pubsub/v2/apiv1"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"example.com/berth/internal/localstack"
	"example.com/berth/internal/localstack/emulator"
	"example.com/berth/internal/localstack/proxy"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// Settings of the functions: those of a deployment, with shorter times.
const (
	tick            = time.Second
	poll            = 100 * time.Millisecond
	submitTimeout   = 6 * time.Second
	retryAfter      = time.Second
	unclearTimeout  = 10 * time.Second
	refuseAfter     = 3 * time.Second
	jobStartTimeout = time.Minute
	maxWait         = 10 * time.Minute
)

// Subscriptions. The first name selects the tenant, as in a deployment.
const (
	admitPull    = "berth-admit"
	tickPull     = "berth-reconcile"
	maxAttempts  = 100 // the most that a dead-letter policy may have
	startTimeout = 2 * time.Minute
)

// source is part of what a published event is, so the judge compares under it. The
// judge has no project to know: it compares what is the same in all of them.
var source = message.Source{Project: "chaos", Deployment: "chaos"}

// A world is everything that runs.
type world struct {
	project  string
	resource string // full name of the persistent resource
	emulated struct{ firestore, pubsub string }

	functions []*localstack.Function
	vertex    *vertexProcess
	proxies   struct{ firestore, vertex, pubsub *proxy.Proxy }
	dice      *dice
	toVertex  atomic.Pointer[func(method string, req []byte, since time.Duration) []byte] // runs before a call reaches Vertex AI; nil for none
	witness   *witness
	logs      *logBook

	// Straight to the services, past the proxies.
	store  *store
	jobs   *aiplatform.JobClient
	client *pubsub.Client

	dir   string
	stops []func() error
}

// startWorld returns when all of it answers. After an error nothing is left
// running.
func startWorld(ctx context.Context, o Options, log io.Writer) (w *world, err error) {
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	w = &world{project: "berth-chaos-" + hex.EncodeToString(id[:]), dice: newDice(o.Seed, o.FaultRate), witness: newWitness(), logs: newLogBook(log)}
	w.resource = vertex.InRegion(w.project, localstack.Region).Resource(localstack.ResourceID).String()
	defer func() {
		if err != nil {
			err = errors.Join(err, w.stop())
			w = nil
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if w.dir, err = os.MkdirTemp("", "berth-chaos-"); err != nil {
		return w, err
	}
	w.stops = append(w.stops, func() error { return os.RemoveAll(w.dir) })
	if err := w.startEmulators(ctx); err != nil {
		return w, err
	}
	rng := mathrand.New(mathrand.NewPCG(mathrand.Uint64(), 0)) // #nosec G404 -- ports; not of the seed, so that two runs with one seed do not meet
	port, err := freePort(rng.IntN)
	if err != nil {
		return w, err
	}
	if w.vertex, err = startVertex(ctx, port, w.resource, filepath.Join(w.dir, "vertex.json"), w.logs.of("vertex")); err != nil {
		return w, err
	}
	w.stops = append(w.stops, w.vertex.Stop)
	if err := w.startProxies(); err != nil {
		return w, err
	}
	if err := w.connect(ctx); err != nil {
		return w, err
	}
	for i := range o.Instances {
		if port, err = freePort(rng.IntN); err != nil {
			return w, err
		}
		f, err := localstack.StartFunction(ctx, port, w.environment(), w.logs.of(fmt.Sprintf("function %d", i+1)))
		if err != nil {
			return w, err
		}
		w.functions = append(w.functions, f)
		w.stops = append(w.stops, f.Stop)
	}
	return w, nil
}

func (w *world) startEmulators(ctx context.Context) error {
	fs, err := emulator.StartFirestore(ctx, emulator.Options{Output: w.logs.raw})
	if err != nil {
		return fmt.Errorf("the official Firestore emulator is needed: %w", err)
	}
	w.stops = append(w.stops, fs.Stop)
	ps, err := emulator.StartPubSub(ctx, emulator.Options{Output: w.logs.raw})
	if err != nil {
		return fmt.Errorf("the official Pub/Sub emulator is needed: %w", err)
	}
	w.stops = append(w.stops, ps.Stop)
	w.emulated.firestore, w.emulated.pubsub = fs.Host(), ps.Host()
	return nil
}

func (w *world) startProxies() error {
	for _, p := range []struct {
		upstream string
		options  proxy.Options
		at       **proxy.Proxy
	}{
		{w.emulated.firestore, proxy.Options{Judge: w.dice.judge("Firestore", firestoreRules), Finish: []string{"Commit"}, After: w.witness.called}, &w.proxies.firestore},
		{w.vertex.host, proxy.Options{Judge: w.dice.judge("Vertex AI", vertexRules), Before: w.before}, &w.proxies.vertex},
		{w.emulated.pubsub, proxy.Options{Judge: w.dice.judge("Pub/Sub", pubsubRules)}, &w.proxies.pubsub},
	} {
		started, err := proxy.Start(p.upstream, p.options)
		if err != nil {
			return err
		}
		*p.at = started
		w.stops = append(w.stops, started.Stop)
	}
	return nil
}

// before lets those who watch the calls to Vertex AI change one.
func (w *world) before(method string, req []byte, since time.Duration) []byte {
	if change := w.toVertex.Load(); change != nil {
		return (*change)(method, req, since)
	}
	return req
}

// connect makes the clients of this process, topics and subscriptions.
func (w *world) connect(ctx context.Context) error {
	var err error
	if w.store, err = openStore(ctx, w.emulated.firestore, w.project); err != nil {
		return err
	}
	w.stops = append(w.stops, w.store.close)
	dial := func(host string) (option.ClientOption, error) {
		conn, err := grpc.NewClient(host, grpc.WithTransportCredentials(insecure.NewCredentials()))
		return option.WithGRPCConn(conn), err
	}
	at, err := dial(w.vertex.host)
	if err == nil {
		w.jobs, err = aiplatform.NewJobClient(ctx, at)
	}
	if err != nil {
		return fmt.Errorf("make Vertex AI client for %s: %w", w.vertex.host, err)
	}
	w.stops = append(w.stops, w.jobs.Close)
	if at, err = dial(w.emulated.pubsub); err == nil {
		w.client, err = pubsub.NewClient(ctx, w.project, at)
	}
	if err != nil {
		return fmt.Errorf("make Pub/Sub client for %s: %w", w.emulated.pubsub, err)
	}
	w.stops = append(w.stops, w.client.Close)
	return w.makeTopics(ctx)
}

func (w *world) makeTopics(ctx context.Context) error {
	err := localstack.Apply(ctx, w.emulated.pubsub, localstack.Topology{
		Project: w.project,
		Topics:  []string{localstack.RequestTopic, localstack.TickTopic, localstack.OutcomeTopic, localstack.DeadTopic},
		Pull: []localstack.PullSubscription{
			{ID: tickPull, Topic: localstack.TickTopic, AckDeadline: time.Minute},
			{ID: localstack.OutcomePull, Topic: localstack.OutcomeTopic, AckDeadline: time.Minute},
			{ID: localstack.DeadPull, Topic: localstack.DeadTopic, AckDeadline: time.Minute},
		},
	})
	if err != nil {
		return fmt.Errorf("make topics and subscriptions: %w", err)
	}
	conn, err := grpc.NewClient(w.emulated.pubsub, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	admin, err := pubsubadmin.NewSubscriptionAdminClient(ctx, option.WithGRPCConn(conn))
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	_, err = admin.CreateSubscription(ctx, &pb.Subscription{
		Name: w.subscription(admitPull), Topic: localstack.TopicName(w.project, localstack.RequestTopic), AckDeadlineSeconds: 60,
		DeadLetterPolicy: &pb.DeadLetterPolicy{
			DeadLetterTopic: localstack.TopicName(w.project, localstack.DeadTopic), MaxDeliveryAttempts: maxAttempts},
	})
	if err != nil {
		err = fmt.Errorf("make subscription %s: %w", admitPull, err)
	}
	return errors.Join(err, admin.Close())
}

func (w *world) subscription(id string) string { return localstack.SubscriptionName(w.project, id) }

func (w *world) environment() []string {
	return []string{
		"BERTH_PROJECT=" + w.project, "BERTH_REGIONS=" + localstack.Region, "BERTH_DEFAULT_RESOURCE=" + localstack.ResourceID,
		"BERTH_DEPLOYMENT=" + source.Deployment, "BERTH_OUTCOME_TOPIC=" + localstack.OutcomeTopic, "BERTH_DATABASE=" + database,
		"BERTH_TICK=" + tick.String(), "BERTH_POLL=" + poll.String(), "BERTH_TIMEOUT=45s",
		"BERTH_SUBMIT_TIMEOUT=" + submitTimeout.String(), "BERTH_RETRY_AFTER=" + retryAfter.String(), "BERTH_UNCLEAR_TIMEOUT=" + unclearTimeout.String(),
		"BERTH_REFUSE_AFTER=" + refuseAfter.String(), "BERTH_START_TIMEOUT=" + jobStartTimeout.String(), "BERTH_MAX_WAIT=" + maxWait.String(),
		"BERTH_PUBLISH_GRACE=1s", "BERTH_EMULATORS=true", "BERTH_LEDGER=firestore",
		"BERTH_VERTEX_ENDPOINT=" + w.proxies.vertex.Host(), "FIRESTORE_EMULATOR_HOST=" + w.proxies.firestore.Host(),
		"PUBSUB_EMULATOR_HOST=" + w.proxies.pubsub.Host(), "FUNCTION_TARGET=",
	}
}

// stop ends everything, last started first. It may be called again.
func (w *world) stop() error {
	var errs []error
	for _, stop := range slices.Backward(w.stops) {
		errs = append(errs, stop())
	}
	w.stops = nil
	return errors.Join(errs...)
}

// silence ends the functions and waits for their pending calls, so
// that nothing changes any more.
func (w *world) silence() error {
	var errs []error
	for _, f := range w.functions {
		errs = append(errs, f.Stop())
	}
	for _, p := range []*proxy.Proxy{w.proxies.firestore, w.proxies.vertex, w.proxies.pubsub} {
		p.Drain()
	}
	return errors.Join(errs...)
}
