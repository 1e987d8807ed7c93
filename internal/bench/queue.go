package bench

import (
	"context"
	"fmt"
)

// patient is the environment of functions whose observations stay fresh while
// thousands of requests join the queue, and of which each tick makes one pass, so
// that passes can be counted.
var patient = []string{"BERTH_TICK=10m", "BERTH_POLL=1m"}

// queue measures what waiting requests cost those that come, and a pass.
func queue(ctx context.Context, b *bench) error {
	sizes := map[scale][]int{quick: {0, 1000}, normal: {0, 1000, 10_000}, full: {0, 1000, 10_000, 100_000}}
	for _, n := range sizes[b.scale] {
		set := setting{runs: both, replicas: 32, pace: defaultPace, env: patient}
		if b.scale == quick {
			set.runs = counting
		}
		if err := b.in(ctx, set, func(w *world) error { return queued(ctx, b, w, n) }); err != nil {
			return fmt.Errorf("%d waiting: %w", n, err)
		}
	}
	return nil
}

// queued measures with n requests in the queue, on a resource that is full.
func queued(ctx context.Context, b *bench, w *world, n int) error {
	if err := w.fill(ctx); err != nil {
		return err
	}
	if err := w.queue(ctx, b, n); err != nil {
		return err
	}
	if err := passes(ctx, b, w, 0, n); err != nil {
		return err
	}
	if err := oneMore(ctx, b, w, n); err != nil {
		return err
	}
	for _, free := range []int{1, 16} {
		if free > n {
			continue
		}
		if err := passes(ctx, b, w, free, n); err != nil {
			return err
		}
	}
	return nil
}

// passes counts a tick that makes one pass, once some machines are free. A pass
// before that learns what there is to learn of earlier ones.
func passes(ctx context.Context, b *bench, w *world, free, n int) error {
	if err := w.reconcile(ctx, w.counted); err != nil {
		return err
	}
	if err := w.free(free); err != nil {
		return err
	}
	c, err := w.count(func() error { return w.reconcile(ctx, w.counted) })
	if err != nil {
		return err
	}
	p := b.sheet.page("queue", "tick, %d machines free, %d waiting", free, n)
	if free > 1 {
		p = p.loosely() // several are submitted at a time
	}
	p.counts(b.services, c, 1)
	return nil
}

// oneMore measures the decision of a request that has to wait behind the others.
func oneMore(ctx context.Context, b *bench, w *world, n int) error {
	p := b.sheet.page("queue", "one more, behind %d", n)
	if w.runs == both {
		r, err := w.burst(ctx, 1, w.requests(100))
		if err != nil {
			return err
		}
		p.throughput(commitAlone, r)
		p.latencies(commitAlone, r)
	}
	// The other function learns where things stand.
	if err := w.post(ctx, w.counted, w.request(0, 1), nil); err != nil {
		return err
	}
	const more = 10
	c, err := w.count(func() error {
		for range more {
			if err := w.post(ctx, w.counted, w.request(0, 1), nil); err != nil {
				return err
			}
		}
		return nil
	})
	p.counts(b.services, c, more)
	return err
}
