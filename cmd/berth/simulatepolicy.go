package main

import (
	"fmt"
	"io"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/policy"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/replay"
)

// tenants gives the pools of the workload the quotas of the policy file.
func (c *simulateCmd) tenants(g *globals, w *workload) error {
	text, err := readPolicy(g, c.Policy)
	if err != nil {
		return err
	}
	if checked := checkPolicy(c.Policy, text, nil); !checked.Valid {
		checked.print(g.err)
		return &quit{code: exitRefused}
	}
	p, _ := policy.Parse(text)
	of := map[string]*admission.Quotas{}
	for i := range w.options.Pools {
		pool := &w.options.Pools[i]
		if q := c.quotas(p, pool, len(w.options.Pools) == 1); q != nil {
			of[pool.Name] = q
		}
	}
	if len(of) == 0 {
		return usage("--policy %s: it gives no share, cap or maxRunning of any of these pools. A pool stands for the machines of a share if it has the name of their shape, of their machine type or of their persistent resource; the pool of --replicas for those of all shares", c.Policy)
	}
	w.options.Quotas = func(pool replay.Pool) *admission.Quotas { return of[pool.Name] }
	may, never := replay.Capped(w.jobs, w.options)
	if len(never) > 0 && (!c.LeaveOut || len(may) == 0) {
		j := never[0]
		return usage("line %d: job %s asks for %s, which is above the cap of tenant %s, and %s like it: these can never start; raise the caps, or --leave-out", j.Line, j.ID, reason.Count(j.Replicas, "replica"), j.Tenant, reason.Count(len(never)-1, "more job"))
	}
	w.jobs, w.unfit = may, append(w.unfit, never...)
	return nil
}

// quotas are those of a pool: what the policy says of its machines, if the deployment has
// said what they are, else of the machines that it is named after.
func (c *simulateCmd) quotas(p *policy.Policy, pool *replay.Pool, only bool) *admission.Quotas {
	if pool.Shape != (capacity.Shape{}) {
		return p.Quotas(c.observedName)
	}
	pool.Shape = capacity.Spec{MachineType: pool.Name}.Normal()
	return p.Pool(pool.Shape, func(s policy.Share) bool {
		return only && c.Replicas > 0 || pool.Name == s.Shape.String() || pool.Name == s.Shape.Spec().MachineType || pool.Name == short(s.Resource)
	})
}

// sharing compares runs with and without the quotas of tenants.
func sharing(w io.Writer, s *replay.Sharing) {
	t := newTable(w, "POLICY", "WITHOUT", "WITH", "RATIO")
	t.row("mean wait", s.Without.Mean, s.With.Mean, fraction(s.Mean))
	t.row("worst mean slowdown of a tenant", fmt.Sprintf("%.2f (%s)", s.Without.Slowdown, s.Without.Tenant), fmt.Sprintf("%.2f (%s)", s.With.Slowdown, s.With.Tenant), fraction(s.Slowdown))
	if s.With.Gangs > 0 {
		t.row("longest wait of a gang", s.Without.GangMax, s.With.GangMax, fraction(s.GangMax))
	}
	t.end()
	if n := s.With.Within.Jobs; n > 0 {
		say(w, "%s came within the share of their tenant: their mean wait is %s, %s of that of all jobs.", reason.Count(n, "job"), s.With.Within.Mean, fraction(s.Within))
	} else {
		say(w, "No job came within the share of its tenant.")
	}
}
