package sim

import (
	"context"
	"testing"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// The races that the design closes, one test each. testdata/bugs.txtar takes each
// cure away and expects its test to fail.

var one = Job{ID: "a", CPU: 1}

// onCreate runs something while a create is under way and may refuse it.
func onCreate(w *World, f func() error) {
	w.Vertex.Admit = func(string, *aiplatformpb.CustomJob) error { return f() }
}

func refusal(kind vertex.Kind) error { return &vertex.Error{Op: "create", Kind: kind, Code: 9} }

// faultOnce makes the next create go wrong.
func faultOnce(w *World, f vertex.Fault) {
	w.Vertex.Fault = func(called, _ string) vertex.Fault {
		if called != "create" {
			return vertex.NoFault
		}
		w.Vertex.Fault = nil
		return f
	}
}

// The answer to a create is lost, and the job runs and ends before any search:
// it is no longer among the live ones, and must not be created again.
func TestRaceEndedBeforeItWasFound(t *testing.T) {
	w := New(t)
	faultOnce(w, vertex.FailAfter)
	w.Ask(one)
	w.Vertex.SetJob(w.Vertex.Jobs()[0].Name, vertex.JobSucceeded)
	w.After(2 * time.Minute)
	w.After(time.Minute)
	w.Expect("a", lifecycle.Succeeded, "reserved", "submitted", "succeeded")
	if n := len(w.Vertex.Jobs()); n != 1 {
		t.Errorf("it was run %d times", n)
	}
}

// A first attempt may have created a job; the second is refused. The refusal
// must not free the machines that the first one's job takes.
func TestRaceRefusedAfterUnclear(t *testing.T) {
	w := New(t)
	w.Vertex.Lag = 3
	faultOnce(w, vertex.FailAfter) // created, answer lost
	w.Ask(one)
	onCreate(w, func() error { return refusal(vertex.Permanent) })
	w.After(2 * time.Minute) // not in the list yet; refused
	if s := w.State("a"); !s.Holds() {
		t.Fatalf("the request is %s although its job may run", s)
	}
	for range 4 {
		w.After(2 * time.Minute)
	}
	w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
}

// The first attempt is paused, a second takes over and creates, then the first
// goes on and creates too.
func TestRaceLateAnswerOfEarlierAttempt(t *testing.T) {
	w := New(t)
	second := false
	w.Vertex.Fault = func(op, _ string) vertex.Fault {
		if op == "create" && !second {
			second = true
			w.After(2 * time.Minute) // the other instance, while this one's call is under way
			w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
		}
		return vertex.NoFault
	}
	w.Ask(one)
	jobs := w.Vertex.Jobs()
	if len(jobs) != 2 {
		t.Fatalf("%d jobs; the race did not happen", len(jobs))
	}
	named := w.JobOf("a")
	for _, j := range jobs {
		if (j.Name == named) == (j.State == vertex.JobCancelling) {
			t.Errorf("job %s is %s; %s is the one that the reservation names", j.Name, j.State, named)
		}
	}
	w.CheckHolds()
}

// A cancel comes while the create is under way: it is refused, it is done, or
// the instance dies with the job created.
func TestRaceCancelDuringCreate(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		w := New(t)
		onCreate(w, func() error { w.Cancel("a"); return refusal(vertex.Permanent) })
		w.Ask(one)
		w.Expect("a", lifecycle.Cancelled, "reserved", "cancelling", "cancelled")
	})
	t.Run("created", func(t *testing.T) {
		w := New(t)
		onCreate(w, func() error { w.Cancel("a"); return nil })
		w.Ask(one)
		w.Expect("a", lifecycle.Cancelling, "reserved", "cancelling")
		if s := w.Vertex.Jobs()[0].State; s != vertex.JobCancelling {
			t.Errorf("the job is %s; no cancel reached Vertex AI", s)
		}
	})
	t.Run("died", func(t *testing.T) {
		w := New(t)
		onCreate(w, func() error { w.Cancel("a"); return nil })
		faultOnce(w, vertex.FailAfter)
		w.Ask(one)
		w.Expect("a", lifecycle.Cancelling, "reserved", "cancelling")
		w.After(2 * time.Minute)
		if s := w.Vertex.Jobs()[0].State; s != vertex.JobCancelling {
			t.Errorf("the job is %s; no pass found it", s)
		}
		w.Vertex.SetJob(w.Vertex.Jobs()[0].Name, vertex.JobCancelled)
		w.After(time.Minute)
		w.Expect("a", lifecycle.Cancelled, "reserved", "cancelling", "cancelled")
	})
}

