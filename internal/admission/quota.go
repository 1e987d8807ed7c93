package admission

import (
	"fmt"
	"slices"
	"strings"

	"example.com/berth/internal/capacity"
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
	// InOrder says that a request within the share of its tenant does not go before those
	// of tenants that borrow, but only has the better key. Shares come back later, and
	// tenants that borrow wait less.
	InOrder bool
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

// An Over is the first request, in order, that the quota of its tenant keeps waiting, and
// what the tenant has.
type Over struct {
	Head
	Quota   Quota
	Use     capacity.Use
	Running int
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
				Detail: fmt.Sprintf("An earlier request of the tenant waits for %s within its quota, and this one may not delay it.", reason.Count(o.Demand.Replicas(), "replica"))}
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
			return &reason.Problem{Code: reason.OverQuota, Detail: fmt.Sprintf("%s; the tenant holds %d of the %d that its quota allows.",
				asked(demand.Of(shape), shape), use[shape], most)}
		}
	}
	return &reason.Problem{Code: reason.OverQuota, Detail: fmt.Sprintf("%s of the tenant %s machines, of %d that its quota allows.",
		reason.Count(running, "request"), reason.Agree(running, "holds", "hold"), q.Running)}
}

// never says why a request can never start under a quota; nil if it can.
func (q *Quota) never(a Ask) *reason.Problem {
	for _, shape := range shapesOf(a.Demand) {
		if most, capped := q.Cap[shape]; capped && a.Demand.Of(shape) > most {
			i := slices.IndexFunc(a.Demand, func(n capacity.Need) bool { return n.Shape == shape })
			return &reason.Problem{Code: reason.OverQuota, Path: a.Paths.At(fmt.Sprintf("jobSpec.workerPoolSpecs[%d].replicaCount", a.Demand[i].WorkerPool)),
				Detail: fmt.Sprintf("%s; the quota of the tenant is %d.", asked(a.Demand.Of(shape), shape), most),
				Fix:    fmt.Sprintf("Ask for at most %s of these machines in all, or have the quota raised.", reason.Count(most, "replica"))}
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
	return &reason.Problem{Code: reason.QueueFull, Detail: fmt.Sprintf("%s of the tenant %s for this persistent resource; its quota is %d.",
		reason.Count(n, "request"), reason.Agree(n, "waits", "wait"), q.Waiting),
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
