package statuspage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// live decides a waiting record as the controller would now.
func (d *handler) live(now time.Time, res *ledger.Resource, rec *ledger.Record, ahead int) Live {
	decision := admission.Decide(res.Snapshot(now, ahead), rec.Request(), d.info.Policy)
	if res.State == ledger.Absent {
		decision.Fit, decision.ScaleUp = nil, false // by pools that are no longer there
	}
	return Live{
		Verdict: decision.Verdict, Reason: decision.Reason, Fit: decision.Fit, ScaleUp: decision.ScaleUp,
		Ahead: &ahead, ObservedAt: res.ObservedAt, ContradictedSince: rec.ContradictedSince,
	}
}

// linePage and linePages bound the walk down one line.
const (
	queuePage  = 200
	queuePages = 5
)

// ahead counts the requests before a waiting one in its queues. The resource's
// own heads answer for the first few; beyond them the line is walked, up to a
// bound, after which everybody else in the queue may be ahead.
func (d *handler) ahead(ctx context.Context, res *ledger.Resource, rec *ledger.Record) (int, error) {
	most := 0
	for _, s := range rec.Ask.Shapes() {
		line := res.Queues[s.String()]
		n, after, found := 0, "", false
		for range queuePages {
			heads, err := d.ledger.Queue(ctx, res.Name, s.String(), after, queuePage)
			if err != nil {
				return 0, fmt.Errorf("read the line %s of %s: %w", s, res.Name, err)
			}
			for _, h := range heads {
				if h.Order >= rec.Order {
					found = true
					break
				}
				n, after = n+1, h.Order
			}
			if found = found || len(heads) < queuePage; found {
				break
			}
		}
		if !found {
			rest := line.Count
			if slices.Contains(rec.Queues(), s.String()) {
				rest-- // it is one of them itself; a parked one is not
			}
			n = max(n, rest)
		}
		most = max(most, n)
	}
	return most, nil
}

// reasons fills in a request's reasons: live ones while it waits, else those
// that were stored.
func (d *handler) reasons(ctx context.Context, rec *ledger.Record, res *ledger.Resource, now time.Time) (Live, error) {
	if rec.State != lifecycle.Waiting || res == nil {
		l := Live{Reason: rec.Why, Fit: rec.Fit, ScaleUp: rec.ScaleUp}
		if rec.State == lifecycle.Waiting {
			l.Ahead = &rec.Ahead
		}
		return l, nil
	}
	n, err := d.ahead(ctx, res, rec)
	if err != nil {
		return Live{}, err
	}
	return d.live(now, res, rec, n), nil
}
