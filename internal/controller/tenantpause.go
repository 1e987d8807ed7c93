package controller

import (
	"context"
	"fmt"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// While a tenant is paused, nothing of it is admitted or submitted. What runs goes on. Its
// requests wait at their places, and others do not wait for them: they take no part in
// plans, and one that waits for a submission slot gives its replicas back. Instances know of
// it with the policy, so it holds everywhere one tick later.

// operateOnTenant pauses or resumes a tenant.
func (c *Controller) operateOnTenant(ctx context.Context, d message.Delivery, o message.Operator) error {
	key := message.KeyOf(message.Operators, message.KindAnswer, d.ID)
	var answered *ledger.Record
	var pauses *ledger.Pauses
	err := c.grouped.Update(ctx, ledger.AllPauses().And(ledger.Records(key)), func(tx ledger.Tx) error {
		answered, pauses = nil, nil
		if tx.Record(key) != nil {
			return nil // this delivery has been here before
		}
		if pauses = ledger.Get[*ledger.Pauses](tx, ledger.PauseRef(ledger.TenantPauses)); pauses == nil {
			pauses = &ledger.Pauses{Name: ledger.TenantPauses}
		}
		outcome := pauseTenant(tx, pauses, o)
		answered = answerTo(tx, key, message.Operators, d, outcome)
		if outcome.Type != message.Refused {
			tx.Put(pauses)
		}
		return nil
	}, ledger.Hints{Tenant: message.Operators, Bytes: answerWeight})
	if err != nil {
		return fmt.Errorf("do what the operator's message %s asks for: %w", d.ID, err)
	}
	if answered == nil {
		return nil
	}
	if known := c.policies.latest(); known != nil {
		// This instance knows it at once, the others when they read next.
		now := *known
		now.paused, now.pauses = pauses.Tenants, pauses.Version
		c.policies.set(&now)
	}
	c.log.InfoContext(ctx, "an operator's message", "event", "operator", "action", string(o.Action), "type", string(answered.Outbox[0].Type), "reason", code(answered.Why))
	c.publishOrLeave(ctx, answered)
	if o.Action == message.Resume && answered.Outbox[0].Type == message.Resumed {
		if err := c.startResumed(ctx); err != nil {
			c.log.WarnContext(ctx, "the queues are left to reconcile", "event", "schedule_failed", "error", err)
		}
	}
	return nil
}

// pauseTenant does what an operator asks for to the document of pauses, and returns the
// answer.
func pauseTenant(tx ledger.Tx, pauses *ledger.Pauses, o message.Operator) message.Outcome {
	refuse := func(code reason.Code, detail, fix string) message.Outcome {
		p := reason.Problem{Code: code, Path: "operator.tenant", Detail: detail, Fix: fix}
		return message.Outcome{Type: message.Refused, Reason: &p, Problems: []reason.Problem{p}}
	}
	_, paused := pauses.Tenants[o.Tenant]
	switch {
	case o.Action == message.Resume && !paused:
		return refuse(reason.NotPaused, "The tenant is not paused.", "There is nothing to do. Status shows what is paused: berth pools.")
	case o.Action == message.Resume:
		pauses.Set(tx.Now(), o.Tenant, nil)
		return message.Outcome{Type: message.Resumed, Operator: &o.Operation}
	case !paused && len(pauses.Tenants) >= ledger.MaxPausedTenants:
		return refuse(reason.TooLarge, fmt.Sprintf("%d tenants are paused, the most that Berth can record.", len(pauses.Tenants)), "Resume others first, or pause persistent resources.")
	}
	pauses.Set(tx.Now(), o.Tenant, &admission.Pause{Since: tx.Now(), Who: o.Who, Reason: o.Reason})
	return message.Outcome{Type: message.Paused, Operator: &o.Operation}
}

// startResumed starts what may start after a tenant is resumed. What it leaves, the next
// pass does.
func (c *Controller) startResumed(ctx context.Context) error {
	after := ""
	for {
		page, err := c.ledger.Resources(ctx, after, 50)
		if _, err = ledger.Skipped(err); err != nil {
			return fmt.Errorf("list resources: %w", err)
		}
		for _, res := range page {
			if after = res.Name; len(res.Queue) == 0 {
				continue
			}
			if err := c.scheduleNow(ctx, res.Name); err != nil {
				return err
			}
		}
		if len(page) < 50 {
			return nil
		}
	}
}
