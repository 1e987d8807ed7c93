package sim

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// logged is a TB that counts log lines of the controller by their event.
type logged struct {
	*testing.T
	events map[string]int
}

func (l logged) Logf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if _, after, ok := strings.Cut(line, " event="); ok {
		l.events[strings.Fields(after)[0]]++
	}
	l.T.Logf(format, args...)
}

// newOutage is a world whose creates fail with the error of a function.
func newOutage(t *testing.T) (w *World, events map[string]int, fail *error) {
	events, fail = map[string]int{}, new(error)
	w = New(logged{t, events})
	w.Config.Submitters = 1 // so that those that go together go in order
	w.Controller = w.Instance(w.Config)
	w.Vertex.Admit = func(string, *aiplatformpb.CustomJob) error { return *fail }
	return w, events, fail
}

func (w *World) endJobs() {
	for _, j := range w.Vertex.Jobs() {
		if !j.State.Ended() {
			w.Vertex.SetJob(j.Name, vertex.JobSucceeded)
		}
	}
}

// While Vertex AI refuses Berth's own permissions, no request ends, few creates
// are tried, one log event reports it, and afterwards all start in order.
func TestDeniedSubmissionsWait(t *testing.T) {
	for _, length := range []time.Duration{4 * time.Minute, 10 * time.Hour} {
		w, events, fail := newOutage(t)
		*fail = &vertex.Error{Op: "create", Kind: vertex.Denied, Code: 7, Message: "no"}
		const n = 12
		for i := range n {
			w.Ask(Job{ID: fmt.Sprintf("r%02d", i), CPU: 1})
		}
		for began := w.Now; w.Now.Sub(began) < length; {
			w.After(30 * time.Second)
		}
		for i := range n {
			if i < 4 {
				w.Expect(fmt.Sprintf("r%02d", i), lifecycle.Reserved, "reserved")
			} else {
				w.Expect(fmt.Sprintf("r%02d", i), lifecycle.Waiting, "queued")
			}
		}
		if got := w.Record("r00").Why; got == nil || got.Code != reason.SubmissionsDenied {
			t.Errorf("r00 says %v, want %s", got, reason.SubmissionsDenied)
		}
		if calls, most := w.Vertex.Calls()["create"], 4+int(length/w.Config.MaxBackoff)+4; calls > most {
			t.Errorf("%d creates in %v, want at most %d", calls, length, most)
		}
		if events["submissions_denied"] != 1 {
			t.Errorf("%d alarms in %v, want 1", events["submissions_denied"], length)
		}
		*fail = nil
		w.After(time.Minute)
		for i := range 4 {
			w.Expect(fmt.Sprintf("r%02d", i), lifecycle.Submitted, "reserved", "submitted")
		}
		if events["submissions_resumed"] != 1 {
			t.Errorf("%d lines say that it is over, want 1", events["submissions_resumed"])
		}
		var order []string
		for range n {
			records, _ := stored(w.Ledger)
			for _, j := range w.Vertex.Jobs() {
				for _, r := range records {
					if r.Key == j.Request && !slices.Contains(order, r.ID) {
						order = append(order, r.ID)
					}
				}
			}
			w.endJobs()
			w.After(30 * time.Second)
		}
		if len(order) != n || !slices.IsSorted(order[4:]) {
			t.Errorf("jobs were created in the order %v", order)
		}
		for i := range n {
			if got := w.State(fmt.Sprintf("r%02d", i)); got != lifecycle.Succeeded {
				t.Errorf("r%02d is %s", i, got)
			}
		}
	}
}

// What Vertex AI refuses for one job only fails that job: at once where it says
// so, and soon where others go through all the while.
func TestDeniedForOneJob(t *testing.T) {
	w, events, _ := newOutage(t)
	w.Vertex.Admit = func(_ string, job *aiplatformpb.CustomJob) error {
		if job.GetLabels()["own"] != "" {
			return &vertex.Error{Op: "create", Kind: vertex.Denied, Code: 7, Message: "no"}
		}
		return nil
	}
	w.Send([]byte(strings.Replace(string(Job{ID: "own", CPU: 1}.Body()), `"displayName":"job"`, `"displayName":"job","labels":{"own":"1"}`, 1)))
	w.Expect("own", lifecycle.Reserved, "reserved")
	for i := range 10 {
		w.Ask(Job{ID: fmt.Sprint("other", i), CPU: 1})
		w.After(time.Minute)
		// The one that was denied comes first in order, and is not tried first again.
		if id := fmt.Sprint("other", i); w.State(id) != lifecycle.Submitted {
			t.Errorf("%s is %s after a minute", id, w.State(id))
		}
		w.endJobs()
		w.After(time.Second)
	}
	for i := range 10 {
		if got := w.State(fmt.Sprint("other", i)); got != lifecycle.Succeeded {
			t.Errorf("other%d is %s", i, got)
		}
	}
	w.Expect("own", lifecycle.Failed, "reserved", "failed")
	if e := w.Out.Last("own"); e.JobError == nil || e.JobError.Code != 7 || e.Reason.Code != reason.VertexDeclined {
		t.Errorf("it failed with %+v, %+v", e.Reason, e.JobError)
	}
	if events["submissions_denied"] != 1 {
		t.Errorf("%d alarms, want 1", events["submissions_denied"])
	}
}

