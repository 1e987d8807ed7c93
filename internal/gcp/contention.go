package gcp

import (
	"slices"
	"sync"
	"time"
)

// Bounds of the wait before an update of a resource that other processes write.
const (
	shortestWait = 2 * time.Millisecond
	longestWait  = time.Second
	contendedFor = 5 * time.Second // after the last commit that was lost
)

// contention knows which resources other processes write at the same time. An update
// of one waits before its first try as well, for about as long as the others' tries
// take. Otherwise only the losers would back off, and the winner would go on at once
// with the little work that had arrived. Work that arrives while an update waits goes
// with it ([ledger.Hints.More]), so the fewer commits get through, the more each
// carries. A process that writes alone never waits.
//
// The wait adapts as in AIMD: it grows by a few tries' time with each lost commit and
// shrinks by a twentieth with each update that loses none. So about one commit in ten
// is lost whatever the number of processes.
type contention struct {
	mu    sync.Mutex
	waits map[string]contended // by resource, only those that others write
}

// contended is one resource that other processes write.
type contended struct {
	wait time.Duration // of the next update, at most
	lost time.Time     // when a commit was lost last
}

// before is how long an update waits at most, 0 if no other process writes its
// resources.
func (c *contention) before(resources []string, now time.Time) (wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range resources {
		w := c.waits[name]
		if now.Sub(w.lost) > contendedFor {
			delete(c.waits, name)
			continue
		}
		wait = max(wait, w.wait)
	}
	return wait
}

// after learns from an update that lost so many tries; the last took some time.
func (c *contention) after(resources []string, lost int, took time.Duration, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	resources = slices.Sorted(slices.Values(resources))
	for _, name := range slices.Compact(resources) { // each of a group may have named it
		w := c.waits[name]
		if lost > 0 {
			w = contended{min(w.wait+3*time.Duration(lost)*took, longestWait), now}
		} else {
			w.wait = w.wait * 19 / 20
		}
		if w.wait < shortestWait {
			delete(c.waits, name)
			continue
		}
		if c.waits == nil {
			c.waits = map[string]contended{}
		}
		c.waits[name] = w
	}
}
