package controller

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// A parked request ([ledger.Record.Parked]) waits for the pools to change, or for the
// end of its pause after a refusal by Vertex AI. For the former no
// timer asks whether they have: the pass that observes a change stores which
// parked requests it may concern, in the commit that records the change, and this
// and later passes decide them again.

// parkedPerPass bounds the parked requests of one resource that one pass reads.
const parkedPerPass = 200

// recheck decides parked requests again whose resource has changed, a bounded
// number per pass. It returns the resource as it is then.
func (c *Controller) recheck(ctx context.Context, res *ledger.Resource, p *progress) (*ledger.Resource, error) {
	if _, err := c.rulebook(ctx); err != nil {
		return res, fmt.Errorf("decide the parked requests of %s: %w", res.Name, err)
	}
	for read := 0; res != nil && len(res.Recheck) > 0; {
		if read >= parkedPerPass {
			p.more = true
			break
		}
		began := c.env.Monotonic()
		queue := slices.Min(slices.Collect(maps.Keys(res.Recheck)))
		step, err := c.parkedAfter(ctx, res, queue)
		if err != nil {
			return res, err
		}
		read += len(step.keys)
		after, moved, err := c.decideParked(ctx, res.Name, queue, step, p)
		if err != nil {
			return res, err
		}
		for _, rec := range moved {
			if rec.State.Holds() {
				p.Started++
				p.wait(rec)
			}
		}
		c.finishAll(ctx, moved, began)
		res = after
	}
	return res, nil
}

// A parkedStep is what one update decides of a queue of parked requests.
type parkedStep struct {
	from, to string        // order keys: after the one, up to the other; to is "" for the end
	keys     []message.Key // those that may fit now
	orders   []string      // and their order keys
	none     bool          // there were no parked requests at all at version
	version  int64
	restarts int64 // of the resource, before the requests were read
}

// parkedAfter reads the next part of a queue of parked requests.
func (c *Controller) parkedAfter(ctx context.Context, res *ledger.Resource, queue string) (parkedStep, error) {
	const page = 500
	step := parkedStep{from: res.Recheck[queue], version: res.Version, restarts: res.Restarts}
	heads, err := c.ledger.Queue(ctx, res.Name, queue, step.from, page)
	if err != nil {
		return step, fmt.Errorf("read the parked requests of %s: %w", res.Name, err)
	}
	step.none = queue == ledger.Parked && step.from == "" && len(heads) == 0
	empty := capacity.NewRoom(res.Pools, nil)
	bytes, now := 0, c.env.Monotonic()
	for _, h := range heads {
		switch {
		case queue != ledger.Parked && !empty.Fits(h.Demand) || c.unreadable.known(h.ID, now):
		case len(step.keys) == commitRecords || len(step.keys) > 0 && bytes+2*h.Bytes > commitBytes:
			return step, nil
		default:
			bytes += 2 * h.Bytes
			step.keys, step.orders = append(step.keys, h.ID), append(step.orders, h.Order)
		}
		step.to = h.Order
	}
	if len(heads) < page {
		step.to = ""
	}
	return step, nil
}

// decideParked decides parked requests in one update, and stores how far
// that has got.
func (c *Controller) decideParked(ctx context.Context, resource, queue string, step parkedStep, p *progress) (res *ledger.Resource, moved []*ledger.Record, err error) {
	names := ledger.Resources(resource).And(ledger.Records(step.keys...))
	err = c.ledger.Update(ctx, names, func(tx ledger.Tx) error {
		moved = nil
		res = tx.Resource(resource)
		if res == nil {
			return nil
		}
		if from, open := res.Recheck[queue]; !open || from != step.from || res.Restarts != step.restarts {
			return nil // another pass was here, or it began anew
		}
		bytes, to := 0, step.to
		for i, key := range step.keys {
			if bytes >= commitBytes {
				to = step.orders[i-1] // the others in another commit
				break
			}
			if !c.readable(ctx, tx, key, p) {
				continue
			}
			rec := tx.Record(key)
			if rec == nil || rec.State != lifecycle.Waiting || !rec.Parked {
				continue
			}
			before, why := *rec, code(rec.Why)
			c.place(ctx, tx, res, rec)
			if rec.State != lifecycle.Waiting {
				moved = append(moved, rec)
			}
			if rec.State != lifecycle.Waiting || !rec.Parked || code(rec.Why) != why ||
				!rec.ContradictedSince.Equal(before.ContradictedSince) || !rec.TimerAt.Equal(before.TimerAt) {
				tx.Put(rec)
				bytes += rec.Weight()
			}
		}
		if res.Recheck[queue] = to; to == "" {
			delete(res.Recheck, queue)
		}
		if step.none && res.Version == step.version {
			res.HasParked = false
		}
		tx.Put(res)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("decide %d parked requests of %s again: %w", len(step.keys), resource, err)
	}
	return res, moved, nil
}

// observeParkedEvery is how many ticks pass between two observations of a deleted
// resource for which only parked requests wait.
const observeParkedEvery = 5

// parkedOn reports whether it is time to observe a deleted resource because
// requests are parked on it: they wait for one of the same name. It notes where
// there are none.
func (c *Controller) parkedOn(ctx context.Context, res *ledger.Resource, now time.Time) bool {
	if !res.HasParked || now.Sub(res.ObservedAt) < observeParkedEvery*c.cfg.Tick-c.cfg.Tick/2 {
		return false
	}
	heads, err := c.ledger.Queue(ctx, res.Name, ledger.Parked, "", 1)
	if err != nil || len(heads) > 0 {
		return true // if it cannot be known, an observation does no harm
	}
	err = c.ledger.Update(ctx, ledger.Resources(res.Name), func(tx ledger.Tx) error {
		// Each update that parks a request counts up the version.
		if now := tx.Resource(res.Name); now != nil && now.HasParked && now.Version == res.Version {
			now.HasParked = false
			tx.Put(now)
		}
		return nil
	})
	if err != nil {
		c.log.WarnContext(ctx, "cannot record that no request is parked", "event", "parked_failed", "resource", res.Name, "error", err)
	}
	return false
}
