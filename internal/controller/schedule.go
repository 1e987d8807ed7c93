package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// schedule makes plans for the waiting requests of a resource and starts what they
// start, until a plan changes nothing. seen is the resource as it was a moment ago,
// nil to read it. It returns how many wait then.
//
// It reads about as many requests as it can start: the heads in the resource
// document say what each needs.
func (c *Controller) schedule(ctx context.Context, name string, seen *ledger.Resource, p *progress) (waiting int, err error) {
	ctx = onResource(ctx, name)
	defer c.freed.forget(name)
	var now time.Time // by the ledger's clock
	if seen != nil {
		now = seen.ObservedAt
	}
	var found []message.Key // requests that the last plan would have started
	for range 1024 {        // each round starts something, ends something, reserves something, or is the last
		if seen == nil {
			if seen, now, err = c.readResource(ctx, name); err != nil || seen == nil {
				return waiting, err
			}
		}
		waiting = waitingOn(seen)
		next, err := c.candidates(ctx, seen, now, found)
		if err != nil || !next.any() {
			return waiting, errors.Join(err, c.announce(ctx, seen, now, next.plan))
		}
		began := c.env.Monotonic()
		round, err := c.decideWaiting(ctx, seen, next, p)
		if err != nil {
			return waiting, err
		}
		for _, rec := range round.moved {
			if rec.State == lifecycle.Waiting {
				continue // it has another reason
			}
			_, span := c.env.Telemetry.Follow(ctx, "decide", rec.Trace)
			c.decided(ctx, span, rec)
			if rec.State.Holds() {
				p.Started++
				p.wait(rec)
				c.reused(ctx, name, round.now)
			}
		}
		c.finishAll(ctx, round.moved, began)
		if round.res != nil {
			waiting = waitingOn(round.res)
			if round.res.Version == seen.Version && len(round.unread) == 0 {
				return waiting, nil
			}
		}
		seen, now, found = round.res, round.now, round.unread
	}
	return waiting, nil
}

// scheduleNow schedules what has just come free, outside a pass.
func (c *Controller) scheduleNow(ctx context.Context, resource string) error {
	var p progress
	_, err := c.schedule(ctx, resource, nil, &p)
	if len(p.pending) == 0 {
		return err
	}
	began := c.env.Monotonic()
	g, slotErr := c.grantSlots(ctx, vertex.NameOf(resource).Parent(), []string{resource}, false)
	c.finishAll(ctx, g.moved, began)
	return errors.Join(err, slotErr)
}

func (c *Controller) readResource(ctx context.Context, name string) (res *ledger.Resource, now time.Time, err error) {
	err = ledger.Read(ctx, c.ledger, ledger.Resources(name), func(tx ledger.Tx) { res, now = tx.Resource(name), tx.Now() })
	if err != nil {
		return nil, now, fmt.Errorf("read the queue of %s: %w", name, err)
	}
	return res, now, nil
}

// countQueue notes how many requests wait for a resource, and for how long the oldest of
// those that come first in their classes has: older ones come first, but for the order
// of run times within two days.
func (c *Controller) countQueue(ctx context.Context, name string) error {
	if !c.env.Telemetry.Counts() {
		return nil
	}
	res, _, err := c.readResource(ctx, name)
	if err != nil || res == nil {
		return err
	}
	var keys []message.Key
	for _, class := range res.Queue {
		if heads := res.Readable(class.Heads); len(heads) > 0 && len(keys) < commitRecords {
			keys = append(keys, heads[0].ID)
		}
	}
	var oldest time.Duration
	if len(keys) > 0 {
		err = ledger.Read(ctx, c.ledger, ledger.Records(keys...), func(tx ledger.Tx) {
			oldest = 0
			for _, key := range keys {
				if !c.readable(ctx, tx, key, nil) {
					continue
				}
				if rec := tx.Record(key); rec != nil && rec.State == lifecycle.Waiting {
					oldest = max(oldest, tx.Now().Sub(rec.Times.Received))
				}
			}
		})
	}
	if err != nil {
		return fmt.Errorf("count the queue of %s: %w", name, err)
	}
	c.env.Telemetry.Queue(ctx, name, waitingOn(res), oldest)
	return nil
}

// A candidateSet is waiting requests that one update decides.
type candidateSet struct {
	keys []message.Key
	// heads are classes that were read from the ledger, as they begin.
	heads map[admission.ClassID][]admission.Head
	// reserves says that the plan makes or changes a reservation.
	reserves bool
	// plan is the plan of all, if it was made.
	plan *admission.Plan
}

