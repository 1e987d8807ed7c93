package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/localstack"
	"example.com/berth/internal/localstack/emulator"
	"example.com/berth/internal/localstack/proxy"
	"example.com/berth/internal/vertex/fakevertex"
)

// Paces, in submissions a minute.
const (
	defaultPace = 60 // the function's default, and Vertex AI's quota
	fullSpeed   = 1_000_000
)

// What every world has.
const (
	region       = localstack.Region
	machine      = "n1-standard-4" // of every pool and job
	database     = "berth"
	startTimeout = 2 * time.Minute
)

// Runs say what a world is for. A world for both has two functions: one that is
// timed, and one behind the proxies, so that what takes long to prepare is
// prepared once.
type runs int

const (
	timing runs = iota
	counting
	both
)

// A setting says what a world is like.
type setting struct {
	runs      runs
	shared    bool     // use the emulator that is there
	replicas  int64    // of the one pool that each persistent resource has
	resources int      // persistent resources; 0 for one
	instances int      // function processes; 0 for one
	pace      int      // submissions a minute
	env       []string // of the function, beyond the defaults of a deployment
}

// A world is everything that one run needs, for itself.
type world struct {
	setting
	project   string
	emulator  *emulator.Emulator // of Firestore, nil with the embedded ledger
	firestore string             // its host:port, or ""
	pubsub    string
	vertex    string

	functions []target // those that are loaded
	counted   target   // the first one behind the proxies; nil in a timing run
	fake      *fakevertex.Server
	clock     *forwardClock // the fake's
	counter   *counter
	http      *http.Client
	sent      atomic.Int64 // messages made so far, for their ids
	meter     meter
	stops     []func() error
}

