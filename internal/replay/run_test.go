package replay

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
)

// drawJobs draws a workload for pools of eight replicas.
func drawJobs(t *rapid.T, pools ...string) (list []Job) {
	at := int64(0)
	for i := range rapid.IntRange(1, 60).Draw(t, "jobs") {
		at += rapid.Int64Range(0, 30).Draw(t, "gap")
		j := jobs([3]int64{at, rapid.Int64Range(1, 8).Draw(t, "replicas"), rapid.Int64Range(0, 3000).Draw(t, "run")})[0]
		j.ID, j.Line = "", i+2
		j.Tenant = rapid.SampledFrom([]string{"a", "b"}).Draw(t, "tenant")
		j.Pool = rapid.SampledFrom(pools).Draw(t, "pool")
		j.Priority = rapid.SampledFrom([]int{0, 0, 0, -5, 9}).Draw(t, "priority")
		list = append(list, j)
	}
	return list
}

// modelRun is [Run] in its slowest form: after every moment at which something
// happens, it plans all pools at once until nothing starts.
func modelRun(list []Job, pools []Pool, s Settings) []time.Duration {
	start := make([]time.Duration, len(list))
	waits, runs := map[int]waiting{}, map[int]bool{}
	var reserved []admission.Reservation
	shape := map[string]capacity.Shape{}
	var have []capacity.Pool
	for _, p := range pools {
		shape[p.Name] = capacity.Spec{MachineType: p.Name}.Normal()
		have = append(have, capacity.Pool{ID: p.Name, Shape: shape[p.Name], Count: capacity.Replicas(p.Replicas)})
	}
	for next := 0; next < len(list) || len(runs) > 0; {
		now := time.Duration(1<<63 - 1)
		if next < len(list) {
			now = list[next].Submit
		}
		for j := range runs {
			now = min(now, start[j]+list[j].Run)
		}
		for j := range runs {
			if start[j]+list[j].Run <= now {
				delete(runs, j)
			}
		}
		for ; next < len(list) && list[next].Submit <= now; next++ {
			waits[next] = waitingOf(next, &list[next], shape[list[next].Pool], s, admission.Place{})
		}
		for {
			snapshot := admission.PlanSnapshot{Now: epoch.Add(now), Pools: have, Use: capacity.Use{}, Queue: admission.Queue{}, Reserved: reserved}
			for j := range runs {
				h := waitingOf(j, &list[j], shape[list[j].Pool], s, admission.Place{})
				snapshot.Use.Add(h.Demand)
				snapshot.Held = append(snapshot.Held, admission.Held{ID: h.ID, Demand: h.Demand, End: epoch.Add(start[j] + h.Limit)})
			}
			for _, w := range waits {
				c := snapshot.Queue[w.class]
				c.Count++
				c.Heads = append(c.Heads, w.Head)
				snapshot.Queue[w.class] = c
			}
			for id, c := range snapshot.Queue {
				slices.SortFunc(c.Heads, byOrder)
				c.Heads = c.Heads[:min(len(c.Heads), admission.MaxHeads)]
				snapshot.Queue[id] = c
			}
			plan := admission.MakePlan(snapshot, s.Policy)
			reserved = plan.Reserved
			for _, st := range plan.Starts {
				j := jobOf(st.ID)
				delete(waits, j)
				start[j], runs[j] = now, true
			}
			if len(plan.Starts) == 0 {
				break
			}
		}
	}
	return start
}

// Run leaves out plans that change nothing, plans each pool on its own, and keeps the
// values of a plan sorted. None of that changes a start.
func TestRunIsTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawJobs(t, "a", "b")
		pools := []Pool{{Name: "a", Replicas: 8}, {Name: "b", Replicas: 9}}
		p := policy
		p.NoBackfill = rapid.Bool().Draw(t, "no backfill")
		p.Patience = rapid.SampledFrom([]time.Duration{time.Hour, 24 * time.Hour}).Draw(t, "patience")
		s := Settings{Policy: p, Gang: 4, Expected: Declared}
		if got, want := Run(list, pools, s).Start, modelRun(list, pools, s); !slices.Equal(got, want) {
			t.Fatalf("%+v\nstarts %v\n  want %v", list, got, want)
		}
	})
}

