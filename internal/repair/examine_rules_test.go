package repair_test

import (
	"errors"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/repair"
	"example.com/berth/internal/vertex"
)

// TestExamineThatFails: whichever read of the ledger fails, of both searches, no findings are
// better than half of them.
func TestExamineThatFails(t *testing.T) {
	for k := 1; ; k++ {
		w := newWorld(t, false)
		w.now = w.now.Add(time.Hour) // so that there is something to find, and a second search
		n, failed := 0, false
		w.ledger.(*ledger.Mem).Fault = func(op string) ledger.Fault {
			if n++; n == k {
				failed = true
				return map[string]ledger.Fault{ledger.OpRead: ledger.FailRead, ledger.OpQuery: ledger.FailRead}[op]
			}
			return ledger.None
		}
		src := repair.Source{Ledger: w.ledger, Vertex: w.vertex, Parents: []string{parent}, Clock: w.clock}
		_, found, err := repair.Examine(t.Context(), src, w.settings())
		if !failed {
			if k < 6 || err != nil || len(found) == 0 {
				t.Errorf("it makes %d reads, and finds %d, %v", k-1, len(found), err)
			}
			return
		}
		if !errors.Is(err, ledger.ErrInjected) {
			t.Errorf("read %d fails: %v", k, err)
		}
	}
}

// TestNothingEverRan: a new deployment is told what it lacks, in full.
func TestNothingEverRan(t *testing.T) {
	src := repair.Source{Ledger: ledger.NewMem(nil), Vertex: vertex.NewMem(time.Now), Clock: time.Now}
	_, found, err := repair.Examine(t.Context(), src, repair.Settings{Tick: time.Minute, Lease: "reconcile"})
	want := repair.Finding{Check: repair.CheckTick, Level: repair.Warn, Text: "reconcile has never run here", Means: "In a new deployment the first tick starts it. Without it no waiting request is started.",
		Do: "Check the Cloud Scheduler job, the subscription of the tick topic and the log of Reconcile, in this order."}
	if f := find(found, repair.CheckTick); err != nil || len(f) != 1 || f[0] != want {
		t.Errorf("%+v, %v", f, err)
	}
}
