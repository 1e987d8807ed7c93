package controller

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// A classified observation is an observation as the ledger understood it.
type classified struct {
	res     *ledger.Resource
	orphans []vertex.Job               // ours, live, and named by no reservation
	ours    map[message.Key]vertex.Job // live jobs by the hold that names their run
	// unnamed are those of them that their reservation does not name yet.
	unnamed map[message.Key]bool
	// unheld are live jobs of reservations that hold and whose hold is missing, or
	// is for another run: no move leaves this, but a manual edit or a restore can.
	// They count as foreign use until the hold is there again.
	unheld map[message.Key]vertex.Job
	// overstay are the requests whose jobs were found to run beyond their limits.
	overstay []message.Key
	// drained is the answer to the drain that has just ended; nil for none.
	drained *ledger.Record
	// older says that the ledger has a newer observation, so nothing was written and the
	// jobs were not classified.
	older bool
}

// saveObservation stores an observation: the resource as it is, and which of its live jobs
// are foreign. A commit here only learns, so it may leave a resource
// overdrawn.
func (c *Controller) saveObservation(ctx context.Context, name string, v observation) (s classified, err error) {
	var named []message.Key // records read, to know orphan jobs from foreign jobs
	var learning []string   // tenants whose histories are read, because jobs of theirs have ended
	var adding bool         // whether the document of its usage is read, because sums are to go there
	for {
		var needed []message.Key        // records to be read as well
		var due []string                // and histories of tenants
		var dueUsage bool               // and the document of its usage
		var unread map[message.Key]bool // of live jobs with our labels; true for those that hold here
		names := ledger.Resources(name).And(ledger.Records(named...), ledger.Histories(learning...), ledger.Budgets(vertex.NameOf(name).Parent()))
		if adding {
			names = names.And(ledger.Usages(name))
		}
		err = c.ledger.Update(ctx, names, func(tx ledger.Tx) error {
			unread = map[message.Key]bool{}
			s, needed = classified{ours: map[message.Key]vertex.Job{}, unnamed: map[message.Key]bool{}, unheld: map[message.Key]vertex.Job{}}, nil
			due, dueUsage = nil, false
			res := tx.Resource(name)
			if res == nil {
				res = &ledger.Resource{Name: name}
			}
			if v.at.Before(res.ObservedAt) {
				s.res, s.older = res, true // another observation was faster
				return nil
			}
			before := res.Clone()
			res.ClearForeign()
			// Waiting requests that could not be read take part again once they can be.
			for key := range res.Skipped {
				switch {
				case !slices.Contains(named, key):
					if len(needed) < perUpdate && named == nil {
						needed = append(needed, key)
					}
				case tx.Unreadable(ledger.RecordRef(key)) == nil:
					res.Unskip(key)
				}
			}
			for _, job := range v.live {
				h, held := res.Holds[job.Request]
				present := held && h.Run == job.Run
				switch {
				case present && h.Job == job.Name:
					s.ours[job.Request] = job
				case job.Request == "" || job.Run == "":
					res.AddForeign(job.Name, job.Ask, job.LatestEnd())
				case slices.Contains(named, job.Request):
					s.classify(tx, res, job, v.at)
				case len(named) < 2*perUpdate:
					unread[job.Request] = held
				case present && h.Job == "":
					s.ours[job.Request] = job // so it seems; a later pass reads its record
				default:
					res.AddForeign(job.Name, job.Ask, job.LatestEnd())
				}
			}
			if res.Paused.Draining() && !slices.Contains(named, drainKey(res)) {
				needed = append(needed, drainKey(res)) // read before anything is put: an update that puts a part would be committed
			}
			needed = append(needed, someOf(unread, 2*perUpdate-len(named)-len(needed), v.at)...)
			if c.cfg.Estimates && learning == nil {
				due = res.DueEnded(tx.Now(), learnTenants)
			}
			dueUsage = !adding && res.Usage.Due(v.at)
			if needed != nil || due != nil || dueUsage {
				return nil // the update runs again with these documents read
			}
			c.learnRunTimes(ctx, tx, res, learning)
			v.onto(res)
			for key, job := range s.ours {
				if res.Overstay(key, tx.Now()) {
					s.overstay = append(s.overstay, key)
				}
				if job.CreateTime.After(res.AcceptedAt) {
					res.AcceptedAt = job.CreateTime
				}
			}
			var anew bool
			if res.Recheck, anew = concerns(before, res, tx.Now().Sub(before.ObservedAt) > c.cfg.Policy.MaxAge); anew {
				res.Restarts++
			}
			markSuspected(res, v)
			res.Recompute()
			res.AddUsage()
			if c.policies.latest() != nil { // else it is not known whether there are shares
				res.AddUsed(res.ObservedAt, c.policyOf(name).Plan.Quotas.Shared())
			}
			if book := c.policies.latest(); book != nil {
				res.TellPauses(book.pauses)
			}
			c.moveUsage(ctx, tx, res, adding)
			if !maps.Equal(before.Use(), res.Use()) {
				res.Version++
			}
			// Without a budget that can be read nothing is submitted in the region. Its
			// jobs are observed nevertheless.
			if bad := tx.Unreadable(ledger.BudgetRef(vertex.NameOf(name).Parent())); bad != nil {
				c.reportUnreadable(ctx, nil, bad)
			} else if b := budgetFor(tx, name); c.allow(tx.Now(), b, res) {
				tx.Put(b)
			}
			if res.Paused.Draining() && res.Empty() {
				s.drained = c.drained(ctx, tx, res, drainKey(res))
			}
			s.res = res
			tx.Put(res)
			return nil
		})
		if err != nil {
			return s, fmt.Errorf("record the observation of %s: %w", name, err)
		}
		if needed == nil && due == nil && !dueUsage {
			c.reportUnheld(onResource(ctx, name), s.unheld)
			for _, key := range s.overstay {
				c.log.WarnContext(onResource(ctx, name), "a job runs beyond its time limit; when it ends is not known, and requests may start later than promised",
					"event", "job_overstays", "request_key", string(key))
			}
			return s, nil
		}
		learning, adding = append(learning, due...), adding || dueUsage
		slices.Sort(needed)
		named = append(named, slices.Compact(needed)...)
	}
}

