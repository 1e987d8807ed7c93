package admission

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// An account is what a plan knows of one tenant.
type account struct {
	Quota
	use      capacity.Use // of its jobs, with the starts of the plan
	running  int
	reserved capacity.Use // of its reservations in the plan
	standing int          // how many they are
	over     *excess
}

// An excess is the first request of a tenant, in order, that its cap keeps from starting.
// Later ones of its shapes start only if they end before its jobs leave room for it.
// Otherwise a large request would starve behind small ones of its own tenant.
type excess struct {
	Head
	until time.Time // when the tenant's jobs that run leave room for it; zero if that is not known
}

// fits reports whether a demand is within the cap and the number of running requests.
func (t *account) fits(demand capacity.Ask) bool {
	return allows(t.Cap, t.use, demand, true) && (t.Running == 0 || t.running+t.standing < t.Running)
}

// fitsReserved is fits beside all reservations of the tenant.
func (t *account) fitsReserved(demand capacity.Ask) bool {
	if !t.fits(demand) {
		return false
	}
	if t.reserved == nil {
		return true
	}
	return allows(t.Cap, sum(t.use, t.reserved), demand, true)
}

// owed reports whether a demand is within the share of the tenant.
func (t *account) owed(demand capacity.Ask) bool {
	return len(t.Share) > 0 && allows(t.Share, t.use, demand, false) &&
		(t.reserved == nil || allows(t.Share, sum(t.use, t.reserved), demand, false))
}

func sum(a, b capacity.Use) capacity.Use {
	all := make(capacity.Use, len(a)+len(b))
	for shape, n := range a {
		all[shape] = n
	}
	for shape, n := range b {
		all[shape] = all[shape].Plus(n)
	}
	return all
}

// stand counts a reservation of the tenant. One that lacks a shape does not count: another
// request of the tenant, of a higher priority, may have to start before it.
func (t *account) stand(r *Reservation) {
	if t == nil || !r.complete() {
		return
	}
	if t.reserved == nil {
		t.reserved = capacity.Use{}
	}
	t.standing++
	t.reserved.Add(r.Demand)
}

// ofTenant gives heads the tenant that their class names.
func ofTenant(heads []Head, tenant string) []Head {
	for i := range heads {
		if heads[i].Tenant == "" {
			heads = slices.Clone(heads)
			for k := range heads {
				heads[k].Tenant = cmp.Or(heads[k].Tenant, tenant)
			}
			break
		}
	}
	return heads
}

// tenantOf is the tenant of a waiting request.
func (pl *planner) tenantOf(id message.Key) string {
	for i := range pl.classes {
		c := &pl.classes[i]
		if k := slices.IndexFunc(c.heads, func(h Head) bool { return h.ID == id }); k >= 0 {
			return c.heads[k].Tenant
		}
	}
	return ""
}

// account returns the account of a tenant; nil without a policy.
func (pl *planner) account(tenant string) *account {
	if pl.p.Quotas == nil {
		return nil
	}
	t := pl.accounts[tenant]
	if t == nil {
		t = &account{Quota: pl.p.Quotas.Of(tenant), use: capacity.Use{}}
		pl.accounts[tenant] = t
	}
	return t
}

// openAccounts counts what every tenant has, and finds the requests that are over a cap.
func (pl *planner) openAccounts() {
	if pl.p.Quotas == nil {
		return
	}
	pl.accounts, pl.shared = map[string]*account{}, pl.p.Quotas.Shared() && !pl.p.Quotas.InOrder
	for i := range pl.s.Held {
		if h := &pl.s.Held[i]; h.ID != "" {
			t := pl.account(h.Tenant)
			t.use.Add(h.Demand)
			t.running++
		}
	}
	var list []*Head
	for i := range pl.classes {
		c := &pl.classes[i]
		for k := range c.heads {
			if t := pl.account(c.heads[k].Tenant); t.bounds() {
				list = append(list, &c.heads[k])
				if !t.fits(c.heads[k].Demand) {
					break // those behind it in its class come later
				}
			}
		}
	}
	slices.SortFunc(list, pl.compare)
	for _, h := range list {
		if t := pl.account(h.Tenant); !t.fits(h.Demand) {
			pl.exceeds(t, h)
		}
	}
}

// exceeds records the first request of a tenant that its cap keeps from starting.
func (pl *planner) exceeds(t *account, h *Head) {
	if t.over != nil && strings.Compare(t.over.Order, h.Order) <= 0 {
		return
	}
	t.over = &excess{Head: *h, until: pl.leavesRoom(t, h)}
}

// leavesRoom is when the jobs of a tenant that run leave room for a request under its cap;
// zero if they never do.
func (pl *planner) leavesRoom(t *account, h *Head) time.Time {
	ends := pl.endsOf(h.Tenant)
	slices.SortFunc(ends, func(a, b capacity.End) int { return a.At.Compare(b.At) })
	left := account{Quota: t.Quota, use: capacity.Use{}, running: t.running}
	for _, e := range ends {
		left.use.Add(e.Ask)
	}
	for _, e := range ends {
		for _, n := range e.Ask {
			left.use[n.Shape] -= n.Replicas
		}
		left.running--
		if left.fits(h.Demand) {
			return e.At
		}
	}
	return time.Time{}
}

