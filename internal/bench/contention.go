package bench

import (
	"context"
	"fmt"
)

// contention measures a burst of 1,000 for one resource, spread over several
// function instances: those of one instance can be decided together, those of
// several write the same document.
func contention(ctx context.Context, b *bench) error {
	const n, clients = 1000, 64
	for _, instances := range []int{1, 2, 4, 8} {
		name := fmt.Sprintf("%d over %d instances", n, instances)
		b.say("  %s", name)
		for _, runs := range []runs{timing, counting} {
			set := setting{runs: runs, replicas: 2000, instances: instances, pace: fullSpeed}
			err := b.in(ctx, set, func(w *world) error {
				if err := w.prime(ctx); err != nil {
					return err
				}
				var r run
				c, err := w.count(func() (err error) {
					r, err = w.burst(ctx, clients, w.requests(n))
					return err
				})
				if err != nil {
					return err
				}
				p := b.sheet.page("contention", "%s", name)
				if runs == counting {
					p.loosely().counts(b.services, c, len(r.took))
					return nil
				}
				p.throughput(commitMany, r)
				p.latencies(commitAlone, r)
				return nil
			})
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}
