package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/logctx"
	"example.com/berth/internal/pace"
	"example.com/berth/internal/vertex"
)

// proceed does what comes after a record's commit, as far as this instance
// gets: nothing here can fail the message any more. started is when the update
// that wrote the record began, on the monotonic clock.
func (c *Controller) proceed(ctx context.Context, rec *ledger.Record, started time.Time) {
	ctx = withRecord(ctx, rec)
	rec = c.finish(ctx, rec, started)
	if rec.State == lifecycle.Reserved {
		if err := c.requestSlot(ctx, rec); err != nil {
			c.log.WarnContext(ctx, "submission slot left to reconcile", "event", "slot_failed", "error", err)
		}
	}
}

// requestSlot asks for a submission slot for a request that has just been admitted
// without an allowance, and submits it if it gets one at once. Requests that ask
// together are served together.
func (c *Controller) requestSlot(ctx context.Context, rec *ledger.Record) error {
	parent := vertex.NameOf(rec.Resource).Parent()
	if c.slots.noneLeft(parent, c.env.Monotonic()) {
		return nil
	}
	own := &slotRequest{rec: rec}
	err := c.slots.queue(parent).Do(ctx, rec.Tenant, 1, own, func(ctx context.Context, asking []*slotRequest, _ func() []*slotRequest) {
		ctx = logctx.Without(ctx) // of the first that asked, and this is for all
		var resources []string
		for _, t := range asking {
			resources = append(resources, t.rec.Resource)
		}
		slices.Sort(resources)
		began := c.env.Monotonic()
		given, err := c.grantSlots(ctx, parent, slices.Compact(resources), false)
		var others []*ledger.Record
		for _, rec := range given.moved {
			if i := slices.IndexFunc(asking, func(t *slotRequest) bool { return t.rec.Key == rec.Key }); i >= 0 {
				asking[i].rec, asking[i].began = rec, began
			} else {
				others = append(others, rec)
			}
		}
		for _, t := range asking {
			t.err = err
		}
		c.finishAll(ctx, others, began)
	})
	if err = cmp.Or(err, own.err); err == nil && own.rec != rec {
		c.finish(ctx, own.rec, own.began)
	}
	return err
}

// granted is what became of reservations that wait for submission slots.
type granted struct {
	moved []*ledger.Record // submitting now; or back in the queue, because their pool is lost
	left  int              // still waiting for a submission slot
}

// grantSlots leases as many submissions as the budget has, to the first
// reservations of some resources of one region. With all, these are all that
// wait in the region, and the first that is left is noted in the budget.
func (c *Controller) grantSlots(ctx context.Context, parent string, resources []string, all bool) (g granted, err error) {
	book, err := c.rulebook(ctx)
	if err != nil {
		return g, fmt.Errorf("give submission slots in %s: %w", parent, err)
	}
	var free int
	var freeIn time.Duration
	var pending []*ledger.Resource
	var paused bool
	var budget *ledger.Budget
	var now time.Time
	err = ledger.Read(ctx, c.ledger, ledger.Resources(resources...).And(ledger.Budgets(parent)), func(tx ledger.Tx) {
		g, pending = granted{}, nil
		b := budgetFor(tx, resources[0])
		budget, now = b, tx.Now()
		free, freeIn, paused = b.Free(tx.Now(), c.pace), b.FreeAt(tx.Now()).Sub(tx.Now()), b.Refusals > 0
		for _, name := range resources {
			if res := tx.Resource(name); res != nil && res.Pending() > 0 && !keepsBack(res) {
				pending = append(pending, res)
				g.left += res.Pending()
			}
		}
	})
	if err != nil {
		return g, fmt.Errorf("read the budget of %s: %w", parent, err)
	}
	if paused {
		c.slots.pause(parent, true)
	}
	if free == 0 && !all {
		c.slots.noneUntil(parent, c.env.Monotonic().Add(min(freeIn, c.cfg.Tick)))
		return g, nil
	}
	var going, lost []*ledger.Record
	for _, res := range pending {
		// One more than can go, to know which comes next; all of a resource that is not
		// there, or is drained.
		limit, to := min(free, commitRecords)+1, &going
		if paused || len(book.paused) > 0 || book.policy.SharesSubmissions() {
			limit = commitRecords
		}
		if res.State != vertex.Running || res.Paused != nil {
			limit, to = commitRecords, &lost
		}
		recs, err := c.reserved(ctx, res, limit)
		if err != nil {
			return g, err
		}
		for _, rec := range recs {
			if _, is := book.paused[rec.Tenant]; is {
				lost = append(lost, rec) // its replicas are for others meanwhile
			} else {
				*to = append(*to, rec)
			}
		}
	}
	going = pace.Within(going, func(a, b *ledger.Record) int { return ledger.CompareOrder(a.Order, b.Order) },
		func(rec *ledger.Record) string { return rec.Tenant },
		func(tenant string) int { return budget.Left(now, c.pace, tenant, c.submissionShare(tenant)) })
	n, next := pace.First(going, free, paused, func(rec *ledger.Record) pace.Waiting { return pace.Waiting{Order: rec.Order, DeniedAt: rec.DeniedAt} })
	going = going[:n]
	byResource := map[string][]*ledger.Record{}
	for _, rec := range append(going, lost...) {
		byResource[rec.Resource] = append(byResource[rec.Resource], rec)
	}
	for _, res := range pending {
		for part := range inCommits(byResource[res.Name]) {
			moved, err := c.leaseSlots(ctx, res.Name, part, next, all, len(pending) == 1)
			if err != nil {
				return g, fmt.Errorf("lease %d submission slots on %s: %w", len(part), res.Name, err)
			}
			g.moved = append(g.moved, moved...)
			g.left -= len(moved)
		}
	}
	slices.SortFunc(g.moved, func(a, b *ledger.Record) int { return ledger.CompareOrder(a.Order, b.Order) })
	if all && len(going) == 0 && next != "" {
		err = c.saveFirstWaiting(ctx, parent, next)
	}
	return g, err
}

