package controller_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/vertex"
)

// expectAnswer holds the only answer to a message against what it has to say, and sees
// that a second delivery of the message adds none.
func expectAnswer(t *testing.T, w *sim.World, id string, data []byte, want message.Outcome) {
	t.Helper()
	want.Tenant, want.MessageID, want.Sequence = sim.Tenant, id, 1
	want.EventID = string(message.KeyOf(sim.Tenant, message.KindAnswer, id)) + "-1"
	want.Time, want.Times = w.Now.Truncate(time.Microsecond), message.Times{Published: w.Now, Received: w.Now}
	w.Again(id, data)
	all := w.Out.Of(id)
	if len(all) != 1 {
		t.Fatalf("message %s got %d answers: %+v", id, len(all), all)
	}
	if a, b := text(t, all[0]), text(t, want); a != b {
		t.Errorf("message %s was answered with\n%s\nwant\n%s", id, a, b)
	}
}

func text(t *testing.T, o message.Outcome) string {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%s %s %s %s", o.EventID, o.Type, o.Time.UTC(), b)
}

// TestAnswersToATakenID: the same request again is answered with how it ended, and other
// content under its id with a refusal; neither touches the request.
func TestAnswersToATakenID(t *testing.T) {
	w := sim.New(t)
	ends := sim.Job{ID: "ends", Name: "train", CPU: 1}
	w.Ask(ends)
	job := w.JobOf("ends")
	again := w.Ask(ends)
	if n := len(w.Out.Of(again)); n != 0 {
		t.Errorf("a duplicate of what has not ended got %d answers", n)
	}
	w.Vertex.SetJob(job, vertex.JobFailed)
	w.After(time.Minute)
	before := w.Record("ends")
	again = w.Ask(ends)
	expectAnswer(t, w, again, ends.Body(), message.Outcome{Type: message.Duplicate, ClaimedRequestID: "ends", State: "FAILED", Reason: before.Why,
		PersistentResource: sim.Resource, DisplayName: "train", Job: job, JobState: "FAILED"})
	other := sim.Job{ID: "ends", CPU: 2}
	refused := w.Ask(other)
	p := reason.Problem{Code: reason.IDReused, Path: "requestId", Detail: "There is another request under this id, with other content.",
		Fix: "Publish this job under a new id. An id stays taken after its request was rejected or has ended."}
	expectAnswer(t, w, refused, other.Body(), message.Outcome{Type: message.Refused, ClaimedRequestID: "ends", Reason: &p, Problems: []reason.Problem{p}})
	if after := w.Record("ends"); after.Sequence != before.Sequence || after.State != lifecycle.Failed {
		t.Errorf("the request is %s with %d events", after.State, after.Sequence)
	}
	if w.Vertex.Calls()["create"] != 1 {
		t.Errorf("%d creates", w.Vertex.Calls()["create"])
	}
}

// TestRejectedAtTheDoor: a request that names a resource which is not served is stored as
// rejected, with one event, and its id is taken.
func TestRejectedAtTheDoor(t *testing.T) {
	for _, test := range []struct {
		resource string
		none     bool // the deployment has no default
		why      reason.Problem
	}{
		{"projects/other/locations/us-central1/persistentResources/pool", false, reason.Problem{Code: reason.ForeignResource, Path: "persistentResource",
			Detail: "This deployment serves project test-project in us-central1, europe-west4 only.", Fix: "Name a persistent resource there, by its id or with that project and region."}},
		{"projects/test-project/locations/us-east1/persistentResources/pool", false, reason.Problem{Code: reason.ForeignResource, Path: "persistentResource",
			Detail: "This deployment serves project test-project in us-central1, europe-west4 only.", Fix: "Name a persistent resource there, by its id or with that project and region."}},
		{"", true, reason.Problem{Code: reason.NoResource, Path: "persistentResource",
			Detail: "The request names no persistent resource, and the deployment has no default.", Fix: "Set persistentResource; the id is enough."}},
	} {
		w := sim.New(t)
		w.Config.Regions = []string{"us-central1", "europe-west4"}
		if test.none {
			w.Config.DefaultResource = ""
		}
		w.Controller = w.Instance(w.Config)
		j := sim.Job{ID: "a", CPU: 1, Resource: test.resource}
		id, err := w.Try(j.Body())
		if err != nil || w.State("a") != lifecycle.Rejected {
			// What is no name at all is refused as it is decoded.
			o := w.Out.Last(id)
			t.Errorf("%q: %v, %s, %+v", test.resource, err, w.State("a"), o.Reason)
			continue
		}
		rec, events := w.Record("a"), w.Out.Of("a")
		if rec.Why == nil || *rec.Why != test.why || len(events) != 1 || events[0].Type != message.Rejected || *events[0].Reason != test.why {
			t.Errorf("%q: rejected because of %+v, events %+v; want %+v", test.resource, rec.Why, events, test.why)
		}
		if !rec.Times.Ended.Equal(w.Now) || !rec.Times.Received.Equal(w.Now) || rec.Resource != "" || rec.MessageID != id {
			t.Errorf("%q: stored as %+v", test.resource, rec)
		}
		repeat := w.Ask(j)
		if o := w.Out.Last(repeat); o.Type != message.Duplicate || o.State != "REJECTED" || *o.Reason != test.why {
			t.Errorf("%q: its repeat is answered with %+v", test.resource, o)
		}
		reuse := w.Ask(sim.Job{ID: "a", CPU: 2})
		if o := w.Out.Last(reuse); o.Reason == nil || o.Reason.Code != reason.IDReused {
			t.Errorf("%q: other content under its id is answered with %+v", test.resource, o)
		}
		if calls := w.Vertex.Calls(); len(calls) != 0 {
			t.Errorf("%q: Vertex AI is asked: %v", test.resource, calls)
		}
	}
}

