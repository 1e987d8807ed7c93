package controller

import (
	"context"
	"fmt"
	"slices"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// cancel handles the wish to end a request. A request that is not known yet
// gets a tombstone: messages arrive in any order, and when the request comes
// it must find that it was cancelled.
func (c *Controller) cancel(ctx context.Context, tenant string, d message.Delivery, m message.Cancel) error {
	kind, id := message.KindRequest, m.RequestID
	if id == "" {
		kind, id = message.KindMessage, m.MessageID
	}
	key := message.KeyOf(tenant, kind, id)
	why := &message.Problem{Code: message.CancelRequested, Detail: "A cancel was asked for."}
	if m.Reason != "" {
		why.Detail = "A cancel was asked for: " + m.Reason
	}
	var rec *ledger.Record
	var effect lifecycle.Effect
	resource, want := "", "" // the resource is known once the record has been read
	for {                    // twice at most: a record never changes its resource
		names := ledger.Names{Records: []message.Key{key}, Party: tenant}
		if resource != "" {
			names.Resources = []string{resource}
		}
		err := c.desk.Update(ctx, names, func(tx ledger.Tx) error {
			want, effect = resource, lifecycle.AlreadySo
			if rec = tx.Record(key); rec == nil {
				rec = &ledger.Record{Key: key, Kind: kind, Tenant: tenant, ID: id, MessageID: d.ID, DisplayName: id}
				rec.Times.Published, rec.Times.Received = d.PublishTime, tx.Now()
				rec.Order = ledger.OrderKey(0, tx.Now(), key)
			}
			if slices.Contains(rec.Cancels, d.ID) {
				rec = nil // this delivery has been here before
				return nil
			}
			var res *ledger.Resource
			if needsResource(rec) {
				if want = rec.Resource; want != resource {
					return nil
				}
				res = tx.Resource(resource)
			}
			if effect = c.move(tx, res, rec, lifecycle.What{Event: lifecycle.CancelAsked}, why); effect != lifecycle.Moved {
				return nil
			}
			rec.Cancels = append(rec.Cancels, d.ID)
			tx.PutRecord(rec)
			if res != nil {
				tx.PutResource(res)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("cancel by message %s: %w", d.ID, err)
		}
		if want == resource {
			break
		}
		resource = want
	}
	switch {
	case rec == nil:
		return nil
	case effect == lifecycle.AlreadySo && rec.State.Terminal() && rec.State != lifecycle.Cancelled:
		p := message.Problem{Code: message.AlreadyEnded, Path: "cancel",
			Detail: fmt.Sprintf("The request has ended: it is %s.", rec.State)}
		return c.answer(ctx, tenant, d, message.Outcome{
			Type: message.Refused, ClaimedRequestID: id, Reason: &p, Problems: []message.Problem{p},
		})
	case effect != lifecycle.Moved:
		return nil
	}
	c.log.Info("cancel", "event", "cancel", "message_id", d.ID, "request_key", string(key), "state", string(rec.State))
	c.sendCancel(ctx, rec)
	if err := c.post(ctx, rec); err != nil {
		c.log.Warn("outcome left to reconcile", "event", "post_failed", "request_key", string(key), "error", err)
	}
	return nil
}

// needsResource says whether a cancel of the record gives replicas back or
// takes it out of line.
func needsResource(rec *ledger.Record) bool {
	return rec.State == lifecycle.Waiting || rec.State == lifecycle.Reserved
}

// sendCancel asks Vertex AI for the end of a record's job, if it is one to be
// cancelled. An error is not passed on: the record's next look sends it again.
func (c *Controller) sendCancel(ctx context.Context, rec *ledger.Record) {
	if rec.State != lifecycle.Cancelling || rec.Reservation.Job == "" {
		return
	}
	if err := c.vertex.Cancel(ctx, rec.Reservation.Job); err != nil {
		c.log.Warn("cancel will be sent again", "event", "cancel_failed", "request_key", string(rec.Key), "error", err)
	}
}
