package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/berth/internal/ledger"
)

// ReconcileLease names the lease that keeps two instances from making the same
// pass. Every pass is right when two run.
const ReconcileLease = "reconcile"

// Reconcile makes passes until nothing waits or the time is over: at least
// one, and while requests wait, one every poll interval, so that freed replicas are
// scheduled in seconds. A region that took many calls of Vertex AI rests until
// they are within their share of a minute. holder names this call in the lease.
// budget is how long the call may take: what is under way a little before its end
// is broken off, so that the lease is not outlived.
//
// The parts of a pass run side by side, see [tasks]: outcome events, timers by
// region, and each region's resources. Errors end neither the other parts nor the
// polling; the last of each part is returned.
func (c *Controller) Reconcile(ctx context.Context, holder string, budget time.Duration) (Report, error) {
	started := c.env.Monotonic()
	var first progress
	now, ours, err := c.takeLease(ctx, holder, budget, &first)
	if err != nil {
		c.countOutage(ctx, map[string]error{"ledger": err})
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
		p, under := t.progress()
		rest := c.rest(p.calls, next)
		if p.Waiting+p.Pending == 0 && !p.more && !under || c.env.Monotonic().Sub(started)+rest+c.cfg.Poll > budget {
			break
		}
		if err := c.env.Sleep(bounded, rest); err != nil {
			break
		}
	}
	t.all.Wait()
	c.countOutage(ctx, t.failing)
	p, _ := t.progress()
	c.reportLate(ctx, clock(), p.late)
	// If the lease cannot be given back, it runs out.
	last, end := c.env.within(ctx, whole-c.env.Monotonic().Sub(started))
	defer end()
	return p.Report, errors.Join(t.join(), c.dropLease(last, holder))
}

// leastBudget is what the first pass gets, however short the budget: some calls of
// Vertex AI take seconds. Such a pass may outlive its lease, which makes nothing
// unsafe.
const leastBudget = 5 * time.Second

// rest is how long to wait before the next pass, after so many calls of Vertex AI by
// region. It sets when each region has rested: a busy one must not slow down the
// others.
func (c *Controller) rest(calls map[string]int, next map[string]time.Time) time.Duration {
	least, now := time.Duration(-1), c.env.Monotonic()
	for parent, n := range calls {
		rest := max(c.cfg.Poll, time.Duration(n)*time.Minute/time.Duration(c.cfg.Polls))
		next[parent] = now.Add(rest)
		if least < 0 || rest < least {
			least = rest
		}
	}
	return max(c.cfg.Poll, least)
}

// takeLease takes the lease, or says that another has it. One that cannot be read
// is no reason to stop: passes are right without it, and only do work twice.
func (c *Controller) takeLease(ctx context.Context, holder string, d time.Duration, p *progress) (now time.Time, ours bool, err error) {
	err = c.ledger.Update(ctx, ledger.Leases(ReconcileLease), func(tx ledger.Tx) error {
		now = tx.Now()
		if bad := tx.Unreadable(ledger.LeaseRef(ReconcileLease)); bad != nil {
			ours = true
			c.reportUnreadable(ctx, p, bad)
			return nil
		}
		l := tx.Lease(ReconcileLease)
		if ours = l == nil || l.Holder == holder || !now.Before(l.Until); ours {
			tx.Put(&ledger.Lease{Name: ReconcileLease, Holder: holder, Until: now.Add(d)})
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("take the reconcile lease: %w", err)
	}
	return now, ours, err
}

func (c *Controller) dropLease(ctx context.Context, holder string) error {
	err := c.ledger.Update(ctx, ledger.Leases(ReconcileLease), func(tx ledger.Tx) error {
		readable := tx.Unreadable(ledger.LeaseRef(ReconcileLease)) == nil
		if !readable {
			return nil // and so it was not taken
		}
		if l := tx.Lease(ReconcileLease); l != nil && l.Holder == holder {
			l.Until = tx.Now()
			tx.Put(l)
		}
		return nil
	}, ledger.Hints{Recent: true})
	if err != nil {
		err = fmt.Errorf("give the reconcile lease back: %w", err)
	}
	return err
}
