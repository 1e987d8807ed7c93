package bench

import (
	"context"
	"fmt"
	"time"
)

// Steps that measurements are made of.

// count runs something and returns what passed the proxies meanwhile.
func (w *world) count(do func() error) (Counts, error) {
	before := w.counter.now()
	err := do()
	return w.counter.now().minus(before), err
}

// prime makes Berth know every resource, and leaves nothing on them.
func (w *world) prime(ctx context.Context) error {
	for i := range w.resources {
		if err := w.post(ctx, w.functions[0], w.request(i, 1), nil); err != nil {
			return fmt.Errorf("first request for %s: %w", w.resourceName(i), err)
		}
	}
	return w.endAll(ctx)
}

// endAll lets all jobs end, and Berth learn of it.
func (w *world) endAll(ctx context.Context) error {
	w.endJobs()
	return w.reconcile(ctx, w.functions[0])
}

// fill takes all replicas of every resource with one job each, so that what
// comes then waits.
func (w *world) fill(ctx context.Context) error {
	for i := range w.resources {
		if err := w.post(ctx, w.functions[0], w.request(i, int(w.replicas)), nil); err != nil {
			return fmt.Errorf("fill %s: %w", w.resourceName(i), err)
		}
	}
	return w.created(w.resources)
}

// created holds that so many jobs have been created at Vertex AI.
func (w *world) created(jobs int) error {
	if have := len(w.fake.Jobs()); have != jobs {
		return fmt.Errorf("%d jobs were created at Vertex AI, want %d", have, jobs)
	}
	return nil
}

// queue puts n requests into the queue, through the entry point.
func (w *world) queue(ctx context.Context, b *bench, n int) error {
	const clients, atOnce = 64, 2000
	began := time.Now()
	for sent := 0; sent < n; sent += atOnce {
		r, err := w.burst(ctx, clients, w.requests(min(atOnce, n-sent)))
		if err != nil {
			return fmt.Errorf("queue %d requests: %w", n, err)
		}
		if r.left > 0 {
			return fmt.Errorf("queue %d requests: %d of %d were not answered within %s", n, r.left, min(atOnce, n-sent), longest)
		}
	}
	if n > 0 {
		b.say("  %d requests queued in %.1f s", n, time.Since(began).Seconds())
	}
	return nil
}

// free adds machines to the pool of every resource.
func (w *world) free(machines int) error {
	w.replicas += int64(machines)
	for i := range w.resources {
		if err := w.fake.ResizePool(w.resourceName(i), pool, w.replicas); err != nil {
			return err
		}
	}
	return nil
}
