package controller

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/berth/internal/estimate"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/vertex"
)

// historyReads is a ledger whose reads of histories take a while, or for ever, and are
// counted.
type historyReads struct {
	*ledger.Mem
	takes time.Duration
	mu    sync.Mutex
	n     int
}

func (h *historyReads) Update(ctx context.Context, reads ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) error {
	if reads[0].Kind == ledger.KindHistory {
		h.mu.Lock()
		h.n++
		h.mu.Unlock()
		select {
		case <-time.After(h.takes):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return h.Mem.Update(ctx, reads, closure, hints...)
}

// Requests that need a history at once share one read, those that come a little later
// need none, and a read that hangs is given up after two seconds. That the first of
// them is given up itself does not stop the read.
func TestOneReadServesAll(t *testing.T) {
	for name, test := range map[string]struct {
		takes, ends time.Duration
		known       int64
		told        bool
	}{
		"at once":   {0, 0, 7, false},
		"slow":      {1900 * time.Millisecond, 1900 * time.Millisecond, 7, false},
		"it hangs":  {time.Hour, 2 * time.Second, 0, true},
		"just late": {2001 * time.Millisecond, 2 * time.Second, 0, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log strings.Builder
			l := &historyReads{Mem: ledger.NewMem(time.Now), takes: test.takes}
			h := &ledger.History{Tenant: "a"}
			job := estimate.Job{Limit: time.Hour, Replicas: 1}
			for range 7 {
				h.Learn(estimate.End{Job: job, Ran: time.Minute})
			}
			if err := l.Mem.Update(t.Context(), ledger.ReadSetOf(h), func(tx ledger.Tx) error { tx.Put(h); return nil }); err != nil {
				t.Fatal(err)
			}
			c := New(DefaultConfig(), l, vertex.NewMem(time.Now), noOutcomes{}, slog.New(slog.NewTextHandler(&log, nil)), RealEnv())
			res := &ledger.Resource{Name: "r"}
			if c.unlearned("a", res) {
				t.Errorf("%s: a history is to be read, and nothing was learned", name)
			}
			res.LearnedAt = time.Now()
			ctx, give := context.WithCancel(t.Context())
			give()
			start := time.Now()
			var all sync.WaitGroup
			if !c.unlearned("a", res) {
				t.Errorf("%s: the history is not to be read", name)
			}
			for range 20 {
				all.Go(func() { c.readHistory(ctx, "a") })
			}
			all.Wait()
			took := time.Since(start)
			c.readHistory(ctx, "a") // it was found to be unread before the read ended
			draft := &ledger.Record{Tenant: "a", Timeout: time.Hour}
			c.estimate(draft)
			if l.n != 1 || took != test.ends || draft.Estimate.Jobs != test.known || c.unlearned("a", res) {
				t.Errorf("%s: %d reads took %s, and %+v is expected; want one, %s, by %d jobs", name, l.n, took, draft.Estimate, test.ends, test.known)
			}
			if told := strings.Count(log.String(), "event=history_failed"); told != map[bool]int{true: 1}[test.told] {
				t.Errorf("%s: it was told %d times: %s", name, told, log.String())
			}
			time.Sleep(5*time.Minute - time.Nanosecond)
			if c.unlearned("a", res) {
				t.Errorf("%s: the history is read again before five minutes have passed", name)
			}
			time.Sleep(time.Nanosecond)
			if !c.unlearned("a", res) {
				t.Errorf("%s: the history is never read again", name)
			}
			c.cfg.Estimates = false
			if c.estimate(draft); draft.Estimate.Jobs != 0 || c.unlearned("a", res) {
				t.Errorf("%s: off, and yet %+v is expected", name, draft.Estimate)
			}
		})
	}
}

// An instance remembers the histories of so many tenants, and no more.
func TestHistoriesAreBounded(t *testing.T) {
	c := New(DefaultConfig(), ledger.NewMem(time.Now), vertex.NewMem(time.Now), noOutcomes{}, slog.New(slog.DiscardHandler), RealEnv())
	for i := range 3 * historyTenants {
		c.readHistory(t.Context(), "t"+strings.Repeat("x", i))
	}
	if n := c.histories.known.Len(); n != historyTenants {
		t.Errorf("%d histories are remembered, want %d", n, historyTenants)
	}
}
