package admission

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
)

// A Pause is an operator's order that nothing starts. What runs goes on, and so do the
// longest waits of requests.
type Pause struct {
	Since  time.Time `json:"since"`  // of the first of several pauses without a resume between
	Who    string    `json:"who"`    // a claim of the last
	Reason string    `json:"reason"` // of the last
	// Drain says that somebody waits for the last job to end. Requests that wait for a
	// submission slot give their replicas back.
	Drain bool `json:"drain,omitempty"`
	// Message is the operator's message that asked for the drain. The event that says
	// that nothing runs any more is about it.
	Message string `json:"message,omitempty"`
	// EmptyAt is when that was observed; zero before.
	EmptyAt time.Time `json:"emptyAt,omitzero"`
}

// Draining reports whether somebody waits for the last job to end; also of nil.
func (p *Pause) Draining() bool { return p != nil && p.Drain && p.EmptyAt.IsZero() }

// problem is why a request waits while what is named is paused.
func (p *Pause) problem(what string) *reason.Problem {
	return &reason.Problem{Code: reason.Paused,
		Detail: fmt.Sprintf("%s has been paused since %s, by %s: %s. Nothing starts there until an operator resumes it.",
			what, p.Since.UTC().Format(time.RFC3339), p.Who, p.Reason)}
}

// Problem is why a request waits on a persistent resource that is paused.
func (p *Pause) Problem() *reason.Problem { return p.problem("The persistent resource") }

// TenantProblem is why a request of a tenant that is paused waits.
func (p *Pause) TenantProblem() *reason.Problem {
	return &reason.Problem{Code: reason.TenantPaused,
		Detail: fmt.Sprintf("The tenant has been paused since %s, by %s: %s. Nothing of it starts until an operator resumes it.",
			p.Since.UTC().Format(time.RFC3339), p.Who, p.Reason)}
}

// tenantPaused is why no request of a tenant starts; nil if it is not paused.
func (p *PlanPolicy) tenantPaused(tenant string) *reason.Problem {
	if pause, is := p.Paused[tenant]; is {
		return pause.TenantProblem()
	}
	return nil
}

// PausedUse is what the machines of paused pools, by id, can have by shape; nil for none. A
// job does not name its pool, so nothing may start that might come to run on them: all of
// them count as taken, and what runs counts for the other pools of the shape.
func PausedUse(pools []capacity.Pool, paused map[string]Pause) (use capacity.Use) {
	if len(paused) == 0 {
		return nil
	}
	use = capacity.Use{}
	for _, p := range pools {
		if _, is := paused[p.ID]; is {
			use[p.Shape] = use[p.Shape].Plus(p.Limit())
		}
	}
	return use
}

// withPaused is what is taken for new starts. What is paused adds as much as the pools
// have room for, so that it overdraws none.
func withPaused(pools []capacity.Pool, use, paused capacity.Use) capacity.Use {
	if len(paused) == 0 {
		return use
	}
	all, limits := maps.Clone(use), capacity.Limits(pools)
	if all == nil {
		all = capacity.Use{}
	}
	for s, n := range paused {
		all[s] = all[s].Plus(max(0, min(n, limits[s]-all[s])))
	}
	return all
}

// pausedPools says which pools of a finding's shape are paused, by whom and why, "" for
// none. alone says that without the pause the request would fit.
func (s *Snapshot) pausedPools(f capacity.Finding) (why string, alone bool) {
	var list []string
	for _, id := range f.Pools {
		if p, is := s.PausedPools[id]; is {
			list = append(list, fmt.Sprintf("pool %s has been paused since %s, by %s: %s", id, p.Since.UTC().Format(time.RFC3339), p.Who, p.Reason))
		}
	}
	if list == nil {
		return "", false
	}
	slices.Sort(list)
	extra := s.taken()[f.Shape] - s.Use[f.Shape]
	return strings.Join(list, "; "), f.Short <= extra
}

func (s *Snapshot) taken() capacity.Use {
	return withPaused(s.Pools, s.Use, PausedUse(s.Pools, s.PausedPools))
}
