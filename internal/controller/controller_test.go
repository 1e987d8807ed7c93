package controller_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/vertex"
)

func TestOneJobFromMessageToEnd(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "a", CPU: 1})
	w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
	w.After(time.Minute)
	w.Expect("a", lifecycle.Running, "reserved", "submitted", "started")
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("a", lifecycle.Succeeded, "reserved", "submitted", "started", "succeeded")
	if n := len(w.Document().Holds); n != 0 {
		t.Errorf("%d holds are left", n)
	}
}

func TestWaitsUntilAnotherEnds(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "a", CPU: 3})
	w.Ask(sim.Job{ID: "b", CPU: 2})
	w.Expect("b", lifecycle.Waiting, "queued")
	w.Ask(sim.Job{ID: "c", CPU: 1}) // fits now, and beside b when a has ended
	w.Expect("c", lifecycle.Submitted, "reserved", "submitted")
	w.Ask(sim.Job{ID: "d", GPU: 1}) // other machines
	w.Expect("d", lifecycle.Submitted, "reserved", "submitted")
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("a", lifecycle.Succeeded, "reserved", "submitted", "succeeded")
	w.Expect("b", lifecycle.Submitted, "queued", "reserved", "submitted")
}

// A request that fits now waits if it would delay the first one, and starts when its
// time limit lets it end before.
func TestPassesOnlyWithoutDelay(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "a", CPU: 3, Spec: timeout("10h")})
	w.Ask(sim.Job{ID: "b", CPU: 4})
	first := w.Record("b").StartsBy
	if want := w.Now.Add(11 * time.Hour); first.Before(want.Add(-time.Minute)) || first.After(want) {
		t.Errorf("b starts by %s, want when a has had an hour to start and ten to run: %s", first, want)
	}
	w.Ask(sim.Job{ID: "long", CPU: 1, Spec: timeout("11h")})
	w.Expect("long", lifecycle.Waiting, "queued")
	if why := w.Record("long").Why; why.Code != reason.Behind || !strings.Contains(why.Fix, "of at most 10h44m") {
		t.Errorf("long waits because of %v", why)
	}
	w.Ask(sim.Job{ID: "short", CPU: 1, Spec: timeout("9h")})
	w.Expect("short", lifecycle.Submitted, "reserved", "submitted")
	w.Vertex.SetJob(w.JobOf("short"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("long", lifecycle.Waiting, "queued")
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("b", lifecycle.Submitted, "queued", "reserved", "submitted")
	w.Expect("long", lifecycle.Waiting, "queued")
	if got := w.Document().Reserved; len(got) != 1 || got[0].ID != w.Record("long").Key {
		t.Errorf("reserved are %+v, want long", got)
	}
}

// A reservation counts with the time limits of foreign jobs, from their start.
func TestForeignJobsHaveTheirEnds(t *testing.T) {
	w := sim.New(t)
	began := w.Now
	w.Vertex.AddForeign(sim.Parent, "pool", capacity.Ask{{Shape: sim.CPU, Replicas: 3}})
	w.After(time.Minute)
	w.Ask(sim.Job{ID: "b", CPU: 4})
	if got, want := w.Record("b").StartsBy, began.Add(vertex.DefaultTimeout); !got.Equal(want) {
		t.Errorf("b starts by %s, want when the foreign job has had its seven days: %s", got, want)
	}
}

// A request that passed another has to be running in time. If it is not, its job is
// cancelled and it waits again at its place, so the other starts when it was promised.
// A second time it gets the whole start timeout.
func TestThatPassesGivesWayInTime(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "a", CPU: 3, Spec: timeout("2h")})
	w.Ask(sim.Job{ID: "b", CPU: 4})
	promised := w.Record("b").StartsBy
	w.Ask(sim.Job{ID: "passes", CPU: 1, Spec: timeout("2h30m")})
	w.Expect("passes", lifecycle.Submitted, "reserved", "submitted")
	order, by := w.Record("passes").Order, w.Record("passes").StartBy
	if want := promised.Add(-2*time.Hour - 35*time.Minute); !by.Equal(want) {
		t.Errorf("it has to run by %s, want %s", by, want)
	}
	if end := w.Document().Holds[w.Record("passes").Key].LatestEnd; end.After(promised) {
		t.Errorf("it may hold its replica until %s, and b starts by %s", end, promised)
	}
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
	first := w.JobOf("passes")
	for w.Now.Before(by) {
		w.After(time.Minute)
	}
	w.After(time.Minute)
	w.Expect("passes", lifecycle.Cancelling, "reserved", "submitted", "requeuing")
	w.Vertex.SetJob(first, vertex.JobCancelled)
	w.After(time.Minute)
	w.Expect("passes", lifecycle.Waiting, "reserved", "submitted", "requeuing", "queued")
	rec := w.Record("passes")
	if rec.Order != order || rec.Why.Code != reason.StartOverdue || rec.Run != "" || rec.JobState != "" || !rec.StartBy.IsZero() || rec.Requeues != 1 {
		t.Errorf("it waits as %+v", rec)
	}
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("b", lifecycle.Submitted, "queued", "reserved", "submitted")
	if w.Now.After(promised) {
		t.Errorf("b starts at %s, and was promised %s", w.Now, promised)
	}
	w.Vertex.SetJob(w.JobOf("b"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("passes", lifecycle.Submitted, "reserved", "submitted", "requeuing", "queued", "reserved", "submitted")
	if w.JobOf("passes") == first {
		t.Error("it has its old job")
	}
}

// A cancel that comes while a request goes back into the queue wins.
func TestCancelWhileItGoesBack(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "a", CPU: 3, Spec: timeout("2h")})
	w.Ask(sim.Job{ID: "b", CPU: 4})
	w.Ask(sim.Job{ID: "passes", CPU: 1, Spec: timeout("2h30m")})
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
	for by := w.Record("passes").StartBy; w.Now.Before(by.Add(time.Minute)); {
		w.After(time.Minute)
	}
	w.Expect("passes", lifecycle.Cancelling, "reserved", "submitted", "requeuing")
	w.Cancel("passes")
	w.Expect("passes", lifecycle.Cancelling, "reserved", "submitted", "requeuing", "cancelling")
	w.Vertex.SetJob(w.JobOf("passes"), vertex.JobCancelled)
	w.After(time.Minute)
	w.Expect("passes", lifecycle.Cancelled, "reserved", "submitted", "requeuing", "cancelling", "cancelled")
}

