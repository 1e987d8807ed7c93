package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// A fleet is a world of many persistent resources in several regions, more than
// any query returns at once, each with four machines. Its instances can be made
// anew before every call, as where each request meets another process.
type fleet struct {
	*World
	homes []string // full names, in their order in the ledger
}

func newFleet(t *testing.T, regions, each int, restarts bool) *fleet {
	f := &fleet{World: New(t)}
	f.Config.Regions = nil
	for i := range regions {
		region := fmt.Sprintf("us-east%d", i+1)
		f.Config.Regions = append(f.Config.Regions, region)
		for j := range each {
			name := fmt.Sprintf("projects/test-project/locations/%s/persistentResources/pool-%03d", region, j)
			f.homes = append(f.homes, name)
			f.Vertex.SetResource(name, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0),
				Pools: []capacity.Pool{{ID: "cpu", Shape: CPU, Count: 4}}})
		}
	}
	f.Controller = f.Instance(f.Config)
	if restarts {
		deliver, tick := f.Deliver, f.Tick
		f.Deliver = func(d message.Delivery) error { f.Controller = f.Instance(f.Config); return deliver(d) }
		f.Tick = func() error { f.Controller = f.Instance(f.Config); return tick() }
	}
	return f
}

// job sets the state of a request's job.
func (f *fleet) job(id string, s vertex.JobState) { f.Helper(); f.Vertex.SetJob(f.JobOf(id), s) }

// in counts the requests whose ids begin with a prefix, by state.
func (f *fleet) in(prefix string) map[lifecycle.State]int {
	n := map[lifecycle.State]int{}
	records, _ := stored(f.Ledger)
	for _, r := range records {
		if strings.HasPrefix(r.ID, prefix) && r.Kind != message.KindAnswer {
			n[r.State]++
		}
	}
	return n
}

// all fails unless all requests with a prefix are in a state.
func (f *fleet) all(prefix string, want lifecycle.State, n int) {
	f.Helper()
	if got := f.in(prefix); got[want] != n {
		f.Fatalf("of %d requests %s... %d are %s: %v", n, prefix, got[want], want, got)
	}
}

// sound holds the world as it is against the promises.
func (f *fleet) sound() {
	f.Helper()
	p := invariant.Picture{Now: f.Now, Jobs: f.Vertex.Jobs(), Complete: true, Published: map[string]bool{}}
	p.Records, p.Resources = stored(f.Ledger)
	for _, e := range f.Out.All() {
		p.Published[e.EventID] = true
	}
	for _, v := range invariant.Check(p) {
		f.Errorf("%s", v)
	}
}

// An end is how a job ends, and the outcome that it calls for.
type end struct {
	job   vertex.JobState // "" for a job that is deleted
	state lifecycle.State
	code  reason.Code
	word  string
}

var ends = []end{
	{vertex.JobSucceeded, lifecycle.Succeeded, "", "succeeded"},
	{vertex.JobPartiallySucceeded, lifecycle.Succeeded, reason.JobEnded, "succeeded"},
	{vertex.JobFailed, lifecycle.Failed, reason.JobEnded, "failed"},
	{vertex.JobCancelled, lifecycle.Cancelled, reason.JobEnded, "cancelled"},
	{vertex.JobExpired, lifecycle.Expired, reason.JobEnded, "expired"},
	{"", lifecycle.Failed, reason.JobGone, "failed"},
}

// Every tick serves every resource of a fleet: the next tick learns each start
// or end of a job, with the right outcome, and its machines go to the requests
// that wait there.
func TestFleet(t *testing.T) {
	for _, restarts := range []bool{false, true} {
		t.Run(fmt.Sprintf("restarts=%t", restarts), func(t *testing.T) {
			f := newFleet(t, 3, 40, restarts)
			f.Config.Submissions = 1000 // pace is another matter
			f.Controller = f.Instance(f.Config)
			n := len(f.homes)
			for i, home := range f.homes {
				f.Ask(Job{ID: fmt.Sprintf("run-%03d", i), CPU: 3, Resource: home})
				f.Ask(Job{ID: fmt.Sprintf("next-%03d", i), CPU: 2, Resource: home})
			}
			f.all("run-", lifecycle.Submitted, n)
			f.all("next-", lifecycle.Waiting, n)
			for i := range n {
				f.job(fmt.Sprintf("run-%03d", i), vertex.JobRunning)
			}
			f.After(time.Minute)
			f.all("run-", lifecycle.Running, n)
			f.Now = f.Now.Add(time.Minute) // so that there are submissions for all again
			for i := range n {
				id := fmt.Sprintf("run-%03d", i)
				if e := ends[i%len(ends)]; e.job != "" {
					f.job(id, e.job)
				} else {
					f.Vertex.Delete(f.JobOf(id))
				}
			}
			f.After(time.Minute)
			for i := range n {
				id, e := fmt.Sprintf("run-%03d", i), ends[i%len(ends)]
				f.Expect(id, e.state, "reserved", "submitted", "started", e.word)
				if o := f.Out.Last(id); (e.code == "") != (o.Reason == nil) || o.Reason != nil && o.Reason.Code != e.code {
					t.Errorf("%s, of which the job ended %q, has the reason %+v, want %s", id, e.job, o.Reason, e.code)
				}
			}
			f.all("next-", lifecycle.Submitted, n)
			if jobs := len(f.Vertex.Jobs()); jobs != 2*n-n/len(ends) {
				t.Errorf("there are %d jobs for %d requests, of which %d were deleted", jobs, 2*n, n/len(ends))
			}
			f.sound()
		})
	}
}

