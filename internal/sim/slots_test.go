package sim

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// rateLimited is a world with few submissions a minute and machines enough. It records
// when which request's job was created.
type rateLimited struct {
	*World
	at []time.Time
}

func newRateLimited(t *testing.T, perMinute int) *rateLimited {
	p := &rateLimited{World: New(t)}
	p.Config.Submissions = perMinute
	p.Config.Submitters = 1 // so that those that go together go in order
	p.Controller = p.Instance(p.Config)
	p.SetPools(vertex.Running, cpus(100))
	p.Vertex.Fault = func(op, _ string) vertex.Fault {
		if op == "create" {
			p.at = append(p.at, p.Now)
		}
		return vertex.NoFault
	}
	return p
}

// submitted lists the requests with a job, in the order of the jobs' creation.
func (p *rateLimited) submitted() []string {
	byKey := map[string]string{}
	records, _ := stored(p.Ledger)
	for _, r := range records {
		byKey[string(r.Key)] = r.ID
	}
	var ids []string
	for _, j := range p.Vertex.Jobs() {
		ids = append(ids, byKey[string(j.Request)])
	}
	return ids
}

// within fails if any minute saw more creates than the budget.
func (p *rateLimited) within(perMinute int) {
	p.Helper()
	for i := range p.at {
		n := 0
		for _, at := range p.at[:i+1] {
			if at.After(p.at[i].Add(-time.Minute)) {
				n++
			}
		}
		if n > perMinute {
			p.Errorf("%d submissions in the minute before %v, budget %d", n, p.at[i], perMinute)
			return
		}
	}
}

// Many admitted at once go in order of priority and age, no faster than the
// budget allows and not much slower, each in one attempt; they can be cancelled
// while they wait.
func TestSlotsByPriorityWithinTheBudget(t *testing.T) {
	const perMinute, n = 6, 30
	p := newRateLimited(t, perMinute)
	var want []string
	for i := range n {
		id := fmt.Sprintf("r%02d", i)
		p.Ask(Job{ID: id, CPU: 1, Priority: i % 3})
		if got := p.State(id); !got.Holds() {
			t.Fatalf("%s is %s: machines are there for all", id, got)
		}
		want = append(want, id)
	}
	first := slices.Clone(p.submitted())
	if len(first) != perMinute {
		t.Errorf("%d were submitted at once, want the whole budget of %d", len(first), perMinute)
	}
	if e := p.Out.Last("r29"); e.Reason == nil || e.Reason.Code != reason.RateLimited {
		t.Errorf("the event of one that waits for a submission slot gives the reason %v", e.Reason)
	}
	p.Cancel("r29")
	p.Expect("r29", lifecycle.Cancelled, "reserved", "cancelled")
	// An instance of its own for each tick, as it may be on a serverless platform.
	for began := p.Now; len(p.submitted()) < n-1 && p.Now.Sub(began) < time.Hour; {
		p.Controller = p.Instance(p.Config)
		p.After(5 * time.Second)
	}
	p.within(perMinute)
	if took, least := p.at[len(p.at)-1].Sub(p.at[0]), 4*time.Minute; took > least+least/4 {
		t.Errorf("the last was submitted after %v, want little more than %v", took, least)
	}
	want = slices.DeleteFunc(want, func(id string) bool { return slices.Contains(first, id) || id == "r29" })
	slices.SortStableFunc(want, func(a, b string) int { return p.Record(b).Priority - p.Record(a).Priority })
	if got := p.submitted()[len(first):]; !slices.Equal(got, want) {
		t.Errorf("submitted in the order\n%v, want\n%v", got, want)
	}
	for _, r := range p.Ledger.Records() {
		if r.Attempt > 1 {
			t.Errorf("%s took %d attempts", r.ID, r.Attempt)
		}
	}
	p.CheckHolds()
}

// While requests wait for submission slots no later request passes them, on any
// resource of the region.
func TestSlotsAcrossResources(t *testing.T) {
	p := newRateLimited(t, 2)
	const other = Parent + "/persistentResources/other"
	p.Vertex.SetResource(other, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{cpus(50)}})
	for i := range 6 {
		p.Ask(Job{ID: fmt.Sprint("a", i), CPU: 1})
	}
	p.After(5 * time.Second)
	p.Ask(Job{ID: "later", CPU: 1, Resource: "other"})
	p.Ask(Job{ID: "urgent", CPU: 1, Resource: "other", Priority: 5})
	for range 60 {
		p.After(5 * time.Second)
	}
	p.within(2)
	if got, want := p.submitted(), []string{"a0", "a1", "urgent", "a2", "a3", "a4", "a5", "later"}; !slices.Equal(got, want) {
		t.Errorf("submitted in the order %v, want %v", got, want)
	}
}

