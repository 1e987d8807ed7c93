package sim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// whyOf is the reason of the last event of a request.
func whyOf(w *World, id string) reason.Problem {
	w.Helper()
	if p := w.Out.Last(id).Reason; p != nil {
		return *p
	}
	return reason.Problem{}
}

// A paused resource starts nothing: not what comes, not what waits, not what would fit
// once a job ends. What runs goes on. Each request that waits is told once, by whom and
// why. The resume starts all of it at once, without a tick.
func TestPause(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "runs", CPU: 3})
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobRunning)
	w.Ask(Job{ID: "waits", CPU: 2})
	w.After(time.Minute)
	w.Expect("waits", lifecycle.Waiting, "queued")
	paused := w.Now.Add(time.Millisecond)
	answer := w.Operate(message.Pause, `"reason":"new drivers\u202e"`)
	if answer.Type != message.Refused {
		t.Errorf("a field twice is answered %+v", answer)
	}
	paused = paused.Add(time.Millisecond)
	if answer = w.Operate(message.Pause); answer.Type != message.Paused || answer.Tenant != message.Operators || answer.PersistentResource != Resource ||
		*answer.Operator != (message.Operation{Action: message.Pause, Who: "ann", Reason: "new drivers"}) {
		t.Errorf("a pause is answered %+v, %+v", answer, answer.Operator)
	}
	w.Ask(Job{ID: "comes", CPU: 1})
	w.Expect("comes", lifecycle.Waiting, "queued")
	want := "The persistent resource has been paused since " + paused.Format(time.RFC3339) + ", by ann: new drivers. Nothing starts there until an operator resumes it."
	if p := whyOf(w, "comes"); p.Code != reason.Paused || p.Detail != want {
		t.Errorf("it waits because of %v", p)
	}
	w.Ask(Job{ID: "now", CPU: 1, OnFull: "reject"})
	w.Expect("now", lifecycle.Rejected, "rejected")
	if p := whyOf(w, "now"); p.Code != reason.Paused || p.Fix == "" {
		t.Errorf("it is rejected because of %v", p)
	}
	w.Ask(Job{ID: "never", CPU: 5})
	w.Expect("never", lifecycle.Rejected, "rejected")
	w.After(time.Minute)
	w.Expect("waits", lifecycle.Waiting, "queued", "queued")
	if p := whyOf(w, "waits"); p.Code != reason.Paused || p.Detail != want {
		t.Errorf("it waits because of %v", p)
	}
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobSucceeded)
	ticks(w, 5)
	w.Expect("runs", lifecycle.Succeeded, "reserved", "submitted", "started", "succeeded")
	w.Expect("waits", lifecycle.Waiting, "queued", "queued")
	w.Expect("comes", lifecycle.Waiting, "queued")
	if n := w.Vertex.Calls()["create"]; n != 1 {
		t.Errorf("%d jobs were created", n)
	}
	if answer = w.Operate(message.Resume); answer.Type != message.Resumed || answer.Operator.Action != message.Resume {
		t.Errorf("a resume is answered %+v", answer)
	}
	w.Expect("waits", lifecycle.Submitted, "queued", "queued", "reserved", "submitted")
	w.Expect("comes", lifecycle.Submitted, "queued", "reserved", "submitted")
}

// A paused resource is not observed every few seconds because requests wait.
func TestPauseIsQuiet(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "runs", CPU: 4})
	w.Ask(Job{ID: "waits", CPU: 1})
	w.After(time.Minute)
	w.Operate(message.Pause)
	w.After(time.Minute) // it tells the request
	before := w.Vertex.Calls()["resource"]
	w.Tick = nil
	if _, err := w.Controller.Reconcile(t.Context(), "tick", time.Minute); err != nil {
		t.Fatal(err)
	}
	if n := w.Vertex.Calls()["resource"] - before; n != 1 {
		t.Errorf("the resource was observed %d times in a minute", n)
	}
}

// What still waits after a resume is told what it waits for then.
func TestResumeTellsTheRest(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "runs", CPU: 4})
	w.Operate(message.Pause)
	w.Ask(Job{ID: "waits", CPU: 1})
	w.Operate(message.Resume)
	w.After(time.Second)
	w.Expect("waits", lifecycle.Waiting, "queued", "queued")
	if p := whyOf(w, "waits"); p.Code != reason.Full {
		t.Errorf("it waits because of %v", p)
	}
}

