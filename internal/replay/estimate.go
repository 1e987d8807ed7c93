package replay

import (
	"fmt"
	"math"
	"time"

	"example.com/berth/internal/admission"
)

// Estimates learn how long jobs really run from those that have ended: by limit
// step, by size, by tenant and by both, each as mean and variance of the logarithm
// of the run time. A finer level counts as much as it has seen.
type Estimates struct {
	levels map[string]*moments
}

// moments are sums with forgetting.
type moments struct{ weight, sum, squares float64 }

const (
	forgetting = .97 // of a sum, by every job that ends
	prior      = 3   // how many jobs the coarser level counts for
	variance   = 1.5 // of a level of which nothing is known
)

// NewEstimates returns estimates that know nothing.
func NewEstimates() *Estimates { return &Estimates{levels: map[string]*moments{}} }

// keys of the levels, coarse to fine.
func keys(j *Job) [4]string {
	step := int(admission.LimitStep(j.Limit) / time.Hour)
	size := 1
	for int64(size) < j.Replicas {
		size *= 2
	}
	return [4]string{fmt.Sprintf("%d", step), fmt.Sprintf("%d|%d", step, size),
		fmt.Sprintf("%d|%s", step, j.Tenant), fmt.Sprintf("%d|%s|%d", step, j.Tenant, size)}
}

// Learn takes in a job that has ended.
func (e *Estimates) Learn(j *Job) {
	x := math.Log(max(1, j.Run.Seconds()))
	for _, key := range keys(j) {
		m := e.levels[key]
		if m == nil {
			m = &moments{}
			e.levels[key] = m
		}
		m.weight, m.sum, m.squares = forgetting*m.weight+1, forgetting*m.sum+x, forgetting*m.squares+x*x
	}
}

// Expected returns the run time that is expected of a job, at most its limit.
// Without data it is a good part of the limit.
func (e *Estimates) Expected(j *Job) time.Duration {
	mean, spread := math.Log(max(1, j.Limit.Seconds()))-1, variance
	for _, key := range keys(j) {
		m := e.levels[key]
		if m == nil {
			continue
		}
		own := m.sum / m.weight
		around := max(0, m.squares/m.weight-own*own)
		mean = (m.sum + prior*mean) / (m.weight + prior)
		spread = (m.weight*around + prior*spread) / (m.weight + prior)
	}
	return min(j.Limit, time.Duration(math.Exp(mean+spread/2)*float64(time.Second)))
}
