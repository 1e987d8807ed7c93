package replay

import (
	"slices"
	"time"

	"example.com/berth/internal/admission"
)

// A Policy is a way to order the jobs of a workload.
type Policy string

// The policies: Berth's own, with keys by declared limits and by learned run times,
// and the references.
const (
	Plan          Policy = "plan"
	PlanLearned   Policy = "plan, learned"
	PlanShared    Policy = "plan, shared" // learned, with the quotas of tenants
	StrictFifo    Policy = "FIFO"
	FirstFits     Policy = "first fit"
	EasyExact     Policy = "EASY, exact"
	EasyLimits    Policy = "EASY, limits"
	EasyShortest  Policy = "EASY, shortest"
	ShortestExact Policy = "shortest, exact"
)

// Policies are those that are compared, Berth's own first.
var Policies = []Policy{Plan, PlanLearned, EasyExact, EasyLimits, StrictFifo, FirstFits, ShortestExact}

// Options are those of a comparison.
type Options struct {
	Pools  []Pool
	Plan   admission.PlanPolicy
	Gang   int64  // replicas from which on a job is a gang
	Delays Delays // of Berth; the references have only that of the start
	// Quotas are those of [Settings], for PlanShared alone.
	Quotas func(pool Pool) *admission.Quotas
	// Each, if not 0, is how many replicas a machine has, for the references.
	Each int64
	// Progress is that of [Settings].
	Progress func(ended int) (more bool)
}

// Simulate runs jobs of [Place] under a policy.
func Simulate(p Policy, jobs []Job, o Options) Result {
	s := Settings{Policy: o.Plan, Gang: o.Gang, Delays: o.Delays, Expected: Declared, Progress: o.Progress}
	switch p {
	case Plan:
		return Run(jobs, o.Pools, s)
	case PlanShared:
		s.Quotas = o.Quotas
		fallthrough
	case PlanLearned:
		e := NewEstimates()
		s.Expected, s.Ended = e.Expected, e.Learn
		return Run(jobs, o.Pools, s)
	}
	r := Result{Start: make([]time.Duration, len(jobs))}
	for _, pool := range o.Pools {
		var own []Job
		var at []int
		for i := range jobs {
			if j := jobs[i]; j.Pool == pool.Name {
				j.Run, j.Limit = j.Run+o.Delays.Start, j.Limit+o.Delays.Start // it has its replicas meanwhile
				own, at = append(own, j), append(at, i)
			}
		}
		starts, err := reference(p, own, machinesOf(pool, o.Each))
		if err == nil && o.Progress != nil && !o.Progress(len(own)) {
			err = ErrStopped
		}
		if err != nil {
			r.Err = err
			return r
		}
		for k, start := range starts {
			r.Start[at[k]] = start + o.Delays.Start
		}
	}
	return r
}

func reference(p Policy, jobs []Job, m Machines) ([]time.Duration, error) {
	switch p {
	case StrictFifo:
		return Fifo(jobs, m)
	case FirstFits:
		return FirstFit(jobs, m)
	case EasyExact:
		return Easy(jobs, m, Exact, false)
	case EasyLimits:
		return Easy(jobs, m, Declared, false)
	case EasyShortest:
		return Easy(jobs, m, Exact, true)
	default:
		return Shortest(jobs, m)
	}
}

func machinesOf(p Pool, each int64) Machines {
	if each == 0 {
		return Flat(p.Replicas)
	}
	return Machines{p.Replicas / each, each}
}

// Unfit returns the jobs that fit no empty pool of machines.
func Unfit(jobs []Job, pools []Pool, each int64) []Job {
	return slices.DeleteFunc(slices.Clone(jobs), func(j Job) bool {
		i := slices.IndexFunc(pools, func(p Pool) bool { return p.Name == j.Pool })
		return machinesOf(pools[i], each).Fits(&j)
	})
}
