package sim

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// hanging is a Vertex AI of which some calls do not answer until the caller's
// deadline, or 15 seconds.
type hanging struct {
	vertex.Client
	mu    sync.Mutex
	hangs func(op, name string) bool
	calls map[string]int // of those that hung, by operation and name
}

func (h *hanging) answers(ctx context.Context, op, name string) error {
	h.mu.Lock()
	hangs := h.hangs(op, name)
	if hangs {
		h.calls[op+" "+name]++
	}
	h.mu.Unlock()
	if !hangs {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	<-ctx.Done()
	return &vertex.Error{Op: op, Name: name, Kind: vertex.Unclear, Code: 4, Err: ctx.Err()}
}

func (h *hanging) Live(ctx context.Context, parent string) ([]vertex.Job, error) {
	if err := h.answers(ctx, "live", parent); err != nil {
		return nil, err
	}
	return h.Client.Live(ctx, parent)
}

func (h *hanging) Resource(ctx context.Context, name string) (vertex.Resource, error) {
	if err := h.answers(ctx, "resource", name); err != nil {
		return vertex.Resource{}, err
	}
	return h.Client.Resource(ctx, name)
}

func (h *hanging) Create(ctx context.Context, parent string, job *aiplatformpb.CustomJob) (vertex.Job, error) {
	if err := h.answers(ctx, "create", parent+"/persistentResources/"+job.GetJobSpec().GetPersistentResourceId()); err != nil {
		return vertex.Job{}, err
	}
	return h.Client.Create(ctx, parent, job)
}

// While a region or a resource hangs, free machines of all others are scheduled
// within seconds, timers run, events are published, and no pass outlives its
// lease.
func TestHangDelaysNoOther(t *testing.T) {
	first, second := in("asia-east1", "a"), in("asia-east1", "b") // before the others in the order of names
	for name, hangs := range map[string]func(op, name string) bool{
		"list":      func(op, name string) bool { return op == "live" && strings.Contains(name, "asia-east1") },
		"resource":  func(op, name string) bool { return op == "resource" && name == first },
		"create":    func(op, name string) bool { return op == "create" && name == first },
		"all there": func(_, name string) bool { return strings.Contains(name, "asia-east1") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem, ai, out := ledger.NewMem(time.Now), vertex.NewMem(time.Now), &Outbox{}
				h := &hanging{Client: ai, hangs: func(string, string) bool { return false }, calls: map[string]int{}}
				cfg := controller.DefaultConfig()
				cfg.Project, cfg.Regions, cfg.SampleEvery = "test-project", []string{"us-central1", "asia-east1"}, 0
				events := map[string]int{}
				c := controller.New(cfg, mem, h, out, slog.New(slog.NewTextHandler(logTo{&World{TB: logged{t, events}}}, nil)), controller.RealEnv())
				resources := []string{first, second, in("us-central1", "c"), in("us-central1", "d")}
				n := 0
				ask := func(id, resource string, cpus int) {
					n++
					if err := c.Handle(t.Context(), Tenant, message.Delivery{ID: fmt.Sprint("m", n), Data: Job{ID: id, CPU: cpus, Resource: resource}.Body()}); err != nil {
						t.Fatal(err)
					}
				}
				record := func(id string) *ledger.Record { return (&World{Ledger: mem}).Record(id) }
				for i, res := range resources {
					ai.SetResource(res, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{{ID: "cpu", Shape: CPU, Count: 4}}})
					ask(fmt.Sprint("holds", i), res, 4)
					ask(fmt.Sprint("next", i), res, 4)
				}
				h.mu.Lock()
				h.hangs = hangs
				h.mu.Unlock()
				apart := func(i int) bool {
					return !hangs("live", resources[i]) && !hangs("resource", resources[i]) && !hangs("create", resources[i])
				}
				var ended time.Time
				var mu sync.Mutex
				created := map[string]time.Duration{} // from a job's end to the next one's creation
				go func() {
					time.Sleep(10 * time.Second) // within the first tick
					ended = time.Now()
					for _, j := range ai.Jobs() {
						ai.SetJob(j.Name, vertex.JobSucceeded)
					}
					for range 400 {
						time.Sleep(100 * time.Millisecond)
						for i := range resources {
							id := fmt.Sprint("next", i)
							mu.Lock()
							if _, known := created[id]; !known && record(id).State == lifecycle.Submitted {
								created[id] = time.Since(ended)
							}
							mu.Unlock()
						}
					}
				}()
				for tick := range 3 {
					began := time.Now()
					_, err := c.Reconcile(t.Context(), fmt.Sprint("tick", tick), 54*time.Second)
					if err == nil && name != "create" {
						t.Error("no log event reports the hang")
					}
					if took := time.Since(began); took > 54*time.Second {
						t.Errorf("the pass took %v, its lease was 54s", took)
					}
					for key, calls := range h.calls {
						if calls > 4 {
							t.Errorf("%s was asked %d times in one tick, for 15 s each", key, calls)
						}
						delete(h.calls, key)
					}
					time.Sleep(time.Minute - time.Since(began))
				}
				for i := range resources {
					took, ok := created[fmt.Sprint("next", i)]
					if apart(i) && (!ok || took > 8*time.Second) {
						t.Errorf("hand-over on %s took %v (%v), want seconds", resources[i], took, ok)
					}
				}
				if want := map[bool]int{true: 0, false: 1}[name == "create"]; events["outage"] != want {
					t.Errorf("%d alarms in three ticks, want %d", events["outage"], want)
				}
				h.mu.Lock()
				h.hangs = func(string, string) bool { return false }
				h.mu.Unlock()
				for tick := range 3 {
					if _, err := c.Reconcile(t.Context(), fmt.Sprint("later", tick), 54*time.Second); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Minute)
				}
				for i := range resources {
					if got := record(fmt.Sprint("next", i)).State; got != lifecycle.Submitted {
						t.Errorf("afterwards next%d is %s", i, got)
					}
				}
			})
		})
	}
}

