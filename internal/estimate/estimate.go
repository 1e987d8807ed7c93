// Package estimate learns how long jobs run from those that have ended, so that short
// work can go ahead of long work whatever limits its users declare. It is pure:
// nothing here reads a clock or makes a call.
//
// A [History] is what one tenant's jobs have taught. No tenant learns from another: a
// tenant whose jobs mislead the estimates misleads its own alone, and nothing of one
// tenant's jobs shows in the order of another's. In the traces of package replay that
// costs nothing against histories that tenants share.
//
// # Model
//
// Run times of similar jobs differ by factors, so a history has the mean and the
// variance of their logarithm, at three levels: by step of the time limit
// ([admission.LimitStep]), by step and size, and by family (see [FamilyOf]). Each job
// that ends counts for forgetting times as much after the next one of its level.
// [History.Expected] goes from coarse to fine. What the coarser levels say counts as
// much as prior jobs of the finer one.
//
// # What an estimate can do
//
// An estimate is at most the job's limit, and is used only for the key that orders
// waiting requests ([admission.Key]). The key moves by at most 48 hours, however wrong
// the estimate is. Reservations, holds and latest starts count on limits.
package estimate

import (
	"cmp"
	"math"
	"strconv"
	"time"

	"example.com/berth/internal/admission"
)

const (
	forgetting = .97 // about the last 30 jobs of a level count
	prior      = 3   // how many jobs the coarser levels count for
	// Of jobs of which nothing is known: their mean is a good third of the limit, by
	// the logarithm, and they differ much.
	unknownMean     = -1 // plus the logarithm of the limit
	unknownVariance = 1.5

	maxFamilies = 128
	maxSize     = 1 << 12 // larger jobs share their level
)

// MaxBytes bounds a history, as JSON.
const MaxBytes = 32 << 10

// shortest and longest bound what is taken for a run time: a job that Vertex AI stops
// at once, and a wrong clock.
const (
	shortest = time.Second
	longest  = 400 * 24 * time.Hour
)

// A Job is the part of a job that an estimate goes by.
type Job struct {
	Limit    time.Duration `json:"limit"` // the time limit
	Replicas int64         `json:"replicas"`
	Family   string        `json:"family,omitempty"` // see [FamilyOf]
}

// An End is a job that has ended.
type End struct {
	Job
	Ran time.Duration `json:"ran"`
	// Least says that the job would have run longer, but for something that says
	// nothing of other jobs.
	Least bool `json:"least,omitempty"`
}

// An Estimate is how long a job is expected to run.
type Estimate struct {
	Run  time.Duration `json:"run"`            // at most the limit; 0 to it
	Jobs int64         `json:"jobs,omitempty"` // how many jobs like it have taught that; 0 if Run is the limit because none has
}

// A History is what a tenant's jobs have taught. The zero value knows nothing. Its
// size is bounded by [MaxBytes].
type History struct {
	Levels   map[string]Moments `json:"levels,omitempty"`   // by limit step, and by limit step and size
	Families map[string]Family  `json:"families,omitempty"` // the last to end
	Ends     int64              `json:"ends,omitempty"`     // how many jobs have been learned from
}

// Moments describe the logarithms of the run times, in seconds, of the jobs of a level.
type Moments struct {
	Jobs     int64   `json:"jobs"`
	Weight   float64 `json:"weight"` // for how many jobs they count
	Mean     float64 `json:"mean"`
	Variance float64 `json:"variance"`
}

// A Family is the jobs of one family.
type Family struct {
	Moments
	Last int64 `json:"last"` // [History.Ends] when one of them last ended
}

// levels are the keys of a job's levels in [History.Levels], coarse to fine.
func levels(j Job) [2]string {
	step := strconv.Itoa(int(admission.LimitStep(j.Limit)/time.Hour)) + "h"
	size := int64(1)
	for size < min(j.Replicas, maxSize) {
		size *= 2
	}
	return [2]string{step, step + "|" + strconv.FormatInt(size, 10)}
}

// Expected returns how long a job is expected to run: its limit if no job like it has
// ended.
func (h *History) Expected(j Job) Estimate {
	limit := max(0, j.Limit)
	e := Estimate{Run: limit}
	if h == nil || limit == 0 {
		return e
	}
	mean, variance := math.Log(max(shortest, limit).Seconds())+unknownMean, unknownVariance
	refine := func(m Moments) {
		if m.sound() {
			mean = (m.Weight*m.Mean + prior*mean) / (m.Weight + prior)
			variance = (m.Weight*m.Variance + prior*variance) / (m.Weight + prior)
			e.Jobs = m.Jobs
		}
	}
	for _, key := range levels(j) {
		refine(h.Levels[key])
	}
	if j.Family != "" {
		refine(h.Families[j.Family].Moments)
	}
	// Seconds of the expectation may be beyond any duration.
	if s := math.Exp(mean + variance/2); e.Jobs > 0 && s < limit.Seconds() {
		e.Run = time.Duration(s * float64(time.Second))
	}
	return e
}

// Learn takes in jobs that have ended, in the order in which they ended. A job that
// would have run longer teaches only what is not expected yet: that jobs like it run
// for so long. So a tenant gains no place in the order by cancelling its jobs.
func (h *History) Learn(ends ...End) {
	for _, e := range ends {
		if e.Ran < 0 || e.Limit <= 0 || e.Least && e.Ran <= h.Expected(e.Job).Run {
			continue
		}
		h.Ends++
		x := math.Log(min(max(shortest, e.Ran), longest).Seconds())
		if h.Levels == nil {
			h.Levels = map[string]Moments{}
		}
		for _, key := range levels(e.Job) {
			h.Levels[key] = h.Levels[key].with(x)
		}
		if e.Family != "" {
			h.learnFamily(e.Family, x)
		}
	}
}

// learnFamily takes in a job of a family. The families that have not ended for the
// longest time are forgotten.
func (h *History) learnFamily(name string, x float64) {
	if h.Families == nil {
		h.Families = map[string]Family{}
	}
	h.Families[name] = Family{h.Families[name].with(x), h.Ends}
	for len(h.Families) > maxFamilies {
		oldest := ""
		for other, f := range h.Families {
			if oldest == "" || cmp.Or(cmp.Compare(f.Last, h.Families[oldest].Last), cmp.Compare(other, oldest)) < 0 {
				oldest = other
			}
		}
		delete(h.Families, oldest)
	}
}

// with returns the moments with one more job.
func (m Moments) with(x float64) Moments {
	if !m.sound() {
		m = Moments{}
	}
	before := forgetting * m.Weight
	m.Weight = before + 1
	d := x - m.Mean
	m.Mean += d / m.Weight
	m.Variance = (before*m.Variance + d*(x-m.Mean)) / m.Weight
	m.Jobs++
	return m
}

// sound reports whether moments can come from jobs. Those that cannot, and those of no
// job, count for nothing: a damaged document must not decide an order.
func (m Moments) sound() bool {
	most := math.Log(longest.Seconds())
	return m.Jobs > 0 && m.Jobs < math.MaxInt64 && m.Weight > 0 && m.Weight <= 1/(1-forgetting)+1 && m.Mean >= 0 && m.Mean <= most && m.Variance >= 0 && m.Variance <= most*most
}
