package estimate

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"example.com/berth/internal/admission"
)

// slow is [History] in its slowest and simplest form: all ends, of which every
// estimate is computed anew.
type slow struct{ ends []End }

func (s *slow) learn(e End) {
	if run, _ := s.expected(e.Job); e.Ran >= 0 && (!e.Least || e.Ran > run) {
		s.ends = append(s.ends, e)
	}
}

// level returns the number of the jobs that are like one, their weight, and the mean
// and the variance of the logarithms of their run times.
func (s *slow) level(like func(Job) bool) (n int64, weight, mean, variance float64) {
	w := 1.
	var weights, logs []float64
	for i := len(s.ends) - 1; i >= 0; i-- {
		if e := s.ends[i]; like(e.Job) {
			weights, logs = append(weights, w), append(logs, math.Log(math.Max(1, e.Ran.Seconds())))
			w *= .97
		}
	}
	for i := range logs {
		weight += weights[i]
		mean += weights[i] * logs[i]
	}
	mean /= weight
	for i := range logs {
		variance += weights[i] * (logs[i] - mean) * (logs[i] - mean) / weight
	}
	return int64(len(logs)), weight, mean, variance
}

func (s *slow) expected(j Job) (time.Duration, int64) {
	size := func(j Job) int { return int(math.Ceil(math.Log2(float64(j.Replicas)))) }
	step := func(other Job) bool { return admission.LimitStep(other.Limit) == admission.LimitStep(j.Limit) }
	mean, variance, jobs := math.Log(j.Limit.Seconds())-1, 1.5, int64(0)
	for _, like := range []func(Job) bool{
		step,
		func(other Job) bool { return step(other) && size(other) == size(j) },
		func(other Job) bool { return j.Family != "" && other.Family == j.Family },
	} {
		if n, w, m, v := s.level(like); n > 0 {
			mean, variance, jobs = (w*m+3*mean)/(w+3), (w*v+3*variance)/(w+3), n
		}
	}
	if jobs == 0 {
		return j.Limit, 0
	}
	return time.Duration(math.Min(j.Limit.Seconds(), math.Exp(mean+variance/2)) * float64(time.Second)), jobs
}

func drawJob(t *rapid.T) Job {
	return Job{Limit: time.Duration(rapid.SampledFrom([]int64{600, 3600, 3601, 86400, 100 * 86400}).Draw(t, "limit")) * time.Second,
		Replicas: rapid.Int64Range(1, 5).Draw(t, "replicas"), Family: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "family")}
}

// A history says of every job what the model says, also after it has been stored and
// read again.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, model := &History{}, &slow{}
		for range rapid.IntRange(0, 40).Draw(t, "ends") {
			e := End{drawJob(t), time.Duration(rapid.Int64Range(0, 2_000_000).Draw(t, "ran")) * time.Second, rapid.Bool().Draw(t, "least")}
			if _, n := model.expected(e.Job); e.Least && n > 0 {
				// An end at the very expectation is one of either side.
				if run, _ := model.expected(e.Job); (e.Ran - run).Abs() < time.Second {
					continue
				}
			}
			h.Learn(e)
			model.learn(e)
		}
		if rapid.Bool().Draw(t, "stored") {
			text, err := json.Marshal(h)
			if err != nil {
				t.Fatal(err)
			}
			h = &History{}
			if err := json.Unmarshal(text, h); err != nil {
				t.Fatal(err)
			}
		}
		j := drawJob(t)
		run, jobs := model.expected(j)
		if got := h.Expected(j); got.Jobs != jobs || math.Abs(got.Run.Seconds()-run.Seconds()) > 1e-6*run.Seconds()+.001 {
			t.Fatalf("%+v is expected, want %s by %d jobs", got, run, jobs)
		}
	})
}
