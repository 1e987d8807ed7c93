// Package replay runs a workload through the plan of package admission in virtual
// time, beside references: strict FIFO, first fit, EASY backfill and shortest job
// first. EASY and shortest first with exact run times bound what is possible,
// because no scheduler knows run times in advance.
//
// The model is flat: a pool is a number of equal replicas, each job takes some of
// the replicas of one pool for its run time, and is never preempted. References can
// also run on pools of machines that a job's parts have to fit into (see [Machines]).
// Scheduling takes no time, except for the delays of [Delays].
package replay

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
)

// A Job is one row of a workload.
type Job struct {
	Line     int // of the workload file
	ID       string
	Tenant   string
	Pool     string        // whose replicas it takes; "" for the only pool
	Submit   time.Duration // since the start of the workload
	Replicas int64
	Machines int64         // how many machines its replicas are spread over; 0 for as few as possible
	Priority int           // -1000 to 1000, higher first; references do not know it
	Run      time.Duration // how long it runs
	Limit    time.Duration // how long it may run, as declared; never less than Run
}

// A Pool is a number of equal replicas.
type Pool struct {
	Name     string `json:"name"`
	Replicas int64  `json:"replicas"`
	// Shape is what quotas call its machines. A pool without one has the shape of a
	// machine type of its name.
	Shape capacity.Shape `json:"-"`
}

func (p Pool) shape() capacity.Shape {
	if p.Shape == (capacity.Shape{}) {
		return capacity.Spec{MachineType: p.Name}.Normal()
	}
	return p.Shape
}

// DefaultLimit is the limit of a job that declares none, where a deployment sets no
// other: a CustomJob without a timeout may run for seven days.
const DefaultLimit = 7 * 24 * time.Hour

// Stop shortens the jobs that would run longer than their limit, because Vertex AI
// stops them there. It returns how many.
func Stop(jobs []Job) (stopped int) {
	for i := range jobs {
		if j := &jobs[i]; j.Run > j.Limit {
			j.Run = j.Limit
			stopped++
		}
	}
	return stopped
}

// Jitter returns the jobs, each submitted later by a random time of up to most, in
// their new order.
func Jitter(jobs []Job, most time.Duration, rng *rand.Rand) []Job {
	jobs = slices.Clone(jobs)
	if most > 0 {
		for i := range jobs {
			jobs[i].Submit += time.Duration(rng.Int64N(int64(most/time.Second)+1)) * time.Second
		}
		slices.SortStableFunc(jobs, func(a, b Job) int { return cmp.Compare(a.Submit, b.Submit) })
	}
	return jobs
}

// Loosen returns the jobs, each with a limit that is 0 to most steps of
// [admission.LimitStep] higher than it was, at random.
func Loosen(jobs []Job, most int, rng *rand.Rand) []Job {
	jobs = slices.Clone(jobs)
	for i := range jobs {
		for range rng.IntN(most + 1) {
			jobs[i].Limit = max(jobs[i].Limit, admission.LimitStep(jobs[i].Limit+1))
		}
	}
	return jobs
}

// Place checks that every job has a pool that it fits into when the pool is empty.
// A job without a pool gets the only one. It returns the jobs that fit, those that
// never fit, and an error that names the first lines whose pool does not exist.
func Place(jobs []Job, pools []Pool) (fit, unfit []Job, err error) {
	size := map[string]int64{}
	var names []string
	for _, p := range pools {
		size[p.Name] = p.Replicas
		names = append(names, p.Name)
	}
	var wrong faults
	for _, j := range jobs {
		if j.Pool == "" && len(pools) == 1 {
			j.Pool = pools[0].Name
		}
		n, ok := size[j.Pool]
		switch {
		case !ok && j.Pool == "":
			wrong.add(j.Line, "it names no pool; want one of %v in the column %s", names, columnPool)
		case !ok:
			wrong.add(j.Line, "it names a pool that is not given; want one of %v, or give the size of its pool too", names)
		case j.Replicas > n:
			unfit = append(unfit, j)
		default:
			fit = append(fit, j)
		}
	}
	return fit, unfit, wrong.err()
}

// faults are what is wrong with lines of a workload: the first few, and how many more.
type faults struct {
	list []error
	more int
}

// maxFaults bounds the lines that an error names.
const maxFaults = 20

func (f *faults) add(line int, format string, args ...any) {
	if len(f.list) == maxFaults {
		f.more++
		return
	}
	f.list = append(f.list, fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...)))
}
