package replay

import (
	"slices"
	"time"
)

// A Score says how long the jobs of a run waited.
type Score struct {
	Policy   string        `json:"policy"`
	Jobs     int           `json:"jobs"`
	Mean     time.Duration `json:"meanWait"`
	P50      time.Duration `json:"p50Wait"`
	P95      time.Duration `json:"p95Wait"`
	Max      time.Duration `json:"maxWait"`
	Gangs    int           `json:"gangs"`
	GangMean time.Duration `json:"gangMeanWait"`
	GangMax  time.Duration `json:"gangMaxWait"`
}

// ScoreOf scores when the jobs started. gang is from how many replicas on a job is
// a gang. Percentiles are by nearest rank.
func ScoreOf(policy string, jobs []Job, start []time.Duration, gang int64) Score {
	s := Score{Policy: policy, Jobs: len(jobs)}
	if len(jobs) == 0 {
		return s
	}
	waits := make([]time.Duration, len(jobs))
	var sum, gangs time.Duration
	for i := range jobs {
		waits[i] = start[i] - jobs[i].Submit
		sum += waits[i]
		if jobs[i].Replicas >= gang {
			s.Gangs++
			gangs += waits[i]
			s.GangMax = max(s.GangMax, waits[i])
		}
	}
	slices.Sort(waits)
	rank := func(percent int) time.Duration { return waits[(len(waits)*percent+99)/100-1] }
	s.Mean, s.P50, s.P95, s.Max = sum/time.Duration(len(jobs)), rank(50), rank(95), waits[len(waits)-1]
	if s.Gangs > 0 {
		s.GangMean = gangs / time.Duration(s.Gangs)
	}
	return s
}
