package statuspage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// live decides a waiting record as the controller would now.
func (d *door) live(now time.Time, res *ledger.Resource, rec *ledger.Record, ahead int) Live {
	decision := admission.Decide(controller.Snapshot(now, res, ahead), controller.Ask(rec), d.info.Policy)
	if res.State == ledger.Absent {
		decision.Fit, decision.ScaleUp = nil, false // by pools that are no longer there
	}
	return Live{
		Verdict: decision.Verdict, Reason: decision.Reason, Fit: decision.Fit, ScaleUp: decision.ScaleUp,
		Ahead: &ahead, ViewTime: res.SeenAt, ContradictedSince: rec.ContradictedSince,
	}
}

// linePage and linePages bound the walk down one line.
const (
	linePage  = 200
	linePages = 5
)

// ahead counts the requests before a waiting one in its lines. The resource's
// own heads answer for the first few; beyond them the line is walked, up to a
// bound, after which everybody else in line may be ahead.
func (d *door) ahead(ctx context.Context, res *ledger.Resource, rec *ledger.Record) (int, error) {
	most := 0
	for _, s := range rec.Ask.Shapes() {
		line := res.Lines[s.String()]
		n, after, found := 0, "", false
		for range linePages {
			heads, err := d.ledger.Line(ctx, res.Name, s.String(), after, linePage)
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
			if found = found || len(heads) < linePage; found {
				break
			}
		}
		if !found {
			rest := line.Count
			if slices.Contains(rec.Lines(), s.String()) {
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
func (d *door) reasons(ctx context.Context, rec *ledger.Record, res *ledger.Resource, now time.Time) (Live, error) {
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