// startWorld returns when all of it answers. After an error nothing is left
// running.
func (s *services) startWorld(ctx context.Context, set setting) (w *world, err error) {
	set.resources, set.instances = max(set.resources, 1), max(set.instances, 1)
	var id [6]byte
	_, _ = rand.Read(id[:]) // never fails
	w = &world{setting: set, project: "berth-bench-" + hex.EncodeToString(id[:]), pubsub: s.pubsub,
		clock: &forwardClock{}, counter: newCounter(),
		http: &http.Client{Timeout: 10 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.stop())
			w = nil
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if w.emulator = s.first; s.stored() && !set.shared {
		if w.emulator, err = s.firestore(ctx, set.runs); err != nil {
			return w, err
		}
		w.stops = append(w.stops, w.emulator.Stop)
	}
	if w.emulator != nil {
		w.firestore = w.emulator.Host()
	}
	if err := w.startVertex(); err != nil {
		return w, err
	}
	topology := localstack.Topology{Project: w.project, Topics: []string{localstack.OutcomeTopic}}
	if err := localstack.Apply(ctx, s.pubsub, topology); err != nil {
		return w, fmt.Errorf("make the outcome topic: %w", err)
	}
	straight := addresses{w.firestore, w.pubsub, w.vertex}
	at := straight
	if set.runs != timing {
		if at, err = w.startProxies(); err != nil {
			return w, err
		}
		if w.counted, err = w.startFunction(ctx, s.log, at); err != nil {
			return w, err
		}
	}
	if set.runs == counting {
		w.functions = append(w.functions, w.counted)
	} else {
		at = straight
	}
	for len(w.functions) < set.instances {
		f, err := w.startFunction(ctx, s.log, at)
		if err != nil {
			return w, err
		}
		w.functions = append(w.functions, f)
	}
	return w, nil
}

func (w *world) startFunction(ctx context.Context, log io.Writer, at addresses) (target, error) {
	f, err := localstack.StartFunction(ctx, 0, w.environment(at), log)
	if err != nil {
		return nil, fmt.Errorf("start a function: %w", err)
	}
	w.stops = append(w.stops, f.Stop)
	return f, nil
}

func (w *world) startVertex() error {
	b := fakevertex.DefaultBehaviour()
	// A job runs as soon as it is created, until the clock is put forward.
	b.StartTimeAfter, b.QueuedAfter, b.PendingAfter, b.RunningAfter, b.RunFor = 0, 0, 0, 0, runFor
	b.SubmitPerMinute, b.OtherPerMinute = 0, 0
	if w.pace <= defaultPace {
		b.SubmitPerMinute, b.OtherPerMinute = defaultPace, 600
	}
	w.fake = fakevertex.New(fakevertex.Options{Behaviour: &b, Clock: w.clock})
	for i := range w.resources {
		_, err := w.fake.AddResource(&aiplatformpb.PersistentResource{Name: w.resourceName(i), ResourcePools: []*aiplatformpb.ResourcePool{
			{Id: pool, MachineSpec: &aiplatformpb.MachineSpec{MachineType: machine}, ReplicaCount: proto.Int64(w.replicas)}}})
		if err != nil {
			return fmt.Errorf("make persistent resource %s: %w", w.resourceName(i), err)
		}
	}
	lis, err := emulator.Listen(0)
	if err != nil {
		return fmt.Errorf("listen for the fake Vertex AI: %w", err)
	}
	w.vertex = lis.Addr().String()
	go func() { _ = w.fake.Serve(lis) }() // ends by Stop
	w.stops = append(w.stops, func() error { w.fake.Stop(); return nil })
	return nil
}

// pool is the id of every resource's pool.
const pool = "pool-0"

// Addresses are where the function finds its services, host:port each.
type addresses struct{ firestore, pubsub, vertex string }

// startProxies puts a proxy before each service and returns where they are.
func (w *world) startProxies() (addresses, error) {
	var at addresses
	for _, p := range []struct {
		upstream string
		count    func(proxy.Call)
		at       *string
	}{
		{w.firestore, w.counter.firestore, &at.firestore},
		{w.pubsub, w.counter.pubsub, &at.pubsub},
		{w.vertex, w.counter.vertex, &at.vertex},
	} {
		if p.upstream == "" {
			continue
		}
		started, err := proxy.Start(p.upstream, proxy.Options{After: p.count})
		if err != nil {
			return at, err
		}
		w.stops = append(w.stops, started.Stop)
		*p.at = started.Host()
	}
	return at, nil
}

// environment is the function's, as a deployment sets it.
func (w *world) environment(at addresses) []string {
	env := []string{
		functionEnv + "=1", "FUNCTION_TARGET=",
		"BERTH_PROJECT=" + w.project, "BERTH_REGIONS=" + region, "BERTH_DEFAULT_RESOURCE=" + resourceID(0),
		"BERTH_DEPLOYMENT=bench", "BERTH_OUTCOME_TOPIC=" + localstack.OutcomeTopic, "BERTH_DATABASE=" + database,
		"BERTH_SUBMISSIONS=" + strconv.Itoa(w.pace),
		"BERTH_VERTEX_ENDPOINT=" + at.vertex, "BERTH_EMULATORS=true",
		"PUBSUB_EMULATOR_HOST=" + at.pubsub, "FIRESTORE_EMULATOR_HOST=" + at.firestore,
	}
	if w.firestore == "" {
		env = append(env, "BERTH_LEDGER=memory")
	}
	return append(env, w.env...)
}

func resourceID(i int) string { return "pool-" + strconv.Itoa(i) }

func (w *world) resourceName(i int) string {
	return "projects/" + w.project + "/locations/" + region + "/persistentResources/" + resourceID(i)
}

// stop ends everything, last started first. It may be called again.
func (w *world) stop() error {
	w.http.CloseIdleConnections()
	var errs []error
	for _, stop := range slices.Backward(w.stops) {
		errs = append(errs, stop())
	}
	w.stops = nil
	return errors.Join(errs...)
}

// runFor is how long a job runs by the fake's clock, unless it says otherwise.
const runFor = 24 * time.Hour

// endJobs lets the time pass at Vertex AI in which all jobs end.
func (w *world) endJobs() { w.clock.ahead.Add(int64(2 * runFor)) }

// A forwardClock is the machine's clock, put forward by some time.
type forwardClock struct {
	fakevertex.RealClock
	ahead atomic.Int64 // nanoseconds
}

// Now implements [fakevertex.Clock].
func (c *forwardClock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }
