package policy

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
)

func TestQuotas(t *testing.T) {
	p := policyOf(t, `
defaults: {serviceAccounts: any, timeouts: {max: 3600s}, maxWaiting: 9}
tenants:
  a:
    weight: 2.5
    maxRunning: 3
    shares:
    - {persistentResource: "projects/p/locations/europe-west4/persistentResources/gpu", shape: "m/pd-ssd:100", replicas: 4, cap: 6}
    - {persistentResource: gpu, shape: "m/pd-ssd:100", replicas: 1, cap: 2}
    - {persistentResource: gpu, shape: "n/pd-ssd:100", replicas: 0, cap: 5}
    - {persistentResource: cpu, shape: "m/pd-ssd:100", replicas: 7}
  b: {maxWaiting: 1}
`)
	shape := func(machine string) capacity.Shape { return capacity.Spec{MachineType: machine}.Normal() }
	m, n := shape("m"), shape("n")
	others := admission.Quota{Weight: 1, Waiting: 9}
	b := admission.Quota{Weight: 1, Waiting: 1}
	for resource, a := range map[string]admission.Quota{
		region + "gpu": {Weight: 2.5, Running: 3, Waiting: 9, Share: capacity.Use{m: 4}, Cap: capacity.Use{m: 6, n: 5}},
		"projects/p/locations/us-central1/persistentResources/gpu": {Weight: 2.5, Running: 3, Waiting: 9, Share: capacity.Use{m: 1}, Cap: capacity.Use{m: 2, n: 5}},
		region + "cpu":   {Weight: 2.5, Running: 3, Waiting: 9, Share: capacity.Use{m: 7}, Cap: capacity.Use{}},
		region + "other": {Weight: 2.5, Running: 3, Waiting: 9},
	} {
		want := &admission.Quotas{Tenants: map[string]admission.Quota{"a": a, "b": b}, Others: others}
		if diff := cmp.Diff(want, p.Quotas(resource)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", resource, diff)
		}
	}
	// What the tenants have together is what counts: a share by full name in place of one by id.
	for resource, want := range map[string]capacity.Use{
		region + "gpu": {m: 4, n: 0},
		"projects/p/locations/us-central1/persistentResources/gpu": {m: 1, n: 0},
		region + "cpu":   {m: 7},
		region + "other": {},
	} {
		sums, tenants := p.Of(resource)
		if diff := cmp.Diff(map[capacity.Shape]capacity.Replicas(want), sums); diff != "" {
			t.Errorf("%s (-want +got):\n%s", resource, diff)
		}
		for shape, n := range tenants {
			if n != 1 {
				t.Errorf("%s: %d tenants have a share of %s", resource, n, shape)
			}
		}
	}
	if q := policyOf(t, "defaults: {serviceAccounts: any, maxReplicas: 3}").Quotas(region + "gpu"); q != nil {
		t.Errorf("a policy without quotas has %+v", q)
	}
	// Without defaults, tenants that are not named have no quota.
	q := policyOf(t, "tenants: {a: {serviceAccounts: any, maxRunning: 1}}").Quotas(region + "gpu")
	if diff := cmp.Diff(&admission.Quotas{Tenants: map[string]admission.Quota{"a": {Weight: 1, Running: 1}}, Others: admission.Quota{Weight: 1}}, q); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	ordered := policyOf(t, "reclaim: inOrder\ndefaults: {serviceAccounts: any, maxRunning: 3}")
	all := func(Share) bool { return true }
	if q := ordered.Quotas(region + "gpu"); !q.InOrder || !ordered.Pool(shape("m"), all).InOrder {
		t.Errorf("reclaim: inOrder is not in %+v", q)
	}
	if q := policyOf(t, "reclaim: ownersFirst\ndefaults: {serviceAccounts: any, maxRunning: 3}").Quotas(region + "gpu"); q.InOrder {
		t.Errorf("reclaim: ownersFirst gives %+v", q)
	}
	if (*Policy)(nil).Quotas(region+"gpu") != nil {
		t.Error("no policy has quotas")
	}
}

