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

// live decides a waiting record as the controller would decide it now.
func (d *handler) live(now time.Time, res *ledger.Resource, rec *ledger.Record, ahead int) Live {
	decision := admission.Decide(res.Snapshot(now, ahead), rec.Request(), d.info.Policy)
	if res.State == ledger.Absent {
		decision.Fit, decision.ScaleUp = nil, false // the pools no longer exist
	}
	return Live{
		Verdict: decision.Verdict, Reason: decision.Reason, Fit: decision.Fit, ScaleUp: decision.ScaleUp,
		Ahead: &ahead, ObservedAt: res.ObservedAt, ContradictedSince: rec.ContradictedSince,
	}
}

// queuePage and queuePages bound the requests that are read of one queue.
const (
	queuePage  = 200
	queuePages = 5
)

// ahead counts the requests before a waiting one in its queues. The heads in
// the resource document answer for the first few. For the others it reads the
// queue up to a bound; beyond the bound it counts every other request as ahead.
func (d *handler) ahead(ctx context.Context, res *ledger.Resource, rec *ledger.Record) (int, error) {
	most := 0
	for _, s := range rec.Ask.Shapes() {
		line := res.Queues[s.String()]
		n, after, found := 0, "", false
		for range queuePages {
			heads, err := d.ledger.Queue(ctx, res.Name, s.String(), after, queuePage)
			if err != nil {
				return 0, fmt.Errorf("read the queue %s of %s: %w", s, res.Name, err)
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
				rest-- // the request itself is in the queue, unless it is parked
			}
			n = max(n, rest)
		}
		most = max(most, n)
	}
	return most, nil
}

// reasons fills in a request's reasons: live ones while it waits, otherwise the
// stored ones.
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
