package controller_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/vertex"
)

// logs makes a world's controller log into a buffer, as JSON.
func logs(w *sim.World) *bytes.Buffer {
	var log bytes.Buffer
	runs := 0
	w.Controller = controller.New(w.Config, w.Ledger, w.Vertex, w.Out, slog.New(slog.NewJSONHandler(&log, nil)), controller.Env{
		Monotonic: func() time.Time { return w.Now },
		Sleep: func(_ context.Context, d time.Duration) error {
			w.Now = w.Now.Add(d)
			return nil
		},
		NewRun: func() string {
			runs++
			return fmt.Sprintf("late%d", runs)
		},
	})
	return &log
}

// lines takes the lines of an event out of a log.
func lines(t *testing.T, log *bytes.Buffer, event string) (found []map[string]any) {
	t.Helper()
	for line := range strings.Lines(log.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		if v["event"] == event {
			found = append(found, v)
		}
	}
	return found
}

// An event that is not published is late from five ticks on, is reported once each tick,
// and is not late any more once the topic takes it.
func TestLateEventIsReported(t *testing.T) {
	w := sim.New(t)
	log := logs(w)
	broken := true
	w.Out.Fail = func() (bool, bool) { return broken, false }
	w.Ask(sim.Job{ID: "a", CPU: 1})
	w.Tick = func() error {
		_, _ = w.Controller.Reconcile(context.Background(), "tick", time.Second) // the publication fails
		return nil
	}
	w.After(4*time.Minute + 59*time.Second)
	if got := lines(t, log, "outbox_late"); len(got) != 0 {
		t.Errorf("before five ticks: %v", got)
	}
	w.After(time.Second)
	w.After(time.Minute)
	got := lines(t, log, "outbox_late")
	if len(got) != 2 || got[0]["age_seconds"] != 300.0 || got[1]["age_seconds"] != 360.0 || got[0]["level"] != "WARN" {
		t.Errorf("after five and six ticks: %v", got)
	}
	broken = false
	w.After(time.Minute) // it is found late for the last time, and is published
	w.After(time.Minute)
	if got := lines(t, log, "outbox_late"); len(got) != 3 {
		t.Errorf("after its publication: %v", got)
	}
}

// A timer that is found five ticks after it was due is late, and is reported once when
// the pass that finds it also runs it.
func TestLateTimerIsReported(t *testing.T) {
	for without, want := range map[time.Duration]int{4*time.Minute + 59*time.Second: 0, 5 * time.Minute: 1} {
		w := sim.New(t)
		log := logs(w)
		w.Ask(sim.Job{ID: "full", CPU: 4})
		w.Ask(sim.Job{ID: "waits", CPU: 1, MaxWait: "120s"})
		w.After(w.Record("waits").TimerAt.Sub(w.Now) + without)
		w.Expect("waits", lifecycle.Expired, "queued", "expired")
		w.After(time.Minute)
		got := lines(t, log, "timer_late")
		if len(got) != want || want == 1 && got[0]["age_seconds"] != without.Seconds() {
			t.Errorf("%s without a tick: %v", without, got)
		}
	}
}

// A persistent resource that is not RUNNING is reported while a request waits for it, and
// only then.
func TestResourceThatIsDownIsReported(t *testing.T) {
	w := sim.New(t)
	log := logs(w)
	pools, _ := w.Vertex.Peek(sim.Resource)
	w.After(time.Minute)
	w.Ask(sim.Job{ID: "full", CPU: 4})
	w.Ask(sim.Job{ID: "waits", CPU: 1})
	w.After(time.Minute)
	if got := lines(t, log, "resource_down"); len(got) != 0 {
		t.Errorf("while it is RUNNING: %v", got)
	}
	w.SetPools("ERROR", pools.Pools...)
	w.After(time.Minute)
	got := lines(t, log, "resource_down")
	if len(got) != 1 || got[0]["resource"] != sim.Resource || got[0]["state"] != "ERROR" || got[0]["waiting"] != 1.0 {
		t.Errorf("while it is broken: %v", got)
	}
	w.Cancel("waits")
	w.After(time.Minute)
	if got := lines(t, log, "resource_down"); len(got) != 1 {
		t.Errorf("without a waiting request: %v", got)
	}
	w.SetPools(vertex.Running, pools.Pools...)
	w.Ask(sim.Job{ID: "next", CPU: 1})
	w.After(time.Minute)
	if got := lines(t, log, "resource_down"); len(got) != 1 {
		t.Errorf("when it is RUNNING again: %v", got)
	}
}

// A request that starts on machines that came free says how long they were free.
func TestReuseIsReported(t *testing.T) {
	w := sim.New(t)
	log := logs(w)
	w.Ask(sim.Job{ID: "full", CPU: 4})
	w.Ask(sim.Job{ID: "waits", CPU: 1})
	w.After(time.Second)
	w.Vertex.SetJob(w.JobOf("full"), vertex.JobSucceeded)
	w.After(20 * time.Second)
	got := lines(t, log, "reused")
	if len(got) != 1 {
		t.Fatalf("%v", got)
	}
	if free, _ := got[0]["wait_seconds"].(float64); free < 0 || free > 20 {
		t.Errorf("free for %v s", free)
	}
}