// TestCancelInEveryState: what a cancel makes of a request, what it asks Vertex AI for,
// and what its message is answered. Neither a second delivery nor a second cancel of what
// is being cancelled changes anything.
func TestCancelInEveryState(t *testing.T) {
	ended := func(s string) *reason.Problem {
		return &reason.Problem{Code: reason.AlreadyEnded, Path: "cancel", Detail: "The request has ended: it is " + s + ".", Fix: "There is nothing to do."}
	}
	for _, test := range []struct {
		name   string
		set    func(*sim.World)
		body   string
		to     lifecycle.State
		events string
		asks   int // cancels at Vertex AI
		detail string
		answer *reason.Problem
	}{
		{"waiting", func(w *sim.World) { w.Ask(sim.Job{ID: "o", CPU: 4}); w.Ask(sim.Job{ID: "a", CPU: 2}) },
			`{"cancel":{"requestId":"a"}}`, lifecycle.Cancelled, "queued cancelled", 0, "A cancel was asked for.", nil},
		{"waiting, with a reason", func(w *sim.World) { w.Ask(sim.Job{ID: "o", CPU: 4}); w.Ask(sim.Job{ID: "a", CPU: 2}) },
			`{"cancel":{"requestId":"a","reason":"a typing error"}}`, lifecycle.Cancelled, "queued cancelled", 0, "A cancel was asked for: a typing error", nil},
		{"submitted", func(w *sim.World) { w.Ask(sim.Job{ID: "a", CPU: 2}) },
			`{"cancel":{"requestId":"a"}}`, lifecycle.Cancelling, "reserved submitted cancelling", 1, "A cancel was asked for.", nil},
		{"running", func(w *sim.World) {
			w.Ask(sim.Job{ID: "a", CPU: 2})
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
			w.After(time.Minute)
		}, `{"cancel":{"requestId":"a"}}`, lifecycle.Cancelling, "reserved submitted started cancelling", 1, "A cancel was asked for.", nil},
		{"reserved", func(w *sim.World) {
			w.Config.Submissions = 1
			w.Controller = w.Instance(w.Config)
			w.Ask(sim.Job{ID: "o", CPU: 1})
			w.Ask(sim.Job{ID: "a", CPU: 2})
		}, `{"cancel":{"requestId":"a"}}`, lifecycle.Cancelled, "reserved cancelled", 0, "A cancel was asked for.", nil},
		{"ended", func(w *sim.World) {
			w.Ask(sim.Job{ID: "a", CPU: 2})
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
			w.After(time.Minute)
		}, `{"cancel":{"requestId":"a"}}`, lifecycle.Succeeded, "reserved submitted succeeded", 0, "", ended("SUCCEEDED")},
		{"rejected", func(w *sim.World) { w.Ask(sim.Job{ID: "a", CPU: 5}) },
			`{"cancel":{"requestId":"a"}}`, lifecycle.Rejected, "rejected", 0, "", ended("REJECTED")},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := sim.New(t)
			test.set(w)
			before := w.Record("a")
			id := w.Send([]byte(test.body))
			for range 2 {
				rec := w.Record("a")
				w.Expect("a", test.to, strings.Fields(test.events)...)
				if n := w.Vertex.Calls()["cancel"]; n != test.asks {
					t.Errorf("%d cancels at Vertex AI, want %d", n, test.asks)
				}
				if test.answer == nil {
					if rec.Why == nil || rec.Why.Code != reason.CancelRequested || rec.Why.Detail != test.detail || len(rec.Cancels) != 1 || rec.Cancels[0] != id {
						t.Errorf("it is cancelled because of %+v, by %v", rec.Why, rec.Cancels)
					}
					if n := len(w.Out.Of(id)); n != 0 {
						t.Errorf("the cancel got %d answers", n)
					}
				} else {
					expectAnswer(t, w, id, []byte(test.body), message.Outcome{Type: message.Refused, ClaimedRequestID: "a",
						Reason: test.answer, Problems: []reason.Problem{*test.answer}})
					if len(rec.Cancels) != 0 || rec.Sequence != before.Sequence {
						t.Errorf("it has ended, and is changed: %+v", rec)
					}
				}
				w.Again(id, []byte(test.body))
			}
			if test.to == lifecycle.Cancelling {
				again := w.Send([]byte(test.body))
				if rec := w.Record("a"); rec.State != test.to || len(rec.Cancels) != 1 || len(w.Out.Of(again)) != 0 || w.Vertex.Calls()["cancel"] != test.asks {
					t.Errorf("a second cancel: %s, cancels %v, %d answers, %d cancels at Vertex AI", rec.State, rec.Cancels, len(w.Out.Of(again)), w.Vertex.Calls()["cancel"])
				}
			}
			if _, held := w.Document().Holds[before.Key]; held != test.to.Holds() {
				t.Errorf("it holds: %v", held)
			}
		})
	}
}

