package replay

import "time"

// A Series is what happens over the time of a run, in equal intervals from the start
// to the last end.
type Series struct {
	Interval time.Duration
	Used     []float64 // mean part of the replicas in use
	Queued   []float64 // mean number of jobs that wait
	Waits    []float64 // mean wait in hours of the jobs submitted in the interval; -1 if there are none
}

// SeriesOf cuts what happened to the jobs into n intervals of a span, which is that
// of [Span] for one of them.
func SeriesOf(jobs []Job, pools []Pool, start []time.Duration, span time.Duration, n int) Series {
	s := Series{Interval: max(time.Second, (span+time.Duration(n)-1)/time.Duration(n)), Used: make([]float64, n), Queued: make([]float64, n), Waits: make([]float64, n)}
	var replicas float64
	for _, p := range pools {
		replicas += float64(p.Replicas)
	}
	submitted := make([]float64, n)
	for i := range jobs {
		j := &jobs[i]
		s.spread(s.Used, start[i], start[i]+j.Run, float64(j.Replicas)/replicas)
		s.spread(s.Queued, j.Submit, start[i], 1)
		k := min(n-1, int(j.Submit/s.Interval))
		submitted[k]++
		s.Waits[k] += (start[i] - j.Submit).Hours()
	}
	for k, count := range submitted {
		if count == 0 {
			s.Waits[k] = -1
		} else {
			s.Waits[k] /= count
		}
	}
	return s
}

// spread adds an amount to the intervals between two moments, in proportion.
func (s *Series) spread(to []float64, from, until time.Duration, amount float64) {
	for k := int(from / s.Interval); k < len(to) && time.Duration(k)*s.Interval < until; k++ {
		begin := time.Duration(k) * s.Interval
		to[k] += amount * float64(min(until, begin+s.Interval)-max(from, begin)) / float64(s.Interval)
	}
}

// Span is the last end of the jobs.
func Span(jobs []Job, start []time.Duration) (last time.Duration) {
	for i := range jobs {
		last = max(last, start[i]+jobs[i].Run)
	}
	return last
}
