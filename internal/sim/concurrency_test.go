package sim

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// nightly is a run of a recurring job.
func nightly(id, policy string) Job { return Job{ID: id, CPU: 2, Key: "nightly", Policy: policy} }

// why is the code of the reason of a request.
func (w *World) why(id string) reason.Code {
	if p := w.Record(id).Why; p != nil {
		return p.Code
	}
	return ""
}

// oneActive checks that at most one request of a key is active.
func (w *World) oneActive() {
	w.Helper()
	for _, v := range invariant.Check(invariant.Picture{Now: w.Now, Records: w.Ledger.Records()}) {
		if v.Rule == invariant.OneActive {
			w.Errorf("%s", v)
		}
	}
}

// TestForbid: a run is refused while an earlier one of its key is active, whatever its
// state, with a reason that names it, and the next one after its end is taken.
func TestForbid(t *testing.T) {
	for _, c := range []struct {
		name  string
		bring func(w *World)
		state lifecycle.State
	}{
		{"waiting", func(w *World) { w.Ask(Job{ID: "other", CPU: 3}); w.Ask(nightly("a", "forbid")) }, lifecycle.Waiting},
		{"submitted", func(w *World) { w.Ask(nightly("a", "forbid")) }, lifecycle.Submitted},
		{"running", func(w *World) {
			w.Ask(nightly("a", "forbid"))
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
			w.After(time.Minute)
		}, lifecycle.Running},
		{"being cancelled", func(w *World) {
			w.Ask(nightly("a", "replace"))
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
			w.After(time.Minute)
			w.Cancel("a")
		}, lifecycle.Cancelling},
		{"of the policy replace", func(w *World) { w.Ask(nightly("a", "replace")) }, lifecycle.Submitted},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := New(t)
			c.bring(w)
			if got := w.State("a"); got != c.state {
				t.Fatalf("the earlier one is %s", got)
			}
			before := w.Record("a")
			data := nightly("b", "forbid").Body()
			id := w.Send(data)
			w.Expect("b", lifecycle.Rejected, "rejected")
			b := w.Record("b")
			if w.why("b") != reason.AlreadyActive || !strings.Contains(b.Why.Detail, "request a ") || b.Why.Fix == "" || b.Why.Path == "" {
				t.Errorf("it is refused with %v", b.Why)
			}
			if after := w.Record("a"); after.Sequence != before.Sequence || after.State != before.State {
				t.Errorf("the earlier one is %s", after.State)
			}
			w.Again(id, data)
			w.Expect("b", lifecycle.Rejected, "rejected")
			w.Cancel("a")
			for range 4 {
				if job := w.Record("a").Reservation.Job; job != "" {
					w.Vertex.SetJob(job, vertex.JobCancelled)
				}
				w.After(time.Minute)
			}
			if w.Ask(nightly("c", "forbid")); w.State("c").Terminal() {
				t.Errorf("after the end of the earlier one it is %s: %v", w.State("c"), w.Record("c").Why)
			}
			w.oneActive()
		})
	}
}

// TestReplace: the earlier run is cancelled, once, in the commit that takes the new one;
// the new one starts when the machines are free.
func TestReplace(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "beside", CPU: 1})
	w.Ask(nightly("a", "replace"))
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
	w.After(time.Minute)
	data := nightly("b", "replace").Body()
	id := w.Send(data)
	w.Expect("a", lifecycle.Cancelling, "reserved", "submitted", "started", "cancelling")
	w.Expect("b", lifecycle.Waiting, "queued")
	if a := w.Record("a"); w.why("a") != reason.Replaced || !strings.Contains(a.Why.Detail, "request b ") {
		t.Errorf("it is cancelled with %v", a.Why)
	}
	w.Again(id, data)
	w.oneActive()
	if n := w.Vertex.Calls()["cancel"]; n != 1 {
		t.Errorf("%d cancels are sent, want 1", n)
	}
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobCancelled)
	w.After(time.Minute)
	w.Expect("a", lifecycle.Cancelled, "reserved", "submitted", "started", "cancelling", "cancelled")
	w.Expect("b", lifecycle.Submitted, "queued", "reserved", "submitted")
	// One that waits is cancelled at once, and so is one that is replaced in turn.
	w.Ask(nightly("c", "replace"))
	w.Ask(nightly("d", "replace"))
	w.Expect("c", lifecycle.Cancelled, "queued", "cancelled")
	if w.State("d").Terminal() || w.State("b") != lifecycle.Cancelling {
		t.Errorf("d is %s, b %s", w.State("d"), w.State("b"))
	}
	w.oneActive()
}

