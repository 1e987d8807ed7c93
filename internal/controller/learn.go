package controller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/logctx"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// learn makes the moves that a classified observation calls for: jobs that run, jobs that
// were created but never recorded, jobs that are over, orphan jobs.
func (c *Controller) learn(ctx context.Context, s classified, p *progress) error {
	p.Unheld += len(s.unheld)
	var news, missing []message.Key
	for _, key := range slices.Sorted(maps.Keys(s.res.Holds)) {
		h := s.res.Holds[key]
		job, live := s.ours[key]
		switch {
		case h.Pending: // not submitted
		case !live && c.unreadable.known(key, c.env.Monotonic()): // it keeps what it holds
		case !live:
			missing = append(missing, key) // not in the list proves nothing: ask
		case s.unnamed[key] || job.State.Ran() && !h.Ran:
			news = append(news, key) // of all others there is nothing to learn while they are listed
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.unheld)) {
		if _, held := s.res.Holds[key]; !held {
			news = append(news, key)
		}
	}
	first := c.firstOf(len(missing), s.res.ObservedAt)
	missing = slices.Concat(missing[first:], missing[:first])
	// Orphan jobs come last: the job of a live reservation is recorded by then. In another
	// order a job that a reservation is about to name is cancelled.
	return errors.Join(c.applyAll(ctx, s, news, s.ours, p), c.getMissing(ctx, s, missing, p), c.cancelOrphans(ctx, s.orphans, p))
}

// getMissing asks about jobs that are not among the live ones.
func (c *Controller) getMissing(ctx context.Context, s classified, keys []message.Key, p *progress) error {
	var errs []error
	for part := range slices.Chunk(keys, perUpdate) {
		var recs []*ledger.Record
		var known []message.Key // those of part that can be read
		err := ledger.Read(ctx, c.ledger, ledger.Records(part...), func(tx ledger.Tx) {
			recs, known = nil, nil
			for _, key := range part {
				if c.readable(ctx, tx, key, p) { // else it may hold what it holds
					recs, known = append(recs, tx.Record(key)), append(known, key)
				}
			}
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("read %d records of %s: %w", len(part), s.res.Name, err))
			continue
		}
		jobs := map[message.Key]vertex.Job{}
		var found []message.Key
		for i, rec := range recs {
			if rec == nil || rec.Run != s.res.Holds[known[i]].Run || !rec.State.Holds() {
				if err := c.freeLeakedHold(ctx, s.res.Name, known[i]); !c.leftAlone(ctx, err, p) {
					errs = append(errs, err)
				}
				if rec == nil || !rec.State.Holds() {
					continue // else its own job is asked about nevertheless
				}
			}
			if rec.Reservation.Job == "" {
				continue // being submitted
			}
			if p.calls[vertex.NameOf(s.res.Name).Parent()] >= c.cfg.Polls/3 {
				p.more = true // hundreds have ended at once: the others in the next pass
				continue
			}
			p.called(vertex.NameOf(s.res.Name).Parent(), 1)
			job, err := c.vertex.Get(ctx, rec.Reservation.Job)
			switch {
			case vertex.KindOf(err) == vertex.NotFound && err != nil:
				p.called(vertex.NameOf(s.res.Name).Parent(), 1)
				if job, err = c.confirmGone(ctx, rec); err != nil {
					errs = append(errs, err)
					continue
				}
			case err != nil:
				errs = append(errs, fmt.Errorf("get %s: %w", rec.Reservation.Job, err))
				continue
			}
			jobs[rec.Key] = job
			found = append(found, rec.Key)
		}
		errs = append(errs, c.applyAll(ctx, s, found, jobs, p))
	}
	return errors.Join(errs...)
}

// confirmGone asks a second way for a job that Vertex AI says it does not have,
// because a job that is gone ends its request: one wrong answer must not. It returns
// the job, without a state if it is gone.
func (c *Controller) confirmGone(ctx context.Context, rec *ledger.Record) (vertex.Job, error) {
	jobs, err := c.vertex.Find(ctx, vertex.NameOf(rec.Resource).Parent(), rec.Run)
	if err != nil {
		return vertex.Job{}, fmt.Errorf("confirm that %s is gone: %w", rec.Reservation.Job, err)
	}
	for _, job := range jobs {
		if job.Name == rec.Reservation.Job {
			return job, nil
		}
	}
	return vertex.Job{Name: rec.Reservation.Job, Run: rec.Run, Request: rec.Key}, nil
}