// Every promise is kept where jobs have one priority and run as long as declared, also if
// Vertex AI starts them late or never in time.
func TestPromisesAreKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawJobs(t, "a")
		for i := range list {
			list[i].Priority = 0
		}
		s := Settings{Policy: policy, Gang: 4, Expected: Declared}
		if rapid.Bool().Draw(t, "delays") {
			s.Policy = real
			s.Policy.StartIn = rapid.SampledFrom([]time.Duration{time.Minute, time.Hour}).Draw(t, "start in")
			s.Delays = Delays{Submissions: rapid.IntRange(0, 2).Draw(t, "submissions"), Start: time.Duration(rapid.IntRange(0, 59).Draw(t, "start")) * time.Minute}
		}
		r := newRun(list, []Pool{{Name: "a", Replicas: 8}}, s)
		if r.loop(); r.Kept != r.Promises {
			t.Fatalf("%d of %d promises are kept; %d went back into the queue", r.Kept, r.Promises, r.Requeued)
		}
		// A job that was late once passes others only with the whole start timeout, which is
		// enough if there is no wait for a submission.
		late := 0
		for _, w := range r.queue {
			if w.Slow {
				late++
			}
		}
		if s.Delays.Submissions == 0 && late != r.Requeued {
			t.Fatalf("%d jobs went back into the queue %d times", late, r.Requeued)
		}
	})
}

// A higher priority takes the place of a reservation, whose promise is then broken.
func TestPromiseBrokenByPriority(t *testing.T) {
	list := jobs([3]int64{0, 2, 60}, [3]int64{1, 2, 60}, [3]int64{2, 2, 60})
	list[2].Priority = 1
	r := Run(list, []Pool{{Name: "", Replicas: 2}}, Settings{Policy: policy, Gang: 2, Expected: Declared})
	if got := waits(list, r.Start); !slices.Equal(got, []int64{0, 119, 58}) || r.Promises != 2 || r.Kept != 1 {
		t.Errorf("waits %v, %d promises of which %d are kept, want 0, 119, 58 and 2 of which 1 is kept", got, r.Promises, r.Kept)
	}
}

// Delays by hand. A job of one minute ends before another that waits for it, or for
// nothing.
func TestDelays(t *testing.T) {
	second := func(rows ...[3]int64) (list []Job) {
		for _, j := range jobs(rows...) {
			j.Submit, j.Run = j.Submit/60, j.Run/60
			list = append(list, j)
		}
		return list
	}
	for name, c := range map[string]struct {
		jobs   []Job
		delays Delays
		starts []time.Duration // seconds
	}{
		"ends are seen at the next tick":          {second([3]int64{0, 2, 61}, [3]int64{130, 2, 1}), Delays{Tick: time.Minute}, []time.Duration{0, 130}},
		"an end at a tick is seen at it":          {second([3]int64{0, 2, 60}, [3]int64{10, 2, 1}), Delays{Tick: time.Minute}, []time.Duration{0, 60}},
		"a tick ends a wait":                      {second([3]int64{0, 2, 61}, [3]int64{10, 2, 1}), Delays{Tick: time.Minute}, []time.Duration{0, 120}},
		"a poll ends a wait sooner":               {second([3]int64{0, 2, 61}, [3]int64{10, 2, 1}), Delays{Tick: time.Minute, Poll: 5 * time.Second}, []time.Duration{0, 65}},
		"a poll begins with the wait":             {second([3]int64{0, 2, 61}, [3]int64{91, 2, 1}), Delays{Tick: time.Minute, Poll: 5 * time.Second}, []time.Duration{0, 95}},
		"two are submitted in a minute":           {second([3]int64{0, 1, 5}, [3]int64{1, 1, 5}, [3]int64{10, 1, 5}, [3]int64{11, 1, 5}), Delays{Submissions: 2}, []time.Duration{0, 1, 60, 61}},
		"a start takes a while":                   {second([3]int64{0, 2, 10}, [3]int64{1, 2, 10}), Delays{Start: 30 * time.Second}, []time.Duration{30, 70}},
		"a job that passes no other may run late": {second([3]int64{0, 1, 5}, [3]int64{1, 1, 5}, [3]int64{2, 1, 5}), Delays{Submissions: 1}, []time.Duration{0, 60, 120}},
	} {
		t.Run(name, func(t *testing.T) {
			p := real
			p.StartTimeout = 20 * time.Second
			r := Run(c.jobs, []Pool{{Name: "", Replicas: 2}}, Settings{Policy: p, Gang: 9, Expected: Declared, Delays: c.delays})
			var got []time.Duration
			for _, s := range r.Start {
				got = append(got, s/time.Second)
			}
			if !slices.Equal(got, c.starts) {
				t.Errorf("jobs start at %v, want %v", got, c.starts)
			}
			if r.Requeued != 0 {
				t.Errorf("jobs went back into the queue %d times, want none", r.Requeued)
			}
		})
	}
}

