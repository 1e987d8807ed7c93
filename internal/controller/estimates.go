package controller

import (
	"context"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"

	"example.com/berth/internal/estimate"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/reason"
)

// Run times are learned in three steps, none of which costs a commit of its own. The
// move that ends a job adds it to the ended jobs of the resource document, which that
// move writes anyway ([ledger.Resource.Ended]). An observation, which writes that
// document too, moves them into the histories of their tenants. Requests are ordered by
// a copy of their tenant's history that this instance reads every few minutes.
//
// A history costs a request nothing but its place in the order: without one that can be
// read, the request is ordered by its time limit.

const (
	historyFor     = 5 * time.Minute // until a tenant's history is read again
	historyTenants = 128             // whose histories an instance remembers
	historyWithin  = 2 * time.Second // a read that takes longer has failed
	learnTenants   = 16              // into whose histories one observation moves ended jobs
)

// histories are the copies of an instance.
type histories struct {
	known *lru.Cache[string, readHistory] // by tenant
	reads singleflight.Group
}

// A readHistory is a history and when it was read, on the monotonic clock. If the read
// has failed, it is what was read before, nil for nothing.
type readHistory struct {
	*estimate.History
	at time.Time
}

func newHistories() *histories {
	known, err := lru.New[string, readHistory](historyTenants)
	if err != nil {
		panic(err) // of a size that is not positive
	}
	return &histories{known: known}
}

// unlearned reports whether a request is to be decided again once its tenant's history
// has been read: jobs of its resource have been learned, and the last read is too long
// ago.
func (c *Controller) unlearned(tenant string, res *ledger.Resource) bool {
	if !c.cfg.Estimates || res.LearnedAt.IsZero() {
		return false
	}
	_, recent := c.knownHistory(tenant)
	return !recent
}

// knownHistory returns what this instance has read of a tenant's history, and whether
// that is recent.
func (c *Controller) knownHistory(tenant string) (known readHistory, recent bool) {
	known, ok := c.histories.known.Get(tenant)
	return known, ok && c.env.Monotonic().Sub(known.at) < historyFor
}

// estimate says how long a new request is expected to run, by the history that this
// instance has.
func (c *Controller) estimate(draft *ledger.Record) {
	draft.Estimate = estimate.Estimate{}
	if !c.cfg.Estimates {
		return
	}
	known, _ := c.knownHistory(draft.Tenant)
	if e := known.Expected(jobOf(draft)); e.Jobs > 0 {
		draft.Estimate = e
	}
}

func jobOf(rec *ledger.Record) estimate.Job {
	return estimate.Job{Limit: rec.Timeout, Replicas: int64(rec.Ask.Replicas()), Family: rec.Family}
}

// readHistory reads the history of a tenant. Requests that arrive together share one
// read. One that fails is not tried again for a while either.
func (c *Controller) readHistory(ctx context.Context, tenant string) {
	_, _, _ = c.histories.reads.Do(tenant, func() (any, error) {
		known, recent := c.knownHistory(tenant)
		if recent {
			return nil, nil // read while this request was decided
		}
		// The read is for all who wait for it, also if the first of them is given up.
		within, done := c.env.within(context.WithoutCancel(ctx), historyWithin)
		defer done()
		found := known.History
		err := ledger.Read(within, c.ledger, ledger.Histories(tenant), func(tx ledger.Tx) {
			found = nil
			if h := ledger.Get[*ledger.History](tx, ledger.HistoryRef(tenant)); h != nil {
				found = &h.History
			}
		})
		if err != nil {
			found = known.History
			if !c.leftAlone(ctx, err, nil) {
				c.log.WarnContext(ctx, "cannot read the run times of a tenant's jobs; its requests are ordered by what was read before, or by their time limits", "event", "history_failed", "error", err)
			}
		}
		c.histories.known.Add(tenant, readHistory{found, c.env.Monotonic()})
		return nil, nil
	})
}

// learnRunTimes moves ended jobs of a resource into the histories of some tenants, which
// the update has to read. The jobs of a history that cannot be read are lost to it.
func (c *Controller) learnRunTimes(ctx context.Context, tx ledger.Tx, res *ledger.Resource, tenants []string) {
	if !c.cfg.Estimates {
		res.Ended = nil
		return
	}
	for _, tenant := range tenants {
		ends := res.TakeEnded(tenant)
		if len(ends) == 0 {
			continue
		}
		if bad := tx.Unreadable(ledger.HistoryRef(tenant)); bad != nil {
			c.reportUnreadable(ctx, nil, bad)
			continue
		}
		h := ledger.Get[*ledger.History](tx, ledger.HistoryRef(tenant))
		if h == nil {
			h = &ledger.History{Tenant: tenant}
		}
		h.Learn(ends...)
		tx.Put(h)
		res.LearnedAt = tx.Now()
	}
}

// addEnded adds a job that has just ended to those that are to be learned, if Vertex AI
// says how long it ran. All ends are learned but those that Vertex AI does not date,
// because all of them give replicas back:
//
//   - A job that failed or reached its limit held its replicas for as long as it ran,
//     and others like it will.
//   - A job that was cancelled, or whose resource was deleted, says that it would have
//     run longer. One that was not observed running says nothing: Vertex AI sets the
//     start of a job long before it runs.
func (c *Controller) addEnded(res *ledger.Resource, rec *ledger.Record, before lifecycle.State, now time.Time) {
	t := rec.Times
	if !c.cfg.Estimates || t.JobStarted.IsZero() || t.JobEnded.Before(t.JobStarted) {
		return
	}
	if ledger.Histories(rec.Tenant).Check() != nil {
		return // to name a document that cannot exist would fail every observation
	}
	least := rec.State != lifecycle.Succeeded && (before == lifecycle.Cancelling || rec.State != lifecycle.Failed)
	if rec.Why != nil && rec.Why.Code == reason.JobTimedOut {
		least = false
	}
	if least && t.Started.IsZero() {
		return
	}
	res.AddEnded(ledger.Ended{Tenant: rec.Tenant, At: now, End: estimate.End{Job: jobOf(rec), Ran: t.JobEnded.Sub(t.JobStarted), Least: least}})
}
