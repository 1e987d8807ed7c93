package replay

import (
	"time"

	"example.com/berth/internal/estimate"
)

// Estimates are what is learned of run times in a run: a history for each tenant, as
// in a deployment. Jobs of a workload have no families.
type Estimates struct {
	histories map[string]*estimate.History
}

// NewEstimates returns estimates that know nothing.
func NewEstimates() *Estimates { return &Estimates{map[string]*estimate.History{}} }

func jobOfEstimate(j *Job) estimate.Job { return estimate.Job{Limit: j.Limit, Replicas: j.Replicas} }

// Learn takes in a job that has ended.
func (e *Estimates) Learn(j *Job) {
	h := e.histories[j.Tenant]
	if h == nil {
		h = &estimate.History{}
		e.histories[j.Tenant] = h
	}
	h.Learn(estimate.End{Job: jobOfEstimate(j), Ran: j.Run})
}

// Expected returns the run time that is expected of a job, at most its limit.
func (e *Estimates) Expected(j *Job) time.Duration {
	return e.histories[j.Tenant].Expected(jobOfEstimate(j)).Run
}