// freeLeakedHold gives back a hold whose request does not hold, in any state and for
// any run: no move leaves one, but a manual edit or a restore can. The hold of a request
// that holds for another run stays, because the job of either run may be live; only
// an operator can say which is right.
func (c *Controller) freeLeakedHold(ctx context.Context, resource string, key message.Key) error {
	ctx = logctx.With(onResource(ctx, resource), slog.String("request_key", string(key)))
	freed, kept := false, false
	err := c.ledger.Update(ctx, ledger.Resources(resource).And(ledger.Records(key)), func(tx ledger.Tx) error {
		freed, kept = false, false
		res, rec := tx.Resource(resource), tx.Record(key)
		if res == nil {
			return nil
		}
		if _, held := res.Holds[key]; !held {
			return nil
		}
		if rec != nil && rec.State.Holds() {
			kept = !res.Holding(rec) || rec.Resource != resource
			return nil
		}
		res.Release(key)
		tx.Put(res)
		freed = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("free leaked hold %s on %s: %w", key, resource, err)
	}
	switch {
	case freed:
		c.log.ErrorContext(ctx, "freed a hold that no request holds: this is a bug, please report it",
			"event", "leaked_hold")
	case kept:
		c.log.ErrorContext(ctx, "a hold is for another run than its request has now; it stays until berth repair leaked-holds has run",
			"event", "hold_mismatch")
	}
	return nil
}

// applyAll stores what was observed of some jobs, in as few updates as the size of a
// commit allows, and publishes the events.
func (c *Controller) applyAll(ctx context.Context, s classified, keys []message.Key, jobs map[message.Key]vertex.Job, p *progress) error {
	var errs []error
	for len(keys) > 0 {
		part := keys[:min(perUpdate, len(keys))]
		done := 0
		var moved []*ledger.Record
		names := ledger.Resources(s.res.Name).And(ledger.Records(part...))
		err := c.ledger.Update(ctx, names, func(tx ledger.Tx) error {
			moved, done = nil, 0
			res := tx.Resource(s.res.Name)
			if res == nil {
				done = len(part)
				return nil // lost since the observation; a later one rebuilds it
			}
			before, bytes := res.Version, 0
			for _, key := range part {
				if bytes >= commitBytes {
					break // the others in another commit
				}
				done++
				if !c.readable(ctx, tx, key, p) {
					continue
				}
				rec := tx.Record(key)
				if rec != nil && c.apply(ctx, tx, res, rec, jobs[key]) {
					tx.Put(rec)
					moved = append(moved, rec)
					bytes += rec.Weight()
				}
				if jobs[key].CreateTime.After(res.AcceptedAt) {
					res.AcceptedAt = jobs[key].CreateTime // stored when the resource is
				}
				if jobs[key].State.Ran() {
					latestEnd := time.Time{}
					if rec != nil {
						latestEnd = tx.Now().Add(rec.Timeout)
					}
					res.SawRun(key, jobs[key].Run, latestEnd)
				}
			}
			if res.Version != before {
				tx.Put(res)
			}
			return nil
		})
		if err != nil {
			keys = keys[len(part):]
			errs = append(errs, fmt.Errorf("note the state of %d jobs of %s: %w", len(part), s.res.Name, err))
			continue
		}
		keys = keys[done:]
		p.Learned += len(moved)
		for _, rec := range moved {
			c.gaveBack(rec)
			if rec.State == lifecycle.Submitted {
				c.resumed(ctx, vertex.NameOf(rec.Resource).Parent()) // its create was done and not answered
			}
			c.sendCancel(withRecord(ctx, rec), rec)
		}
		// The replicas that came free are scheduled meanwhile. What is not published now
		// is published late.
		if len(moved) > 0 {
			p.tasks.start(ctx, "events of "+string(moved[0].Key), "", p, func(*progress) error { return c.publish(ctx, moved...) })
		}
	}
	return errors.Join(errs...)
}

// cancelOrphans cancels jobs of ours that no reservation names. It reads their records
// first: another instance may have recorded one of them since the observation.
func (c *Controller) cancelOrphans(ctx context.Context, orphans []vertex.Job, p *progress) error {
	var errs []error
	for part := range slices.Chunk(orphans, perUpdate) {
		var keys []message.Key
		for _, job := range part {
			keys = append(keys, job.Request)
		}
		recs := map[message.Key]*ledger.Record{}
		err := ledger.Read(ctx, c.ledger, ledger.Records(keys...), func(tx ledger.Tx) {
			for _, key := range keys {
				recs[key] = tx.Record(key)
			}
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("read the records of %d orphan jobs: %w", len(part), err))
			continue
		}
		for _, job := range part {
			if !isOrphan(recs[job.Request], job) {
				continue
			}
			ctx := logctx.With(ctx, slog.String("request_key", string(job.Request)))
			c.log.WarnContext(ctx, "cancelling a job that its reservation does not name", "event", "orphan_job", "job", job.Name)
			if err := c.vertex.Cancel(ctx, job.Name); err != nil && vertex.KindOf(err) != vertex.NotFound {
				errs = append(errs, fmt.Errorf("cancel orphan job %s: %w", job.Name, err))
				continue
			}
			p.Orphans++
		}
	}
	return errors.Join(errs...)
}
