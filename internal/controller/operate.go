package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
	"example.com/berth/internal/visible"
)

// Operate takes in one delivery of the operators' topic. As with [Controller.Handle],
// nil means that what it asks for is done and its answer is durable. The same message
// does it once.
//
// Who may publish on that topic is decided by its IAM policy. Whom the message names as
// its author is a claim.
func (c *Controller) Operate(ctx context.Context, d message.Delivery) error {
	err := c.operate(ctx, d)
	c.leftAlone(ctx, err, nil)
	return err
}

func (c *Controller) operate(ctx context.Context, d message.Delivery) error {
	o, err := message.DecodeOperator(d)
	if refusal := (*message.Refusal)(nil); errors.As(err, &refusal) {
		return c.Refuse(ctx, message.Operators, d, refusal)
	} else if err != nil {
		return fmt.Errorf("decode message %s: %w", d.ID, err)
	}
	o.Who, o.Reason = visible.Text(o.Who), visible.Text(o.Reason)
	if o.OnRequest() {
		return c.direct(ctx, d, o.Operation)
	}
	if o.Tenant != "" {
		return c.operateOnTenant(ctx, d, o)
	}
	name, why := c.resolve(o.PersistentResource, message.Paths{})
	if why != nil {
		return c.refuseOperator(ctx, d, why)
	}
	return c.operateOn(onResource(ctx, name), d, o, name)
}

func (c *Controller) refuseOperator(ctx context.Context, d message.Delivery, why *reason.Problem) error {
	why.Path = "operator.persistentResource"
	return c.answer(ctx, message.Operators, d, message.Outcome{Type: message.Refused, Reason: why, Problems: []reason.Problem{*why}})
}

// operateOn does what an operator asks for to a persistent resource.
func (c *Controller) operateOn(ctx context.Context, d message.Delivery, o message.Operator, name string) error {
	key := message.KeyOf(message.Operators, message.KindAnswer, d.ID)
	for observed := false; ; observed = true {
		var answered *ledger.Record
		var res *ledger.Resource
		err := c.grouped.Update(ctx, ledger.Resources(name).And(ledger.Records(key)), func(tx ledger.Tx) error {
			answered, res = nil, nil
			if tx.Record(key) != nil {
				res = &ledger.Resource{}
				return nil // this delivery has been here before
			}
			if res = tx.Resource(name); res == nil {
				return nil
			}
			outcome := c.operateWithin(tx, res, o, d.ID)
			answered = answerTo(tx, key, message.Operators, d, outcome)
			if outcome.Type != message.Refused {
				tx.Put(res)
			}
			return nil
		}, ledger.Hints{Tenant: message.Operators, Bytes: answerWeight})
		switch {
		case err != nil:
			return fmt.Errorf("do what the operator's message %s asks for: %w", d.ID, err)
		case res != nil && answered == nil:
			return nil
		case res != nil:
			c.log.InfoContext(ctx, "an operator's message", "event", "operator", "action", string(o.Action), "type", string(answered.Outbox[0].Type), "reason", code(answered.Why))
			c.publishOrLeave(ctx, answered)
			c.afterOperation(ctx, o, res)
			return nil
		case observed:
			return fmt.Errorf("do what the operator's message %s asks for: the document of %s is missing", d.ID, name)
		}
		// A document for every name would let documents of names that never were pile up.
		absent, err := c.refresh(ctx, name)
		if absent {
			return c.refuseOperator(ctx, d, admission.Unknown(message.Paths{}))
		}
		if err != nil {
			return fmt.Errorf("observe what the operator's message %s names: %w", d.ID, err)
		}
	}
}

// operateWithin does what an operator asks for in a message to a resource document, and
// returns the answer.
func (c *Controller) operateWithin(tx ledger.Tx, res *ledger.Resource, o message.Operator, id string) message.Outcome {
	done := message.Outcome{PersistentResource: res.Name, Operator: &o.Operation}
	refuse := func(code reason.Code, path, detail, fix string) message.Outcome {
		p := reason.Problem{Code: code, Path: path, Detail: detail, Fix: fix}
		return message.Outcome{Type: message.Refused, PersistentResource: res.Name, Reason: &p, Problems: []reason.Problem{p}}
	}
	switch o.Action {
	case message.Pause:
		done.Type = message.Paused
		pause := &admission.Pause{Since: tx.Now(), Who: o.Who, Reason: o.Reason}
		if o.Pool == "" {
			res.SetPause(pause)
			break
		}
		if !slices.ContainsFunc(res.Pools, func(p capacity.Pool) bool { return p.ID == o.Pool }) {
			return refuse(reason.UnknownPool, "operator.pool", "The persistent resource has no pool of this id.", "Its pools are "+poolsOf(res)+".")
		}
		res.SetPoolPause(o.Pool, pause)
	case message.Drain:
		done.Type = message.Draining
		res.SetPause(&admission.Pause{Since: tx.Now(), Who: o.Who, Reason: o.Reason, Drain: true, Message: id})
	case message.Resume:
		done.Type = message.Resumed
		_, paused := res.PausedPools[o.Pool]
		switch {
		case o.Pool == "" && res.Paused == nil:
			return refuse(reason.NotPaused, "operator.persistentResource", "The persistent resource is not paused.", "There is nothing to do. Status shows what is paused: berth pools.")
		case o.Pool == "":
			res.SetPause(nil)
		case !paused:
			return refuse(reason.NotPaused, "operator.pool", "The pool is not paused.", "There is nothing to do. Status shows what is paused: berth pools.")
		default:
			res.SetPoolPause(o.Pool, nil)
		}
	}
	return done
}

// poolsOf names the pools of a resource.
func poolsOf(res *ledger.Resource) string {
	var ids []string
	for _, p := range res.Pools {
		ids = append(ids, p.ID)
	}
	return strings.Join(ids, ", ")
}

// afterOperation starts what may start after a resume. What it leaves, the next pass
// does.
func (c *Controller) afterOperation(ctx context.Context, o message.Operator, res *ledger.Resource) {
	if o.Action != message.Resume || res.Paused != nil {
		return
	}
	began := c.env.Monotonic()
	var moved []*ledger.Record
	if res.Pending() > 0 {
		g, err := c.grantSlots(ctx, vertex.NameOf(res.Name).Parent(), []string{res.Name}, false)
		if err != nil {
			c.log.WarnContext(ctx, "submission slots left to reconcile", "event", "slot_failed", "error", err)
		}
		moved = g.moved
	}
	c.finishAll(ctx, moved, began)
	if err := c.scheduleNow(ctx, res.Name); err != nil {
		c.log.WarnContext(ctx, "the queue is left to reconcile", "event", "schedule_failed", "error", err)
	}
}