// someOf returns at most n of the keys: first those that are true, and of equals
// others at each moment. Otherwise jobs with forged labels that never end would keep
// all others from being classified. One moment draws the same keys again, so an
// update whose closure runs twice reads the same records.
func someOf(keys map[message.Key]bool, n int, at time.Time) []message.Key {
	all := slices.Sorted(maps.Keys(keys))
	draw := rand.New(rand.NewPCG(uint64(at.UnixNano()), 0)) //nolint:gosec // a draw, no secret
	draw.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	slices.SortStableFunc(all, func(a, b message.Key) int {
		switch {
		case keys[a] == keys[b]:
			return 0
		case keys[a]:
			return -1
		}
		return 1
	})
	return all[:max(0, min(n, len(all)))]
}

// classify places a live job that carries our labels and whose record was read:
// named by its reservation; ended since the list was made at the moment at; ours
// but not named, an orphan job; or a foreign job with borrowed labels. All but the first two
// count as foreign use until they have ended.
//
// A job is an orphan job only if no reservation can come to name it. What a reservation
// that has not ended names, or will name, is never one, whatever has become of its
// hold: then it is unheld, and counts as foreign use too.
func (s *classified) classify(tx ledger.Tx, res *ledger.Resource, job vertex.Job, at time.Time) {
	foreign := func(j vertex.Job) { res.AddForeign(j.Name, j.Ask, j.LatestEnd()) }
	h, held := res.Holds[job.Request]
	present := held && h.Run == job.Run
	if tx.Unreadable(ledger.RecordRef(job.Request)) != nil {
		// Which job the reservation names is not known: the first of the hold's run
		// is taken for it, and none of them for an orphan job.
		if s.ours[job.Request].Name == "" && present {
			s.ours[job.Request] = job
		} else {
			foreign(job)
		}
		return
	}
	rec := tx.Record(job.Request)
	if rec == nil || rec.Resource != res.Name { // none of ours is created anywhere else
		foreign(job)
		return
	}
	named := rec.Reservation.Job
	switch {
	case named == job.Name && rec.State.Terminal():
		// It has ended, and the list is older than that. In a newer list it is live
		// after all, and uses its replicas.
		if at.After(rec.Times.Ended) {
			foreign(job)
		}
	case named == job.Name && present:
		s.ours[job.Request] = job
		h.Job = job.Name
		res.Holds[job.Request] = h
	case named == "" && present:
		if other := s.oldest(job); other.Name != "" {
			foreign(other)
		}
	case named == job.Name && rec.State.Holds():
		s.ours[job.Request], s.unheld[job.Request] = job, job
		foreign(job)
	case named == "" && rec.State.Holds() && job.Run == rec.Run:
		s.oldest(job)
		s.unheld[job.Request] = s.ours[job.Request]
		foreign(job)
	case named == job.Name:
		foreign(job)
	case job.Run == rec.Run || slices.Contains(rec.PastRuns, job.Run):
		s.orphans = append(s.orphans, job)
		foreign(job)
	default:
		foreign(job)
	}
}

// oldest takes a job for the one to be recorded for its run, which has none recorded
// yet, unless an older one is listed. The other of the two is an orphan job, and is
// returned.
func (s *classified) oldest(job vertex.Job) (other vertex.Job) {
	first, other := job, s.ours[job.Request]
	if other.Name != "" {
		if olderThan(other, first) {
			first, other = other, first
		}
		s.orphans = append(s.orphans, other)
	}
	s.ours[job.Request], s.unnamed[job.Request] = first, true
	return other
}

// reportUnheld logs jobs whose reservations have lost their holds, once per
// observation: only an operator can say whether the hold still fits.
func (c *Controller) reportUnheld(ctx context.Context, jobs map[message.Key]vertex.Job) {
	if len(jobs) == 0 {
		return
	}
	keys := slices.Sorted(maps.Keys(jobs))
	c.log.ErrorContext(ctx, "jobs run whose requests have lost their hold; they count as foreign use until berth repair leaked-holds has run",
		"event", "hold_missing", "jobs", len(jobs), "request_key", string(keys[0]), "job", jobs[keys[0]].Name)
}

// olderThan orders two jobs of a run.
func olderThan(a, b vertex.Job) bool {
	return a.CreateTime.Before(b.CreateTime) || a.CreateTime.Equal(b.CreateTime) && a.Name < b.Name
}
