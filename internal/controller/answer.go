package controller

import (
	"context"
	"errors"
	"fmt"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// answerWeight is about how many bytes an answer takes in the ledger.
const answerWeight = 8 << 10

// answer writes down and publishes an outcome that belongs to no reservation.
// Its document is keyed by the message, so a second delivery finds it and says
// nothing. The id that the message claims is data in it and nothing more: a
// refused message must not touch the request of that name.
func (c *Controller) answer(ctx context.Context, tenant string, d message.Delivery, o message.Outcome) error {
	key := message.KeyOf(tenant, message.KindAnswer, d.ID)
	var rec *ledger.Record
	names := ledger.ReadSet{Records: []message.Key{key}, Tenant: tenant, Bytes: answerWeight}
	err := c.grouped.Update(ctx, names, func(tx ledger.Tx) error {
		if rec = nil; tx.Record(key) != nil {
			return nil
		}
		rec = answerTo(tx, key, tenant, d, o)
		return nil
	})
	if err != nil {
		return fmt.Errorf("write the answer to message %s: %w", d.ID, err)
	}
	if rec == nil {
		return nil
	}
	c.log.Info("answered", "event", "answer", "message_id", d.ID, "type", string(o.Type), "reason", code(o.Reason))
	c.carryOn(ctx, rec, c.env.Monotonic())
	return nil
}

// answerTo puts the document of an answer within an update that has read its key
// and found none.
func answerTo(tx ledger.Tx, key message.Key, tenant string, d message.Delivery, o message.Outcome) *ledger.Record {
	rec := &ledger.Record{Key: key, Kind: message.KindAnswer, Tenant: tenant, ID: d.ID, MessageID: d.ID, Why: o.Reason}
	rec.Times.Published, rec.Times.Received = d.PublishTime, tx.Now()
	o.Tenant, o.MessageID, o.Times = tenant, d.ID, rec.Times
	rec.Append(o, tx.Now())
	tx.PutRecord(rec)
	return rec
}

// Refuse answers a delivery that cannot be decoded. The delivery needs its id
// and nothing else. nil means that the answer is durable.
func (c *Controller) Refuse(ctx context.Context, tenant string, d message.Delivery, r *message.Refusal) error {
	return c.answer(ctx, tenant, d, message.Outcome{
		Type: message.Refused, ClaimedRequestID: r.ClaimedID, Reason: &r.Problems[0], Problems: r.Problems,
	})
}

// answerRepeat tells whoever sends a request again after it has ended how it
// ended: no event of the request itself will come any more.
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
// was to write: the same message would be refused for ever.
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

// Quote says what would happen to a delivery now, and writes nothing. What
// cannot be decoded, and an id in use, are quoted as the refusal they would
// get. The error is the ledger's; Vertex AI is asked only if the ledger does
// not know the resource.
func (c *Controller) Quote(ctx context.Context, tenant string, d message.Delivery) (message.Outcome, error) {
	m, err := message.Decode(d)
	if refusal := (*message.Refusal)(nil); errors.As(err, &refusal) {
		return message.Outcome{Type: message.Refused, Tenant: tenant, MessageID: d.ID, ClaimedRequestID: refusal.ClaimedID,
			Verdict: string(admission.Refuse), Reason: &refusal.Problems[0], Problems: refusal.Problems}, nil
	} else if err != nil {
		return message.Outcome{}, fmt.Errorf("decode message %s: %w", d.ID, err)
	}
	if m.Cancel != nil {
		p := reason.Problem{Code: reason.Unsupported, Detail: "Only a request for a job can be explained; this is a cancel."}
		return message.Outcome{Type: message.Refused, Tenant: tenant, MessageID: d.ID,
			Verdict: string(admission.Refuse), Reason: &p, Problems: []reason.Problem{p}}, nil
	}
	return c.quote(ctx, tenant, d, m)
}

func (c *Controller) quote(ctx context.Context, tenant string, d message.Delivery, m message.Message) (message.Outcome, error) {
	draft := c.draft(tenant, d, m)
	o := message.Outcome{Type: message.Quoted, Tenant: tenant, MessageID: d.ID, ClaimedRequestID: m.Request.RequestID,
		PersistentResource: draft.Resource, DisplayName: draft.DisplayName, Labels: draft.Labels, Warnings: draft.Warnings}
	refuse := func(p *reason.Problem) (message.Outcome, error) {
		o.Verdict, o.Reason = string(admission.Refuse), p
		return o, nil
	}
	if draft.Resource == "" {
		return refuse(draft.Why)
	}
	var res *ledger.Resource
	var now time.Time
	var v verdict
	var buried *reason.Problem // why the request would be cancelled as it comes
	read := func() error {
		names := ledger.ReadSet{Resources: []string{draft.Resource}, Records: []message.Key{draft.Key}}
		return ledger.Read(ctx, c.ledger, names, func(tx ledger.Tx) {
			res, now, v = tx.Resource(draft.Resource), tx.Now(), entered
			buried = nil
			if old := tx.Record(draft.Key); old != nil && old.Tombstone() {
				buried = old.Why
			} else if old != nil {
				v = known(old, draft)
			}
		})
	}
	err := read()
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
	if res == nil {
		// Nothing is promised here, so what a look has just not found need not be
		// looked for again.
		there := false
		if !c.unseen.isAbsent(draft.Resource, c.env.Monotonic()) {
			if there, err = c.exists(ctx, draft.Resource); errors.Is(err, errObserveLater) {
				return o, fmt.Errorf("quote message %s: %w", d.ID, err)
			}
		}
		if err == nil && !there {
			return refuse(admission.Unknown(draft.Paths))
		}
	}
	look := res == nil || now.Sub(res.ObservedAt) > c.cfg.Policy.MaxAge
	if look = look && c.unseen.hasFailed(draft.Resource, c.env.Monotonic()) == nil; look {
		_, look = c.unseen.mayLook(draft.Resource, 2, c.env.Monotonic())
	}
	if look {
		seen, absent, err := c.observe(ctx, draft.Resource, now)
		switch {
		case absent && res == nil:
			return refuse(admission.Unknown(draft.Paths))
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
	draft.Order = ledger.OrderKey(draft.Priority, now, draft.Key)
	ahead := res.Ahead(draft)
	decision := admission.Decide(res.Snapshot(now, ahead), draft.Request(), c.cfg.Policy)
	if res.State == ledger.Absent {
		decision.Fit, decision.ScaleUp = nil, false // by pools that are no longer there
	}
	o.Verdict, o.Reason, o.Fit, o.ScaleUp, o.Ahead = string(decision.Verdict), decision.Reason, decision.Fit, decision.ScaleUp, &ahead
	if !res.ObservedAt.IsZero() {
		seenAt := res.ObservedAt
		o.ObservedAt = &seenAt
	}
	return o, nil
}
