package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// ReconcileLease names the lease that keeps two instances from making the same
// pass. Every pass is right when two run.
const ReconcileLease = "reconcile"

// A Report says what one reconcile did. Counts, for logs and tests.
type Report struct {
	Passes    int  `json:"passes"`
	Resources int  `json:"resources"`
	Learned   int  `json:"learned"` // moves made because of what Vertex AI said
	Timers    int  `json:"timers"`  // records looked at because it was time
	Started   int  `json:"started"` // waiting requests admitted
	Orphans   int  `json:"orphans"` // jobs of ours cancelled because no reservation names them
	Unheld    int  `json:"unheld"`  // live jobs whose requests have lost their holds
	Published int  `json:"outbox"`  // records whose outcomes were sent
	Waiting   int  `json:"waiting"` // requests in the queue at the end
	Pending   int  `json:"pending"` // requests admitted and waiting for a submission slot, at the end
	Skipped   bool `json:"skipped"` // another instance holds the lease
	// Unreadable are documents that were left alone because this release cannot
	// read them.
	Unreadable int `json:"unreadable"`

	unreadable map[ledger.Doc]bool
	pending    map[string]bool // resources with such requests
	calls      map[string]int  // of Vertex AI in the present pass, by region
	more       bool            // the present pass left something to the next
	tasks      *tasks
}

// wait notes that an admitted request may wait for submission slots.
func (r *Report) wait(rec *ledger.Record) {
	if rec.State == lifecycle.Reserved {
		r.pend(rec.Resource)
	}
}

func (r *Report) pend(resource string) {
	if r.pending == nil {
		r.pending = map[string]bool{}
	}
	r.pending[resource] = true
}

func (r *Report) unread(d ledger.Doc) {
	if r.unreadable == nil {
		r.unreadable = map[ledger.Doc]bool{}
	}
	r.unreadable[d] = true
	r.Unreadable = len(r.unreadable)
}

// called notes calls of Vertex AI about something under a region.
func (r *Report) called(parent string, n int) {
	if r.calls == nil {
		r.calls = map[string]int{}
	}
	r.calls[parent] += n
}

// Reconcile makes passes until nothing waits or the time is over: at least
// one, and while requests wait, one every poll interval, so that freed machines
// are handed on in seconds. A region that took many calls of Vertex AI rests until
// they are within their share of a minute. holder names this call in the lease.
// budget is how long the call may take: what is under way a little before its end
// is broken off, so that the lease is not outlived.
//
// The parts of a pass run side by side, see [tasks]: outcome events, timers by
// region, and each region's resources. Errors end neither the other parts nor the
// polling; the last of each part is returned.
func (c *Controller) Reconcile(ctx context.Context, holder string, budget time.Duration) (Report, error) {
	started := c.env.Monotonic()
	var first Report
	now, ours, err := c.takeLease(ctx, holder, budget, &first)
	if err != nil {
		c.noteOutage(map[string]error{"ledger": err})
		return Report{}, err
	}
	if !ours {
		return Report{Skipped: true}, nil
	}
	leased := c.env.Monotonic() // later than now, so that the clock is never ahead of the ledger's
	clock := func() time.Time { return now.Add(c.env.Monotonic().Sub(leased)) }
	whole := max(budget, leastBudget)
	bounded, cancel := c.env.within(ctx, whole-whole/10-leased.Sub(started))
	defer cancel()
	t := newTasks(c.cfg.Submitters == 1)
	t.total.add(first)
	next := map[string]time.Time{} // by region, when it has rested
	for {
		c.pass(bounded, clock, t, next)
		r, under := t.report()
		rest := c.rest(r, next)
		if r.Waiting+r.Pending == 0 && !r.more && !under || c.env.Monotonic().Sub(started)+rest+c.cfg.Poll > budget {
			break
		}
		if err := c.env.Sleep(bounded, rest); err != nil {
			break
		}
	}
	t.all.Wait()
	c.noteOutage(t.failing)
	r, _ := t.report()
	// Whoever cannot give the lease back lets it run out.
	last, end := c.env.within(ctx, whole-c.env.Monotonic().Sub(started))
	defer end()
	return r, errors.Join(t.join(), c.dropLease(last, holder))
}

// leastBudget is what the first pass gets, however short the budget: some calls of
// Vertex AI take seconds. Such a pass may outlive its lease, which makes nothing
// unsafe.
const leastBudget = 5 * time.Second

// rest is how long to wait before the next pass, and sets when each region has
// rested: a busy one must not slow down the others.
func (c *Controller) rest(r Report, next map[string]time.Time) time.Duration {
	least, now := time.Duration(-1), c.env.Monotonic()
	for parent, n := range r.calls {
		rest := max(c.cfg.Poll, time.Duration(n)*time.Minute/time.Duration(c.cfg.Polls))
		next[parent] = now.Add(rest)
		if least < 0 || rest < least {
			least = rest
		}
	}
	return max(c.cfg.Poll, least)
}

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

// firstOf is where a pass begins with n things: at another quarter of them each tick,
// so that those that fail or hang keep no others from their turn for long.
func (c *Controller) firstOf(n int, now time.Time) int {
	if n == 0 {
		return 0
	}
	return int(now.Unix()/int64(max(time.Second, c.cfg.Tick)/time.Second)) % 4 * ((n + 3) / 4) % n
}

