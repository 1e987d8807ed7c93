package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/policy"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/replay"
)

// A policyReplay is what a policy would have done to the requests of the last days: how
// many it would have refused, and how long the others would have waited for one resource.
type policyReplay struct {
	Since     time.Time     `json:"since"`
	Requests  int           `json:"requests"` // that came since
	Truncated bool          `json:"truncated,omitempty"`
	Refused   []refusedPast `json:"refused"`
	Resources []replayed    `json:"resources"`

	window time.Duration // until now
	held   tally
}

// A refusedPast is how many requests of a tenant would have been refused for one reason.
type refusedPast struct {
	Tenant   string `json:"tenant"`
	Code     string `json:"code"`
	Path     string `json:"path,omitempty"`
	Requests int    `json:"requests"`
}

// A replayed compares, for a resource, the policy in force with the new one: the waits of
// the jobs that ran and that each would have taken, run again in virtual time.
type replayed struct {
	PersistentResource string     `json:"persistentResource"`
	Jobs               int        `json:"jobs"`
	Now                replayTime `json:"inForce"`
	Next               replayTime `json:"thisOne"`
}

type replayTime struct {
	Refused int            `json:"refused,omitempty"` // jobs, also those that are above a cap
	All     replay.Group   `json:"all"`
	Tenants []replay.Group `json:"tenants"`
}

// maxPast bounds how many requests are read, the latest first.
const maxPast = 20_000

// replayPast reads the requests since a moment, and runs those that ran under both policies.
func replayPast(g *globals, l ledger.Ledger, now, next *policy.Policy, since time.Time) (*policyReplay, error) {
	past := &policyReplay{Since: since, window: time.Since(since), Refused: []refusedPast{}, Resources: []replayed{}}
	pools, err := poolsOf(g, l)
	if err != nil {
		return nil, err
	}
	refused := map[refusedPast]int{}
	jobs := map[string][]pastRequest{}
	err = past.read(g, l, since, func(rec *ledger.Record) {
		taken := true
		if why, err := past.held.hold(next, rec); err == nil && why != nil {
			refused[refusedPast{Tenant: rec.Tenant, Code: string(why.Code), Path: why.Path}]++
			taken = false
		}
		if job, left := pastJob(rec.State, rec.Ask, rec.Times, rec.Timeout); left == ran {
			job.Tenant, job.Priority, job.Submit = rec.Tenant, rec.Priority, rec.Times.Received.Sub(since)
			jobs[rec.Resource] = append(jobs[rec.Resource], pastRequest{job, taken})
		}
	})
	if err != nil {
		return nil, err
	}
	for r, n := range refused {
		r.Requests = n
		past.Refused = append(past.Refused, r)
	}
	slices.SortFunc(past.Refused, func(a, b refusedPast) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Path, b.Path))
	})
	for _, name := range slices.Sorted(maps.Keys(jobs)) {
		one, err := replayResource(g, name, jobs[name], pools[name], now, next)
		if err != nil {
			return nil, err
		}
		past.Resources = append(past.Resources, *one)
	}
	return past, nil
}

// read gives the requests that came since a moment, the latest first.
func (past *policyReplay) read(g *globals, l ledger.Ledger, since time.Time, each func(*ledger.Record)) error {
	const page = 200
	for after := ""; ; {
		records, err := l.List(g.ctx, ledger.Filter{}, after, page)
		documents, err := ledger.Skipped(err)
		if g.unreadable(documents); err != nil {
			return fmt.Errorf("read the requests since %s: %w", clock(since), err)
		}
		for _, rec := range records {
			after = rec.ListKey()
			if rec.Times.Received.Before(since) {
				return nil
			}
			if rec.Kind == message.KindAnswer {
				continue
			}
			if past.Requests == maxPast {
				past.Truncated, past.Since = true, rec.Times.Received
				return nil
			}
			past.Requests++
			each(rec)
		}
		if len(records) < page {
			return nil
		}
	}
}

// poolsOf are the replicas of every resource by shape.
func poolsOf(g *globals, l ledger.Ledger) (map[string]capacity.Use, error) {
	const page = 100
	all := map[string]capacity.Use{}
	for after := ""; ; {
		resources, err := l.Resources(g.ctx, after, page)
		documents, err := ledger.Skipped(err)
		if g.unreadable(documents); err != nil {
			return nil, err
		}
		for _, res := range resources {
			after = res.Name
			all[res.Name] = capacity.Limits(res.Pools)
		}
		if len(resources) < page {
			return all, nil
		}
	}
}

