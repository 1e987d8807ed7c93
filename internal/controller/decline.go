package controller

import (
	"context"
	"fmt"
	"slices"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/pace"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// declined records that the present attempt certainly created nothing.
func (c *Controller) declined(ctx context.Context, rec *ledger.Record, d lifecycle.DeclineKind, e *vertex.Error) (*ledger.Record, error) {
	run, attempt := rec.Run, rec.Attempt
	why := &reason.Problem{Code: reason.VertexDeclined, Detail: "Vertex AI refused the job."}
	if d == lifecycle.Transient {
		why.Detail = "Vertex AI refused the job for now; the request keeps its place by age."
	}
	also, pauses := withResource, d == lifecycle.Rate || d == lifecycle.Denied
	if pauses {
		also = withBudget
		c.slots.pause(vertex.NameOf(rec.Resource).Parent(), true)
	}
	var granted []string
	var news, own bool
	after, err := c.update(ctx, rec, also, func(tx ledger.Tx, res *ledger.Resource, rec *ledger.Record) bool {
		recorded := d
		cause := why
		own = false
		if d == lifecycle.Denied {
			if own = outdone(rec, rec.DeniedAt, budgetFor(tx, rec.Resource).ResumedAt); own {
				recorded = lifecycle.Permanent // others are let through: it is about this job after all
			}
			rec.DeniedAt = tx.Now()
		}
		switch {
		case rec.State == lifecycle.Cancelling:
			cause = rec.Why // the cancel is what ends it
		case d == lifecycle.Transient && c.countDecline(tx.Now(), res, rec, e):
			recorded, cause = lifecycle.Permanent, declinedTooLong(rec.Declined)
		case d == lifecycle.Rate:
			cause = c.rateLimited()
		case d == lifecycle.Denied && !own:
			cause = denied()
		}
		if !pauses || own {
			rec.JobError = jobError(rec, e.Code, e.Message)
		}
		if granted, news = nil, false; pauses && !own && res != nil {
			b := budgetFor(tx, rec.Resource)
			news = b.Refused(tx.Now(), c.pace, d == lifecycle.Denied)
			granted = c.putPaused(tx, b, res)
		}
		before := rec.State
		pause := c.ownPause(rec.Declined)
		if pause == 0 && othersWait(res, rec) {
			// They are tried first once the resource's pause is over: a request that is
			// never accepted must not head the queue for a day.
			pause = c.cfg.MaxBackoff + c.cfg.Tick/4
		}
		alone := rec.Declined.Alone > 0
		if before != lifecycle.Submitting || recorded != lifecycle.Transient || !e.Unspecific() {
			pause = 0
		}
		if pause > 0 {
			rec.Parked, rec.RetryAt = true, tx.Now().Add(pause) // before it would join its queue
			if alone {
				cause = refusedAlone(rec)
			}
		}
		if c.move(ctx, tx, res, rec, lifecycle.Decline(run, attempt, recorded, tx.Now()), cause) != lifecycle.Moved {
			return false
		}
		if rec.State != lifecycle.Waiting {
			rec.Parked, rec.RetryAt = false, time.Time{}
		} else if pause > 0 {
			res.HasParked = true
		}
		if before == lifecycle.Submitting && recorded == lifecycle.Transient && !alone {
			res.BackOff(tx.Now(), c.cfg.Backoff, c.cfg.MaxBackoff)
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("record that %s was declined: %w", rec.Key, err)
	}
	if news {
		c.log.ErrorContext(ctx, "Vertex AI does not let Berth submit jobs: submissions in this region are paused until it does",
			"event", "submissions_denied", "region", vertex.NameOf(rec.Resource).Parent(), "code", e.Code)
	}
	c.revoke(ctx, granted)
	c.log.InfoContext(ctx, "declined", "event", "declined", "kind", string(d), "code", e.Code, "attempt", attempt)
	return after, nil
}

// denied is why a request keeps its replicas and is not submitted while Vertex AI
// refuses Berth itself.
func denied() *reason.Problem {
	return &reason.Problem{Code: reason.SubmissionsDenied,
		Detail: "Its replicas are held. Vertex AI does not let Berth submit jobs in this region at present; the request is submitted when it does."}
}

// countDecline counts a transient refusal of a request, and reports whether there
// have been enough to take it for a refusal of the request itself. Without a bound
// a job that Vertex AI never takes would be submitted every minute for as long
// as it may wait.
//
// A refusal counts if it could be about the job ([vertex.Error.Unspecific]) and the
// persistent resource has been RUNNING with the same pools since the refusal before
// it: an outage or a new resource explains the refusals before. The time in which
// the request was not tried, because its pools were full or backing off, does not
// count. Use that Berth cannot observe explains less than what is left.
func (c *Controller) countDecline(now time.Time, res *ledger.Resource, rec *ledger.Record, e *vertex.Error) bool {
	if !e.Unspecific() {
		return false
	}
	r := &rec.Declined
	if steady := res != nil && !res.SteadySince.IsZero() && !res.SteadySince.After(r.Last); r.Times == 0 || !steady {
		*r = ledger.Declined{}
	} else {
		r.For += min(now.Sub(r.Last), c.ownPause(*r)+2*max(c.cfg.MaxBackoff, c.cfg.Tick))
		if r.Alone > 0 || res.AcceptedAt.After(r.Last) {
			r.Alone++
		}
	}
	r.Times, r.Last = r.Times+1, now
	return r.For >= c.cfg.DeclineTimeout
}

// maxOwnPause is the longest pause of one request that Vertex AI goes on refusing.
const maxOwnPause = time.Hour

// ownPause is for how long a request that was refused is not submitted again, beyond
// the pause of its resource. It is zero while no other job is accepted there, because
// then the cause is the service or the resource and may pass at any moment. Otherwise
// it doubles each time.
func (c *Controller) ownPause(r ledger.Declined) time.Duration {
	if r.Alone == 0 {
		return 0
	}
	most := max(c.cfg.MaxBackoff, min(maxOwnPause, c.cfg.DeclineTimeout/24))
	return pace.Double(c.cfg.MaxBackoff, most, r.Alone)
}

// othersWait reports whether requests are queued for a shape that a request asks for.
func othersWait(res *ledger.Resource, rec *ledger.Record) bool {
	if res == nil {
		return false
	}
	waiting := res.Queue.ByShape()
	return slices.ContainsFunc(rec.Ask.Shapes(), func(s capacity.Shape) bool { return waiting[s] > 0 })
}

// refusedAlone is why a request is parked that Vertex AI refuses while it accepts
// others.
func refusedAlone(rec *ledger.Record) *reason.Problem {
	return &reason.Problem{Code: reason.VertexDeclined,
		Detail: fmt.Sprintf("Vertex AI refused the job %d times and accepted others on this persistent resource meanwhile. It is submitted again after %s, or when the pools change.",
			rec.Declined.Times, rec.RetryAt.UTC().Format(time.RFC3339))}
}

func declinedTooLong(r ledger.Declined) *reason.Problem {
	return &reason.Problem{Code: reason.VertexDeclined,
		Detail: fmt.Sprintf("Vertex AI refused the job %d times in %s, while the persistent resource was RUNNING and, as far as can be seen, had room for it.", r.Times, r.For.Round(time.Minute)),
		Fix:    "Vertex AI's message is in error. Fix the job, and send it again under a new id."}
}

// Bounds of what is tried for a request whose submission does not come to a job
// and is not refused for what the job is.
const (
	// maxOutdone is how often Vertex AI may accept others meanwhile. Then the trouble is the request's own.
	maxOutdone = 3
	// maxRounds is how many runs there are at most, of twenty minutes and more each:
	// longer than an outage of a night, but not without end.
	maxRounds = 50
)

// outdone counts whether Vertex AI has accepted another's job since a request was
// last tried, and reports whether it has done so too often.
func outdone(rec *ledger.Record, since, accepted time.Time) bool {
	if !since.IsZero() && accepted.After(since) {
		rec.Outdone++
	}
	return rec.Outdone >= maxOutdone
}
