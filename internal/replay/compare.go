package replay

import (
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Noise is what is random in a comparison.
type Noise struct {
	Seeds  int           // runs, each with its own jitter and limits; 0 for one
	Jitter time.Duration // of submissions, see [Jitter]
	Loose  int           // steps of limits, see [Loosen]
	// MaxLimit is the longest limit that Loosen makes; 0 for any. No limit of the
	// workload may be longer.
	MaxLimit time.Duration
}

// apply returns the jobs of one run. Jitter and limits draw from separate sources, so
// that runs with exact and with loose limits have the same submissions.
func (n Noise) apply(jobs []Job, seed int) []Job {
	jobs = Jitter(jobs, n.Jitter, rand.New(rand.NewPCG(uint64(seed), 1))) //nolint:gosec // the same seed gives the same run
	if n.Loose > 0 {
		jobs = Loosen(jobs, n.Loose, rand.New(rand.NewPCG(uint64(seed), 2))) //nolint:gosec // as above
		for i := range jobs {
			if n.MaxLimit > 0 {
				jobs[i].Limit = min(jobs[i].Limit, n.MaxLimit)
			}
		}
	}
	return jobs
}

// A Comparison is the scores of several policies on one workload.
type Comparison struct {
	Policies []Compared
	// Jobs are those of the first run, and Results its results by policy.
	Jobs    []Job
	Results []Result
}

// A Compared is the score of a policy, and what it is in parts of that of EASY with
// exact run times: the geometric mean of the ratios of all runs.
type Compared struct {
	Score
	OfEasy Ratios  `json:"ofEasy"`
	Runs   []Score `json:"runs,omitempty"` // one a seed, if there are several
}

// Ratios compare a score with another.
type Ratios struct {
	Mean    float64 `json:"meanWait"`
	Max     float64 `json:"maxWait"`
	GangMax float64 `json:"gangMaxWait"`
}

// ratio is a/b for waits, of which less than a second counts as one.
func ratio(a, b Seconds) float64 {
	return max(1, time.Duration(a).Seconds()) / max(1, time.Duration(b).Seconds())
}

// Ratio returns what a score is in parts of another.
func Ratio(s, to *Score) Ratios {
	return Ratios{ratio(s.Mean, to.Mean), ratio(s.Max, to.Max), ratio(s.Gangs.Max, to.Gangs.Max)}
}

// Geometric returns the geometric mean of ratios.
func Geometric(list []Ratios) Ratios {
	mean := func(of func(Ratios) float64) float64 {
		sum := 0.
		for _, r := range list {
			sum += math.Log(of(r))
		}
		return math.Exp(sum / float64(len(list)))
	}
	return Ratios{mean(func(r Ratios) float64 { return r.Mean }), mean(func(r Ratios) float64 { return r.Max }), mean(func(r Ratios) float64 { return r.GangMax })}
}

// Compare runs a workload under each policy, several at a time. Ratios are zero if EASY
// with exact run times is none of them. The error is that of a [Result].
func Compare(jobs []Job, policies []Policy, noise Noise, o Options) (Comparison, error) {
	seeds := max(1, noise.Seeds)
	runs := make([][]Job, seeds)
	for k := range runs {
		runs[k] = noise.apply(jobs, k+1)
	}
	c := Comparison{Jobs: runs[0], Results: make([]Result, len(policies)), Policies: make([]Compared, len(policies))}
	scores, failed := make([][]Score, len(policies)), make([]error, len(policies)*seeds)
	for i := range scores {
		scores[i] = make([]Score, seeds)
	}
	var stopped atomic.Bool // by the first error
	o.Progress = stopping(o.Progress, &stopped)
	each(len(policies)*seeds, func(n int) {
		i, k := n/seeds, n%seeds
		if stopped.Load() {
			return
		}
		r := Simulate(policies[i], runs[k], o)
		if failed[n] = r.Err; r.Err != nil {
			stopped.Store(true)
			return
		}
		scores[i][k] = ScoreOf(policies[i], runs[k], o.Pools, r, o.Gang)
		if k == 0 {
			c.Results[i] = r
		}
	})
	for _, err := range failed {
		if errors.Is(err, ErrTooLong) {
			return c, err // the others stopped because of it
		}
	}
	if stopped.Load() {
		return c, ErrStopped
	}
	easy := slices.Index(policies, EasyExact)
	for i := range policies {
		c.Policies[i].Score = Average(scores[i])
		if seeds > 1 {
			c.Policies[i].Runs = scores[i]
		}
		if easy >= 0 {
			var list []Ratios
			for k := range scores[i] {
				list = append(list, Ratio(&scores[i][k], &scores[easy][k]))
			}
			c.Policies[i].OfEasy = Geometric(list)
		}
	}
	return c, nil
}

// stopping is a progress that also stops the runs when one of them has failed.
func stopping(progress func(int) bool, stopped *atomic.Bool) func(int) bool {
	return func(n int) bool {
		if progress != nil && !progress(n) {
			stopped.Store(true)
		}
		return !stopped.Load()
	}
}

// each calls do for 0 to n-1, as many at a time as there are processors.
func each(n int, do func(int)) {
	var wait sync.WaitGroup
	var next atomic.Int64
	for range min(n, runtime.GOMAXPROCS(0)) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wait.Wait()
}
