package controller

import (
	"context"
	"errors"
	"fmt"
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
	Woken     int  `json:"woken"`   // records looked at because it was time
	Started   int  `json:"started"` // waiting requests admitted
	Strays    int  `json:"strays"`  // jobs of ours cancelled because no reservation names them
	Letters   int  `json:"letters"` // records whose outcomes were sent
	Waiting   int  `json:"waiting"` // requests in line at the end
	Pending   int  `json:"pending"` // requests admitted and waiting for their turn to be submitted, at the end
	Skipped   bool `json:"skipped"` // another instance holds the lease

	pending map[string]bool // resources with such requests
	calls   map[string]int  // of Vertex AI in the present pass, by region
	more    bool            // the present pass left something to the next, to spare Vertex AI
}

// wait notes that an admitted request may wait for its turn.
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

// called notes calls of Vertex AI about something under a region.
func (r *Report) called(parent string, n int) {
	if r.calls == nil {
		r.calls = map[string]int{}
	}
	r.calls[parent] += n
}

// Reconcile makes passes until nothing waits or the time is over: at least
// one, and while requests wait, one every poll interval, so that freed machines
// are handed on in seconds. A pass that took many calls of Vertex AI is followed
// by a rest that keeps them within their share of a minute. holder names this call in the lease. budget is how
// long it may take; the last pass begins early enough to end within it. Errors of
// single steps do not stop the others; they are joined.
func (c *Controller) Reconcile(ctx context.Context, holder string, budget time.Duration) (Report, error) {
	started := c.env.Monotonic()
	var r Report
	now, ours, err := c.takeLease(ctx, holder, budget)
	if err != nil {
		return r, err
	}
	if r.Skipped = !ours; r.Skipped {
		return r, nil
	}
	leased := c.env.Monotonic() // later than now, so that the clock is never ahead of the ledger's
	clock := func() time.Time { return now.Add(c.env.Monotonic().Sub(leased)) }
	var errs []error
	for {
		err := c.pass(ctx, clock, &r)
		errs = append(errs, err)
		took := c.env.Monotonic().Sub(started)
		rest := c.rest(r)
		if r.Waiting+r.Pending == 0 && !r.more || err != nil || took+rest+c.cfg.Poll > budget {
			break
		}
		if err := c.env.Sleep(ctx, rest); err != nil {
			break
		}
	}
	errs = append(errs, c.dropLease(ctx, holder))
	return r, errors.Join(errs...)
}

// rest is how long to wait before the next pass.
func (c *Controller) rest(r Report) time.Duration {
	most := 0
	for _, n := range r.calls {
		most = max(most, n)
	}
	return max(c.cfg.Poll, time.Duration(most)*time.Minute/time.Duration(c.cfg.Polls))
}

// pass does every kind of work once.
func (c *Controller) pass(ctx context.Context, clock func() time.Time, r *Report) error {
	r.Passes++
	c.passes.Add(1)
	r.Waiting, r.Pending, r.Resources = 0, 0, 0
	r.pending, r.calls, r.more = nil, nil, false
	var errs []error
	lists := map[string]listing{} // one list of live jobs per parent serves all its resources
	after := ""
	for {
		page, err := c.ledger.Resources(ctx, after, 50)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("list resources: %w", err))...)
		}
		for _, res := range page {
			after = res.Name
			if unwatched(res) {
				continue // a request, or a parked one whose time comes, will look again
			}
			r.Resources++
			if res.Pending() > 0 {
				r.pend(res.Name)
			}
			errs = append(errs, c.tend(ctx, res.Name, clock, lists, r))
		}
		if len(page) < 50 {
			break
		}
	}
	errs = append(errs, c.dispatch(ctx, r), c.wake(ctx, clock(), r), c.sendLetters(ctx, clock(), r))
	return errors.Join(errs...)
}

// unwatched says that passes leave a resource alone: it was deleted, and nobody
// holds machines there or is in line for them.
func unwatched(res *ledger.Resource) bool {
	return res.State == ledger.Absent && len(res.Holds) == 0 && len(res.Lines) == 0
}

// A listing is the live jobs of one region, and when they were asked for.
type listing struct {
	jobs []vertex.Job
	at   time.Time // by the pass's clock, before the call
}

