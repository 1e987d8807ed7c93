package sim

import (
	"context"
	"fmt"
	"testing"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// flooded plays hours of one tenant's flood against one request of another: four
// machines are taken by jobs of the flood that run an hour each. It returns the tick at
// which the request starts, and how many jobs of the flood start from its arrival on.
func flooded(t *testing.T, flood func(tick int) []Job, quiet Job, ticks int) (started, passed int) {
	t.Helper()
	w := New(quietly{t})
	send := func(tenant string, j Job) {
		d := message.Delivery{ID: tenant + j.ID, PublishTime: w.Now, Data: j.Body()}
		if err := w.Controller.Handle(context.Background(), tenant, d); err != nil {
			t.Fatal(err)
		}
		w.Now = w.Now.Add(time.Second)
	}
	for i := range 8 {
		send("flood", Job{ID: fmt.Sprint("before", i), CPU: 1, Spec: limited("3600s")})
	}
	running := map[string]int{}
	send("quiet", quiet)
	for tick := range ticks {
		for _, j := range flood(tick) {
			send("flood", j)
		}
		for _, rec := range w.Ledger.Records() {
			job := rec.Reservation.Job
			switch {
			case rec.Tenant == "quiet" && job != "":
				return tick, passed
			case job == "" || rec.State.Terminal():
			case running[rec.ID] == 0:
				if running[rec.ID] = tick + 1; rec.State == lifecycle.Submitted && tick > 0 {
					passed++
				}
				w.Vertex.SetJob(job, vertex.JobRunning)
			case running[rec.ID] <= tick:
				w.Vertex.SetJob(job, vertex.JobSucceeded)
			}
		}
		w.After(30 * time.Minute)
	}
	return -1, passed
}

// quietly drops the log of a world.
type quietly struct{ *testing.T }

func (quietly) Logf(string, ...any) {}

func limited(timeout string) map[string]any {
	return map[string]any{"scheduling": map[string]any{"timeout": timeout}}
}

// TestFloodDelaysNoOther: a thousand requests of one tenant that come after another's
// delay its start by nothing if they are like it. Shorter ones come first in order, for
// as long as the difference of their keys; after that they pass no more.
func TestFloodDelaysNoOther(t *testing.T) {
	many := func(n int, limit string) func(int) []Job {
		return func(tick int) (all []Job) {
			for i := range n {
				all = append(all, Job{ID: fmt.Sprintf("f%d-%d", tick, i), CPU: 1, Spec: limited(limit)})
			}
			return all
		}
	}
	none := func(int) []Job { return nil }
	for _, c := range []struct {
		name      string
		quiet     Job
		limit     string
		late, can int // ticks later than without the flood, and jobs of it that may pass
	}{
		{"like it", Job{ID: "q", CPU: 1, Spec: limited("3600s")}, "3600s", 0, 0},
		{"longer", Job{ID: "q", CPU: 1, Spec: limited("3600s")}, "36000s", 0, 0},
		{"a gang", Job{ID: "q", CPU: 4, Spec: limited("3600s")}, "3600s", 0, 0},
	} {
		alone, before := flooded(t, none, c.quiet, 30)
		with, passed := flooded(t, many(40, c.limit), c.quiet, 30)
		if alone < 0 || with != alone+c.late || passed > before+c.can {
			t.Errorf("%s: it starts at tick %d, and alone at %d; %d jobs of the flood pass it, alone %d", c.name, with, alone, passed, before)
		}
	}
	// A job of three hours comes twelve hours later in order than it was sent, one that is
	// known to run half an hour two hours: for ten hours the short ones, which take all
	// machines, go first, and no longer.
	alone, _ := flooded(t, none, Job{ID: "q", CPU: 1, Spec: limited("10800s")}, 60)
	with, _ := flooded(t, many(2, "3600s"), Job{ID: "q", CPU: 1, Spec: limited("10800s")}, 60)
	if with-alone < 10 || with-alone > 20+2 {
		t.Errorf("a long job starts at tick %d of half an hour, and alone at %d", with, alone)
	}
}
