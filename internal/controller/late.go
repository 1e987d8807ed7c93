package controller

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/vertex"
)

// lateAfter is after how many ticks an unpublished event or a due timer is late: each
// pass deals with those that it finds, so something keeps this one back.
const lateAfter = 5

// late is what one reconcile found waiting for it. The zero value is nothing.
type late struct {
	event, timer time.Time           // since when the oldest unpublished event and the oldest timer wait
	down         map[string]standing // resources that are not RUNNING and for which requests wait
}

// A standing is a resource that requests wait for in vain.
type standing struct {
	state   string // as Vertex AI says, or ledger.Absent
	waiting int    // requests in the queue; parked ones are not counted
}

// earliest keeps the earlier of two times; zero is none.
func earliest(at *time.Time, t time.Time) {
	if !t.IsZero() && (at.IsZero() || t.Before(*at)) {
		*at = t
	}
}

// stands records a resource that is not RUNNING while requests wait for it.
func (l *late) stands(res *ledger.Resource, waiting int) {
	if res.State == vertex.Running || waiting == 0 && !res.HasParked {
		return
	}
	if l.down == nil {
		l.down = map[string]standing{}
	}
	l.down[res.Name] = standing{res.State, waiting}
}

func (l *late) add(o late) {
	earliest(&l.event, o.event)
	earliest(&l.timer, o.timer)
	if l.down == nil && len(o.down) > 0 {
		l.down = map[string]standing{}
	}
	maps.Copy(l.down, o.down)
}

// reportLate logs what is late, once for each reconcile, so that an alert can tell what
// lasts from what one pass has caught up with.
func (c *Controller) reportLate(ctx context.Context, now time.Time, l late) {
	report := func(since time.Time, event, text string) {
		if age := now.Sub(since); !since.IsZero() && age >= lateAfter*c.cfg.Tick {
			c.log.LogAttrs(ctx, slog.LevelWarn, text, slog.String("event", event), slog.Float64("age_seconds", age.Seconds()))
		}
	}
	report(l.event, "outbox_late", "an outcome event was found unpublished for long")
	report(l.timer, "timer_late", "the timer of a request was found due for long")
	for _, name := range slices.Sorted(maps.Keys(l.down)) {
		c.log.WarnContext(ctx, "requests wait for a persistent resource that is not RUNNING",
			"event", "resource_down", "resource", name, "state", l.down[name].state, "waiting", l.down[name].waiting)
	}
}
