package bench

import (
	"context"
	"fmt"
)

// alone measures one request at a time, each answered before the next is sent,
// on a resource that has room for all.
func alone(ctx context.Context, b *bench) error {
	err := b.in(ctx, setting{runs: counting, replicas: 100, pace: defaultPace}, func(w *world) error { return aloneCounts(ctx, b, w) })
	if err != nil || b.scale == quick {
		return err
	}
	for _, c := range []struct{ pace, n int }{{defaultPace, 40}, {fullSpeed, 500}} {
		err := b.in(ctx, setting{runs: timing, replicas: 100, pace: c.pace}, func(w *world) error { return aloneTimes(ctx, b, w, c.n) })
		if err != nil {
			return err
		}
	}
	return nil
}

// aloneCounts counts every stage of some lives: the request, the tick that sees
// the job run, the tick that learns of its end.
func aloneCounts(ctx context.Context, b *bench, w *world) error {
	first, err := w.count(func() error { return w.post(ctx, w.counted, w.request(0, 1), nil) })
	if err != nil {
		return err
	}
	b.sheet.page("alone", "request for a resource never seen").counts(b.services, first, 1)
	if err := w.endAll(ctx); err != nil {
		return err
	}
	const times = 10
	names := []string{"request, to its answer", "tick that sees the job run", "tick that learns of its end"}
	sums := make([]Counts, len(names))
	for i := range times {
		for stage, do := range []func() error{
			func() error { return w.post(ctx, w.counted, w.request(0, 1), nil) },
			func() error { return w.reconcile(ctx, w.counted) },
			func() error { return w.endAll(ctx) },
		} {
			c, err := w.count(do)
			if err != nil {
				return fmt.Errorf("%s: %w", names[stage], err)
			}
			sums[stage] = sums[stage].plus(c)
		}
		if err := w.created(i + 2); err != nil {
			return err
		}
	}
	for stage, c := range sums {
		b.sheet.page("alone", "%s", names[stage]).counts(b.services, c, times)
	}
	return nil
}

// aloneTimes times n requests, some at a time on a resource that is idle before.
func aloneTimes(ctx context.Context, b *bench, w *world, n int) error {
	if err := w.prime(ctx); err != nil {
		return err
	}
	const some = 20
	var all run
	var used usage
	for range n / some {
		before := w.usage()
		r, err := w.burst(ctx, 1, w.requests(some))
		if err != nil {
			return err
		}
		all, used = all.and(r), used.plus(w.usage().minus(before))
		if err := w.endAll(ctx); err != nil {
			return err
		}
	}
	p := b.sheet.page("alone", "one at a time, %s", paceName(w.pace))
	p.throughput(commitAlone, all)
	p.latencies(commitAlone, all)
	p.usage(used, n)
	return nil
}