// A resource that has nothing to submit keeps no tokens back while others wait.
func TestSlotsNotKeptBack(t *testing.T) {
	p := newRateLimited(t, 2)
	const other = Parent + "/persistentResources/other"
	p.Vertex.SetResource(other, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{cpus(50)}})
	p.Ask(Job{ID: "o", CPU: 1, Resource: "other"})
	for i := range 8 {
		p.Ask(Job{ID: fmt.Sprint("a", i), CPU: 1})
	}
	for range 60 {
		p.After(5 * time.Second)
	}
	p.within(2)
	if got := len(p.submitted()); got != 9 {
		t.Errorf("%d of 9 were submitted in five minutes, at two a minute", got)
	}
}

// A refusal for too many submissions stops all instances for a while; what was
// refused keeps its machines and its place, and goes in a second attempt.
func TestRateRefusalStopsAll(t *testing.T) {
	p := newRateLimited(t, 60)
	limited := true
	p.Vertex.Fault = func(op, _ string) vertex.Fault {
		if op == "create" {
			p.at = append(p.at, p.Now)
			if limited {
				return vertex.FailRate
			}
		}
		return vertex.NoFault
	}
	p.Ask(Job{ID: "a", CPU: 1})
	p.Expect("a", lifecycle.Reserved, "reserved")
	for i := range 5 {
		p.Controller = p.Instance(p.Config)
		p.Ask(Job{ID: fmt.Sprint("b", i), CPU: 1, Priority: 1})
		p.After(3 * time.Second)
	}
	if len(p.at) != 1 {
		t.Errorf("%d creates within the pause, want the one that was refused", len(p.at))
	}
	p.After(p.Config.RateBackoff) // one more refusal, of several that go at once; the pause doubles
	if n := len(p.at); n < 2 {
		t.Error("nothing was tried after the pause")
	}
	tried := len(p.at)
	p.After(p.Config.RateBackoff + time.Second)
	if len(p.at) != tried {
		t.Error("the second pause is no longer than the first")
	}
	limited = false
	p.After(p.Config.RateBackoff)
	p.Expect("a", lifecycle.Submitted, "reserved", "submitted")
	for i := range 5 {
		p.Expect(fmt.Sprint("b", i), lifecycle.Submitted, "reserved", "submitted")
	}
	if got := p.submitted(); got[len(got)-1] != "a" {
		t.Errorf("submitted in the order %v, want a last: the others have priority", got)
	}
}

// A pause holds for other resources as well, although they were granted allowances
// before it.
func TestRateRefusalRevokesAllowances(t *testing.T) {
	p := newRateLimited(t, 60)
	const other = Parent + "/persistentResources/other"
	p.Vertex.SetResource(other, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{cpus(50)}})
	p.Ask(Job{ID: "o0", CPU: 1, Resource: "other"})
	p.Expect("o0", lifecycle.Submitted, "reserved", "submitted")
	limited := true
	p.Vertex.Fault = func(op, _ string) vertex.Fault {
		if op == "create" && limited {
			return vertex.FailRate
		}
		return vertex.NoFault
	}
	p.Ask(Job{ID: "a", CPU: 1})
	p.Expect("a", lifecycle.Reserved, "reserved")
	tried := p.Vertex.Calls()["create"]
	p.Ask(Job{ID: "o1", CPU: 1, Resource: "other"})
	if got := p.Vertex.Calls()["create"]; got != tried {
		t.Errorf("%d creates in the pause", got-tried)
	}
	limited = false
	p.After(p.Config.RateBackoff + time.Second)
	p.Expect("a", lifecycle.Submitted, "reserved", "submitted")
	p.Expect("o1", lifecycle.Submitted, "reserved", "submitted")
}

