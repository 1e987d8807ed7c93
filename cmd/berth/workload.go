package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/replay"
	"example.com/berth/internal/statuspage"
)

// workloadFlags are those of the verbs that run a workload in virtual time.
type workloadFlags struct {
	Workload string `arg:"" help:"CSV file, plain or .gz, sorted by submit_s, with the columns job_id, submit_s, gpus, duration_s and, optionally, tenant, pool, limit_s, nodes, priority."`

	Replicas int64    `group:"Pools" placeholder:"COUNT" help:"Replicas of one pool for all jobs, whatever pool they name."`
	Pool     []string `group:"Pools" sep:"none" placeholder:"NAME=COUNT" help:"Replicas of a pool; NAME=+COUNT or NAME=-COUNT changes what is given before it, or what the persistent resource has. Repeatable."`
	Resource string   `group:"Pools" placeholder:"NAME" help:"Take the pools of this persistent resource from the deployment."`
	LeaveOut bool     `group:"Pools" help:"Leave out the jobs that never fit, as Berth refuses them, and count them."`

	Gang         int64         `group:"Policy" default:"2" help:"Smallest number of replicas that counts as a gang."`
	Patience     time.Duration `group:"Policy" default:"24h" help:"Wait after which a job is protected from most backfill."`
	NoBackfill   bool          `group:"Policy" help:"No job passes one that waits for the same pool."`
	LimitDefault time.Duration `group:"Policy" help:"Time limit of the jobs that declare none: those with an empty limit_s, or all of a workload without that column. Jobs that run longer are stopped there."`
	LimitMax     time.Duration `group:"Policy" help:"Longest time limit: longer ones are lowered to it, as BERTH_MAX_TIMEOUT makes users do. Jobs that run longer are stopped there."`

	Jitter      time.Duration `group:"Chance" help:"Submit each job later by a random time of up to this."`
	LooseLimits int           `group:"Chance" placeholder:"STEPS" help:"Raise each limit by 0 to this many steps (1h 4h 12h 1d 3d 7d 30d 90d) at random."`
	Seeds       int           `group:"Chance" default:"1" help:"Runs with different chance; figures are their means."`

	Delays      string         `group:"Delays" enum:"none,real" default:"none" help:"Delays of Berth: none, or real for those of a deployment (tick 1m, poll 3s, 60 submissions a minute, start delay 2m)."`
	Tick        *time.Duration `group:"Delays" placeholder:"DURATION" help:"Time between two passes while no job waits."`
	Poll        *time.Duration `group:"Delays" placeholder:"DURATION" help:"The same while jobs wait; 0 for the tick."`
	Submissions *int           `group:"Delays" placeholder:"COUNT" help:"Submissions to Vertex AI a minute; 0 for no bound."`
	StartDelay  *time.Duration `group:"Delays" placeholder:"DURATION" help:"Time from the submission of a job until it runs."`

	observedName string // of the resource, as the deployment has it
}

// realStart is a usual time from submission to RUNNING on a persistent resource whose
// machines are there.
const realStart = 2 * time.Minute

// workload is what a verb runs.
type workload struct {
	all     []replay.Job // before they have a place
	jobs    []replay.Job
	unfit   []replay.Job
	stopped int // jobs that ran longer than their limit
	noise   replay.Noise
	options replay.Options
}

func (f *workloadFlags) open(g *globals) (*workload, error) {
	if f.Gang < 1 || f.Patience < 0 || f.LimitDefault < 0 || f.Jitter < 0 || f.LooseLimits < 0 || f.LooseLimits > 8 || f.Seeds < 1 || f.Seeds > 1000 {
		return nil, usage("--gang %d, --patience %s, --limit-default %s, --jitter %s, --loose-limits %d, --seeds %d: want 1 or more, no less than 0, no less than 0, no less than 0, 0 to 8, 1 to 1000",
			f.Gang, f.Patience, f.LimitDefault, f.Jitter, f.LooseLimits, f.Seeds)
	}
	if f.LimitMax < 0 || f.LimitMax > 0 && f.LimitDefault > f.LimitMax {
		return nil, usage("--limit-max %s: want 0 for none, or no less than --limit-default %s", f.LimitMax, f.LimitDefault)
	}
	w := &workload{noise: replay.Noise{Seeds: f.Seeds, Jitter: f.Jitter, Loose: f.LooseLimits, MaxLimit: f.LimitMax}}
	w.options = replay.Options{Gang: f.Gang, Plan: admission.PlanPolicy{Horizon: time.Hour, Patience: f.Patience, NoBackfill: f.NoBackfill}}
	if err := f.delays(&w.options); err != nil {
		return nil, err
	}
	var err error
	if w.options.Pools, err = f.pools(g); err != nil {
		return nil, err
	}
	file, err := os.Open(f.Workload)
	if err != nil {
		return nil, usage("open the workload: %w", err)
	}
	defer file.Close() //nolint:errcheck // opened for reading only
	jobs, err := replay.Read(file, replay.Limits{Default: f.LimitDefault, Missing: f.LimitDefault > 0, Max: f.LimitMax})
	if err != nil {
		return nil, usage("%s: %w", f.Workload, err)
	}
	if f.Replicas > 0 {
		for i := range jobs {
			jobs[i].Pool = ""
		}
	}
	w.all, w.stopped = jobs, replay.Stop(jobs)
	w.jobs, w.unfit, err = replay.Place(jobs, w.options.Pools)
	if err != nil {
		return nil, usage("%s: %w", f.Workload, err)
	}
	return w, nil
}

