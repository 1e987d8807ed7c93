package statuspage

import (
	"context"
	"fmt"
	"maps"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// policy returns the settings for decisions on a resource. While the policy in force cannot
// be read, nothing is decided, and no reason can be given.
func (d *handler) policy(ctx context.Context, res *ledger.Resource) (admission.Policy, error) {
	if d.quoter == nil {
		return d.info.Policy, nil
	}
	p, err := d.quoter.PolicyOf(ctx, res.Name)
	if err != nil {
		return p, fmt.Errorf("why requests of %s wait: %w", res.Name, err)
	}
	return p, nil
}

// live decides a waiting record as the controller would decide it now, with advice if
// asked for.
func live(now time.Time, policy admission.Policy, res *ledger.Resource, rec *ledger.Record, ahead int, advise bool) Live {
	s, a := res.Snapshot(now), rec.Request()
	decision := admission.Decide(s, a, policy)
	if advise {
		decision.Advise(s, a, policy)
	}
	if res.State == ledger.Absent {
		decision.Fit, decision.ScaleUp = nil, false // the pools no longer exist
	}
	return Live{
		Verdict: decision.Verdict, Reason: decision.Reason, Fit: decision.Fit, ScaleUp: decision.ScaleUp,
		Ahead: &ahead, StartsBy: decision.StartsBy, ObservedAt: res.ObservedAt, ContradictedSince: rec.ContradictedSince,
	}
}

// queuePage and queuePages bound the requests that are read to count those before
// one.
const (
	queuePage  = 200
	queuePages = 5
)

// before counts the requests that ask for one of the shapes of a waiting one and come
// before it in order. The heads in the resource document answer for the first few of
// each class. For the others it reads classes up to a bound; beyond the bound it
// counts every other request as ahead.
func (d *handler) before(ctx context.Context, res *ledger.Resource, rec *ledger.Record) (admission.Before, error) {
	queue := maps.Clone(res.Queue)
	shapes := rec.Ask.Shapes()
	for pages := 0; pages < queuePages; {
		id, unsure := queue.Unsure(rec.Order, shapes)
		if !unsure {
			break
		}
		class := queue[id]
		class.Heads = nil
		for ; pages < queuePages; pages++ {
			after := ""
			if n := len(class.Heads); n > 0 {
				after = class.Heads[n-1].Order
			}
			heads, err := d.ledger.Queue(ctx, res.Name, string(id), after, queuePage)
			if err != nil {
				return admission.Before{}, fmt.Errorf("read class %s of %s: %w", id, res.Name, err)
			}
			if class.Heads = append(class.Heads, heads...); len(heads) < queuePage {
				class.Count = len(class.Heads)
				break
			}
			if class.Count = max(class.Count, len(class.Heads)); heads[queuePage-1].Order >= rec.Order {
				break
			}
		}
		queue[id] = class
	}
	return queue.Before(rec.Order, shapes, rec.Class), nil
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
	before, err := d.before(ctx, res, rec)
	if err != nil {
		return Live{}, err
	}
	policy, err := d.policy(ctx, res)
	if err != nil {
		return Live{}, err
	}
	l := live(now, policy, res, rec, before.Requests, true)
	if l.Before = &before; l.Verdict == admission.Wait && !rec.Parked {
		l.Bound = admission.Bound(res.Snapshot(now), rec.Request(), policy)
		if !l.StartsBy.IsZero() || l.Bound.After(rec.TimerAt) {
			l.Bound = time.Time{} // it says nothing: the request starts before, or its wait ends
		}
	}
	return l, nil
}
