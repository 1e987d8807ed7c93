package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/visible"
)

// cancel handles a cancel message.
//
// A cancel by message id means the request that this message made. A cancel by
// request id means the request of that id and, if none has come, the request
// that a message of that id made: a message without a request id has only the id that
// publishing printed.
//
// A cancel of a request that has ended is refused. A cancel of a request that is being
// cancelled gets no answer: the request's own events follow.
//
// Messages arrive in any order, so a cancel may come before its request. One update then
// writes a tombstone for each kind of request that the id may name, and an answer that
// says until when the tombstones last. A tombstone has no event, because nothing has
// ended. A request that finds its tombstone is CANCELLED, which is its first and last
// event.
func (c *Controller) cancel(ctx context.Context, tenant string, d message.Delivery, m message.Cancel) error {
	id, kinds := m.RequestID, []message.Kind{message.KindRequest, message.KindMessage}
	if id == "" {
		id, kinds = m.MessageID, kinds[1:]
	}
	answer := message.KeyOf(tenant, message.KindAnswer, d.ID)
	var keys []message.Key
	for _, kind := range kinds {
		keys = append(keys, message.KeyOf(tenant, kind, id))
	}
	var did cancelling
	for resource := ""; ; resource = did.needs { // the resource is known once the record has been read
		reads := ledger.Records(append([]message.Key{answer}, keys...)...)
		hints := ledger.Hints{Tenant: tenant, Bytes: answerWeight}
		if resource != "" {
			reads = reads.And(ledger.Resources(resource))
		}
		err := c.grouped.Update(ctx, reads, func(tx ledger.Tx) error {
			did = cancelling{}
			if tx.Record(answer) != nil {
				return nil // this delivery has been here before
			}
			var rec *ledger.Record
			for _, key := range keys {
				r := tx.Record(key)
				if r != nil && slices.Contains(r.Cancels, d.ID) {
					return nil // so has this one
				}
				if rec == nil && r != nil && !r.Tombstone() {
					rec = r
				}
			}
			switch {
			case rec == nil:
				until := c.putTombstones(tx, tenant, d, kinds, id, cancelReason(m))
				did.answered = answerTo(tx, answer, tenant, d, message.Outcome{Type: message.Noted, ClaimedRequestID: m.RequestID, CancelUntil: until,
					Reason: &reason.Problem{Code: reason.NothingMatched, Path: "cancel",
						Detail: fmt.Sprintf("Nothing has come under this id yet. What comes under it before %s is cancelled.", until.UTC().Format(time.RFC3339)),
						Fix:    "If its request has been published already, check the id."}})
			case rec.State.Terminal():
				p := reason.Problem{Code: reason.AlreadyEnded, Path: "cancel",
					Detail: fmt.Sprintf("The request has ended: it is %s.", rec.State), Fix: "There is nothing to do."}
				did.answered = answerTo(tx, answer, tenant, d, message.Outcome{Type: message.Refused, ClaimedRequestID: id, Reason: &p, Problems: []reason.Problem{p}})
			case needsResource(rec) && rec.Resource != resource:
				did.needs = rec.Resource
			case needsResource(rec) && tx.Resource(resource) == nil:
				did.needs, did.lost = resource, true
			default:
				c.cancelRecord(ctx, tx, rec, d.ID, cancelReason(m), &did)
			}
			return nil
		}, hints)
		if err != nil {
			return fmt.Errorf("cancel by message %s: %w", d.ID, err)
		}
		if did.needs == "" {
			break
		}
		if did.lost {
			if rebuilt, err := c.rebuild(ctx, resource); err != nil || !rebuilt {
				return fmt.Errorf("cancel by message %s: the document of %s is missing: %w", d.ID, resource, cmp.Or(err, ledger.ErrBusy))
			}
		}
	}
	switch {
	case did.answered != nil:
		c.answered(ctx, did.answered.Outbox[0].Type, code(did.answered.Why))
		c.log.InfoContext(ctx, "answered", "event", "answer", "type", string(did.answered.Outbox[0].Type), "reason", code(did.answered.Why))
		c.publishOrLeave(ctx, did.answered)
	case did.moved != nil:
		ctx = withRecord(ctx, did.moved)
		c.log.InfoContext(ctx, "cancel", "event", "cancel", "state", string(did.moved.State))
		c.gaveBack(did.moved)
		c.sendCancel(ctx, did.moved)
		c.publishOrLeave(ctx, did.moved)
	}
	return nil
}

// A cancelling is what one run of a cancel's update found and did.
type cancelling struct {
	lost     bool           // the document of needs is missing
	needs    string         // resource that the update has to read and did not
	moved    *ledger.Record // the request that the cancel moved
	answered *ledger.Record // the answer to the cancel
}

// cancelRecord moves a record that has not ended.
func (c *Controller) cancelRecord(ctx context.Context, tx ledger.Tx, rec *ledger.Record, messageID string, why *reason.Problem, did *cancelling) {
	var res *ledger.Resource
	if needsResource(rec) {
		res = tx.Resource(rec.Resource)
	}
	if c.move(ctx, tx, res, rec, lifecycle.Cancel(), why) != lifecycle.Moved {
		return
	}
	rec.Cancels = append(rec.Cancels, messageID)
	tx.Put(rec)
	if res != nil {
		tx.Put(res)
	}
	did.moved = rec
}

func cancelReason(m message.Cancel) *reason.Problem {
	why := &reason.Problem{Code: reason.CancelRequested, Detail: "A cancel was asked for."}
	if m.Reason != "" {
		why.Detail = "A cancel was asked for: " + visible.Text(m.Reason)
	}
	return why
}

// putTombstones writes a tombstone for each kind of an id and returns until when they
// stand. A second cancel of an id replaces the tombstones of the first, so that
// what it promises counts from now.
func (c *Controller) putTombstones(tx ledger.Tx, tenant string, d message.Delivery, kinds []message.Kind, id string, why *reason.Problem) time.Time {
	until := tx.Now().Add(c.cfg.Keep)
	for _, kind := range kinds {
		t := &ledger.Record{Key: message.KeyOf(tenant, kind, id), Kind: kind, Tenant: tenant, ID: id, MessageID: d.ID,
			DisplayName: id, Cancels: []string{d.ID}, Why: why, ExpireAt: until}
		t.Times.Published, t.Times.Received = d.PublishTime, tx.Now()
		tx.Put(t)
	}
	return until
}

// needsResource reports whether a cancel of the record writes its resource.
func needsResource(rec *ledger.Record) bool {
	return lifecycle.WritesResource(rec.State, lifecycle.CancelAsked)
}