// While Vertex AI does not answer, at most one request in ten seconds waits for
// an observation: the others are queued at once, and start when it answers
// again.
func TestRequestsDoNotWaitForEachObservation(t *testing.T) {
	for _, op := range []string{"live", "resource"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem, ai, out := ledger.NewMem(time.Now), vertex.NewMem(time.Now), &Outbox{}
				h := &hanging{Client: ai, hangs: func(string, string) bool { return false }, calls: map[string]int{}}
				cfg := controller.DefaultConfig()
				cfg.Project, cfg.Regions = "test-project", []string{"us-central1"}
				c := controller.New(cfg, mem, h, out, slog.New(slog.DiscardHandler), controller.RealEnv())
				ai.SetResource(Resource, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{cpus(100)}})
				ask := func(id string) error {
					return c.Handle(t.Context(), Tenant, message.Delivery{ID: "m" + id, Data: Job{ID: id, CPU: 1, Resource: "pool"}.Body()})
				}
				if err := ask("first"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute) // the observation is too old
				h.hangs = func(called, _ string) bool { return called == op }
				began, slow := time.Now(), 0
				for i := range 60 {
					at := time.Now()
					if err := ask(fmt.Sprint(i)); err != nil {
						t.Fatal(err)
					}
					if time.Since(at) > time.Second {
						slow++
					}
					if got := (&World{Ledger: mem}).State(fmt.Sprint(i)); got != lifecycle.Waiting {
						t.Errorf("request %d is %s", i, got)
					}
					time.Sleep(time.Second)
				}
				observations := 0
				for _, n := range h.calls {
					observations += n
				}
				if most := int(time.Since(began)/(25*time.Second)) + 1; observations > most || slow > most || observations == 0 {
					t.Errorf("in %v %d requests waited for %d observations, want %d at most", time.Since(began), slow, observations, most)
				}
				h.hangs = func(string, string) bool { return false }
				time.Sleep(10 * time.Second)
				if err := ask("last"); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Reconcile(t.Context(), "tick", time.Second); err != nil {
					t.Fatal(err)
				}
				for _, id := range []string{"0", "59", "last"} {
					if got := (&World{Ledger: mem}).State(id); got != lifecycle.Submitted && got != lifecycle.Reserved {
						t.Errorf("afterwards %s is %s", id, got)
					}
				}
			})
		})
	}
}
