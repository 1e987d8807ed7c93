package chaos

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/localstack"
	"example.com/berth/internal/vertex"
)

// foreignLabel marks the foreign jobs, so that the judge knows them again.
const foreignLabel = "chaos-foreign"

// orphanRuns is how long a job runs that is likely to be an orphan job: longer than the
// judge grants one.
const orphanRuns = "15s"

// everyVertex is how many kills there are to one of the fake Vertex AI.
const everyVertex = 4

// Outages: mean time between two, and how long one lasts.
const (
	outageEvery = 4 * time.Second
	outageLeast = 800 * time.Millisecond
	outageMost  = 2500 * time.Millisecond
)

// A fault injector kills processes, makes services unavailable and takes machines away.
type faultInjector struct {
	world *world
	every time.Duration // mean time between kills
	say   func(format string, args ...any)

	mu        sync.Mutex
	rng       *rand.Rand
	armed     bool // the fake is killed in its next create
	foreign   int
	outages   int
	vertex    int            // kills of the fake
	midCreate int            // of them, in the middle of a create
	functions map[int]int    // kills by instance
	late      map[string]int // creates passed on later than lateFrom, by request key
	forged    []string       // request keys to borrow for labels
}

func newFaultInjector(w *world, seed uint64, every time.Duration, say func(string, ...any)) *faultInjector {
	m := &faultInjector{world: w, every: every, say: say, functions: map[int]int{}, late: map[string]int{},
		rng: rand.New(rand.NewPCG(seed, 0x303))} // #nosec G404 -- a game, not a secret
	before := m.before
	w.toVertex.Store(&before)
	return m
}

// run injects faults until ctx ends.
func (m *faultInjector) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { m.takeMachines(ctx) })
	wg.Go(func() { m.breakDown(ctx) })
	for n := 1; ; n++ {
		m.mu.Lock()
		wait := time.Duration(m.rng.ExpFloat64() * float64(m.every))
		instance := m.rng.IntN(len(m.world.functions))
		m.mu.Unlock()
		if gax.Sleep(ctx, min(wait, 4*m.every)) != nil {
			return
		}
		if n%everyVertex == 0 {
			m.killVertex(ctx)
			continue
		}
		if err := m.world.functions[instance].Kill(); err == nil {
			m.mu.Lock()
			m.functions[instance]++
			m.mu.Unlock()
			m.say("  killed function %d", instance+1)
		}
	}
}

// killVertex kills the fake in the middle of its next create, or if there is
// none for a while, at once.
func (m *faultInjector) killVertex(ctx context.Context) {
	m.mu.Lock()
	m.armed = true
	m.mu.Unlock()
	_ = gax.Sleep(ctx, 2*time.Second)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.armed {
		return
	}
	m.armed = false
	if ctx.Err() == nil && m.world.vertex.Kill() == nil {
		m.vertex++
		m.say("  killed the fake Vertex AI")
	}
}

// before runs before every call that is passed on to the fake. A create that is too
// late to be found probably makes an orphan job: that job runs for long, so that it
// has not ended before Berth must cancel it.
func (m *faultInjector) before(method string, req []byte, since time.Duration) []byte {
	var create aiplatformpb.CreateCustomJobRequest
	if method != "CreateCustomJob" || proto.Unmarshal(req, &create) != nil {
		return req
	}
	labels := create.GetCustomJob().GetLabels()
	key := labels[vertex.LabelRequest]
	m.mu.Lock()
	defer m.mu.Unlock()
	if since > lateFrom {
		m.late[key]++
		m.say("  a create is carried out %s after it was made, for request %s", since.Round(time.Millisecond), key)
	}
	if since > submitTimeout {
		labels["fake-run"] = orphanRuns
		if longer, err := proto.Marshal(&create); err == nil {
			req = longer
		}
	}
	if len(m.forged) < 100 {
		m.forged = append(m.forged, key)
	}
	if m.armed {
		m.armed = false
		m.killSoon()
	}
	return req
}

