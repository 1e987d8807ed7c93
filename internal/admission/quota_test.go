package admission

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// A quotaWorld is one pool that tenants share, in virtual time.
type quotaWorld struct {
	now      time.Time
	machines capacity.Replicas
	p        PlanPolicy
	queue    Queue
	reserved []Reservation
	held     []Held
	ends     map[message.Key]time.Time // when jobs end in truth
	requests map[message.Key]*quotaRequest
	used     map[string]Used
	ids      int
}

type quotaRequest struct {
	Head
	run     time.Duration
	came    time.Time
	bound   time.Time // when every job that ran as it came has ended
	started time.Time
}

var quotaShape = capacity.Spec{MachineType: "m"}.Normal()

func newQuotaWorld(machines capacity.Replicas, q *Quotas) *quotaWorld {
	return &quotaWorld{now: planNow, machines: machines, queue: Queue{}, ends: map[message.Key]time.Time{}, requests: map[message.Key]*quotaRequest{}, used: map[string]Used{},
		p: PlanPolicy{Horizon: time.Hour, Margin: time.Minute, StartIn: time.Minute, StartTimeout: 10 * time.Minute, Patience: 24 * time.Hour, Quotas: q}}
}

// has is what a tenant holds, and what it holds and waits for.
func (w *quotaWorld) has(tenant string) (held, asked capacity.Replicas, running int) {
	for _, h := range w.held {
		if h.Tenant == tenant {
			held, running = held+h.Demand.Replicas(), running+1
		}
	}
	asked = held
	for _, r := range w.requests {
		if r.Tenant == tenant && r.started.IsZero() {
			asked += r.Demand.Replicas()
		}
	}
	return held, asked, running
}

// submit sends a request and plans.
func (w *quotaWorld) submit(tenant string, n capacity.Replicas, limit, run time.Duration, priority int) *quotaRequest {
	w.ids++
	_, asked, _ := w.has(tenant)
	demand := capacity.Ask{{Shape: quotaShape, Replicas: n}}
	place := w.p.Quotas.Place(tenant, capacity.Use{quotaShape: asked}, demand, n > 1, w.used[tenant])
	id := message.Key(fmt.Sprintf("%06d", w.ids))
	key := Key(w.now, limit, n > 1).Add(place.Offset)
	r := &quotaRequest{Head: Head{ID: id, Tenant: tenant, Key: key, Demand: demand, Limit: limit, Within: place.Within,
		Order: fmt.Sprintf("%04d-%s-%s", 1000-priority, key.Format("20060102T150405"), id)}, run: run, came: w.now, bound: w.now}
	for _, h := range w.held {
		if h.End.After(r.bound) {
			r.bound = h.End
		}
	}
	w.requests[id] = r
	class := r.class()
	w.queue[class] = w.queue[class].With(r.Head, 1000)
	w.plan()
	return r
}

func (w *quotaWorld) snapshot() PlanSnapshot {
	use := capacity.Use{}
	for _, h := range w.held {
		use.Add(h.Demand)
	}
	return PlanSnapshot{Now: w.now, Pools: []capacity.Pool{{ID: "p", Shape: quotaShape, Count: w.machines}}, Use: use, Held: slices.Clone(w.held), Queue: w.queue, Reserved: w.reserved}
}

// plan makes plans until nothing starts.
func (w *quotaWorld) plan() {
	for {
		plan := MakePlan(w.snapshot(), w.p)
		w.reserved = plan.Reserved
		for _, st := range plan.Starts {
			class := st.class()
			c, _ := w.queue[class].Without(st.Order)
			if w.queue[class] = c; c.Count == 0 {
				delete(w.queue, class)
			}
			r := w.requests[st.ID]
			r.started = w.now
			w.held = append(w.held, Held{ID: st.ID, Tenant: st.Tenant, Demand: st.Demand, End: w.now.Add(st.Limit)})
			w.ends[st.ID] = w.now.Add(r.run)
		}
		if len(plan.Starts) == 0 {
			return
		}
	}
}

// until lets time pass: jobs end, and a plan follows every end.
func (w *quotaWorld) until(to time.Time) {
	for {
		next := to
		for _, h := range w.held {
			if end := w.ends[h.ID]; end.Before(next) {
				next = end
			}
		}
		for tenant := range w.used {
			held, _, _ := w.has(tenant)
			w.used[tenant] = w.used[tenant].After(next, held)
		}
		w.now = next
		n := len(w.held)
		w.held = slices.DeleteFunc(w.held, func(h Held) bool { return !w.ends[h.ID].After(next) })
		if len(w.held) < n {
			w.plan()
		} else if !next.Before(to) {
			return
		}
	}
}

