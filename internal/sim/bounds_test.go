package sim

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// A request that Vertex AI goes on refusing is tried some two dozen times at least
// until [controller.Config.DeclineTimeout], however short that is.
func TestShortDeclineTimeoutLeavesTries(t *testing.T) {
	w := New(t)
	w.Config.DeclineTimeout = 4 * time.Hour
	w.again()
	tried := refusing(w, "a", always)
	w.Ask(Job{ID: "a", CPU: 4})
	for i := 0; w.State("a") != lifecycle.Failed; i++ {
		if i > 30 {
			t.Fatalf("after %v it is %s", w.Now.Sub(w.Record("a").Times.Received), w.State("a"))
		}
		w.other(fmt.Sprint("o", i))
		for range 18 {
			w.After(time.Minute)
		}
	}
	if took := w.Now.Sub(w.Record("a").Times.Received); took < 4*time.Hour || took > 5*time.Hour {
		t.Errorf("it failed after %s, want four hours", took)
	}
	if *tried < 18 || *tried > 60 {
		t.Errorf("%d creates in four hours", *tried)
	}
}

// A pause after a refusal passes in a minute: the requests that wait keep the reason
// that says more, and their publishers are sent no event of it.
func TestPauseReplacesNoReason(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "runs", CPU: 4})
	w.Ask(Job{ID: "waits", CPU: 4})
	w.Expect("waits", lifecycle.Waiting, "queued")
	refusing(w, "declined", always)
	w.Ask(Job{ID: "declined", GPU: 1})
	w.After(time.Second)
	if d := w.Document(); !d.NotBefore.After(w.Now) {
		t.Fatalf("the resource is paused until %v, it is %v", d.NotBefore, w.Now)
	}
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobSucceeded)
	w.After(3 * time.Second)
	if w.State("runs") != lifecycle.Succeeded || !w.Document().NotBefore.After(w.Now) {
		t.Fatalf("runs is %s, and the pause is until %v at %v", w.State("runs"), w.Document().NotBefore, w.Now)
	}
	if r := w.Record("waits"); r.Why.Code != reason.Full || strings.Join(w.Out.Words("waits"), " ") != "queued" {
		t.Errorf("it waits because %v, with events %v", r.Why, w.Out.Words("waits"))
	}
}

// A dry run answers with everything that the same request would get now:
// verdict, reason, arithmetic, the number ahead, and the time of the
// observation.
func TestQuoteAnswersInFull(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "runs", CPU: 4})
	w.Ask(Job{ID: "first", CPU: 4})
	w.Ask(Job{ID: "second", CPU: 1})
	w.Ask(Job{ID: "asked", CPU: 2, DryRun: true})
	var o message.Outcome
	for _, e := range w.Out.All() {
		if e.Type == message.Quoted {
			o = e
		}
	}
	if o.Verdict != "WAIT" || o.Reason == nil || o.Reason.Code != reason.Full || o.Ahead == nil || *o.Ahead != 1 || len(o.Fit) != 1 || o.Fit[0].Verdict == "" || o.ObservedAt == nil {
		t.Errorf("quoted %+v", o)
	}
}