// A pool of a workload stands for the machines of several shares: they add up, and one
// without a cap leaves the tenant without one.
func TestQuotasOfPool(t *testing.T) {
	p := policyOf(t, `
defaults: {serviceAccounts: any}
tenants:
  a:
    weight: 2
    maxRunning: 3
    maxWaiting: 4
    shares:
    - {persistentResource: gpu, shape: "m/pd-ssd:100", replicas: 4, cap: 6}
    - {persistentResource: gpu, shape: "n/pd-ssd:100", replicas: 1, cap: 2}
    - {persistentResource: cpu, shape: "m/pd-ssd:100", replicas: 7}
  b:
    shares:
    - {persistentResource: gpu, shape: "m/pd-ssd:100", replicas: 0, cap: 5}
`)
	x := capacity.Spec{MachineType: "x"}.Normal()
	for name, c := range map[string]struct {
		stands func(Share) bool
		a, b   admission.Quota
	}{
		"gpu":  {func(s Share) bool { return s.Resource == "gpu" }, admission.Quota{Share: capacity.Use{x: 5}, Cap: capacity.Use{x: 8}}, admission.Quota{Cap: capacity.Use{x: 5}}},
		"all":  {func(Share) bool { return true }, admission.Quota{Share: capacity.Use{x: 12}}, admission.Quota{Cap: capacity.Use{x: 5}}},
		"none": {func(Share) bool { return false }, admission.Quota{}, admission.Quota{}},
	} {
		c.a.Weight, c.a.Running, c.b.Weight = 2, 3, 1
		want := &admission.Quotas{Tenants: map[string]admission.Quota{"a": c.a, "b": c.b}, Others: admission.Quota{Weight: 1}}
		if diff := cmp.Diff(want, p.Pool(x, c.stands)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if q := policyOf(t, "defaults: {serviceAccounts: any, maxWaiting: 3}").Pool(x, func(Share) bool { return true }); q != nil {
		t.Errorf("a policy without quotas of machines has %+v", q)
	}
}

// Names that the deployment does not know are warned of, each once.
func TestUnknown(t *testing.T) {
	p := policyOf(t, `
defaults: {serviceAccounts: any, persistentResources: [gpu, cpu, "projects/p/locations/l/persistentResources/gpu"]}
tenants:
  a:
    shares:
    - {persistentResource: gpu, shape: "m/pd-ssd:100", replicas: 4}
    - {persistentResource: tpu, shape: "m/pd-ssd:100", replicas: 4}
  b: {persistentResources: [tpu, gpu]}
`)
	var got []string
	for _, f := range p.Unknown([]string{region + "gpu"}) {
		got = append(got, fmt.Sprintf("%d %s %s", f.Line, f.Path, f.Detail))
	}
	if diff := cmp.Diff([]string{
		"0 defaults.persistentResources The deployment knows no persistent resource cpu.",
		"0 defaults.persistentResources The deployment knows no persistent resource projects/p/locations/l/persistentResources/gpu.",
		"7 tenants.a.shares The deployment knows no persistent resource tpu.",
	}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if found := (*Policy)(nil).Unknown(nil); found != nil {
		t.Errorf("%v", found)
	}
}

// Whose jobs may borrow a share goes by the shares that count there.
func TestReclaimsByTheSharesThatCount(t *testing.T) {
	const full = "projects/p/locations/l/persistentResources/gpu"
	for name, c := range map[string]struct {
		of, other string
		within    time.Duration // 0 if the other cannot borrow
	}{
		"none of its own":                   {"gpu", "", 7200 * time.Second},
		"capped by id":                      {"gpu", "{persistentResource: gpu, shape: m/pd-ssd:100, replicas: 2, cap: 2}", 0},
		"of a resource of that id":          {full, "{persistentResource: gpu, shape: m/pd-ssd:100, replicas: 2, cap: 2}", 0},
		"capped in one region alone":        {"gpu", "{persistentResource: " + full + ", shape: m/pd-ssd:100, replicas: 2, cap: 2}", 7200 * time.Second},
		"capped in that region":             {full, "{persistentResource: " + full + ", shape: m/pd-ssd:100, replicas: 2, cap: 2}", 0},
		"not capped there":                  {full, "{persistentResource: gpu, shape: m/pd-ssd:100, replicas: 2, cap: 2}, {persistentResource: " + full + ", shape: m/pd-ssd:100, replicas: 2}", 7200 * time.Second},
		"capped there alone":                {full, "{persistentResource: gpu, shape: m/pd-ssd:100, replicas: 2}, {persistentResource: " + full + ", shape: m/pd-ssd:100, replicas: 2, cap: 2}", 0},
		"not capped in one of some regions": {"gpu", "{persistentResource: gpu, shape: m/pd-ssd:100, replicas: 2, cap: 2}, {persistentResource: " + full + ", shape: m/pd-ssd:100, replicas: 2}", 7200 * time.Second},
		"of another shape":                  {"gpu", "{persistentResource: gpu, shape: n/pd-ssd:100, replicas: 2, cap: 2}", 7200 * time.Second},
	} {
		p := policyOf(t, fmt.Sprintf(`
defaults: {serviceAccounts: any, timeouts: {max: 60s}}
tenants:
  a: {shares: [{persistentResource: %s, shape: m/pd-ssd:100, replicas: 4}]}
  b: {timeouts: {max: 7200s}, shares: [%s]}
`, c.of, c.other))
		want := c.within
		if want == 0 {
			want = time.Minute // of those that are not named
		}
		if got := p.Reclaims()[0]; got.Tenant != "a" || got.Within != want {
			t.Errorf("%s: %+v, want %s", name, got, want)
		}
	}
}