// Without a start timeout a job may take as long as it takes to run.
func TestNoStartTimeout(t *testing.T) {
	list := jobs([3]int64{0, 2, 60}, [3]int64{1, 2, 60})
	r := Run(list, []Pool{{Name: "", Replicas: 2}}, Settings{Policy: policy, Gang: 2, Expected: Declared, Delays: Delays{Start: 10 * time.Hour}})
	if got := waits(list, r.Start); !slices.Equal(got, []int64{600, 1259}) || r.Requeued != 0 {
		t.Errorf("waits %v, %d went back into the queue; want 600, 1259 and none", got, r.Requeued)
	}
}

// A job that is let past a reservation and cannot run in time gives its replicas back
// in time, so the reservation keeps its start.
func TestLateStartKeepsThePromise(t *testing.T) {
	list := jobs([3]int64{0, 3, 240}, [3]int64{1, 4, 60}, [3]int64{180, 1, 60})
	p := real
	p.StartIn, p.StartTimeout = time.Minute, time.Hour
	r := Run(list, []Pool{{Name: "", Replicas: 4}}, Settings{Policy: p, Gang: 2, Expected: Declared, Delays: Delays{Start: 59 * time.Minute}})
	// The first runs from 0:59 to 4:59. The third would have to be running at 3:54, and
	// would be at 3:59.
	if r.Requeued != 1 || r.Promises != 2 || r.Kept != 2 {
		t.Errorf("%d went back into the queue, %d of %d promises are kept; want 1, and 2 of 2", r.Requeued, r.Kept, r.Promises)
	}
	if want := []time.Duration{59 * time.Minute, 358 * time.Minute, 477 * time.Minute}; !slices.Equal(r.Start, want) {
		t.Errorf("starts %v, want %v", r.Start, want)
	}
}

// Progress counts every job once, and stops a run.
func TestProgress(t *testing.T) {
	var list []Job
	for i := range int64(1000) {
		list = append(list, jobs([3]int64{i, 1, 1})...)
	}
	count, calls := 0, 0
	s := Settings{Policy: policy, Gang: 2, Expected: Declared, Progress: func(n int) bool { calls++; count += n; return true }}
	if Run(list, []Pool{{Name: "", Replicas: 1}}, s); count != 1000 || calls < 5 {
		t.Errorf("%d jobs in %d calls, want 1000 in 5 or more", count, calls)
	}
	calls = 0
	s.Progress = func(int) bool { calls++; return false }
	if Run(list, []Pool{{Name: "", Replicas: 1}}, s); calls != 1 {
		t.Errorf("the run goes on after it was stopped: %d calls", calls)
	}
}
