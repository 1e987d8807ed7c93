package ledger

import (
	"fmt"
	"math"
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// TestAddUsed: what each tenant holds, over all its holds, is added since the last time;
// tenants that hold nothing are remembered until little is left, and only while there are
// shares.
func TestAddUsed(t *testing.T) {
	shape := capacity.Spec{MachineType: "m"}.Normal()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := &Resource{Holds: map[message.Key]Hold{}}
	for i, tenant := range []string{"a", "a", "a", "b", "b"} {
		r.Holds[message.Key(fmt.Sprint(i))] = Hold{Tenant: tenant, Ask: capacity.Ask{{Shape: shape, Replicas: capacity.Replicas(i + 1)}}}
	}
	r.AddUsed(now, true)
	if a, b := r.Used["a"], r.Used["b"]; len(r.Used) != 2 || a.Replicas != 0 || b.Replicas != 0 || !a.At.Equal(now) || !b.At.Equal(now) {
		t.Errorf("the first time: %v", r.Used)
	}
	const long = 1000 * 24 * time.Hour // nothing of what was before is left
	now = now.Add(long)
	r.AddUsed(now, true)
	if a, b := r.Used["a"].Replicas, r.Used["b"].Replicas; math.Abs(a-6) > 1e-6 || math.Abs(b-9) > 1e-6 {
		t.Errorf("a has used %v, want 6; b %v, want 9", a, b)
	}
	r.Holds = nil
	now = now.Add(time.Hour)
	r.AddUsed(now, true)
	if a := r.Used["a"].Replicas; len(r.Used) != 2 || a >= 6 || a < 5 {
		t.Errorf("an hour later: %v", r.Used)
	}
	r.AddUsed(now.Add(long), true)
	if len(r.Used) != 0 {
		t.Errorf("long after: %v", r.Used)
	}
	r.Used = map[string]admission.Used{"a": {Replicas: 5, At: now}}
	r.AddUsed(now, false)
	if r.Used != nil {
		t.Errorf("without shares: %v", r.Used)
	}
}

// TestUsedIsBounded: of too many tenants those that used the most are remembered.
func TestUsedIsBounded(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	r := &Resource{Used: map[string]admission.Used{}}
	for i := range maxUsed + 10 {
		r.Used[fmt.Sprintf("t%03d", i)] = admission.Used{Replicas: float64(i/2 + 1), At: now}
	}
	r.AddUsed(now, true)
	if _, first := r.Used["t009"]; len(r.Used) != maxUsed || first {
		t.Errorf("%d tenants are remembered, t009 among them: %v", len(r.Used), first)
	}
	if _, kept := r.Used["t010"]; !kept {
		t.Error("t010 is forgotten")
	}
}