// A message does its work once. A second pause keeps since when, and has the last who
// and why; a resume of what is not paused is refused.
func TestOperatorMessagesAreIdempotent(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "a", CPU: 1})
	w.Operate(message.Pause)
	since := w.Document().Paused.Since
	ticks(w, 3)
	deliver := func(id string, data []byte) {
		t.Helper()
		if err := w.Deliver(message.Delivery{ID: id, Subscription: Operators, PublishTime: w.Now, Data: data}); err != nil {
			t.Fatal(err)
		}
	}
	deliver("second", []byte(`{"operator":{"action":"pause","persistentResource":"pool","who":"bob\u202e","reason":"more drivers"}}`))
	if p := w.Document().Paused; !p.Since.Equal(since) || p.Who != `bob\u202e` || p.Reason != "more drivers" {
		t.Errorf("after a second pause: %+v", p)
	}
	w.Operate(message.Resume)
	events := len(w.Out.All())
	deliver("second", []byte(`{"operator":{"action":"pause","persistentResource":"pool","who":"bob","reason":"more drivers"}}`))
	if p := w.Document().Paused; p != nil || len(w.Out.All()) != events {
		t.Errorf("the same message again: %+v, %d events more", p, len(w.Out.All())-events)
	}
	answer := w.Operate(message.Resume)
	if answer.Type != message.Refused || answer.Reason.Code != reason.NotPaused || answer.Reason.Path != "operator.persistentResource" || answer.Tenant != message.Operators {
		t.Errorf("a resume of what is not paused is answered %+v", answer)
	}
}

// A resource that Berth has not observed yet can be paused before its first request. One
// that Vertex AI does not have, or of another project, is refused, and leaves no
// document. While Vertex AI cannot be asked the message is not acknowledged.
func TestPauseOfAResourceThatIsNotKnown(t *testing.T) {
	w := New(t)
	for name, want := range map[string]reason.Code{"other": reason.UnknownResource, strings.Replace(Resource, "test-project", "elsewhere", 1): reason.ForeignResource} {
		id := fmt.Sprint("to-", want)
		data := []byte(`{"operator":{"action":"pause","persistentResource":"` + name + `","who":"ann","reason":"x"}}`)
		if err := w.Deliver(message.Delivery{ID: id, Subscription: Operators, Data: data}); err != nil {
			t.Fatal(err)
		}
		if answer := w.Out.Last(id); answer.Type != message.Refused || answer.Reason.Code != want || answer.Reason.Path != "operator.persistentResource" {
			t.Errorf("%s: %+v", name, answer)
		}
	}
	if _, resources := stored(w.Ledger); len(resources) > 0 {
		t.Errorf("%d documents", len(resources))
	}
	w.Vertex.Fault = func(string, string) vertex.Fault { return vertex.FailBefore }
	if err := w.Deliver(message.Delivery{ID: "early", Subscription: Operators, Data: Operation(message.Pause)}); err == nil || len(w.Out.Of("early")) > 0 {
		t.Errorf("while Vertex AI cannot be asked: %v, %v", err, w.Out.Words("early"))
	}
	w.Vertex.Fault = nil
	w.Now = w.Now.Add(time.Minute)
	if answer := w.Operate(message.Pause); answer.Type != message.Paused {
		t.Errorf("%+v", answer)
	}
	w.Ask(Job{ID: "a", CPU: 1})
	w.Expect("a", lifecycle.Waiting, "queued")
	if p := whyOf(w, "a"); p.Code != reason.Paused {
		t.Errorf("it waits because of %v", p)
	}
}

// A request that waits for a submission slot keeps its replicas while its resource is
// paused and gets no slot. It gets one with the resume.
func TestPauseKeepsSubmissionsBack(t *testing.T) {
	w := New(t)
	w.Config.Submissions = 1
	w.Controller = w.Instance(w.Config)
	w.Ask(Job{ID: "a", CPU: 1})
	w.Ask(Job{ID: "b", CPU: 1})
	w.Expect("b", lifecycle.Reserved, "reserved")
	w.Operate(message.Pause)
	ticks(w, 65) // also beyond the timer of what waits for a slot
	w.Expect("b", lifecycle.Reserved, "reserved")
	w.Operate(message.Resume)
	w.Expect("b", lifecycle.Submitted, "reserved", "submitted")
}

// The longest wait of a request goes on while its resource is paused, in the queue and
// for a submission slot.
func TestPauseDoesNotStopTheWait(t *testing.T) {
	w := New(t)
	w.Config.Submissions = 1
	w.Controller = w.Instance(w.Config)
	w.Ask(Job{ID: "a", CPU: 1})
	w.Ask(Job{ID: "reserved", CPU: 1, MaxWait: "600s"})
	w.Expect("reserved", lifecycle.Reserved, "reserved")
	w.Operate(message.Pause)
	w.Ask(Job{ID: "waits", CPU: 1, MaxWait: "600s"})
	ticks(w, 9)
	w.Expect("waits", lifecycle.Waiting, "queued")
	ticks(w, 2)
	w.Expect("waits", lifecycle.Expired, "queued", "expired")
	w.Expect("reserved", lifecycle.Expired, "reserved", "queued", "expired")
}

