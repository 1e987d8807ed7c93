package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// schedule decides the waiting requests of a resource again, until the head of
// every queue has to wait. seen is the resource as it was a moment ago, nil to
// read it. It returns how many wait then.
//
// It reads about as many requests as it can start: the heads in the resource
// document say how many replicas each needs, and what cannot fit is left alone.
func (c *Controller) schedule(ctx context.Context, name string, seen *ledger.Resource, p *progress) (waiting int, err error) {
	ctx = onResource(ctx, name)
	for range 1024 { // each round starts something, ends something, or is the last
		if seen == nil {
			if seen, err = c.readResource(ctx, name); err != nil || seen == nil {
				return waiting, err
			}
		}
		waiting = waitingOn(seen)
		next, err := c.candidates(ctx, seen)
		if err != nil || len(next.keys) == 0 {
			return waiting, err
		}
		began := c.env.Monotonic()
		after, moved, err := c.decideWaiting(ctx, seen, next, p)
		if err != nil {
			return waiting, err
		}
		for _, rec := range moved {
			if rec.State.Holds() {
				p.Started++
				p.wait(rec)
			}
		}
		c.finishAll(ctx, moved, began)
		if after != nil {
			waiting = waitingOn(after)
			if after.Version == seen.Version {
				return waiting, nil
			}
		}
		seen = after
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

func (c *Controller) readResource(ctx context.Context, name string) (res *ledger.Resource, err error) {
	err = ledger.Read(ctx, c.ledger, ledger.ReadSet{Resources: []string{name}}, func(tx ledger.Tx) { res = tx.Resource(name) })
	if err != nil {
		return nil, fmt.Errorf("read the queues of %s: %w", name, err)
	}
	return res, nil
}

// A candidateSet is waiting requests that may start.
type candidateSet struct {
	keys   []message.Key            // first in their queues first
	queues map[string][]ledger.Head // queues that were read from the ledger, as they begin
}

// candidates returns the waiting requests that fit into the free replicas, and those
// that can never fit. If the heads in the resource document may not be enough, it
// reads the queue from the ledger.
func (c *Controller) candidates(ctx context.Context, res *ledger.Resource) (candidateSet, error) {
	next := candidateSet{queues: map[string][]ledger.Head{}}
	if res.State != vertex.Running || len(res.Holds) >= c.cfg.Policy.MaxHolds {
		return next, nil
	}
	limits, use := capacity.Limits(res.Pools), res.Use()
	type place struct {
		rank int
		ledger.Head
	}
	var places []place
	blocked := map[message.Key]bool{}
	for shape, queue := range res.Queues {
		limit, free := capacity.Replicas(0), capacity.Replicas(0)
		for s, n := range limits {
			if s.String() == shape {
				limit, free = n, max(0, n-use[s])
			}
		}
		most := commitRecords // of one replica each
		if limit > 0 {
			most = int(min(free, commitRecords))
		}
		heads := res.Readable(queue.Heads)
		n := fitting(heads, limit, free)
		if n == len(heads) && n < min(most, queue.Count-(len(queue.Heads)-len(heads))) {
			all, err := c.ledger.Queue(ctx, res.Name, shape, "", most+len(res.Skipped))
			if err != nil {
				return next, fmt.Errorf("read queue %s of %s: %w", shape, res.Name, err)
			}
			next.queues[shape], heads = all, res.Readable(all)
			n = fitting(heads, limit, free)
		}
		for i, h := range heads[:n] {
			places = append(places, place{i, h})
		}
		for _, h := range heads[n:] {
			blocked[h.Key] = true
		}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(a.rank-b.rank, ledger.CompareOrder(a.Order, b.Order)) })
	bytes := 0
	for _, p := range places {
		switch {
		case blocked[p.Key] || slices.Contains(next.keys, p.Key):
			continue // it has to wait in another queue, or is known by another
		case len(next.keys) == commitRecords || len(next.keys) > 0 && bytes+2*p.Size > commitBytes:
			return next, nil // the others in another round
		}
		bytes += 2 * p.Size
		next.keys = append(next.keys, p.Key)
	}
	return next, nil
}

// fitting is how many heads of a queue fit into the free replicas together, those
// that can never fit not counted in: they are to be parked.
func fitting(heads []ledger.Head, limit, free capacity.Replicas) int {
	for i, h := range heads {
		if h.Need > limit {
			continue
		}
		if free -= h.Need; free < 0 {
			return i
		}
	}
	return len(heads)
}

// decideWaiting decides waiting requests of a resource in one update, in the
// order given. It returns the resource as it is after that, nil if others have
// changed it, and those that moved.
func (c *Controller) decideWaiting(ctx context.Context, seen *ledger.Resource, next candidateSet, p *progress) (res *ledger.Resource, moved []*ledger.Record, err error) {
	names := ledger.ReadSet{Resources: []string{seen.Name}, Records: next.keys}
	err = c.ledger.Update(ctx, names, func(tx ledger.Tx) error {
		moved = nil
		res = tx.Resource(seen.Name)
		if res == nil || res.Version != seen.Version {
			res = nil
			return nil // the heads may be others now
		}
		// The version was read before the queues were, so no move can have come
		// between.
		for shape, heads := range next.queues {
			if res.Refill(shape, heads, seen.Version); len(heads) == 0 {
				c.log.ErrorContext(ctx, "a queue is counted longer than it is: this is a bug, please report it",
					"event", "empty_queue", "shape", shape)
				delete(res.Queues, shape)
				res.Version++
			}
		}
		bytes := 0
		for _, key := range next.keys {
			if bytes >= commitBytes {
				break // the others in another round
			}
			if !c.readable(ctx, tx, key, p) {
				res.Skip(key)
				continue
			}
			rec := tx.Record(key)
			if rec == nil || len(rec.Queues()) == 0 {
				res.Strike(key)
				c.log.ErrorContext(ctx, "a request was in the queue that does not wait: this is a bug, please report it",
					"event", "queue_broken", "request_key", string(key))
				continue
			}
			before := *rec
			c.place(ctx, tx, res, rec)
			if rec.Sequence != before.Sequence {
				moved = append(moved, rec)
			}
			if rec.State != lifecycle.Waiting || rec.Sequence != before.Sequence || rec.Parked != before.Parked || !rec.ContradictedSince.Equal(before.ContradictedSince) {
				tx.PutRecord(rec)
				bytes += rec.Weight()
			}
		}
		if res.Version != seen.Version || len(next.queues) > 0 {
			res.Trim()
			tx.PutResource(res)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("decide %d waiting requests of %s: %w", len(next.keys), seen.Name, err)
	}
	return res, moved, nil
}

// waitingOn counts the waiting requests of a resource, one that is in several queues
// once for each, without those that cannot be read.
func waitingOn(res *ledger.Resource) (n int) {
	for _, queue := range res.Queues {
		n += queue.Count
	}
	return max(0, n-len(res.Skipped))
}
