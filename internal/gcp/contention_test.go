package gcp

import (
	"testing"
	"time"
)

// Only a commit that is lost makes an update wait; success, and time, end it.
func TestContention(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	const contended = "projects/p/locations/l/persistentResources/contended"
	twice := []string{contended, contended}
	other := []string{"another"}
	var c contention
	c.after(twice, 0, time.Hour, now)
	if wait := c.before(twice, now); wait != 0 {
		t.Errorf("an update that lost nothing waits %v", wait)
	}
	c.after(twice, 2, 10*time.Millisecond, now)
	if wait := c.before(twice, now); wait != 60*time.Millisecond {
		t.Errorf("after two lost tries of 10 ms: %v, want 60 ms", wait)
	}
	if wait := c.before(other, now); wait != 0 {
		t.Errorf("another resource waits %v", wait)
	}
	c.after(twice, 9, time.Minute, now)
	if wait := c.before(twice, now); wait != longestWait {
		t.Errorf("after long tries: %v, want at most %v", wait, longestWait)
	}
	for n := 1; ; n++ {
		before := c.before(twice, now)
		c.after(twice, 0, time.Minute, now)
		if c.before(twice, now) == 0 {
			break
		}
		if c.before(twice, now) >= before || n > 200 {
			t.Fatalf("after %d updates that lost nothing: %v", n, c.before(twice, now))
		}
	}
	c.after(twice, 1, time.Minute, now)
	if wait := c.before(twice, now.Add(contendedFor+1)); wait != 0 || len(c.waits) != 0 {
		t.Errorf("long after the last loss: %v, %d remembered", wait, len(c.waits))
	}
}
