package controller_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/vertex"
)

// told lists the latest starts that the queued events of a request name.
func told(w *sim.World, id string) (list []time.Time) {
	for _, o := range w.Out.Of(id) {
		if o.Type == message.Queued {
			list = append(list, o.StartsBy)
		}
	}
	return list
}

// expectAnnounced compares them, in hours from a moment; -1 for none.
func expectAnnounced(t *testing.T, w *sim.World, id string, from time.Time, want ...float64) {
	t.Helper()
	var got []float64
	for _, at := range told(w, id) {
		hours := -1.
		if !at.IsZero() {
			hours = at.Sub(from).Round(time.Minute).Hours()
		}
		got = append(got, hours)
	}
	if len(got) != len(want) {
		t.Fatalf("%s was told %v, want %v", id, got, want)
	}
	for i := range want {
		if d := got[i] - want[i]; d > .05 || d < -.05 {
			t.Errorf("%s was told %v, want %v", id, got, want)
		}
	}
	if last := told(w, id)[len(want)-1]; w.State(id) == lifecycle.Waiting && !w.Record(id).StartsBy.Equal(last) {
		t.Errorf("%s was told %s, and its record has %s", id, last, w.Record(id).StartsBy)
	}
}

func minutes(w *sim.World, n int) {
	for range n {
		w.After(time.Minute)
	}
}

// A request that gets a reservation while it waits is told its latest start, once, if
// it does not start within a minute.
func TestAnnouncedWithTheReservation(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "a", CPU: 4, Spec: timeout("2h")})
	w.Ask(sim.Job{ID: "b", CPU: 3, Spec: timeout("3h")})
	w.Ask(sim.Job{ID: "c", CPU: 4, Spec: timeout("4h")})
	w.Ask(sim.Job{ID: "gpus", GPU: 4, Spec: timeout("1h")})
	w.Ask(sim.Job{ID: "then", GPU: 3, Spec: timeout("1h")})
	w.Ask(sim.Job{ID: "last", GPU: 2, Spec: timeout("1h")})
	began := w.Now
	minutes(w, 5)
	expectAnnounced(t, w, "b", began, 3) // it had it when it came
	expectAnnounced(t, w, "c", began, -1)
	if why := w.Record("b").Why; why.Fix != "" {
		t.Errorf("nothing is free, and b is told %q", why.Fix)
	}
	w.Vertex.SetJob(w.JobOf("gpus"), vertex.JobSucceeded)
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("b", lifecycle.Submitted, "queued", "reserved", "submitted")
	from := w.Now
	expectAnnounced(t, w, "c", from, -1)
	minutes(w, 2) // one pass tells both
	expectAnnounced(t, w, "c", from, -1, 4)
	expectAnnounced(t, w, "last", from, -1, 2)
	if why := w.Record("c").Why; why.Fix != "With at most 1 in job.jobSpec.workerPoolSpecs[0].replicaCount it could start now." {
		t.Errorf("c is told %+v", why)
	}
	minutes(w, 30)
	expectAnnounced(t, w, "c", from, -1, 4)
	w.CheckHolds()
}

// A request that has to wait is told at once how many replicas could start, and warned
// once if it sets no time limit.
func TestAnnouncedWhenItIsQueued(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "a", CPU: 2, Spec: timeout("2h")})
	w.Ask(sim.Job{ID: "b", CPU: 3})
	w.Ask(sim.Job{ID: "c", CPU: 1, Spec: timeout("10h")})
	first := w.Out.Of("b")[0]
	if first.Reason.Fix != "With at most 2 in job.jobSpec.workerPoolSpecs[0].replicaCount it could start now." {
		t.Errorf("b is told %+v", first.Reason)
	}
	limits := func(id string) (n int) {
		for _, o := range w.Out.Of(id) {
			for _, p := range o.Warnings {
				if p.Path == "job.jobSpec.scheduling.timeout" {
					n++
				}
			}
		}
		return n
	}
	if n := limits("b"); n != 1 {
		t.Errorf("b is warned %d times: %+v", n, w.Record("b").Warnings)
	}
	if limits("a")+limits("c") != 0 {
		t.Error("a job is warned that sets a limit")
	}
}