// endsOf returns when the jobs of a tenant end at the latest, with the starts of the plan.
func (pl *planner) endsOf(tenant string) (ends []capacity.End) {
	for i := range pl.s.Held {
		if h := &pl.s.Held[i]; h.ID != "" && h.Tenant == tenant {
			ends = append(ends, capacity.End{At: pl.endOf(h), Ask: h.Demand})
		}
	}
	for i := range pl.plan.Starts {
		if st := &pl.plan.Starts[i]; st.Tenant == tenant {
			ends = append(ends, capacity.End{At: st.End(pl.s.Now, pl.p), Ask: st.Demand})
		}
	}
	return ends
}

// endOf is when a job ends at the latest. One beyond its end is assumed to end one
// horizon from now.
func (pl *planner) endOf(h *Held) time.Time {
	if h.End.After(pl.s.Now) {
		return h.End
	}
	return pl.s.Now.Add(pl.p.Horizon)
}

// mayStart reports whether the quota of its tenant lets a request start now, and by when
// its job must then be running at the latest; zero for the ordinary timeout.
func (pl *planner) mayStart(h *Head) (by time.Time, ok bool) {
	t := pl.account(h.Tenant)
	if t == nil || !t.bounds() {
		return time.Time{}, true
	}
	if !t.fits(h.Demand) {
		pl.exceeds(t, h)
		return time.Time{}, false
	}
	if o := t.over; o != nil && o.Order < h.Order && pl.contend(t, h, &o.Head) {
		if o.until.IsZero() {
			return time.Time{}, false
		}
		by = o.until.Add(-h.Limit - pl.p.Margin)
		return by, !by.Before(pl.s.Now.Add(pl.p.startIn(*h)))
	}
	return time.Time{}, true
}

// contend reports whether two requests of a tenant take from one bound of it.
func (pl *planner) contend(t *account, a, b *Head) bool {
	return t.Running > 0 || share(shapesOf(a.Demand), shapesOf(b.Demand))
}

// barred reports whether the quota of its tenant keeps a request from starting, whatever
// is free. Such a request goes before no other.
func (pl *planner) barred(h *Head) bool {
	t := pl.account(h.Tenant)
	if t == nil || !t.bounds() {
		return false
	}
	return !t.fits(h.Demand) || t.over != nil && t.over.Order < h.Order && pl.contend(t, h, &t.over.Head)
}

// owed reports whether a request came within the share of its tenant, and still is. One
// that came beyond it keeps its place, or the many small requests of some tenants would keep
// gangs waiting.
func (pl *planner) owed(h *Head) bool { return h.Within && pl.account(h.Tenant).owed(h.Demand) }

// borrows reports whether a request goes behind those that are within the share of their
// tenant: it is not itself, and has not waited too long.
func (pl *planner) borrows(h *Head) bool {
	return pl.shared && !h.Key.Before(pl.s.Now.Add(-pl.p.Patience)) && !pl.account(h.Tenant).owed(h.Demand)
}

// compare orders waiting requests: by priority, then those within the shares of their
// tenants and those that have waited too long, then by their static order.
func (pl *planner) compare(a, b *Head) int {
	if pl.shared {
		if p, q := priorityOf(a.Order), priorityOf(b.Order); p == q {
			if x, y := pl.borrows(a), pl.borrows(b); x != y {
				if x {
					return 1
				}
				return -1
			}
		}
	}
	return strings.Compare(a.Order, b.Order)
}

// outranks reports whether a waiting request goes before a reservation, although the
// reservation is older: by its priority, or because its tenant takes back its share from
// one that borrows.
func (pl *planner) outranks(h *Head, r *Reservation) bool {
	p, q := priorityOf(h.Order), priorityOf(r.Order)
	if p != q || !pl.shared {
		return p < q
	}
	return !r.Owed && !r.Key.Before(pl.s.Now.Add(-pl.p.Patience)) && pl.owed(h)
}

// listOver adds the requests that quotas keep waiting to the plan.
func (pl *planner) listOver() {
	for _, tenant := range slices.Sorted(maps.Keys(pl.accounts)) {
		if t := pl.accounts[tenant]; t.over != nil {
			pl.plan.Over = append(pl.plan.Over, Over{t.over.Head, t.Quota, t.use, t.running})
		}
	}
}

// barredBehind is barred for the requests of a class that are not known.
func (pl *planner) barredBehind(c *planClass) bool {
	t := pl.account(c.id.tenant())
	if t == nil || !t.bounds() || c.id.tenant() == "" {
		return false
	}
	least := capacity.Ask{{Shape: c.shapes[0], Replicas: c.id.Smallest()}}
	return len(c.shapes) == 1 && !t.fits(least) || t.over != nil && pl.contend(t, c.before(), &t.over.Head)
}

// quotaBeside reports whether a request leaves room for a reservation of its own tenant
// under their cap, at the start of the reservation.
func (pl *planner) quotaBeside(g *gate, h *Head) bool {
	t := pl.account(h.Tenant)
	if t == nil || g.Tenant != h.Tenant || len(t.Cap) == 0 {
		return true
	}
	use := capacity.Use{}
	for shape, n := range t.reserved {
		use[shape] = n
	}
	for _, e := range pl.endsOf(h.Tenant) {
		if e.At.After(g.At) {
			use.Add(e.Ask)
		}
	}
	return allows(t.Cap, use, h.Demand, true)
}