// An attempt after an unclear one counts like any other, and keeps to a pause.
func TestReclaimsCount(t *testing.T) {
	p := newRateLimited(t, 2)
	fault := vertex.FailBefore
	p.Vertex.Fault = func(op, _ string) vertex.Fault {
		if op != "create" {
			return vertex.NoFault
		}
		p.at = append(p.at, p.Now)
		return fault
	}
	reclaim := p.Config.SubmitTimeout + p.Config.RetryAfter
	p.Ask(Job{ID: "a0", CPU: 1})
	p.Ask(Job{ID: "a1", CPU: 1})
	p.Expect("a1", lifecycle.Reserved, "reserved") // the region pauses for a moment
	p.After(p.Config.Poll + time.Second)
	p.Expect("a1", lifecycle.Submitting, "reserved")
	fault = vertex.NoFault
	p.After(reclaim + time.Second)
	p.Expect("a0", lifecycle.Submitted, "reserved", "submitted")
	p.Expect("a1", lifecycle.Submitted, "reserved", "submitted")
	p.Ask(Job{ID: "b", CPU: 1})
	p.Expect("b", lifecycle.Reserved, "reserved")
	p.within(2)
	fault = vertex.FailBefore
	p.After(time.Minute + time.Second)
	p.Expect("b", lifecycle.Submitting, "reserved")
	p.After(reclaim - 10*time.Second)
	fault = vertex.FailRate
	p.Ask(Job{ID: "c", CPU: 1})
	p.Expect("c", lifecycle.Reserved, "reserved")
	tried := len(p.at)
	p.After(12 * time.Second) // b is due, and within the pause
	if len(p.at) != tried {
		t.Errorf("%d creates in the pause", len(p.at)-tried)
	}
	fault = vertex.NoFault
	p.After(2 * p.Config.RateBackoff) // the second pause in a row
	p.Expect("b", lifecycle.Submitted, "reserved", "submitted")
}

// What waits for a submission slot on machines that are gone goes back into the queue.
func TestSlotOnLostPool(t *testing.T) {
	p := newRateLimited(t, 1)
	for i := range 3 {
		p.Ask(Job{ID: fmt.Sprint("a", i), CPU: 1})
	}
	p.SetPools("STOPPING", cpus(100))
	p.After(time.Second)
	p.Expect("a0", lifecycle.Submitted, "reserved", "submitted")
	p.Expect("a1", lifecycle.Waiting, "reserved", "queued")
	p.Expect("a2", lifecycle.Waiting, "reserved", "queued")
}

// However many resources are idle, a request on any of them goes at once.
func TestAllowancesForAll(t *testing.T) {
	p := newRateLimited(t, 60)
	const n = 15
	ask := func(round string) {
		for i := range n {
			id := fmt.Sprint("r", i)
			p.Ask(Job{ID: round + id, CPU: 1, Resource: id})
			p.Expect(round+id, lifecycle.Submitted, "reserved", "submitted")
		}
	}
	for i := range n {
		p.Vertex.SetResource(Parent+"/persistentResources/r"+fmt.Sprint(i),
			vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{cpus(50)}})
	}
	ask("first")
	p.After(2 * time.Minute)
	ask("second")
	p.within(60)
}

// An allowance that an idle resource does not use is granted anew.
func TestAllowancesComeBack(t *testing.T) {
	p := newRateLimited(t, 6)
	for i := range 20 {
		p.Ask(Job{ID: fmt.Sprint("a", i), CPU: 1})
		p.Expect(fmt.Sprint("a", i), lifecycle.Submitted, "reserved", "submitted")
		p.After(time.Minute)
	}
	p.within(6)
}

// However many jobs run, passes rest long enough to keep their calls of Vertex
// AI within their share of a minute.
func TestPollingIsMetered(t *testing.T) {
	for _, jobs := range []int{0, 1000, 5000} {
		w := New(t)
		for range jobs {
			w.Vertex.AddForeign(Parent, "elsewhere", capacity.Ask{{Shape: CPU, Replicas: 1}})
		}
		w.Ask(Job{ID: "wide", CPU: 4})
		w.Ask(Job{ID: "next", CPU: 4}) // waits
		began := w.Now
		r, err := w.Controller.Reconcile(context.Background(), "tick", 54*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		calls := r.Passes * (2 + jobs/vertex.PageSize)
		if most := w.Config.Polls; calls > most {
			t.Errorf("with %d jobs a tick made %d calls in %v, want at most %d", jobs, calls, w.Now.Sub(began), most)
		}
		if jobs == 0 && r.Passes < 15 {
			t.Errorf("%d passes in a tick, want one every %v", r.Passes, w.Config.Poll)
		}
	}
}

// A flood of hints makes no flood of calls.
func TestHintsAreMetered(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "a", CPU: 1})
	for range 1000 {
		w.Now = w.Now.Add(time.Second / 100)
		if err := w.Controller.Hint(context.Background(), w.JobOf("a")); err != nil {
			t.Fatal(err)
		}
	}
	if gets := w.Vertex.Calls()["get"]; gets < w.Config.Polls/10 || gets > w.Config.Polls/3 {
		t.Errorf("%d gets for a thousand hints in ten seconds; want %d to %d", gets, w.Config.Polls/10, w.Config.Polls/3)
	}
}

