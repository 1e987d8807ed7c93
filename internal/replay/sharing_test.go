package replay

import (
	"math"
	"slices"
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
)

// Figures are means over runs, and ratios geometric means of those of each run.
func TestSharing(t *testing.T) {
	score := func(mean, within, gang time.Duration, tenants ...Group) Score {
		return Score{Group: Group{Mean: Seconds(mean)}, Gangs: Group{Jobs: 1, Max: Seconds(gang)}, Within: &Group{Jobs: 1, Mean: Seconds(within)}, Tenants: tenants}
	}
	a, b := Group{Name: "a", Slowdown: 2}, Group{Name: "b", Slowdown: 4}
	with := []Score{score(100*time.Second, 50*time.Second, time.Hour, a, b), score(400*time.Second, 50*time.Second, 4*time.Hour, b, a)}
	without := []Score{score(100*time.Second, 0, 4*time.Hour, a), score(100*time.Second, 0, 4*time.Hour, b)}
	s := SharingOf(&Compared{Score: without[0], Runs: without}, &Compared{Score: with[1], Runs: with})
	near := func(name string, got, want float64) {
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	near("within", s.Within, .25) // of 1/2 and 1/8
	near("mean", s.Mean, 2)       // of 1 and 4
	near("slowdown", s.Slowdown, math.Sqrt2)
	near("gangs", s.GangMax, .5)
	if s.With.Tenant != "b" || s.With.Slowdown != 4 || s.With.Mean != Seconds(400*time.Second) || s.Without.Tenant != "a" || s.Without.GangMax != Seconds(4*time.Hour) {
		t.Errorf("%+v", s)
	}
	verdicts := func(s *Sharing) (list []bool) {
		for _, band := range s.Bands() {
			list = append(list, band.Judged != nil && band.Judged.Pass)
		}
		return list
	}
	if got := verdicts(s); !slices.Equal(got, []bool{true, false, false, true}) {
		t.Errorf("passed: %v", got)
	}
	at := &Sharing{Within: .5, Mean: 1.05, Slowdown: 1, GangMax: 1, Without: Shared{Gangs: 1}}
	if got := verdicts(at); !slices.Equal(got, []bool{true, true, true, true}) {
		t.Errorf("at the bounds passed: %v", got)
	}
	above := &Sharing{Within: .51, Mean: 1.06, Slowdown: 1.01, GangMax: 1.01, Without: Shared{Gangs: 1}}
	if got := verdicts(above); !slices.Equal(got, []bool{false, false, false, false}) {
		t.Errorf("above the bounds passed: %v", got)
	}
	if none := (&Sharing{}).Bands(); none[0].Judged != nil || none[3].Judged != nil {
		t.Error("a figure of no job is judged")
	}
}

// Shares are rounded up, so that together they are no less than the pool, and a tenant
// without a job there has none.
func TestEqualShares(t *testing.T) {
	list := []Job{{Tenant: "a", Pool: "p"}, {Tenant: "b", Pool: "p"}, {Tenant: "a", Pool: "p"}, {Tenant: "c", Pool: "p"}, {Tenant: "d", Pool: "q"}}
	p := Pool{Name: "p", Replicas: 8}
	if q := EqualShares(list, p); q.Of("a").Share[p.shape()] != 3 || q.Of("zz").Share[p.shape()] != 3 {
		t.Errorf("%+v", q)
	}
	if q := EqualShares(list, Pool{Name: "none", Replicas: 8}); q != nil {
		t.Errorf("%+v of a pool without jobs", q)
	}
	if n := Tenants(list); n != 4 {
		t.Errorf("%d tenants", n)
	}
}

// A job above the cap of its tenant on its pool never starts.
func TestCapped(t *testing.T) {
	shape := capacity.Spec{MachineType: "m"}.Normal()
	pools := []Pool{{Name: "p", Replicas: 9, Shape: shape}, {Name: "q", Replicas: 9, Shape: shape}}
	o := Options{Pools: pools, Quotas: func(p Pool) *admission.Quotas {
		if p.Name == "q" {
			return nil
		}
		return &admission.Quotas{Tenants: map[string]admission.Quota{"a": {Cap: capacity.Use{shape: 3}}}}
	}}
	may, never := Capped([]Job{{Tenant: "a", Pool: "p", Replicas: 3}, {Tenant: "a", Pool: "p", Replicas: 4}, {Tenant: "b", Pool: "p", Replicas: 4}, {Tenant: "a", Pool: "q", Replicas: 4}}, o)
	if len(may) != 3 || len(never) != 1 || never[0].Replicas != 4 || never[0].Tenant != "a" || never[0].Pool != "p" {
		t.Errorf("may %v, never %v", may, never)
	}
}
