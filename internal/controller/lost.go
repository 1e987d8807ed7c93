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
	"example.com/berth/internal/vertex"
)

// searchEvery is how many ticks pass between two searches for lost documents in a
// region in which passes observe no resource. Elsewhere each pass searches the list
// of jobs that it needs anyway.
const searchEvery = 5

// searches remembers when this instance last searched each region.
type searches struct {
	mu sync.Mutex
	at map[string]time.Time // by parent, on the monotonic clock
}

// due reports whether a region was not searched for a time, and records that it is now.
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

// searchLost searches a region in which passes observe no resource for lost
// documents: of resources on which our jobs run and, where there are no documents at
// all, of those for which requests wait. It costs a list of jobs, and a query.
func (c *Controller) searchLost(ctx context.Context, parent string, known map[string]bool, clock func() time.Time, p *progress) error {
	l, err := c.list(ctx, parent, clock, map[string]listing{}, p)
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
	errs := []error{err, c.skipped(ctx, listErr, p)}
	names := map[string]bool{}
	for _, rec := range recs {
		if rec.Resource != "" && vertex.NameOf(rec.Resource).Parent() == parent {
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
// run on their resources; known are the resources
// that have one. Passes do not observe a resource without a document.
func (c *Controller) findLost(ctx context.Context, parent string, l listing, known map[string]bool) error {
	requests := map[string]map[message.Key]bool{}
	for _, job := range l.jobs {
		name := vertex.NameOf(parent).Resource(job.PersistentResource).String()
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
		err := ledger.Read(ctx, c.ledger, ledger.Records(keys...), func(tx ledger.Tx) {
			ours = slices.ContainsFunc(keys, func(key message.Key) bool {
				if !c.readable(ctx, tx, key, nil) {
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
			errs = append(errs, fmt.Errorf("search for the document of %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
