package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// dueClasses are the states whose timers run before others. Those that hold replicas
// run first, because a lost submission keeps replicas from all other requests.
var dueClasses = [...][]lifecycle.State{
	{lifecycle.Submitting, lifecycle.Cancelling, lifecycle.Reserved, lifecycle.Submitted},
	{lifecycle.Waiting},
}

// duePerPass bounds the timers of each class that one pass runs.
const duePerPass = 200

// runTimers runs the timers that are due, a bounded number of each class per pass,
// longest due first.
func (c *Controller) runTimers(ctx context.Context, now time.Time, p *progress) error {
	// Usually all that are due fit into one pass, and one query finds them.
	first, err := c.ledger.Due(ctx, slices.Concat(dueClasses[:]...), now, ledger.Timed{}, duePerPass)
	if err != nil {
		return fmt.Errorf("list due records: %w", err)
	}
	c.since(&p.late.timer, first)
	if len(first) < duePerPass {
		return c.runAllTimers(ctx, slices.DeleteFunc(ledger.KeysOf(first), func(key message.Key) bool {
			return c.unreadable.known(key, c.env.Monotonic())
		}), p)
	}
	var errs []error
	for class, states := range dueClasses {
		keys, more, err := c.oneByOne(&c.dueFrom[class], duePerPass, func(after ledger.Timed, limit int) ([]ledger.Timed, error) {
			return c.ledger.Due(ctx, states, now, after, limit)
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("list due records in %s: %w", states, err))
			continue
		}
		p.more = p.more || more
		errs = append(errs, c.runAllTimers(ctx, keys, p))
	}
	return errors.Join(errs...)
}

// runAllTimers does what is due for some records, regions side by side, and several
// of a region at a time. Waiting requests are decided one after the other.
func (c *Controller) runAllTimers(ctx context.Context, keys []message.Key, p *progress) error {
	groups := map[string][]message.Key{}
	var names []string // in the order of what is due first
	var errs []error
	for part := range slices.Chunk(keys, perUpdate) {
		var group []string
		err := ledger.Read(ctx, c.ledger, ledger.Records(part...), func(tx ledger.Tx) {
			group = make([]string, len(part))
			for i, key := range part {
				if !c.readable(ctx, tx, key, p) {
					group[i] = unreadableGroup
					continue
				}
				switch rec := tx.Record(key); {
				case rec == nil || rec.Resource == "":
				case rec.State == lifecycle.Waiting:
					group[i] = waitingIn + vertex.NameOf(rec.Resource).Parent()
				default:
					group[i] = vertex.NameOf(rec.Resource).Parent()
				}
			}
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("read %d due records: %w", len(part), err))
			group = make([]string, len(part)) // each by itself
		}
		for i, key := range part {
			if groups[group[i]] == nil {
				names = append(names, group[i])
			}
			groups[group[i]] = append(groups[group[i]], key)
		}
	}
	for _, name := range names {
		if name == unreadableGroup {
			continue
		}
		together := 1
		if !strings.HasPrefix(name, waitingIn) {
			together = c.cfg.Submitters
		}
		p.tasks.start(ctx, "timers "+name, "", p, func(p *progress) error { return c.runEachTimer(ctx, groups[name], together, p) })
	}
	return errors.Join(errs...)
}

// unreadableGroup is the group of records that are left alone.
const unreadableGroup = "unreadable"

// waitingIn begins the name of a group of waiting requests.
const waitingIn = "waiting in "

func (c *Controller) runEachTimer(ctx context.Context, keys []message.Key, together int, p *progress) error {
	var mu sync.Mutex
	var errs []error
	var g errgroup.Group
	g.SetLimit(together)
	for _, key := range keys {
		g.Go(func() error {
			err := c.runTimer(ctx, key, p)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("run the timer of %s: %w", key, err))
			} else {
				p.Timers++
			}
			return nil
		})
	}
	_ = g.Wait()
	return errors.Join(errs...)
}
