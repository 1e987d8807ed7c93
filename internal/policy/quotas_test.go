package policy

import (
	"testing"

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
	if q := policyOf(t, "defaults: {serviceAccounts: any, maxReplicas: 3}").Quotas(region + "gpu"); q != nil {
		t.Errorf("a policy without quotas has %+v", q)
	}
	// Without defaults, tenants that are not named have no quota.
	q := policyOf(t, "tenants: {a: {serviceAccounts: any, maxRunning: 1}}").Quotas(region + "gpu")
	if diff := cmp.Diff(&admission.Quotas{Tenants: map[string]admission.Quota{"a": {Weight: 1, Running: 1}}, Others: admission.Quota{Weight: 1}}, q); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if (*Policy)(nil).Quotas(region+"gpu") != nil {
		t.Error("no policy has quotas")
	}
}