// A reservation that comes earlier by enough is told again, a smaller change is not.
func TestAnnouncedWhenItComesEarlier(t *testing.T) {
	w := sim.New(t)
	for id, limit := range map[string]string{"a": "20h", "b": "19h50m", "c": "9h", "d": "8h"} {
		w.Ask(sim.Job{ID: id, CPU: 1, Spec: timeout(limit)})
	}
	w.Ask(sim.Job{ID: "wide", CPU: 4})
	began := w.Now
	minutes(w, 3)
	for _, id := range []string{"a", "b"} {
		w.Vertex.SetJob(w.JobOf(id), vertex.JobSucceeded)
		minutes(w, 3)
	}
	expectAnnounced(t, w, "wide", began, 21, 10)
	w.CheckHolds()
}

// The named exceptions are told, each with its cause, and logged.
func TestAnnouncedWhenItComesLater(t *testing.T) {
	for name, c := range map[string]struct {
		harm  func(*sim.World)
		after int // minutes
		want  []float64
		text  string
	}{
		"a pool shrinks": {func(w *sim.World) { w.SetPools(vertex.Running, capacity.Pool{ID: "cpu", Shape: sim.CPU, Count: 3}) },
			10, []float64{3, 11}, "and starts later: the pools have fewer machines than then."},
		"others start a job": {func(w *sim.World) {
			w.Vertex.SetJob(w.JobOf("short"), vertex.JobSucceeded)
			w.Vertex.AddForeign(sim.Parent, "pool", capacity.Ask{{Shape: sim.CPU, Replicas: 2}})
		}, 10, []float64{3, 11}, "machines are used by jobs that Berth did not start."},
		"a job overstays": {func(w *sim.World) {
			for _, id := range []string{"short", "long"} {
				w.Vertex.SetJob(w.JobOf(id), vertex.JobRunning)
			}
		}, 150, []float64{3, 2.03, 3.12}, "jobs run beyond their time limits."},
		"a higher priority waits": {func(w *sim.World) { w.Ask(sim.Job{ID: "urgent", CPU: 4, Priority: 1}) },
			10, []float64{3, -1}, "requests of a higher priority, or that an operator put first, go first."},
	} {
		t.Run(name, func(t *testing.T) {
			w := sim.New(t)
			w.Ask(sim.Job{ID: "short", CPU: 2, Spec: timeout("2h")})
			w.Ask(sim.Job{ID: "long", CPU: 2, Spec: timeout("10h")})
			w.Ask(sim.Job{ID: "waits", CPU: 2})
			began := w.Now
			w.After(time.Minute)
			c.harm(w)
			minutes(w, c.after)
			expectAnnounced(t, w, "waits", began, c.want...)
			if o := w.Document().Reserved; name != "a higher priority waits" && (len(o) == 0 || len(o[0].Delays) != 1) {
				t.Errorf("reserved is %+v", o)
			}
			if why := w.Record("waits").Why; why == nil || !strings.HasSuffix(why.Detail, c.text) {
				t.Errorf("it waits because of %+v", why)
			}
		})
	}
}