// Hundreds of jobs that end at once are asked for in several passes, and all of
// them in the end.
func TestManyEndAtOnce(t *testing.T) {
	p := newRateLimited(t, 1000)
	p.Config.Polls = 60
	p.Controller = p.Instance(p.Config)
	const n = 90
	for i := range n {
		p.Ask(Job{ID: fmt.Sprint("a", i), CPU: 1})
	}
	for _, j := range p.Vertex.Jobs() {
		p.Vertex.SetJob(j.Name, vertex.JobSucceeded)
	}
	gets := p.Vertex.Calls()["get"]
	p.After(time.Second)
	if got := p.Vertex.Calls()["get"] - gets; got > 20 {
		t.Errorf("one pass asked for %d jobs, want at most 20", got)
	}
	began := p.Now
	for range 3 {
		if _, err := p.Controller.Reconcile(context.Background(), "tick", 54*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if most := p.Config.Polls * 4; p.Vertex.Calls()["get"]-gets > most {
		t.Errorf("%d gets within %v, want at most %d", p.Vertex.Calls()["get"]-gets, p.Now.Sub(began), most)
	}
	for i := range n {
		p.Expect(fmt.Sprint("a", i), lifecycle.Succeeded, "reserved", "submitted", "succeeded")
	}
}

// A pass publishes what it learned of many jobs in few publications and
// commits.
func TestEndsArePublishedTogether(t *testing.T) {
	p := newRateLimited(t, 1000)
	const n = 90
	for i := range n {
		p.Ask(Job{ID: fmt.Sprint("a", i), CPU: 1})
	}
	for _, j := range p.Vertex.Jobs() {
		p.Vertex.SetJob(j.Name, vertex.JobSucceeded)
	}
	published := 0
	p.Out.Fail = func() (before, after bool) {
		published++
		return false, false
	}
	before := p.Ledger.Stats().Commits
	p.After(time.Second)
	for i := range n {
		p.Expect(fmt.Sprint("a", i), lifecycle.Succeeded, "reserved", "submitted", "succeeded")
	}
	if commits := p.Ledger.Stats().Commits - before; published > n/10 || commits > n/4 {
		t.Errorf("%d publications and %d commits for %d ends", published, commits, n)
	}
}

// An event that cannot be published keeps no other back.
func TestOneEventThatCannotBePublished(t *testing.T) {
	p := newRateLimited(t, 1000)
	poisoned := true
	p.Out.Poison = func(e message.Outcome) bool { return poisoned && e.RequestID == "a3" && e.Type == message.Succeeded }
	for i := range 10 {
		p.Ask(Job{ID: fmt.Sprint("a", i), CPU: 1})
	}
	for _, j := range p.Vertex.Jobs() {
		p.Vertex.SetJob(j.Name, vertex.JobSucceeded)
	}
	// It fails in every pass, so a pass reports an error.
	pass := func() {
		p.Now = p.Now.Add(time.Minute)
		if _, err := p.Controller.Reconcile(context.Background(), "tick", time.Second); (err != nil) != poisoned {
			t.Errorf("a pass ended with %v", err)
		}
	}
	pass()
	pass()
	for i := range 10 {
		want := []string{"reserved", "submitted", "succeeded"}
		if i == 3 {
			want = want[:2]
		}
		p.Expect(fmt.Sprint("a", i), lifecycle.Succeeded, want...)
	}
	poisoned = false
	pass()
	p.Expect("a3", lifecycle.Succeeded, "reserved", "submitted", "succeeded")
}

// A pass reads about as many requests as it can start, however many wait.
func TestPassReadsWhatItCanStart(t *testing.T) {
	for _, waiting := range []int{20, 1000} {
		for _, free := range []int{0, 1, 16, 40} {
			t.Run(fmt.Sprintf("%d wait, %d free", waiting, free), func(t *testing.T) {
				w := New(t)
				w.Config.SampleEvery, w.Config.Submissions = 0, 10_000
				w.Controller = w.Instance(w.Config)
				w.SetPools(vertex.Running, cpus(100))
				w.Ask(Job{ID: "all", CPU: 100})
				for i := range waiting {
					w.Ask(Job{ID: fmt.Sprint("w", i), CPU: 1})
				}
				w.After(time.Second)
				w.SetPools(vertex.Running, cpus(100+free))
				read := map[ledger.Ref]bool{}
				w.Ledger.Saw = func(ref ledger.Ref, doc ledger.Document, _ int) {
					if rec, ok := doc.(*ledger.Record); ok && rec.State == lifecycle.Waiting {
						read[ref] = true
					}
				}
				w.After(time.Second)
				starts := min(free, waiting)
				if len(read) > starts+1 {
					t.Errorf("%d waiting requests were read to start %d", len(read), starts)
				}
				started := 0
				for _, r := range w.Ledger.Records() {
					if r.State == lifecycle.Submitted {
						started++
					}
				}
				if started != starts+1 {
					t.Errorf("%d were started, want %d", started-1, starts)
				}
				w.CheckHolds()
			})
		}
	}
}
