package bench

import (
	"context"
	"fmt"
)

// burst measures many requests that come together, for one resource that has
// room for all of them.
func burst(ctx context.Context, b *bench) error {
	for _, c := range []struct {
		n, clients, pace int
		from             scale // the smallest scale that has it
	}{
		{100, 64, fullSpeed, quick},
		{1000, 64, defaultPace, quick},
		{1000, 64, fullSpeed, quick},
		{1000, 1000, fullSpeed, normal},
		{5000, 64, fullSpeed, full},
	} {
		if c.from > b.scale {
			continue
		}
		// A resource holds machines for 2,000 requests at most.
		set := setting{runs: counting, replicas: 2000, resources: (c.n + 1998) / 1999, pace: c.pace}
		name := fmt.Sprintf("%d from %d clients, %s", c.n, c.clients, paceName(c.pace))
		if set.resources > 1 {
			name += fmt.Sprintf(", %d resources", set.resources)
		}
		b.say("  %s", name)
		err := b.in(ctx, set, func(w *world) error { return burstCounts(ctx, b, w, name, c.clients, c.n) })
		if err == nil && b.scale > quick {
			set.runs = timing
			err = b.in(ctx, set, func(w *world) error { return burstTimes(ctx, b, w, name, c.clients, c.n) })
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func paceName(pace int) string {
	if pace == fullSpeed {
		return "full speed"
	}
	return fmt.Sprintf("pace %d/min", pace)
}

func burstCounts(ctx context.Context, b *bench, w *world, name string, clients, n int) error {
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
	if r.left > 0 {
		b.say("  %d of %d were not answered within %s; counts are per request that was", r.left, n, longest)
	}
	b.sheet.page("burst", "%s", name).loosely().counts(b.services, c, len(r.took))
	return nil
}

func burstTimes(ctx context.Context, b *bench, w *world, name string, clients, n int) error {
	if err := w.prime(ctx); err != nil {
		return err
	}
	before := w.usage()
	r, err := w.burst(ctx, clients, w.requests(n))
	if err != nil {
		return err
	}
	p := b.sheet.page("burst", "%s", name)
	p.throughput(commitMany, r)
	p.latencies(commitAlone, r)
	p.add(Speed, "jobs", "", float64(len(w.fake.Jobs())-w.resources))
	p.usage(w.usage().minus(before), n)
	return nil
}
