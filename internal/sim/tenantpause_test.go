package sim

import (
	"context"
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

// ml is the field of an operator's message that names the tenant of these tests.
const ml = `"tenant":"ml"`

// twoTenants has the requests whose ids begin with ml- come from the tenant ml.
func twoTenants(w *World) *World {
	deliver := w.Deliver
	w.Deliver = func(d message.Delivery) error {
		if d.Subscription != Operators && strings.Contains(string(d.Data), `"ml-`) {
			return w.Controller.Handle(context.Background(), "ml", d)
		}
		return deliver(d)
	}
	return w
}

// Nothing of a paused tenant starts: not what comes, not what waits. What runs goes on, and
// other tenants do not wait for its requests. Each request that waits is told once, by whom
// and why. The resume starts at once, in the old order, without a tick.
func TestTenantPause(t *testing.T) {
	w := twoTenants(New(t))
	w.Ask(Job{ID: "ml-runs", CPU: 2})
	w.Vertex.SetJob(w.JobOf("ml-runs"), vertex.JobRunning)
	w.After(time.Second)
	w.Ask(Job{ID: "ml-gang", CPU: 4}) // it reserves all machines
	w.After(time.Second)
	place := w.Record("ml-gang").Order
	paused := w.Now.Add(time.Millisecond)
	answer := w.Operate(message.Pause, ml)
	if answer.Type != message.Paused || answer.Tenant != message.Operators || answer.PersistentResource != "" ||
		*answer.Operator != (message.Operation{Action: message.Pause, Tenant: "ml", Who: "ann", Reason: "new drivers"}) {
		t.Errorf("a pause is answered %+v, %+v", answer, answer.Operator)
	}
	w.Ask(Job{ID: "ml-comes", CPU: 1})
	w.Expect("ml-comes", lifecycle.Waiting, "queued")
	want := "The tenant has been paused since " + paused.Format(time.RFC3339) + ", by ann: new drivers. Nothing of it starts until an operator resumes it."
	if p := whyOf(w, "ml-comes"); p.Code != reason.TenantPaused || p.Detail != want {
		t.Errorf("it waits because of %v", p)
	}
	w.Ask(Job{ID: "ml-now", CPU: 1, OnFull: "reject"})
	w.Expect("ml-now", lifecycle.Rejected, "rejected")
	w.Ask(Job{ID: "small", CPU: 1}) // the gang's reservation would keep it waiting
	w.Expect("small", lifecycle.Submitted, "reserved", "submitted")
	w.After(time.Minute)
	w.Ask(Job{ID: "gang", CPU: 4})
	w.After(time.Minute)
	if w.Record("gang").StartsBy.IsZero() || w.Record("gang").Why.Code != reason.Full {
		t.Errorf("another tenant's gang waits because of %v, starts by %s", w.Record("gang").Why, w.Record("gang").StartsBy)
	}
	w.Expect("ml-gang", lifecycle.Waiting, w.Out.Words("ml-gang")...)
	if p := whyOf(w, "ml-gang"); p.Code != reason.TenantPaused || p.Detail != want || !w.Out.Last("ml-gang").StartsBy.IsZero() {
		t.Errorf("it waits because of %v, starts by %s", p, w.Out.Last("ml-gang").StartsBy)
	}
	told := len(w.Out.Words("ml-gang"))
	w.Vertex.SetJob(w.JobOf("ml-runs"), vertex.JobSucceeded)
	w.Vertex.SetJob(w.JobOf("small"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("ml-runs", lifecycle.Succeeded, "reserved", "submitted", "started", "succeeded")
	w.Expect("gang", lifecycle.Submitted, w.Out.Words("gang")...)
	w.Vertex.SetJob(w.JobOf("gang"), vertex.JobSucceeded)
	ticks(w, 5)
	w.Expect("ml-comes", lifecycle.Waiting, "queued")
	if n := len(w.Out.Words("ml-gang")); n != told || w.Record("ml-gang").Order != place {
		t.Errorf("it was told %d times more, its place is %s, was %s", n-told, w.Record("ml-gang").Order, place)
	}
	if answer = w.Operate(message.Resume, ml); answer.Type != message.Resumed || answer.Operator.Tenant != "ml" {
		t.Errorf("a resume is answered %+v", answer)
	}
	w.Expect("ml-gang", lifecycle.Submitted, w.Out.Words("ml-gang")...) // it came first
	w.After(time.Second)
	w.Expect("ml-comes", lifecycle.Waiting, "queued", "queued")
	if p := whyOf(w, "ml-comes"); p.Code != reason.Full {
		t.Errorf("after the resume it waits because of %v", p)
	}
	if answer := w.Operate(message.Resume, ml); answer.Type != message.Refused || answer.Reason.Code != reason.NotPaused || answer.Reason.Path != "operator.tenant" {
		t.Errorf("a resume of what is not paused is answered %+v", answer)
	}
}

// Another instance knows of a pause and of a resume at most one tick later, by one read a
// tick; before, it goes by what it knows.
func TestTenantPauseReachesOtherInstances(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "a", CPU: 1}) // this instance reads
	other := w.Instance(w.Config)
	pause := func(action message.Action) {
		if err := other.Operate(t.Context(), message.Delivery{ID: fmt.Sprint(action), Data: Operation(action, `"tenant":"default"`)}); err != nil {
			t.Fatal(err)
		}
	}
	pause(message.Pause)
	w.Ask(Job{ID: "b", CPU: 1})
	w.Expect("b", lifecycle.Submitted, "reserved", "submitted")
	w.Now = w.Now.Add(w.Config.Tick)
	w.Ask(Job{ID: "c", CPU: 1})
	w.Expect("c", lifecycle.Waiting, "queued")
	pause(message.Resume)
	w.Expect("c", lifecycle.Submitted, "queued", "reserved", "submitted")
}

// Requests of a paused tenant that wait for a submission slot give their replicas back with
// the next pass, and take no slot from others. Cancels work.
func TestTenantPauseGivesBackWhatIsNotSubmitted(t *testing.T) {
	w := twoTenants(New(t))
	w.Config.Submissions = 1
	w.Controller = w.Instance(w.Config)
	w.Ask(Job{ID: "first", CPU: 1})
	w.Ask(Job{ID: "ml-a", CPU: 1})
	w.Ask(Job{ID: "ml-b", CPU: 1})
	w.Ask(Job{ID: "last", CPU: 1})
	w.Expect("ml-a", lifecycle.Reserved, "reserved")
	w.Operate(message.Pause, ml)
	ticks(w, 2)
	w.Expect("ml-a", lifecycle.Waiting, "reserved", "queued")
	w.Expect("ml-b", lifecycle.Waiting, "reserved", "queued")
	if p := whyOf(w, "ml-b"); p.Code != reason.TenantPaused {
		t.Errorf("it waits because of %v", p)
	}
	w.Expect("last", lifecycle.Submitted, "reserved", "submitted")
	w.Cancel("ml-b")
	w.Expect("ml-b", lifecycle.Cancelled, "reserved", "queued", "cancelled")
	w.Operate(message.Resume, ml)
	ticks(w, 2)
	w.Expect("ml-a", lifecycle.Submitted, "reserved", "queued", "reserved", "submitted")
}

// An attempt whose answer was lost before the pause of its tenant: no other is made. If
// there is no job, the request waits again with the pause as its reason.
func TestTenantPauseWhileACreateIsUnclear(t *testing.T) {
	w := New(t)
	w.Vertex.Fault = func(op, _ string) vertex.Fault {
		if op == "create" {
			return vertex.FailBefore
		}
		return vertex.NoFault
	}
	w.Ask(Job{ID: "a", CPU: 1})
	w.Expect("a", lifecycle.Submitting, "reserved")
	w.Vertex.Fault = nil
	w.Operate(message.Pause, `"tenant":"default"`)
	ticks(w, 25)
	w.Expect("a", lifecycle.Waiting, "reserved", "queued")
	if n := w.Vertex.Calls()["create"]; n != 1 || whyOf(w, "a").Code != reason.TenantPaused {
		t.Errorf("%d creates; it waits because of %v", n, whyOf(w, "a"))
	}
	w.Operate(message.Resume, `"tenant":"default"`)
	w.Expect("a", lifecycle.Submitted, "reserved", "queued", "reserved", "submitted")
}

// While it cannot be read which tenants are paused, no request is decided and nothing that
// waits starts; the message is not acknowledged, and comes again.
func TestTenantPauseThatCannotBeRead(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "a", CPU: 4})
	w.Ask(Job{ID: "b", CPU: 1})
	w.Operate(message.Pause, `"tenant":"other"`)
	w.Ledger.Spoil(ledger.PauseRef(ledger.TenantPauses), "damaged")
	w.Now = w.Now.Add(w.Config.Tick)
	if id, err := w.Try(Job{ID: "c", CPU: 1}.Body()); err == nil || len(w.Out.Of(id)) > 0 {
		t.Error("a request is decided")
	}
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
	w.Now = w.Now.Add(time.Minute)
	_ = w.Tick()
	w.Expect("a", lifecycle.Succeeded, "reserved", "submitted", "succeeded")
	w.Expect("b", lifecycle.Waiting, "queued")
	if err := w.Deliver(message.Delivery{ID: "p", Subscription: Operators, Data: Operation(message.Pause, ml)}); err == nil {
		t.Error("a pause is acknowledged")
	}
}

