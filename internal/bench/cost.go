package bench

import (
	"context"
	"fmt"
	"slices"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// A life is a way for requests to come and go, from the first to the last of
// their events.
type life struct {
	name     string
	requests int
	replicas int64 // of the resource; 1 for one that is full
	together bool  // they come at the same time
	from     scale // the smallest that has it
	live     func(ctx context.Context, w *world, n int) (ticks int, err error)
}

var lives = []life{
	{"alone", 20, 100, false, quick, func(ctx context.Context, w *world, n int) (ticks int, err error) {
		for range n {
			if err := w.post(ctx, w.functions[0], w.request(0, 1), nil); err != nil {
				return ticks, err
			}
			more, err := w.runAndEnd(ctx)
			if ticks += more; err != nil {
				return ticks, err
			}
		}
		return ticks, nil
	}},
	{"in a burst of 50", 50, 200, true, quick, burstAndEnd},
	{"in a burst of 1000", 1000, 2000, true, normal, burstAndEnd},
	{"50 that waited", 50, 1, true, quick, func(ctx context.Context, w *world, n int) (ticks int, err error) {
		if _, err := w.burst(ctx, 8, w.requests(n)); err != nil {
			return 0, err
		}
		if err := w.free(n); err != nil {
			return 0, err
		}
		return w.runAndEnd(ctx)
	}},
}

func burstAndEnd(ctx context.Context, w *world, n int) (ticks int, err error) {
	if _, err := w.burst(ctx, 64, w.requests(n)); err != nil {
		return 0, err
	}
	return w.runAndEnd(ctx)
}

// runAndEnd makes ticks until all jobs are known to run, and then until all are
// known to have ended and all events are published.
func (w *world) runAndEnd(ctx context.Context) (ticks int, err error) {
	runs, err := w.ticksUntil(ctx, func(r *ledger.Record) bool { return r.State == lifecycle.Running || r.State.Terminal() })
	if err != nil {
		return runs, err
	}
	w.endJobs()
	ends, err := w.ticksUntil(ctx, func(r *ledger.Record) bool { return r.State.Terminal() && len(r.Unpublished()) == 0 })
	return runs + ends, err
}

// ticksUntil makes ticks until something holds for every record: one at least,
// and just one where records cannot be seen.
func (w *world) ticksUntil(ctx context.Context, holds func(*ledger.Record) bool) (ticks int, err error) {
	const most = 20
	left := []*ledger.Record{nil}
	for ; len(left) > 0 && ticks < most; ticks++ {
		if err := w.reconcile(ctx, w.functions[0]); err != nil {
			return ticks, err
		}
		if left, err = w.records(ctx); err != nil {
			return ticks, err
		}
		left = slices.DeleteFunc(left, holds)
	}
	if len(left) > 0 {
		return ticks, fmt.Errorf("after %d ticks %d requests are not where they should be, one of them is %s and has %d events unsent",
			ticks, len(left), left[0].State, len(left[0].Unpublished()))
	}
	return ticks, nil
}

// cost counts what whole lives need, and prices it.
func cost(ctx context.Context, b *bench) error {
	for _, l := range lives {
		if l.from > b.scale {
			continue
		}
		b.say("  %s", l.name)
		if err := l.measure(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	if b.scale == quick {
		return nil
	}
	b.services.note("Prices: %s, %s, from %s.", prices.region, prices.date, prices.source)
	return idleDay(ctx, b)
}

// idleDay prices the ticks of a day on which nothing happens.
func idleDay(ctx context.Context, b *bench) error {
	return b.in(ctx, setting{runs: counting, replicas: 1, pace: defaultPace}, func(w *world) error {
		if err := w.prime(ctx); err != nil {
			return err
		}
		const ticks, aDay = 10, 24 * 60
		up := w.meter.now()
		c, err := w.count(func() error {
			for range ticks {
				if err := w.reconcile(ctx, w.functions[0]); err != nil {
					return err
				}
			}
			return nil
		})
		dollars := billFor(c, 0, ticks, w.meter.now()-up)
		b.sheet.page("cost", "a day of idle ticks").add(Other, "a day", "USD", dollars.total()/ticks*aDay)
		return err
	})
}

func (l life) measure(ctx context.Context, b *bench) error {
	p := b.sheet.page("cost", "whole life, %s", l.name)
	if l.together {
		p = p.loosely()
	}
	set := setting{runs: counting, replicas: l.replicas, pace: fullSpeed}
	var counts Counts
	err := b.in(ctx, set, func(w *world) (err error) {
		counts, _, err = l.in(ctx, w)
		return err
	})
	if err != nil {
		return err
	}
	p.counts(b.services, counts, l.requests)
	if b.scale == quick {
		return nil
	}
	set.runs = timing
	return b.in(ctx, set, func(w *world) error {
		used, up := w.usage(), w.meter.now()
		_, ticks, err := l.in(ctx, w)
		if err != nil {
			return err
		}
		up = w.meter.now() - up
		p.usage(w.usage().minus(used), l.requests)
		p.add(Other, "instance up", "ms", milliseconds(up)/float64(l.requests))
		perThousand := func(name string, dollars float64) {
			p.add(Other, name, "USD/1000", dollars/float64(l.requests)*1000)
		}
		bill := billFor(counts, l.requests, ticks, up)
		if b.services.stored() {
			perThousand("Firestore", bill.firestore)
		}
		perThousand("function", bill.function)
		perThousand("Pub/Sub", bill.pubsub)
		perThousand("all", bill.total())
		return nil
	})
}

// in lives it in a world.
func (l life) in(ctx context.Context, w *world) (c Counts, ticks int, err error) {
	prepare := w.prime
	if l.replicas == 1 {
		prepare = w.fill
	}
	if err := prepare(ctx); err != nil {
		return c, 0, err
	}
	c, err = w.count(func() (err error) {
		ticks, err = l.live(ctx, w, l.requests)
		return err
	})
	return c, ticks, err
}
