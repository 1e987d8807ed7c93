package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/policy"
	"example.com/berth/internal/reason"
)

// A policyEffect is what a policy would do to what is there now.
type policyEffect struct {
	Waiting int             `json:"waiting"` // requests that were looked at
	Refused []refusedByNow  `json:"refused"` // of those, the ones that would be refused if they came now
	Shares  []heldOfShare   `json:"shares"`
	Bounds  []boundOfTenant `json:"bounds"` // tenants that are above a bound on their number of requests

	held tally
}

// A tally counts the requests that were held against a policy.
type tally struct {
	all  int
	none int // that it lets never start: they are refused, or above a cap
}

// hold holds a request against a policy as it came, and returns why it would be refused. A
// request that was refused for another reason than a policy says nothing of it.
func (t *tally) hold(p *policy.Policy, rec *ledger.Record) (*reason.Problem, error) {
	q, err := asItCame(rec)
	if err != nil {
		return nil, err
	}
	rules := p.Tenant(rec.Tenant)
	var refused *reason.Problem
	if found := rules.Check(q, rec.Resource); len(found) > 0 {
		refused = &found[0]
	}
	if rec.State == lifecycle.Rejected && (rec.Why == nil || rec.Why.Code != reason.OverQuota && !strings.HasPrefix(string(rec.Why.Code), "POLICY_")) {
		return refused, nil
	}
	t.all++
	if refused != nil || slices.ContainsFunc(rules.SharesOf(rec.Resource), func(s policy.Share) bool { return s.Cap > 0 && rec.Ask.Of(s.Shape) > s.Cap }) {
		t.none++
	}
	return refused, nil
}

// locksOut reports whether a policy lets none of some requests start.
func (t *tally) locksOut() bool { return t.all > 0 && t.none == t.all }

// plus adds another tally.
func (t tally) plus(other tally) tally { return tally{t.all + other.all, t.none + other.none} }

type refusedByNow struct {
	Tenant    string         `json:"tenant"`
	RequestID string         `json:"requestId"`
	Reason    reason.Problem `json:"reason"` // the first
}

// A heldOfShare compares what a tenant holds with its share.
type heldOfShare struct {
	Tenant             string            `json:"tenant"`
	PersistentResource string            `json:"persistentResource"`
	Shape              capacity.Shape    `json:"shape"`
	Held               capacity.Replicas `json:"held"`
	Share              capacity.Replicas `json:"share"`
	Cap                capacity.Replicas `json:"cap,omitempty"`
}

type boundOfTenant struct {
	Tenant  string `json:"tenant"`
	Running int    `json:"running,omitempty"`
	Waiting int    `json:"waiting,omitempty"`
	Bound   int    `json:"bound"`
}

// effectOf reads the resources and their waiting requests, and holds them against a policy.
func effectOf(g *globals, l ledger.Ledger, p *policy.Policy) (policyEffect, error) {
	e := policyEffect{Refused: []refusedByNow{}, Shares: []heldOfShare{}, Bounds: []boundOfTenant{}}
	running, waiting := map[string]int{}, map[string]int{}
	for after := ""; ; {
		resources, err := l.Resources(g.ctx, after, 100)
		documents, err := ledger.Skipped(err)
		if g.unreadable(documents); err != nil {
			return e, err
		}
		for _, res := range resources {
			after = res.Name
			e.holds(p, res, running)
			if err := e.queue(g, l, p, res.Name, waiting); err != nil {
				return e, err
			}
		}
		if len(resources) < 100 {
			break
		}
	}
	for _, tenant := range sortedKeys(running) {
		if n := p.Tenant(tenant).MaxRunning; n > 0 && running[tenant] > n {
			e.Bounds = append(e.Bounds, boundOfTenant{Tenant: tenant, Running: running[tenant], Bound: n})
		}
	}
	for _, tenant := range sortedKeys(waiting) {
		if n := p.Tenant(tenant).MaxWaiting; n > 0 && waiting[tenant] > n {
			e.Bounds = append(e.Bounds, boundOfTenant{Tenant: tenant, Waiting: waiting[tenant], Bound: n})
		}
	}
	return e, nil
}

