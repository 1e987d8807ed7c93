package sim

import (
	"fmt"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// park sends requests for more machines than the pool has, while the resource is
// not running: they are parked. One other request runs, on all machines.
func park(w *World, n int) {
	w.Helper()
	w.Vertex.Fault = func(string, string) vertex.Fault { return vertex.NoFault }
	pools := []capacity.Pool{cpus(5), {ID: "gpu", Shape: GPU, Count: 5}}
	w.SetPools(vertex.Running, pools...)
	w.Ask(Job{ID: "runs", CPU: 5, GPU: 5})
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobRunning)
	w.SetPools("STOPPING", pools...)
	w.After(time.Second)
	for i := range n {
		w.Ask(Job{ID: fmt.Sprintf("p%04d", i), CPU: 6})
	}
	w.SetPools(vertex.Running, pools...)
	records, _ := stored(w.Ledger)
	for _, r := range records {
		if r.ID != "runs" && !r.Parked {
			w.Fatalf("%s is %s and not parked: %+v", r.ID, r.State, r.Why)
		}
	}
}

// A submission whose answer was lost is taken up again as soon as it may be,
// however many parked requests there are, and a pass reads a bounded number of
// documents.
func TestParkedRequestsDoNotDelayALostSubmission(t *testing.T) {
	const parked = 5000
	w := New(silent{t})
	park(w, parked)
	w.Vertex.Fault = func(op, _ string) vertex.Fault {
		if op == "create" {
			return vertex.FailBefore
		}
		return vertex.NoFault
	}
	w.SetPools(vertex.Running, cpus(6), capacity.Pool{ID: "gpu", Shape: GPU, Count: 9})
	w.After(time.Second) // finds that all are to be decided again
	w.Ask(Job{ID: "lost", GPU: 1})
	if got := w.State("lost"); got != lifecycle.Submitting {
		t.Fatalf("lost is %s", got)
	}
	began := w.Now
	w.Vertex.Fault = func(string, string) vertex.Fault { return vertex.NoFault }
	for w.State("lost") == lifecycle.Submitting && w.Now.Sub(began) < time.Hour {
		before := w.Ledger.Stats()
		w.After(10 * time.Second)
		if after := w.Ledger.Stats(); after.DocsRead-before.DocsRead > 700 {
			t.Errorf("a pass read %d documents", after.DocsRead-before.DocsRead)
		}
	}
	due := w.Config.SubmitTimeout + w.Config.RetryAfter
	if took := w.Now.Sub(began); w.State("lost") != lifecycle.Submitted || took > due+10*time.Second {
		t.Errorf("after %v lost is %s; its next attempt may begin after %v", took, w.State("lost"), due)
	}
}

// Timers of requests that hold machines go before those that wait, and a limit
// that is reached means another pass soon.
func TestDueTimersOfHoldersGoFirst(t *testing.T) {
	const parked = 500
	w := New(silent{t})
	park(w, parked)
	// All of them reach the end of their wait in one moment, just before a
	// submission is to be taken up again.
	w.Now = w.Now.Add(w.Config.MaxWait - w.Config.SubmitTimeout - w.Config.RetryAfter)
	w.SetPools(vertex.Running, cpus(5), capacity.Pool{ID: "gpu", Shape: GPU, Count: 9})
	w.After(0)
	w.Vertex.Fault = func(op, _ string) vertex.Fault {
		if op == "create" {
			return vertex.FailBefore
		}
		return vertex.NoFault
	}
	w.Ask(Job{ID: "lost", GPU: 1})
	w.Vertex.Fault = func(string, string) vertex.Fault { return vertex.NoFault }
	w.Now = w.Now.Add(w.Config.SubmitTimeout + w.Config.RetryAfter)
	report, err := w.Controller.Reconcile(t.Context(), "tick", time.Second)
	if err != nil || w.State("lost") != lifecycle.Submitted || report.Passes != 1 {
		t.Errorf("after one pass lost is %s: %+v, %v", w.State("lost"), report, err)
	}
	if report.Timers > 1+200 {
		t.Errorf("one pass ran %d timers", report.Timers)
	}
	report, err = w.Controller.Reconcile(t.Context(), "tick", time.Minute)
	if err != nil || report.Passes < 2 {
		t.Errorf("no second pass although timers are left: %+v, %v", report, err)
	}
	for i := range parked {
		if r := w.Record(fmt.Sprintf("p%04d", i)); !r.State.Terminal() {
			t.Fatalf("%s is %s", r.ID, r.State)
		}
	}
}