// killSoon kills the fake a moment from now. m.mu must be held.
func (m *faultInjector) killSoon() {
	wait := time.Duration(m.rng.Int64N(int64(4 * time.Millisecond)))
	time.AfterFunc(wait, func() {
		if m.world.vertex.Kill() == nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.vertex++
			m.midCreate++
			m.say("  killed the fake Vertex AI, %s into a create", wait.Round(time.Microsecond))
		}
	})
}

// breakDown makes whole services unavailable for a while, now and then.
func (m *faultInjector) breakDown(ctx context.Context) {
	for round := 0; ; round++ {
		m.mu.Lock()
		wait := time.Duration(m.rng.ExpFloat64() * float64(outageEvery))
		lasts := outageLeast + time.Duration(m.rng.Int64N(int64(outageMost-outageLeast)))
		m.mu.Unlock()
		if gax.Sleep(ctx, min(wait, 2*outageEvery)) != nil {
			return
		}
		service := []string{"Pub/Sub", "Firestore", "Vertex AI"}[round%3]
		m.world.dice.breakDown(service, lasts)
		m.mu.Lock()
		m.outages++
		m.mu.Unlock()
		m.say("  %s is unavailable for %s", service, lasts.Round(time.Millisecond))
		_ = gax.Sleep(ctx, lasts)
	}
}

// takeMachines starts foreign jobs. Some borrow the labels of ours, which
// prove nothing.
func (m *faultInjector) takeMachines(ctx context.Context) {
	for {
		m.mu.Lock()
		wait := time.Duration(m.rng.ExpFloat64() * float64(1500*time.Millisecond))
		m.foreign++
		job := m.startForeign(m.foreign)
		m.mu.Unlock()
		if gax.Sleep(ctx, min(wait, 5*time.Second)) != nil {
			return
		}
		call, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, err := m.world.jobs.CreateCustomJob(call, &aiplatformpb.CreateCustomJobRequest{
			Parent: vertex.InRegion(m.world.project, localstack.Region).Parent(), CustomJob: job})
		cancel()
		if err != nil {
			m.say("  a foreign job: %v", err) // the fake has just been killed
		}
	}
}

func (m *faultInjector) startForeign(n int) *aiplatformpb.CustomJob {
	pools := pools()
	p := pools[m.rng.IntN(len(pools))]
	labels := map[string]string{foreignLabel: fmt.Sprint(n), "fake-run": fmt.Sprintf("%dms", 300+m.rng.IntN(2200))}
	if len(m.forged) > 0 && m.rng.IntN(3) == 0 {
		var run [16]byte
		for i := range run {
			run[i] = byte(m.rng.IntN(256))
		}
		labels[vertex.LabelRequest] = m.forged[m.rng.IntN(len(m.forged))]
		labels[vertex.LabelRun] = "r" + hex.EncodeToString(run[:])
		labels[vertex.LabelDeployment] = "chaos"
	}
	return &aiplatformpb.CustomJob{DisplayName: "foreign job", Labels: labels, JobSpec: &aiplatformpb.CustomJobSpec{
		PersistentResourceId: localstack.ResourceID,
		WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{{
			MachineSpec: p.MachineSpec, DiskSpec: p.DiskSpec, ReplicaCount: int64(1 + m.rng.IntN(2)),
			Task: &aiplatformpb.WorkerPoolSpec_ContainerSpec{ContainerSpec: &aiplatformpb.ContainerSpec{ImageUri: "example/other:1"}},
		}},
	}}
}

// Kills counts processes that were killed, each by SIGKILL.
type Kills struct {
	Functions []int `json:"functions"` // by instance
	Vertex    int   `json:"vertex"`
	MidCreate int   `json:"midCreate"` // of those of the fake, in the middle of a create
}

// tally returns the counts so far.
func (m *faultInjector) tally() (k Kills, outages int, late map[string]int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k = Kills{Functions: make([]int, len(m.world.functions)), Vertex: m.vertex, MidCreate: m.midCreate}
	for i, n := range m.functions {
		k.Functions[i] = n
	}
	return k, m.outages, maps.Clone(m.late)
}
