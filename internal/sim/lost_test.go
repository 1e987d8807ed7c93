package sim

import (
	"context"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/vertex"
)

// loseResources deletes all resource documents, as a manual edit or a restore
// of the other collections does.
func (w *World) loseResources() {
	w.Helper()
	old := w.Ledger.Records()
	w.Ledger = ledger.NewMem(func() time.Time { return w.Now })
	for _, r := range old {
		err := w.Ledger.Update(context.Background(), ledger.Records(r.Key), func(tx ledger.Tx) error {
			tx.Put(r)
			return nil
		})
		if err != nil {
			w.Fatalf("copy %s: %v", r.Key, err)
		}
	}
	w.Controller = w.Instance(w.Config)
}

// A lost document is rebuilt although one of its requests is unreadable. Its
// job counts as foreign use, so no other request gets its machines.
func TestLostDocumentWithAnUnreadableRequest(t *testing.T) {
	w := newListening(t)
	w.Ask(Job{ID: "good", CPU: 2})
	w.Ask(Job{ID: "bad", CPU: 1})
	w.Vertex.SetJob(w.JobOf("good"), vertex.JobRunning)
	w.Vertex.SetJob(w.JobOf("bad"), vertex.JobRunning)
	w.After(time.Minute)
	w.loseResources()
	bad := ledger.RecordRef(w.Record("bad").Key)
	w.spoil(bad)
	is := func(id string, want lifecycle.State) {
		t.Helper()
		if got := w.State(id); got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
	w.Ask(Job{ID: "wide", CPU: 2})
	is("wide", lifecycle.Waiting)
	w.Ask(Job{ID: "narrow", GPU: 1})
	is("narrow", lifecycle.Submitted)
	if use := w.Document().Use()[CPU]; use != 3 {
		t.Errorf("%d machines count as used, want 3", use)
	}
	if n := w.logged[bad.String()]; n != 1 {
		t.Errorf("it was logged %d times, want once", n)
	}
	w.Vertex.SetJob(w.JobOf("good"), vertex.JobSucceeded)
	w.After(time.Minute)
	is("good", lifecycle.Succeeded)
	is("wide", lifecycle.Submitted)
	if n := w.Vertex.Calls()["cancel"]; n != 0 {
		t.Errorf("%d jobs were cancelled", n)
	}
}

// A lost document is not made anew without a request that cannot be read and whose
// job may yet appear: its machines would be given to others.
func TestLostDocumentOfAnUnreadableSubmission(t *testing.T) {
	w := newListening(t)
	unclear := true
	onCreate(w.World, func() error {
		if unclear {
			return &vertex.Error{Op: "create", Kind: vertex.Unclear, Code: 14}
		}
		return nil
	})
	w.Ask(Job{ID: "bad", CPU: 3})
	w.Expect("bad", lifecycle.Submitting, "reserved")
	w.loseResources()
	bad := ledger.RecordRef(w.Record("bad").Key)
	w.spoil(bad)
	if _, err := w.Try(Job{ID: "next", CPU: 2}.Body()); err == nil {
		t.Errorf("next was taken and is %s", w.State("next"))
	}
	if n := len(w.Ledger.Dump().Resources()); n != 0 {
		t.Errorf("%d documents were made", n)
	}
	w.Ledger.Heal(bad)
	unclear = false
	w.Ask(Job{ID: "next", CPU: 2})
	w.Expect("next", lifecycle.Waiting, "queued")
	for range 3 {
		w.After(time.Minute)
	}
	w.Expect("bad", lifecycle.Submitted, "reserved", "submitted")
}

// A document that is lost under running jobs, or under requests that wait, is made
// anew by passes, although no request, hint or cancel comes and no other resource
// brings a pass into its region. That costs one list of jobs in five minutes.
func TestLostDocumentIsFoundByPasses(t *testing.T) {
	for name, full := range map[string]func(w *World){
		"jobs run": func(w *World) {
			w.Ask(Job{ID: "a", CPU: 2})
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
		},
		"only requests wait": func(w *World) {
			foreign := w.Vertex.AddForeign(Parent, "pool", capacity.Ask{{Shape: CPU, Replicas: 4}})
			w.After(time.Minute)
			w.Now = w.Now.Add(5 * time.Minute)
			w.Ask(Job{ID: "a", CPU: 2})
			w.Expect("a", lifecycle.Waiting, "queued")
			w.Vertex.SetJob(foreign, vertex.JobSucceeded)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(t)
			full(w)
			w.loseResources()
			before := w.Vertex.Calls()["live"]
			for minute := 0; len(w.Ledger.Dump().Resources()) == 0; minute++ {
				if minute > 6 {
					t.Fatal("no pass has found it")
				}
				w.After(time.Minute)
			}
			if n := w.Vertex.Calls()["live"] - before; n > 3 {
				t.Errorf("jobs were listed %d times to find it", n)
			}
			w.CheckHolds()
			w.After(time.Minute)
			if name == "jobs run" {
				w.Expect("a", lifecycle.Running, "reserved", "submitted", "started")
				return
			}
			w.Expect("a", lifecycle.Submitted, "queued", "reserved", "submitted")
		})
	}
	t.Run("nothing is lost", func(t *testing.T) {
		w := New(t)
		for range 60 {
			w.After(time.Minute)
		}
		if n := w.Vertex.Calls()["live"]; n != 12 {
			t.Errorf("in an hour without any resource jobs were listed %d times, want 12", n)
		}
		if n := len(w.Ledger.Dump().Resources()); n != 0 {
			t.Errorf("%d documents were made", n)
		}
	})
}

// A cancel, or a hint, that needs a document which was lost has it rebuilt, and then acts.
func TestCancelOfWhatHoldsWithoutADocument(t *testing.T) {
	w := New(t)
	w.Ask(Job{ID: "runs", CPU: 2})
	w.Ask(Job{ID: "waits", CPU: 4})
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobRunning)
	w.After(time.Minute)
	for _, id := range []string{"runs", "waits"} {
		w.loseResources()
		w.Cancel(id)
		if rec := w.Record(id); len(rec.Cancels) != 1 {
			t.Errorf("%s is %s, and the cancel is not recorded", id, rec.State)
		}
	}
	if w.State("waits") != lifecycle.Cancelled || w.State("runs") != lifecycle.Cancelling {
		t.Errorf("they are %s and %s", w.State("waits"), w.State("runs"))
	}
	if use := w.Document().Use()[CPU]; use != 2 {
		t.Errorf("%d machines count as used, want 2 until the job has ended", use)
	}
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobCancelled)
	w.After(time.Minute)
	if w.State("runs") != lifecycle.Cancelled {
		t.Errorf("it is %s", w.State("runs"))
	}
	w.CheckHolds()
}
