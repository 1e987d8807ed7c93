package ledger

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
)

// maxUsed bounds the tenants whose use of late a resource remembers: those that used the
// most. littleUsed is what a tenant without jobs is forgotten at, in replicas.
const (
	maxUsed    = 256
	littleUsed = 0.01
)

// Asked is what a tenant holds and what its waiting requests ask for.
func (r *Resource) Asked(tenant string) capacity.Use {
	use := r.Queue.Asked(tenant)
	for _, h := range r.Holds {
		if h.Tenant == tenant {
			use.Add(h.Ask)
		}
	}
	return use
}

// AddUsed adds what each tenant has held since the last time to its use of late. Without
// shares nothing goes by it, and it is forgotten.
func (r *Resource) AddUsed(now time.Time, shared bool) {
	if !shared {
		r.Used = nil
		return
	}
	held := map[string]capacity.Replicas{}
	for _, h := range r.Holds {
		held[h.Tenant] = held[h.Tenant].Plus(h.Ask.Replicas())
	}
	used := make(map[string]admission.Used, len(held))
	for tenant := range held {
		used[tenant] = r.Used[tenant].After(now, held[tenant])
	}
	for tenant, u := range r.Used {
		if u = u.After(now, held[tenant]); held[tenant] > 0 || u.Replicas > littleUsed {
			used[tenant] = u
		}
	}
	if len(used) > maxUsed {
		names := slices.SortedFunc(maps.Keys(used), func(a, b string) int {
			return cmp.Or(cmp.Compare(used[b].Replicas, used[a].Replicas), cmp.Compare(a, b))
		})
		for _, tenant := range names[maxUsed:] {
			delete(used, tenant)
		}
	}
	r.Used = used
}
