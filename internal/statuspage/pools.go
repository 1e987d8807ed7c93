package statuspage

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
)

// now reads the ledger's clock and the reconcile lease. The lease is also nil
// if it cannot be read.
func (d *handler) now(ctx context.Context) (now time.Time, lease *ledger.Lease, err error) {
	err = ledger.Read(ctx, d.ledger, ledger.Leases(controller.ReconcileLease), func(tx ledger.Tx) {
		now, lease = tx.Now(), nil
		if tx.Unreadable(ledger.LeaseRef(controller.ReconcileLease)) == nil {
			lease = tx.Lease(controller.ReconcileLease)
		}
	})
	if err != nil {
		err = fmt.Errorf("read the reconcile lease: %w", err)
	}
	return now, lease, err
}

func (d *handler) index(*http.Request) (any, error) {
	return Index{
		Service: "berth", Version: d.info.Version, Project: d.info.Project, Regions: d.info.Regions,
		Deployment: d.info.Deployment, DefaultResource: d.info.DefaultResource,
		RequestTopic: d.info.RequestTopic, OutcomeTopic: d.info.OutcomeTopic,
		MaxAge: Duration(d.info.Policy.MaxAge), Keep: Duration(d.info.Keep), Routes: routes,
	}, nil
}

func (d *handler) health(r *http.Request) (any, error) {
	page, err := d.ledger.Resources(r.Context(), "", maxLimit)
	unreadable, err := ledger.Skipped(err)
	if err != nil {
		return nil, fmt.Errorf("list resources: %w", err)
	}
	now, lease, err := d.now(r.Context())
	if err != nil {
		return nil, err
	}
	h := Health{OK: true, AsOf: now, Reconcile: lease, Unreadable: unreadable}
	var oldest *ledger.Resource
	for _, res := range page {
		if res.State == ledger.Absent && len(res.Holds) == 0 && len(res.Queue) == 0 {
			continue // deleted and not in use: reconcile does not observe it
		}
		h.Resources++
		if oldest == nil || res.ObservedAt.Before(oldest.ObservedAt) {
			oldest = res
		}
	}
	if oldest != nil {
		h.Oldest, h.OldestAge, h.Stale = oldest.Name, since(oldest.ObservedAt, now), d.stale(oldest, now)
	}
	return h, nil
}

// since is the time since a moment; 0 for a zero moment.
func since(t, now time.Time) Duration {
	if t.IsZero() {
		return 0
	}
	return Duration(max(0, now.Sub(t)))
}

func (d *handler) stale(res *ledger.Resource, now time.Time) bool {
	return now.Sub(res.ObservedAt) > d.info.Policy.MaxAge
}

func (d *handler) pools(r *http.Request) (any, error) {
	from, limit, err := page(r)
	if err != nil {
		return nil, err
	}
	names, err := d.resources(r)
	if err != nil {
		return nil, err
	}
	p := Pools{Resources: []Resource{}}
	var found []*ledger.Resource
	if names != nil {
		if found, p.Unreadable, p.AsOf, err = d.readResources(r.Context(), names); err != nil {
			return nil, err
		}
		if len(found)+len(p.Unreadable) == 0 {
			return nil, unknownResource(r.URL.Query().Get("resource"))
		}
	} else {
		// The time is read first: a document that changes meanwhile is
		// then newer than the time it is compared with, and no
		// observation appears fresher than it is.
		if p.AsOf, _, err = d.now(r.Context()); err != nil {
			return nil, err
		}
		if found, p.Unreadable, p.Next, err = d.pageOfResources(r.Context(), from, limit); err != nil {
			return nil, err
		}
	}
	if p.PausedTenants, err = d.pausedTenants(r.Context(), scopeOf(r)); err != nil {
		return nil, err
	}
	for _, res := range found {
		entry := d.show(res, p.AsOf)
		if s := scopeOf(r); !s.All && !s.Sole {
			entry.Foreign = nil // its jobs are others'; ForeignJobs counts them
		}
		p.Resources = append(p.Resources, entry)
	}
	return p, nil
}

