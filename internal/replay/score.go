package replay

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// Seconds is a duration that JSON has as a number of seconds.
type Seconds time.Duration

// MarshalJSON writes seconds, to the millisecond.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, time.Duration(s).Round(time.Millisecond).Seconds(), 'f', -1, 64), nil
}

// String writes a duration to two or three figures: 45s, 12m, 5.2h, 3.1d.
func (s Seconds) String() string {
	d := time.Duration(s)
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0fm", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.1fh", d.Hours())
	default:
		return fmt.Sprintf("%.1fd", d.Hours()/24)
	}
}

// A Group says how long some jobs waited.
type Group struct {
	Name     string  `json:"name,omitempty"`
	Jobs     int     `json:"jobs"`
	Mean     Seconds `json:"meanWaitSeconds"`
	P50      Seconds `json:"p50WaitSeconds"`
	P95      Seconds `json:"p95WaitSeconds"`
	Max      Seconds `json:"maxWaitSeconds"`
	Slowdown float64 `json:"meanBoundedSlowdown"` // see [slowdownBound]

	order float64 // among its like
}

// A Score says how long the jobs of a run waited, and how well the replicas were
// used.
type Score struct {
	Policy Policy `json:"policy"`
	Group
	// Gangs are the jobs of at least as many replicas as a gang has.
	Gangs Group `json:"gangs"`
	// Sizes are all jobs by replicas, the largest first, and Tenants by tenant, the
	// one with the most replica-hours first.
	Sizes   []Group `json:"sizes"`
	Tenants []Group `json:"tenants"`
	// Within are the jobs that were submitted within the share of their tenant.
	Within *Group `json:"withinShare,omitempty"`
	// Utilisation is the part of the replicas in use from the start until the last
	// submission, and IdleReplicaHours the rest of them in that time. If all jobs are
	// submitted at the start, it is the time until the last end.
	Utilisation      float64 `json:"utilisation"`
	IdleReplicaHours float64 `json:"idleReplicaHours"`
	// Promises, Kept and Requeued are those of [Result]; zero for references.
	Promises int `json:"promises"`
	Kept     int `json:"promisesKept"`
	Requeued int `json:"requeued"`
}

// slowdownBound is the least run time that counts for the slowdown of a job, which is
// (wait + run time) / run time, at least 1. Without it jobs of seconds decide the mean.
const slowdownBound = 10 * time.Minute

// ScoreOf scores what happened to the jobs. gang is from how many replicas on a job
// is a gang. Percentiles are by nearest rank.
func ScoreOf(policy Policy, jobs []Job, pools []Pool, r Result, gang int64) Score {
	s := Score{Policy: policy, Promises: r.Promises, Kept: r.Kept, Requeued: r.Requeued}
	all, gangs, within, sizes, tenants := &group{}, &group{}, &group{}, map[int64]*group{}, map[string]*group{}
	var last time.Duration
	for i := range jobs {
		j := &jobs[i]
		last = max(last, j.Submit)
		wait := r.Start[i] - j.Submit
		all.add(j, wait)
		if j.Replicas >= gang {
			gangs.add(j, wait)
		}
		if policy == PlanShared && r.Within[i] {
			within.add(j, wait)
		}
		groupFor(sizes, sizeClass(j.Replicas)).add(j, wait)
		groupFor(tenants, j.Tenant).add(j, wait)
	}
	s.Group, s.Gangs = all.score(""), gangs.score("")
	if policy == PlanShared {
		g := within.score("")
		s.Within = &g
	}
	for class, g := range sizes {
		s.Sizes = append(s.Sizes, g.score(sizeName(class)))
		s.Sizes[len(s.Sizes)-1].order = float64(class)
	}
	for name, g := range tenants {
		s.Tenants = append(s.Tenants, g.score(name))
		s.Tenants[len(s.Tenants)-1].order = g.use
	}
	for _, list := range [][]Group{s.Sizes, s.Tenants} {
		slices.SortFunc(list, func(a, b Group) int { return cmp.Or(cmp.Compare(b.order, a.order), cmp.Compare(a.Name, b.Name)) })
	}
	if last == 0 { // all are submitted at once
		last = Span(jobs, r.Start)
	}
	s.Utilisation, s.IdleReplicaHours = utilisation(jobs, pools, r.Start, last)
	return s
}