// While nothing starts at all, a request whose latest start passes is told so, with the
// cause, and when it starts once things start again.
func TestAnnouncedWhileNothingStarts(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "a", CPU: 2, Spec: timeout("2h")})
	w.Ask(sim.Job{ID: "b", CPU: 2, Spec: timeout("200h")})
	w.Ask(sim.Job{ID: "waits", CPU: 2})
	began := w.Now
	w.After(time.Minute)
	was, _ := w.Vertex.Peek(sim.Resource)
	reboots := was
	reboots.State = "REBOOTING"
	w.Vertex.SetResource(sim.Resource, reboots)
	minutes(w, 181)
	expectAnnounced(t, w, "waits", began, 3)
	minutes(w, 10)
	expectAnnounced(t, w, "waits", began, 3, -1)
	if why := w.Record("waits").Why; why.Code != reason.ResourceNotReady || !strings.HasSuffix(why.Detail, "jobs start only while it is RUNNING. It was to start by "+began.Add(3*time.Hour).UTC().Format(time.RFC3339)+".") {
		t.Errorf("it waits because of %+v", why)
	}
	minutes(w, 30)
	expectAnnounced(t, w, "waits", began, 3, -1)
	w.Vertex.SetResource(sim.Resource, was) // a runs beyond its limit
	minutes(w, 10)
	got := told(w, "waits")
	if len(got) != 3 || !got[2].After(w.Now) || w.Record("waits").Why.Code != reason.Full {
		t.Errorf("it was told %v, and waits because of %+v", got, w.Record("waits").Why)
	}
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
	minutes(w, 2)
	w.Expect("waits", lifecycle.Submitted, "queued", "queued", "queued", "reserved", "submitted")
}

// A request of a higher priority that starts at once moves a reservation, which is told
// with its cause.
func TestAnnouncedWhenAHigherPriorityStarts(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "a", CPU: 3, Spec: timeout("2h")})
	w.Ask(sim.Job{ID: "waits", CPU: 4})
	began := w.Now
	minutes(w, 2)
	w.Ask(sim.Job{ID: "urgent", CPU: 1, Spec: timeout("20h"), Priority: 1})
	w.Expect("urgent", lifecycle.Submitted, "reserved", "submitted")
	minutes(w, 5)
	expectAnnounced(t, w, "waits", began, 3, 21.03)
	if o := w.Document().Reserved; len(o) != 1 || o[0].Delays != nil {
		t.Errorf("reserved is %+v", o)
	}
	if why := w.Record("waits").Why; !strings.Contains(why.Detail, " and requests of a higher priority, or that an operator put first, go first.") {
		t.Errorf("it waits because of %+v", why)
	}
	// One that moves it by a few minutes is no news.
	w = sim.New(t)
	w.Ask(sim.Job{ID: "a", CPU: 3, Spec: timeout("2h")})
	w.Ask(sim.Job{ID: "waits", CPU: 4})
	minutes(w, 2)
	w.Ask(sim.Job{ID: "urgent", CPU: 1, Spec: timeout("2h8m"), Priority: 1})
	minutes(w, 5)
	expectAnnounced(t, w, "waits", began, 3)
	if o := w.Document().Reserved; len(o) != 1 || o[0].At.Sub(o[0].Announced) < 9*time.Minute {
		t.Errorf("reserved is %+v", o)
	}
}

// loggedTimes counts the log lines that name an event.
type loggedTimes struct {
	*testing.T
	of map[string]int
}

func (l loggedTimes) Logf(format string, args ...any) {
	for _, word := range strings.Fields(fmt.Sprintf(format, args...)) {
		if event, is := strings.CutPrefix(word, "event="); is {
			l.of[event]++
		}
	}
}

// A job that runs beyond its time limit is logged and marked once, a few minutes after
// the limit, and what it does to others is logged too.
func TestOverstayIsTold(t *testing.T) {
	log := loggedTimes{t, map[string]int{}}
	w := sim.New(log)
	w.Ask(sim.Job{ID: "a", CPU: 4, Spec: timeout("2h")})
	w.Ask(sim.Job{ID: "b", CPU: 1})
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobRunning)
	key := w.Record("a").Key
	w.After(time.Minute)
	end := w.Document().Holds[key].LatestEnd
	for w.Now.Before(end.Add(4 * time.Minute)) {
		w.After(time.Minute)
	}
	if w.Document().Holds[key].Overstays || log.of["job_overstays"] != 0 {
		t.Errorf("%s after its end it is said to overstay", w.Now.Sub(end))
	}
	minutes(w, 10)
	if h := w.Document().Holds[key]; !h.Overstays || h.Ask.Replicas() != 4 || log.of["job_overstays"] != 1 || log.of["start_delayed"] != 1 {
		t.Errorf("%s after its end its hold is %+v, and logged was %v", w.Now.Sub(end), h, log.of)
	}
	w.Expect("a", lifecycle.Running, "reserved", "submitted", "started")
	w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("b", lifecycle.Submitted, "queued", "queued", "queued", "reserved", "submitted")
}

