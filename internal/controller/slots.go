package controller

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"example.com/berth/internal/batch"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/pace"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// Admitted requests of a resource without an allowance stay RESERVED until they get
// a submission slot: when another request has just been admitted, and in every pass.
// The rules are package pace's.

// rateLimited is why an admitted request is not submitted yet.
func (c *Controller) rateLimited() *reason.Problem {
	return &reason.Problem{Code: reason.RateLimited,
		Detail: fmt.Sprintf("Its machines are held. %d jobs a minute are submitted in this region, those of higher priority and then the older first.", c.cfg.Submissions)}
}

func budgetFor(tx ledger.Tx, resource string) *ledger.Budget {
	parent := parentOf(resource)
	if b := tx.Budget(parent); b != nil {
		return b
	}
	return &ledger.Budget{Name: parent}
}

// allow renews or revokes the allowance of a resource. The caller puts both
// documents if it reports a change.
func (c *Controller) allow(now time.Time, b *ledger.Budget, res *ledger.Resource) (changed bool) {
	return b.Allow(now, c.pace, res.Name, &res.Allowance, res.State == vertex.Running && res.Pending() == 0)
}

// putPaused puts a budget in which a pause has begun, and the resource without its
// allowance. It returns the resources whose allowances have still to be revoked.
func (c *Controller) putPaused(tx ledger.Tx, b *ledger.Budget, res *ledger.Resource) (granted []string) {
	c.allow(tx.Now(), b, res)
	tx.PutBudget(b)
	tx.PutResource(res)
	return b.Grantees(tx.Now())
}

// resumed ends the pause of a region in which Vertex AI has accepted a job. An
// instance that has seen no pause there reads nothing.
func (c *Controller) resumed(ctx context.Context, parent string) {
	if !c.slots.isPaused(parent) {
		return
	}
	ended := false
	err := c.ledger.Update(ctx, ledger.ReadSet{Budgets: []string{parent}}, func(tx ledger.Tx) error {
		b := tx.Budget(parent)
		if ended = b != nil && b.Accepted(tx.Now()); ended {
			tx.PutBudget(b)
		}
		return nil
	})
	if err != nil {
		c.log.Warn("submissions stay slow for one more pause", "event", "resume_failed", "region", parent, "error", err)
		return
	}
	c.slots.pause(parent, false)
	if ended {
		c.log.Info("Vertex AI accepts jobs again", "event", "submissions_resumed", "region", parent)
	}
}

// revoke takes back what resources have been lent, in a pause. A crash before
// it lets at most what was lent go during the pause.
func (c *Controller) revoke(ctx context.Context, resources []string) {
	for _, name := range resources {
		err := c.grouped.Update(ctx, ledger.ReadSet{Resources: []string{name}, Budgets: []string{parentOf(name)}}, func(tx ledger.Tx) error {
			res, b := tx.Resource(name), budgetFor(tx, name)
			if res != nil && b.Paused(tx.Now()) && c.allow(tx.Now(), b, res) {
				tx.PutBudget(b)
				tx.PutResource(res)
			}
			return nil
		})
		if err != nil {
			c.log.Warn("cannot call tokens back", "event", "revoke_failed", "resource", name, "error", err)
		}
	}
}

// turns is what one instance knows of the pace.
type slots struct {
	mu     sync.Mutex
	none   map[string]time.Time // by region: no token comes free before, on the monotonic clock
	paused map[string]bool      // by region: submissions were refused, and none has been accepted since
	queues map[string]*batch.Queue[*slotRequest]
}

// A turn is a reservation of this instance that asks for its turn.
type slotRequest struct {
	rec   *ledger.Record // as it is after; Submitting if its turn has come
	began time.Time      // when the update that leased it began
	err   error
}

func newSlots() *slots {
	return &slots{none: map[string]time.Time{}, paused: map[string]bool{}, queues: map[string]*batch.Queue[*slotRequest]{}}
}

func (t *slots) queue(parent string) *batch.Queue[*slotRequest] {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queues[parent] == nil {
		t.queues[parent] = batch.NewQueue[*slotRequest](batch.Limits{Items: 1000, Bytes: 1000, Waiting: 4000, WaitingBytes: 4000})
	}
	return t.queues[parent]
}

func (t *slots) pause(parent string, is bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.paused[parent] = is; !is {
		delete(t.none, parent)
	}
}

func (t *slots) isPaused(parent string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.paused[parent]
}

func (t *slots) noneUntil(parent string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.none[parent] = at
}

func (t *slots) noneLeft(parent string, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return now.Before(t.none[parent])
}

// requestSlot asks for the turn of a request that has just been admitted and found
// no token at hand, and submits it if it comes at once. Requests that ask
// together are served together.
func (c *Controller) requestSlot(ctx context.Context, rec *ledger.Record) error {
	parent := parentOf(rec.Resource)
	if c.slots.noneLeft(parent, c.env.Monotonic()) {
		return nil
	}
	own := &slotRequest{rec: rec}
	err := c.slots.queue(parent).Do(ctx, rec.Tenant, 1, own, func(ctx context.Context, asking []*slotRequest, _ func() []*slotRequest) {
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
		c.carryOnAll(ctx, others, began, &Report{})
	})
	if err = cmp.Or(err, own.err); err == nil && own.rec != rec {
		c.finish(ctx, own.rec, own.began)
	}
	return err
}

// given is what became of reservations that wait for submission slots.
type granted struct {
	moved []*ledger.Record // submitting now; or back in the queue, because their pool is lost
	left  int              // still waiting for a submission slot
}