// holds adds what each tenant holds of its shares of a resource.
func (e *policyEffect) holds(p *policy.Policy, res *ledger.Resource, running map[string]int) {
	held := map[string]capacity.Use{}
	for _, h := range res.Holds {
		running[h.Tenant]++
		if held[h.Tenant] == nil {
			held[h.Tenant] = capacity.Use{}
		}
		held[h.Tenant].Add(h.Ask)
	}
	names := p.Tenants()
	for tenant := range held {
		if !slices.Contains(names, tenant) {
			names = append(names, tenant)
		}
	}
	slices.Sort(names)
	for _, tenant := range names {
		for _, s := range p.Tenant(tenant).SharesOf(res.Name) {
			e.Shares = append(e.Shares, heldOfShare{tenant, res.Name, s.Shape, held[tenant][s.Shape], s.Replicas, s.Cap})
		}
	}
}

// queue adds the waiting requests of a resource that the policy would refuse.
func (e *policyEffect) queue(g *globals, l ledger.Ledger, p *policy.Policy, resource string, waiting map[string]int) error {
	const page = 100
	for after := ""; ; {
		records, err := l.InState(g.ctx, resource, lifecycle.Waiting, after, page)
		documents, err := ledger.Skipped(err)
		if g.unreadable(documents); err != nil {
			return err
		}
		for _, rec := range records {
			after = rec.Order
			waiting[rec.Tenant]++
			e.Waiting++
			switch refused, err := e.held.hold(p, rec); {
			case err != nil:
				say(g.err, "Request %s of tenant %s cannot be held against the policy: %v", rec.ID, rec.Tenant, err)
			case refused != nil:
				e.Refused = append(e.Refused, refusedByNow{rec.Tenant, rec.ID, *refused})
			}
		}
		if len(records) < page {
			return nil
		}
	}
}

// asItCame is a waiting request as its message asked for it, as far as the record tells that
// from defaults. What a default may have set is not held against a policy.
func asItCame(rec *ledger.Record) (*message.Request, error) {
	job, err := message.ParseJob([]byte(rec.Spec))
	if err != nil {
		return nil, err
	}
	if rec.UnsetTimeout && job.GetJobSpec().GetScheduling() != nil {
		job.JobSpec.Scheduling.Timeout = nil
	}
	return &message.Request{RequestID: rec.ID, PersistentResource: rec.Resource, Priority: rec.Priority, Job: job, Ask: rec.Ask, Paths: rec.Paths}, nil
}

const shownRefused = 20

func (e *policyEffect) print(w io.Writer) {
	switch {
	case e.Waiting == 0:
		prose(w, "No request waits.")
	case len(e.Refused) == 0:
		prose(w, "%s: none would be refused if it came now.", waitingRequests(e.Waiting))
	default:
		prose(w, "%s: %d would be refused if they came now. They stay in the queue.", waitingRequests(e.Waiting), len(e.Refused))
		t := newTable(w, "  TENANT", "REQUEST", "REASON")
		for _, r := range e.Refused[:min(len(e.Refused), shownRefused)] {
			t.row("  "+r.Tenant, r.RequestID, problem(&r.Reason))
		}
		t.end()
		if n := len(e.Refused) - shownRefused; n > 0 {
			say(w, "  and %d more; --json has all.", n)
		}
	}
	if len(e.Shares) > 0 {
		say(w, "")
		t := newTable(w, "TENANT", "RESOURCE", "SHAPE", "HELD", "SHARE", "CAP", "")
		for _, s := range e.Shares {
			most, word := "-", ""
			if s.Cap > 0 {
				most = fmt.Sprint(s.Cap)
			}
			switch {
			case s.Cap > 0 && s.Held > s.Cap:
				word = "above its cap: it gets no more until jobs end"
			case s.Held > s.Share:
				word = "borrows"
			}
			t.row(s.Tenant, short(s.PersistentResource), s.Shape, s.Held, s.Share, most, word)
		}
		t.end()
	}
	for _, b := range e.Bounds {
		what := map[bool]string{true: "running", false: "waiting"}[b.Running > 0]
		prose(w, "Tenant %s has %d %s requests, above its bound of %d: it gets no more until there are fewer.", b.Tenant, cmp.Or(b.Running, b.Waiting), what, b.Bound)
	}
}

func waitingRequests(n int) string {
	return reason.Count(n, "request") + reason.Agree(n, " waits", " wait")
}