// The last holder ends between the read in which a request finds no room and
// its commit: the request must not wait for free machines without a timer or a
// pass that starts it.
func TestRaceDeferredWhileLastHolderEnds(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "w", CPU: 4})
	w.Vertex.SetJob(w.JobOf("w"), vertex.JobSucceeded)
	ended := false
	w.Ledger.Between = func() {
		if !ended {
			ended = true
			w.Now = w.Now.Add(10 * time.Second)
			if _, err := w.Instance(w.Config).Reconcile(context.Background(), "other", 0); err != nil {
				t.Error(err)
			}
		}
	}
	w.Ask(one)
	w.Expect("w", lifecycle.Succeeded, "reserved", "submitted", "succeeded")
	w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
}

// The waiter at the head is cancelled: those behind it must not wait for it.
func TestRaceCancelledWaiterAtTheHead(t *testing.T) {
	w := New(t)
	w.Config.Policy.Plan.StartIn = w.Config.StartTimeout // no job passes another in the hour that it has to start
	w.Controller = w.Instance(w.Config)
	w.Ask(Job{ID: "w", CPU: 3})
	w.Ask(Job{ID: "head", CPU: 4})
	w.Ask(one)
	w.Expect("a", lifecycle.Waiting, "queued")
	w.Cancel("head")
	w.After(time.Minute)
	w.Expect("head", lifecycle.Cancelled, "queued", "cancelled")
	w.Expect("a", lifecycle.Submitted, "queued", "reserved", "submitted")
}

// A commit lands and its answer is lost: found by its token, or, when even that
// cannot be asked, recognised by the redelivered message.
func TestRaceCommitLandedAnswerLost(t *testing.T) {
	for name, fault := range map[string]ledger.Fault{"found by its token": ledger.LoseAnswer, "found by redelivery": ledger.LoseAnswerAndCheck} {
		t.Run(name, func(t *testing.T) {
			w := New(t)
			w.Ask(Job{ID: "first", GPU: 1}) // so that the resource is known
			lost := false
			w.Ledger.Fault = func(op string) ledger.Fault {
				if op == ledger.OpCommit && !lost {
					lost = true
					return fault
				}
				return ledger.None
			}
			id, err := w.Try(one.Body())
			if (err != nil) != (fault == ledger.LoseAnswerAndCheck) {
				t.Fatalf("the message was answered with %v", err)
			}
			if err != nil { // nothing was promised: it comes again
				w.Again(id, one.Body())
				w.After(2 * time.Minute)
			}
			w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
			if n := len(w.Vertex.Jobs()); n != 2 {
				t.Errorf("%d jobs for two requests", n)
			}
		})
	}
}

// The sweep meets two jobs of one run and no name is recorded: the older is to
// be recorded, the other cancelled, and counted until it has ended.
func TestRaceSweepMeetsTwoJobs(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "first", GPU: 1})
	faultOnce(w, vertex.FailAfter)
	w.Ask(one)
	rec := w.Record("a")
	w.Now = w.Now.Add(time.Second)
	twin := &aiplatformpb.CustomJob{Labels: map[string]string{vertex.LabelRun: rec.Run, vertex.LabelRequest: string(rec.Key)},
		JobSpec: mustJob(rec).GetJobSpec()}
	twin.JobSpec.PersistentResourceId = "pool"
	younger, err := w.Vertex.Create(context.Background(), Parent, twin)
	if err != nil {
		t.Fatal(err)
	}
	w.After(10 * time.Second)
	if got := w.JobOf("a"); got == younger.Name {
		t.Errorf("the younger job %s was recorded", got)
	}
	if j, _ := w.Vertex.Get(context.Background(), younger.Name); j.State != vertex.JobCancelling {
		t.Errorf("the younger job is %s", j.State)
	}
	if use := w.Document().Use()[CPU]; use != 2 {
		t.Errorf("%d machines count as used; both jobs run", use)
	}
	w.Vertex.SetJob(younger.Name, vertex.JobCancelled)
	w.After(time.Minute)
	if use := w.Document().Use()[CPU]; use != 1 {
		t.Errorf("%d machines count as used after the orphan job ended", use)
	}
	w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
}

