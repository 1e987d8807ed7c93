package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// A direction is what one run of the update of an operator's message to a request found
// and did.
type direction struct {
	cancelling
	kept     bool // this delivery has been here before
	resource string
}

// direct does what an operator asks for to a request of any tenant.
func (c *Controller) direct(ctx context.Context, d message.Delivery, o message.Operation) error {
	answer := message.KeyOf(message.Operators, message.KindAnswer, d.ID)
	id, kinds := o.RequestID, []message.Kind{message.KindRequest, message.KindMessage}
	if id == "" {
		id, kinds = o.MessageID, kinds[1:]
	}
	var keys []message.Key
	for _, kind := range kinds {
		keys = append(keys, message.KeyOf(o.Tenant, kind, id))
	}
	var did direction
	for resource := ""; ; resource = did.needs { // the resource is known once the record has been read
		reads := ledger.Records(append([]message.Key{answer}, keys...)...)
		if resource != "" {
			reads = reads.And(ledger.Resources(resource))
		}
		err := c.grouped.Update(ctx, reads, func(tx ledger.Tx) error {
			did = direction{}
			if did.kept = tx.Record(answer) != nil; did.kept {
				return nil
			}
			rec := ledger.Preferred(tx.Record(keys[0]), tx.Record(keys[len(keys)-1]))
			if rec != nil && !rec.Tombstone() && !rec.State.Terminal() {
				switch {
				case rec.Resource != resource:
					did.needs = rec.Resource
					return nil
				case tx.Resource(resource) == nil:
					did.needs, did.lost = resource, true
					return nil
				}
			}
			outcome := c.directRecord(ctx, tx, rec, o, &did)
			did.answered = answerTo(tx, answer, message.Operators, d, outcome)
			return nil
		}, ledger.Hints{Tenant: message.Operators, Bytes: answerWeight})
		if err != nil {
			return fmt.Errorf("do what the operator's message %s asks for: %w", d.ID, err)
		}
		if did.needs == "" {
			break
		}
		if did.lost {
			if rebuilt, err := c.rebuild(ctx, resource); err != nil || !rebuilt {
				return fmt.Errorf("operator's message %s: the document of %s is missing: %w", d.ID, resource, cmp.Or(err, ledger.ErrBusy))
			}
		}
	}
	if did.kept {
		return nil
	}
	c.log.InfoContext(ctx, "an operator's message", "event", "operator", "action", string(o.Action), "type", string(did.answered.Outbox[0].Type), "reason", code(did.answered.Why))
	events := []*ledger.Record{did.answered}
	if did.moved != nil {
		ctx = withRecord(ctx, did.moved)
		c.gaveBack(did.moved)
		c.sendCancel(ctx, did.moved)
		events = append(events, did.moved)
	}
	c.publishOrLeave(ctx, events...)
	if did.resource != "" { // replicas came free, or the order is another
		if err := c.scheduleNow(ctx, did.resource); err != nil {
			c.log.WarnContext(ctx, "the queue is left to reconcile", "event", "schedule_failed", "error", err)
		}
	}
	return nil
}