// TestReplaceNothing: a run replaces no request of another key, tenant or policy allow, none
// that has ended, and none if it is refused itself.
func TestReplaceNothing(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "other", CPU: 1, Key: "hourly", Policy: "replace"})
	w.Ask(Job{ID: "allowed", CPU: 1, Key: "nightly", Policy: "allow"})
	if err := w.Controller.Handle(context.Background(), "another", message.Delivery{ID: "x", Data: Job{ID: "theirs", CPU: 1, Key: "nightly", Policy: "replace"}.Body()}); err != nil {
		t.Fatal(err)
	}
	w.Ask(Job{ID: "a", CPU: 1, Key: "nightly", Policy: "replace"})
	for _, id := range []string{"other", "allowed", "theirs", "a"} {
		if w.State(id) != lifecycle.Submitted {
			t.Errorf("%s is %s", id, w.State(id))
		}
	}
	w.Ask(Job{ID: "huge", CPU: 99, Key: "nightly", Policy: "replace"})
	w.Ask(Job{ID: "now", CPU: 4, OnFull: "reject", Key: "nightly", Policy: "replace"})
	w.Ask(Job{ID: "dry", CPU: 1, DryRun: true, Key: "nightly", Policy: "replace"})
	if w.State("huge") != lifecycle.Rejected || w.State("now") != lifecycle.Rejected || w.State("a") != lifecycle.Submitted {
		t.Errorf("huge is %s, now is %s, a is %s", w.State("huge"), w.State("now"), w.State("a"))
	}
	for _, s := range []vertex.JobState{vertex.JobRunning, vertex.JobSucceeded} {
		w.Vertex.SetJob(w.JobOf("a"), s)
		w.After(time.Minute)
	}
	w.Ask(Job{ID: "b", CPU: 1, Key: "nightly", Policy: "replace"})
	w.Expect("a", lifecycle.Succeeded, "reserved", "submitted", "started", "succeeded")
	w.Expect("b", lifecycle.Submitted, "reserved", "submitted")
	w.oneActive()
}

// TestADryRunKnowsTheKey: it is refused where a request would be, says which one would be
// cancelled, and leaves all as it is.
func TestADryRunKnowsTheKey(t *testing.T) {
	w := New(t)
	dry := func(cpu int, policy string) message.Outcome {
		j := nightly("dry"+policy, policy)
		j.CPU, j.DryRun = cpu, true
		last := w.Out.Last(w.Ask(j))
		if last.Type != message.Quoted {
			t.Fatalf("the answer is %s", last.Type)
		}
		return last
	}
	if o := dry(1, "forbid"); o.Verdict != "ADMIT" {
		t.Errorf("without an earlier one: %s, %v", o.Verdict, o.Reason)
	}
	w.Ask(nightly("a", "forbid"))
	before := w.Record("a")
	if o := dry(1, "forbid"); o.Verdict != "REFUSE" || o.Reason.Code != reason.AlreadyActive || !strings.Contains(o.Reason.Detail, "request a ") {
		t.Errorf("forbid: %s, %v", o.Verdict, o.Reason)
	}
	if o := dry(1, "replace"); o.Verdict != "ADMIT" || len(o.Warnings) == 0 || !strings.Contains(o.Warnings[len(o.Warnings)-1].Detail, "request a ") {
		t.Errorf("replace: %s, %v", o.Verdict, o.Warnings)
	}
	if o := dry(99, "replace"); o.Verdict != "REFUSE" || slices.ContainsFunc(o.Warnings, func(p reason.Problem) bool { return strings.Contains(p.Detail, "request a ") }) {
		t.Errorf("what never fits: %s, %v", o.Verdict, o.Warnings)
	}
	if after := w.Record("a"); after.Sequence != before.Sequence || after.State != before.State {
		t.Errorf("the earlier one is %s", after.State)
	}
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobFailed)
	w.After(time.Minute)
	if o := dry(1, "forbid"); w.State("a") != lifecycle.Failed || o.Verdict != "ADMIT" {
		t.Errorf("after its end, %s: %s, %v", w.State("a"), o.Verdict, o.Reason)
	}
}

