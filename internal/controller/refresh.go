package controller

import (
	"context"
	"time"

	"example.com/berth/internal/ledger"
)

// refreshed is what an observation found, and when it began on the monotonic clock.
type refreshed struct {
	unknown bool
	began   time.Time
}

// refresh brings the ledger's observation of a resource up to date, for a request that
// cannot be decided without. Requests that arrive together share one observation. It
// reports whether Vertex AI knows no such resource and never did here.
func (c *Controller) refresh(ctx context.Context, name string) (unknown bool, err error) {
	arrived := c.env.Monotonic()
	for {
		result, err, _ := c.refreshes.Do(name, func() (any, error) { return c.refreshOnce(ctx, name) })
		if err != nil {
			return false, err
		}
		// A request is rejected on this answer, so the observation must not have begun
		// before the request came: the resource may have been made since.
		if l := result.(refreshed); !l.unknown || !l.began.Before(arrived) {
			return l.unknown, nil
		}
	}
}

func (c *Controller) refreshOnce(ctx context.Context, name string) (refreshed, error) {
	l := refreshed{began: c.env.Monotonic()}
	var now time.Time
	var known, fresh bool
	err := ledger.Read(ctx, c.ledger, ledger.Resources(name), func(tx ledger.Tx) {
		now, known, fresh = tx.Now(), false, false
		if res := tx.Resource(name); res != nil {
			known, fresh = true, now.Sub(res.ObservedAt) <= c.cfg.Policy.MaxAge
		}
	})
	if err != nil || fresh { // another observation was faster
		return l, err
	}
	if err := c.missing.hasFailed(name, c.env.Monotonic()); err != nil {
		return l, err
	}
	if !known {
		if there, err := c.exists(ctx, name); err != nil || !there {
			l.unknown = err == nil // no document: names that never were must not pile up
			return l, err
		}
	}
	v, err := c.observe(ctx, name, now)
	if err != nil {
		return l, err
	}
	if v.absent && !known {
		l.unknown = true
		return l, nil
	}
	if !known {
		if _, err := c.rebuild(ctx, name); err != nil {
			return l, err // a document without the holds would give their replicas to others
		}
	}
	_, err = c.saveObservation(ctx, name, v)
	return l, err
}