// directRecord does what an operator asks for to a record, nil for none, and returns the
// answer. Its resource has been read.
func (c *Controller) directRecord(ctx context.Context, tx ledger.Tx, rec *ledger.Record, o message.Operation, did *direction) message.Outcome {
	refuse := func(code reason.Code, fix, format string, args ...any) message.Outcome {
		p := reason.Problem{Code: code, Path: "operator", Detail: fmt.Sprintf(format, args...), Fix: fix}
		return message.Outcome{Type: message.Refused, ClaimedRequestID: o.RequestID, Reason: &p, Problems: []reason.Problem{p}}
	}
	if rec == nil || rec.Tombstone() {
		return refuse(reason.NothingMatched, "Check the id and the tenant.", "There is no such request of this tenant.")
	}
	if rec.State.Terminal() {
		return refuse(reason.AlreadyEnded, "There is nothing to do.", "The request has ended: it is %s.", rec.State)
	}
	res, version := tx.Resource(rec.Resource), tx.Resource(rec.Resource).Version
	before := rec.State
	moves := func(m lifecycle.Move, why reason.Code, what string) bool {
		if c.move(ctx, tx, res, rec, m, &reason.Problem{Code: why, Detail: fmt.Sprintf("%s %s: %s", o.Who, what, o.Reason)}) != lifecycle.Moved {
			return false
		}
		did.moved = rec
		return true
	}
	done := message.Outcome{PersistentResource: rec.Resource, Operator: &o}
	switch o.Action {
	case message.CancelRequest:
		done.Type = message.OperatorCancelling
		if !moves(lifecycle.Cancel(), reason.CancelRequested, "cancelled it as an operator") {
			return refuse(reason.WrongState, "There is nothing to do.", "The request is being cancelled already.")
		}
	case message.Requeue:
		done.Type = message.Requeued
		move := lifecycle.Requeue()
		if before == lifecycle.Reserved {
			move = lifecycle.Withdraw()
		}
		switch {
		case before == lifecycle.Waiting || before == lifecycle.Cancelling:
			return refuse(reason.WrongState, "There is nothing to do.", "The request is %s.", before)
		case rec.SentBack >= maxSentBack:
			return refuse(reason.WrongState, "Cancel it, and have it sent again under a new id.", "Operators have had the request wait again %d times, the most that they can.", rec.SentBack)
		case !moves(move, reason.RequeueRequested, "had it wait again as an operator"):
			return refuse(reason.WrongState, "Look at its state.", "The request is %s.", before)
		}
	case message.Prioritise:
		done.Type = message.Prioritised
		if before != lifecycle.Waiting {
			return refuse(reason.WrongState, "Only a request that waits has a place in the order.", "The request is %s.", before)
		}
		former, priority := rec.Priority, rec.Priority
		if o.Priority != nil {
			priority = *o.Priority
		}
		done.Operator.Priority, done.Operator.FormerPriority = &priority, &former
		c.reorder(res, rec, priority, o.Front, tx.Now())
	}
	if res.Version != version {
		tx.Put(res)
		did.resource = rec.Resource
	}
	tx.Put(rec)
	return done
}

// maxSentBack bounds how often operators can have one request wait again: each time costs
// events that its record keeps.
const maxSentBack = 20

// reorder gives a waiting request another place in the order: by a priority and its own
// time, or with front before all others of that priority.
func (c *Controller) reorder(res *ledger.Resource, rec *ledger.Record, priority int, front bool, now time.Time) {
	res.Leave(rec)
	rec.Priority = priority
	c.order(rec, rec.Times.Received)
	if front {
		rec.Order = ledger.OrderKey(priority, frontTime(now), rec.Key)
		if !rec.Parked {
			res.Reserve(yielding(res.Reserved, rec))
		}
	}
	res.Join(rec)
	// What goes through requests in their order may have passed its new place.
	for queue := range res.Recheck {
		res.Recheck[queue] = ""
	}
	if res.Notice != nil {
		res.Notice = &ledger.Notice{}
	}
	res.Restarts++
}

// yielding returns the reservations without those of the same priority that a request
// which an operator puts first passes: they are for one of its shapes.
func yielding(list []admission.Reservation, rec *ledger.Record) []admission.Reservation {
	return slices.DeleteFunc(slices.Clone(list), func(o admission.Reservation) bool {
		return o.Order > rec.Order && o.Order[:4] == rec.Order[:4] &&
			slices.ContainsFunc(o.Demand, func(n capacity.Need) bool { return rec.Ask.Of(n.Shape) > 0 })
	})
}

// frontTime is the time in the order of a request that comes before all others: before
// any that a request can have by itself, and the earlier the later it is given.
func frontTime(now time.Time) time.Time {
	base := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	return base.Add(-now.Sub(base)).Truncate(time.Microsecond)
}
