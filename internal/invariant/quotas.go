package invariant

import (
	"fmt"
	"maps"
	"slices"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
)

// Quotas holds one resource document against the quotas of its tenants. A quota that was
// lowered below what runs is the exception.
func Quotas(res *ledger.Resource, q *admission.Quotas) (found []Violation) {
	if q == nil {
		return nil
	}
	use, running := map[string]capacity.Use{}, map[string]int{}
	for _, h := range res.Holds {
		if use[h.Tenant] == nil {
			use[h.Tenant] = capacity.Use{}
		}
		use[h.Tenant].Add(h.Ask)
		running[h.Tenant]++
	}
	for _, tenant := range slices.Sorted(maps.Keys(use)) {
		quota := q.Of(tenant)
		for shape, most := range quota.Cap {
			if n := use[tenant][shape]; n > most {
				found = append(found, Violation{Rule: QuotaHeld, Resource: res.Name,
					This: fmt.Sprintf("the cap of tenant %s is %d replicas of %s", tenant, most, shape), That: fmt.Sprintf("it holds %d", n)})
			}
		}
		if n := running[tenant]; quota.Running > 0 && n > quota.Running {
			found = append(found, Violation{Rule: QuotaHeld, Resource: res.Name,
				This: fmt.Sprintf("%d requests of tenant %s may hold replicas", quota.Running, tenant), That: fmt.Sprintf("%d do", n)})
		}
	}
	return found
}