// pausedTenants returns the paused tenants that the caller may see.
func (d *handler) pausedTenants(ctx context.Context, s Scope) (shown map[string]admission.Pause, err error) {
	err = ledger.Read(ctx, d.ledger, ledger.AllPauses(), func(tx ledger.Tx) {
		shown = nil
		ref := ledger.PauseRef(ledger.TenantPauses)
		if tx.Unreadable(ref) != nil {
			return // routes that decide say so
		}
		if pauses := ledger.Get[*ledger.Pauses](tx, ref); pauses != nil {
			shown = maps.Clone(pauses.Tenants)
			maps.DeleteFunc(shown, func(tenant string, _ admission.Pause) bool { return !s.shows(tenant) })
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read which tenants are paused: %w", err)
	}
	return shown, nil
}

// pageOfResources returns the resource documents of a page, those of it that cannot be
// read, and the cursor of the next page.
func (d *handler) pageOfResources(ctx context.Context, from cursor, limit int) (found []*ledger.Resource, bad []*ledger.UnreadableError, next string, err error) {
	found, err = d.ledger.Resources(ctx, from.Resource, limit+1)
	if bad, err = ledger.Skipped(err); err != nil {
		return nil, nil, "", fmt.Errorf("list resources: %w", err)
	}
	if len(found) > limit {
		found = found[:limit]
		next = cursor{Resource: found[limit-1].Name, Done: true}.text()
	}
	return found, bad, next, nil
}

// readResources returns the named resources that exist, and separately the
// documents that cannot be read.
func (d *handler) readResources(ctx context.Context, names []string) (found []*ledger.Resource, unreadable []*ledger.UnreadableError, now time.Time, err error) {
	err = ledger.Read(ctx, d.ledger, ledger.Resources(names...), func(tx ledger.Tx) {
		found, unreadable, now = nil, nil, tx.Now()
		for _, name := range names {
			if bad := tx.Unreadable(ledger.ResourceRef(name)); bad != nil {
				unreadable = append(unreadable, bad)
				continue
			}
			if res := tx.Resource(name); res != nil {
				found = append(found, res)
			}
		}
	})
	if err != nil {
		err = fmt.Errorf("read resources: %w", err)
	}
	return found, unreadable, now, err
}

// show returns the entry of a resource.
func (d *handler) show(res *ledger.Resource, now time.Time) Resource {
	s := Resource{
		Name: res.Name, State: res.State, CreateTime: res.CreateTime, ObservedAt: res.ObservedAt,
		ObservedAge: since(res.ObservedAt, now), Stale: d.stale(res, now), Network: res.Network, Ray: res.Ray,
		Pools: []Pool{}, Shapes: shapes(res), Holds: len(res.Holds), Foreign: res.Foreign[:min(ledger.MaxForeign, len(res.Foreign))], ForeignJobs: max(res.ForeignJobs, len(res.Foreign)),
		Declines: res.Declines, Paused: res.Paused, PausedPools: res.PausedPools,
	}
	for _, h := range res.Holds {
		if h.Overstays {
			s.Overstaying++
		}
	}
	if now.Before(res.NotBefore) {
		s.NotBefore = res.NotBefore
	}
	for _, p := range res.Pools {
		if res.State == ledger.Absent {
			s.Pools = append(s.Pools, Pool{capacity.Pool{ID: p.ID, Shape: p.Shape}, 0})
			continue // an absent resource has no machines
		}
		s.Pools = append(s.Pools, Pool{p, p.Limit()})
	}
	return s
}

// shapes does the arithmetic per shape: the shapes of the pools, and those that
// are held or waited for without a pool.
func shapes(res *ledger.Resource) []Shape {
	held, foreign := capacity.Use{}, res.ForeignUse()
	for _, h := range res.Holds {
		held.Add(h.Ask)
	}
	pools := res.Pools
	if res.State == ledger.Absent {
		pools = nil // from the last observation: there are no machines now
	}
	limits, use := capacity.Limits(pools), res.Use()
	over := capacity.Overdrawn(pools, use)
	all := map[capacity.Shape]bool{}
	for s := range limits {
		all[s] = true
	}
	for s := range use {
		all[s] = true
	}
	for _, p := range res.Pools {
		all[p.Shape] = true
	}
	paused := admission.PausedUse(pools, res.PausedPools)
	waiting := res.Queue.ByShape()
	for s := range waiting {
		all[s] = true
	}
	list := []Shape{}
	for _, s := range slices.SortedFunc(maps.Keys(all), capacity.Shape.Compare) {
		list = append(list, Shape{
			Shape: s, Limit: limits[s], Held: held[s], Foreign: foreign[s], Unexplained: res.Unexplained[s],
			Taken: use[s], Paused: paused[s], Free: max(0, limits[s]-use[s]-paused[s]), Overdrawn: over[s], Waiting: waiting[s],
		})
	}
	return list
}
