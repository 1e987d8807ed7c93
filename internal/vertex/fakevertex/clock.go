package fakevertex

import (
	"sync"
	"time"
)

// A Clock tells the server the time and wakes the one call that waits for it
// (WaitOperation). A clock that goes back is read as one that stands still.
type Clock interface {
	// Now is the present time. The server keeps microseconds of it, in UTC.
	Now() time.Time

	// AfterFunc calls f once, in a goroutine of the clock's choosing, when d has
	// passed. The function it returns prevents that, and reports whether it did.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// RealClock is the machine's clock.
type RealClock struct{}

// Now is time.Now.
func (RealClock) Now() time.Time { return time.Now() }

// AfterFunc is time.AfterFunc.
func (RealClock) AfterFunc(d time.Duration, f func()) func() bool {
	return time.AfterFunc(d, f).Stop
}

// A ManualClock moves only when a test moves it. It may be used by many goroutines.
type ManualClock struct {
	mu      sync.Mutex
	now     time.Time
	waiters []*waiter // in the order they were added
}

type waiter struct {
	at time.Time
	f  func()
}

// NewManualClock returns a clock that stands at start.
func NewManualClock(start time.Time) *ManualClock { return &ManualClock{now: start} }

// Now is the time the clock stands at.
func (c *ManualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves the clock by d, which must not be negative. On the way it stops at
// every time that a call waits for, and calls its function in the caller's goroutine.
func (c *ManualClock) Advance(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(max(d, 0))
	for {
		next := -1
		for i, w := range c.waiters {
			if !w.at.After(end) && (next < 0 || w.at.Before(c.waiters[next].at)) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		w := c.waiters[next]
		c.waiters = append(c.waiters[:next], c.waiters[next+1:]...)
		if w.at.After(c.now) {
			c.now = w.at
		}
		c.mu.Unlock() // f may read the clock
		w.f()
		c.mu.Lock()
	}
	if end.After(c.now) {
		c.now = end
	}
	c.mu.Unlock()
}

// Waiters is the number of calls to AfterFunc that are still pending, so that a
// test can tell that a call has begun to wait.
func (c *ManualClock) Waiters() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiters)
}

// AfterFunc calls f from the Advance that reaches the time d from now.
func (c *ManualClock) AfterFunc(d time.Duration, f func()) func() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := &waiter{at: c.now.Add(d), f: f}
	c.waiters = append(c.waiters, w)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, other := range c.waiters {
			if other == w {
				c.waiters = append(c.waiters[:i], c.waiters[i+1:]...)
				return true
			}
		}
		return false
	}
}