// The event is told once, whatever goes wrong with any commit of the pass that has it.
func TestAnnouncedOnce(t *testing.T) {
	for _, fault := range []ledger.Fault{ledger.FailCommit, ledger.LoseAnswer, ledger.LoseAnswerAndCheck, ledger.Stale} {
		for k := 1; ; k++ {
			w := sim.New(t)
			w.Ask(sim.Job{ID: "a", CPU: 4, Spec: timeout("2h")})
			w.Ask(sim.Job{ID: "b", CPU: 4, Spec: timeout("3h")})
			w.Ask(sim.Job{ID: "c", CPU: 4})
			w.Vertex.SetJob(w.JobOf("a"), vertex.JobSucceeded)
			w.After(time.Minute)
			w.Now = w.Now.Add(time.Minute)
			commits := 0
			w.Ledger.Fault = func(op string) ledger.Fault {
				if op == ledger.OpCommit {
					if commits++; commits == k {
						return fault
					}
				}
				return ledger.None
			}
			_ = w.Tick()
			w.Ledger.Fault = nil
			minutes(w, 3)
			if got := told(w, "c"); len(got) != 2 || got[1].IsZero() {
				t.Errorf("fault %d of commit %d: it was told %v", fault, k, got)
			}
			for i, o := range w.Out.Of("c") {
				if o.Sequence != int64(i+1) {
					t.Errorf("fault %d of commit %d: event %d has number %d", fault, k, i+1, o.Sequence)
				}
			}
			w.CheckHolds()
			if commits < k { // it has no commit of this number
				if k < 4 {
					t.Errorf("the pass has %d commits", commits)
				}
				break
			}
		}
	}
}

// What is told is bounded: a reservation whose start changes for ever ends in the record.
func TestAnnouncedIsBounded(t *testing.T) {
	w := sim.New(t)
	w.Ask(sim.Job{ID: "a", CPU: 2, Spec: timeout("100h")})
	w.Ask(sim.Job{ID: "b", CPU: 3})
	foreign := capacity.Ask{{Shape: sim.CPU, Replicas: 2}}
	for range 40 {
		w.Vertex.SetJob(w.Vertex.AddForeign(sim.Parent, "pool", foreign), vertex.JobRunning)
		minutes(w, 2)
		for _, f := range w.Document().Foreign {
			w.Vertex.SetJob(f.Job, vertex.JobSucceeded)
		}
		w.Ask(sim.Job{ID: "urgent" + w.Now.String()[11:16], CPU: 4, Priority: 5})
		minutes(w, 2)
		w.Cancel("urgent" + w.Now.Add(-2 * time.Minute).String()[11:16])
		minutes(w, 2)
	}
	if got := len(told(w, "b")); got != 21 {
		t.Errorf("it was told %d times, want 21", got)
	}
	// The record goes on saying what is so.
	w.Vertex.SetJob(w.Vertex.AddForeign(sim.Parent, "pool", foreign), vertex.JobRunning)
	minutes(w, 3)
	rec := w.Record("b")
	if len(told(w, "b")) != 21 || !strings.HasSuffix(rec.Why.Detail, "machines are used by jobs that Berth did not start.") || !rec.StartsBy.After(told(w, "b")[20]) {
		t.Errorf("its record says %+v and %s", rec.Why, rec.StartsBy)
	}
	if o := w.Document().Reserved; len(o) != 1 || !o[0].Announced.Equal(rec.StartsBy) {
		t.Errorf("reserved is %+v", o)
	}
}
