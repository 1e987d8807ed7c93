package bench

import (
	"context"
	"fmt"
	"time"
)

// backlog measures how fast requests that wait are given machines once there are
// enough for all: from the moment there are to the last reservation.
func backlog(ctx context.Context, b *bench) error {
	for _, c := range []struct {
		n, resources, pace int
		from               scale
	}{
		{1000, 1, fullSpeed, normal},
		{1000, 1, defaultPace, normal},
		{10_000, 10, fullSpeed, full},
	} {
		if c.from > b.scale {
			continue
		}
		name := fmt.Sprintf("%d released, %d resources, %s", c.n, c.resources, paceName(c.pace))
		b.say("  %s", name)
		// Ticks every minute and passes every 3 s, as deployed; only the observation of the
		// resource has to stay fresh while the line is made.
		set := setting{runs: timing, replicas: 1, resources: c.resources, pace: c.pace, env: []string{"BERTH_TICK=10m"}}
		if err := b.in(ctx, set, func(w *world) error { return released(ctx, b, w, name, c.n) }); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func released(ctx context.Context, b *bench, w *world, name string, n int) error {
	if err := w.fill(ctx); err != nil {
		return err
	}
	if err := w.queue(ctx, b, n); err != nil {
		return err
	}
	room := time.Now()
	if err := w.free(n); err != nil {
		return err
	}
	var last time.Time // reservation
	reserved, ticks := 0, 0
	for ; reserved < n && time.Since(room) < longest; ticks++ {
		if err := w.reconcile(ctx, w.functions[0]); err != nil {
			return err
		}
		records, err := w.records(ctx)
		if err != nil {
			return err
		}
		reserved = -w.resources // those that filled the resources
		for _, r := range records {
			if at := r.Times.Reserved; !at.IsZero() {
				reserved++
				if at.After(last) {
					last = at
				}
			}
		}
	}
	p := b.sheet.page("backlog", "%s", name)
	p.add(Speed, "n", "", float64(reserved))
	p.add(Speed, "total", "s", last.Sub(room).Seconds())
	p.against(commitMany, "rate", "/s", float64(reserved)/last.Sub(room).Seconds())
	p.add(Speed, "ticks", "", float64(ticks))
	p.add(Speed, "jobs", "", float64(len(w.fake.Jobs())-w.resources))
	return nil
}
