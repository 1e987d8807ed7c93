package sim

import (
	"fmt"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// readCalls counts the calls of Vertex AI that only read.
func readCalls(w *World) int {
	calls := w.Vertex.Calls()
	return calls["live"] + calls["resource"]
}

// Requests for made-up names get a small share of Vertex AI's reads, whatever
// their number; each is answered in the end, and those for known resources do
// not wait for them.
func TestMadeUpNamesStayWithinTheirShare(t *testing.T) {
	for _, same := range []bool{false, true} {
		w := New(silent{t})
		w.Ask(Job{ID: "known", CPU: 1})
		const n = 150
		bodies := map[string][]byte{}
		for i := range n {
			name := "made-up"
			if !same {
				name = fmt.Sprintf("made-up-%d", i)
			}
			id := fmt.Sprintf("r%d", i)
			bodies[id] = Job{ID: id, CPU: 1, Resource: name}.Body()
		}
		share := max(6, w.Config.Polls/15) + w.Config.Polls/3/10
		began, most := w.Now, 0
		for minute := 0; len(bodies) > 0 && minute < 60; minute++ {
			before := readCalls(w)
			for id, body := range bodies {
				if _, err := w.Try(body); err == nil {
					delete(bodies, id)
				}
			}
			most = max(most, readCalls(w)-before)
			if minute == 0 {
				w.Ask(Job{ID: "known-2", CPU: 1})
				w.Expect("known-2", lifecycle.Submitted, "reserved", "submitted")
			}
			w.Now = began.Add(time.Duration(minute+1) * time.Minute)
			w.After(0)
		}
		if len(bodies) > 0 {
			t.Errorf("same name %v: %d requests are not answered after an hour", same, len(bodies))
		}
		if most > share {
			t.Errorf("same name %v: %d reads in a minute, share %d", same, most, share)
		}
		for i := range n {
			if e := w.Out.Last(fmt.Sprintf("r%d", i)); e.Type != message.Rejected || e.Reason.Code != reason.UnknownResource {
				t.Fatalf("r%d: %s, %v", i, e.Type, e.Reason)
			}
		}
		if n := len(w.Ledger.Dump().Resources()); n != 1 {
			t.Errorf("%d resource documents", n)
		}
	}
}

// A name that was made up a moment ago and has been created since is known at the
// next delivery.
func TestUnknownNameThatIsCreated(t *testing.T) {
	w := New(silent{t})
	const name = Parent + "/persistentResources/new"
	w.Ask(Job{ID: "early", CPU: 1, Resource: "new"})
	w.Expect("early", lifecycle.Rejected, "rejected")
	w.Vertex.SetResource(name, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{cpus(1)}})
	w.Ask(Job{ID: "late", CPU: 1, Resource: "new"})
	w.Expect("late", lifecycle.Submitted, "reserved", "submitted")
}

// Questions cost no more: a name that is not there is remembered for a while.
func TestQuotesOfMadeUpNames(t *testing.T) {
	w := New(silent{t})
	quote := func(name string) (message.Outcome, error) {
		q, err := w.Controller.Quote(t.Context(), Tenant, message.Delivery{ID: "q", Data: Job{CPU: 1, Resource: name}.Body()})
		return q.Outcome, err
	}
	for range 5 {
		o, err := quote("made-up")
		if err != nil || o.Reason == nil || o.Reason.Code != reason.UnknownResource {
			t.Fatalf("%+v, %v", o.Reason, err)
		}
	}
	if n := readCalls(w); n != 1 {
		t.Errorf("one name asked five times costs %d calls, want 1", n)
	}
	refused := 0
	for i := range 100 {
		if _, err := quote(fmt.Sprint("made-up-", i)); err != nil {
			refused++
		}
	}
	if n := readCalls(w); n > max(6, w.Config.Polls/15) || refused != 101-n {
		t.Errorf("%d calls for 100 names, %d were deferred; the share is %d", n, refused, max(6, w.Config.Polls/15))
	}
	// The name exists now; a question after a while knows it.
	w.Vertex.SetResource(Parent+"/persistentResources/made-up", vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0), Pools: []capacity.Pool{cpus(1)}})
	w.Now = w.Now.Add(time.Minute)
	if o, err := quote("made-up"); err != nil || o.Verdict != "ADMIT" {
		t.Errorf("%+v, %v", o, err)
	}
}