func (s *candidateSet) any() bool { return len(s.keys) > 0 || s.reserves }

// candidates returns the waiting requests that a plan starts, and those that can
// never fit the present pools. Where the plan needs to know more heads of a class
// than the resource document has, it reads them from the ledger. found are more
// requests that the next plan may start.
func (c *Controller) candidates(ctx context.Context, res *ledger.Resource, now time.Time, found []message.Key) (candidateSet, error) {
	next := candidateSet{heads: map[admission.ClassID][]admission.Head{}}
	if snapshot := res.Snapshot(now); len(res.Queue) == 0 || !snapshot.Starts(c.cfg.Policy) {
		return next, nil
	}
	if _, err := c.rulebook(ctx); err != nil {
		return next, fmt.Errorf("plan the queue of %s: %w", res.Name, err)
	}
	known := *res
	known.Queue = maps.Clone(res.Queue)
	res = &known
	bytes := 0
	add := func(h admission.Head) bool {
		if len(next.keys) == commitRecords || len(next.keys) > 0 && bytes+2*h.Bytes > commitBytes {
			return false
		}
		if !slices.Contains(next.keys, h.ID) {
			bytes += 2 * h.Bytes
			next.keys = append(next.keys, h.ID)
		}
		return true
	}
	for _, h := range misfits(res) {
		if !add(h) {
			return next, nil // the others in another round
		}
	}
	for _, key := range found {
		if h, ok := headOf(res, key); ok && !add(h) {
			return next, nil
		}
	}
	for {
		plan := admission.MakePlan(res.Planning(now), c.policyOf(res.Name).Plan)
		for _, start := range plan.Starts {
			if !add(start.Head) {
				return next, nil
			}
		}
		asked := false
		for _, class := range plan.Want {
			if _, read := next.heads[class]; read {
				continue
			}
			asked = true
			heads, after := slices.Clone(res.Queue[class].Heads), ""
			if n := len(heads); n > 0 {
				after = heads[n-1].Order
			}
			limit := mayStart(res, class)
			if paused := c.policyOf(res.Name).Plan.Paused; len(paused) > 0 && slices.ContainsFunc(heads, func(h admission.Head) bool { _, is := paused[h.Tenant]; return is }) {
				limit = commitRecords // those behind requests of a paused tenant
			}
			more, err := c.ledger.Queue(ctx, res.Name, string(class), after, limit)
			if err != nil {
				return next, fmt.Errorf("read class %s of %s: %w", class, res.Name, err)
			}
			next.heads[class] = append(heads, more...)
			res.Refill(class, next.heads[class], res.Version)
		}
		if !asked {
			next.plan, next.reserves = &plan, !slices.EqualFunc(plan.Reserved, res.Reserved, sameReservation)
			return next, nil
		}
	}
}

// mayStart is how many requests of a class beyond its known heads can start or be
// reserved at most, by the free replicas: no others are read.
func mayStart(res *ledger.Resource, class admission.ClassID) int {
	free := capacity.Replicas(0)
	use := res.Use()
	for s, n := range capacity.Limits(res.Pools) {
		free = free.Plus(max(0, n-use[s]))
	}
	known := len(res.Readable(res.Queue[class].Heads))
	most := int(min(commitRecords, free/class.Smallest()))
	return max(1, most+1-known)
}

// misfits returns the known heads that can never fit the pools as they are: they are
// parked, so that no other request waits for them.
func misfits(res *ledger.Resource) (heads []admission.Head) {
	empty := capacity.NewRoom(res.Pools, nil)
	for _, class := range res.Queue {
		for _, h := range res.Readable(class.Heads) {
			if !empty.Fits(h.Demand) {
				heads = append(heads, h)
			}
		}
	}
	slices.SortFunc(heads, func(a, b admission.Head) int { return ledger.CompareOrder(a.Order, b.Order) })
	return heads
}

func headOf(res *ledger.Resource, key message.Key) (admission.Head, bool) {
	for _, class := range res.Queue {
		if i := slices.IndexFunc(class.Heads, func(h admission.Head) bool { return h.ID == key }); i >= 0 {
			return class.Heads[i], true
		}
	}
	return admission.Head{}, false
}

func sameReservation(a, b admission.Reservation) bool {
	return a.ID == b.ID && a.At.Equal(b.At) && a.Budget == b.Budget && a.Shut == b.Shut && slices.Equal(a.Shapes, b.Shapes) &&
		slices.Equal(a.Delays, b.Delays)
}

// A round is what one update of the queue has done.
type round struct {
	res    *ledger.Resource // as it is now; nil if others have changed it
	now    time.Time
	moved  []*ledger.Record
	unread []message.Key // requests that the plan starts and the update has not read
}

