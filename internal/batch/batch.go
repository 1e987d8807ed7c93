// Package batch does together what arrives together. Whoever finds a [Line]
// idle starts at once, alone; those who arrive while it works form the next
// batch. So there is no wait when there is no load, and under load the batches
// grow until they keep up.
//
// There is no goroutine behind it: a batch is done by one of those whose work is
// in it, and when it is done, it hands the next batch to one of the next. Nothing
// is under way once every caller has returned, and nobody works for others after
// its own work is done.
//
// Callers belong to tenants (tenants), and a batch takes from each tenant in
// turn: one with a thousand calls waiting delays another's by no more than its
// share of one batch.
package batch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// Limits bound a [Line]. All have to be positive.
type Limits struct {
	Items int // of one batch
	Bytes int // of one batch; a single item may be larger
	// Waiting and WaitingBytes bound what waits for its batch, and with it the
	// memory that a burst can take.
	Waiting      int
	WaitingBytes int
}

// ErrFull means that too much waits already. The item was not taken.
var ErrFull = errors.New("batch: too many calls are waiting")

// A Line takes items one by one and does them batch by batch, one batch at a
// time. It is safe for concurrent use.
type Queue[T any] struct {
	limits Limits

	mu      sync.Mutex
	busy    bool                  // a batch is under way
	order   []string              // tenants that wait, the next one first
	waiting map[string][]*call[T] // by tenant, oldest first
	count   int                   // of all that wait
	bytes   int
}

// A call is an item and whoever waits for it.
type call[T any] struct {
	ctx    context.Context
	tenant string
	bytes  int
	item   T
	// wake is sent once: true to lead the next batch, false when the item is
	// done. It has room, so that nobody waits for a caller that has gone.
	ready chan bool
}

// Work does a batch. Until it has done what cannot be undone it may ask for more:
// what has come to wait since, as far as the batch has room. That then belongs to
// the batch as well.
type Work[T any] func(ctx context.Context, items []T, more func() []T)

// NewLine returns an idle line.
func NewQueue[T any](l Limits) *Queue[T] {
	return &Queue[T]{limits: l, waiting: map[string][]*call[T]{}}
}

// Idle reports whether nothing is under way or waits.
func (l *Queue[T]) Idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.busy && l.count == 0
}

// Do waits until the item has been through work, in a batch with others, and
// returns nil. This caller's work may do others' items as well, and another
// caller's this one; the results travel in the items. The context of
// a batch ends when those of all its callers have.
//
// It returns [ErrFull], or the context's error, if the item was never taken up.
// An item that has been taken up is waited for whatever becomes of the context.
func (l *Queue[T]) Do(ctx context.Context, tenant string, bytes int, item T, work Work[T]) error {
	c := &call[T]{ctx, tenant, bytes, item, make(chan bool, 1)}
	if err := ctx.Err(); err != nil {
		return err
	}
	lead, err := l.join(c)
	if err != nil {
		return err
	}
	if !lead {
		select {
		case lead = <-c.ready:
		case <-ctx.Done():
			if l.leave(c) {
				return ctx.Err()
			}
			lead = <-c.ready
		}
	}
	if lead {
		l.lead(ctx, c, work)
	}
	return nil
}

// join makes the caller the leader of an idle line, or lets it wait.
func (l *Queue[T]) join(c *call[T]) (lead bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.busy:
		l.busy = true
		return true, nil
	case l.count >= l.limits.Waiting || l.count > 0 && l.bytes+c.bytes > l.limits.WaitingBytes:
		return false, ErrFull
	}
	if len(l.waiting[c.tenant]) == 0 {
		l.order = append(l.order, c.tenant)
	}
	l.waiting[c.tenant] = append(l.waiting[c.tenant], c)
	l.count++
	l.bytes += c.bytes
	return false, nil
}

// leave takes back a call that still waits.
func (l *Queue[T]) leave(c *call[T]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting[c.tenant], c)
	if i < 0 {
		return false
	}
	l.remove(c.tenant, i)
	return true
}

// remove takes out the call at a place of a tenant's, and the tenant when it was
// the last.
func (l *Queue[T]) remove(tenant string, i int) *call[T] {
	c := l.waiting[tenant][i]
	l.waiting[tenant] = slices.Delete(l.waiting[tenant], i, i+1)
	l.count--
	l.bytes -= c.bytes
	if len(l.waiting[tenant]) == 0 {
		delete(l.waiting, tenant)
		l.order = slices.DeleteFunc(l.order, func(p string) bool { return p == tenant })
	}
	return c
}

// lead does a batch that begins with the leader's own item.
func (l *Queue[T]) lead(ctx context.Context, c *call[T], work Work[T]) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	b := &batch[T]{line: l, bytes: c.bytes, cancel: cancel}
	// Even if work panics, nobody may wait forever.
	defer func() {
		l.startNext()
		b.end()
	}()
	b.open.Add(1)
	b.watch(c)
	items := append([]T{c.item}, b.more()...)
	b.leave()
	work(ctx, items, b.more)
}

// A batch is one that is under way.
type batch[T any] struct {
	line   *Queue[T]
	others []*call[T] // beside the leader's
	bytes  int
	cancel context.CancelFunc
	open   atomic.Int64 // callers whose context has not ended
	stops  []func() bool
}

// more takes in what has come to wait, as far as there is room.
func (b *batch[T]) more() (items []T) {
	defer b.leave()
	if b.open.Add(1) == 1 {
		return nil // its context has ended
	}
	for _, c := range b.line.fill(len(b.others)+1, &b.bytes) {
		b.watch(c)
		b.others = append(b.others, c)
		items = append(items, c.item)
	}
	return items
}

// watch keeps the batch's context open as long as the caller's is.
func (b *batch[T]) watch(c *call[T]) {
	b.open.Add(1)
	b.stops = append(b.stops, context.AfterFunc(c.ctx, b.leave))
}

func (b *batch[T]) leave() {
	if b.open.Add(-1) == 0 {
		b.cancel()
	}
}

func (b *batch[T]) end() {
	for _, stop := range b.stops {
		stop()
	}
	for _, c := range b.others {
		c.ready <- false
	}
}

// fill takes what waits and fits beside so many items of so many bytes, each
// tenant in turn.
func (l *Queue[T]) fill(items int, bytes *int) (taken []*call[T]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.count > 0 && items+len(taken) < l.limits.Items {
		next := l.waiting[l.order[0]][0]
		if *bytes+next.bytes > l.limits.Bytes {
			break
		}
		*bytes += next.bytes
		taken = append(taken, l.next())
	}
	return taken
}

// next takes the first call of the tenant whose turn it is.
func (l *Queue[T]) next() *call[T] {
	tenant := l.order[0]
	c := l.remove(tenant, 0)
	if len(l.order) > 0 && l.order[0] == tenant { // it has more: to the end
		l.order = append(l.order[1:], tenant)
	}
	return c
}

// passOn makes the next caller the leader, or the line idle.
func (l *Queue[T]) startNext() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == 0 {
		l.busy = false
		return
	}
	l.next().ready <- true
}
