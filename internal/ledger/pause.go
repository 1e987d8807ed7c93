package ledger

import (
	"slices"

	"example.com/berth/internal/admission"
)

// SetPause pauses the resource, or with nil resumes it. The waiting requests are to get
// the reason. Reservations whose time passes meanwhile start later for this cause.
func (r *Resource) SetPause(p *admission.Pause) {
	if p == nil {
		r.Reserved = slices.Clone(r.Reserved)
		for i := range r.Reserved {
			if o := &r.Reserved[i]; !o.At.IsZero() && !slices.Contains(o.Delays, admission.WasPaused) {
				o.Delays = append(slices.Clone(o.Delays), admission.WasPaused)
			}
		}
	} else if r.Paused != nil {
		p.Since = r.Paused.Since
	}
	r.Paused = p
	r.Notice = &Notice{} // from the first request on, also if another notice is under way
	r.Version++
}
