package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// Handle takes in one delivery of a tenant's topic. When it returns nil, the
// request or the answer to it is durable and the message may be acknowledged.
// An error means that nothing is promised and Pub/Sub should deliver again.
//
// A request whose own document, or whose resource's, cannot be read is not taken:
// its delivery comes again until a release that can read it runs.
func (c *Controller) Handle(ctx context.Context, tenant string, d message.Delivery) error {
	err := c.handle(ctx, tenant, d)
	c.leftAlone(err, nil)
	return err
}

func (c *Controller) handle(ctx context.Context, tenant string, d message.Delivery) error {
	started := c.env.Monotonic()
	m, err := message.Decode(d)
	if refusal := (*message.Refusal)(nil); errors.As(err, &refusal) {
		return c.Refuse(ctx, tenant, d, refusal)
	} else if err != nil {
		return fmt.Errorf("decode message %s: %w", d.ID, err)
	}
	if m.Cancel != nil {
		return c.cancel(ctx, tenant, d, *m.Cancel)
	}
	if m.Request.DryRun {
		q, err := c.quote(ctx, tenant, d, m)
		if err != nil {
			return err
		}
		return c.answer(ctx, tenant, d, q)
	}
	rec := c.draft(tenant, d, m)
	if rec.Resource == "" {
		return c.refuse(ctx, d, rec)
	}
	return c.enter(ctx, d, rec, started)
}

// draft makes the record that a request starts with. Its Resource is empty,
// and Why set, if it names none that is served here.
func (c *Controller) draft(tenant string, d message.Delivery, m message.Message) *ledger.Record {
	r := m.Request
	rec := &ledger.Record{
		Kind: message.KindRequest, Tenant: tenant, ID: r.RequestID, MessageID: d.ID, Fingerprint: m.Fingerprint,
		DisplayName: r.Job.GetDisplayName(), Labels: r.Job.GetLabels(),
		Ask: message.AskOf(r.Job, c.cfg.DiskType), UnsetDisks: message.UnsetDisks(r.Job),
		Network: r.Job.GetJobSpec().GetNetwork(), EncryptionKey: r.Job.GetEncryptionSpec().GetKmsKeyName(),
		ServiceAccount: r.Job.GetJobSpec().GetServiceAccount(),
		Priority:       r.Priority, OnFull: r.OnFull, MaxWait: r.MaxWait,
		Timeout: defaultTimeout, Warnings: r.Warnings, Paths: r.Paths,
	}
	if rec.ID == "" {
		rec.Kind, rec.ID = message.KindMessage, d.ID
	}
	rec.Key = message.KeyOf(tenant, rec.Kind, rec.ID)
	rec.Times.Published = d.PublishTime
	if rec.MaxWait == 0 {
		rec.MaxWait = c.cfg.MaxWait
	}
	if t := r.Job.GetJobSpec().GetScheduling().GetTimeout(); t.AsDuration() > 0 {
		rec.Timeout = t.AsDuration()
	}
	if rec.DisplayName == "" {
		rec.DisplayName = rec.ID
	}
	rec.Resource, rec.Why = c.resolve(r.PersistentResource, r.Paths)
	rec.NamedInFull = strings.Contains(r.PersistentResource, "/")
	spec, err := r.JobJSON()
	if err != nil { // cannot happen: Decode made it
		panic(fmt.Sprintf("controller: decoded job does not encode: %v", err))
	}
	rec.Spec = string(spec)
	return rec
}

// defaultTimeout is Vertex AI's for a job that sets none (field comment of
// Scheduling.timeout).
const defaultTimeout = 7 * 24 * time.Hour

// verdict of an entry, for what comes after its commit.
type verdict int

const (
	entered    verdict = iota
	duplicate          // the same request again: nothing to do
	repeated           // the same request again, by another message, after it has ended
	reused             // its id belongs to another request
	unobserved         // nothing is known of the resource, or it was not looked at lately
)

// enter decides a new request and, if it was admitted, submits it.
func (c *Controller) enter(ctx context.Context, d message.Delivery, draft *ledger.Record, started time.Time) error {
	v, rec, err := c.decide(ctx, draft, false)
	if err == nil && v == unobserved {
		// Ask Vertex AI outside the update, then decide on what was written. If it
		// cannot be asked, the request waits for an observation.
		absent, lookErr := c.refresh(ctx, draft.Resource)
		if absent {
			draft.Why = admission.Unknown(draft.Paths)
			return c.refuse(ctx, d, draft)
		}
		if lookErr != nil {
			c.log.Warn("cannot look at persistent resource", "event", "observe_failed", "resource", draft.Resource, "error", lookErr)
		}
		started = c.env.Monotonic()
		if v, rec, err = c.decide(ctx, draft, true); err == nil && v == unobserved {
			// Not even its name is known to be one. A document for every name that
			// somebody makes up while Vertex AI cannot be asked would stay for good.
			return fmt.Errorf("message %s names a resource that nobody has seen: %w", d.ID, cmp.Or(lookErr, errors.New("its document is gone")))
		}
	}
	switch {
	case tooLarge(err, rec):
		return c.answerTooLarge(ctx, d, draft)
	case err != nil:
		return fmt.Errorf("decide message %s: %w", d.ID, err)
	case v == duplicate:
		return nil
	case v == repeated:
		return c.answerRepeat(ctx, d, rec)
	case v == reused:
		return c.answerReuse(ctx, d, draft)
	}
	c.log.Info("decided", "event", "decision", "message_id", d.ID, "request_key", string(rec.Key),
		"resource", rec.Resource, "state", string(rec.State), "reason", code(rec.Why), "replicas", int64(rec.Ask.Replicas()))
	c.carryOn(ctx, rec, started)
	return nil
}

