package replay

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// Every reference on small workloads, with waits in minutes computed by hand.
func TestReferencesByHand(t *testing.T) {
	type waitsOf map[Policy][]int64
	for name, c := range map[string]struct {
		jobs []Job
		pool Machines
		want waitsOf
	}{
		// The wide job waits for all four until 100. The short one is over by then, and the
		// last one is not.
		"a reservation": {jobs([3]int64{0, 3, 100}, [3]int64{10, 4, 10}, [3]int64{50, 1, 45}, [3]int64{51, 1, 300}), Flat(4), waitsOf{
			StrictFifo: {0, 90, 60, 59}, FirstFits: {0, 385, 0, 44}, EasyExact: {0, 90, 0, 59}, EasyLimits: {0, 90, 0, 59},
			ShortestExact: {0, 385, 0, 44}, EasyShortest: {0, 90, 0, 59}}},
		// By limits of an hour the short one is not over by 60, though it is by its run time.
		"limits": {jobs([3]int64{0, 3, 60}, [3]int64{1, 4, 10}, [3]int64{2, 1, 50}), Flat(4), waitsOf{
			EasyExact: {0, 59, 0}, EasyLimits: {0, 59, 68}, StrictFifo: {0, 59, 68}}},
		// The first ends before its limit at 240, so the reservation is made anew, for 110. The
		// last one, which could have ended before 240, waits for it.
		"an early end": {jobs([3]int64{0, 3, 61}, [3]int64{50, 1, 50}, [3]int64{51, 4, 10}, [3]int64{62, 3, 50}), Flat(4), waitsOf{
			EasyExact: {0, 0, 49, 48}, EasyLimits: {0, 0, 49, 48}}},
		// Three wait for both machines. The shortest goes first under shortest alone.
		"shortest first": {jobs([3]int64{0, 2, 10}, [3]int64{1, 2, 30}, [3]int64{2, 2, 20}, [3]int64{3, 2, 5}), Flat(2), waitsOf{
			StrictFifo: {0, 9, 38, 57}, FirstFits: {0, 9, 38, 57}, EasyExact: {0, 9, 38, 57}, ShortestExact: {0, 34, 13, 7}}},
		// Two machines of four with three used on each: the job of two finds two free on
		// neither.
		"machines": {jobs([3]int64{0, 3, 10}, [3]int64{0, 3, 20}, [3]int64{1, 2, 5}), Machines{2, 4}, waitsOf{
			StrictFifo: {0, 0, 9}, FirstFits: {0, 0, 9}, EasyExact: {0, 0, 9}, ShortestExact: {0, 0, 9}}},
		"no machines": {jobs([3]int64{0, 3, 10}, [3]int64{0, 3, 20}, [3]int64{1, 2, 5}), Flat(8), waitsOf{
			StrictFifo: {0, 0, 0}, FirstFits: {0, 0, 0}, EasyExact: {0, 0, 0}, ShortestExact: {0, 0, 0}}},
		// Small jobs share a machine, so that the whole job finds the other empty.
		"the least room": {jobs([3]int64{0, 1, 50}, [3]int64{1, 2, 50}, [3]int64{2, 4, 5}), Machines{2, 4}, waitsOf{
			StrictFifo: {0, 0, 0}, FirstFits: {0, 0, 0}, EasyExact: {0, 0, 0}, ShortestExact: {0, 0, 0}}},
		// Six replicas on two machines are three and three; then one is free on each.
		"even parts": {jobs([3]int64{0, 6, 10}, [3]int64{1, 1, 5}, [3]int64{1, 1, 5}, [3]int64{2, 2, 5}), Machines{2, 4}, waitsOf{
			StrictFifo: {0, 0, 0, 8}, FirstFits: {0, 0, 0, 8}, EasyExact: {0, 0, 0, 8}, ShortestExact: {0, 0, 0, 8}}},
		// The wide job is reserved both machines at 100, so the last, which runs on beyond,
		// waits although a machine is free.
		"a reservation of machines": {jobs([3]int64{0, 4, 100}, [3]int64{1, 8, 10}, [3]int64{2, 4, 99}, [3]int64{3, 4, 97}), Machines{2, 4}, waitsOf{
			EasyExact: {0, 99, 108, 0}, EasyShortest: {0, 99, 108, 0}, StrictFifo: {0, 99, 108, 107}}},
	} {
		for p, want := range c.want {
			if got := waits(c.jobs, started(reference(p, c.jobs, c.pool))); !slices.Equal(got, want) {
				t.Errorf("%s, %s: waits %v, want %v", name, p, got, want)
			}
		}
	}
}