func drawQuotas(t *rapid.T, machines int, caps bool) *Quotas {
	q := &Quotas{Tenants: map[string]Quota{}}
	left := machines
	for _, tenant := range []string{"a", "b", "c"} {
		n := rapid.IntRange(0, left).Draw(t, "share of "+tenant)
		left -= n
		quota := Quota{Share: capacity.Use{quotaShape: capacity.Replicas(n)}}
		if caps {
			if rapid.Bool().Draw(t, "capped") {
				quota.Cap = capacity.Use{quotaShape: capacity.Replicas(rapid.IntRange(1, machines).Draw(t, "cap"))}
			}
			quota.Running = rapid.IntRange(0, 3).Draw(t, "running")
		}
		q.Tenants[tenant] = quota
	}
	return q
}

// TestSharesComeBack: a request that comes within the share of its tenant starts, at the
// latest, when the jobs have ended that ran as it came, whatever waits and comes.
func TestSharesComeBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		machines := rapid.IntRange(1, 8).Draw(t, "machines")
		w := newQuotaWorld(capacity.Replicas(machines), drawQuotas(t, machines, false))
		for range rapid.IntRange(1, 25).Draw(t, "requests") {
			tenant := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "tenant")
			limit := time.Duration(rapid.IntRange(1, 12).Draw(t, "limit")) * 20 * time.Minute
			run := limit * time.Duration(rapid.IntRange(1, 4).Draw(t, "run")) / 4
			w.submit(tenant, capacity.Replicas(rapid.IntRange(1, machines).Draw(t, "replicas")), limit, run, 0)
			w.until(w.now.Add(time.Duration(rapid.IntRange(0, 6).Draw(t, "pause")) * 10 * time.Minute))
		}
		w.until(w.now.Add(200 * time.Hour))
		for _, id := range slices.Sorted(keysOf(w.requests)) {
			r := w.requests[id]
			if r.started.IsZero() {
				t.Fatalf("%s of tenant %s never starts", id, r.Tenant)
			}
			if r.Within && r.started.After(r.bound) {
				t.Fatalf("%s of tenant %s came at %s within its share and started at %s; all that ran had ended by %s", id, r.Tenant, r.came, r.started, r.bound)
			}
		}
	})
}

// TestQuotasHold: no tenant ever has more than its cap, or more running requests than it
// may have, and every request starts in the end.
func TestQuotasHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		machines := rapid.IntRange(1, 8).Draw(t, "machines")
		w := newQuotaWorld(capacity.Replicas(machines), drawQuotas(t, machines, true))
		check := func() {
			for tenant, quota := range w.p.Quotas.Tenants {
				held, _, running := w.has(tenant)
				if most, capped := quota.Cap[quotaShape]; capped && held > most || quota.Running > 0 && running > quota.Running {
					t.Fatalf("tenant %s holds %d replicas by %d requests; its quota is %+v", tenant, held, running, quota)
				}
			}
		}
		for range rapid.IntRange(1, 25).Draw(t, "requests") {
			tenant := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "tenant")
			most := machines
			if c, capped := w.p.Quotas.Tenants[tenant].Cap[quotaShape]; capped {
				most = int(c)
			}
			limit := time.Duration(rapid.IntRange(1, 12).Draw(t, "limit")) * 20 * time.Minute
			w.submit(tenant, capacity.Replicas(rapid.IntRange(1, most).Draw(t, "replicas")), limit, limit*time.Duration(rapid.IntRange(1, 4).Draw(t, "run"))/4,
				rapid.IntRange(0, 1).Draw(t, "priority"))
			check()
			w.until(w.now.Add(time.Duration(rapid.IntRange(0, 6).Draw(t, "pause")) * 10 * time.Minute))
			check()
		}
		w.until(w.now.Add(400 * time.Hour))
		for _, id := range slices.Sorted(keysOf(w.requests)) {
			if r := w.requests[id]; r.started.IsZero() {
				t.Fatalf("%s of tenant %s never starts", id, r.Tenant)
			}
		}
	})
}

func keysOf[K cmp.Ordered, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// TestQuotasOfNobody: a policy without shares and bounds changes no plan.
func TestQuotasOfNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		without := MakePlan(w.s, w.p)
		w.p.Quotas = &Quotas{Tenants: map[string]Quota{"t": {Weight: 3}}}
		if diff := gocmp.Diff(without, MakePlan(w.s, w.p)); diff != "" {
			t.Fatalf("plans differ (-without, +with):\n%s", diff)
		}
	})
}