// unwatched says that passes leave a resource alone: it was deleted, and nobody
// holds machines there or is in the queue for them. Parked requests are in no line.
func unwatched(res *ledger.Resource) bool {
	return res.State == ledger.Absent && len(res.Holds) == 0 && len(res.Queues) == 0
}

// A listing is the live jobs of one region, and when they were asked for.
type listing struct {
	jobs []vertex.Job
	at   time.Time // by the pass's clock, before the call
	err  error     // why there is none: it is not asked for once more in the same pass
}

// list returns the live jobs of a region, as this pass has listed them. A list that
// is half as old as an observation may be is made again: observations are as old as the list that
// they rest on, and those at the end of a long pass would admit nothing.
func (c *Controller) list(ctx context.Context, parent string, clock func() time.Time, lists map[string]listing, r *Report) (listing, error) {
	l, listed := lists[parent]
	now := clock()
	if listed && now.Sub(l.at) <= c.cfg.Policy.MaxAge/2 {
		return l, l.err
	}
	r.called(parent, 1)
	live, err := c.vertex.Live(ctx, parent)
	if err != nil {
		err = fmt.Errorf("list live jobs in %s: %w", parent, err)
	}
	r.called(parent, len(live)/vertex.PageSize)
	lists[parent] = listing{live, now, err}
	return lists[parent], err
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

// publishLate publishes outbox events that whoever wrote them has not sent.
func (c *Controller) publishLate(ctx context.Context, now time.Time, r *Report) error {
	const most = 200
	keys, more, err := c.oneByOne(&c.unsentFrom, most, func(after ledger.Timed, limit int) ([]ledger.Timed, error) {
		return c.ledger.Unpublished(ctx, after, limit)
	})
	if err != nil {
		return fmt.Errorf("list unpublished events: %w", err)
	}
	r.more = r.more || more
	var errs []error
	for part := range slices.Chunk(keys, perUpdate) {
		sent, err := c.publishLateOf(ctx, now, r, part...)
		r.Published += sent
		if err == nil {
			continue
		}
		// One that cannot be sent must not keep the others back.
		for _, key := range part {
			sent, err := c.publishLateOf(ctx, now, r, key)
			r.Published += sent
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// publishLateOf publishes the outbox events of records that nobody is about to send, and
// returns of how many.
func (c *Controller) publishLateOf(ctx context.Context, now time.Time, r *Report, keys ...message.Key) (int, error) {
	var late []*ledger.Record
	err := ledger.Read(ctx, c.ledger, ledger.ReadSet{Records: keys}, func(tx ledger.Tx) {
		late = nil
		for _, key := range keys {
			// What is not late was sent meanwhile, or is about to be by the instance
			// that wrote it.
			if !c.readable(tx, key, r) {
				continue
			}
			if rec := tx.Record(key); rec != nil && len(rec.Unpublished()) > 0 && now.Sub(rec.Unpublished()[0].Time) >= c.cfg.PublishGrace {
				late = append(late, rec)
			}
		}
	})
	if err != nil {
		return 0, fmt.Errorf("read %d records with unpublished events: %w", len(keys), err)
	}
	if err := c.publish(ctx, late...); err != nil {
		return 0, err
	}
	return len(late), nil
}

// read returns a record, nil when there is none.
func (c *Controller) read(ctx context.Context, key message.Key) (rec *ledger.Record, err error) {
	err = ledger.Read(ctx, c.ledger, ledger.ReadSet{Records: []message.Key{key}}, func(tx ledger.Tx) { rec = tx.Record(key) })
	return rec, err
}

// takeLease takes the lease, or says that another has it. One that cannot be read
// is no reason to stop: passes are right without it, and only do work twice.
func (c *Controller) takeLease(ctx context.Context, holder string, d time.Duration, r *Report) (now time.Time, ours bool, err error) {
	err = c.ledger.Update(ctx, ledger.ReadSet{Leases: []string{ReconcileLease}}, func(tx ledger.Tx) error {
		now = tx.Now()
		if bad := tx.Unreadable(ledger.Doc{Kind: ledger.KindLease, Name: ReconcileLease}); bad != nil {
			ours = true
			c.reportUnreadable(r, bad)
			return nil
		}
		l := tx.Lease(ReconcileLease)
		if ours = l == nil || l.Holder == holder || !now.Before(l.Until); ours {
			tx.PutLease(&ledger.Lease{Name: ReconcileLease, Holder: holder, Until: now.Add(d)})
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("take the reconcile lease: %w", err)
	}
	return now, ours, err
}

func (c *Controller) dropLease(ctx context.Context, holder string) error {
	err := c.ledger.Update(ctx, ledger.ReadSet{Leases: []string{ReconcileLease}, Recent: true}, func(tx ledger.Tx) error {
		readable := tx.Unreadable(ledger.Doc{Kind: ledger.KindLease, Name: ReconcileLease}) == nil
		if !readable {
			return nil // and so it was not taken
		}
		if l := tx.Lease(ReconcileLease); l != nil && l.Holder == holder {
			l.Until = tx.Now()
			tx.PutLease(l)
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("give the reconcile lease back: %w", err)
	}
	return err
}
