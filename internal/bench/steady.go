package bench

import (
	"context"
	"fmt"
	"time"
)

// steady measures requests that come at an even rate, whether earlier ones are
// answered or not, at full speed. Nothing ends meanwhile.
func steady(ctx context.Context, b *bench) error {
	const lasts, clients = 20 * time.Second, 256
	for _, rate := range []int{20, 50} {
		n := rate * int(lasts.Seconds())
		name := fmt.Sprintf("%d/s for %s", rate, lasts)
		b.say("  %s", name)
		for _, runs := range []runs{timing, counting} {
			err := b.in(ctx, setting{runs: runs, replicas: 2000, pace: fullSpeed}, func(w *world) error {
				if err := w.prime(ctx); err != nil {
					return err
				}
				used := w.usage()
				var r run
				c, err := w.count(func() (err error) {
					r, err = w.steady(ctx, clients, float64(rate), w.requests(n))
					return err
				})
				if err != nil {
					return err
				}
				p := b.sheet.page("steady", "%s", name)
				if runs == counting {
					p.loosely().counts(b.services, c, len(r.took))
					return nil
				}
				p.throughput("", r)
				p.latencies(commitAlone, r)
				p.usage(w.usage().minus(used), n)
				return nil
			})
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}
