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

// startsBy fails unless a request has started by so long after the beginning.
func (w *quotaWorld) startsBy(t *testing.T, name string, r *quotaRequest, most time.Duration) {
	t.Helper()
	if r.started.IsZero() || r.started.After(planNow.Add(most)) {
		t.Errorf("%s starts at %s, want by %s after the beginning", name, r.started, most)
	}
}

// TestBorrowersLeaveRoomForAll: a request that borrows and fits beside the reservation of
// one owner leaves free what another owner waits for, which has no reservation yet.
func TestBorrowersLeaveRoomForAll(t *testing.T) {
	share := Quota{Share: capacity.Use{quotaShape: 2}}
	w := newQuotaWorld(4, &Quotas{Tenants: map[string]Quota{"b": share, "c": share}})
	w.submit("a", 1, 12*time.Hour, time.Hour, 0)
	w.submit("a", 3, 12*time.Hour, 12*time.Hour, 0)
	b := w.submit("b", 2, 12*time.Hour, 12*time.Hour, 0)
	c := w.submit("c", 2, 12*time.Hour, 12*time.Hour, 0)
	small := w.submit("a", 1, 20*time.Hour, 20*time.Hour, 0)
	w.until(planNow.Add(100 * time.Hour))
	w.startsBy(t, "b", b, 12*time.Hour)
	w.startsBy(t, "c", c, 12*time.Hour)
	if small.started.Before(planNow.Add(24 * time.Hour)) {
		t.Errorf("the borrower starts at %s, before the owners have run", small.started)
	}
}

// TestACapKeepsTheOrderOfItsTenant: small requests of a tenant do not keep its own gang
// waiting behind their cap; those that end before the gang can start may go first.
func TestACapKeepsTheOrderOfItsTenant(t *testing.T) {
	w := newQuotaWorld(8, &Quotas{Tenants: map[string]Quota{"a": {Cap: capacity.Use{quotaShape: 4}}}})
	w.submit("a", 1, 10*time.Hour, 10*time.Hour, 0)
	gang := w.submit("a", 4, time.Hour, time.Hour, 0)
	short := w.submit("a", 1, 2*time.Hour, 2*time.Hour, 0)
	var long []*quotaRequest
	for range 9 {
		long = append(long, w.submit("a", 1, 12*time.Hour, 12*time.Hour, 0))
		w.until(w.now.Add(time.Hour))
	}
	w.until(planNow.Add(100 * time.Hour))
	w.startsBy(t, "the short one", short, 0)
	w.startsBy(t, "the gang", gang, 10*time.Hour)
	for i, r := range long {
		if r.started.Before(gang.started) {
			t.Errorf("long %d starts at %s, before the gang", i, r.started)
		}
	}
}

// TestAReservationKeepsItsRoomUnderTheCap: a request of the tenant that fits beside its
// reservation does not take the rest of their cap.
func TestAReservationKeepsItsRoomUnderTheCap(t *testing.T) {
	w := newQuotaWorld(8, &Quotas{Tenants: map[string]Quota{"a": {Cap: capacity.Use{quotaShape: 4}}}})
	w.submit("u", 2, 10*time.Hour, time.Hour, 0)
	w.submit("u", 6, 10*time.Hour, 10*time.Hour, 0)
	reserved := w.submit("a", 4, time.Hour, time.Hour, 0)
	beside := w.submit("a", 1, 20*time.Hour, 20*time.Hour, 0)
	w.until(planNow.Add(100 * time.Hour))
	w.startsBy(t, "the reservation", reserved, 10*time.Hour)
	if beside.started.Before(reserved.started) {
		t.Errorf("the other starts at %s, before the reservation at %s", beside.started, reserved.started)
	}
}

// TestOwnersGoFirst: once a tenant has less than its share again, its requests that came
// beyond the share go before those that borrow and are earlier in the queue.
func TestOwnersGoFirst(t *testing.T) {
	w := newQuotaWorld(4, &Quotas{Tenants: map[string]Quota{"b": {Share: capacity.Use{quotaShape: 2}}}})
	w.submit("a", 2, 10*time.Hour, 10*time.Hour, 0)
	w.submit("b", 1, 10*time.Hour, 2*time.Hour, 0)
	w.submit("b", 1, 10*time.Hour, 3*time.Hour, 0)
	first := w.submit("a", 1, 20*time.Minute, 20*time.Minute, 0)
	second := w.submit("a", 1, 30*time.Minute, 30*time.Minute, 0)
	own := w.submit("b", 1, 4*time.Hour, 4*time.Hour, 0)
	if own.Within || own.Order < second.Order {
		t.Fatalf("the owner's request is %+v, the borrower's %+v", own.Head, second.Head)
	}
	w.until(planNow.Add(100 * time.Hour))
	w.startsBy(t, "the owner's", own, 2*time.Hour+20*time.Minute)
	if !first.started.Equal(planNow.Add(2*time.Hour)) || second.started.Before(own.started) {
		t.Errorf("the borrowers start at %s and %s, the owner at %s", first.started, second.started, own.started)
	}
}

// TestReclaimInOrder: in order, a request within the share of its tenant waits for earlier
// ones of tenants that borrow, and a reservation of one of those stands. Its key is the
// better one all the same.
func TestReclaimInOrder(t *testing.T) {
	for _, inOrder := range []bool{false, true} {
		w := newQuotaWorld(4, &Quotas{Tenants: map[string]Quota{"b": {Share: capacity.Use{quotaShape: 2}}}, InOrder: inOrder})
		w.submit("a", 4, 2*time.Hour, 2*time.Hour, 0)
		early := w.submit("a", 4, 2*time.Hour, 2*time.Hour, 0) // it borrows, and as a gang by little
		w.until(planNow.Add(100 * time.Minute))
		own := w.submit("b", 2, 2*time.Hour, 2*time.Hour, 0)
		w.until(planNow.Add(100 * time.Hour))
		if !own.Within || early.Within {
			t.Fatalf("within the share are %v and %v, want the owner's alone", own.Within, early.Within)
		}
		first, second, started := own, early, 2*time.Hour
		if inOrder {
			first, second = early, own
		}
		w.startsBy(t, "the first", first, started)
		if !second.started.Equal(planNow.Add(started + 2*time.Hour)) {
			t.Errorf("in order %v: the second starts at %s", inOrder, second.started)
		}
	}
	shared := &Quotas{Others: Quota{Share: capacity.Use{quotaShape: 2}}, InOrder: true}
	if p := shared.Place("a", nil, capacity.Ask{{Shape: quotaShape, Replicas: 2}}, false, Used{}); p != (Place{Within: true}) {
		t.Errorf("within the share: %+v", p)
	}
	if p := shared.Place("a", nil, capacity.Ask{{Shape: quotaShape, Replicas: 3}}, false, Used{}); p.Offset != borrowDelay {
		t.Errorf("beyond the share: %+v", p)
	}
}
