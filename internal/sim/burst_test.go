package sim

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// A burst is many deliveries at once, to several instances, in a bubble of
// virtual time in which every call takes as long as it would.
type burst struct {
	t         *testing.T
	w         *World
	instances []*controller.Controller
	mu        sync.Mutex
	faults    func(op string) ledger.Fault
}

// Times that calls take, about those of Firestore and Vertex AI in one region.
const (
	readTakes    = 5 * time.Millisecond
	commitTakes  = 15 * time.Millisecond
	publishTakes = 10 * time.Millisecond
	createTakes  = 500 * time.Millisecond
)

func newBurst(t *testing.T, instances int, cfg func(*controller.Config)) *burst {
	b := &burst{t: t, w: New(t), faults: func(string) ledger.Fault { return ledger.None }}
	b.w.Config.SampleEvery = 0
	b.w.Config.Submitters = controller.DefaultConfig().Submitters // side by side is what is measured
	if cfg != nil {
		cfg(&b.w.Config)
	}
	b.w.Ledger = ledger.NewMem(time.Now)
	b.w.Vertex = vertex.NewMem(time.Now)
	b.w.Ledger.Fault = func(op string) ledger.Fault {
		time.Sleep(map[string]time.Duration{ledger.OpCommit: commitTakes}[op] + readTakes)
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.faults(op)
	}
	b.w.Vertex.Fault = func(op, _ string) vertex.Fault {
		if op == "create" {
			time.Sleep(createTakes)
		}
		return vertex.NoFault
	}
	b.w.Out.Fail = func() (bool, bool) { time.Sleep(publishTakes); return false, false }
	b.w.Ledger.Wrote = func(_ ledger.Ref, before, after ledger.Document) {
		if res, ok := after.(*ledger.Resource); ok {
			was, _ := before.(*ledger.Resource)
			for _, v := range invariant.Commit(was, res) {
				t.Error(v)
			}
		}
	}
	for range instances {
		b.instances = append(b.instances, controller.New(b.w.Config, b.w.Ledger, b.w.Vertex, b.w.Out, slog.New(slog.DiscardHandler), controller.RealEnv()))
	}
	return b
}

// send delivers n requests for one CPU machine each at once, again until they are
// taken, and returns how often one was not.
func (b *burst) send(n int, job func(i int) Job) (nacks int) {
	var wg sync.WaitGroup
	for i := range n {
		j := job(i)
		d := message.Delivery{ID: "m-" + j.ID, PublishTime: time.Now(), Data: j.Body()}
		wg.Go(func() {
			for try := 0; b.instances[(i+try)%len(b.instances)].Handle(context.Background(), Tenant, d) != nil; try++ {
				b.mu.Lock()
				nacks++
				b.mu.Unlock()
				time.Sleep(time.Second)
			}
		})
	}
	wg.Wait()
	return nacks
}

// check holds everything against the promises.
func (b *burst) check() {
	b.t.Helper()
	p := invariant.Picture{Now: time.Now(), Jobs: b.w.Vertex.Jobs(), Complete: true, Published: map[string]bool{}}
	p.Records, p.Resources = stored(b.w.Ledger)
	for _, e := range b.w.Out.All() {
		p.Published[e.EventID] = true
	}
	for _, v := range invariant.Check(p) {
		b.t.Error(v)
	}
}

func (b *burst) count(s lifecycle.State) (n int) {
	records, _ := stored(b.w.Ledger)
	for _, r := range records {
		if r.State == s {
			n++
		}
	}
	return n
}

func cpus(n int) capacity.Pool {
	return capacity.Pool{ID: "cpu", Shape: CPU, Count: capacity.Replicas(n)}
}

func cpuJob(i int) Job { return Job{ID: fmt.Sprintf("r%04d", i), CPU: 1} }

// A burst at one instance is decided in a few commits, in about the time of as
// many; what does not fit waits.
func TestBurstIsDecidedTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBurst(t, 1, nil)
		b.w.SetPools(vertex.Running, cpus(600))
		const n = 1000
		before := b.w.Ledger.Stats()
		if nacks := b.send(n, cpuJob); nacks > 0 {
			t.Errorf("%d deliveries were not taken", nacks)
		}
		after := b.w.Ledger.Stats()
		commits := after.Commits - before.Commits
		if perRequest := float64(commits) / n; perRequest >= 0.1 {
			t.Errorf("%d commits for %d requests: %.3f each, want fewer than 0.1", commits, n, perRequest)
		}
		if stale := after.Stale - before.Stale; stale > 3 {
			t.Errorf("%d commits of one instance got into each other's way", stale)
		}
		if waiting := b.count(lifecycle.Waiting); waiting != n-600 {
			t.Errorf("%d wait, want %d", waiting, n-600)
		}
		b.check()
	})
}

// Faults of every kind in a burst over several instances: everything is taken in
// the end, and no promise broken.
func TestBurstUnderFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBurst(t, 3, nil)
		b.w.SetPools(vertex.Running, cpus(100))
		n, lost := 0, 0
		b.faults = func(op string) (fault ledger.Fault) {
			n++
			defer func() {
				if fault != ledger.None {
					lost++
				}
			}()
			switch {
			case op == ledger.OpRead && n%13 == 0:
				return ledger.FailRead
			case op == ledger.OpCommit:
				return []ledger.Fault{ledger.None, ledger.LoseAnswer, ledger.None, ledger.Stale, ledger.LoseAnswerAndCheck, ledger.None, ledger.FailCommit}[n%7]
			}
			return ledger.None
		}
		if nacks := b.send(300, cpuJob); lost < 5 { // most are made good by trying again
			t.Errorf("%d faults in %d calls, %d deliveries came again: too few to show anything", lost, n, nacks)
		}
		b.faults = func(string) ledger.Fault { return ledger.None }
		if got := len(b.w.Ledger.Records()); got != 300 {
			t.Errorf("%d requests in the ledger, want 300", got)
		}
		if waiting := b.count(lifecycle.Waiting); waiting != 200 {
			t.Errorf("%d wait, want 200", waiting)
		}
		b.check()
	})
}

// An idle instance adds nothing to a request's way: two calls of the ledger to
// decide it, one to record its job, one to mark its events as sent.
func TestAloneNothingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBurst(t, 1, nil)
		b.w.SetPools(vertex.Running, cpus(4))
		b.send(1, cpuJob) // the first one observes the resource as well
		began := time.Now()
		b.send(1, func(int) Job { return cpuJob(1) })
		// The memory twin reads before every commit.
		want := 3*(2*readTakes+commitTakes) + createTakes + publishTakes
		if took := time.Since(began); took != want {
			t.Errorf("it took %v, want %v: the sum of the calls", took, want)
		}
	})
}
