package ledger

import (
	"maps"
	"slices"

	"example.com/berth/internal/admission"
)

// Empty reports whether nothing is known to use the machines: no hold, no foreign job,
// and no machine that Vertex AI reports as used. A deleted resource has no machines.
func (r *Resource) Empty() bool {
	if r.State == Absent {
		return len(r.Holds) == 0
	}
	return len(r.Holds) == 0 && r.ForeignJobs == 0 && len(r.Unexplained) == 0 && len(r.Suspected) == 0
}

// SetPause pauses the resource, or with nil resumes it. The waiting requests are to get
// the reason. Reservations whose time passes meanwhile start later for this cause.
func (r *Resource) SetPause(p *admission.Pause) {
	if p == nil {
		r.delayed()
	} else if r.Paused != nil {
		p.Since = r.Paused.Since
	}
	r.Paused = p
	r.changedPause()
}

// SetPoolPause pauses a pool, or with nil resumes it. What runs there goes on.
func (r *Resource) SetPoolPause(id string, p *admission.Pause) {
	before, was := r.PausedPools[id]
	pools := maps.Clone(r.PausedPools)
	switch {
	case p == nil:
		delete(pools, id)
		r.delayed()
	case pools == nil:
		pools = map[string]admission.Pause{id: *p}
	default:
		if was {
			p.Since = before.Since
		}
		pools[id] = *p
	}
	r.PausedPools = pools
	r.changedPause()
}

// delayed marks the reservations that wait as those that a pause may have made later.
func (r *Resource) delayed() {
	r.Reserved = slices.Clone(r.Reserved)
	for i := range r.Reserved {
		if o := &r.Reserved[i]; !o.At.IsZero() && !slices.Contains(o.Delays, admission.WasPaused) {
			o.Delays = append(slices.Clone(o.Delays), admission.WasPaused)
		}
	}
}

func (r *Resource) changedPause() {
	r.Notice = &Notice{} // from the first request on, also if another notice is under way
	r.Version++
}

// TellPauses has the waiting requests told why they wait, if tenants have been paused or
// resumed since they were told last. version is that of [Pauses], as an instance knows it.
func (r *Resource) TellPauses(version int64) {
	if version <= r.ToldPauses {
		return
	}
	if r.ToldPauses = version; len(r.Queue) > 0 || r.HasParked {
		r.Notice = &Notice{}
	}
}