// keepsBack reports whether the reservations of a resource keep their replicas and get no
// submission slots: an operator has paused it. If it is not there, or is drained, they go
// back into the queue.
func keepsBack(res *ledger.Resource) bool {
	return res.Paused != nil && !res.Paused.Drain && res.State == vertex.Running
}

// reserved lists the first reservations of a resource that wait for submission slots. Those
// that have lost their hold get none, and take none from the others.
func (c *Controller) reserved(ctx context.Context, res *ledger.Resource, limit int) ([]*ledger.Record, error) {
	for ; ; limit = commitRecords {
		recs, err := c.ledger.InState(ctx, res.Name, lifecycle.Reserved, "", limit)
		if err = c.skipped(ctx, err, nil); err != nil {
			return nil, fmt.Errorf("list the requests that wait for a submission slot on %s: %w", res.Name, err)
		}
		held := slices.DeleteFunc(slices.Clone(recs), func(rec *ledger.Record) bool { return !res.Holding(rec) })
		if len(held) < len(recs) && len(recs) == limit && limit < commitRecords {
			continue // there may be others behind them
		}
		return held, nil
	}
}

// leaseSlots gives reservations of one resource their submission slots in one update,
// as far as the budget goes. next is the order key of the first request after them, ""
// for none. With more, the resource gets an allowance if tokens are left.
func (c *Controller) leaseSlots(ctx context.Context, resource string, recs []*ledger.Record, next string, all, more bool) (moved []*ledger.Record, err error) {
	reads := ledger.Resources(resource).And(ledger.Budgets(vertex.NameOf(resource).Parent()), ledger.ReadSetOf(recs...))
	var hints ledger.Hints
	for _, rec := range recs {
		hints.Bytes += rec.Weight()
	}
	err = c.grouped.Update(ctx, reads, func(tx ledger.Tx) error {
		moved = nil
		res, b, now := tx.Resource(resource), budgetFor(tx, resource), tx.Now()
		if res == nil {
			return nil
		}
		before, round := res.Version, b.Round(now, c.pace, all, next)
		for _, known := range recs {
			key := known.Key
			if !c.readable(ctx, tx, key, nil) {
				continue
			}
			rec := tx.Record(key)
			if rec == nil || rec.State != lifecycle.Reserved {
				continue
			}
			if !res.Holding(rec) {
				continue
			}
			switch p := lost(now, res, rec, c.withPauses(c.cfg.Policy)); {
			case p != nil:
				c.move(ctx, tx, res, rec, lifecycle.Withdraw(), p)
			case keepsBack(res):
				continue
			case b.Left(now, c.pace, rec.Tenant, c.submissionShare(rec.Tenant)) == 0:
				continue // another instance was first
			case !round.Take(rec.Order):
				continue
			default:
				c.move(ctx, tx, res, rec, c.lease(tx, rec), nil)
				if c.submissionShare(rec.Tenant) > 0 {
					b.Count(now, rec.Tenant)
				}
			}
			tx.Put(rec)
			moved = append(moved, rec)
		}
		round.End()
		if more && c.allow(now, b, res) || res.Version != before {
			tx.Put(res)
		}
		tx.Put(b)
		return nil
	}, hints)
	return moved, err
}

// saveFirstWaiting records which request waits first while there are no tokens at all.
func (c *Controller) saveFirstWaiting(ctx context.Context, parent, first string) error {
	err := c.ledger.Update(ctx, ledger.Budgets(parent), func(tx ledger.Tx) error {
		b := tx.Budget(parent)
		if b != nil && b.SetFirst(tx.Now(), c.pace, first) {
			tx.Put(b)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note which request waits first in %s: %w", parent, err)
	}
	return nil
}

// dispatch gives submission slots in every region in which reservations wait for one,
// and submits those that got one.
func (c *Controller) dispatch(ctx context.Context, p *progress) error {
	byParent := map[string][]string{}
	for name := range p.pending {
		byParent[vertex.NameOf(name).Parent()] = append(byParent[vertex.NameOf(name).Parent()], name)
	}
	var first error
	for _, parent := range slices.Sorted(maps.Keys(byParent)) {
		slices.Sort(byParent[parent])
		for {
			began := c.env.Monotonic()
			g, err := c.grantSlots(ctx, parent, byParent[parent], true)
			if c.leftAlone(ctx, err, p) {
				err = nil
			}
			first = cmp.Or(first, err)
			tried := c.slots.isPaused(parent)
			c.finishAll(ctx, g.moved, began)
			if err == nil && g.left > 0 && tried && !c.slots.isPaused(parent) {
				continue // the one that was tried was accepted: now the others
			}
			p.Pending += g.left
			break
		}
	}
	return first
}