// Parked requests are decided again when the pools of their shape change, and at
// no other time; those that still cannot fit are not even read.
func TestParkedRequestsFollowThePools(t *testing.T) {
	const parked = 300
	w := New(silent{t})
	park(w, parked)
	drain := func() {
		for range 5 {
			w.After(10 * time.Second)
		}
	}
	drain()
	read := func(do func()) int {
		before := w.Ledger.Stats().DocsRead
		do()
		return w.Ledger.Stats().DocsRead - before
	}
	idle := read(drain)
	if idle > 40 {
		t.Errorf("five passes over a resource that does not change read %d documents", idle)
	}
	w.SetPools(vertex.Running, cpus(5), capacity.Pool{ID: "gpu", Shape: GPU, Count: 9})
	if n := read(drain); n > idle+10 {
		t.Errorf("pools of another shape changed, and %d documents were read, %d without", n, idle)
	}
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobSucceeded)
	w.SetPools(vertex.Running, cpus(6), capacity.Pool{ID: "gpu", Shape: GPU, Count: 9})
	drain()
	w.Expect("p0000", lifecycle.Submitted, "queued", "queued", "reserved", "submitted") // with an event of its new reason
	for i := 1; i < parked; i++ {
		if r := w.Record(fmt.Sprintf("p%04d", i)); r.State != lifecycle.Waiting || r.Parked {
			t.Fatalf("%s is %s, parked %v, although the pool could take it", r.ID, r.State, r.Parked)
		}
	}
	if d := w.Document(); len(d.Recheck) != 0 || d.Queue.Waiting() != parked-1 {
		t.Errorf("left to decide again: %v; %d wait", d.Recheck, d.Queue.Waiting())
	}
}

// A parked request learns of a resource that is recreated, or observed again
// after a long time: it is contradicted from then on, and refused after the
// time of the policy and not before.
func TestParkedRequestsAreRefusedInTime(t *testing.T) {
	w := New(silent{t})
	park(w, 1)
	w.After(time.Second)
	r := w.Record("p0000")
	if r.ContradictedSince.IsZero() {
		t.Fatal("it is not contradicted")
	}
	since := r.ContradictedSince
	w.SetPools("STOPPING", cpus(5), capacity.Pool{ID: "gpu", Shape: GPU, Count: 5})
	w.After(time.Hour)
	if r = w.Record("p0000"); !r.ContradictedSince.IsZero() {
		t.Errorf("a resource that does not run contradicts it since %v", r.ContradictedSince)
	}
	w.SetPools(vertex.Running, cpus(5), capacity.Pool{ID: "gpu", Shape: GPU, Count: 5})
	w.After(time.Hour)
	began := w.Now
	if r = w.Record("p0000"); !r.ContradictedSince.After(since) || !r.Parked {
		t.Errorf("contradicted since %v, parked %v", r.ContradictedSince, r.Parked)
	}
	for w.State("p0000") == lifecycle.Waiting && w.Now.Sub(began) < 48*time.Hour {
		w.After(time.Minute)
	}
	if took := w.Now.Sub(began); took < w.Config.Policy.RefuseAfter-time.Minute || took > w.Config.Policy.RefuseAfter+time.Minute {
		t.Errorf("it was %s after %v, want %v", w.State("p0000"), took, w.Config.Policy.RefuseAfter)
	}
	if e := w.Out.Last("p0000"); e.Type != message.Rejected {
		t.Errorf("its last event is %s", e.Type)
	}
}

// silent drops what a world logs: thousands of requests say little.
type silent struct{ TB }

func (silent) Logf(string, ...any) {}
