package ledger

import (
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

// TestWeightOfABudget: an empty one weighs a kilobyte, and each grant its part.
func TestWeightOfABudget(t *testing.T) {
	if n := (&Budget{}).Weight(); n != 1024 {
		t.Errorf("an empty budget weighs %d", n)
	}
}
