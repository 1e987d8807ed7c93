package ledger

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
)

// TestPartsOfAHead: the plan sees each part of a record that it goes by.
func TestPartsOfAHead(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)
	ask := capacity.Ask{{Shape: capacity.Spec{MachineType: "m"}.Normal(), Replicas: 2}}
	r := &Record{Key: "k", Tenant: "t", Ask: ask, Timeout: time.Hour, Spec: "12345", Place: admission.Place{Within: true}}
	r.Order, r.Requeues = OrderKey(3, at, "k"), 1
	want := admission.Head{ID: "k", Tenant: "t", Order: r.Order, Key: at, Demand: ask, Limit: time.Hour, Within: true, Slow: true, Bytes: 5}
	if diff := cmp.Diff(want, r.Head()); diff != "" {
		t.Error(diff)
	}
	r.Requeues, r.Place.Within = 0, false
	if h := r.Head(); h.Slow || h.Within {
		t.Errorf("%+v", h)
	}
}

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