// decideWaiting decides waiting requests of a resource in one update: first those
// that can never fit, then those that a plan starts.
func (c *Controller) decideWaiting(ctx context.Context, seen *ledger.Resource, next candidateSet, p *progress) (done round, err error) {
	names := ledger.Resources(seen.Name).And(ledger.Records(next.keys...))
	err = c.ledger.Update(ctx, names, func(tx ledger.Tx) error {
		done = round{res: tx.Resource(seen.Name), now: tx.Now()}
		if done.res == nil || done.res.Version != seen.Version {
			done.res = nil
			return nil // the heads may be others now
		}
		w := waitingUpdate{Controller: c, tx: tx, res: done.res, left: next.keys}
		// The version was read before the classes were, so no move can have come
		// between.
		for class, heads := range next.heads {
			if w.res.Refill(class, heads, seen.Version); len(heads) == 0 {
				c.log.ErrorContext(ctx, "a class is counted longer than it is: this is a bug, please report it",
					"event", "empty_queue", "class", string(class))
				delete(w.res.Queue, class)
				w.res.Version++
			}
		}
		w.decide(ctx, p)
		done.moved, done.unread = w.moved, w.unread
		if w.res.Version != seen.Version || len(next.heads) > 0 || w.reserved {
			tx.Put(w.res)
		}
		return nil
	})
	if err != nil {
		return round{}, fmt.Errorf("decide %d waiting requests of %s: %w", len(next.keys), seen.Name, err)
	}
	return done, nil
}

// A waitingUpdate is one run of the update that decides waiting requests.
type waitingUpdate struct {
	*Controller
	tx       ledger.Tx
	res      *ledger.Resource
	left     []message.Key // of those read, which are not decided yet
	bytes    int
	moved    []*ledger.Record
	unread   []message.Key
	reserved bool
}

func (w *waitingUpdate) decide(ctx context.Context, p *progress) {
	for _, h := range misfits(w.res) {
		if slices.Contains(w.left, h.ID) {
			w.one(ctx, h.ID, admission.Decide, p)
		}
	}
	if snapshot := w.res.Snapshot(w.tx.Now()); !snapshot.Starts(w.cfg.Policy) {
		return
	}
	plan := admission.MakePlan(w.res.Planning(w.tx.Now()), w.policyOf(w.res.Name).Plan)
	all := true
	for i, start := range plan.Starts {
		if w.bytes >= commitBytes || !slices.Contains(w.left, start.ID) {
			// The others in another round, because each start counts on those before it.
			all = false
			for _, s := range plan.Starts[i:] {
				w.unread = append(w.unread, s.ID)
			}
			break
		}
		all = w.one(ctx, start.ID, func(s admission.Snapshot, a admission.Ask, p admission.Policy) admission.Decision {
			return admission.DecideStart(s, a, p, start)
		}, p) && all
	}
	// A plan of which some starts are not made says nothing of what comes after them.
	if all && !slices.EqualFunc(w.res.Reserved, plan.Reserved, sameReservation) {
		w.res.Reserve(plan.Reserved)
		w.reserved = true
	}
}

// one decides a waiting request. It reports whether the request starts.
func (w *waitingUpdate) one(ctx context.Context, key message.Key, decide func(admission.Snapshot, admission.Ask, admission.Policy) admission.Decision, p *progress) bool {
	w.left = slices.DeleteFunc(slices.Clone(w.left), func(k message.Key) bool { return k == key })
	if !w.readable(ctx, w.tx, key, p) {
		w.res.Skip(key)
		return false
	}
	rec := w.tx.Record(key)
	if rec == nil || rec.Class == "" {
		w.res.Strike(key)
		w.log.ErrorContext(ctx, "a request was in the queue that does not wait: this is a bug, please report it",
			"event", "queue_broken", "request_key", string(key))
		return false
	}
	before := *rec
	w.placeBy(ctx, w.tx, w.res, rec, decide)
	if rec.Sequence != before.Sequence {
		w.moved = append(w.moved, rec)
	}
	if rec.State != lifecycle.Waiting || rec.Sequence != before.Sequence || rec.Parked != before.Parked || !rec.ContradictedSince.Equal(before.ContradictedSince) {
		w.tx.Put(rec)
		w.bytes += rec.Weight()
	}
	return rec.State.Holds()
}

// waitingOn counts the waiting requests of a resource, without those that cannot be
// read.
func waitingOn(res *ledger.Resource) (n int) {
	return max(0, res.Queue.Waiting()-len(res.Skipped))
}
