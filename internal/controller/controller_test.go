package controller_test

import (
	"testing"
	"time"

	"example.com/berth/internal/lifecycle"
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
	w.Ask(sim.Job{ID: "c", CPU: 1}) // would fit, but b is first
	w.Expect("c", lifecycle.Waiting, "queued")
	w.Ask(sim.Job{ID: "d", GPU: 1}) // another queue
	w.Expect("d", lifecycle.Submitted, "reserved", "submitted")
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("a", lifecycle.Succeeded, "reserved", "submitted", "succeeded")
	w.Expect("b", lifecycle.Submitted, "queued", "reserved", "submitted")
	w.Expect("c", lifecycle.Submitted, "queued", "reserved", "submitted")
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
