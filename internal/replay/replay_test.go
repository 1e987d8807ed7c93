package replay

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/berth/internal/admission"
)

// jobs makes a workload of rows: submitted at, replicas, run time, in minutes.
func jobs(rows ...[3]int64) (list []Job) {
	for i, r := range rows {
		run := time.Duration(r[2]) * time.Minute
		list = append(list, Job{ID: fmt.Sprint(i), Submit: time.Duration(r[0]) * time.Minute, Replicas: r[1], Run: run, Limit: admission.LimitStep(run)})
	}
	return list
}

func waits(list []Job, start []time.Duration) (minutes []int64) {
	for i := range list {
		minutes = append(minutes, int64((start[i]-list[i].Submit)/time.Minute))
	}
	return minutes
}

// started returns the starts of a run that comes to its end.
func started(start []time.Duration, err error) []time.Duration {
	if err != nil {
		panic(err)
	}
	return start
}

func plan(list []Job, replicas int64, p admission.PlanPolicy) []time.Duration {
	return Run(list, []Pool{{Replicas: replicas}}, Settings{Policy: p, Gang: 2, Expected: Declared}).Start
}

var policy = admission.PlanPolicy{Horizon: time.Hour, Patience: 24 * time.Hour}

// Small workloads with results computed by hand.
func TestByHand(t *testing.T) {
	for name, c := range map[string]struct {
		jobs           []Job
		replicas       int64
		easy, shortest []int64
		plan           []int64
	}{
		// The wide one waits for all four; the short one is over before that, the
		// long one would hold it up and does not.
		"one that is over in time": {jobs([3]int64{0, 3, 600}, [3]int64{1, 4, 60}, [3]int64{2, 1, 240}, [3]int64{3, 1, 1200}), 4,
			[]int64{0, 599, 0, 657}, []int64{0, 1441, 0, 239}, []int64{0, 599, 0, 657}},
		// Two are free beside the reservation: one long job may have one of them.
		"one that fits beside": {jobs([3]int64{0, 4, 60}, [3]int64{1, 5, 60}, [3]int64{2, 1, 6000}, [3]int64{3, 1, 6000}), 6,
			[]int64{0, 59, 0, 117}, []int64{0, 6001, 0, 0}, []int64{0, 59, 0, 117}},
		// No job waits: everything starts at once.
		"no queue": {jobs([3]int64{0, 1, 60}, [3]int64{1, 1, 60}), 2, []int64{0, 0}, []int64{0, 0}, []int64{0, 0}},
	} {
		if got := waits(c.jobs, started(Easy(c.jobs, Flat(c.replicas), Exact, false))); !slices.Equal(got, c.easy) {
			t.Errorf("%s: EASY waits %v, want %v", name, got, c.easy)
		}
		if got := waits(c.jobs, started(Shortest(c.jobs, Flat(c.replicas)))); !slices.Equal(got, c.shortest) {
			t.Errorf("%s: shortest first waits %v, want %v", name, got, c.shortest)
		}
		if got := waits(c.jobs, plan(c.jobs, c.replicas, policy)); !slices.Equal(got, c.plan) {
			t.Errorf("%s: the plan waits %v, want %v", name, got, c.plan)
		}
	}
}

// Without backfill no job passes the first waiting one.
func TestNoBackfill(t *testing.T) {
	list := jobs([3]int64{0, 3, 600}, [3]int64{1, 4, 60}, [3]int64{2, 1, 10})
	p := policy
	p.NoBackfill = true
	if got := waits(list, plan(list, 4, p)); got[2] != 658 {
		t.Errorf("the job behind the wide one waits %d minutes, want 658", got[2])
	}
}

// real is a policy for jobs that take a while until they run.
var real = admission.PlanPolicy{Horizon: time.Hour, Patience: 24 * time.Hour, StartIn: time.Hour, StartTimeout: time.Hour, Margin: 5 * time.Minute}

// For every workload and policy, every job starts, none before its submission,
// and no more replicas are in use than exist.
func TestEveryRunIsSound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const replicas = 8
		var list []Job
		at := int64(0)
		for range rapid.IntRange(1, 30).Draw(t, "jobs") {
			at += rapid.Int64Range(0, 90).Draw(t, "gap")
			list = append(list, jobs([3]int64{at, rapid.Int64Range(1, replicas).Draw(t, "replicas"), rapid.Int64Range(0, 3000).Draw(t, "run")})...)
		}
		est := NewEstimates()
		for name, start := range map[string][]time.Duration{
			"EASY": started(Easy(list, Flat(replicas), Exact, false)), "shortest": started(Shortest(list, Flat(replicas))), "plan": plan(list, replicas, policy),
			"limits": started(Easy(list, Flat(replicas), Declared, true)), "FIFO": started(Fifo(list, Flat(replicas))), "first fit": started(FirstFit(list, Flat(replicas))),
			"learned": Run(list, []Pool{{Replicas: replicas}}, Settings{Policy: policy, Gang: 2, Expected: est.Expected, Ended: est.Learn}).Start,
			"delayed": Run(list, []Pool{{Replicas: replicas}}, Settings{Policy: real, Gang: 2, Expected: Declared, Delays: Delays{time.Minute, 3 * time.Second, 1, 2 * time.Minute}}).Start,
		} {
			for i := range list {
				if start[i] < list[i].Submit {
					t.Fatalf("%s: job %d starts before it is submitted", name, i)
				}
				used := int64(0)
				for k := range list {
					if start[k] <= start[i] && start[i] < start[k]+list[k].Run {
						used += list[k].Replicas
					}
				}
				if used > replicas {
					t.Fatalf("%s: %d of %d replicas are in use at %s", name, used, replicas, start[i])
				}
			}
		}
	})
}

// Each tenant of a run has a history of its own, as in a deployment: no tenant learns
// from another, or misleads it.
func TestEstimatesOfTenants(t *testing.T) {
	e := NewEstimates()
	short := Job{Tenant: "a", Replicas: 3, Limit: 24 * time.Hour, Run: 10 * time.Minute}
	long := Job{Tenant: "b", Replicas: 3, Limit: 24 * time.Hour, Run: 20 * time.Hour}
	for range 50 {
		e.Learn(&short)
	}
	if got := e.Expected(&long); got != 24*time.Hour {
		t.Errorf("%s is expected of a tenant of which no job has ended, want its limit", got)
	}
	for range 50 {
		e.Learn(&long)
	}
	if a, b := e.Expected(&short), e.Expected(&long); a < 9*time.Minute || a > 20*time.Minute || b < 15*time.Hour || b > 24*time.Hour {
		t.Errorf("%s and %s are expected of tenants whose jobs run 10 minutes and 20 hours", a, b)
	}
	short.Limit = time.Hour
	if got := e.Expected(&short); got != time.Hour {
		t.Errorf("%s is expected of a job with a limit that none has had", got)
	}
}
