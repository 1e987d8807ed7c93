package repair_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/repair"
	"example.com/berth/internal/vertex"
)

func find(found []repair.Finding, check string) (all []repair.Finding) {
	for _, f := range found {
		if f.Check == check {
			all = append(all, f)
		}
	}
	return all
}

// TestNoTicks: a deployment without ticks has a finding in each check that
// depends on them.
func TestNoTicks(t *testing.T) {
	w := newWorld(t, false)
	w.vertex.SetJob(w.read(w.key("runs")).Reservation.Job, vertex.JobSucceeded)
	w.hand("next", func(_ *ledger.Resource, r *ledger.Record) { r.TimerAt = w.now })
	w.now = w.now.Add(2 * time.Hour)
	found := w.doctor()
	for check, want := range map[string]string{
		repair.CheckTick:         "the last pass of reconcile ended 2h0m0s ago; the tick is every 1m0s",
		repair.CheckObservations: pool + " was last observed 2h0m0s ago",
		repair.CheckDue:          "its timer is overdue by 2h0m0s",
		repair.CheckJobs:         "is SUBMITTED, but its job " + w.read(w.key("runs")).Reservation.Job + " is SUCCEEDED since 2026-03-01T12:00:03Z",
	} {
		if f := find(found, check); len(f) == 0 || !strings.Contains(f[0].Text, want) || f[0].Do == "" {
			t.Errorf("%s: %+v, want %q", check, f, want)
		}
	}
	w.pass()
	if bad := w.doctor(); len(bad) > 0 {
		t.Errorf("after a pass: %+v", bad)
	}
}

func TestNeverTicked(t *testing.T) {
	l := ledger.NewMem(nil)
	src := repair.Source{Ledger: l, Vertex: vertex.NewMem(time.Now), Clock: time.Now}
	_, found, err := repair.Examine(t.Context(), src, repair.Settings{Tick: time.Minute, Lease: "reconcile"})
	if f := find(found, repair.CheckTick); err != nil || len(f) != 1 || f[0].Level != repair.Warn {
		t.Errorf("an empty ledger: %+v, %v", f, err)
	}
}

func TestOrphanJob(t *testing.T) {
	w := newWorld(t, false)
	job := w.read(w.key("runs")).Reservation.Job
	w.hand("runs", func(_ *ledger.Resource, r *ledger.Record) { r.Job = parent + "/customJobs/9999" })
	if f := find(w.doctor(), repair.CheckJobs); len(f) != 1 || f[0].Level != repair.Warn || !strings.Contains(f[0].Text, "no longer has its job "+parent+"/customJobs/9999") {
		t.Errorf("at once: %+v", f)
	}
	w.now = w.now.Add(time.Hour)
	f := find(w.doctor(), repair.CheckJobs)
	if len(f) != 2 || f[0].Level != repair.Fail || f[0].Job != job || !strings.Contains(f[0].Do, "gcloud ai custom-jobs cancel "+job) {
		t.Errorf("after an hour: %+v", f)
	}
}

func TestUse(t *testing.T) {
	w := newWorld(t, false)
	w.hand("runs", func(res *ledger.Resource, _ *ledger.Record) {
		res.Unexplained = capacity.Use{cpu: 2}
		res.Recompute()
	})
	found := find(w.doctor(), repair.CheckUse)
	if len(found) != 2 || found[0].Level != repair.Warn || !strings.Contains(found[0].Text, "1 more replica of n1-standard-4/pd-ssd:100 is in use") ||
		!strings.Contains(found[1].Text, "2 replicas of n1-standard-4/pd-ssd:100 are in use, and no listed job uses them") {
		t.Errorf("found %+v", found)
	}
}

func TestNoDocument(t *testing.T) {
	w := newWorld(t, false)
	w.hand("next", func(_ *ledger.Resource, r *ledger.Record) { r.Resource = pool + "-2" })
	f := find(w.doctor(), repair.CheckLedger)
	if len(f) != 1 || f[0].Request != w.key("next") || !strings.Contains(f[0].Text, pool+"-2, which has no document in the ledger") {
		t.Errorf("found %+v", f)
	}
}

func TestClock(t *testing.T) {
	w := newWorld(t, false)
	src := repair.Source{Ledger: w.ledger, Vertex: w.vertex, Clock: func() time.Time { return w.now.Add(-time.Minute) }}
	_, found, err := repair.Examine(t.Context(), src, w.settings())
	if f := find(found, repair.CheckClock); err != nil || len(f) != 1 || f[0].Level != repair.Warn || !strings.Contains(f[0].Text, "1m0s behind") {
		t.Errorf("found %+v, %v", f, err)
	}
}

