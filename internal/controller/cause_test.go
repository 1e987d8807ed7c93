package controller_test

import (
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/vertex"
)

// TestCauseOfAnEnd is about jobs that end as CANCELLED although Berth was not
// asked to cancel them: the event says the cause where it is known.
func TestCauseOfAnEnd(t *testing.T) {
	running := func(w *sim.World) {
		w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
		w.After(time.Minute)
	}
	remade := func(w *sim.World, at time.Time) {
		r, _ := w.Vertex.Peek(sim.Resource)
		r.CreateTime = at
		w.Vertex.SetResource(sim.Resource, r)
	}
	for name, c := range map[string]struct {
		timeout string
		end     func(*sim.World)
		code    reason.Code
		says    string
		fix     string
	}{
		"not Berth": {"3600s", func(w *sim.World) {
			w.Now = w.Now.Add(10 * time.Minute)
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobCancelled)
		},
			reason.JobEnded, "not by Berth", ""},
		"just before its timeout": {"3600s", func(w *sim.World) {
			w.Now = w.Now.Add(59*time.Minute - time.Nanosecond)
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobCancelled)
		},
			reason.JobEnded, "not by Berth", ""},
		"its timeout": {"3600s", func(w *sim.World) {
			w.Now = w.Now.Add(59 * time.Minute)
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobCancelled)
		},
			reason.JobTimedOut, "its timeout of 1h0m0s", "longer job.jobSpec.scheduling.timeout"},
		"its timeout, as FAILED": {"3600s", func(w *sim.World) {
			w.Now = w.Now.Add(59 * time.Minute)
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobFailed)
		},
			reason.JobTimedOut, "ended it as FAILED", "longer job.jobSpec.scheduling.timeout"},
		"the timeout that Vertex AI sets": {"", func(w *sim.World) {
			w.Now = w.Now.Add(7 * 24 * time.Hour)
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobCancelled)
		},
			reason.JobTimedOut, "its timeout of 168h0m0s", "longer"},
		"a failure": {"3600s", func(w *sim.World) { w.Vertex.SetJob(w.JobOf("a"), vertex.JobFailed) },
			reason.JobEnded, "ended as FAILED", ""},
		"its resource is gone": {"3600s", func(w *sim.World) {
			w.Vertex.SetResource(sim.Resource, vertex.Resource{})
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobCancelled)
		}, reason.ResourceGone, "was deleted", "under a new id"},
		"its resource is being deleted": {"3600s", func(w *sim.World) {
			w.SetPools(vertex.Stopping)
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobCancelled)
		}, reason.ResourceGone, "was deleted", "under a new id"},
		"its resource was made anew": {"3600s", func(w *sim.World) {
			remade(w, w.Now)
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobCancelled)
		}, reason.ResourceGone, "was deleted", "under a new id"},
	} {
		t.Run(name, func(t *testing.T) {
			w := sim.New(t)
			job := sim.Job{ID: "a", CPU: 1}
			if c.timeout != "" {
				job.Spec = map[string]any{"scheduling": map[string]any{"timeout": c.timeout}}
			}
			w.Ask(job)
			running(w)
			c.end(w)
			w.After(time.Minute)
			last := w.Out.Last("a")
			if last.Reason == nil || last.Reason.Code != c.code || !strings.Contains(last.Reason.Detail, c.says) || !strings.Contains(last.Reason.Fix, c.fix) {
				t.Errorf("%s: %+v", last.Type, last.Reason)
			}
		})
	}
	t.Run("a cancel that Berth asked for", func(t *testing.T) {
		w := sim.New(t)
		w.Ask(sim.Job{ID: "a", CPU: 1, Spec: map[string]any{"scheduling": map[string]any{"timeout": "60s"}}})
		running(w)
		w.Cancel("a")
		w.Vertex.SetJob(w.JobOf("a"), vertex.JobCancelled)
		w.After(time.Minute)
		if last := w.Out.Last("a"); last.State != string(lifecycle.Cancelled) || last.Reason.Code != reason.CancelRequested {
			t.Errorf("%s: %+v", last.State, last.Reason)
		}
	})
}
