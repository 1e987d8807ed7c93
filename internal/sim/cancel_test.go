package sim

import (
	"context"
	"fmt"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// The ways to name what is to end: the request's own id, and that of the message
// that made it, given as either.
var cancelForms = map[string]struct {
	own  string // the request's id, "" for one that has none
	body string // of the cancel
}{
	"request by its id":                 {"m7", `{"cancel":{"requestId":"m7"}}`},
	"message by its id":                 {"", `{"cancel":{"messageId":"m7"}}`},
	"message by its id as a request id": {"", `{"cancel":{"requestId":"m7"}}`},
}

// deliver hands over a message under a message id.
func deliver(w *World, id string, data string) {
	w.Helper()
	w.Now = w.Now.Add(time.Second)
	if err := w.Controller.Handle(context.Background(), Tenant, message.Delivery{ID: id, PublishTime: w.Now, Data: []byte(data)}); err != nil {
		w.Fatalf("message %s: %v", id, err)
	}
}

// A cancel comes before, while and after its request is decided, once or twice:
// nothing runs, the request ends once, and the cancel's answer says what came of
// it.
func TestRaceCancelByAnyID(t *testing.T) {
	for name, form := range cancelForms {
		t.Run(name, func(t *testing.T) {
			body := string(Job{ID: form.own, CPU: 1}.Body())
			t.Run("before", func(t *testing.T) {
				w := New(t)
				deliver(w, "c1", form.body)
				until := w.Now.Add(w.Config.Keep)
				w.expectNoted("c1", until)
				if events := w.Out.All(); len(events) != 1 {
					t.Errorf("%d events, want the answer alone: nothing has ended yet", len(events))
				}
				deliver(w, "c1", form.body) // again: nothing new
				deliver(w, "m7", body)
				w.expectCancelledBefore("m7")
				deliver(w, "m7", body)
				w.Expect("m7", lifecycle.Cancelled, "cancelled")
				deliver(w, "c2", form.body)
				w.expectEnded("c2", lifecycle.Cancelled)
			})
			t.Run("before, twice", func(t *testing.T) {
				w := New(t)
				deliver(w, "c1", form.body)
				w.Now = w.Now.Add(30 * 24 * time.Hour)
				deliver(w, "c2", form.body)
				until := w.Now.Add(w.Config.Keep)
				w.expectNoted("c2", until)
				for _, r := range w.Ledger.Records() {
					if r.Tombstone() && !r.ExpireAt.Equal(until) {
						t.Errorf("the tombstone of kind %s stands until %v, want %v as the last answer says", r.Kind, r.ExpireAt, until)
					}
				}
				deliver(w, "m7", body)
				w.expectCancelledBefore("m7")
			})
			t.Run("between read and commit", func(t *testing.T) {
				w := New(t)
				w.Ask(Job{ID: "first", GPU: 1}) // so that the resource is known
				came := false
				w.Ledger.Between = func() {
					if !came {
						came = true
						deliver(w, "m7", body)
					}
				}
				deliver(w, "c1", form.body)
				w.Expect("m7", lifecycle.Cancelling, "reserved", "submitted", "cancelling")
				if events := w.Out.Of("c1"); len(events) != 0 {
					t.Errorf("the cancel was answered with %v", events)
				}
			})
			t.Run("while it waits, and after", func(t *testing.T) {
				w := New(t)
				w.Ask(Job{ID: "w", CPU: 4})
				deliver(w, "m7", body)
				deliver(w, "c1", form.body)
				deliver(w, "c1", form.body)
				w.Expect("m7", lifecycle.Cancelled, "queued", "cancelled")
				if events := w.Out.Of("c1"); len(events) != 0 {
					t.Errorf("the cancel that was done was answered with %v", events)
				}
				deliver(w, "c2", form.body)
				deliver(w, "c2", form.body)
				w.expectEnded("c2", lifecycle.Cancelled)
			})
			t.Run("after it has run", func(t *testing.T) {
				w := New(t)
				deliver(w, "m7", body)
				w.Vertex.SetJob(w.JobOf("m7"), vertex.JobSucceeded)
				w.After(time.Minute)
				deliver(w, "c1", form.body)
				w.expectEnded("c1", lifecycle.Succeeded)
			})
			t.Run("answer lost", func(t *testing.T) { // the cancel's commit lands, and its answer is lost
				w := New(t)
				w.Ledger.Fault = func(op string) ledger.Fault {
					if op == ledger.OpCommit {
						w.Ledger.Fault = nil
						return ledger.LoseAnswerAndCheck
					}
					return ledger.None
				}
				if err := w.Controller.Handle(context.Background(), Tenant, message.Delivery{ID: "c1", Data: []byte(form.body)}); err == nil {
					t.Fatal("the cancel was acknowledged")
				}
				deliver(w, "c1", form.body)
				w.After(time.Minute)
				if words := w.Out.Words("c1"); fmt.Sprint(words) != "[noted]" {
					t.Errorf("the cancel was answered with %v, want one note", words)
				}
				deliver(w, "m7", body)
				w.expectCancelledBefore("m7")
			})
		})
	}
}

// One id names a request and a message. A cancel by request id means the request,
// whether it lives or not; one by message id the message.
func TestCancelOfOneIDInTwoKinds(t *testing.T) {
	w := New(t)
	deliver(w, "x", string(Job{ID: "m7", CPU: 1}.Body()))
	deliver(w, "m7", string(Job{GPU: 1}.Body()))
	state := func(kind message.Kind) lifecycle.State {
		for _, r := range w.Ledger.Records() {
			if r.Kind == kind && r.ID == "m7" {
				return r.State
			}
		}
		return lifecycle.None
	}
	deliver(w, "c1", `{"cancel":{"requestId":"m7"}}`)
	if r, m := state(message.KindRequest), state(message.KindMessage); r != lifecycle.Cancelling || m != lifecycle.Submitted {
		t.Errorf("request %s, message %s: want the request cancelled alone", r, m)
	}
	w.Vertex.SetJob(w.Vertex.Jobs()[0].Name, vertex.JobCancelled)
	w.After(time.Minute)
	deliver(w, "c2", `{"cancel":{"requestId":"m7"}}`)
	w.expectEnded("c2", lifecycle.Cancelled)
	if m := state(message.KindMessage); m != lifecycle.Submitted {
		t.Errorf("the message's request is %s; the cancel was of a request that has ended", m)
	}
	deliver(w, "c3", `{"cancel":{"messageId":"m7"}}`)
	if m := state(message.KindMessage); m != lifecycle.Cancelling {
		t.Errorf("the message's request is %s", m)
	}
}

// A tombstone of another kind does not answer for the id: it is given to the
// request that comes, and a second, different one is refused as ID_REUSED.
func TestTombstoneMeetsARequest(t *testing.T) {
	w := New(t)
	w.Cancel("a")
	w.Ask(Job{ID: "a", CPU: 1, DryRun: true})
	if o := w.Out.Last("m2"); o.Type != message.Quoted || o.Verdict != "REFUSE" || o.Reason.Code != reason.CancelRequested {
		t.Errorf("the dry run was answered with %+v", o)
	}
	w.Ask(Job{ID: "a", CPU: 1, Resource: "projects/other/locations/us-central1/persistentResources/x"})
	w.expectCancelledBefore("a")
	w.Ask(Job{ID: "a", CPU: 2})
	if o := w.Out.Last("m4"); o.Type != message.Refused || o.Reason.Code != reason.IDReused {
		t.Errorf("another job under the id was answered with %+v", o)
	}
}

func (w *World) expectCancelledBefore(id string) {
	w.Helper()
	w.Expect(id, lifecycle.Cancelled, "cancelled")
	if o := w.Out.Last(id); o.Sequence != 1 || o.Reason == nil || o.Reason.Code != reason.CancelRequested || o.Times.Ended.IsZero() {
		w.Errorf("its end is published as %+v", o)
	}
	if at, want := w.Record(id).ExpireAt, w.Now.Add(w.Config.Keep); !at.Equal(want) {
		w.Errorf("it may be deleted at %v, want %v", at, want)
	}
	if n := len(w.Vertex.Jobs()); n != 0 {
		w.Errorf("%d jobs run", n)
	}
}

func (w *World) expectNoted(id string, until time.Time) {
	w.Helper()
	events := w.Out.Of(id)
	if len(events) != 1 || events[0].Type != message.Noted || events[0].Reason.Code != reason.NothingMatched || !events[0].CancelUntil.Equal(until) {
		w.Errorf("the cancel was answered with %+v, want one note that it holds until %v", events, until)
	}
}

func (w *World) expectEnded(id string, state lifecycle.State) {
	w.Helper()
	events := w.Out.Of(id)
	if len(events) != 1 || events[0].Type != message.Refused || events[0].Reason.Code != reason.AlreadyEnded ||
		events[0].Reason.Detail != "The request has ended: it is "+string(state)+"." {
		w.Errorf("the cancel was answered with %+v, want one refusal because it is %s", events, state)
	}
}
