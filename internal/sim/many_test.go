package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// wide is a world with one resource of n machines, and no bound on submissions
// that a test would meet.
func wide(t *testing.T, n capacity.Replicas) *fleet {
	f := newFleet(t, 1, 1, false)
	f.Config.Submissions, f.Config.Polls = 100_000, 300
	f.Controller = f.Instance(f.Config)
	f.Vertex.SetResource(f.homes[0], vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0),
		Pools: []capacity.Pool{{ID: "cpu", Shape: CPU, Count: n}}})
	return f
}

// More jobs than one update reads start, and end, between two ticks: each is
// learned of in the next, in order and once, and all their machines are free.
func TestManyJobsOfOneResource(t *testing.T) {
	const n = 65
	f := wide(t, n)
	for i := range n {
		f.Ask(Job{ID: fmt.Sprintf("j%02d", i), CPU: 1, Resource: f.homes[0]})
	}
	f.all("j", lifecycle.Submitted, n)
	for i := range n {
		f.job(fmt.Sprintf("j%02d", i), vertex.JobRunning)
	}
	f.Now = f.Now.Add(time.Minute)
	r, err := f.Controller.Reconcile(t.Context(), "tick", 0)
	if err != nil || r.Learned != n || r.Passes != 1 || r.Resources != 1 || r.Orphans+r.Started+r.Timers != 0 {
		t.Errorf("the tick at which all run reports %+v, %v", r, err)
	}
	f.all("j", lifecycle.Running, n)
	for i := range n {
		f.job(fmt.Sprintf("j%02d", i), []vertex.JobState{vertex.JobSucceeded, vertex.JobFailed}[i%2])
	}
	f.Now = f.Now.Add(time.Minute)
	if r, err = f.Controller.Reconcile(t.Context(), "tick", 0); err != nil || r.Learned != n {
		t.Errorf("the tick at which all have ended reports %+v, %v", r, err)
	}
	for i := range n {
		id := fmt.Sprintf("j%02d", i)
		want, word := lifecycle.Succeeded, "succeeded"
		if i%2 == 1 {
			want, word = lifecycle.Failed, "failed"
		}
		f.Expect(id, want, "reserved", "submitted", "started", word)
	}
	if got := len(f.Out.All()); got != 4*n {
		t.Errorf("%d events were published, want 4 for each of %d", got, n)
	}
	for _, res := range f.Ledger.Dump().Resources() {
		if len(res.Holds) != 0 || len(res.Use()) != 0 && res.Use()[CPU] != 0 {
			t.Errorf("%d holds and %v in use are left", len(res.Holds), res.Use())
		}
	}
	f.sound()
}

// Hundreds of jobs that ended at once are asked about within a third of the calls
// of a minute in each pass, and all are learned of within a few.
func TestHundredsEndAtOnce(t *testing.T) {
	const n = 250
	f := wide(t, n)
	for i := range n {
		f.Ask(Job{ID: fmt.Sprintf("j%03d", i), CPU: 1, Resource: f.homes[0]})
	}
	f.all("j", lifecycle.Submitted, n)
	for i := range n {
		f.job(fmt.Sprintf("j%03d", i), vertex.JobSucceeded)
	}
	f.Now = f.Now.Add(time.Minute)
	for pass := 1; f.in("j")[lifecycle.Succeeded] < n; pass++ {
		before := f.Vertex.Calls()["get"]
		if _, err := f.Controller.Reconcile(t.Context(), "tick", 0); err != nil {
			t.Fatal(err)
		}
		if gets := f.Vertex.Calls()["get"] - before; gets > f.Config.Polls/3 {
			t.Errorf("a pass asks about %d jobs, want %d at most", gets, f.Config.Polls/3)
		}
		if pass == 4 {
			t.Fatalf("after %d passes %v", pass, f.in("j"))
		}
	}
	if gets := f.Vertex.Calls()["get"]; gets != n {
		t.Errorf("%d jobs were asked about, %d times", n, gets)
	}
	// One tick is enough: it goes on while something is left.
	f = wide(t, n)
	for i := range n {
		f.Ask(Job{ID: fmt.Sprintf("j%03d", i), CPU: 1, Resource: f.homes[0]})
		f.job(fmt.Sprintf("j%03d", i), vertex.JobSucceeded)
	}
	f.Now = f.Now.Add(time.Minute)
	if r, err := f.Controller.Reconcile(t.Context(), "tick", 54*time.Second); err != nil || r.Learned < 2*f.Config.Polls/3 {
		t.Errorf("one tick learns %+v, %v", r, err)
	}
}

// More second jobs of runs than one observation classifies are all cancelled,
// and none that a reservation names; the report counts them.
func TestManySecondJobs(t *testing.T) {
	const n = 45
	f := wide(t, 4*n)
	var specs []*aiplatformpb.CustomJob
	f.Vertex.Admit = func(_ string, job *aiplatformpb.CustomJob) error {
		specs = append(specs, job)
		return nil
	}
	for i := range n {
		f.Ask(Job{ID: fmt.Sprintf("j%02d", i), CPU: 1, Resource: f.homes[0]})
	}
	f.Vertex.Admit = nil
	parent := "projects/test-project/locations/us-east1"
	for _, spec := range specs {
		if _, err := f.Vertex.Create(t.Context(), parent, spec); err != nil {
			t.Fatal(err)
		}
	}
	// An observation reads forty records to classify such jobs; the others
	// follow when those have ended.
	cancelled := 0
	for range 2 {
		f.Now = f.Now.Add(time.Minute)
		r, err := f.Controller.Reconcile(t.Context(), "tick", 0)
		if cancelled += r.Orphans; err != nil || r.Orphans == 0 {
			t.Errorf("the tick reports %+v, %v", r, err)
		}
		for _, j := range f.Vertex.Jobs() {
			if j.State == vertex.JobCancelling {
				f.Vertex.SetJob(j.Name, vertex.JobCancelled)
			}
		}
	}
	if cancelled != n {
		t.Errorf("%d of %d second jobs were cancelled", cancelled, n)
	}
	named := map[string]bool{}
	for i := range n {
		named[f.JobOf(fmt.Sprintf("j%02d", i))] = true
	}
	for _, j := range f.Vertex.Jobs() {
		if want := map[bool]vertex.JobState{true: vertex.JobPending, false: vertex.JobCancelled}[named[j.Name]]; j.State != want {
			t.Errorf("job %s, named by a reservation: %t, is %s, want %s", j.Name, named[j.Name], j.State, want)
		}
	}
	f.all("j", lifecycle.Submitted, n)
}