// TestOneKeyAtOneMoment: another instance takes a run of the key, or the earlier one ends,
// between the read and the commit.
func TestOneKeyAtOneMoment(t *testing.T) {
	for _, policy := range []string{"forbid", "replace"} {
		w := New(t)
		second := w.Instance(w.Config)
		done := false
		w.Ledger.Between = func() {
			if !done {
				done = true
				if err := second.Handle(context.Background(), Tenant, message.Delivery{ID: "s", PublishTime: w.Now, Data: nightly("first", policy).Body()}); err != nil {
					t.Error(err)
				}
			}
		}
		w.Ask(nightly("second", policy))
		w.Ledger.Between = nil
		if first, got := w.State("first"), w.State("second"); policy == "forbid" && (first != lifecycle.Submitted || got != lifecycle.Rejected) ||
			policy == "replace" && (first != lifecycle.Cancelling && first != lifecycle.Cancelled || got.Terminal()) {
			t.Errorf("%s: the first is %s, the second %s", policy, first, got)
		}
		w.oneActive()
		w.CheckHolds()

		w = New(t)
		second = w.Instance(w.Config)
		w.Ask(nightly("a", policy))
		w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
		w.After(time.Minute)
		done = false
		w.Ledger.Between = func() {
			if !done {
				done = true
				w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
				if _, err := second.Reconcile(context.Background(), "tick", time.Second); err != nil {
					t.Error(err)
				}
			}
		}
		w.Ask(nightly("b", policy))
		w.Ledger.Between = nil
		w.Expect("a", lifecycle.Succeeded, "reserved", "submitted", "started", "succeeded")
		if w.State("b").Terminal() {
			t.Errorf("%s: b is %s", policy, w.State("b"))
		}
		w.oneActive()
	}
}

// TestReplaceThroughFaults: whatever fails at the commit or at the cancel, after a repeat
// the earlier run is cancelled and one new run is taken.
func TestReplaceThroughFaults(t *testing.T) {
	for name, spoil := range map[string]func(w *World){
		"nothing":  func(*World) {},
		"the read": func(w *World) { failOnce(w, ledger.OpRead, ledger.FailRead) },
		"the query": func(w *World) {
			w.loseResources()
			w.After(time.Minute)
			failOnce(w, ledger.OpQuery, ledger.FailRead)
		},
		"the commit":          func(w *World) { failOnce(w, ledger.OpCommit, ledger.FailCommit) },
		"the answer":          func(w *World) { failOnce(w, ledger.OpCommit, ledger.LoseAnswer) },
		"the answer for good": func(w *World) { failOnce(w, ledger.OpCommit, ledger.LoseAnswerAndCheck) },
		"a stale commit":      func(w *World) { failOnce(w, ledger.OpCommit, ledger.Stale) },
		"the cancel": func(w *World) {
			w.Vertex.Fault = func(op, _ string) vertex.Fault {
				if op == "cancel" {
					w.Vertex.Fault = nil
					return vertex.FailBefore
				}
				return vertex.NoFault
			}
		},
		"the outbox":      func(w *World) { w.Out.Fail = func() (bool, bool) { w.Out.Fail = nil; return true, false } },
		"the lost key":    func(w *World) { w.loseResources(); w.After(time.Minute) },
		"a lost resource": func(w *World) { w.loseResources() },
		"another resource": func(w *World) {
			res, _ := w.Vertex.Peek(Resource)
			w.Vertex.SetResource(strings.Replace(Resource, "/pool", "/two", 1), res)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(t)
			w.Ask(nightly("a", "replace"))
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
			w.After(time.Minute)
			spoil(w)
			j := nightly("b", "replace")
			if name == "another resource" {
				j.Resource = "two"
			}
			d := message.Delivery{ID: "b", PublishTime: w.Now, Data: j.Body()}
			for range 3 {
				if err := w.Deliver(d); err == nil {
					break
				}
			}
			if err := w.Deliver(d); err != nil {
				t.Fatal(err)
			}
			w.After(2 * time.Minute)
			if got := w.State("a"); got != lifecycle.Cancelling && got != lifecycle.Cancelled {
				t.Errorf("the earlier one is %s", got)
			}
			if w.State("b").Terminal() || w.State("b") == lifecycle.None {
				t.Errorf("the later one is %q: %v", w.State("b"), w.Record("b").Why)
			}
			if w.Vertex.Calls()["cancel"] == 0 {
				t.Error("no cancel is sent")
			}
			w.oneActive()
			w.CheckHolds()
		})
	}
}

// failOnce makes the next operation of that kind fail.
func failOnce(w *World, op string, f ledger.Fault) {
	w.Ledger.Fault = func(called string) ledger.Fault {
		if called == op {
			w.Ledger.Fault = nil
			return f
		}
		return ledger.None
	}
}