// A reservation that cannot be submitted gives its replicas back when the longest
// wait is over.
func TestDeniedForLongerThanItWaits(t *testing.T) {
	w, _, fail := newOutage(t)
	*fail = &vertex.Error{Op: "create", Kind: vertex.Denied, Code: 16}
	w.Ask(Job{ID: "a", CPU: 4, MaxWait: "600s"})
	w.After(9 * time.Minute)
	w.Expect("a", lifecycle.Reserved, "reserved")
	w.After(time.Minute + time.Second)
	w.Expect("a", lifecycle.Expired, "reserved", "queued", "expired")
}

// A create outage of any length ends no request: after the unclear timeout the
// request waits again with its age, and its job is created once.
func TestCreateOutage(t *testing.T) {
	for _, length := range []time.Duration{time.Minute, 4 * time.Minute, 40 * time.Minute, 10 * time.Hour} {
		w, _, fail := newOutage(t)
		*fail = &vertex.Error{Op: "create", Kind: vertex.Unclear, Code: 14}
		w.Ask(Job{ID: "a", CPU: 2})
		w.Ask(Job{ID: "b", CPU: 2})
		w.Ask(Job{ID: "c", CPU: 4})
		order := w.Record("a").Order
		for began := w.Now; w.Now.Sub(began) < length; {
			w.After(30 * time.Second)
		}
		*fail = nil
		for range 50 {
			w.After(30 * time.Second)
		}
		for _, id := range []string{"a", "b"} {
			if got := w.State(id); got != lifecycle.Submitted {
				t.Errorf("after %v: %s is %s", length, id, got)
			}
		}
		w.Expect("c", lifecycle.Waiting, "queued")
		if n := len(w.Vertex.Jobs()); n != 2 {
			t.Errorf("after %v: %d jobs, want 2", length, n)
		}
		if got := w.Record("a").Order; got != order {
			t.Errorf("after %v: its place is %s, was %s", length, got, order)
		}
	}
}

// The job of a run that was given up appears late: it is cancelled, and the
// request's next run is not taken for it.
func TestLateJobOfGivenUpRun(t *testing.T) {
	w, _, _ := newOutage(t)
	w.Vertex.Lag = 1000 // it is there, and in no list
	fault := vertex.FailAfter
	w.Vertex.Fault = func(op, _ string) vertex.Fault {
		if op == "create" {
			return fault
		}
		return vertex.NoFault
	}
	w.Ask(Job{ID: "a", CPU: 1})
	fault = vertex.NoFault
	run := w.Record("a").Run
	w.Vertex.Admit = func(_ string, job *aiplatformpb.CustomJob) error {
		if job.GetLabels()[vertex.LabelRun] == run {
			return &vertex.Error{Op: "create", Kind: vertex.Unclear, Code: 14}
		}
		return nil
	}
	for i := range 60 {
		if i%3 == 0 {
			w.Ask(Job{ID: fmt.Sprint("other", i), GPU: 1})
		}
		w.After(30 * time.Second)
		for _, j := range w.Vertex.Jobs()[1:] {
			if !j.State.Ended() && j.Request != w.Record("a").Key {
				w.Vertex.SetJob(j.Name, vertex.JobSucceeded)
			}
		}
		if w.Record("a").Run != run {
			break
		}
	}
	if got := w.Out.Words("a"); !slices.Contains(got, "queued") {
		t.Fatalf("its events are %v, want it back in the queue", got)
	}
	second := w.JobOf("a")
	w.Vertex.Lag = 0
	w.After(time.Minute)
	jobs := slices.DeleteFunc(w.Vertex.Jobs(), func(j vertex.Job) bool { return j.Request != w.Record("a").Key })
	for _, j := range jobs {
		if want := map[bool]vertex.JobState{true: vertex.JobPending, false: vertex.JobCancelling}[j.Name == second]; j.State != want {
			t.Errorf("job %s of run %s is %s, want %s", j.Name, j.Run, j.State, want)
		}
	}
	if len(jobs) != 2 {
		t.Errorf("%d jobs, want the late one and the second", len(jobs))
	}
}

