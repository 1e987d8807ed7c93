package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/ledger"
)

// pass does every kind of work once. What waits for its time and for its
// publication comes first: it needs no observation of a resource.
func (c *Controller) pass(ctx context.Context, clock func() time.Time, t *tasks, next map[string]time.Time) {
	t.begin()
	c.passes.Add(1)
	r := &t.total
	if !t.inline {
		r = &Report{tasks: t}
	}
	t.start(ctx, "events", "", r, func(r *Report) error { return c.publishLate(ctx, clock(), r) })
	t.start(ctx, "timers", "", r, func(r *Report) error { return c.runTimers(ctx, clock(), r) })
	rested := maps.Clone(next) // a part may outlast this pass, and the next one writes the map
	t.start(ctx, "resources", "", r, func(r *Report) error { return c.tendAll(ctx, clock, rested, r) })
	t.wait("", c.cfg.Poll)
}

// tendAll starts the work on every region that has rested.
func (c *Controller) tendAll(ctx context.Context, clock func() time.Time, next map[string]time.Time, r *Report) error {
	regions := map[string][]*ledger.Resource{}
	known := map[string]bool{} // resources with a document
	after := ""
	for {
		page, err := c.ledger.Resources(ctx, after, 50)
		unread, err := ledger.Skipped(err)
		if err != nil {
			return fmt.Errorf("list resources: %w", err)
		}
		c.reportUnreadable(r, unread...)
		for _, u := range unread {
			known[u.Name] = true // it is there, and nobody writes it anew
		}
		for _, res := range page {
			after = res.Name
			known[res.Name] = true
			if !unwatched(res) || c.parkedOn(ctx, res, clock()) { // else a request will look again
				r.Resources++
				regions[parentOf(res.Name)] = append(regions[parentOf(res.Name)], res)
			}
		}
		if len(page) < 50 {
			break
		}
	}
	for _, parent := range slices.Sorted(maps.Keys(regions)) {
		if c.env.Monotonic().Before(next[parent]) {
			r.more = true
			continue
		}
		r.tasks.start(ctx, "region "+parent, "", r, func(r *Report) error { return c.tendRegion(ctx, parent, regions[parent], known, clock, r) })
	}
	for _, region := range c.cfg.Regions {
		parent := "projects/" + c.cfg.Project + "/locations/" + region
		if regions[parent] == nil && c.searches.due(parent, c.env.Monotonic(), lookForLost*c.cfg.Tick) {
			r.tasks.start(ctx, "region "+parent, "", r, func(r *Report) error { return c.searchLost(ctx, parent, known, clock, r) })
		}
	}
	return nil
}

// unwatched says that passes leave a resource alone: it was deleted, and nobody
// holds machines there or is in the queue for them. Parked requests are in no line.
func unwatched(res *ledger.Resource) bool {
	return res.State == ledger.Absent && len(res.Holds) == 0 && len(res.Queues) == 0
}

// tendRegion looks after the resources of one region. Passes begin with another
// quarter of them each, so that a pass that is broken off leaves out others than
// the last.
func (c *Controller) tendRegion(ctx context.Context, parent string, resources []*ledger.Resource, known map[string]bool, clock func() time.Time, r *Report) error {
	lists := map[string]listing{} // one list of live jobs serves all
	l, err := c.list(ctx, parent, clock, lists, r)
	n := len(resources)
	first := c.firstOf(n, clock())
	for i := range n {
		res := resources[(first+i)%n]
		if res.Pending() > 0 {
			r.pend(res.Name)
		}
		r.tasks.start(ctx, "resource "+res.Name, parent, r, func(r *Report) error { return c.tend(ctx, res.Name, clock, maps.Clone(lists), r) })
	}
	r.tasks.wait("resource "+parent+"/", c.cfg.Poll)
	if done, _ := r.tasks.report(); !r.tasks.inline {
		for name := range done.pending {
			if parentOf(name) == parent {
				r.pend(name)
			}
		}
	}
	return errors.Join(err, c.findLost(ctx, parent, l, known), c.dispatch(ctx, r))
}

// tend looks after one resource: see, learn, hand on.
func (c *Controller) tend(ctx context.Context, name string, clock func() time.Time, lists map[string]listing, r *Report) error {
	var errs []error
	var after *ledger.Resource
	l, err := c.list(ctx, parentOf(name), clock, lists, r)
	if err == nil { // else the region says so
		r.called(parentOf(name), 1)
		// The view is as old as its oldest part, the list.
		v, err := c.observeWith(ctx, name, l.at, l.jobs)
		if err == nil {
			var s classified
			if s, err = c.saveObservation(ctx, name, v); err == nil {
				learned := r.Learned
				if !s.older {
					errs = append(errs, c.learn(ctx, s, r), c.sample(ctx, s.res, int(c.passes.Load())))
				}
				errs = append(errs, c.notify(ctx, s.res, r))
				if r.Learned == learned {
					after = s.res // nothing has moved since
				}
				if len(s.res.Recheck) > 0 {
					var parked error
					if after, parked = c.recheck(ctx, s.res, r); !c.leftAlone(parked, r) {
						errs = append(errs, parked)
					}
				}
			}
		}
		if !c.leftAlone(err, r) {
			errs = append(errs, err)
		}
	}
	waiting, err := c.schedule(ctx, name, after, r)
	r.Waiting += waiting
	if c.leftAlone(err, r) {
		err = nil
	}
	return errors.Join(append(errs, err)...)
}