// Within a priority, short requests come before long ones by at most two days, and
// gangs half of that; the order is fixed at submission.
func TestShortAndWideComeFirst(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "runs", CPU: 4})
	for _, j := range []sim.Job{
		{ID: "long", CPU: 1, Spec: timeout("24h")},   // two days later
		{ID: "gang", CPU: 2, Spec: timeout("24h")},   // one day
		{ID: "short", CPU: 1, Spec: timeout("1h")},   // four hours
		{ID: "urgent", CPU: 4, Priority: 1},          // before all
		{ID: "longer", CPU: 1, Spec: timeout("60h")}, // two days as well
	} {
		w.Ask(j)
		w.Now = w.Now.Add(time.Second)
	}
	want := []string{"urgent", "short", "gang", "long", "longer"}
	for i, id := range want[1:] {
		if a, b := w.Record(want[i]).Order, w.Record(id).Order; a >= b {
			t.Errorf("%s (%s) does not come before %s (%s)", want[i], a, id, b)
		}
	}
	order := w.Record("gang").Order
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("urgent", lifecycle.Submitted, "queued", "reserved", "submitted")
	w.Vertex.SetJob(w.JobOf("urgent"), vertex.JobSucceeded)
	w.After(time.Minute)
	for _, id := range want[1:3] {
		w.Expect(id, lifecycle.Submitted, "queued", "reserved", "submitted")
	}
	// It had a reservation for a minute, and was told.
	w.Expect("long", lifecycle.Submitted, "queued", "queued", "reserved", "submitted")
	w.Expect("longer", lifecycle.Waiting, "queued")
	if w.Record("gang").Order != order {
		t.Error("the order of a request has changed")
	}
}

func timeout(d string) map[string]any {
	hours, _ := time.ParseDuration(d)
	return map[string]any{"scheduling": map[string]any{"timeout": fmt.Sprintf("%ds", int(hours.Seconds()))}}
}

func TestDuplicateWritesNothing(t *testing.T) {
	w := sim.New(t)
	id := w.Ask(sim.Job{ID: "a", CPU: 1})
	before := w.Ledger.Stats()
	w.Again(id, sim.Job{ID: "a", CPU: 1}.Body())
	w.Again("another", sim.Job{ID: "a", CPU: 1}.Body())
	after := w.Ledger.Stats()
	if after.Commits != before.Commits || after.Reads-before.Reads != 2 {
		t.Errorf("two duplicates cost %d commits and %d reads, want 0 and 2", after.Commits-before.Commits, after.Reads-before.Reads)
	}
	w.Expect("a", lifecycle.Submitted, "reserved", "submitted")
	if n := len(w.Vertex.Jobs()); n != 1 {
		t.Errorf("%d jobs, want 1", n)
	}
}

// A job that sets no time limit and one that sets what the deployment gives it anyway are
// the same request, another limit is another; and a new default changes no old request.
func TestDefaultTimeoutIsContent(t *testing.T) {
	w := sim.New(t)
	w.Config.DefaultTimeout = 3 * time.Hour
	w.Controller = w.Instance(w.Config)
	w.Ask(sim.Job{ID: "a", CPU: 1})
	w.Again("another", sim.Job{ID: "a", CPU: 1, Spec: timeout("168h")}.Body()) // what Vertex AI would give it
	if last := w.Out.All()[len(w.Out.All())-1]; last.Reason == nil || last.Reason.Code != reason.IDReused {
		t.Errorf("seven days in the place of three hours are answered %+v", last)
	}
	w.Config.DefaultTimeout = 4 * time.Hour
	w.Controller = w.Instance(w.Config)
	before := len(w.Out.All())
	w.Again("once more", sim.Job{ID: "a", CPU: 1}.Body())
	if n := len(w.Out.All()); n != before || w.Record("a").Timeout != 3*time.Hour {
		t.Errorf("under another default the same message makes %d events, and may run for %s", n-before, w.Record("a").Timeout)
	}
}