func mustJob(rec *ledger.Record) *aiplatformpb.CustomJob {
	job, err := message.ParseJob([]byte(rec.Spec))
	if err != nil {
		panic(err)
	}
	return job
}

// A second job of a run, from a create that landed late, is listed alone: the
// named job has ended. The request must not take the orphan job for its own.
func TestRaceOrphanOutlivesTheNamedJob(t *testing.T) {
	for name, seenRunning := range map[string]bool{"not seen running": false, "seen running": true} {
		t.Run(name, func(t *testing.T) {
			w := New(t)
			w.Ask(one)
			named, rec := w.JobOf("a"), w.Record("a")
			want := []string{"reserved", "submitted", "succeeded"}
			if seenRunning {
				w.Vertex.SetJob(named, vertex.JobRunning)
				w.After(time.Minute)
				want = []string{"reserved", "submitted", "started", "succeeded"}
			}
			late := mustJob(rec)
			late.Labels = map[string]string{vertex.LabelRun: rec.Run, vertex.LabelRequest: string(rec.Key)}
			late.JobSpec.PersistentResourceId = "pool"
			orphan, err := w.Vertex.Create(context.Background(), Parent, late)
			if err != nil {
				t.Fatal(err)
			}
			w.Vertex.SetJob(orphan.Name, vertex.JobRunning)
			w.Vertex.SetJob(named, vertex.JobSucceeded)
			w.After(time.Minute)
			w.Expect("a", lifecycle.Succeeded, want...)
			if j, _ := w.Vertex.Get(context.Background(), orphan.Name); j.State != vertex.JobCancelling {
				t.Errorf("the orphan job is %s", j.State)
			}
			if use := w.Document().Use()[CPU]; use != 1 {
				t.Errorf("%d machines count as used; the orphan job still has one", use)
			}
		})
	}
}

// A document may expire only when no late delivery is possible: after the
// retention of topic, subscription and dead letters, and after the publication
// of its last event.
func TestRaceIDReusedAfterExpiry(t *testing.T) {
	w := New(t)
	w.Out.Fail = func() (bool, bool) { return true, false }
	w.Ask(Job{ID: "a", CPU: 5})
	if at := w.Record("a").ExpireAt; !at.IsZero() {
		t.Errorf("it may expire at %v with its end unpublished", at)
	}
	w.Out.Fail = nil
	w.After(time.Minute)
	w.Expect("a", lifecycle.Rejected, "rejected")
	if keep := w.Record("a").ExpireAt.Sub(w.Now); keep < 93*24*time.Hour {
		t.Errorf("it may expire after %v; three retentions of 31 days are longer", keep)
	}
	running := New(t)
	running.Ask(one)
	if at := running.Record("a").ExpireAt; !at.IsZero() {
		t.Errorf("a live request may expire at %v", at)
	}
}

// A foreign job takes the machines between the hold and the start: after any
// answer of Vertex AI, Berth takes no more, and starts the job when the foreign
// job has ended.
func TestRaceForeignJobBetweenHoldAndStart(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "first", GPU: 1})
	foreign := ""
	onCreate(w, func() error {
		if foreign == "" {
			foreign = w.Vertex.AddForeign(Parent, "pool", capacity.Ask{{Shape: CPU, Replicas: 4}})
			return refusal(vertex.Transient)
		}
		return nil
	})
	w.Ask(one)
	w.Expect("a", lifecycle.Waiting, "reserved", "queued")
	w.After(time.Minute)
	w.Ask(Job{ID: "b", CPU: 1})
	w.Expect("b", lifecycle.Waiting, "queued")
	if over := w.Document().Use()[CPU]; over != 4 {
		t.Errorf("%d machines count as used; the foreign job has 4", over)
	}
	w.Vertex.SetJob(foreign, vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("a", lifecycle.Submitted, "reserved", "queued", "reserved", "submitted")
	w.Expect("b", lifecycle.Submitted, "queued", "reserved", "submitted")
}