func utilisation(jobs []Job, pools []Pool, start []time.Duration, until time.Duration) (part, idle float64) {
	var have, used float64
	for _, p := range pools {
		have += float64(p.Replicas) * until.Hours()
	}
	for i := range jobs {
		used += float64(jobs[i].Replicas) * max(0, min(until, start[i]+jobs[i].Run)-start[i]).Hours()
	}
	if have == 0 {
		return 0, 0
	}
	return used / have, have - used
}

// A group collects the waits of jobs.
type group struct {
	waits    []time.Duration
	slowdown float64
	use      float64 // replica-hours
}

func groupFor[K comparable](m map[K]*group, key K) *group {
	g := m[key]
	if g == nil {
		g = &group{}
		m[key] = g
	}
	return g
}

func (g *group) add(j *Job, wait time.Duration) {
	g.waits = append(g.waits, wait)
	g.slowdown += max(1, float64(wait+j.Run)/float64(max(j.Run, slowdownBound)))
	g.use += float64(j.Replicas) * j.Run.Hours()
}

func (g *group) score(name string) Group {
	s := Group{Name: name, Jobs: len(g.waits)}
	if s.Jobs == 0 {
		return s
	}
	slices.Sort(g.waits)
	sum := 0. // many long waits are more than a Duration holds
	for _, w := range g.waits {
		sum += float64(w)
	}
	rank := func(percent int) Seconds { return Seconds(g.waits[(len(g.waits)*percent+99)/100-1]) }
	s.Mean, s.P50, s.P95, s.Max = Seconds(math.Round(sum/float64(s.Jobs))), rank(50), rank(95), rank(100)
	s.Slowdown = g.slowdown / float64(s.Jobs)
	return s
}

// worst is the tenant whose jobs have the largest mean slowdown.
func (s *Score) worst() Group {
	return slices.MaxFunc(s.Tenants, func(a, b Group) int { return cmp.Compare(a.Slowdown, b.Slowdown) })
}

// sizeClass is the smallest power of two that is not less.
func sizeClass(replicas int64) int64 {
	class := int64(1)
	for class < replicas {
		class *= 2
	}
	return class
}

func sizeName(class int64) string {
	if class <= 2 {
		return fmt.Sprint(class)
	}
	return fmt.Sprintf("%d to %d", class/2+1, class)
}

// Average returns the score of several runs of one policy over the same jobs: the mean
// of each figure, and the sum of each count.
func Average(scores []Score) Score {
	s := scores[0]
	s.Gangs, s.Sizes, s.Tenants = averages(scores, func(s *Score) []Group { return []Group{s.Gangs} })[0],
		averages(scores, func(s *Score) []Group { return s.Sizes }), averages(scores, func(s *Score) []Group { return s.Tenants })
	s.Group = averages(scores, func(s *Score) []Group { return []Group{s.Group} })[0]
	if s.Within != nil {
		s.Within = &averages(scores, func(s *Score) []Group { return []Group{*s.Within} })[0]
	}
	for _, o := range scores[1:] {
		s.Utilisation += o.Utilisation
		s.IdleReplicaHours += o.IdleReplicaHours
		s.Promises, s.Kept, s.Requeued = s.Promises+o.Promises, s.Kept+o.Kept, s.Requeued+o.Requeued
	}
	s.Utilisation /= float64(len(scores))
	s.IdleReplicaHours /= float64(len(scores))
	return s
}

// averages returns the mean of each figure of some groups of each score.
func averages(scores []Score, of func(*Score) []Group) []Group {
	list := slices.Clone(of(&scores[0]))
	n := float64(len(scores))
	mean := func(figure func(*Group) float64, i int) (sum float64) {
		for k := range scores {
			sum += figure(&of(&scores[k])[i]) / n
		}
		return sum
	}
	for i := range list {
		g := &list[i]
		g.Mean = Seconds(mean(func(g *Group) float64 { return float64(g.Mean) }, i))
		g.P50 = Seconds(mean(func(g *Group) float64 { return float64(g.P50) }, i))
		g.P95 = Seconds(mean(func(g *Group) float64 { return float64(g.P95) }, i))
		g.Max = Seconds(mean(func(g *Group) float64 { return float64(g.Max) }, i))
		g.Slowdown = mean(func(g *Group) float64 { return g.Slowdown }, i)
	}
	return list
}