// grantSlots leases as many submissions as the budget has, to the first
// reservations of some resources of one region. With all, these are all that
// wait in the region, and whoever is left is noted as coming first.
func (c *Controller) grantSlots(ctx context.Context, parent string, resources []string, all bool) (g granted, err error) {
	var free int
	var freeIn time.Duration
	var pending []*ledger.Resource
	var paused bool
	err = ledger.Read(ctx, c.ledger, ledger.ReadSet{Resources: resources, Budgets: []string{parent}}, func(tx ledger.Tx) {
		g, pending = granted{}, nil
		b := budgetFor(tx, resources[0])
		free, freeIn, paused = b.Free(tx.Now(), c.pace), b.FreeAt(tx.Now()).Sub(tx.Now()), b.Refusals > 0
		for _, name := range resources {
			if res := tx.Resource(name); res != nil && res.Pending() > 0 {
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
		// One more than can go, to know who comes next; of a resource that is not
		// there, whoever waits.
		limit, to := min(free, commitRecords)+1, &going
		if paused {
			limit = commitRecords
		}
		if res.State != vertex.Running {
			limit, to = commitRecords, &lost
		}
		recs, err := c.reserved(ctx, res, limit)
		if err != nil {
			return g, err
		}
		*to = append(*to, recs...)
	}
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
				return g, fmt.Errorf("give %d turns on %s: %w", len(part), res.Name, err)
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

// reserved lists the first reservations of a resource that wait for submission slots. Those
// that have lost their hold get none, and take none from the others.
func (c *Controller) reserved(ctx context.Context, res *ledger.Resource, limit int) ([]*ledger.Record, error) {
	for ; ; limit = commitRecords {
		recs, err := c.ledger.InState(ctx, res.Name, lifecycle.Reserved, "", limit)
		if err = c.skipped(err, nil); err != nil {
			return nil, fmt.Errorf("list who waits for a submission slot on %s: %w", res.Name, err)
		}
		held := slices.DeleteFunc(slices.Clone(recs), func(rec *ledger.Record) bool { return !res.Holding(rec) })
		if len(held) < len(recs) && len(recs) == limit && limit < commitRecords {
			continue // there may be others behind them
		}
		return held, nil
	}
}

// leaseSlots gives reservations of one resource their turn in one update, as far
// as the budget goes. next is the order key of who comes first after them, ""
// for nobody. With more, the resource is lent tokens beforehand if any are left.
func (c *Controller) leaseSlots(ctx context.Context, resource string, recs []*ledger.Record, next string, all, more bool) (moved []*ledger.Record, err error) {
	names := ledger.ReadSet{Resources: []string{resource}, Budgets: []string{parentOf(resource)}}
	for _, rec := range recs {
		names.Records = append(names.Records, rec.Key)
		names.Bytes += rec.Weight()
	}
	err = c.grouped.Update(ctx, names, func(tx ledger.Tx) error {
		moved = nil
		res, b, now := tx.Resource(resource), budgetFor(tx, resource), tx.Now()
		if res == nil {
			return nil
		}
		before, round := res.Version, b.Round(now, c.pace, all, next)
		for _, key := range names.Records {
			if !c.readable(tx, key, nil) {
				continue
			}
			rec := tx.Record(key)
			if rec == nil || rec.State != lifecycle.Reserved {
				continue
			}
			if !res.Holding(rec) {
				continue
			}
			switch p := lost(now, res, rec, c.cfg.Policy); {
			case p != nil:
				c.move(tx, res, rec, lifecycle.Withdraw(), p)
			case !round.Take(rec.Order):
				continue
			default:
				c.move(tx, res, rec, c.lease(tx, rec), nil)
			}
			tx.PutRecord(rec)
			moved = append(moved, rec)
		}
		round.End()
		if more && c.allow(now, b, res) || res.Version != before {
			tx.PutResource(res)
		}
		tx.PutBudget(b)
		return nil
	})
	return moved, err
}

// noteForemost keeps it known who comes first while there are no tokens at all.
func (c *Controller) saveFirstWaiting(ctx context.Context, parent, first string) error {
	err := c.ledger.Update(ctx, ledger.ReadSet{Budgets: []string{parent}}, func(tx ledger.Tx) error {
		b := tx.Budget(parent)
		if b != nil && b.SetFirst(tx.Now(), c.pace, first) {
			tx.PutBudget(b)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note who comes first in %s: %w", parent, err)
	}
	return nil
}

// dispatch gives turns in every region in which reservations wait for one, and
// submits what has its submission slot.
func (c *Controller) dispatch(ctx context.Context, r *Report) error {
	byParent := map[string][]string{}
	for name := range r.pending {
		byParent[parentOf(name)] = append(byParent[parentOf(name)], name)
	}
	var first error
	for _, parent := range slices.Sorted(maps.Keys(byParent)) {
		slices.Sort(byParent[parent])
		for {
			began := c.env.Monotonic()
			g, err := c.grantSlots(ctx, parent, byParent[parent], true)
			if c.leftAlone(err, r) {
				err = nil
			}
			first = cmp.Or(first, err)
			tried := c.slots.isPaused(parent)
			c.carryOnAll(ctx, g.moved, began, r)
			if err == nil && g.left > 0 && tried && !c.slots.isPaused(parent) {
				continue // the one that was tried was accepted: now the others
			}
			r.Pending += g.left
			break
		}
	}
	return first
}