// A resource is deleted and made anew while jobs hold machines on it. Holds leave
// by their reservations' own moves, never by themselves.
func TestRaceResourceMadeAnew(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "w", CPU: 4})
	w.Vertex.SetResource(Resource, vertex.Resource{})
	w.Ask(one)
	w.After(time.Minute)
	w.Expect("a", lifecycle.Waiting, "queued", "queued") // it is gone
	w.Expect("w", lifecycle.Submitted, "reserved", "submitted")
	w.Vertex.SetResource(Resource, vertex.Resource{State: vertex.Running, CreateTime: w.Now, Pools: []capacity.Pool{{ID: "new", Shape: CPU, Count: 4}}})
	w.After(time.Minute)
	w.Expect("a", lifecycle.Waiting, "queued", "queued", "queued") // the old job is still live
	w.Vertex.SetJob(w.JobOf("w"), vertex.JobCancelled)
	w.After(time.Minute)
	w.Expect("w", lifecycle.Cancelled, "reserved", "submitted", "cancelled")
	w.Expect("a", lifecycle.Submitted, "queued", "queued", "queued", "reserved", "submitted")
}

// Instances' own clocks are 90 seconds off. Neither does one that is ahead take
// over what another still works at, nor is one that is behind taken over from
// while it works.
func TestRaceClock90SecondsOff(t *testing.T) {
	for name, skew := range map[string]struct{ worker, other time.Duration }{
		"other ahead": {0, 90 * time.Second}, "worker behind": {-90 * time.Second, 0}, "worker ahead": {90 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(t)
			w.Ask(Job{ID: "first", GPU: 1})
			w.Vertex.Fault = func(op, _ string) vertex.Fault {
				if op != "create" {
					return vertex.NoFault
				}
				w.Vertex.Fault = nil
				w.Now = w.Now.Add(time.Second)
				if _, err := w.Skewed(skew.other).Reconcile(context.Background(), "other", 0); err != nil {
					t.Errorf("reconcile: %v", err)
				}
				if n := w.Record("a").Attempt; n != 1 {
					t.Errorf("attempt %d has been begun beside the first", n)
				}
				return vertex.NoFault
			}
			if err := w.Skewed(skew.worker).Handle(context.Background(), Tenant, message.Delivery{ID: "m", Data: one.Body()}); err != nil {
				t.Fatal(err)
			}
			w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
			if n := len(w.Vertex.Jobs()); n != 2 {
				t.Errorf("%d jobs for two requests", n)
			}
		})
	}
}

// A paused instance wakes up after its time: another has taken over, so it must
// not create any more.
func TestRacePausedInstance(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "first", GPU: 1})
	paused := false
	c := w.Paused(func() bool { // between its commit and its create, for two minutes
		if paused || w.State("a") != lifecycle.Submitting {
			return false
		}
		paused = true
		w.After(2 * time.Minute)
		return true
	})
	err := c.Handle(context.Background(), Tenant, message.Delivery{ID: "m", Data: one.Body()})
	if err != nil || !paused {
		t.Fatalf("error %v, paused %v", err, paused)
	}
	if n := len(w.Vertex.Jobs()); n != 2 {
		t.Errorf("%d jobs for two requests", n)
	}
	w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
}

// A cancel comes before its request.
func TestRaceCancelBeforeRequest(t *testing.T) {
	w := New(t)
	w.Cancel("a")
	w.Ask(one)
	w.Expect("a", lifecycle.Cancelled, "cancelled")
	if n := len(w.Vertex.Jobs()); n != 0 {
		t.Errorf("%d jobs", n)
	}
}

