package replay

import (
	"slices"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
)

// A Sharing compares the plan with the quotas of tenants and without. Run times are
// learned in both. A ratio is the geometric mean of those of the runs.
type Sharing struct {
	Without Shared `json:"without"`
	With    Shared `json:"with"`
	// Within is the mean wait of the jobs that came within the share of their tenant, in
	// parts of that of all jobs; 0 if no job did.
	Within float64 `json:"withinShareOfMean"`
	// The others are what is with quotas, in parts of what is without.
	Mean     float64 `json:"meanWait"`
	Slowdown float64 `json:"worstSlowdown"`
	GangMax  float64 `json:"gangMaxWait"`
}

// Shared is one side of a comparison. Figures are means of the runs.
type Shared struct {
	Mean   Seconds `json:"meanWaitSeconds"`
	Within *Group  `json:"withinShare,omitempty"` // with quotas
	// Tenant is the one whose jobs have the largest mean slowdown.
	Tenant   string  `json:"worstTenant"`
	Slowdown float64 `json:"worstMeanBoundedSlowdown"`
	Gangs    int     `json:"gangs"`
	GangMax  Seconds `json:"gangMaxWaitSeconds"`
}

// SharingOf compares the scores of PlanLearned and PlanShared.
func SharingOf(without, with *Compared) *Sharing {
	of := func(s *Score) Shared {
		worst := s.worst()
		return Shared{Mean: s.Mean, Within: s.Within, Tenant: worst.Name, Slowdown: worst.Slowdown, Gangs: s.Gangs.Jobs, GangMax: s.Gangs.Max}
	}
	s := &Sharing{Without: of(&without.Score), With: of(&with.Score)}
	var within, slowdown []Ratios
	var others []Ratios
	for i, run := range with.runs() {
		base := without.runs()[i]
		others = append(others, Ratio(&run, &base))
		slowdown = append(slowdown, Ratios{Mean: run.worst().Slowdown / base.worst().Slowdown, Max: 1, GangMax: 1})
		if run.Within.Jobs > 0 {
			within = append(within, Ratios{Mean: ratio(run.Within.Mean, run.Mean), Max: 1, GangMax: 1})
		}
	}
	all := Geometric(others)
	s.Mean, s.GangMax, s.Slowdown = all.Mean, all.GangMax, Geometric(slowdown).Mean
	if len(within) > 0 {
		s.Within = Geometric(within).Mean
	}
	return s
}

// A SharingBand is a bound on a figure of a comparison; Judged is nil if no job is of the kind.
type SharingBand struct {
	Name   string  `json:"name"`
	Judged *Judged `json:"judged"`
}

// Bands judges a comparison.
func (s *Sharing) Bands() []SharingBand {
	judged := func(value, bound float64, some bool) *Judged {
		if !some {
			return nil
		}
		return &Judged{Value: value, Bound: bound, Pass: value <= bound}
	}
	return []SharingBand{
		{"within", judged(s.Within, .5, s.Within > 0)},
		{"mean wait", judged(s.Mean, 1.05, true)},
		{"worst slowdown", judged(s.Slowdown, 1, true)},
		{"longest gang", judged(s.GangMax, 1, s.Without.Gangs > 0)},
	}
}

// CompareShares runs a window with equal shares for its tenants and without; inOrder is that
// of [admission.Quotas]. The error is that of a [Result].
func CompareShares(w *Window, noise Noise, inOrder bool, progress func(int) bool) (*Sharing, error) {
	quotas := map[string]*admission.Quotas{}
	for _, p := range w.Pools {
		if q := EqualShares(w.Jobs, p); q != nil {
			q.InOrder = inOrder
			quotas[p.Name] = q
		}
	}
	o := Options{Pools: w.Pools, Plan: TablePlan, Gang: w.Gang(), Progress: progress, Quotas: func(p Pool) *admission.Quotas { return quotas[p.Name] }}
	c, err := Compare(w.Jobs, []Policy{PlanLearned, PlanShared}, noise, o)
	if err != nil {
		return nil, err
	}
	return SharingOf(&c.Policies[0], &c.Policies[1]), nil
}

// Tenants is how many tenants some jobs have.
func Tenants(jobs []Job) int {
	names := map[string]bool{}
	for i := range jobs {
		names[jobs[i].Tenant] = true
	}
	return len(names)
}

// Capped splits jobs into those that may start under the caps of the options' quotas, and
// those that never may.
func Capped(jobs []Job, o Options) (may, never []Job) {
	of := map[string]*admission.Quotas{}
	shapes := map[string]capacity.Shape{}
	for _, p := range o.Pools {
		of[p.Name], shapes[p.Name] = o.Quotas(p), p.shape()
	}
	for _, j := range jobs {
		if most, capped := of[j.Pool].Of(j.Tenant).Cap[shapes[j.Pool]]; capped && capacity.Replicas(j.Replicas) > most {
			never = append(never, j)
		} else {
			may = append(may, j)
		}
	}
	return may, never
}

// EqualShares gives every tenant with a job for a pool an equal share of it.
func EqualShares(jobs []Job, pool Pool) *admission.Quotas {
	var tenants []string
	for i := range jobs {
		if jobs[i].Pool == pool.Name {
			tenants = append(tenants, jobs[i].Tenant)
		}
	}
	slices.Sort(tenants)
	n := int64(len(slices.Compact(tenants)))
	if n == 0 {
		return nil
	}
	share := capacity.Use{pool.shape(): capacity.Replicas((pool.Replicas + n - 1) / n)}
	return &admission.Quotas{Others: admission.Quota{Share: share}}
}