// What a tick costs follows from the number of regions and resources: one list a
// region, one read of each resource at Vertex AI, and a commit only where
// something was learned. Nothing is read twice.
func TestFleetIsFrugal(t *testing.T) {
	f := newFleet(t, 3, 40, false)
	f.Config.Submitters = 1 // one call at a time: commits that collide are tried again, and would be counted
	f.Config.Submissions = 1000
	f.Controller = f.Instance(f.Config)
	n := len(f.homes)
	for i, home := range f.homes {
		f.Ask(Job{ID: fmt.Sprintf("run-%03d", i), CPU: 3, Resource: home})
	}
	for i := range n {
		f.job(fmt.Sprintf("run-%03d", i), vertex.JobRunning)
	}
	f.After(time.Minute)
	f.After(time.Minute)
	type cost struct{ lists, resources, others, commits, written, events int }
	measure := func(do func()) cost {
		calls, stats, events := f.Vertex.Calls(), f.Ledger.Stats(), len(f.Out.All())
		do()
		c := cost{events: len(f.Out.All()) - events}
		for op, k := range f.Vertex.Calls() {
			switch k -= calls[op]; op {
			case "live":
				c.lists += k
			case "resource":
				c.resources += k
			default:
				c.others += k
			}
		}
		after := f.Ledger.Stats()
		// Resources of one region are served concurrently and share its budget: a
		// commit that comes after another change writes nothing.
		c.commits = after.Commits - stats.Commits - (after.Stale - stats.Stale)
		c.written = after.DocsWritten - stats.DocsWritten
		return c
	}
	// An observation is written down, so that others decide by it: a commit each, and the
	// lease, taken and given back.
	idle := measure(func() { f.After(time.Minute) })
	if idle.lists != 3 || idle.resources != n || idle.others != 0 || idle.events != 0 {
		t.Errorf("a tick at which nothing happens makes %+v, want a list for each of 3 regions and an observation of each of %d resources", idle, n)
	}
	if idle.commits > n+2 || idle.written > 2*n+2 {
		t.Errorf("a tick at which nothing happens makes %+v, want a commit of a resource and its budget for each of %d, and two for the lease at most", idle, n)
	}
	// One job that ends costs what concerns it, and no more for the other 119.
	f.job("run-077", vertex.JobSucceeded)
	one := measure(func() { f.After(time.Minute) })
	if one.lists != 3 || one.resources != n || one.others > 2 || one.events != 1 || one.commits > idle.commits+3 {
		t.Errorf("one job that ended costs %+v, where an idle tick costs %+v", one, idle)
	}
	f.Expect("run-077", lifecycle.Succeeded, "reserved", "submitted", "started", "succeeded")
	// A request that starts at once costs one create; its commits are the decision,
	// the job's name, the mark of its events, and its share of the budget.
	start := measure(func() { f.Ask(Job{ID: "more", CPU: 1, Resource: f.homes[77]}) })
	if start.lists+start.resources != 0 || start.others != 1 || start.events != 2 || start.commits > 5 {
		t.Errorf("a request that starts at once costs %+v, want one call and two events", start)
	}
	// One that waits, one commit and its mark; a second delivery of it none.
	wait := measure(func() { f.Ask(Job{ID: "waits", CPU: 4, Resource: f.homes[77]}) })
	if wait.lists+wait.resources+wait.others != 0 || wait.events != 1 || wait.commits > 2 {
		t.Errorf("a request that waits costs %+v, want no call and one event", wait)
	}
	again := measure(func() { f.Again("m-again", Job{ID: "waits", CPU: 4, Resource: f.homes[77]}.Body()) })
	if again != (cost{}) {
		t.Errorf("a second delivery costs %+v", again)
	}
}

