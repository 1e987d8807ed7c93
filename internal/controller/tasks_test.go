package controller

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// A part that waits for its slot when the pass is over does not begin any more, and
// the next pass knows that something is left.
func TestPartThatWaitsEndsWithItsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parts, release, began := newTasks(false), make(chan struct{}), 0
		parts.begin()
		ctx, cancel := context.WithCancel(t.Context())
		for i := range sideBySide {
			parts.start(ctx, fmt.Sprint("hangs ", i), "region", nil, func(*progress) error {
				<-release
				return nil
			})
		}
		synctest.Wait()
		parts.start(ctx, "waits", "region", nil, func(*progress) error {
			began++
			return nil
		})
		parts.start(ctx, "elsewhere", "another region", nil, func(p *progress) error {
			p.Learned++
			return nil
		})
		synctest.Wait()
		cancel()
		synctest.Wait()
		if parts.busy["waits"] != 0 {
			t.Error("it still waits")
		}
		if r, under := parts.progress(); !r.more || !under || r.Learned != 1 {
			t.Errorf("the pass says more %v, under way %v, learned %d", r.more, under, r.Learned)
		}
		close(release)
		parts.all.Wait()
		if began != 0 {
			t.Error("it began after its pass was over")
		}
		if err := parts.join(); err != nil {
			t.Errorf("a part that never began has failed: %v", err)
		}
	})
}

// What a part found counts once: for the pass that would have started it again, and
// not beside what its next run finds. What it did is never lost.
func TestCountsOfAPartThatOutlastsItsPass(t *testing.T) {
	for name, ends := range map[string]bool{"while the next pass is under way": false, "before the next pass starts it again": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				parts := newTasks(false)
				part := func(took time.Duration, waiting int) func(*progress) error {
					return func(p *progress) error {
						time.Sleep(took)
						p.Learned, p.Waiting, p.Pending, p.Resources = 1, waiting, waiting, 1
						return nil
					}
				}
				check := func(when string, learned, waiting int) {
					t.Helper()
					r, _ := parts.progress()
					if r.Learned != learned || r.Waiting != waiting || r.Pending != waiting || r.Resources != min(waiting, 1) {
						t.Errorf("%s: learned %d, waiting %d, pending %d, resources %d; want %d, %d", when, r.Learned, r.Waiting, r.Pending, r.Resources, learned, waiting)
					}
				}
				parts.begin()
				parts.start(t.Context(), "resource", "", nil, part(5*time.Second, 5))
				parts.wait("", 3*time.Second)
				check("after the first pass", 0, 0)
				parts.begin()
				if ends {
					time.Sleep(3 * time.Second)
					parts.start(t.Context(), "resource", "", nil, part(time.Second, 2))
				} else {
					parts.start(t.Context(), "resource", "", nil, part(time.Second, 2)) // not started: under way
				}
				parts.wait("", 3*time.Second)
				if ends {
					check("after the second pass", 2, 2)
				} else {
					check("after the second pass", 1, 5)
				}
				parts.begin()
				check("in a pass that starts nothing", map[bool]int{true: 2, false: 1}[ends], 0)
			})
		})
	}
}

// An error is returned although the part succeeds later, and is no outage then.
func TestPartThatSucceedsAgain(t *testing.T) {
	parts := newTasks(true)
	parts.begin()
	for _, err := range []error{errors.New("once"), nil} {
		parts.start(t.Context(), "fixed", "", &parts.total, func(*progress) error { return err })
	}
	for _, err := range []error{nil, errors.New("at last")} {
		parts.start(t.Context(), "failing", "", &parts.total, func(*progress) error { return err })
	}
	if len(parts.failing) != 1 || parts.failing["failing"] == nil {
		t.Errorf("an outage of %v, want that of failing", parts.failing)
	}
	if err := parts.join(); err == nil || err.Error() != "at last\nonce" {
		t.Errorf("the errors are %v", err)
	}
}