// A message pauses once; a second pause keeps since when, and has the last who and why.
func TestTenantPauseIsIdempotent(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "a", CPU: 1})
	w.Operate(message.Pause, ml)
	since := pausesOf(w).Tenants["ml"].Since
	ticks(w, 2)
	second := message.Delivery{ID: "second", Subscription: Operators, PublishTime: w.Now, Data: []byte(`{"operator":{"action":"pause","tenant":"ml","who":"bob","reason":"still"}}`)}
	for range 2 {
		if err := w.Deliver(second); err != nil {
			t.Fatal(err)
		}
	}
	if p := pausesOf(w).Tenants["ml"]; !p.Since.Equal(since) || p.Who != "bob" || p.Reason != "still" {
		t.Errorf("after a second pause: %+v", p)
	}
	w.Operate(message.Resume, ml)
	if err := w.Deliver(second); err != nil || len(pausesOf(w).Tenants) != 0 {
		t.Errorf("the same message again pauses: %v, %v", err, pausesOf(w).Tenants)
	}
	if words := w.Out.Words("second"); !slices.Equal(words, []string{"paused"}) {
		t.Errorf("it is answered %v", words)
	}
}

// As many tenants can be paused as the document has room for.
func TestMostTenantsArePaused(t *testing.T) {
	w := New(t)
	for i := range ledger.MaxPausedTenants {
		w.Operate(message.Pause, fmt.Sprintf(`"tenant":"t%d"`, i))
	}
	if answer := w.Operate(message.Pause, ml); answer.Type != message.Refused || answer.Reason.Code != reason.TooLarge {
		t.Errorf("one more is answered %+v", answer)
	}
	if answer := w.Operate(message.Pause, `"tenant":"t1"`); answer.Type != message.Paused {
		t.Errorf("one of them again is answered %+v", answer)
	}
}

func pausesOf(w *World) (found *ledger.Pauses) {
	w.Ledger.Each(func(_ ledger.Ref, doc ledger.Document, _ int) {
		if p, ok := doc.(*ledger.Pauses); ok {
			found = p
		}
	})
	return found
}