// Events of more requests than one query returns, which could not be published for
// an hour, are all published within two ticks, once each, in any case without a gap.
func TestManyLateEvents(t *testing.T) {
	f := newFleet(t, 2, 30, false)
	f.Out.Fail = func() (bool, bool) { return true, false }
	var ids []string
	for i := range 450 {
		id := fmt.Sprintf("bad-%03d", i) // refused: none of them needs a machine
		f.Ask(Job{ID: id, CPU: 9, Resource: f.homes[i%len(f.homes)]})
		ids = append(ids, id)
	}
	f.Now = f.Now.Add(time.Hour)
	for range 3 {
		_ = f.Tick() // it says that it cannot publish
		f.Now = f.Now.Add(time.Minute)
	}
	if n := len(f.Out.All()); n != 0 {
		t.Fatalf("%d events were published by a publisher that fails", n)
	}
	f.Out.Fail = nil
	for range 3 {
		f.After(time.Minute)
	}
	for _, id := range ids {
		if words := f.Out.Words(id); !slices.Equal(words, []string{"rejected"}) {
			t.Errorf("three ticks after the publisher is back, %s has the events %q", id, words)
		}
	}
	if n := len(f.Out.All()); n != len(ids) {
		t.Errorf("%d events were published for %d requests", n, len(ids))
	}
	f.sound()
}

// More requests than one query returns, whose time is over at the same moment, end
// in time, each as it should.
func TestManyTimers(t *testing.T) {
	f := newFleet(t, 2, 3, false)
	for i, home := range f.homes {
		f.Ask(Job{ID: fmt.Sprintf("holder-%d", i), CPU: 4, Resource: home})
	}
	const n = 500
	for i := range n {
		f.Ask(Job{ID: fmt.Sprintf("late-%03d", i), CPU: 1, MaxWait: "1800s", Resource: f.homes[i%len(f.homes)]})
	}
	f.Ask(Job{ID: "patient", CPU: 1, MaxWait: "7200s", Resource: f.homes[0]})
	f.After(28 * time.Minute)
	f.all("late-", lifecycle.Waiting, n)
	f.Now = f.Now.Add(2 * time.Minute)
	for range 3 {
		f.After(time.Minute)
	}
	f.all("late-", lifecycle.Expired, n)
	for i := range n {
		id := fmt.Sprintf("late-%03d", i)
		if o := f.Out.Last(id); o.Reason == nil || o.Reason.Code != reason.WaitedTooLong {
			t.Fatalf("%s ended because of %+v", id, o.Reason)
		}
	}
	if f.State("patient") != lifecycle.Waiting {
		t.Errorf("one that would wait two hours is %s after half of one", f.State("patient"))
	}
	f.sound()
}

// A long queue of large specifications on one resource starts in order, as fast
// as machines become free, although a commit holds only a part of it.
func TestLargeSpecsInOrder(t *testing.T) {
	f := newFleet(t, 1, 1, false)
	f.Vertex.SetResource(f.homes[0], vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0),
		Pools: []capacity.Pool{{ID: "cpu", Shape: CPU, Count: 40}}})
	f.Ask(Job{ID: "holder", CPU: 40, Resource: f.homes[0]})
	large := map[string]any{"baseOutputDirectory": map[string]any{"outputUriPrefix": "gs://bucket/" + strings.Repeat("x", 200<<10)}}
	const n = 60
	for i := range n {
		f.Ask(Job{ID: fmt.Sprintf("big-%02d", i), CPU: 1, Resource: f.homes[0], Spec: large})
	}
	f.all("big-", lifecycle.Waiting, n)
	f.job("holder", vertex.JobSucceeded)
	f.After(time.Minute)
	f.After(time.Minute)
	for i := range n {
		want := lifecycle.Submitted
		if i >= 40 {
			want = lifecycle.Waiting
		}
		if id := fmt.Sprintf("big-%02d", i); f.State(id) != want {
			t.Errorf("%s is %s with 40 machines free for those before it, want %s", id, f.State(id), want)
		}
	}
	f.sound()
}