// decide is the one atomic update of a new request, together with others that
// are here for the same resource. With blind it decides even
// on an old observation: the request then waits.
func (c *Controller) decide(ctx context.Context, draft *ledger.Record, blind bool) (v verdict, rec *ledger.Record, err error) {
	names := ledger.ReadSet{Resources: []string{draft.Resource}, Records: []message.Key{draft.Key}, Tenant: draft.Tenant, Bytes: draft.Weight()}
	err = c.grouped.Update(ctx, names, func(tx ledger.Tx) error {
		v, rec = entered, nil
		old := tx.Record(draft.Key)
		if old != nil && !old.Tombstone() {
			v, rec = known(old, draft), old
			return nil
		}
		if old != nil {
			rec = c.received(tx, draft)
			c.cancelOnArrival(tx, old, rec)
			tx.PutRecord(rec)
			return nil
		}
		res := tx.Resource(draft.Resource)
		if res == nil || !blind && tx.Now().Sub(res.ObservedAt) > c.cfg.Policy.MaxAge {
			v = unobserved
			return nil
		}
		rec = c.received(tx, draft)
		if c.place(tx, res, rec) {
			tx.PutResource(res)
		}
		tx.PutRecord(rec)
		return nil
	})
	return v, rec, err
}

// received is a draft that comes in now.
func (c *Controller) received(tx ledger.Tx, draft *ledger.Record) *ledger.Record {
	rec := draft.Clone()
	rec.Times.Received = tx.Now()
	rec.Order = ledger.OrderKey(rec.Priority, tx.Now(), rec.Key)
	return rec
}

// known says what a request is whose id is taken.
func known(old, draft *ledger.Record) verdict {
	// Earlier releases wrote tombstones as CANCELLED records with an event of
	// their own and without a fingerprint: the request is answered already.
	if old.Fingerprint != "" && old.Fingerprint != draft.Fingerprint {
		return reused
	}
	// A fingerprint has the id of the persistent resource. A region that one of the
	// two names is content as well; that of an id alone is the deployment's.
	if old.Resource != draft.Resource && (old.NamedInFull || draft.NamedInFull) && old.Fingerprint != "" {
		return reused
	}
	// A fingerprint takes a disk type that is not set for Vertex AI's documented
	// default. Where the deployment takes another, the two are different content.
	if !slices.Equal(old.UnsetDisks, draft.UnsetDisks) && !slices.Equal(old.Ask, draft.Ask) && old.Fingerprint != "" {
		return reused
	}
	if old.State.Terminal() && old.Fingerprint != "" && old.MessageID != draft.MessageID {
		return repeated
	}
	return duplicate
}

// place decides a record that is new or waiting and moves it accordingly. It
// reports whether the resource document has to be put.
func (c *Controller) place(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record) bool {
	version := res.Version
	if len(rec.Unpublished()) > maxUnpublished || rec.UnsentWeight() > maxUnsentBytes {
		return false // nothing is heard of it; its story must not outgrow its document
	}
	rec.Ahead = res.Ahead(rec)
	d := admission.Decide(res.Snapshot(tx.Now(), rec.Ahead), rec.Request(), c.cfg.Policy)
	if rec.Fit, rec.ScaleUp = d.Fit, d.ScaleUp; res.State == ledger.Absent {
		rec.Fit, rec.ScaleUp = nil, false // by pools that are no longer there
	}
	if _, left := res.Holds[rec.Key]; left && d.Verdict == admission.Admit {
		// A hold of an earlier run that no move has left. Its job may be live, and a
		// second hold under the key would take the place of the first.
		d.Verdict, d.Reason = admission.Wait, &reason.Problem{Code: reason.Full,
			Detail: "Machines are still held for an earlier run of this request; it starts when they are given back."}
	}
	parked := d.Contradicted || slices.ContainsFunc(d.Fit, func(f capacity.Finding) bool { return f.Verdict == capacity.Never })
	switch d.Verdict {
	case admission.Admit:
		// Admission and the right to submit in one commit: the usual case costs
		// no second one. Otherwise it waits for a submission slot, and stays easy to cancel.
		admitted := lifecycle.Admit(c.env.NewRun())
		if res.Allowance.Take(tx.Now()) {
			c.move(tx, res, rec, admitted, nil)
			c.move(tx, res, rec, c.lease(tx, rec), nil)
		} else {
			c.move(tx, res, rec, admitted, c.rateLimited())
		}
		rec.ContradictedSince, rec.Parked, rec.RetryAt = time.Time{}, false, time.Time{}
	case admission.Refuse:
		c.move(tx, res, rec, lifecycle.Refuse(), d.Reason)
	case admission.Wait:
		switch {
		case rec.State != lifecycle.Waiting:
			rec.Parked = parked
			c.move(tx, res, rec, lifecycle.Defer(), d.Reason)
		case parked && !rec.Parked:
			res.Leave(rec)
			rec.Parked = true
			c.waitsOn(tx, res, rec, d.Reason)
		case !parked && rec.Parked: // back in the queue, at its old place
			rec.Parked, rec.RetryAt = false, time.Time{}
			res.Join(rec)
			c.waitsOn(tx, res, rec, d.Reason)
		default:
			c.waitsOn(tx, res, rec, d.Reason)
		}
		res.HasParked = res.HasParked || parked
		if !d.Contradicted {
			// An old observation shows nothing: it must not begin the count anew.
			if d.Reason.Code != reason.ObservationTooOld {
				rec.ContradictedSince = time.Time{}
			}
		} else if rec.ContradictedSince.IsZero() {
			rec.ContradictedSince = tx.Now()
		}
		rec.TimerAt = c.nextTimer(rec, tx.Now())
	}
	return res.Version != version
}

