package controller

import (
	"context"
	"errors"
	"fmt"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// answerWeight is about how many bytes an answer takes in the ledger.
const answerWeight = 8 << 10

// Refuse answers a delivery that cannot be decoded. The delivery needs its id
// and nothing else. nil means that the answer is durable.
func (c *Controller) Refuse(ctx context.Context, tenant string, d message.Delivery, r *message.Refusal) error {
	return c.answer(ctx, tenant, d, message.Outcome{
		Type: message.Refused, ClaimedRequestID: r.ClaimedID, Reason: &r.Problems[0], Problems: r.Problems,
	})
}

// answer stores and publishes an outcome that belongs to no reservation.
// Its document is keyed by the message, so a second delivery finds it and says
// nothing. The id that the message claims is data in it and nothing more: a
// refused message must not touch the request of that name.
func (c *Controller) answer(ctx context.Context, tenant string, d message.Delivery, o message.Outcome) error {
	key := message.KeyOf(tenant, message.KindAnswer, d.ID)
	var rec *ledger.Record
	reads := ledger.Records(key)
	hints := ledger.Hints{Tenant: tenant, Bytes: answerWeight}
	err := c.grouped.Update(ctx, reads, func(tx ledger.Tx) error {
		if rec = nil; tx.Record(key) != nil {
			return nil
		}
		rec = answerTo(tx, key, tenant, d, o)
		return nil
	}, hints)
	if err != nil {
		return fmt.Errorf("write the answer to message %s: %w", d.ID, err)
	}
	if rec == nil {
		return nil
	}
	c.answered(ctx, o.Type, code(o.Reason))
	c.log.InfoContext(ctx, "answered", "event", "answer", "type", string(o.Type), "reason", code(o.Reason))
	c.publishOrLeave(ctx, rec)
	return nil
}

// answerTo puts the document of an answer within an update that has read its key
// and found none.
func answerTo(tx ledger.Tx, key message.Key, tenant string, d message.Delivery, o message.Outcome) *ledger.Record {
	rec := &ledger.Record{Key: key, Kind: message.KindAnswer, Tenant: tenant, ID: d.ID, MessageID: d.ID, Trace: d.Trace, Why: o.Reason}
	rec.Times.Published, rec.Times.Received = d.PublishTime, tx.Now()
	o.Tenant, o.MessageID, o.Times = tenant, d.ID, rec.Times
	rec.Append(o, tx.Now())
	tx.Put(rec)
	return rec
}

// answerRepeat answers a repeat of a request that has ended with how it ended: the
// request itself publishes nothing any more.
func (c *Controller) answerRepeat(ctx context.Context, d message.Delivery, rec *ledger.Record) error {
	return c.answer(ctx, rec.Tenant, d, message.Outcome{
		Type: message.Duplicate, ClaimedRequestID: rec.ID, State: string(rec.State), Reason: rec.Why,
		PersistentResource: rec.Resource, DisplayName: rec.DisplayName, Job: rec.Reservation.Job, JobState: rec.JobState,
	})
}

// answerReuse refuses a message that carries the id of another request.
func (c *Controller) answerReuse(ctx context.Context, d message.Delivery, draft *ledger.Record) error {
	p := reason.Problem{Code: reason.IDReused, Path: draft.Paths.At("requestId"),
		Detail: "There is another request under this id, with other content.",
		Fix:    "Publish this job under a new id. An id stays taken after its request was rejected or has ended."}
	return c.answer(ctx, draft.Tenant, d, message.Outcome{
		Type: message.Refused, ClaimedRequestID: draft.ID, Reason: &p, Problems: []reason.Problem{p},
	})
}

// tooLarge reports whether an update was refused for the size of the record that it
// was to write: the same message would be refused forever.
func tooLarge(err error, rec *ledger.Record) bool {
	const doubt = 16 << 10 // sizes are counted a little differently by each ledger
	return errors.Is(err, ledger.ErrRefused) && rec != nil && ledger.Size(rec) > ledger.MaxDocument-doubt
}

// answerTooLarge refuses a message that takes more room in the ledger than a
// document has. Escapes and expanded lists take several times their bytes there.
func (c *Controller) answerTooLarge(ctx context.Context, d message.Delivery, draft *ledger.Record) error {
	p := reason.Problem{Code: reason.TooLarge, Path: "job",
		Detail: fmt.Sprintf("Stored, the job takes more than the %d bytes that one document can have.", ledger.MaxDocument),
		Fix:    "Put long arguments, scripts or environments into a file that the job reads."}
	o := message.Outcome{Type: message.Refused, Reason: &p, Problems: []reason.Problem{p}}
	if draft.Kind == message.KindRequest {
		o.ClaimedRequestID = draft.ID
	}
	return c.answer(ctx, draft.Tenant, d, o)
}
