package admission

import (
	"cmp"
	"crypto/sha256"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

var (
	update = flag.Bool("update", false, "rewrite the decisions that are kept in testdata")
	world  = flag.Int("world", -1, "print the decisions of one drawn world of TestDecisions")
)

// TestDecisions plays small worlds and holds every decision and plan in them against
// those in testdata/decisions.txt: in words for the first, as a checksum for many more, whose words
// -world prints. The models and promises of the other tests say what is
// right; this one shows what a change of the order changes, line by line. Its worlds mix
// what those tests look at one by one: tenants, shares, caps, priorities, gangs, several
// shapes, pools and tenants that are paused, foreign use, jobs beyond their limits, classes of
// which few heads are known.
func TestDecisions(t *testing.T) {
	if *world >= 0 {
		t.Log(play(*world))
		return
	}
	const inWords, all = 70, 400
	var out strings.Builder
	for n := range all {
		if n < inWords {
			fmt.Fprintf(&out, "\nworld %d\n%s", n, play(n))
			continue
		}
		sum := sha256.Sum256([]byte(play(n)))
		fmt.Fprintf(&out, "world %d: %x\n", n, sum[:8])
	}
	const path = "testdata/decisions.txt"
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(strings.Split(string(kept), "\n"), strings.Split(out.String(), "\n")); diff != "" {
		t.Errorf("decisions changed; -update keeps them if they are meant to:\n%.4000s", diff)
	}
}

// play plays a world of ten steps and returns what was decided in it.
func play(n int) string {
	var out strings.Builder
	d := &drawnWorld{Rand: rand.New(rand.NewPCG(uint64(n), 7)), out: &out} // #nosec G115 G404 -- the same worlds every time
	d.draw()
	for i := range 10 {
		d.step()
		if i%5 == 4 {
			d.explain()
		}
	}
	return strings.NewReplacer(small.String(), "S", large.String(), "L", gpu.String(), "G", "jobSpec.workerPoolSpecs", "pools").Replace(out.String())
}

// A drawnWorld is one resource in virtual time, with what is drawn for it.
type drawnWorld struct {
	*rand.Rand
	out    *strings.Builder
	s      Snapshot
	p      Policy
	shapes []capacity.Shape
	held   []Held
	truth  map[message.Key]time.Time // when jobs end
	ids    int
}

// one draws one of several values.
func one[T any](d *drawnWorld, from ...T) T { return from[d.IntN(len(from))] }

func (d *drawnWorld) draw() {
	d.s = Snapshot{Now: planNow, State: running, Known: true, Queue: Queue{}, Use: capacity.Use{}, PausedPools: map[string]Pause{}}
	d.truth = map[message.Key]time.Time{}
	d.shapes = []capacity.Shape{small, large, gpu}[:one(d, 1, 2, 2, 3)]
	for _, shape := range d.shapes {
		for range one(d, 1, 1, 2) {
			p := capacity.Pool{ID: fmt.Sprintf("p%d", len(d.s.Pools)), Shape: shape, Count: capacity.Replicas(1 + d.IntN(5))}
			if d.IntN(4) == 0 {
				p.Max = p.Count + capacity.Replicas(d.IntN(3))
			}
			d.s.Pools = append(d.s.Pools, p)
			fmt.Fprintf(d.out, "pool %s %s %d %d\n", p.ID, p.Shape, p.Count, p.Max)
		}
	}
	d.p = Policy{MaxAge: 2 * time.Minute, MaxHolds: one(d, 30, 30, 4), RefuseAfter: time.Hour, MaxLimit: one(d, 0, 12*time.Hour), Plan: PlanPolicy{
		Horizon: time.Hour, Margin: time.Minute, StartIn: 2 * time.Minute, StartTimeout: 10 * time.Minute, Patience: time.Hour, Paused: map[string]Pause{}}}
	if d.IntN(5) < 2 {
		return
	}
	q := &Quotas{Tenants: map[string]Quota{}, InOrder: d.IntN(4) == 0}
	for _, tenant := range []string{"a", "b"} {
		quota := Quota{Running: one(d, 0, 0, 0, 0, 1, 2), Waiting: one(d, 0, 0, 0, 0, 1, 3)}
		for _, shape := range d.shapes {
			if d.IntN(3) == 0 {
				quota.Cap = merged(quota.Cap, shape, capacity.Replicas(1+d.IntN(4)))
			}
			if d.IntN(2) == 0 {
				quota.Share = merged(quota.Share, shape, capacity.Replicas(1+d.IntN(3)))
			}
		}
		if d.IntN(6) > 0 {
			q.Tenants[tenant] = quota
		}
		fmt.Fprintf(d.out, "tenant %s %v\n", tenant, q.Of(tenant))
	}
	d.p.Plan.Quotas = q
}

func merged(u capacity.Use, s capacity.Shape, n capacity.Replicas) capacity.Use {
	if u == nil {
		u = capacity.Use{}
	}
	u[s] = n
	return u
}

// step lets some time pass, changes something now and then, and sends a few requests.
func (d *drawnWorld) step() {
	d.s.Now = d.s.Now.Add(time.Duration(1+d.IntN(50)) * time.Minute)
	d.s.ObservedAt = d.s.Now.Add(-one(d, 0, time.Minute, 2*time.Minute, 0, 0, 0, 0, 0, 2*time.Minute+1))
	fmt.Fprintf(d.out, "at %s\n", d.s.Now.Format("15:04"))
	d.held = slices.DeleteFunc(d.held, func(h Held) bool { return !d.truth[cmp.Or(h.ID, "foreign")].After(d.s.Now) })
	switch d.IntN(14) {
	case 0:
		d.s.State = one(d, "REBOOTING", running)
	case 1, 2, 8, 9:
		d.s.State, d.s.Paused = running, nil
	case 3:
		p := d.s.Pools[d.IntN(len(d.s.Pools))].ID
		if _, is := d.s.PausedPools[p]; is {
			delete(d.s.PausedPools, p)
		} else if d.IntN(2) == 0 {
			d.s.PausedPools[p] = Pause{Since: d.s.Now, Who: "ann", Reason: "disk"}
		}
	case 4:
		if _, is := d.p.Plan.Paused["a"]; is {
			delete(d.p.Plan.Paused, "a")
		} else if d.IntN(2) == 0 {
			d.p.Plan.Paused["a"] = Pause{Since: d.s.Now, Who: "ann", Reason: "budget"}
		}
	case 5:
		if d.IntN(5) == 0 {
			d.s.Paused = &Pause{Since: d.s.Now, Who: "bob", Reason: "upgrade"}
		}
	case 6:
		d.truth["foreign"] = d.s.Now.Add(90 * time.Minute)
		d.held = append(d.held, Held{Demand: capacity.Ask{{Shape: one(d, d.shapes...), Replicas: 1}}, End: d.s.Now.Add(one(d, 2*time.Hour, 20*time.Minute))})
	case 7:
		d.s.NotBefore = d.s.Now.Add(one(d, 0, time.Minute))
	}
	d.count()
	for range one(d, 1, 1, 2, 3) {
		d.send()
		d.plan()
	}
}

// count sums up what is in use.
func (d *drawnWorld) count() {
	d.s.Use, d.s.Holds = capacity.Use{}, 0
	for _, h := range d.held {
		d.s.Use.Add(h.Demand)
		if h.ID != "" {
			d.s.Holds++
		}
	}
	held := slices.Clone(d.held)
	d.s.Held = func() []Held { return held }
}

// send decides one new request.
func (d *drawnWorld) send() {
	d.ids++
	tenant, limit, priority := one(d, "a", "a", "b", "c"), one(d, 10*time.Minute, 30*time.Minute, time.Hour, 4*time.Hour, 20*time.Hour), one(d, 0, 0, 0, 0, 5)
	demand := capacity.Ask{{Shape: one(d, d.shapes...), Replicas: capacity.Replicas(one(d, 1, 1, 2, 3, 4))}}
	if len(d.shapes) > 1 && d.IntN(4) == 0 {
		demand = append(demand, capacity.Need{WorkerPool: 1, Shape: one(d, d.shapes...), Replicas: 1})
	}
	gang := demand.Replicas() > 1
	asked := capacity.Use{}
	for _, h := range d.held {
		if h.Tenant == tenant {
			asked.Add(h.Demand)
		}
	}
	for shape, n := range d.s.Queue.Asked(tenant) {
		asked[shape] += n
	}
	place := d.p.Plan.Quotas.Place(tenant, asked, demand, gang, Used{})
	key, id := Key(d.s.Now, limit, gang).Add(place.Offset), message.Key(fmt.Sprintf("r%d", d.ids))
	a := Ask{OnFull: one(d, message.Queue, message.Queue, message.Queue, message.Reject), Head: Head{ID: id, Tenant: tenant, Key: key, Demand: demand, Limit: limit,
		Within: place.Within, Slow: d.IntN(8) == 0, Order: fmt.Sprintf("%04d-%s-%s", 1000-priority, key.Format("20060102T150405"), id)}}
	run := time.Duration(float64(limit) * one(d, .2, .6, 1, 1.3))
	fmt.Fprintf(d.out, "%s %s %d %v %s: ", id, tenant, priority, demand, limit)
	decision := Decide(d.s, a, d.p)
	decision.Advise(d.s, a, d.p)
	d.tell(decision)
	switch decision.Verdict {
	case Admit:
		d.start(a.Head, run)
	case Wait:
		d.truth[id+"?"] = planNow.Add(run) // a run time, until it starts
		class := d.s.Queue.ClassFor(a.Head)
		d.s.Queue[class] = d.s.Queue[class].With(a.Head, one(d, MaxHeads, MaxHeads, 1))
	}
}

func (d *drawnWorld) start(h Head, run time.Duration) {
	d.held = append(d.held, Held{ID: h.ID, Tenant: h.Tenant, Demand: h.Demand, End: d.s.Now.Add(h.Limit)})
	d.truth[h.ID] = d.s.Now.Add(run)
	d.count()
}

// plan makes plans until nothing starts, as a pass does.
func (d *drawnWorld) plan() {
	if !d.s.Starts(d.p) {
		fmt.Fprintln(d.out, "  nothing starts")
		return
	}
	for range 20 {
		ps := d.s.plan()
		plan := MakePlan(ps, d.p.Plan)
		d.s.Reserved = plan.Reserved
		for i := range d.s.Reserved {
			r := &d.s.Reserved[i]
			if plan.News(*r, d.s.Now) {
				r.Announced, _ = plan.StartsBy(*r)
				fmt.Fprintf(d.out, "  announced %s\n", r.ID)
			}
		}
		d.tellPlan(plan)
		for _, st := range plan.Starts {
			for class, c := range d.s.Queue {
				if !slices.ContainsFunc(c.Heads, func(h Head) bool { return h.ID == st.ID }) {
					continue
				}
				c, _ = c.Without(st.Order)
				if d.s.Queue[class] = c; c.Count == 0 {
					delete(d.s.Queue, class)
				}
			}
			d.s.Reserved = slices.DeleteFunc(d.s.Reserved, func(r Reservation) bool { return r.ID == st.ID })
			d.start(st.Head, d.truth[st.ID+"?"].Sub(planNow))
		}
		if len(plan.Starts) == 0 {
			return
		}
	}
}

func (d *drawnWorld) tell(x Decision) {
	fmt.Fprintf(d.out, "%s ahead %d", x.Verdict, x.Ahead)
	if x.ScaleUp {
		fmt.Fprint(d.out, " scales up")
	}
	if !x.StartsBy.IsZero() {
		fmt.Fprintf(d.out, " starts by %s late %v", d.at(x.StartsBy), x.Late)
	}
	if !x.By.IsZero() {
		fmt.Fprintf(d.out, " runs by %s", d.at(x.By))
	}
	if x.Reason != nil {
		fmt.Fprintf(d.out, " %v", x.Reason)
	}
	fmt.Fprintln(d.out)
}

func (d *drawnWorld) tellPlan(p Plan) {
	for _, st := range p.Starts {
		fmt.Fprintf(d.out, "  starts %s by %s\n", st.ID, d.at(st.By))
	}
	for _, r := range p.Reserved {
		at, late := p.StartsBy(r)
		fmt.Fprintf(d.out, "  reserves %s at %s, by %s late %v shapes %d budget %d shut %v owed %v machines %d\n",
			r.ID, d.at(r.At), d.at(at), late, len(r.Shapes), r.Budget, r.Shut, r.Owed, r.Machines)
	}
	for _, o := range p.Over {
		fmt.Fprintf(d.out, "  over %s %v %d\n", o.ID, o.Use, o.Running)
	}
	for _, id := range p.Want {
		fmt.Fprintf(d.out, "  wants %s\n", id)
	}
}

// explain says what comes before each waiting request that is known, and why it waits.
func (d *drawnWorld) explain() {
	for _, class := range slices.Sorted(maps.Keys(d.s.Queue)) {
		c := d.s.Queue[class]
		for _, h := range append(slices.Clone(c.Heads), Head{ID: "behind", Order: "9999", Demand: capacity.Ask{{Shape: d.shapes[0], Replicas: 1}}}) {
			shapes := h.Demand.Shapes()
			_, unsure := d.s.Queue.Unsure(h.Order, shapes)
			if h.ID == "behind" && !unsure {
				continue // it says what the last head of the class says
			}
			fmt.Fprintf(d.out, "  %s: before %+v unsure %v ", h.ID, d.s.Queue.Before(h.Order, shapes, class), unsure)
			a := Ask{Head: h, Class: class, Waiting: true, OnFull: message.Queue}
			if h.ID == "behind" {
				fmt.Fprintln(d.out)
				continue
			}
			a.Tenant = cmp.Or(h.Tenant, class.tenant())
			fmt.Fprintf(d.out, "bound %s ", d.at(Bound(d.s, a, d.p)))
			x := Decide(d.s, a, d.p)
			x.Advise(d.s, a, d.p)
			d.tell(x)
		}
	}
	if len(d.s.Queue) > 0 {
		fmt.Fprintf(d.out, "  waiting %d, %v, a %d %v\n", d.s.Queue.Waiting(), d.s.Queue.ByShape(), d.s.Queue.Of("a"), d.s.Queue.Asked("a"))
	}
}

// at writes a moment as what is left until then.
func (d *drawnWorld) at(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Sub(d.s.Now).String()
}
