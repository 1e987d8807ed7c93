package controller

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// rebuild writes the document of a resource anew if it is missing although records
// of the resource hold machines or wait: somebody deleted it, or restored the rest
// without it. Without its holds the machines of running jobs would be taken a
// second time. It reports whether the document was missing and is there now.
//
// For a resource that is new it finds no records; that costs one query per state.
func (c *Controller) rebuild(ctx context.Context, name string) (rebuilt bool, err error) {
	records, err := c.active(ctx, name)
	if err != nil || len(records) == 0 {
		return false, err
	}
	holds := 0
	err = c.ledger.Update(ctx, ledger.ReadSet{Resources: []string{name}}, func(tx ledger.Tx) error {
		rebuilt, holds = false, 0
		if tx.Resource(name) != nil {
			return nil // somebody else was here
		}
		if res := ledger.Rebuild(name, records, tx.Now(), c.latestEnd); res != nil {
			rebuilt, holds = true, len(res.Holds)
			tx.PutResource(res)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("rebuild the document of %s: %w", name, err)
	}
	if rebuilt {
		c.log.Error("the document of a persistent resource was lost; it has been rebuilt from its requests",
			"event", "resource_lost", "resource", name, "requests", len(records), "holds", holds)
	}
	return rebuilt, nil
}

// lookForLost is how many ticks pass between two searches for lost documents in a
// region in which no resource is looked after. Where one is, each pass searches the
// list of jobs that it needs anyway.
const lookForLost = 5

// searches remembers when this instance last searched each region.
type searches struct {
	mu sync.Mutex
	at map[string]time.Time // by parent, on the monotonic clock
}

// due reports whether a region was not searched for a time, and notes that it is now.
func (s *searches) due(parent string, now time.Time, every time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last, searched := s.at[parent]; searched && now.Sub(last) < every {
		return false
	}
	if s.at == nil {
		s.at = map[string]time.Time{}
	}
	s.at[parent] = now
	return true
}

// searchLost searches a region in which no resource is looked after for lost
// documents: of resources on which our jobs run and, where there are no documents at
// all, of those for which requests wait. It costs a list of jobs, and a query.
func (c *Controller) searchLost(ctx context.Context, parent string, known map[string]bool, clock func() time.Time, r *Report) error {
	l, err := c.list(ctx, parent, clock, map[string]listing{}, r)
	if err == nil {
		err = c.findLost(ctx, parent, l, known)
	}
	if len(known) > 0 {
		return err
	}
	var live []string
	for _, s := range lifecycle.States {
		if !s.Terminal() {
			live = append(live, string(s))
		}
	}
	recs, listErr := c.ledger.List(ctx, ledger.Filter{Statuses: live}, "", perUpdate)
	errs := []error{err, c.skipped(listErr, r)}
	names := map[string]bool{}
	for _, rec := range recs {
		if rec.Resource != "" && parentOf(rec.Resource) == parent {
			names[rec.Resource] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		_, err := c.rebuild(ctx, name)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// findLost rebuilds documents that are missing although live jobs of ours in a region
// run on their resources; known are the resources that have one: no pass comes by a resource without a document.
func (c *Controller) findLost(ctx context.Context, parent string, l listing, known map[string]bool) error {
	requests := map[string]map[message.Key]bool{}
	for _, job := range l.jobs {
		name := parent + "/persistentResources/" + job.PersistentResource
		if job.Request == "" || job.PersistentResource == "" || job.Deployment != c.cfg.Deployment || known[name] {
			continue
		}
		if requests[name] == nil {
			requests[name] = map[message.Key]bool{}
		}
		requests[name][job.Request] = false
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		ours, keys := false, someOf(requests[name], perUpdate, l.at)
		err := ledger.Read(ctx, c.ledger, ledger.ReadSet{Records: keys}, func(tx ledger.Tx) {
			ours = slices.ContainsFunc(keys, func(key message.Key) bool {
				if !c.readable(tx, key, nil) {
					return false
				}
				rec := tx.Record(key)
				return rec != nil && rec.Resource == name && !rec.State.Terminal()
			})
		})
		if err == nil && ours {
			_, err = c.rebuild(ctx, name)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("look for the document of %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// active reads all records of a resource that have not ended, without their specs.
// Those that cannot be read and wait, or have a job that counts as foreign use while
// it is live, it tells of and leaves out: one of them must not stop the whole
// resource. It fails for one whose job may yet appear, because what that holds is not
// known, and others would be given its machines.
func (c *Controller) active(ctx context.Context, name string) ([]*ledger.Record, error) {
	var all []*ledger.Record
	for _, state := range lifecycle.States {
		if state.Terminal() {
			continue
		}
		for after := ""; ; {
			page, err := c.ledger.InState(ctx, name, state, after, perUpdate)
			if visible := state != lifecycle.Reserved && state != lifecycle.Submitting && state != lifecycle.Cancelling; visible {
				err = c.skipped(err, nil)
			}
			if err != nil {
				return nil, fmt.Errorf("list the requests of %s that are %s: %w", name, state, err)
			}
			for _, rec := range page {
				rec.Outbox, rec.Fit, rec.Warnings = nil, nil, nil
				after = rec.Order
				all = append(all, rec)
			}
			if len(page) < perUpdate {
				break
			}
		}
	}
	return all, nil
}

// latestEnd is when the job of a record that holds ends at the latest.
func (c *Controller) latestEnd(rec *ledger.Record) time.Time {
	return rec.Times.Reserved.Add(c.cfg.StartTimeout + rec.Timeout)
}
