package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/estimate"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// A Quoted is what would happen to a message, and how long its job is expected to run
// if it were taken; zero if no job like it has ended.
type Quoted struct {
	message.Outcome
	Estimate estimate.Estimate
}

// Quote says what would happen to a delivery now, and writes nothing. What
// cannot be decoded, and an id in use, are quoted as the refusal they would
// get. The error is the ledger's; Vertex AI is asked only if the ledger does
// not know the resource.
func (c *Controller) Quote(ctx context.Context, tenant string, d message.Delivery) (Quoted, error) {
	m, err := message.Decode(d)
	if refusal := (*message.Refusal)(nil); errors.As(err, &refusal) {
		return Quoted{Outcome: message.Outcome{Type: message.Refused, Tenant: tenant, MessageID: d.ID, ClaimedRequestID: refusal.ClaimedID,
			Verdict: string(admission.Refuse), Reason: &refusal.Problems[0], Problems: refusal.Problems}}, nil
	} else if err != nil {
		return Quoted{}, fmt.Errorf("decode message %s: %w", d.ID, err)
	}
	if m.Cancel != nil {
		p := reason.Problem{Code: reason.Unsupported, Detail: "Only a request for a job can be explained; this is a cancel."}
		return Quoted{Outcome: message.Outcome{Type: message.Refused, Tenant: tenant, MessageID: d.ID,
			Verdict: string(admission.Refuse), Reason: &p, Problems: []reason.Problem{p}}}, nil
	}
	return c.quote(ctx, tenant, d, m)
}

func (c *Controller) quote(ctx context.Context, tenant string, d message.Delivery, m message.Message) (Quoted, error) {
	rules, err := c.rulebook(ctx)
	if err != nil {
		return Quoted{}, fmt.Errorf("quote message %s: %w", d.ID, err)
	}
	draft := c.draft(rules, tenant, d, m)
	o := Quoted{Outcome: message.Outcome{Type: message.Quoted, Tenant: tenant, MessageID: d.ID, ClaimedRequestID: m.Request.RequestID,
		PersistentResource: draft.Resource, DisplayName: draft.DisplayName, Labels: draft.Labels, Warnings: draft.Warnings, PolicyVersion: draft.PolicyVersion}}
	refuse := func(p *reason.Problem) (Quoted, error) {
		o.Verdict, o.Reason = string(admission.Refuse), p
		return o, nil
	}
	if draft.Why != nil {
		return refuse(draft.Why)
	}
	var res *ledger.Resource
	var now time.Time
	var v verdict
	var buried *reason.Problem // why the request would be cancelled as it comes
	earlier, err := c.readAmong(ctx, draft, func(tx ledger.Tx) {
		res, now, v = tx.Resource(draft.Resource), tx.Now(), entered
		buried = nil
		if old := tx.Record(draft.Key); old != nil && old.Tombstone() {
			buried = old.Why
		} else if old != nil {
			v = known(old, draft)
		}
	})
	if err != nil {
		return o, fmt.Errorf("quote message %s: %w", d.ID, err)
	}
	switch {
	case buried != nil:
		return refuse(buried)
	case v == reused:
		return refuse(&reason.Problem{Code: reason.IDReused, Path: draft.Paths.At("requestId"),
			Detail: "There is another request under this id, with other content.", Fix: "Publish this job under a new id."})
	case v == duplicate, v == repeated:
		return refuse(&reason.Problem{Code: reason.IDReused, Path: draft.Paths.At("requestId"),
			Detail: "This very request is known already; sending it again changes nothing."})
	}
	if p := forbidden(draft, earlier); p != nil {
		return refuse(p)
	}
	if res == nil {
		// Nothing is promised here, so a name that was not there a moment ago is not
		// asked for again.
		there := false
		if !c.missing.isAbsent(draft.Resource, c.env.Monotonic()) {
			if there, err = c.exists(ctx, draft.Resource); errors.Is(err, errObserveLater) {
				return o, fmt.Errorf("quote message %s: %w", d.ID, err)
			}
		}
		if err == nil && !there {
			return refuse(c.unknown(draft))
		}
	}
	observe := res == nil || now.Sub(res.ObservedAt) > c.cfg.Policy.MaxAge
	if observe = observe && c.missing.hasFailed(draft.Resource, c.env.Monotonic()) == nil; observe {
		_, observe = c.missing.mayCall(draft.Resource, 2, c.env.Monotonic())
	}
	if observe {
		seen, err := c.observe(ctx, draft.Resource, now)
		switch {
		case seen.absent && res == nil:
			return refuse(c.unknown(draft))
		case err == nil:
			if res == nil {
				res = &ledger.Resource{Name: draft.Resource}
			}
			seen.onto(res)
			seen.foreignJobs(res)
		case res == nil:
			res = &ledger.Resource{Name: draft.Resource}
		}
	}
	if res == nil {
		res = &ledger.Resource{Name: draft.Resource}
	}
	if c.unlearned(tenant, res) {
		c.readHistory(ctx, tenant)
		c.estimate(draft)
	}
	rulesOf := c.policyOf(res.Name)
	c.placeIn(draft, res, now)
	decision := admission.Decide(res.Snapshot(now), draft.Request(), rulesOf)
	decision.Advise(res.Snapshot(now), draft.Request(), rulesOf)
	if decision.Verdict == admission.Wait {
		c.warnOfLimit(draft)
		o.Warnings = draft.Warnings
		o.Bound = admission.Bound(res.Snapshot(now), draft.Request(), rulesOf)
		if !decision.StartsBy.IsZero() || o.Bound.After(now.Add(draft.MaxWait)) {
			o.Bound = time.Time{} // it says nothing
		}
	}
	if earlier != nil && earlier.Active() && decision.Verdict != admission.Refuse {
		draft.Warnings = append(slices.Clone(draft.Warnings), reason.Problem{Code: reason.Warning, Path: draft.Paths.At("concurrencyPolicy"),
			Detail: fmt.Sprintf("The request %s of the same concurrency key would be cancelled: it is %s.", earlier.ID, earlier.State),
			Fix:    "With the policy forbid Berth lets that one end and refuses this one."})
		o.Warnings = draft.Warnings
	}
	if res.State == ledger.Absent {
		decision.Fit, decision.ScaleUp = nil, false // by pools that are no longer there
	}
	o.Verdict, o.Reason, o.Fit, o.ScaleUp, o.Ahead, o.StartsBy = string(decision.Verdict), decision.Reason, decision.Fit, decision.ScaleUp, &decision.Ahead, decision.StartsBy
	if decision.Verdict != admission.Refuse {
		o.Estimate = draft.Estimate
	}
	if !res.ObservedAt.IsZero() {
		seenAt := res.ObservedAt
		o.ObservedAt = &seenAt
	}
	return o, nil
}
