package main

import (
	"fmt"
	"slices"
	"time"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/replay"
)

type sizeCmd struct {
	workloadFlags

	Wait  time.Duration `name:"p95-wait" required:"" help:"Of 100 jobs, at most 5 may wait longer than this."`
	For   string        `placeholder:"POOL" help:"The pool whose size is asked for, if there are several; the others keep theirs."`
	Step  int64         `default:"1" help:"Only sizes that are a multiple of this: a machine's replicas, say."`
	Most  int64         `placeholder:"COUNT" help:"Largest size to try; by default the sum of what all jobs ask for."`
	Limit bool          `name:"by-limits" help:"Order by declared limits alone, as a deployment without learned run times."`
	Price *float64      `help:"Price of a replica-hour, for the price of idle replicas."`
}

// Help is shown below the flags.
func (sizeCmd) Help() string {
	return `Runs the workload in virtual time under the plan that a deployment goes by, with more and fewer replicas, until it finds a size that suffices and is one step larger than one that does not. ` +
		`Says what one step more or fewer would have done. More replicas mostly shorten waits, but no backfill promises that, so a smaller size may suffice too. ` +
		`Pools are given as for simulate; without any there is one for all jobs. What is given for the pool in question does not matter.`
}

// A sized is what size prints with --json.
type sized struct {
	Pool       string         `json:"pool"`
	Target     replay.Seconds `json:"p95WaitTargetSeconds"`
	Replicas   int64          `json:"replicas,omitempty"` // 0 if no size suffices
	Step       int64          `json:"step"`
	Policy     replay.Policy  `json:"policy"`
	Sizes      []replay.Size  `json:"sizes"` // one step fewer, the answer, one step more
	IdlePrices []float64      `json:"idlePrices,omitempty"`
	Stopped    int            `json:"stoppedAtLimit,omitempty"`
}

func (c *sizeCmd) Run(g *globals) error {
	if c.Wait < 0 || c.Step < 1 || c.Step > maxPool || c.Most < 0 || c.Most > maxPool {
		return usage("--p95-wait %s, --step %d, --most %d: want no less than 0, 1 to %d, and 0 to %d", c.Wait, c.Step, c.Most, maxPool, maxPool)
	}
	if c.Replicas == 0 && len(c.Pool) == 0 && c.Resource == "" {
		c.Replicas = maxPool // one pool for all jobs
	}
	w, err := c.open(g)
	if err != nil {
		return err
	}
	at, err := c.pool(w)
	if err != nil {
		return err
	}
	search, err := c.bounds(w, at)
	if err != nil {
		return err
	}
	result := sized{Pool: w.options.Pools[at].Name, Target: replay.Seconds(c.Wait), Step: c.Step, Policy: replay.PlanLearned, Stopped: w.stopped}
	if c.Limit {
		result.Policy = replay.Plan
	}
	score := func(n int64) (replay.Score, error) {
		bar := newProgress(g, len(w.jobs)*w.noise.Seeds)
		bar.what = fmt.Sprintf("%d replicas: ", n)
		defer bar.end()
		o := w.options
		o.Progress = bar.add
		o.Pools = slices.Clone(o.Pools)
		o.Pools[at].Replicas = n
		compared, err := replay.Compare(w.jobs, []replay.Policy{result.Policy}, w.noise, o)
		return compared.Policies[0].Score, err
	}
	sizes, found, err := replay.FindSize(search, score)
	if err != nil {
		return unfinished(err)
	}
	if result.Sizes = sizes; found {
		i := slices.IndexFunc(sizes, func(s replay.Size) bool { return s.OK })
		result.Replicas = sizes[i].Replicas
	}
	if c.Price != nil {
		for _, s := range sizes {
			result.IdlePrices = append(result.IdlePrices, *c.Price*s.IdleReplicaHours)
		}
	}
	if g.JSON {
		return pretty(g.out, result)
	}
	result.print(g, search.Most)
	return nil
}

// pool is the place of the pool that is asked for. Jobs that do not fit its given size
// take part.
func (c *sizeCmd) pool(w *workload) (at int, err error) {
	if c.For != "" {
		if at = slices.IndexFunc(w.options.Pools, func(p replay.Pool) bool { return p.Name == c.For }); at < 0 {
			return 0, usage("--for %s: no such pool is given", c.For)
		}
	} else if len(w.options.Pools) > 1 {
		return 0, usage("there are %d pools; want --for POOL to say whose size is asked for", len(w.options.Pools))
	}
	w.options.Pools[at].Replicas = maxPool
	w.jobs, w.unfit, err = replay.Place(w.all, w.options.Pools)
	if err != nil {
		return 0, usage("%s: %w", c.Workload, err)
	}
	return at, w.only(c.LeaveOut)
}

// bounds are the smallest size with which every job can start, and the largest to try.
// The search begins where the replicas can do the work as fast as it is submitted.
func (c *sizeCmd) bounds(w *workload, at int) (s replay.Search, err error) {
	s = replay.Search{Least: 1, Most: c.Most, Step: c.Step, Target: replay.Seconds(c.Wait)}
	var sum int64
	var hours float64
	for _, j := range w.jobs {
		if j.Pool == w.options.Pools[at].Name {
			s.Least = max(s.Least, j.Replicas)
			sum = min(maxPool, sum+j.Replicas)
			hours += float64(j.Replicas) * j.Run.Hours()
		}
	}
	whole := func(n int64) int64 { return (n + c.Step - 1) / c.Step * c.Step }
	s.Least = whole(s.Least)
	if s.Most == 0 {
		s.Most = max(s.Least, min(maxPool, whole(sum)))
	}
	if s.Most < s.Least {
		return s, usage("--most %d: the largest job needs %d", c.Most, s.Least)
	}
	s.First = s.Least
	if span := w.jobs[len(w.jobs)-1].Submit.Hours(); span > 0 {
		s.First = int64(min(float64(s.Most), hours/span))
	}
	return s, nil
}

func (r *sized) print(g *globals, most int64) {
	if r.Stopped > 0 {
		say(g.out, "Stopped at their limit: %s", reason.Count(r.Stopped, "job"))
	}
	if r.Replicas == 0 {
		say(g.out, "No size of pool %s up to %d brings the p95 wait to %s.", r.Pool, most, r.Target)
	} else {
		say(g.out, "Pool %s needs %s for a p95 wait of %s.", r.Pool, reason.Count(r.Replicas, "replica"), r.Target)
	}
	say(g.out, "")
	heads := []string{"REPLICAS", "P95 WAIT", "MEAN", "LONGEST", "GANGS", "LONGEST", "IN USE", "IDLE REPLICA-HOURS"}
	if r.IdlePrices != nil {
		heads = append(heads, "PRICE")
	}
	t := newTable(g.out, heads...)
	for i, s := range r.Sizes {
		if s.TooLong {
			t.row(s.Replicas, "the last job would end after more than 200 years")
			continue
		}
		row := []any{s.Replicas, s.P95, s.Mean, s.Max, s.Gangs.Mean, s.Gangs.Max, fmt.Sprintf("%.1f %%", 100*s.Utilisation), fmt.Sprintf("%.0f", s.IdleReplicaHours)}
		if r.IdlePrices != nil {
			row = append(row, fmt.Sprintf("%.2f", r.IdlePrices[i]))
		}
		t.row(row...)
	}
	t.end()
}