// What an outcome says of a job is what Vertex AI said of it.
func TestOutcomeCarriesTheJob(t *testing.T) {
	f := wide(t, 4)
	f.Ask(Job{ID: "a", CPU: 1, Resource: f.homes[0], Priority: 7})
	job := f.JobOf("a")
	started := f.Now.Add(30 * time.Second)
	f.job("a", vertex.JobRunning)
	f.Now = started
	f.After(30 * time.Second)
	f.job("a", vertex.JobFailed)
	ended := f.Now
	f.After(time.Minute)
	events := f.Out.Of("a")
	for i, e := range events {
		if e.Sequence != int64(i+1) || e.RequestID != "a" || e.Tenant != Tenant || e.PersistentResource != f.homes[0] || e.EventID == "" || e.Time.IsZero() || e.MessageID == "" {
			t.Errorf("event %d is %+v", i+1, e)
		}
		if (e.Job == job) != (i > 0) {
			t.Errorf("event %d, %s, names the job %q", i+1, e.Type, e.Job)
		}
	}
	last := events[len(events)-1]
	if last.State != string(lifecycle.Failed) || last.JobState != string(vertex.JobFailed) || last.Type != message.Failed || last.Reason == nil {
		t.Errorf("the outcome is %+v", last)
	}
	if got := last.Times.Ended; got.Before(ended) || got.Sub(ended) > 2*time.Minute {
		t.Errorf("it ended at %s according to the outcome, and at %s", got, ended)
	}
	if !slices.IsSortedFunc([]time.Time{last.Times.Published, last.Times.Received, last.Times.Submitted, last.Times.Ended}, time.Time.Compare) || last.Times.Published.IsZero() {
		t.Errorf("the times of the outcome are %+v", last.Times)
	}
}

// A cancel reaches a request wherever it stands, once: what waits or is held ends at
// once and costs no call, what runs ends when its job has.
func TestManyCancels(t *testing.T) {
	const n = 40
	f := wide(t, n)
	for i := range 2 * n {
		f.Ask(Job{ID: fmt.Sprintf("j%02d", i), CPU: 1, Resource: f.homes[0]})
	}
	before := f.Vertex.Calls()
	for i := range 2 * n {
		f.Cancel(fmt.Sprintf("j%02d", i))
	}
	if calls := f.Vertex.Calls()["cancel"] - before["cancel"]; calls != n {
		t.Errorf("%d cancels were sent for %d jobs", calls, n)
	}
	for i := range 2 * n {
		want := lifecycle.Cancelling
		if i >= n {
			want = lifecycle.Cancelled
		}
		if id := fmt.Sprintf("j%02d", i); f.State(id) != want {
			t.Errorf("%s is %s, want %s", id, f.State(id), want)
		}
	}
	if got := len(f.Ledger.Dump().Resources()[0].Holds); got != n {
		t.Errorf("%d of %d hold machines until their jobs have ended", got, n)
	}
	for _, j := range f.Vertex.Jobs() {
		f.Vertex.SetJob(j.Name, vertex.JobCancelled)
	}
	f.After(time.Minute)
	f.all("j", lifecycle.Cancelled, 2*n)
	if res := f.Ledger.Dump().Resources()[0]; len(res.Holds)+len(res.Queue) != 0 {
		t.Errorf("%d holds and %d classes are left", len(res.Holds), len(res.Queue))
	}
	f.sound()
}

// Jobs that Vertex AI does not return, more than a pass asks for, do not keep a
// pass from learning how others ended.
func TestFailingGetsKeepNoOtherBack(t *testing.T) {
	const n, silent = 250, 120
	w := New(t)
	w.SetPools(vertex.Running, cpus(n))
	w.Config.Submissions = 10_000
	w.Controller = w.Instance(w.Config)
	for i := range n {
		w.Ask(Job{ID: fmt.Sprintf("a%03d", i), CPU: 1})
	}
	w.After(time.Minute)
	fails := map[string]bool{}
	for i, r := range w.Ledger.Records() { // in the order in which a pass asks
		fails[r.Reservation.Job] = i < silent
		w.Vertex.SetJob(r.Reservation.Job, vertex.JobSucceeded)
	}
	w.Vertex.Fault = func(op, name string) vertex.Fault {
		if op == "get" && fails[name] {
			return vertex.FailBefore
		}
		return vertex.NoFault
	}
	reported := 0
	for range 8 {
		w.Now = w.Now.Add(time.Minute)
		if err := w.Tick(); err != nil {
			reported++
		}
	}
	if reported < 4 {
		t.Errorf("%d of 8 reconciles reported that jobs cannot be read", reported)
	}
	for _, r := range w.Ledger.Records() {
		if ended := r.State == lifecycle.Succeeded; ended == fails[r.Reservation.Job] {
			t.Errorf("%s is %s", r.ID, r.State)
		}
	}
}