// maxUnsent is how many unpublished outbox events a waiting request may have and still be
// submitted: while the outcome topic is out of reach, one that Vertex AI declines
// again and again would gather outbox events without bound.
const maxUnpublished = 20

// maxUnsentBytes bounds the same by size.
const maxUnsentBytes = 64 << 10

// lease is the move that gives a new attempt its time.
func (c *Controller) lease(tx ledger.Tx, rec *ledger.Record) lifecycle.Move {
	return lifecycle.Lease(rec.Run, tx.Now().Add(c.cfg.SubmitTimeout))
}

// refuse writes a request down as rejected, without a resource: it names none
// that could be asked. draft.Why says why.
func (c *Controller) refuse(ctx context.Context, d message.Delivery, draft *ledger.Record) error {
	var v verdict
	var rec *ledger.Record
	names := ledger.ReadSet{Records: []message.Key{draft.Key}, Tenant: draft.Tenant, Bytes: draft.Weight()}
	err := c.grouped.Update(ctx, names, func(tx ledger.Tx) error {
		v, rec = entered, nil
		old := tx.Record(draft.Key)
		if old != nil && !old.Tombstone() {
			v, rec = known(old, draft), old
			return nil
		}
		rec = c.received(tx, draft)
		if old != nil {
			c.cancelOnArrival(tx, old, rec)
		} else {
			c.move(tx, nil, rec, lifecycle.Refuse(), draft.Why)
		}
		tx.PutRecord(rec)
		return nil
	})
	switch {
	case tooLarge(err, rec):
		return c.answerTooLarge(ctx, d, draft)
	case err != nil:
		return fmt.Errorf("refuse message %s: %w", d.ID, err)
	case v == duplicate:
		return nil
	case v == repeated:
		return c.answerRepeat(ctx, d, rec)
	case v == reused:
		return c.answerReuse(ctx, d, draft)
	}
	c.carryOn(ctx, rec, c.env.Monotonic())
	return nil
}

// carryOn does what comes after a record's commit, as far as this instance
// gets: nothing here can fail the message any more. started is when the update
// that wrote the record began, on the monotonic clock.
func (c *Controller) carryOn(ctx context.Context, rec *ledger.Record, started time.Time) {
	rec = c.finish(ctx, rec, started)
	if rec.State == lifecycle.Reserved {
		if err := c.requestSlot(ctx, rec); err != nil {
			c.log.Warn("turn left to reconcile", "event", "slot_failed", "request_key", string(rec.Key), "error", err)
		}
	}
}

// finish submits a record that has its submission slot, and sends its letters. It returns
// the record as it is then.
func (c *Controller) finish(ctx context.Context, rec *ledger.Record, started time.Time) *ledger.Record {
	if rec.State == lifecycle.Submitting {
		after, err := c.submit(ctx, rec, started)
		if err != nil {
			c.log.Warn("submission left to reconcile", "event", "submit_failed", "request_key", string(rec.Key), "error", err)
		}
		if after != nil {
			rec = after
		}
	}
	c.publishOrLeave(ctx, rec)
	return rec
}

// tell sends the outbox events of records; what cannot be sent is left to a pass.
func (c *Controller) publishOrLeave(ctx context.Context, recs ...*ledger.Record) {
	if err := c.publish(ctx, recs...); err != nil {
		c.log.Warn("outcome left to reconcile", "event", "publish_failed", "request_key", string(recs[0].Key), "records", len(recs), "error", err)
	}
}

func code(p *reason.Problem) string {
	if p == nil {
		return ""
	}
	return string(p.Code)
}
