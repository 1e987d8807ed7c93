package fakevertex

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
)

// A JobRule says what becomes of jobs by their display name. Of several rules the first
// that matches decides; a job that none matches is as [Behaviour] says. The labels
// fake-run and fake-end of a job come before any rule.
type JobRule struct {
	// Name is a pattern of display names, in which a star stands for any text. The
	// empty pattern matches every job.
	Name string
	// StartDelay is the time from having machines to RUNNING.
	StartDelay *Span
	// RunFor is how long a job is RUNNING.
	RunFor *Span
	// Ends are the ends of jobs (succeeded, failed, expired, partially-succeeded) and how
	// often each comes, in parts of the sum. Empty: all succeed.
	Ends map[string]float64
	// Failure is the text of the error of jobs that fail; empty for a usual one.
	Failure string
}

// A Span is a time that is drawn evenly between two. Times are drawn from the seed, the
// display name and the number of jobs that had this name before, so what becomes of a
// job does not depend on others. A negative From is for ever.
type Span struct{ From, To time.Duration }

// ends are the words for the ends of jobs.
var ends = map[string]aiplatformpb.JobState{"succeeded": succeeded, "failed": failed, "expired": expired, "partially-succeeded": partly}

// SetJobRules replaces the rules. Jobs that exist keep what was drawn for them.
func (s *Server) SetJobRules(rules []JobRule) error {
	for i, r := range rules {
		for _, span := range []*Span{r.StartDelay, r.RunFor} {
			if span != nil && span.From >= 0 && span.To < span.From {
				return fmt.Errorf("job rule %d: a time from %v to %v", i, span.From, span.To)
			}
		}
		if r.StartDelay != nil && r.StartDelay.From < 0 {
			return fmt.Errorf("job rule %d: a negative start delay", i)
		}
		sum := 0.0
		for end, part := range r.Ends {
			if _, ok := ends[end]; !ok {
				return fmt.Errorf("job rule %d: unknown end %q", i, end)
			}
			if !(part >= 0) {
				return fmt.Errorf("job rule %d: %v jobs end %s", i, part, end)
			}
			sum += part
		}
		if len(r.Ends) > 0 && !(sum > 0 && sum <= 1e300) {
			return fmt.Errorf("job rule %d: no job has an end", i)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jobRules = slices.Clone(rules)
	return nil
}

// JobRules are the rules as they are.
func (s *Server) JobRules() []JobRule {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.jobRules)
}

// draw decides what becomes of the next job of a display name.
func (s *Server) draw(name string) lot {
	l := lot{startDelay: -1, runFor: s.knobs.RunFor, end: succeeded}
	i := slices.IndexFunc(s.jobRules, func(r JobRule) bool { return r.Name == "" || matchStars(r.Name, name) })
	if i < 0 {
		return l
	}
	r, n := s.jobRules[i], s.named[name]
	if r.StartDelay != nil {
		l.startDelay = r.StartDelay.at(s.chance("start", name, n))
	}
	if r.RunFor != nil {
		l.runFor = r.RunFor.at(s.chance("run", name, n))
	}
	l.failure = r.Failure
	sum := 0.0
	for _, part := range r.Ends {
		sum += part
	}
	at := s.chance("end", name, n) * sum
	for _, end := range slices.Sorted(maps.Keys(r.Ends)) {
		if part := r.Ends[end]; part > 0 {
			l.end = ends[end] // the last one stays, should rounding leave a rest
			if at -= part; at < 0 {
				break
			}
		}
	}
	return l
}

func (p Span) at(chance float64) time.Duration {
	if p.From < 0 {
		return -1
	}
	return p.From + time.Duration(chance*float64(p.To-p.From)).Truncate(time.Microsecond)
}

// chance is a number from 0 to 1, 1 excluded, that depends on the seed and its arguments
// alone.
func (s *Server) chance(of, name string, n int64) float64 {
	h := fnv.New64a()
	h.Write(fmt.Appendf(nil, "%s\n%s\n%d", of, name, n))
	return float64(mix(uint64(s.options.Seed)+h.Sum64())>>11) / (1 << 53)
}

// mix spreads the bits of a number (the finaliser of splitmix64).
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
