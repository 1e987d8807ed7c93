package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/vertex"
)

// pass does every kind of work once. What waits for its time and for its
// publication comes first: it needs no observation of a resource.
func (c *Controller) pass(ctx context.Context, clock func() time.Time, t *tasks, next map[string]time.Time) {
	began := c.env.Monotonic()
	t.begin()
	c.passes.Add(1)
	own := &t.total
	if !t.inline {
		own = &progress{tasks: t}
	}
	t.start(ctx, "events", "", own, func(p *progress) error { return c.publishLate(ctx, clock(), p) })
	t.start(ctx, "timers", "", own, func(p *progress) error { return c.runTimers(ctx, clock(), p) })
	rested := maps.Clone(next) // a part may outlast this pass, and the next one writes the map
	t.start(ctx, "resources", "", own, func(p *progress) error { return c.passRegions(ctx, clock, rested, p) })
	t.wait("", c.cfg.Poll)
	c.env.Telemetry.Pass(ctx, c.env.Monotonic().Sub(began))
}

// passRegions starts the work on every region that has rested.
func (c *Controller) passRegions(ctx context.Context, clock func() time.Time, next map[string]time.Time, p *progress) error {
	regions := map[string][]*ledger.Resource{}
	known := map[string]bool{} // resources with a document
	after := ""
	for {
		page, err := c.ledger.Resources(ctx, after, 50)
		unread, err := ledger.Skipped(err)
		if err != nil {
			return fmt.Errorf("list resources: %w", err)
		}
		c.reportUnreadable(ctx, p, unread...)
		for _, u := range unread {
			known[u.Name] = true // it is there, and is not written anew
		}
		for _, res := range page {
			after = res.Name
			known[res.Name] = true
			if !unwatched(res) || c.parkedOn(ctx, res, clock()) { // else a request will observe it
				p.Resources++
				regions[vertex.NameOf(res.Name).Parent()] = append(regions[vertex.NameOf(res.Name).Parent()], res)
			}
		}
		if len(page) < 50 {
			break
		}
	}
	for _, parent := range slices.Sorted(maps.Keys(regions)) {
		if c.env.Monotonic().Before(next[parent]) {
			p.more = true
			continue
		}
		p.tasks.start(ctx, "region "+parent, "", p, func(p *progress) error { return c.passRegion(ctx, parent, regions[parent], known, clock, p) })
	}
	for _, region := range c.cfg.Regions {
		parent := vertex.InRegion(c.cfg.Project, region).Parent()
		if regions[parent] == nil && c.searches.due(parent, c.env.Monotonic(), searchEvery*c.cfg.Tick) {
			p.tasks.start(ctx, "region "+parent, "", p, func(p *progress) error { return c.searchLost(ctx, parent, known, clock, p) })
		}
	}
	return nil
}

// unwatched says that passes leave a resource alone: it was deleted, and no request
// holds replicas there or is queued for them, and no operator drains it. Parked requests are in no queue.
func unwatched(res *ledger.Resource) bool {
	return res.State == ledger.Absent && len(res.Holds) == 0 && len(res.Queue) == 0 && !res.Paused.Draining()
}

// passRegion does the work on the resources of one region. Passes begin with another
// quarter of them each, so that a pass that is broken off leaves out others than
// the last.
func (c *Controller) passRegion(ctx context.Context, parent string, resources []*ledger.Resource, known map[string]bool, clock func() time.Time, p *progress) error {
	lists := map[string]listing{} // one list of live jobs serves all
	l, err := c.list(ctx, parent, clock, lists, p)
	n := len(resources)
	first := c.firstOf(n, clock())
	for i := range n {
		res := resources[(first+i)%n]
		if res.Pending() > 0 {
			p.pend(res.Name)
		}
		p.tasks.start(ctx, "resource "+res.Name, parent, p, func(p *progress) error { return c.passResource(ctx, res.Name, clock, maps.Clone(lists), p) })
	}
	p.tasks.wait("resource "+parent+"/", c.cfg.Poll)
	if done, _ := p.tasks.progress(); !p.tasks.inline {
		for name := range done.pending {
			if vertex.NameOf(name).Parent() == parent {
				p.pend(name)
			}
		}
	}
	return errors.Join(err, c.findLost(ctx, parent, l, known), c.dispatch(ctx, p))
}

// passResource does the work on one resource: observe, learn, schedule.
func (c *Controller) passResource(ctx context.Context, name string, clock func() time.Time, lists map[string]listing, p *progress) error {
	ctx = onResource(ctx, name)
	var errs []error
	var after, observed *ledger.Resource
	l, err := c.list(ctx, vertex.NameOf(name).Parent(), clock, lists, p)
	if err == nil { // else the region says so
		p.called(vertex.NameOf(name).Parent(), 1)
		// The observation is as old as its oldest part, the list.
		v, err := c.observeWith(ctx, name, l.at, l.jobs)
		if err == nil {
			var s classified
			if s, err = c.saveObservation(ctx, name, v); err == nil {
				if s.drained != nil {
					c.publishOrLeave(ctx, s.drained)
				}
				learned := p.Learned
				observed = s.res
				if !s.older {
					errs = append(errs, c.learn(ctx, s, p), c.sample(ctx, s.res, int(c.passes.Load())))
				}
				errs = append(errs, c.notify(ctx, s.res, p))
				if p.Learned == learned {
					after = s.res // nothing has moved since
				}
				if len(s.res.Recheck) > 0 {
					var parked error
					if after, parked = c.recheck(ctx, s.res, p); !c.leftAlone(ctx, parked, p) {
						errs = append(errs, parked)
					}
				}
			}
		}
		if !c.leftAlone(ctx, err, p) {
			errs = append(errs, err)
		}
	}
	waiting, err := c.schedule(ctx, name, after, p)
	if counted := c.countQueue(ctx, name); !c.leftAlone(ctx, counted, p) {
		errs = append(errs, counted)
	}
	if observed != nil {
		p.late.stands(observed, waiting)
	}
	if after == nil || after.Paused == nil { // else nothing that waits can start within this tick
		p.Waiting += waiting
	}
	if c.leftAlone(ctx, err, p) {
		err = nil
	}
	return errors.Join(append(errs, err)...)
}
