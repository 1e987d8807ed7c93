package controller

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// tasks runs the parts of a pass side by side, so that one that hangs delays no
// other. A part has a name, and is not started again while its last run is under
// way: the next pass goes on without it. With one submitter parts run one after
// the other in the caller's goroutine.
type tasks struct {
	inline bool

	mu    sync.Mutex
	busy  map[string]int // runs under way, by name
	slots map[string]chan struct{}
	ended chan struct{} // closed, and replaced, whenever a part ends
	all   sync.WaitGroup
	total progress
	// found is what the last run of each part found, which a later run does not add to;
	// passes are counted by begin.
	found map[string]found
	pass  int
	errs  map[string]error // by name; the last of each
	// failing are those of errs after which the part has not succeeded again.
	failing map[string]error
}

// found is what a part of a pass found, as opposed to what it did.
type found struct {
	pass                            int // for which it stands
	resources, waiting, unsubmitted int
}

// sideBySide is how many resources of one region are worked on at a time.
const sideBySide = 16

func newTasks(inline bool) *tasks {
	t := &tasks{inline: inline, busy: map[string]int{}, slots: map[string]chan struct{}{}, ended: make(chan struct{}),
		found: map[string]found{}, errs: map[string]error{}, failing: map[string]error{}}
	t.total.tasks = t
	return t
}

// start runs a part. Its report is added to the pass's when it ends. A part may
// outlast its pass: its report then counts for the next pass that does not start it
// again. group bounds how many parts run at a time; "" for no bound. A part that is
// still waiting for that when the context ends is left to the next pass.
func (t *tasks) start(ctx context.Context, name, group string, p *progress, do func(*progress) error) {
	if t.inline {
		t.failed(name, do(p))
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	stands := t.found[name]
	stands.pass = t.pass
	t.found[name] = stands // what an earlier run found stands until this one ends
	if t.busy[name] > 0 {
		t.total.more = true
		return
	}
	t.busy[name]++
	slots := t.slots[group]
	if slots == nil && group != "" {
		slots = make(chan struct{}, sideBySide)
		t.slots[group] = slots
	}
	t.all.Go(func() {
		own := progress{tasks: t}
		ran := take(ctx, slots)
		if ran {
			t.failed(name, do(&own))
			if slots != nil {
				<-slots
			}
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if ran {
			t.found[name] = found{t.found[name].pass, own.Resources, own.Waiting, own.Pending}
		}
		own.Resources, own.Waiting, own.Pending, own.more = 0, 0, 0, own.more || !ran
		t.total.add(own)
		if t.busy[name]--; t.busy[name] == 0 {
			delete(t.busy, name)
		}
		close(t.ended)
		t.ended = make(chan struct{})
	})
}

// take takes a slot, and reports false if the context ends before. Without slots
// there is nothing to wait for.
func take(ctx context.Context, slots chan struct{}) bool {
	if slots == nil {
		return true
	}
	select {
	case slots <- struct{}{}:
		if ctx.Err() == nil {
			return true
		}
		<-slots
	case <-ctx.Done():
	}
	return false
}

func (t *tasks) failed(name string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if delete(t.failing, name); err != nil {
		t.errs[name], t.failing[name] = err, err
	}
}

// wait returns when no part whose name begins so is under way, or after a time.
func (t *tasks) wait(prefix string, most time.Duration) {
	if t.inline {
		return
	}
	over := time.NewTimer(most)
	defer over.Stop()
	for {
		t.mu.Lock()
		ended, under := t.ended, false
		for name := range t.busy {
			under = under || strings.HasPrefix(name, prefix)
		}
		t.mu.Unlock()
		if !under {
			return
		}
		select {
		case <-ended:
		case <-over.C:
			return
		}
	}
}

// begin starts the counts of a pass.
func (t *tasks) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pass++
	t.total.Passes++
	t.total.Waiting, t.total.Pending, t.total.Resources = 0, 0, 0
	t.total.pending, t.total.calls, t.total.more = nil, nil, false
}

// progress returns that of all parts so far, and whether a part is still under way.
func (t *tasks) progress() (p progress, under bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p = t.total
	for _, f := range t.found {
		if f.pass == t.pass {
			p.Resources, p.Waiting, p.Pending = p.Resources+f.resources, p.Waiting+f.waiting, p.Pending+f.unsubmitted
		}
	}
	p.calls, p.pending = maps.Clone(p.calls), maps.Clone(p.pending)
	return p, len(t.busy) > 0
}

// join joins the last error of each part, in the order of their names.
func (t *tasks) join() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(t.errs)) {
		errs = append(errs, t.errs[name])
	}
	return errors.Join(errs...)
}

// progress is the working state of one part of a pass, and what it counts.
type progress struct {
	Report
	unreadable map[ledger.Ref]bool
	pending    map[string]bool // resources on which admitted requests wait for submission slots
	calls      map[string]int  // of Vertex AI in the present pass, by region
	more       bool            // the present pass left something to the next
	late       late
	tasks      *tasks // where it starts further parts
}

// wait records that an admitted request may wait for submission slots.
func (p *progress) wait(rec *ledger.Record) {
	if rec.State == lifecycle.Reserved {
		p.pend(rec.Resource)
	}
}

func (p *progress) pend(resource string) {
	if p.pending == nil {
		p.pending = map[string]bool{}
	}
	p.pending[resource] = true
}

func (p *progress) unread(d ledger.Ref) {
	if p.unreadable == nil {
		p.unreadable = map[ledger.Ref]bool{}
	}
	p.unreadable[d] = true
	p.Unreadable = len(p.unreadable)
}

// called counts calls of Vertex AI about something under a region.
func (p *progress) called(parent string, n int) {
	if p.calls == nil {
		p.calls = map[string]int{}
	}
	p.calls[parent] += n
}

// add adds what a part did.
func (p *progress) add(o progress) {
	p.Resources += o.Resources
	p.Learned += o.Learned
	p.Timers += o.Timers
	p.Started += o.Started
	p.Orphans += o.Orphans
	p.Unheld += o.Unheld
	p.Published += o.Published
	p.Waiting += o.Waiting
	p.Pending += o.Pending
	p.more = p.more || o.more
	p.late.add(o.late)
	for d := range o.unreadable {
		p.unread(d)
	}
	for name := range o.pending {
		p.pend(name)
	}
	for parent, n := range o.calls {
		p.called(parent, n)
	}
}
