package controller

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"example.com/berth/internal/ledger"
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

// What a part did is added field by field, and documents and resources once each.
func TestProgressIsAdded(t *testing.T) {
	one, two, three := ledger.RecordRef("a"), ledger.RecordRef("b"), ledger.RecordRef("c")
	p := progress{Report: Report{Resources: 1, Learned: 2, Timers: 3, Started: 4, Orphans: 5, Unheld: 6, Published: 7, Waiting: 8, Pending: 9}}
	p.unread(one)
	p.pend("r")
	p.called("x", 2)
	o := progress{Report: Report{Resources: 10, Learned: 20, Timers: 30, Started: 40, Orphans: 50, Unheld: 60, Published: 70, Waiting: 80, Pending: 90}, more: true}
	o.unread(one)
	o.unread(two)
	o.unread(three)
	o.pend("s")
	o.pend("t")
	o.called("x", 3)
	o.called("y", 1)
	p.add(o)
	want := Report{Resources: 11, Learned: 22, Timers: 33, Started: 44, Orphans: 55, Unheld: 66, Published: 77, Waiting: 88, Pending: 99, Unreadable: 3}
	if p.Report != want || !p.more || !p.pending["r"] || !p.pending["s"] || !p.pending["t"] || p.calls["x"] != 5 || p.calls["y"] != 1 {
		t.Errorf("%+v, pending %v, calls %v; want %+v", p.Report, p.pending, p.calls, want)
	}
	if p.add(progress{}); p.Report != want || !p.more {
		t.Errorf("after nothing: %+v, more %v", p.Report, p.more)
	}
}

// A part that is under way is not started again, which the pass counts as work left;
// one that has run leaves none.
func TestPartUnderWayIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parts, runs := newTasks(false), 0
		parts.begin()
		part := func(*progress) error {
			runs++
			time.Sleep(time.Second)
			return nil
		}
		parts.start(t.Context(), "a", "", nil, part)
		if r, under := parts.progress(); r.more || !under {
			t.Errorf("a part was started: more %v, under way %v", r.more, under)
		}
		parts.start(t.Context(), "a", "", nil, part)
		if r, _ := parts.progress(); !r.more {
			t.Error("a part is not started again, and nothing is left")
		}
		parts.all.Wait()
		parts.begin()
		parts.start(t.Context(), "a", "", nil, part)
		parts.all.Wait()
		if r, under := parts.progress(); r.more || under || runs != 2 || r.Passes != 2 {
			t.Errorf("after two runs: more %v, under way %v, %d runs in %d passes", r.more, under, runs, r.Passes)
		}
	})
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
