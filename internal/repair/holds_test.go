package repair_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// A damaged world has four machines, of which the job of request "a" uses two, and
// a ledger that the test damages.
type damaged struct {
	*world
	log bytes.Buffer
	job string
}

// newDamaged brings request "a" to a state. In SUBMITTING it has an unrecorded job.
func newDamaged(t *testing.T, state lifecycle.State) *damaged {
	w := &damaged{world: &world{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), cfg: controller.DefaultConfig(), publisher: &testPublisher{}}}
	w.vertex = vertex.NewMem(w.clock)
	w.vertex.SetResource(pool, vertex.Resource{State: vertex.Running, CreateTime: w.clock().Add(-time.Hour), Pools: []capacity.Pool{{ID: "cpu", Shape: cpu, Count: 4}}})
	w.cfg.Project, w.cfg.Regions, w.cfg.DefaultResource = "test-project", []string{"us-central1"}, "pool"
	w.cfg.Policy.Plan.StartIn = w.cfg.StartTimeout // no job passes another in the hour that it has to start
	w.open(ledger.NewMem(w.clock))
	if state == lifecycle.Submitting {
		w.vertex.Fault = func(op, _ string) vertex.Fault {
			if op == "create" {
				return vertex.FailAfter
			}
			return vertex.NoFault
		}
	}
	w.request("a", 2)
	w.vertex.Fault = nil
	w.job = w.vertex.Jobs()[0].Name
	if state == lifecycle.Running || state == lifecycle.Cancelling {
		w.vertex.SetJob(w.job, vertex.JobRunning)
		w.now = w.now.Add(time.Minute)
		w.pass()
	}
	if state == lifecycle.Cancelling {
		w.cancel("a")
		w.vertex.IgnoreCancel = true
		w.vertex.SetJob(w.job, vertex.JobRunning) // the cancel takes its time
	}
	w.want("a", state)
	return w
}

// open makes a controller over a ledger.
func (w *damaged) open(m *ledger.Mem) {
	w.ledger = m
	env := controller.RealEnv()
	env.Monotonic = w.clock
	env.Within = nil // a pass is not bound by this machine's clock
	w.c = controller.New(w.cfg, m, w.vertex, w.publisher, slog.New(slog.NewTextHandler(&w.log, nil)), env)
}

func (w *damaged) cancel(id string) {
	w.t.Helper()
	if err := w.c.Handle(w.t.Context(), "default", message.Delivery{ID: "c-" + id, PublishTime: w.clock(), Data: fmt.Appendf(nil, `{"cancel":{"requestId":%q}}`, id)}); err != nil {
		w.t.Fatal(err)
	}
}

