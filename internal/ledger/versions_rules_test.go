package ledger

import (
	"maps"
	"testing"
	"time"

	"example.com/berth/internal/admission"
)

// TestVersionOfPauses: it grows with each pause and resume, also within a millisecond, with
// a clock that goes back, and after the document was lost.
func TestVersionOfPauses(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := &Pauses{Name: TenantPauses}
	last := int64(0)
	for i, at := range []time.Time{now, now, now.Add(-time.Hour), now.Add(time.Hour)} {
		pause := &admission.Pause{Since: at}
		if i%2 == 1 {
			pause = nil
		}
		if p.Set(at, "t", pause); p.Version <= last || p.Version < at.UnixMilli() {
			t.Errorf("step %d: version %d after %d", i, p.Version, last)
		}
		last = p.Version
	}
	again := &Pauses{Name: TenantPauses}
	if again.Set(now.Add(2*time.Hour), "t", &admission.Pause{}); again.Version <= last {
		t.Errorf("after the loss: version %d after %d", again.Version, last)
	}
}

// TestPausesOfTenants: each tenant by itself, a second pause keeps since when, and the map
// that another reader holds is left as it is.
func TestPausesOfTenants(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	p := &Pauses{Name: TenantPauses}
	by := func(who string, at time.Time) *admission.Pause { return &admission.Pause{Since: at, Who: who} }
	for i, step := range []struct {
		tenant string
		pause  *admission.Pause
		want   map[string]admission.Pause
	}{
		{"t", nil, nil},
		{"t", by("ann", now), map[string]admission.Pause{"t": *by("ann", now)}},
		{"u", by("bob", now.Add(time.Hour)), map[string]admission.Pause{"t": *by("ann", now), "u": *by("bob", now.Add(time.Hour))}},
		{"t", by("bob", now.Add(2*time.Hour)), map[string]admission.Pause{"t": *by("bob", now), "u": *by("bob", now.Add(time.Hour))}},
		{"u", nil, map[string]admission.Pause{"t": *by("bob", now)}},
		{"u", nil, map[string]admission.Pause{"t": *by("bob", now)}},
		{"t", nil, nil},
	} {
		held, before := p.Tenants, maps.Clone(p.Tenants)
		p.Set(now, step.tenant, step.pause)
		if !maps.Equal(p.Tenants, step.want) {
			t.Errorf("step %d: paused are %+v, want %+v", i, p.Tenants, step.want)
		}
		if !maps.Equal(held, before) {
			t.Errorf("step %d: what another holds became %+v", i, held)
		}
	}
}

// TestWeightOfABudget: an empty one weighs a kilobyte, and each grant its part.
func TestWeightOfABudget(t *testing.T) {
	if n := (&Budget{}).Weight(); n != 1024 {
		t.Errorf("an empty budget weighs %d", n)
	}
}
