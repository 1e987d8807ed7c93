package bench

import (
	"context"
	"fmt"
)

// idle measures what a tick costs while there is nothing to do.
func idle(ctx context.Context, b *bench) error {
	for _, jobs := range []int{0, 100} {
		err := b.in(ctx, setting{runs: counting, replicas: 200, pace: fullSpeed}, func(w *world) error {
			if err := w.prime(ctx); err != nil {
				return err
			}
			if _, err := w.burst(ctx, 8, w.requests(jobs)); err != nil {
				return err
			}
			// The first one learns that they run.
			if err := w.reconcile(ctx, w.counted); err != nil {
				return err
			}
			const ticks = 10 // one in ten holds some requests against the promises
			c, err := w.count(func() error {
				for range ticks {
					if err := w.reconcile(ctx, w.counted); err != nil {
						return err
					}
				}
				return nil
			})
			b.sheet.page("idle", "tick, nothing waits, %d jobs run", jobs).counts(b.services, c, ticks)
			return err
		})
		if err != nil {
			return fmt.Errorf("%d jobs: %w", jobs, err)
		}
	}
	return nil
}
