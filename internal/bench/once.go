package bench

import (
	"context"
)

// once counts requests that change little: those that are here already, and
// those that are refused.
func once(ctx context.Context, b *bench) error {
	return b.in(ctx, setting{runs: counting, replicas: 10, pace: defaultPace}, func(w *world) error {
		if err := w.prime(ctx); err != nil {
			return err
		}
		known := w.request(0, 1)
		if err := w.post(ctx, w.counted, known, nil); err != nil {
			return err
		}
		const n = 5
		for _, c := range []struct {
			name string
			make func() delivery
		}{
			{"duplicate", func() delivery { return known }},
			{"refused: malformed", func() delivery { return w.delivery("Admit", []byte(`{"jobSpec": {"workerPoolSpec": []}}`), nil) }},
			{"refused: can never fit", func() delivery { return w.request(0, 11) }},
			{"queued", func() delivery { return w.request(0, 10) }},
		} {
			counts, err := w.count(func() error {
				for range n {
					if err := w.post(ctx, w.counted, c.make(), nil); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			b.sheet.page("once", "%s", c.name).counts(b.services, counts, n)
		}
		return nil
	})
}