// Two tenants use the same id: two requests, and neither can cancel the other's.
func TestRaceOneIDTwoTenants(t *testing.T) {
	w := New(t)
	w.Ask(one)
	handle := func(tenant, id string, data []byte) {
		if err := w.Controller.Handle(context.Background(), tenant, message.Delivery{ID: id, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	handle("other", "x1", Job{ID: "a", CPU: 2}.Body())
	handle("other", "x2", []byte(`{"cancel":{"requestId":"a"}}`))
	states := map[string]lifecycle.State{}
	for _, r := range w.Ledger.Records() {
		states[r.Tenant] = r.State
	}
	if states[Tenant] != lifecycle.Submitted || states["other"] != lifecycle.Cancelling {
		t.Errorf("states by tenant: %v", states)
	}
}

// A message that cannot be taken claims the id of a running request.
func TestRaceRefusalUnderRunningID(t *testing.T) {
	w := New(t)
	w.Ask(one)
	before := w.Record("a")
	w.Send([]byte(`{"requestId":"a","job":{"displayName":"x","jobSpec":{"workerPoolSpecs":"none"}}}`))
	w.Send(Job{ID: "a", CPU: 2}.Body())
	after := w.Record("a")
	if after.Sequence != before.Sequence || after.State != before.State {
		t.Errorf("the request was touched: %+v", after)
	}
	w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
	refused := 0
	for _, e := range w.Out.All() {
		if e.Type == message.Refused && e.ClaimedRequestID == "a" && e.RequestID == "" {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("%d answers, want 2", refused)
	}
}

// The sweep has seen two jobs of a run that names none, and takes the younger for a
// orphan job. Before it acts another instance records the younger. Then that one must
// not be cancelled, but the older.
func TestRaceOrphanIsRecordedMeanwhile(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "first", GPU: 1})
	faultOnce(w, vertex.FailAfter)
	w.Ask(one)
	rec := w.Record("a")
	older := w.Vertex.Jobs()[1].Name
	w.Now = w.Now.Add(time.Second)
	younger := jobWith(w, 1, rec.Run, string(rec.Key))
	w.Ledger.Wrote = func(_ ledger.Ref, _, after ledger.Document) {
		if _, ok := after.(*ledger.Resource); !ok {
			return
		}
		w.Ledger.Wrote = nil // the observation is written; the next commit is that of the older job
		w.Ledger.Between = func() {
			w.Ledger.Between = nil
			err := w.Ledger.Update(context.Background(), ledger.Records(rec.Key), func(tx ledger.Tx) error {
				r := tx.Record(rec.Key)
				r.Reservation, _, _ = lifecycle.Next(r.Reservation, lifecycle.Accept(r.Run, younger.Name))
				tx.Put(r)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
	}
	w.After(10 * time.Second)
	state := func(name string) vertex.JobState {
		j, _ := w.Vertex.Get(context.Background(), name)
		return j.State
	}
	if got := w.JobOf("a"); got != younger.Name || state(younger.Name) != vertex.JobPending {
		t.Errorf("the request names %s, which is %s; want %s, live", got, state(got), younger.Name)
	}
	w.After(10 * time.Second)
	if state(younger.Name) != vertex.JobPending || state(older) != vertex.JobCancelling {
		t.Errorf("the younger is %s, the older %s; want the older cancelled", state(younger.Name), state(older))
	}
}

// A job is live in a list that is newer than its request's end: its state was
// reported wrongly, or it came back. It is not cancelled, and counts as foreign use.
func TestRaceEndedJobIsLiveAgain(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "a", CPU: 3})
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("a", lifecycle.Succeeded, "reserved", "submitted", "succeeded")
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
	w.After(time.Minute)
	w.Ask(Job{ID: "b", CPU: 2})
	w.Expect("b", lifecycle.Waiting, "queued")
	if f := w.Document().Foreign; len(f) != 1 || f[0].Job != w.JobOf("a") {
		t.Errorf("foreign jobs are %v", f)
	}
}
