package controller

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/berth/internal/vertex"
)

// alarms logs an outage once, and not once per call, request or pass. Otherwise an
// outage of a night fills the log with thousands of copies of one error.
type alarms struct {
	mu sync.Mutex
	of map[string]*outage // by part of a pass; a region's resources and timers are one part
}

// An outage is the failures of one part.
type outage struct {
	failed int // reconciles in a row, a few good ones between them not counted
	good   int // reconciles without an error since
	logged bool
	last   time.Time // when the last one failed, on the monotonic clock
}

const (
	// alarmAfter is how many reconciles must fail: a single failure is common.
	alarmAfter = 3
	// quietAfter is how many must succeed until an outage is over.
	quietAfter = 10
	// loggedFor is how long after its last failure an outage is not logged again:
	// when half of the calls fail, some reconciles in a row meet none of them.
	loggedFor = time.Hour
)

// countOutage counts how the parts of a reconcile ended, and logs outages that begin or
// end. errs has the parts whose last run failed, by name.
func (c *Controller) countOutage(ctx context.Context, errs map[string]error) {
	c.alarms.mu.Lock()
	defer c.alarms.mu.Unlock()
	if c.alarms.of == nil {
		c.alarms.of = map[string]*outage{}
	}
	now, failed := c.env.Monotonic(), map[string]error{}
	for name, err := range errs {
		failed[subject(name)] = err
	}
	var news []string
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		o := c.alarms.of[name]
		if o == nil {
			o = &outage{}
			c.alarms.of[name] = o
		}
		o.failed, o.good, o.last = o.failed+1, 0, now
		if o.failed >= alarmAfter && !o.logged {
			o.logged = true
			news = append(news, name)
		}
	}
	if len(news) > 0 {
		c.log.ErrorContext(ctx, "reconcile keeps failing here; what it could not do is done once it can be",
			"event", "outage", "parts", strings.Join(news, ", "), "error", failed[news[0]])
	}
	for _, name := range slices.Sorted(maps.Keys(c.alarms.of)) {
		o := c.alarms.of[name]
		if failed[name] != nil {
			continue
		}
		switch o.good++; {
		case now.Sub(o.last) > loggedFor || o.good >= quietAfter && !o.logged:
			delete(c.alarms.of, name)
		case o.good == quietAfter:
			c.log.InfoContext(ctx, "reconcile works here again", "event", "outage_over", "part", name)
		}
	}
}

// subject is what an operator checks: the region, the ledger, the topic.
func subject(part string) string {
	if strings.HasPrefix(part, "events") {
		return "events"
	}
	if i := strings.Index(part, "projects/"); i >= 0 {
		return vertex.NameOf(part[i:]).Parent()
	}
	return "ledger"
}