// A region that has no answer for hours keeps neither the jobs nor the timers of
// the others from their ends, and loses nothing itself.
func TestOneRegionIsSilent(t *testing.T) {
	f := newFleet(t, 3, 20, true)
	for i, home := range f.homes {
		f.Ask(Job{ID: fmt.Sprintf("run-%02d", i), CPU: 4, Resource: home})
		f.Ask(Job{ID: fmt.Sprintf("next-%02d", i), CPU: 4, Resource: home})
	}
	silent := "projects/test-project/locations/" + f.Config.Regions[0]
	f.Vertex.Fault = func(_, name string) vertex.Fault {
		if strings.HasPrefix(name, silent) {
			return vertex.FailBefore
		}
		return vertex.NoFault
	}
	for i := range f.homes {
		f.job(fmt.Sprintf("run-%02d", i), vertex.JobSucceeded)
	}
	for range 2 {
		f.Now = f.Now.Add(time.Minute)
		_ = f.Tick() // it says what it could not reach
	}
	for i := range f.homes {
		run, next := lifecycle.Succeeded, lifecycle.Submitted
		if i < 20 {
			run, next = lifecycle.Submitted, lifecycle.Waiting
		}
		if r, x := f.State(fmt.Sprintf("run-%02d", i)), f.State(fmt.Sprintf("next-%02d", i)); r != run || x != next {
			t.Errorf("on %s: %s and %s, want %s and %s", f.homes[i], r, x, run, next)
		}
	}
	f.Vertex.Fault = nil
	f.After(time.Minute)
	f.After(time.Minute)
	f.all("run-", lifecycle.Succeeded, len(f.homes))
	f.all("next-", lifecycle.Submitted, len(f.homes))
	f.sound()
}

// Old observations admit nothing, on any page of resources; the next tick
// renews them all, and the waiting requests start.
func TestFleetOfOldObservations(t *testing.T) {
	f := newFleet(t, 2, 60, false)
	f.Config.Submissions = 1000
	f.Controller = f.Instance(f.Config)
	for i, home := range f.homes {
		f.Ask(Job{ID: fmt.Sprintf("first-%03d", i), CPU: 1, Resource: home})
	}
	f.After(time.Minute)
	f.Now = f.Now.Add(time.Hour)
	f.Vertex.Fault = func(op, _ string) vertex.Fault {
		if op == "resource" || op == "live" {
			return vertex.FailBefore
		}
		return vertex.NoFault
	}
	for i, home := range f.homes {
		id := fmt.Sprintf("old-%03d", i)
		f.Ask(Job{ID: id, CPU: 1, Resource: home})
		if o := f.Out.Last(id); o.Reason == nil || o.Reason.Code != reason.ObservationTooOld {
			t.Fatalf("%s on an observation of an hour: %+v", id, o.Reason)
		}
	}
	f.all("old-", lifecycle.Waiting, len(f.homes))
	f.Vertex.Fault = nil
	f.After(time.Minute)
	f.all("old-", lifecycle.Submitted, len(f.homes))
	for _, res := range f.Ledger.Dump().Resources() {
		if age := f.Now.Sub(res.ObservedAt); age > time.Minute {
			t.Errorf("%s was last seen %s ago", res.Name, age)
		}
	}
}

// Leases and instances: of two that tick at the same time one makes the pass, and
// one whose lease is over does not keep others from it.
func TestOneInstanceReconciles(t *testing.T) {
	f := newFleet(t, 1, 2, false)
	f.Ask(Job{ID: "a", CPU: 1, Resource: f.homes[0]})
	ctx := t.Context()
	err := f.Ledger.Update(ctx, ledger.Leases("reconcile"), func(tx ledger.Tx) error {
		tx.Put(&ledger.Lease{Name: "reconcile", Holder: "another instance", Until: f.Now.Add(30 * time.Second)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	before := f.Vertex.Calls()["live"]
	if r, err := f.Controller.Reconcile(ctx, "me", 0); err != nil || !r.Skipped || r.Passes != 0 || f.Vertex.Calls()["live"] != before {
		t.Errorf("beside an instance that reconciles: %+v, %v", r, err)
	}
	f.Now = f.Now.Add(30 * time.Second)
	if r, err := f.Controller.Reconcile(ctx, "me", 0); err != nil || r.Skipped || r.Passes != 1 || f.Vertex.Calls()["live"] != before+1 {
		t.Errorf("after its lease: %+v, %v", r, err)
	}
	if r, err := f.Controller.Reconcile(ctx, "a third", 0); err != nil || r.Skipped {
		t.Errorf("after a pass has given its lease back: %+v, %v", r, err)
	}
}
