package sim

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// A request that is sent again is silent while it lives, because its own events
// will come. After it has ended none will, so whoever sent it again is told how it
// ended: once a message, and without a change to the request.
func TestRepeatOfWhatHasEnded(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*World)
		want lifecycle.State
		code message.Code
	}{
		"succeeded": {func(w *World) { w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded); w.After(time.Minute) }, lifecycle.Succeeded, ""},
		"failed":    {func(w *World) { w.Vertex.SetJob(w.JobOf("a"), vertex.JobFailed); w.After(time.Minute) }, lifecycle.Failed, message.JobEnded},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(t)
			body := string(Job{ID: "a", CPU: 1}.Body())
			deliver(w, "m1", body)
			deliver(w, "m2", body)
			if n := len(w.Out.Of("m2")); n != 0 {
				t.Errorf("%d events about a repeat of a request that lives", n)
			}
			c.end(w)
			before := w.Record("a")
			deliver(w, "m1", body) // the message that made it, late
			if n := len(w.Out.Of("m1")); n != 0 {
				t.Errorf("%d answers to a second delivery of the request's own message", n)
			}
			for range 2 {
				deliver(w, "m3", body)
			}
			events := w.Out.Of("m3")
			if len(events) != 1 {
				t.Fatalf("%d answers to one message, want 1: %+v", len(events), events)
			}
			e := events[0]
			if e.Type != message.Duplicate || e.ClaimedRequestID != "a" || e.RequestID != "" || e.State != string(c.want) || e.Job == "" || e.Sequence != 1 {
				t.Errorf("the answer is %+v", e)
			}
			if c.code == "" && e.Reason != nil || c.code != "" && (e.Reason == nil || e.Reason.Code != c.code) {
				t.Errorf("its reason is %v, want %s", e.Reason, c.code)
			}
			if diff := cmp.Diff(before, w.Record("a"), cmp.Comparer(func(a, b *message.Problem) bool { return (a == nil) == (b == nil) })); diff != "" {
				t.Errorf("the request has changed (-before +after)\n%s", diff)
			}
			deliver(w, "m4", string(Job{ID: "a", CPU: 2}.Body()))
			if e := w.Out.Last("m4"); e.Type != message.Refused || e.Reason.Code != message.IDReused {
				t.Errorf("other content under the id is answered %+v", e)
			}
		})
	}
}

// A request that is refused at once has ended too.
func TestRepeatOfWhatWasRejected(t *testing.T) {
	w := New(t)
	body := `{"requestId":"a","job":{"displayName":"t","jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-96"},"replicaCount":1,"containerSpec":{"imageUri":"i"}}]}}}`
	deliver(w, "m1", body)
	deliver(w, "m2", body)
	e := w.Out.Last("m2")
	if e.Type != message.Duplicate || e.State != string(lifecycle.Rejected) || e.Reason == nil || e.Reason.Code != message.SpecMismatch {
		t.Errorf("the answer is %+v", e)
	}
}
