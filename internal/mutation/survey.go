package mutation

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path"
	"regexp"
	"slices"
	"time"
)

// A Survey says which mutants to run.
type Survey struct {
	Runner   *Runner
	Targets  []Target
	Only     *regexp.Regexp // of a mutant in words; nil for all
	Sample   int            // how many mutants to draw; 0 for all
	Seed     uint64
	For      time.Duration // no mutant is begun after this long; 0 for no end
	Accepted Accepted
	Progress io.Writer
}

// A Verdict is what became of one mutant.
type Verdict struct {
	Mutant
	Result   string  `json:"result"`
	By       string  `json:"by,omitempty"`       // the tests that failed
	Accepted string  `json:"accepted,omitempty"` // why it may live
	Seconds  float64 `json:"seconds"`
}

// Counts of a package, or of all.
type Counts struct {
	Mutants  int     `json:"mutants"` // there are, accepted ones included; about one in ten does not compile
	Run      int     `json:"run"`
	Killed   int     `json:"killed"` // timed out included
	TimedOut int     `json:"timedOut"`
	Lived    int     `json:"lived"`
	Accepted int     `json:"accepted"` // may live; not counted as run
	Score    float64 `json:"score"`    // killed of those run, in percent; 100 when none was
}

// A Report is the outcome of a survey.
type Report struct {
	Seed     uint64            `json:"seed"`
	Total    Counts            `json:"total"`
	Packages map[string]Counts `json:"packages"`
	Verdicts []Verdict         `json:"verdicts"`
	// Stale are accepted survivors of the surveyed files that the source does not
	// have any more.
	Stale []string `json:"stale,omitempty"`
	Cut   bool     `json:"cut,omitempty"` // the time was over before the sample
}

// candidates makes the mutants of all targets, and finds accepted survivors that
// there are none of. Accepted ones are not returned.
func (s *Survey) candidates(ctx context.Context, r *Report) ([]Mutant, error) {
	var patterns []string
	for _, t := range s.Targets {
		patterns = append(patterns, "./"+t.Package)
	}
	packages, err := Load(ctx, s.Runner.Root, patterns...)
	if err != nil {
		return nil, err
	}
	var all []Mutant
	met, folders := map[Key]bool{}, map[string]bool{}
	for _, t := range s.Targets {
		folders[t.Package] = true
	}
	for _, p := range packages {
		for _, m := range p.Mutants {
			met[m.Key()] = true
			if s.Only != nil && !s.Only.MatchString(m.String()) {
				continue
			}
			c := r.Packages[path.Dir(m.File)]
			c.Mutants++
			if _, ok := s.Accepted[m.Key()]; ok {
				c.Accepted++
			} else {
				all = append(all, m)
			}
			r.Packages[path.Dir(m.File)] = c
		}
	}
	for k := range s.Accepted {
		if folders[path.Dir(k.File)] && !met[k] {
			r.Stale = append(r.Stale, fmt.Sprintf("%s: %s: %s", k.File, k.Function, k.Before))
		}
	}
	slices.Sort(r.Stale)
	return all, nil
}

// Draw returns the sample of a survey, in the order in which it is run. Any
// beginning of it is a sample too.
func (s *Survey) Draw(ctx context.Context) ([]Mutant, *Report, error) {
	r := &Report{Seed: s.Seed, Packages: map[string]Counts{}}
	all, err := s.candidates(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	rand.New(rand.NewPCG(s.Seed, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] }) //nolint:gosec // a sample that can be drawn again
	var sample []Mutant
	for _, m := range all {
		if s.Sample > 0 && len(sample) == s.Sample {
			break
		}
		if m.check(m) {
			sample = append(sample, m)
		}
	}
	return sample, r, nil
}

// Run draws the sample and runs it.
func (s *Survey) Run(ctx context.Context) (*Report, error) {
	began := time.Now()
	sample, r, err := s.Draw(ctx)
	if err != nil {
		return nil, err
	}
	steps := map[string][]Step{}
	for _, t := range s.Targets {
		steps[t.Package] = t.Steps
	}
	report := func(format string, args ...any) { _, _ = fmt.Fprintf(s.Progress, format, args...) }
	report("%d mutants to run\n", len(sample))
	drawn := map[string]bool{}
	for _, m := range sample {
		drawn[path.Dir(m.File)] = true
	}
	for _, folder := range slices.Sorted(maps.Keys(drawn)) {
		err := s.Runner.Baseline(ctx, steps[folder], func(step Step, d time.Duration) {
			report("unchanged: %5.1f s  %s\n", d.Seconds(), step.name())
		})
		if err != nil {
			return nil, err
		}
	}
	for i, m := range sample {
		if s.For > 0 && time.Since(began) > s.For {
			r.Cut = true
			break
		}
		start := time.Now()
		word, by, err := s.Runner.Run(ctx, m, steps[path.Dir(m.File)])
		if err != nil {
			if ctx.Err() != nil {
				r.Cut = true
				break
			}
			return nil, fmt.Errorf("run mutant %s: %w", m, err)
		}
		v := Verdict{Mutant: m, Result: word, By: by, Seconds: time.Since(start).Seconds()}
		r.add(v)
		report("[%d/%d] %5.1f s  %-9s %s:%d %s: %s  %s\n", i+1, len(sample), v.Seconds, word, m.File, m.Line, m.Function, m.Operator, by)
		if word == Lived {
			report("    - %s\n    + %s\n", m.Before, m.After)
		}
	}
	r.sum()
	return r, nil
}

func (r *Report) add(v Verdict) {
	r.Verdicts = append(r.Verdicts, v)
	c := r.Packages[path.Dir(v.File)]
	switch v.Result {
	case Broken:
	case Lived:
		c.Run, c.Lived = c.Run+1, c.Lived+1
	case TimeOut:
		c.TimedOut++
		fallthrough
	default:
		c.Run, c.Killed = c.Run+1, c.Killed+1
	}
	r.Packages[path.Dir(v.File)] = c
}

func (r *Report) sum() {
	for name, c := range r.Packages {
		c.score()
		r.Packages[name] = c
		r.Total.Mutants += c.Mutants
		r.Total.Run += c.Run
		r.Total.Killed += c.Killed
		r.Total.TimedOut += c.TimedOut
		r.Total.Lived += c.Lived
		r.Total.Accepted += c.Accepted
	}
	r.Total.score()
}

func (c *Counts) score() {
	if c.Score = 100; c.Run > 0 {
		c.Score = 100 * float64(c.Killed) / float64(c.Run)
	}
}
