package pace

import (
	"math"
	"slices"
	"time"
)

// Most is how many submissions a minute a tenant has that may use a share of them, above 0
// and at most 1: rounded up, so that there is always one. A share of 0 is no bound.
func (r Rules) Most(share float64) int {
	if share == 0 {
		return math.MaxInt
	}
	return max(1, int(math.Ceil(share*float64(r.PerMinute)-1e-9))) // .1 of 60 is 6, and not 7 by a rounding error
}

// Left is how many submissions a tenant has left of its share now. Its earlier ones count
// for a minute.
func (b *Budget) Left(now time.Time, r Rules, tenant string, share float64) int {
	left := r.Most(share)
	if share == 0 {
		return left
	}
	for _, g := range b.Tenants {
		if g.To == tenant && g.counts(now) {
			left -= g.Tokens
		}
	}
	return max(0, left)
}

// Count counts a submission of a tenant that has a share.
func (b *Budget) Count(now time.Time, tenant string) {
	b.Tenants = with(b.Tenants, now, Grant{To: tenant, Tokens: 1, Until: now})
}

// Within returns the waiting requests without those that are beyond the shares of their
// tenants, in their order. Such a request delays no other.
func Within[T any](waiting []T, order func(a, b T) int, tenant func(T) string, left func(tenant string) int) (within []T) {
	slices.SortFunc(waiting, order)
	rest := map[string]int{}
	for _, w := range waiting {
		name := tenant(w)
		if _, known := rest[name]; !known {
			rest[name] = left(name)
		}
		if rest[name] > 0 {
			rest[name]--
			within = append(within, w)
		}
	}
	return within
}
