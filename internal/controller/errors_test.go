package controller_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/vertex"
)

// busyTick is a world whose next tick has something to do in every part: jobs that have
// started and ended, timers, requests that start, that are reserved and that are told,
// and orphans.
func busyTick(t *testing.T) *sim.World {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "ends", CPU: 3, Spec: timeout("2h")})
	w.Ask(sim.Job{ID: "cancelling", GPU: 1})
	w.Ask(sim.Job{ID: "first", CPU: 4, Spec: timeout("3h")})
	w.Ask(sim.Job{ID: "second", CPU: 4})
	w.Ask(sim.Job{ID: "narrow", CPU: 1, Spec: timeout("1h")})
	w.After(time.Minute)
	w.Vertex.SetJob(w.JobOf("ends"), vertex.JobSucceeded)
	w.Vertex.SetJob(w.JobOf("narrow"), vertex.JobRunning)
	w.Cancel("cancelling")
	w.Vertex.SetJob(w.JobOf("cancelling"), vertex.JobCancelled)
	w.Now = w.Now.Add(10 * time.Minute)
	return w
}

// TestEveryFailureOfATickIsReturned: a read, query or commit of a tick that fails is an
// error of the tick, so its push is answered with a failure and the outage is counted. The
// next ticks finish the work.
func TestEveryFailureOfATickIsReturned(t *testing.T) {
	for k := 1; ; k++ {
		w := busyTick(t)
		n, failed := 0, ""
		w.Ledger.Fault = func(op string) ledger.Fault {
			if n++; n != k {
				return ledger.None
			}
			failed = op
			return map[string]ledger.Fault{ledger.OpRead: ledger.FailRead, ledger.OpQuery: ledger.FailRead, ledger.OpCommit: ledger.FailCommit}[op]
		}
		err := w.Tick()
		w.Ledger.Fault = nil
		if failed == "" {
			if k < 15 {
				t.Errorf("the tick has only %d operations", k-1)
			}
			return
		}
		if !errors.Is(err, ledger.ErrInjected) {
			t.Errorf("operation %d, a %s, failed, and the tick returns %v", k, failed, err)
		}
		minutes(w, 2)
		for id, want := range map[string]lifecycle.State{"ends": lifecycle.Succeeded, "cancelling": lifecycle.Cancelled, "narrow": lifecycle.Running, "second": lifecycle.Waiting} {
			if got := w.State(id); got != want {
				t.Errorf("operation %d, a %s, failed: %s is %s, want %s", k, failed, id, got, want)
			}
		}
		w.CheckHolds()
		if t.Failed() {
			t.Log(fmt.Sprint(err))
		}
	}
}
