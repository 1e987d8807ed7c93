package controller_test

import (
	"fmt"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/vertex"
)

// codes lists the reasons that the queued events of a request gave.
func codes(w *sim.World, id string) (list []reason.Code) {
	for _, o := range w.Out.Of(id) {
		if o.Type == message.Queued {
			list = append(list, o.Reason.Code)
		}
	}
	return list
}

func expectCodes(t *testing.T, w *sim.World, id string, want ...reason.Code) {
	t.Helper()
	if got := codes(w, id); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s got the reasons %v, want %v", id, got, want)
	}
	for i, o := range w.Out.Of(id) {
		if o.Sequence != int64(i+1) {
			t.Errorf("event %d of %s has number %d", i+1, id, o.Sequence)
		}
	}
}

// TestWaitingGetEventsThatTheirResourceIsGone: in the queue and parked, each once, and
// again when it is back.
func TestWaitingGetEventsThatTheirResourceIsGone(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "runs", CPU: 4})
	const n = 50 // more than one update takes
	for i := range n {
		w.Ask(sim.Job{ID: fmt.Sprint("w", i), CPU: 1})
	}
	w.Ask(sim.Job{ID: "trains", GPU: 4})
	w.Ask(sim.Job{ID: "parked", GPU: 2})
	pools := w.Document().Pools
	was, _ := w.Vertex.Peek(sim.Resource)
	w.Vertex.SetResource(sim.Resource, vertex.Resource{State: vertex.Running, CreateTime: was.CreateTime, Pools: pools[:1]})
	w.After(time.Minute)
	w.After(10 * time.Minute)
	queued := w.Record("w0").Times.Queued

	w.Vertex.SetResource(sim.Resource, vertex.Resource{})
	w.After(time.Minute)
	for i := range n {
		id := fmt.Sprint("w", i)
		if got := codes(w, id); len(got) != 2 || got[1] != reason.ResourceGone {
			t.Errorf("%s got the reasons %v", id, got)
		}
		if w.Record(id).Fit != nil {
			t.Errorf("%s fits on machines that are gone: %v", id, w.Record(id).Fit)
		}
	}
	expectCodes(t, w, "parked", reason.Full, reason.SpecMismatch, reason.ResourceGone)
	if !w.Record("w0").Times.Queued.Equal(queued) {
		t.Error("a new reason must not queue it anew")
	}
	if w.Document().Notice != nil {
		t.Errorf("all have got it, and %+v is left", w.Document().Notice)
	}
	before := len(w.Out.All())
	for range 5 {
		w.After(time.Minute)
	}
	if more := len(w.Out.All()) - before; more != 0 {
		t.Errorf("%d events in five minutes in which nothing changed", more)
	}

	w.Vertex.SetResource(sim.Resource, vertex.Resource{State: vertex.Running, CreateTime: w.Now, Pools: pools})
	w.After(time.Minute)
	expectCodes(t, w, "w49", reason.Full, reason.ResourceGone, reason.Full)
	w.CheckHolds()
}

// TestNoticeGoesOnInTheNextPass: with more that wait than one pass notifies, with
// failures at any commit, each gets the reason once.
func TestNoticeGoesOnInTheNextPass(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "runs", CPU: 4})
	const n = 230
	for i := range n {
		w.Ask(sim.Job{ID: fmt.Sprint("w", i), CPU: 1})
	}
	w.Vertex.SetResource(sim.Resource, vertex.Resource{})
	for range 4 {
		w.After(time.Minute)
	}
	for i := range n {
		if got := codes(w, fmt.Sprint("w", i)); len(got) != 2 || got[1] != reason.ResourceGone {
			t.Fatalf("w%d got the reasons %v", i, got)
		}
	}
}

// TestReasonThatChangesIsPublished: a waiting request that the pools come to
// contradict, and back.
func TestReasonThatChangesIsPublished(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "runs", CPU: 4})
	w.Ask(sim.Job{ID: "a", CPU: 3})
	w.SetPools(vertex.Running, capacity.Pool{ID: "cpu", Shape: sim.CPU, Count: 2})
	w.After(time.Minute)
	w.Expect("a", lifecycle.Waiting, "queued", "queued")
	w.After(time.Minute)
	w.Expect("a", lifecycle.Waiting, "queued", "queued")
	w.SetPools(vertex.Running, capacity.Pool{ID: "cpu", Shape: sim.CPU, Count: 4})
	for range 12 { // a pass decides the parked request again
		w.After(time.Minute)
	}
	expectCodes(t, w, "a", reason.Full, reason.TooManyReplicas, reason.Full)
}

// TestReasonsAreBounded: a resource that comes and goes without end.
func TestReasonsAreBounded(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "runs", CPU: 4})
	w.Ask(sim.Job{ID: "a", CPU: 1})
	was, _ := w.Vertex.Peek(sim.Resource)
	for i := range 40 {
		if i%2 == 0 {
			w.Vertex.SetResource(sim.Resource, vertex.Resource{})
		} else {
			w.Vertex.SetResource(sim.Resource, was)
		}
		w.After(time.Minute)
	}
	if got := len(codes(w, "a")); got != 21 {
		t.Errorf("it got %d reasons, want 21", got)
	}
	if why := w.Record("a").Why; why == nil || why.Code != reason.Full {
		t.Errorf("its reason is %v", why)
	}
	if w.Document().State == ledger.Absent {
		t.Error("the resource is there")
	}
}

// A deleted resource for which only parked requests wait is observed every five minutes:
// often enough to find it again, at a fifth of the calls. Without any it is not observed.
func TestDeletedResourceIsObservedSeldom(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "runs", CPU: 4})
	w.Ask(sim.Job{ID: "parked", CPU: 3})
	w.SetPools(vertex.Running, capacity.Pool{ID: "cpu", Shape: sim.CPU, Count: 2})
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobSucceeded)
	minutes(w, 3)
	if rec := w.Record("parked"); !rec.Parked || rec.State != lifecycle.Waiting {
		t.Fatalf("it is %s because of %+v", rec.State, rec.Why)
	}
	w.Vertex.SetResource(sim.Resource, vertex.Resource{})
	minutes(w, 10)
	calls := func(n int) int {
		before := w.Vertex.Calls()["resource"]
		minutes(w, n)
		return w.Vertex.Calls()["resource"] - before
	}
	if n := calls(30); n < 5 || n > 7 {
		t.Errorf("in half an hour it was observed %d times, want every five minutes", n)
	}
	w.Cancel("parked")
	minutes(w, 10)
	if n := calls(30); n != 0 {
		t.Errorf("nothing waits for it, and in half an hour it was observed %d times", n)
	}
	if w.Document().HasParked {
		t.Error("nothing is parked, and the document says that something is")
	}
}