// TestCancelOfNothing: a cancel that matches nothing writes a tombstone for each kind of
// id that it may mean, says until when they stand, and a second one replaces them.
func TestCancelOfNothing(t *testing.T) {
	for body, want := range map[string]struct {
		kinds   []message.Kind
		claimed string
	}{
		`{"cancel":{"requestId":"none","reason":"why not"}}`: {[]message.Kind{message.KindMessage, message.KindRequest}, "none"},
		`{"cancel":{"messageId":"none","reason":"why not"}}`: {[]message.Kind{message.KindMessage}, ""},
	} {
		w := sim.New(t)
		for range 2 {
			id := w.Send([]byte(body))
			until := w.Now.Add(w.Config.Keep)
			stones := map[message.Kind]*ledger.Record{}
			for _, r := range w.Ledger.Records() {
				if r.Tombstone() {
					stones[r.Kind] = r
				}
			}
			if len(stones) != len(want.kinds) {
				t.Errorf("%s: %d tombstones, want %v", body, len(stones), want.kinds)
			}
			for _, kind := range want.kinds {
				r := stones[kind]
				if r == nil || r.ID != "none" || r.Key != message.KeyOf(sim.Tenant, kind, "none") || r.Tenant != sim.Tenant || r.MessageID != id || r.DisplayName != "none" ||
					len(r.Cancels) != 1 || r.Cancels[0] != id || !r.ExpireAt.Equal(until) || r.Why.Detail != "A cancel was asked for: why not" ||
					!r.Times.Received.Equal(w.Now) || !r.Times.Published.Equal(w.Now) || len(r.Outbox) != 0 {
					t.Errorf("%s: the tombstone of %s is %+v", body, kind, r)
				}
			}
			expectAnswer(t, w, id, []byte(body), message.Outcome{Type: message.Noted, ClaimedRequestID: want.claimed, CancelUntil: until, Reason: &reason.Problem{
				Code: reason.NothingMatched, Path: "cancel", Fix: "If its request has been published already, check the id.",
				Detail: "Nothing has come under this id yet. What comes under it before " + until.UTC().Format(time.RFC3339) + " is cancelled."}})
			w.Now = w.Now.Add(time.Hour)
		}
	}
}

// TestCancelledBeforeItCame: a request that finds its tombstone ends as it comes, whatever it
// names, with the reason of the cancel.
func TestCancelledBeforeItCame(t *testing.T) {
	for _, resource := range []string{"", "projects/other/locations/us-central1/persistentResources/pool", "made-up"} {
		w := sim.New(t)
		stone := w.Send([]byte(`{"cancel":{"requestId":"a","reason":"a mistake"}}`))
		w.Ask(sim.Job{ID: "a", CPU: 1, Resource: resource})
		w.Expect("a", lifecycle.Cancelled, "cancelled")
		rec := w.Record("a")
		if rec.Why == nil || rec.Why.Code != reason.CancelRequested || rec.Why.Detail != "A cancel was asked for: a mistake" || len(rec.Cancels) != 1 || rec.Cancels[0] != stone ||
			!rec.Times.Received.Equal(w.Now) || !rec.Times.Ended.Equal(w.Now) || !rec.ExpireAt.Equal(w.Now.Add(w.Config.Keep)) || w.Vertex.Calls()["create"] != 0 {
			t.Errorf("%q: it is stored as %+v", resource, rec)
		}
	}
}
