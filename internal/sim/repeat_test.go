package sim

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// A repeated request gets no answer while the request lives, because its own
// events follow. After the end none follows, so each repeat is answered with
// that end, once per message and without a change to the request.
func TestRepeatOfWhatHasEnded(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(*World)
		want lifecycle.State
		code reason.Code
	}{
		"succeeded": {func(w *World) { w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded); w.After(time.Minute) }, lifecycle.Succeeded, ""},
		"failed":    {func(w *World) { w.Vertex.SetJob(w.JobOf("a"), vertex.JobFailed); w.After(time.Minute) }, lifecycle.Failed, reason.JobEnded},
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
			if diff := cmp.Diff(before, w.Record("a"), cmp.Comparer(func(a, b *reason.Problem) bool { return (a == nil) == (b == nil) })); diff != "" {
				t.Errorf("the request has changed (-before +after)\n%s", diff)
			}
			deliver(w, "m4", string(Job{ID: "a", CPU: 2}.Body()))
			if e := w.Out.Last("m4"); e.Type != message.Refused || e.Reason.Code != reason.IDReused {
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
	if e.Type != message.Duplicate || e.State != string(lifecycle.Rejected) || e.Reason == nil || e.Reason.Code != reason.SpecMismatch {
		t.Errorf("the answer is %+v", e)
	}
}

// One persistent resource by its id, by its full name or by default is the same content;
// one of another region is not, and a change of what the deployment takes for an id is
// no change of the message.
func TestRepeatUnderAnotherNameOfTheResource(t *testing.T) {
	const here, there = "projects/test-project/locations/us-central1/persistentResources/pool", "projects/test-project/locations/asia-east1/persistentResources/pool"
	for _, c := range []struct {
		name, first, second string
		move                bool // the deployment's first region becomes another in between
		want                message.Type
	}{
		{"id, then full name", "pool", here, false, ""},
		{"full name, then id", here, "pool", false, ""},
		{"full name twice", here, here, false, ""},
		{"id, then the full name of another region", "pool", there, false, message.Refused},
		{"full name, then that of another region", here, there, false, message.Refused},
		{"another id", "pool", "pools", false, message.Refused},
		{"id under another first region", "pool", "pool", true, ""},
		{"full name under another first region", here, here, true, ""},
		{"full name, then an id that means another region", here, "pool", true, message.Refused},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := New(t)
			w.Config.Regions = []string{"us-central1", "asia-east1"}
			w.again()
			body := func(resource string) string {
				return string(Job{ID: "a", CPU: 1, Resource: resource}.Body())
			}
			deliver(w, "m1", body(c.first))
			if got := w.State("a"); got != lifecycle.Submitted {
				t.Fatalf("the request is %s", got)
			}
			if c.move {
				w.Config.Regions = []string{"asia-east1", "us-central1"}
				w.again()
			}
			deliver(w, "m2", body(c.second))
			var got message.Type
			if events := w.Out.Of("m2"); len(events) > 0 {
				got = events[0].Type
			}
			if got != c.want {
				t.Errorf("the second is answered %q, want %q", got, c.want)
			}
		})
	}
}
