package admission

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// A Quota is what a policy gives one tenant on one persistent resource. The zero value
// bounds nothing, and no machine is the tenant's own.
type Quota struct {
	// Share is the tenant's nominal share, in replicas by shape. While others leave
	// machines idle it may use more (it borrows). While it asks for less than its share,
	// its requests go before those of tenants that borrow.
	Share capacity.Use
	// Cap is the most that it holds at a time, in replicas by shape. A shape that it does
	// not name has none.
	Cap capacity.Use
	// Weight divides the use that counts when several tenants borrow. 0 is 1.
	Weight float64
	// Running is how many of its requests hold machines at a time at most, and Waiting
	// how many wait in the queue; 0 for no bound.
	Running, Waiting int
}

func (q *Quota) bounds() bool { return len(q.Cap) > 0 || q.Running > 0 }

// Quotas are those of all tenants on one persistent resource. A nil pointer is no policy.
type Quotas struct {
	Tenants map[string]Quota
	Others  Quota // of each tenant that Tenants does not name
}

// Of returns the quota of a tenant.
func (q *Quotas) Of(tenant string) Quota {
	if q == nil {
		return Quota{}
	}
	if quota, named := q.Tenants[tenant]; named {
		return quota
	}
	return q.Others
}

// Shared reports whether any tenant has a share. Without one all tenants are equal.
func (q *Quotas) Shared() bool {
	if q == nil {
		return false
	}
	for _, quota := range q.Tenants {
		if len(quota.Share) > 0 {
			return true
		}
	}
	return len(q.Others.Share) > 0
}

// allows reports whether a demand fits beside use into an allowance. only says that a
// shape without an allowance does not matter.
func allows(allowance, use capacity.Use, demand capacity.Ask, only bool) bool {
	for _, shape := range shapesOf(demand) {
		most, named := allowance[shape]
		if !named && only {
			continue
		}
		if use[shape].Plus(demand.Of(shape)) > most {
			return false
		}
	}
	return true
}

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

// tenant is the tenant of the class's requests; "" if it has those of all tenants.
func (id ClassID) tenant() string {
	if tenant, _, _ := strings.Cut(string(id), "|"); tenant != anyOf {
		return tenant
	}
	return ""
}

// Stored returns heads of a class as they are stored: without the tenant that the class
// names.
func (id ClassID) Stored(heads []Head) []Head {
	if id.tenant() != "" {
		for i := range heads {
			heads[i].Tenant = ""
		}
	}
	return heads
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
	pl.accounts, pl.shared = map[string]*account{}, pl.p.Quotas.Shared()
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

// An Over is the first request, in order, that the quota of its tenant keeps waiting, and
// what the tenant has.
type Over struct {
	Head
	Quota   Quota
	Use     capacity.Use
	Running int
}

// listOver adds the requests that quotas keep waiting to the plan.
func (pl *planner) listOver() {
	for _, tenant := range slices.Sorted(maps.Keys(pl.accounts)) {
		if t := pl.accounts[tenant]; t.over != nil {
			pl.plan.Over = append(pl.plan.Over, Over{t.over.Head, t.Quota, t.use, t.running})
		}
	}
}

// over is the reason of a request that the quota of its tenant keeps waiting by the plan;
// nil if that is not why.
func (p *Plan) over(a Ask) *reason.Problem {
	for _, o := range p.Over {
		switch {
		case o.Tenant != a.Tenant:
		case o.ID == a.ID:
			return o.Quota.exceeded(o.Use, o.Running, a.Demand)
		case o.Order < a.Order && (o.Quota.Running > 0 || share(shapesOf(o.Demand), shapesOf(a.Demand))):
			return &reason.Problem{Code: reason.OverQuota,
				Detail: fmt.Sprintf("An earlier request of the tenant waits for %d replicas within its quota, and this one may not delay it.", o.Demand.Replicas())}
		}
	}
	return nil
}

// overQuota is the reason of a request that fits and that the quota of its tenant keeps
// waiting, if no other request waits; nil if it starts.
func overQuota(s Snapshot, a Ask, p PlanPolicy) *reason.Problem {
	quota := p.Quotas.Of(a.Tenant)
	if !quota.bounds() || s.Held == nil {
		return nil
	}
	t := account{Quota: quota, use: capacity.Use{}}
	for _, h := range s.Held() {
		if h.ID != "" && h.Tenant == a.Tenant {
			t.use.Add(h.Demand)
			t.running++
		}
	}
	if t.fits(a.Demand) {
		return nil
	}
	return quota.exceeded(t.use, t.running, a.Demand)
}

// exceeded says which bound a demand exceeds beside what the tenant has.
func (q *Quota) exceeded(use capacity.Use, running int, demand capacity.Ask) *reason.Problem {
	for _, shape := range shapesOf(demand) {
		if most, capped := q.Cap[shape]; capped && use[shape].Plus(demand.Of(shape)) > most {
			return &reason.Problem{Code: reason.OverQuota, Detail: fmt.Sprintf("%d replicas of %s are asked for; the tenant holds %d of the %d that its quota allows.",
				demand.Of(shape), shape, use[shape], most)}
		}
	}
	return &reason.Problem{Code: reason.OverQuota, Detail: fmt.Sprintf("%d requests of the tenant hold machines, of %d that its quota allows.", running, q.Running)}
}

// never says why a request can never start under a quota; nil if it can.
func (q *Quota) never(a Ask) *reason.Problem {
	for _, shape := range shapesOf(a.Demand) {
		if most, capped := q.Cap[shape]; capped && a.Demand.Of(shape) > most {
			i := slices.IndexFunc(a.Demand, func(n capacity.Need) bool { return n.Shape == shape })
			return &reason.Problem{Code: reason.OverQuota, Path: a.Paths.At(fmt.Sprintf("jobSpec.workerPoolSpecs[%d].replicaCount", a.Demand[i].WorkerPool)),
				Detail: fmt.Sprintf("%d replicas of %s are asked for; the quota of the tenant is %d.", a.Demand.Of(shape), shape, most),
				Fix:    fmt.Sprintf("Ask for at most %d replicas of these machines in all, or have the quota raised.", most)}
		}
	}
	return nil
}

// queueFull says that a new request may not wait, because too many of its tenant do; nil
// if it may.
func (q *Quota) queueFull(queue Queue, a Ask) *reason.Problem {
	n := queue.Of(a.Tenant)
	if q.Waiting == 0 || n < q.Waiting {
		return nil
	}
	return &reason.Problem{Code: reason.QueueFull, Detail: fmt.Sprintf("%d requests of the tenant wait for this persistent resource; its quota is %d.", n, q.Waiting),
		Fix: "Send it again later under a new id, cancel one that waits, or have the quota raised."}
}

// Asked is what the waiting requests of a tenant ask for. Those beyond the known heads of a
// class count as the largest that it may have, so that it is never less than they ask for.
func (q Queue) Asked(tenant string) capacity.Use {
	use := capacity.Use{}
	for id, c := range q {
		if id.tenant() != tenant {
			continue
		}
		for _, h := range c.Heads {
			use.Add(h.Demand)
		}
		if rest := c.Count - len(c.Heads); rest > 0 {
			for _, shape := range c.shapes(id) {
				use[shape] = use[shape].Plus(min(capacity.MaxReplicas, id.largest()*capacity.Replicas(rest)))
			}
		}
	}
	return use
}

// Of is how many requests of a tenant wait. Those that share classes with other tenants,
// because there are too many classes, are not counted.
func (q Queue) Of(tenant string) (n int) {
	for id, c := range q {
		if id.tenant() == tenant {
			n += c.Count
		}
	}
	return n
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