// A request whose submission never gets an answer fails when others on the
// resource do, and after a bounded number of runs when it is alone.
func TestNeverAnsweredRequestFails(t *testing.T) {
	for _, alone := range []bool{false, true} {
		w, _, _ := newOutage(t)
		w.SetPools(vertex.Running, capacity.Pool{ID: "cpu", Shape: CPU, Count: 4})
		w.Vertex.Admit = func(_ string, job *aiplatformpb.CustomJob) error {
			if job.GetDisplayName() == "bad" {
				return &vertex.Error{Op: "create", Kind: vertex.Unclear, Code: 13}
			}
			return nil
		}
		w.Send([]byte(strings.Replace(string(Job{ID: "bad", CPU: 1}.Body()), `"displayName":"job"`, `"displayName":"bad"`, 1)))
		began := w.Now
		for n := 0; !w.State("bad").Terminal() && w.Now.Sub(began) < 40*time.Hour; n++ {
			if !alone && n%10 == 0 {
				w.Ask(Job{ID: fmt.Sprint("good", n), CPU: 1})
			}
			w.After(time.Minute)
			w.endJobs()
		}
		took := w.Now.Sub(began)
		if e := w.Out.Last("bad"); w.State("bad") != lifecycle.Failed || e.Reason.Code != reason.SubmissionUnclear {
			t.Errorf("alone %v: %s for %v after %v", alone, w.State("bad"), e.Reason, took)
		}
		if !alone && took > 150*time.Minute || alone && (took < 12*time.Hour || took > 30*time.Hour) {
			t.Errorf("alone %v: it took %v", alone, took)
		}
	}
}

// A request whose submission never gets an answer, while jobs on another resource
// of the region are accepted, is tried in a bounded number of runs: nothing else
// would end it.
func TestNeverAnsweredRunsAreBounded(t *testing.T) {
	w, _, _ := newOutage(t)
	w.SetPools(vertex.Running, capacity.Pool{ID: "cpu", Shape: CPU, Count: 4})
	w.Vertex.SetResource(inRegion("other"), vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{cpus(4)}})
	w.Vertex.Admit = func(_ string, job *aiplatformpb.CustomJob) error {
		if job.GetJobSpec().GetPersistentResourceId() != "other" {
			return &vertex.Error{Op: "create", Kind: vertex.Unclear, Code: 13}
		}
		return nil
	}
	w.Ask(Job{ID: "bad", CPU: 1})
	runs, began := map[string]bool{}, w.Now
	for n := 0; !w.State("bad").Terminal() && w.Now.Sub(began) < 30*time.Hour; n++ {
		if n%5 == 0 {
			w.Ask(Job{ID: fmt.Sprint("good", n), CPU: 1, Resource: "other"})
		}
		w.After(time.Minute)
		runs[w.Record("bad").Run] = true
		w.endJobs()
	}
	if w.State("bad") != lifecycle.Failed || w.Record("bad").Why.Code != reason.SubmissionUnclear || len(runs) != 50 {
		t.Errorf("it is %s after %d runs and %v, want FAILED after 50", w.State("bad"), len(runs), w.Now.Sub(began))
	}
}

// A job that could not be observed for longer than its start may take is not
// cancelled for that, because it may have run meanwhile.
func TestUnseenJobIsNotOverdue(t *testing.T) {
	w, _, _ := newOutage(t)
	w.Ask(Job{ID: "a", CPU: 1})
	job := w.JobOf("a")
	w.Vertex.SetJob(job, vertex.JobRunning)
	w.Vertex.Fault = func(op, _ string) vertex.Fault {
		if op == "live" || op == "get" {
			return vertex.FailBefore
		}
		return vertex.NoFault
	}
	for range 90 {
		w.Now = w.Now.Add(time.Minute)
		_ = w.Tick() // it fails: the list does
	}
	w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
	w.Vertex.Fault = nil
	w.After(time.Minute)
	w.Expect("a", lifecycle.Running, "reserved", "submitted", "started")
	if n := w.Vertex.Calls()["cancel"]; n != 0 {
		t.Errorf("%d cancels", n)
	}
}

// outages counts the log events about outages.
type outages struct {
	TB
	n *int
}

func (o outages) Logf(format string, args ...any) {
	if strings.Contains(fmt.Sprintf(format, args...), "event=outage ") {
		*o.n++
	}
}

// A call that fails once in each reconcile and is good when the next pass makes it is
// no outage. The same call failing in every pass is one, after three reconciles.
func TestErrorThatPassesIsNoOutage(t *testing.T) {
	for _, lasts := range []bool{false, true} {
		alarms := 0
		w := New(outages{t, &alarms})
		w.Ask(Job{ID: "a", CPU: 4})
		w.Ask(Job{ID: "waits", CPU: 1}) // so that there is more than one pass
		fail := false
		w.Vertex.Fault = func(op, _ string) vertex.Fault {
			if op != "live" || !fail {
				return vertex.NoFault
			}
			fail = lasts
			return vertex.FailBefore
		}
		for tick := range 6 {
			fail = true
			w.Now = w.Now.Add(time.Minute)
			report, err := w.Controller.Reconcile(context.Background(), "tick", 20*time.Second)
			if err == nil || report.Passes < 3 {
				t.Fatalf("%d passes, error %v", report.Passes, err)
			}
			if want := map[bool]int{true: 1, false: 0}[lasts && tick >= 2]; alarms != want {
				t.Errorf("lasts %v: %d alarms after %d reconciles, want %d", lasts, alarms, tick+1, want)
			}
		}
	}
}