// TestUnchecked: a check that cannot be made is not reported as OK.
func TestUnchecked(t *testing.T) {
	w := newWorld(t, false)
	w.vertex.Fault = func(op, _ string) vertex.Fault { return vertex.FailBefore }
	found := w.doctor()
	for _, check := range []string{repair.CheckJobs, repair.CheckObservations} {
		if f := find(found, check); len(f) != 1 || !f[0].Unchecked || f[0].Level != repair.Fail {
			t.Errorf("%s: %+v", check, f)
		}
	}
	w.ledger.(*ledger.Mem).Fault = func(op string) ledger.Fault {
		if op == ledger.OpQuery {
			return ledger.FailRead
		}
		return ledger.None
	}
	_, _, err := repair.Examine(t.Context(), repair.Source{Ledger: w.ledger, Vertex: w.vertex, Clock: w.clock}, w.settings())
	if err == nil || !strings.Contains(err.Error(), "list resources") {
		t.Errorf("a ledger that cannot be read: %v", err)
	}
	if f := repair.Indexes(t.Context(), w.ledger); f.Level != repair.Fail || !strings.Contains(f.Text, "requests by outbox") {
		t.Errorf("queries that fail: %+v", f)
	}
}

// moving is a ledger in which a request moves during every read of the whole
// ledger: its hold is read, and its record is not.
type moving struct {
	repair.Ledger
	scans int
}

func (m *moving) Scan(ctx context.Context, kind ledger.Kind, after string, limit int) ([]ledger.Document, error) {
	docs, err := m.Ledger.Scan(ctx, kind, after, limit)
	if kind == ledger.KindRecord {
		m.scans++
		return docs[min(m.scans-1, 1):], err // the first record is missing from the second scan on
	}
	for _, res := range ledger.Of[*ledger.Resource](docs) {
		if m.scans == 0 {
			res.Holds["moving"] = ledger.Hold{Run: "rx"}
			break
		}
	}
	return docs, err
}

// TestMoving: a request that only moved is not reported.
func TestMoving(t *testing.T) {
	w := newWorld(t, false)
	w.hand("runs", func(res *ledger.Resource, _ *ledger.Record) { res.Queue = nil }) // this is a real damage
	first := repair.Source{Ledger: &moving{Ledger: w.ledger}, Vertex: w.vertex, Clock: w.clock}
	_, found, err := repair.Examine(t.Context(), first, w.settings())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range find(found, "hold-matches") {
		if f.Request == "moving" || f.Level == repair.Fail && f.Request != w.key("runs") {
			t.Errorf("a hold that was only moving is reported: %+v", f)
		}
	}
	if len(find(found, "hold-matches")) == 0 {
		t.Error("a check that found nothing is not listed")
	}
}

// TestAbsentResource: a deleted persistent resource is reported until a pass has
// recorded it. After that none of its machines counts, neither as used nor as
// overdrawn.
func TestAbsentResource(t *testing.T) {
	w := newWorld(t, false)
	w.hand("runs", func(res *ledger.Resource, _ *ledger.Record) {
		res.Unexplained = capacity.Use{cpu: 2}
		res.Recompute()
	})
	w.vertex.SetResource(pool, vertex.Resource{})
	findings := find(w.doctor(), repair.CheckObservations)
	if len(findings) != 1 || findings[0].Level != repair.Warn || findings[0].Resource != pool ||
		findings[0].Text != pool+" is RUNNING in the ledger, and Vertex AI has no such persistent resource" ||
		findings[0].Means != "It was deleted; the next pass of reconcile records that, and requests wait for one of the same name." {
		t.Errorf("before a pass: %+v", findings)
	}
	w.now = w.now.Add(time.Minute)
	w.pass()
	w.hand("runs", func(res *ledger.Resource, _ *ledger.Record) {
		if res.State != ledger.Absent {
			t.Errorf("it is %s after a pass", res.State)
		}
		res.Unexplained = capacity.Use{cpu: 2}
	})
	found := w.doctor()
	if use, findings := find(found, repair.CheckUse), find(found, repair.CheckObservations); len(use)+len(findings) > 0 {
		t.Errorf("after a pass: %+v, %+v", use, findings)
	}
}