// For every workload and reference, no machine has more replicas in use than it has.
func TestMachinesAreNeverOverfull(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Machines{rapid.Int64Range(1, 4).Draw(t, "machines"), 4}
		var list []Job
		at := int64(0)
		for range rapid.IntRange(1, 30).Draw(t, "jobs") {
			at += rapid.Int64Range(0, 20).Draw(t, "gap")
			list = append(list, jobs([3]int64{at, rapid.Int64Range(1, 4*m.Count).Draw(t, "replicas"), rapid.Int64Range(0, 100).Draw(t, "run")})...)
		}
		for _, shortFirst := range []bool{false, true} {
			e := &easy{world: newWorld(list, m), known: Exact, reserved: -1}
			e.run(shortFirst)
			for i := range list {
				used := make([]int64, m.Count)
				for k := range list {
					if e.start[k] <= e.start[i] && e.start[i] < e.start[k]+list[k].Run {
						for _, s := range e.placed[k] {
							used[s.machine] += s.replicas
						}
					}
				}
				if slices.Max(used) > m.Each {
					t.Fatalf("%v of %d replicas are in use at %s", used, m.Each, e.start[i])
				}
			}
		}
	})
}

// The first in the queue under EASY with exact run times starts when it would if
// nothing came after it.
func TestEasyDelaysNoFirstJob(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Machines{rapid.Int64Range(1, 3).Draw(t, "machines"), 4}
		list := jobs([3]int64{0, 4 * m.Count, rapid.Int64Range(1, 100).Draw(t, "run")})
		list[0].Replicas -= rapid.Int64Range(0, 3).Draw(t, "free")
		list = append(list, jobs([3]int64{1, 4 * m.Count, 10})...)
		for range rapid.IntRange(0, 10).Draw(t, "jobs") {
			list = append(list, jobs([3]int64{2, rapid.Int64Range(1, 4*m.Count).Draw(t, "replicas"), rapid.Int64Range(1, 100).Draw(t, "run")})...)
		}
		if got, want := started(Easy(list, m, Exact, false))[1], max(time.Minute, list[0].Run); got != want {
			t.Fatalf("the first in the queue starts at %s, want %s", got, want)
		}
	})
}

// A workload that would take centuries is an error, under every policy.
func TestTooLong(t *testing.T) {
	list := jobs([3]int64{0, 1, 1})
	list[0].Run = maxRun * time.Second
	list[0].Limit = list[0].Run
	for len(list) < 25 {
		list = append(list, list[0])
	}
	pools := []Pool{{Name: "", Replicas: 1}}
	for _, p := range Policies {
		if r := Simulate(p, list[:20], Options{Pools: pools, Plan: policy, Gang: 2}); r.Err != nil {
			t.Errorf("%s: 200 years: %v", p, r.Err)
		}
		if r := Simulate(p, list, Options{Pools: pools, Plan: policy, Gang: 2}); !errors.Is(r.Err, ErrTooLong) {
			t.Errorf("%s: 250 years: error %v", p, r.Err)
		}
	}
	if _, err := Compare(list, Policies, Noise{}, Options{Pools: pools, Plan: policy, Gang: 2}); !errors.Is(err, ErrTooLong) {
		t.Errorf("compared: error %v", err)
	}
}

// References have the delay of the start: a job has its replicas before it runs.
func TestReferencesStartLate(t *testing.T) {
	list := jobs([3]int64{0, 1, 60}, [3]int64{0, 1, 60})
	for _, p := range Policies {
		s := policy
		s.StartIn, s.StartTimeout = time.Hour, time.Hour
		r := Simulate(p, list, Options{Pools: []Pool{{Name: "", Replicas: 1}}, Plan: s, Gang: 2, Delays: Delays{Start: 5 * time.Minute}})
		if got := waits(list, r.Start); !slices.Equal(got, []int64{5, 70}) {
			t.Errorf("%s: waits %v, want 5 and 70", p, got)
		}
	}
}

// Each pool is on its own, under every policy.
func TestPoolsAreApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawJobs(t, "a", "b")
		pools := []Pool{{Name: "a", Replicas: 8}, {Name: "b", Replicas: 9}}
		for _, p := range []Policy{Plan, EasyExact, EasyLimits, StrictFifo, FirstFits, ShortestExact, EasyShortest} {
			r := Simulate(p, list, Options{Pools: pools, Plan: policy, Gang: 4})
			for _, pool := range pools {
				var own []Job
				var want []time.Duration
				for i, j := range list {
					if j.Pool == pool.Name {
						own, want = append(own, j), append(want, r.Start[i])
					}
				}
				if got := Simulate(p, own, Options{Pools: []Pool{pool}, Plan: policy, Gang: 4}).Start; !slices.Equal(got, want) {
					t.Fatalf("%s, pool %s: starts %v alone, %v beside the other", p, pool.Name, got, want)
				}
			}
		}
	})
}

// A progress that says no more ends a reference too.
func TestReferenceStops(t *testing.T) {
	o := Options{Pools: []Pool{{Name: "", Replicas: 1}}, Gang: 2, Progress: func(int) bool { return false }}
	if r := Simulate(EasyExact, jobs([3]int64{0, 1, 1}), o); !errors.Is(r.Err, ErrStopped) {
		t.Errorf("error %v", r.Err)
	}
}
