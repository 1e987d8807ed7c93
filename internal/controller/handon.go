package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// handOn decides the waiting requests of a resource again, from the heads of
// its lines, until the head of every line has to wait. It returns how many wait
// then.
func (c *Controller) handOn(ctx context.Context, name string, r *Report) (waiting int, err error) {
	for range 256 { // each round starts something, ends something, or is the last
		again, left, err := c.round(ctx, name, r)
		if waiting = left; err != nil || !again {
			return waiting, err
		}
	}
	return waiting, nil
}

// round decides the requests at the heads of the lines, in as many updates as
// their number needs, until one of the updates has moved something; it then
// submits what was admitted. again reports whether there may be more to do.
func (c *Controller) round(ctx context.Context, name string, r *Report) (again bool, waiting int, err error) {
	res, err := c.candidates(ctx, name)
	if err != nil || res == nil {
		return false, 0, err
	}
	waiting = inLine(res)
	for keys := range slices.Chunk(heads(res), perUpdate) {
		began := c.env.Monotonic()
		var moved []*ledger.Record
		again, waiting, moved, err = c.decideWaiting(ctx, res, keys)
		if err != nil {
			return false, waiting, err
		}
		c.carryOnAll(ctx, moved, began, r)
		if again {
			break // the heads are others now
		}
	}
	return again, waiting, nil
}

// decideWaiting decides some waiting requests of a resource in one update, in
// the order given. It returns those that moved; again reports whether the lines
// have changed, by this or by somebody else.
func (c *Controller) decideWaiting(ctx context.Context, seen *ledger.Resource, keys []message.Key) (again bool, waiting int, moved []*ledger.Record, err error) {
	names := ledger.Names{Resources: []string{seen.Name}, Records: keys}
	err = c.ledger.Update(ctx, names, func(tx ledger.Tx) error {
		moved, again = nil, true
		res := tx.Resource(seen.Name)
		if res == nil || res.Version != seen.Version {
			return nil // the heads may be others now
		}
		for _, key := range keys {
			rec := tx.Record(key)
			if rec == nil || len(rec.Lines()) == 0 {
				res.Strike(key)
				c.log.Error("somebody stood in line who does not wait: this is a bug, please report it",
					"event", "line_broken", "request_key", string(key), "resource", res.Name)
				continue
			}
			before := *rec
			c.place(tx, res, rec)
			if rec.State != lifecycle.Waiting {
				moved = append(moved, rec)
			}
			if rec.State != lifecycle.Waiting || rec.Aside != before.Aside || !rec.ContradictedSince.Equal(before.ContradictedSince) {
				tx.PutRecord(rec)
			}
		}
		if again = res.Version != seen.Version; again {
			tx.PutResource(res)
		}
		waiting = inLine(res)
		return nil
	})
	if err != nil {
		return false, waiting, nil, fmt.Errorf("decide %d waiting requests of %s: %w", len(keys), seen.Name, err)
	}
	return again, waiting, moved, nil
}

// carryOnAll submits admitted requests and sends the letters of all, several at
// a time.
func (c *Controller) carryOnAll(ctx context.Context, moved []*ledger.Record, began time.Time, r *Report) {
	var g errgroup.Group
	g.SetLimit(c.cfg.Submitters)
	for _, rec := range moved {
		if rec.State.Holds() {
			r.Started++
		}
		g.Go(func() error {
			c.carryOn(ctx, rec, began)
			return nil
		})
	}
	_ = g.Wait() // carryOn leaves what it cannot do to a later pass
}

// heads lists the requests at the heads of all lines, foremost in their lines
// first: the very first of each line are always among those of the first
// updates, however many wait in other lines.
func heads(res *ledger.Resource) []message.Key {
	type place struct {
		rank int
		ledger.Head
	}
	var places []place
	for _, line := range res.Lines {
		for i, h := range line.Heads {
			places = append(places, place{i, h})
		}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(a.rank-b.rank, ledger.CompareOrder(a.Order, b.Order)) })
	var keys []message.Key
	for _, p := range places {
		if !slices.Contains(keys, p.Key) {
			keys = append(keys, p.Key)
		}
	}
	return keys
}

// candidates returns the resource document with at least one head in each of
// its lines, nil if nothing waits. A line whose heads have been used up is read
// from the ledger again.
func (c *Controller) candidates(ctx context.Context, name string) (*ledger.Resource, error) {
	for range 64 {
		var res *ledger.Resource
		err := ledger.Read(ctx, c.ledger, ledger.Names{Resources: []string{name}}, func(tx ledger.Tx) { res = tx.Resource(name) })
		if err != nil {
			return nil, fmt.Errorf("read the lines of %s: %w", name, err)
		}
		if res == nil || len(res.Lines) == 0 {
			return nil, nil
		}
		empty := ""
		for shape, line := range res.Lines {
			if len(line.Heads) == 0 {
				empty = shape
			}
		}
		if empty == "" {
			return res, nil
		}
		if err := c.refill(ctx, res, empty); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("the lines of %s change faster than they can be read", name)
}

// refill reads the heads of a line by a query. The version was read before the
// query and is checked in the update, so no move can have come between.
func (c *Controller) refill(ctx context.Context, res *ledger.Resource, shape string) error {
	heads, err := c.ledger.Line(ctx, res.Name, shape, "", ledger.MaxHeads)
	if err != nil {
		return fmt.Errorf("read line %s of %s: %w", shape, res.Name, err)
	}
	return c.ledger.Update(ctx, ledger.Names{Resources: []string{res.Name}}, func(tx ledger.Tx) error {
		now := tx.Resource(res.Name)
		if now != nil && now.Refill(shape, heads, res.Version) {
			if len(heads) == 0 {
				c.log.Error("a line is counted longer than it is: this is a bug, please report it",
					"event", "empty_line", "resource", res.Name, "line", shape)
				delete(now.Lines, shape)
			}
			tx.PutResource(now)
		}
		return nil
	})
}

// inLine counts the waiting requests of a resource, one that stands in several
// lines once per line.
func inLine(res *ledger.Resource) (n int) {
	for _, line := range res.Lines {
		n += line.Count
	}
	return n
}