// A pastRequest is a job that ran, and whether the new policy would have taken it.
type pastRequest struct {
	replay.Job
	taken bool
}

// replayResource runs the jobs of a resource under both policies.
func replayResource(g *globals, name string, past []pastRequest, limits capacity.Use, now, next *policy.Policy) (*replayed, error) {
	slices.SortStableFunc(past, func(a, b pastRequest) int { return cmp.Compare(a.Submit, b.Submit) })
	var all, taken []replay.Job
	for i := range past {
		if all = append(all, past[i].Job); past[i].taken {
			taken = append(taken, past[i].Job)
		}
	}
	r := &replayed{PersistentResource: name, Jobs: len(all)}
	pools := poolsFor(all, limits)
	side := func(p *policy.Policy, jobs []replay.Job) (t replayTime, err error) {
		q := p.Quotas(name)
		o := replay.Options{Pools: pools, Plan: controller.DefaultConfig().Policy.Plan, Gang: 2, Quotas: func(replay.Pool) *admission.Quotas { return q },
			Progress: func(int) bool { return g.ctx.Err() == nil }}
		may, _ := replay.Capped(jobs, o)
		t.Refused = len(all) - len(may)
		c, err := replay.Compare(may, []replay.Policy{replay.PlanShared}, replay.Noise{}, o)
		if err != nil {
			return t, unfinished(err)
		}
		t.All, t.Tenants = c.Policies[0].Group, c.Policies[0].Tenants
		return t, nil
	}
	var err error
	if r.Now, err = side(now, all); err == nil {
		r.Next, err = side(next, taken)
	}
	return r, err
}

func (past *policyReplay) print(w io.Writer) {
	say(w, "")
	if past.Requests == 0 {
		say(w, "No request came in the last %s.", replay.Seconds(past.window))
		return
	}
	if past.Truncated {
		say(w, "%s came since %s; older ones are not read.", reason.Count(past.Requests, "request"), clock(past.Since))
	} else {
		say(w, "%s came in the last %s.", reason.Count(past.Requests, "request"), replay.Seconds(past.window))
	}
	if len(past.Refused) == 0 {
		say(w, "None of them would have been refused by the bounds of a request.")
	} else {
		t := newTable(w, "WOULD BE REFUSED", "TENANT", "REASON", "FIELD")
		for _, r := range past.Refused[:min(len(past.Refused), shownRefused)] {
			t.row(r.Requests, r.Tenant, r.Code, r.Path)
		}
		t.end()
		if n := len(past.Refused) - shownRefused; n > 0 {
			say(w, "and %d more; --json has all.", n)
		}
	}
	for i := range past.Resources {
		past.Resources[i].print(w)
	}
}

func (r *replayed) print(w io.Writer) {
	say(w, "")
	say(w, "%s of %s, run again in virtual time: mean and longest wait under the policy in force and under this one.", reason.Count(r.Jobs, "job"), short(r.PersistentResource))
	t := newTable(w, "TENANT", "IN FORCE", "MEAN", "LONGEST", "THIS ONE", "MEAN", "LONGEST")
	names := map[string]bool{}
	for _, group := range slices.Concat(r.Now.Tenants, r.Next.Tenants) {
		names[group.Name] = true
	}
	row := func(name string, now, next *replay.Group) {
		cells := []any{name}
		for _, side := range []*replay.Group{now, next} {
			if side == nil || side.Jobs == 0 {
				cells = append(cells, "-", "", "")
			} else {
				cells = append(cells, reason.Count(side.Jobs, "job"), side.Mean, side.Max)
			}
		}
		t.row(cells...)
	}
	list := sortedKeys(names)
	for _, name := range list[:min(len(list), shownTenants)] {
		row(name, groupOf(r.Now.Tenants, name), groupOf(r.Next.Tenants, name))
	}
	row("all", &r.Now.All, &r.Next.All)
	t.end()
	if n := len(list) - shownTenants; n > 0 {
		say(w, "and %s; --json has all.", reason.Count(n, "more tenant"))
	}
}

func groupOf(list []replay.Group, name string) *replay.Group {
	if i := slices.IndexFunc(list, func(g replay.Group) bool { return g.Name == name }); i >= 0 {
		return &list[i]
	}
	return nil
}