// without copies the ledger without the resource documents, as a restore of one
// collection does.
func (w *damaged) without() {
	w.t.Helper()
	old := w.ledger.(*ledger.Mem).Records()
	m := ledger.NewMem(w.clock)
	err := m.Update(w.t.Context(), ledger.Budgets(parent).And(ledger.ReadSetOf(old...)), func(tx ledger.Tx) error {
		for _, r := range old {
			tx.Put(r)
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.open(m)
}

// use returns the machines that count as used, and those that live jobs use.
func (w *damaged) use() (counted, live capacity.Replicas) {
	for _, res := range w.ledger.(*ledger.Mem).Dump().Resources() {
		counted += res.Use()[cpu]
	}
	for _, j := range w.vertex.Jobs() {
		if !j.State.Ended() {
			live += j.Ask.Replicas()
		}
	}
	return counted, live
}

// logged counts the log events of a name at level Error.
func (w *damaged) logged(event string) (n int) {
	for line := range strings.Lines(w.log.String()) {
		if strings.Contains(line, "level=ERROR") && strings.Contains(line, "event="+event+" ") {
			n++
		}
	}
	return n
}

// damage maps each damage to its edit and to the log event that must report it.
var damage = map[string]struct {
	by    func(w *damaged)
	event string
}{
	"hold missing": {func(w *damaged) {
		w.hand("a", func(res *ledger.Resource, r *ledger.Record) { res.Release(r.Key) })
	}, "hold_missing"},
	"hold of another run": {func(w *damaged) {
		w.hand("a", func(res *ledger.Resource, r *ledger.Record) {
			h := res.Holds[r.Key]
			h.Run, h.Job, h.Ran = "earlier", "", false
			res.Holds[r.Key] = h
		})
	}, "hold_missing"},
	"resource document missing": {(*damaged).without, "resource_lost"},
}

// TestDamagedHolds: after any damage to the hold of a live request, its job is not
// cancelled, its machines count from the first observation on, each observation
// logs the damage once, repair fixes it, and the request then runs to its end.
func TestDamagedHolds(t *testing.T) {
	for name, d := range damage {
		for _, state := range []lifecycle.State{lifecycle.Submitting, lifecycle.Submitted, lifecycle.Running, lifecycle.Cancelling} {
			t.Run(name+" "+string(state), func(t *testing.T) {
				w := newDamaged(t, state)
				d.by(w)
				jobs := func() {
					t.Helper()
					if s := w.jobState(); s == vertex.JobCancelling || s.Ended() {
						t.Fatalf("the job is %s", s)
					}
					counted, live := w.use()
					if counted < live || live > 4 {
						t.Fatalf("%d machines count as used, live jobs have %d of 4", counted, live)
					}
				}
				w.vertex.IgnoreCancel = false // from here on a cancel has an effect
				if state == lifecycle.Cancelling {
					w.vertex.IgnoreCancel = true // the request's own cancel has none
				}
				if name == "resource document missing" {
					w.request("new", 1) // its observation finds no document
				} else {
					w.now = w.now.Add(time.Second)
					w.pass()
				}
				jobs()
				if n := w.logged(d.event); n != 1 {
					t.Errorf("%d events %s, want 1:\n%s", n, d.event, w.log.String())
				}
				for i := range 4 {
					w.request(fmt.Sprint("f", i), 1)
					jobs()
				}
				for range 3 {
					w.now = w.now.Add(2 * time.Minute)
					w.pass()
					jobs()
				}
				if _, err := w.kit(true).LeakedHolds(t.Context()); err != nil {
					t.Fatal(err)
				}
				jobs()
				for _, f := range w.doctor() {
					if strings.HasPrefix(f.Check, "hold") || f.Check == "ledger" || f.Check == "jobs" || f.Check == "one-job" {
						t.Errorf("after repair: %+v", f)
					}
				}
				w.now = w.now.Add(time.Minute)
				w.pass()
				jobs()
				if counted, live := w.use(); counted != 4 || live != 4 {
					t.Errorf("%d machines count as used, live jobs have %d; want all 4", counted, live)
				}
				w.vertex.SetJob(w.job, vertex.JobSucceeded)
				w.now = w.now.Add(time.Minute)
				w.pass()
				w.want("a", lifecycle.Succeeded)
			})
		}
	}
}

func (w *damaged) jobState() vertex.JobState {
	w.t.Helper()
	j, err := w.vertex.Get(w.t.Context(), w.job)
	if err != nil {
		w.t.Fatal(err)
	}
	return j.State
}

// TestRestoredRecord: a restore brings back an earlier state of the record, and the
// hold stays as it was. The hold stays while its job is live, the job is not
// cancelled, and the request is not started a second time beside it.
func TestRestoredRecord(t *testing.T) {
	for name, back := range map[string]func(*ledger.Record){
		"to SUBMITTING": func(r *ledger.Record) {
			r.State, r.Job, r.Open = lifecycle.Submitting, "", true
			r.TimerAt = r.ActUntil
		},
		"to SUBMITTED": func(r *ledger.Record) { r.State, r.TimerAt = lifecycle.Submitted, r.Times.Submitted.Add(time.Hour) },
		"to WAITING": func(r *ledger.Record) {
			r.Reservation = lifecycle.Reservation{State: lifecycle.Waiting}
			r.TimerAt = r.Times.Received.Add(time.Hour)
		},
		"to another run": func(r *ledger.Record) {
			r.Reservation = lifecycle.Reservation{State: lifecycle.Submitting, Run: "earlier", Attempt: 1, ActUntil: r.ActUntil, Open: true}
			r.TimerAt = r.ActUntil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDamaged(t, lifecycle.Running)
			w.hand("a", func(res *ledger.Resource, r *ledger.Record) {
				if back(r); r.State == lifecycle.Waiting {
					res.Join(r)
				}
			})
			w.request("b", 2)
			most := 2
			if name == "to WAITING" {
				most = 1 // it is first in the queue, and waits for its own earlier job
			}
			for range 5 {
				w.now = w.now.Add(20 * time.Minute)
				w.pass()
				if s := w.jobState(); s != vertex.JobRunning {
					t.Fatalf("the job is %s", s)
				}
				if j := w.vertex.Jobs()[len(w.vertex.Jobs())-1]; j.Name != w.job && !j.State.Ended() {
					w.vertex.SetJob(j.Name, vertex.JobRunning)
				}
				if counted, live := w.use(); counted < live || live != capacity.Replicas(2*most) {
					t.Fatalf("%d machines count as used, live jobs have %d", counted, live)
				}
			}
			if n := len(w.vertex.Jobs()); n != most {
				t.Errorf("%d jobs were created, want %d", n, most)
			}
			if name == "to SUBMITTING" || name == "to SUBMITTED" {
				w.want("a", lifecycle.Running)
			}
		})
	}
}

// TestMissingRecord: the record of a live job is missing for a while, then it is
// restored.
func TestMissingRecord(t *testing.T) {
	w := newDamaged(t, lifecycle.Running)
	kept := w.read(w.key("a"))
	old := w.ledger.(*ledger.Mem).Dump()
	m := ledger.NewMem(w.clock)
	if err := m.Update(t.Context(), ledger.Resources(pool), func(tx ledger.Tx) error { tx.Put(old.Resources()[0]); return nil }); err != nil {
		t.Fatal(err)
	}
	w.open(m)
	w.request("b", 2)
	for range 3 {
		w.now = w.now.Add(time.Minute)
		w.pass()
	}
	if counted, live := w.use(); w.jobState() != vertex.JobRunning || counted != 4 || live != 4 {
		t.Fatalf("the job is %s; %d machines count as used, live jobs have %d", w.jobState(), counted, live)
	}
	if err := m.Update(t.Context(), ledger.Records(kept.Key), func(tx ledger.Tx) error { tx.Put(kept); return nil }); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(time.Minute)
	w.pass()
	w.vertex.SetJob(w.job, vertex.JobSucceeded)
	w.now = w.now.Add(time.Minute)
	w.pass()
	w.want("a", lifecycle.Succeeded)
}

// TestNoCreateWithoutHold: no job is created for a request whose hold is missing,
// and after repair the request continues.
func TestNoCreateWithoutHold(t *testing.T) {
	for _, state := range []lifecycle.State{lifecycle.Reserved, lifecycle.Submitting} {
		t.Run(string(state), func(t *testing.T) {
			w := newDamaged(t, lifecycle.Submitted)
			w.vertex.Fault = func(op, _ string) vertex.Fault {
				switch {
				case op != "create":
					return vertex.NoFault
				case state == lifecycle.Reserved:
					return vertex.FailRate
				}
				return vertex.FailBefore
			}
			w.request("b", 2)
			w.want("b", state)
			w.vertex.Fault = nil
			w.hand("b", func(res *ledger.Resource, r *ledger.Record) { res.Release(r.Key) })
			w.request("c", 2)
			for range 5 {
				w.now = w.now.Add(2 * time.Minute)
				w.pass()
			}
			w.want("b", state)
			w.want("c", lifecycle.Submitted)
			if state == lifecycle.Submitting && w.logged("hold_missing") == 0 {
				t.Errorf("it was not logged:\n%s", w.log.String())
			}
			if changes, err := w.kit(true).LeakedHolds(t.Context()); err != nil || len(changes) != 1 || changes[0].Left == "" {
				t.Errorf("without room: %+v, %v", changes, err)
			}
			w.vertex.SetJob(w.job, vertex.JobSucceeded)
			w.now = w.now.Add(time.Minute)
			w.pass()
			if changes, err := w.kit(true).LeakedHolds(t.Context()); err != nil || len(changes) != 1 || !changes[0].Done {
				t.Errorf("with room: %+v, %v", changes, err)
			}
			for range 3 {
				w.now = w.now.Add(time.Minute)
				w.pass()
			}
			w.want("b", lifecycle.Submitted)
			if n := len(w.vertex.Jobs()); n != 3 {
				t.Errorf("%d jobs for three requests", n)
			}
		})
	}
}

// TestLostDocument: the document of a resource is missing while requests wait, run
// and are being cancelled. Any call that meets it first rebuilds it with all of
// them.
func TestLostDocument(t *testing.T) {
	for name, first := range map[string]func(w *damaged){
		"a request":             func(w *damaged) { w.request("new", 1) },
		"a cancel of a waiting": func(w *damaged) { w.cancel("w2") },
		"a hint": func(w *damaged) {
			w.vertex.SetJob(w.job, vertex.JobSucceeded)
			if err := w.c.Hint(w.t.Context(), w.job); err != nil {
				w.t.Fatal(err)
			}
			w.want("a", lifecycle.Succeeded)
		},
		"a timer": func(w *damaged) { w.now = w.now.Add(7*24*time.Hour + time.Minute); w.pass() },
		"a pass on another resource": func(w *damaged) {
			w.vertex.SetResource(parent+"/persistentResources/other", vertex.Resource{State: vertex.Running, CreateTime: w.clock(), Pools: []capacity.Pool{{ID: "cpu", Shape: cpu, Count: 4}}})
			err := w.c.Handle(w.t.Context(), "default", message.Delivery{ID: "m-x", PublishTime: w.clock(), Data: []byte(
				`{"requestId":"x","persistentResource":"other","job":{"displayName":"x","jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":1,"containerSpec":{"imageUri":"gcr.io/p/i"}}]}}}`)})
			if err != nil {
				w.t.Fatal(err)
			}
			w.pass()
		},
		"repair": func(w *damaged) {
			if changes, err := w.kit(true).LeakedHolds(w.t.Context()); err != nil || len(changes) != 1 || !changes[0].Done {
				w.t.Fatalf("changes %+v, %v", changes, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDamaged(t, lifecycle.Running)
			w.request("wide", 4)
			w.request("w2", 2)
			w.without()
			first(w)
			docs := w.ledger.(*ledger.Mem).Dump().Resources()
			if docs[len(docs)-1].Name != pool {
				t.Fatalf("the document is still missing")
			}
			for _, f := range w.doctor() {
				if strings.HasPrefix(f.Check, "hold") || strings.HasPrefix(f.Check, "line") || f.Check == "ledger" {
					t.Errorf("found %+v", f)
				}
			}
			if s := w.jobState(); s == vertex.JobCancelling {
				t.Errorf("the job is %s", s)
			}
			w.pass()
			if strings.HasPrefix(name, "a pass") || name == "a request" || name == "repair" || name == "a cancel of a waiting" {
				w.want("a", lifecycle.Running)
				w.want("wide", lifecycle.Waiting)
				w.vertex.SetJob(w.job, vertex.JobSucceeded)
				w.now = w.now.Add(time.Minute)
				w.pass()
				w.want("a", lifecycle.Succeeded)
				w.want("wide", lifecycle.Submitted)
			}
		})
	}
}

// TestOtherRunIsNotFreed: a hold for an earlier run of a request that holds is not
// released, even if no live job of either run is listed.
func TestOtherRunIsNotFreed(t *testing.T) {
	w := newDamaged(t, lifecycle.Submitted)
	w.vertex.Lag = 100 // lists do not show the jobs yet
	w.hand("a", func(res *ledger.Resource, r *ledger.Record) {
		h := res.Holds[r.Key]
		h.Run, h.Job = "earlier", ""
		res.Holds[r.Key] = h
	})
	w.now = w.now.Add(time.Second)
	w.pass()
	if counted, live := w.use(); counted != 2 || live != 2 {
		t.Errorf("%d machines count as used, live jobs have %d", counted, live)
	}
	if w.logged("hold_mismatch") != 1 || w.logged("leaked_hold") != 0 {
		t.Errorf("the log says:\n%s", w.log.String())
	}
	if changes, err := w.kit(true).LeakedHolds(t.Context()); err != nil || len(changes) != 1 || !changes[0].Done {
		t.Errorf("changes %+v, %v", changes, err)
	}
	w.pass()
	if bad := w.doctor(); len(bad) > 0 {
		t.Errorf("after repair: %+v", bad)
	}
}

// TestFreedHoldStaysCounted: the job of a released hold may be live, so it counts
// until the next observation.
func TestFreedHoldStaysCounted(t *testing.T) {
	w := newDamaged(t, lifecycle.Running)
	w.now = w.now.Add(time.Minute)
	w.pass()
	w.hand("a", func(_ *ledger.Resource, r *ledger.Record) {
		r.Reservation = lifecycle.Reservation{State: lifecycle.Failed}
	})
	if changes, err := w.kit(true).LeakedHolds(t.Context()); err != nil || len(changes) != 1 || !changes[0].Done || changes[0].To != "none" {
		t.Errorf("changes %+v, %v", changes, err)
	}
	if counted, live := w.use(); counted != 2 || live != 2 {
		t.Errorf("%d machines count as used, live jobs have %d", counted, live)
	}
	w.request("b", 4)
	w.want("b", lifecycle.Waiting)
}