// list returns the live jobs of a region, as this pass has listed them. A list that
// is half as old as a view may be is made again: views are as old as the list that
// they rest on, and those at the end of a long pass would admit nothing.
func (c *Controller) list(ctx context.Context, parent string, clock func() time.Time, lists map[string]listing, r *Report) (listing, error) {
	l, listed := lists[parent]
	now := clock()
	if listed && now.Sub(l.at) <= c.cfg.Policy.MaxAge/2 {
		return l, nil
	}
	r.called(parent, 1)
	live, err := c.vertex.Live(ctx, parent)
	if err != nil {
		return l, err
	}
	r.called(parent, len(live)/vertex.PageSize)
	l = listing{live, now}
	lists[parent] = l
	return l, nil
}

// tend looks after one resource: see, learn, hand on.
func (c *Controller) tend(ctx context.Context, name string, clock func() time.Time, lists map[string]listing, r *Report) error {
	var errs []error
	var after *ledger.Resource
	l, err := c.list(ctx, parentOf(name), clock, lists, r)
	if err != nil {
		errs = append(errs, fmt.Errorf("list live jobs beside %s: %w", name, err))
	} else {
		r.called(parentOf(name), 1)
		// The view is as old as its oldest part, the list.
		v, err := c.seeWith(ctx, name, l.at, l.jobs)
		if err == nil {
			var s sighting
			if s, err = c.record(ctx, name, v); err == nil {
				learned := r.Learned
				if !s.older {
					errs = append(errs, c.learn(ctx, s, r), c.sample(ctx, s.res, int(c.passes.Load())))
				}
				if r.Learned == learned {
					after = s.res // nothing has moved since
				}
			}
		}
		errs = append(errs, err)
	}
	waiting, err := c.handOn(ctx, name, after, r)
	r.Waiting += waiting
	return errors.Join(append(errs, err)...)
}

// sendLetters publishes letters that whoever wrote them has not sent.
func (c *Controller) sendLetters(ctx context.Context, now time.Time, r *Report) error {
	const most = 200
	keys, err := c.ledger.Unsent(ctx, most)
	if err != nil {
		return fmt.Errorf("list unsent letters: %w", err)
	}
	var errs []error
	for part := range slices.Chunk(keys, perUpdate) {
		sent, err := c.sendLate(ctx, now, part...)
		r.Letters += sent
		if err == nil {
			continue
		}
		// One that cannot be read or sent must not keep the others back.
		for _, key := range part {
			sent, err := c.sendLate(ctx, now, key)
			r.Letters += sent
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// sendLate publishes the letters of records that nobody is about to send, and
// returns of how many.
func (c *Controller) sendLate(ctx context.Context, now time.Time, keys ...message.Key) (int, error) {
	var late []*ledger.Record
	err := ledger.Read(ctx, c.ledger, ledger.Names{Records: keys}, func(tx ledger.Tx) {
		late = nil
		for _, key := range keys {
			// What is not late was sent meanwhile, or is about to be by the instance
			// that wrote it.
			if rec := tx.Record(key); rec != nil && len(rec.Unsent()) > 0 && now.Sub(rec.Unsent()[0].Time) >= c.cfg.PostGrace {
				late = append(late, rec)
			}
		}
	})
	if err != nil {
		return 0, fmt.Errorf("read %d records with unsent letters: %w", len(keys), err)
	}
	if err := c.post(ctx, late...); err != nil {
		return 0, err
	}
	return len(late), nil
}

// read returns a record, nil when there is none.
func (c *Controller) read(ctx context.Context, key message.Key) (rec *ledger.Record, err error) {
	err = ledger.Read(ctx, c.ledger, ledger.Names{Records: []message.Key{key}}, func(tx ledger.Tx) { rec = tx.Record(key) })
	return rec, err
}

func (c *Controller) takeLease(ctx context.Context, holder string, d time.Duration) (now time.Time, ours bool, err error) {
	err = c.ledger.Update(ctx, ledger.Names{Leases: []string{ReconcileLease}}, func(tx ledger.Tx) error {
		now = tx.Now()
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
	err := c.ledger.Update(ctx, ledger.Names{Leases: []string{ReconcileLease}, Recent: true}, func(tx ledger.Tx) error {
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