// An attempt to create a job whose answer was lost before the pause: no other is made
// while the resource is paused. A job that it has created is recorded, and goes on. If
// there is none, the request waits again, and starts after the resume.
func TestPauseWhileACreateIsUnclear(t *testing.T) {
	for fault, want := range map[vertex.Fault][]string{
		vertex.FailAfter:  {"reserved", "submitted"},
		vertex.FailBefore: {"reserved", "queued"},
	} {
		w := New(t)
		w.Vertex.Fault = func(op, _ string) vertex.Fault {
			if op == "create" {
				return fault
			}
			return vertex.NoFault
		}
		w.Ask(Job{ID: "a", CPU: 1})
		w.Expect("a", lifecycle.Submitting, "reserved")
		w.Vertex.Fault = nil
		w.Operate(message.Pause)
		ticks(w, 25)
		if n := w.Vertex.Calls()["create"]; n != 1 || !slices.Equal(w.Out.Words("a"), want) {
			t.Errorf("%v: %d creates, events %v", fault, n, w.Out.Words("a"))
		}
		if fault == vertex.FailBefore {
			if p := whyOf(w, "a"); p.Code != reason.Paused {
				t.Errorf("it waits because of %v", p)
			}
			w.Operate(message.Resume)
			w.Expect("a", lifecycle.Submitted, "reserved", "queued", "reserved", "submitted")
		}
	}
}

// A latest start that passes during a pause is told with the pause as its cause, and
// after the resume as well.
func TestPauseExplainsALateStart(t *testing.T) {
	w := New(t)
	limit := map[string]any{"scheduling": map[string]any{"timeout": "1200s"}}
	w.Ask(Job{ID: "runs", CPU: 4, Spec: limit})
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobRunning)
	w.After(time.Second)
	w.Ask(Job{ID: "waits", CPU: 4, Spec: limit})
	ticks(w, 2)
	promised := w.Out.Last("waits").StartsBy
	if promised.IsZero() {
		t.Fatal("nothing is promised")
	}
	w.Operate(message.Pause)
	for w.Now.Before(promised.Add(10 * time.Minute)) {
		w.After(time.Minute)
	}
	if p := whyOf(w, "waits"); p.Code != reason.Paused || !strings.HasSuffix(p.Detail, "It was to start by "+promised.Format(time.RFC3339)+".") {
		t.Errorf("it waits because of %v", p)
	}
	w.Operate(message.Resume)
	w.After(time.Minute)
	if p := whyOf(w, "waits"); p.Code != reason.Full || !strings.Contains(p.Detail, "an operator paused the machines") {
		t.Errorf("it waits because of %v", p)
	}
}

// Each call of a pause and of a resume fails once, having done nothing or all of it. The
// message comes again, and in the end all is as if nothing had failed.
func TestPauseSurvivesEveryFault(t *testing.T) {
	for _, action := range []message.Action{message.Pause, message.Resume} {
		for strike := 1; ; strike++ {
			struck := false
			for _, after := range []bool{false, true} {
				s := newStory(t)
				s.ask(Job{ID: "a", CPU: 1})
				if action == message.Resume {
					s.Operate(message.Pause)
				}
				s.calls, s.strike, s.after = 0, strike, after
				s.operate(action)
				struck = struck || s.calls >= strike
				s.strike = 0
				s.ticks(3, time.Minute)
				if p := s.Document().Paused; (p != nil) != (action == message.Pause) {
					t.Errorf("%s, call %d, done %v: the pause is %+v", action, strike, after, p)
				}
				word := map[message.Action]string{message.Pause: "paused", message.Resume: "resumed"}[action]
				id := fmt.Sprintf("m%d", s.messages)
				if words := s.Out.Words(id); !slices.Equal(words, []string{word}) {
					t.Errorf("%s, call %d, done %v: it is answered %v", action, strike, after, words)
				}
				s.ask(Job{ID: "b", CPU: 1})
				if want := map[message.Action]lifecycle.State{message.Pause: lifecycle.Waiting, message.Resume: lifecycle.Submitted}[action]; s.State("b") != want {
					t.Errorf("%s, call %d, done %v: what comes then is %s", action, strike, after, s.State("b"))
				}
			}
			if !struck {
				if strike < 5 {
					t.Errorf("%s makes %d calls", action, strike-1)
				}
				break
			}
		}
	}
}

// A pause that cannot be read is not taken for none.
func TestPauseOfAnUnreadableDocument(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "a", CPU: 1})
	w.Ledger.Spoil(ledger.ResourceRef(Resource), "damaged")
	if err := w.Deliver(message.Delivery{ID: "p", Subscription: Operators, Data: Operation(message.Pause)}); err == nil || len(w.Out.Of("p")) > 0 {
		t.Errorf("it is acknowledged: %v", w.Out.Words("p"))
	}
}
