package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/reason"
)

// place decides a record that is new or waiting and moves it accordingly. It
// reports whether the resource document has to be put.
func (c *Controller) place(ctx context.Context, tx ledger.Tx, res *ledger.Resource, rec *ledger.Record) bool {
	return c.placeBy(ctx, tx, res, rec, admission.Decide)
}

// placeBy is place with a decision that knows more than the snapshot.
func (c *Controller) placeBy(ctx context.Context, tx ledger.Tx, res *ledger.Resource, rec *ledger.Record, decide func(admission.Snapshot, admission.Ask, admission.Policy) admission.Decision) bool {
	version := res.Version
	if len(rec.Unpublished()) > maxUnpublished || rec.UnpublishedWeight() > maxUnpublishedBytes {
		return false // its events are not published; they must not outgrow its document
	}
	request, sequence := rec.Request(), rec.Sequence
	rules := c.policyOf(res.Name)
	d := decide(res.Snapshot(tx.Now()), request, rules)
	rec.Ahead, rec.StartsBy = d.Ahead, d.StartsBy
	if rec.Fit, rec.ScaleUp = d.Fit, d.ScaleUp; res.State == ledger.Absent {
		rec.Fit, rec.ScaleUp = nil, false // by pools that are no longer there
	}
	if _, left := res.Holds[rec.Key]; left && d.Verdict == admission.Admit {
		// A hold of an earlier run that no move has left. Its job may be live, and a
		// second hold under the key would take the place of the first.
		d.Verdict, d.Reason = admission.Wait, &reason.Problem{Code: reason.Full,
			Detail: "Replicas are still held for an earlier run of this request; it starts when they are given back."}
		d.Plan = nil // it is made for the start
	}
	if d.Plan != nil { // else it would make plans for an arrival that needs none
		d.Advise(res.Snapshot(tx.Now()), request, rules)
	}
	parked := d.Contradicted || slices.ContainsFunc(d.Fit, func(f capacity.Finding) bool { return f.Verdict == capacity.Never })
	switch d.Verdict {
	case admission.Admit:
		// Admission and the right to submit in one commit: the usual case costs
		// no second one. Otherwise it waits for a submission slot, and stays easy to cancel.
		admitted := lifecycle.Admit(c.env.NewRun())
		rec.StartBy, rec.StartsBy = d.By, time.Time{}
		// A tenant with a share of the submissions asks the budget, which counts them.
		if c.submissionShare(rec.Tenant) == 0 && res.Allowance.Take(tx.Now()) {
			c.move(ctx, tx, res, rec, admitted, nil)
			c.move(ctx, tx, res, rec, c.lease(tx, rec), nil)
		} else {
			c.move(ctx, tx, res, rec, admitted, c.rateLimited())
		}
		rec.ContradictedSince, rec.Parked, rec.RetryAt = time.Time{}, false, time.Time{}
	case admission.Refuse:
		c.move(ctx, tx, res, rec, lifecycle.Refuse(), d.Reason)
	case admission.Wait:
		switch {
		case rec.State != lifecycle.Waiting:
			rec.Parked = parked
			c.warnOfLimit(rec)
			c.move(ctx, tx, res, rec, lifecycle.Defer(), d.Reason)
		case parked && !rec.Parked:
			res.Leave(rec)
			rec.Parked = true
			c.waitsOn(ctx, tx, res, rec, d.Reason)
		case !parked && rec.Parked: // back in the queue, at its old place
			rec.Parked, rec.RetryAt = false, time.Time{}
			res.Join(rec)
			c.waitsOn(ctx, tx, res, rec, d.Reason)
		default:
			c.waitsOn(ctx, tx, res, rec, d.Reason)
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
	// The plan holds for what is stored only if no other request of it is left to a pass.
	if d.Plan != nil && d.Verdict != admission.Refuse && d.Plan.Only(request) {
		res.Reserve(d.Plan.Reserved)
	}
	if rec.State == lifecycle.Waiting && rec.Sequence != sequence {
		res.Announced(rec.Key, rec.StartsBy)
	}
	return res.Version != version
}

// warnOfLimit warns of a job that has to wait and sets no time limit.
func (c *Controller) warnOfLimit(rec *ledger.Record) {
	path := rec.Paths.At("jobSpec.scheduling.timeout")
	if !rec.UnsetTimeout || c.cfg.Policy.Plan.NoBackfill || slices.ContainsFunc(rec.Warnings, func(p reason.Problem) bool { return p.Path == path }) {
		return
	}
	rec.Warnings = append(slices.Clone(rec.Warnings), reason.Problem{Code: reason.Warning, Path: path,
		Detail: "The job sets no time limit, so it counts as one that may run for Vertex AI's 7 days.",
		Fix:    "Set " + path + ". A short one lets the job start earlier."})
}

// maxUnpublished is how many unpublished outbox events a waiting request may have and still be
// submitted: while the outcome topic is out of reach, one that Vertex AI declines
// again and again would gather outbox events without bound.
const maxUnpublished = 20

// maxUnpublishedBytes bounds the same by size, in bytes.
const maxUnpublishedBytes = 64 << 10

// lease is the move that gives a new attempt its time.
func (c *Controller) lease(tx ledger.Tx, rec *ledger.Record) lifecycle.Move {
	return lifecycle.Lease(rec.Run, tx.Now().Add(c.cfg.SubmitTimeout))
}

// waitsOn notes why a waiting request goes on waiting, and appends an event if the
// reason is another. A pause after a decline and an observation that is too old pass by
// themselves within minutes; they do not replace a reason that says more.
func (c *Controller) waitsOn(ctx context.Context, tx ledger.Tx, res *ledger.Resource, rec *ledger.Record, why *reason.Problem) {
	old := code(rec.Why)
	switch {
	case why == nil || old == string(why.Code):
	case old != "" && (why.Code == reason.BackingOff || why.Code == reason.ObservationTooOld):
	case rec.Renotified >= maxRetold:
		rec.Why = why
	default:
		rec.Renotified++
		c.move(ctx, tx, res, rec, lifecycle.ChangeReason(), why)
	}
}

// A waiting request gets a new reason by another queued event. What counts
// as new is the reason's code: numbers that change are no news, and are shown by
// Status as they are at the moment.

// maxRetold bounds such events per request: a resource that comes and goes must
// not make events without end. Beyond it the reason is only stored.
const maxRetold = 20

// Admitted requests of a resource without an allowance stay RESERVED until they get
// a submission slot: when another request has just been admitted, and in every pass.
// The rules are package pace's.

// rateLimited is why an admitted request is not submitted yet.
func (c *Controller) rateLimited() *reason.Problem {
	return &reason.Problem{Code: reason.RateLimited,
		Detail: fmt.Sprintf("Its replicas are held. %d jobs a minute are submitted in this region, in order of priority and age.", c.cfg.Submissions)}
}