// only refuses a workload with jobs that never fit, unless they are to be left out.
func (w *workload) only(leaveOut bool) error {
	if len(w.unfit) == 0 {
		return nil
	}
	var lines []string
	for _, j := range w.unfit[:min(len(w.unfit), 5)] {
		i := slices.IndexFunc(w.options.Pools, func(p replay.Pool) bool { return p.Name == j.Pool })
		lines = append(lines, fmt.Sprintf("line %d: job %s asks for %d of the %s of pool %s", j.Line, j.ID, j.Replicas, reason.Count(w.options.Pools[i].Replicas, "replica"), j.Pool))
	}
	if more := len(w.unfit) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %s more", reason.Count(more, "job")))
	}
	switch {
	case !leaveOut:
		return usage("%s: these can never start; give the pool more replicas, or --leave-out", strings.Join(lines, "; "))
	case len(w.jobs) == 0:
		return usage("%s: no job is left", strings.Join(lines, "; "))
	}
	return nil
}

// delays sets the delays, and the time that a job has until it runs as a deployment
// has it, if jobs do not run at once.
func (f *workloadFlags) delays(o *replay.Options) error {
	d := &o.Delays
	real := controller.DefaultConfig()
	if f.Delays == "real" {
		*d = replay.Delays{Tick: real.Tick, Poll: real.Poll, Submissions: real.Submissions, Start: realStart}
	}
	for _, set := range []struct{ to, from *time.Duration }{{&d.Tick, f.Tick}, {&d.Poll, f.Poll}, {&d.Start, f.StartDelay}} {
		if set.from != nil {
			*set.to = *set.from
		}
	}
	if f.Submissions != nil {
		d.Submissions = *f.Submissions
	}
	if d.Tick < 0 || d.Poll < 0 || d.Submissions < 0 || d.Start < 0 || d.Start >= real.StartTimeout {
		return usage("--tick %s, --poll %s, --submissions %d, --start-delay %s: want 0 or more, and a start delay below the %s that a job has to be running",
			d.Tick, d.Poll, d.Submissions, d.Start, real.StartTimeout)
	}
	if d.Submissions > 0 || d.Start > 0 {
		own := o.Plan
		o.Plan = real.Policy.Plan
		o.Plan.Patience, o.Plan.NoBackfill = own.Patience, own.NoBackfill
	}
	return nil
}

// maxPool bounds the replicas of a pool.
const maxPool = 1_000_000

// pools are those of the resource, given ones, and their edits.
func (f *workloadFlags) pools(g *globals) (pools []replay.Pool, err error) {
	if f.Replicas != 0 {
		if f.Replicas < 1 || f.Replicas > maxPool || len(f.Pool) > 0 || f.Resource != "" {
			return nil, usage("--replicas %d: want 1 to %d, and no --pool or --resource", f.Replicas, maxPool)
		}
		return []replay.Pool{{Name: "all", Replicas: f.Replicas}}, nil
	}
	if f.Resource != "" {
		if pools, err = f.observed(g); err != nil {
			return nil, err
		}
	}
	for _, text := range f.Pool {
		name, count, ok := strings.Cut(text, "=")
		n, err := strconv.ParseInt(count, 10, 64)
		if !ok || name == "" || err != nil {
			return nil, usage("--pool %s: want NAME=COUNT, NAME=+COUNT or NAME=-COUNT", text)
		}
		i := slices.IndexFunc(pools, func(p replay.Pool) bool { return p.Name == name })
		edit := strings.HasPrefix(count, "+") || strings.HasPrefix(count, "-")
		switch {
		case edit && i < 0:
			return nil, usage("--pool %s: there is no pool %s to change; give --pool %s=COUNT before it, or --resource", text, name, name)
		case edit:
			n += pools[i].Replicas
		case i < 0:
			i = len(pools)
			pools = append(pools, replay.Pool{Name: name})
		}
		if n < 1 || n > maxPool {
			return nil, usage("--pool %s: the pool would have %d replicas; want 1 to %d", text, n, maxPool)
		}
		pools[i].Replicas = n
	}
	if len(pools) == 0 {
		return nil, usage("no pool is given; want --replicas COUNT, --pool NAME=COUNT or --resource NAME")
	}
	return pools, nil
}

// observed are the pools of the persistent resource.
func (f *workloadFlags) observed(g *globals) (pools []replay.Pool, err error) {
	_, err = pages(g, "pools", resourceQuery(f.Resource), 1, func(p statuspage.Pools) (int, string) {
		for _, r := range p.Resources {
			f.observedName = r.Name
			for _, pool := range r.Pools {
				pools = append(pools, replay.Pool{Name: pool.ID, Replicas: int64(pool.Limit), Shape: pool.Shape})
			}
		}
		return len(p.Resources), p.Next
	})
	if err == nil && len(pools) == 0 {
		err = usage("--resource %s: the deployment has not observed any pools of it", f.Resource)
	}
	return pools, err
}
