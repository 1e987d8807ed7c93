// Package batch does together what arrives together. A caller that finds a [Queue]
// idle starts at once, alone; callers that arrive while it works form the next batch.
// So there is no wait without load, and under load the batches grow until they keep
// up.
//
// There is no goroutine behind it: the caller of one of its items does a batch, and
// then makes a caller of the next batch its leader. Nothing is under way once every
// caller has returned, and no caller works for others after its own item is done.
//
// Callers belong to tenants, and a batch takes one call of each tenant after the
// other: a tenant with a thousand calls waiting delays another's by no more than its
// share of one batch.
package batch

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// Limits bound a [Queue]. All have to be positive.
type Limits struct {
	Items int // of one batch
	Bytes int // of one batch; a single item may be larger
	// Waiting and WaitingBytes bound the items that wait for a batch, and so the
	// memory that a burst can take.
	Waiting      int
	WaitingBytes int
}

// ErrFull means that too many items wait already. The item was not taken.
var ErrFull = errors.New("batch: too many calls are waiting")

// A Queue takes items one by one and does them batch by batch, one batch at a
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

// A call is an item and the caller that waits for it.
type call[T any] struct {
	ctx    context.Context
	tenant string
	bytes  int
	item   T
	// ready gets one value: true to lead the next batch, false when the item is done.
	// It has room for it, so a sender never waits for a caller that has gone.
	ready chan bool
}

// Work does a batch. Until it has done what cannot be undone it may call more, which
// adds to the batch the items that wait by then and returns them, as far as the batch
// has room.
type Work[T any] func(ctx context.Context, items []T, more func() []T)

// NewQueue returns an idle queue.
func NewQueue[T any](limits Limits) *Queue[T] {
	return &Queue[T]{limits: limits, waiting: map[string][]*call[T]{}}
}

// Idle reports whether nothing is under way or waits.
func (q *Queue[T]) Idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.busy && q.count == 0
}

// Do waits until the item has been through work, in a batch with others, and
// returns nil. This caller's work may do others' items as well, and another
// caller's this one, so results are returned in the items. The context of a batch ends
// when those of all its callers have.
//
// It returns [ErrFull], or the context's error, if the item is in no batch. Do waits
// for an item that is in one even after the context has ended.
func (q *Queue[T]) Do(ctx context.Context, tenant string, bytes int, item T, work Work[T]) error {
	c := &call[T]{ctx, tenant, bytes, item, make(chan bool, 1)}
	if err := ctx.Err(); err != nil {
		return err
	}
	lead, err := q.join(c)
	if err != nil {
		return err
	}
	if !lead {
		select {
		case lead = <-c.ready:
		case <-ctx.Done():
			if q.leave(c) {
				return ctx.Err()
			}
			lead = <-c.ready
		}
	}
	if lead {
		q.lead(ctx, c, work)
	}
	return nil
}

// join makes the caller the leader of an idle queue, or lets it wait.
func (q *Queue[T]) join(c *call[T]) (lead bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case !q.busy:
		q.busy = true
		return true, nil
	case q.count >= q.limits.Waiting || q.count > 0 && q.bytes+c.bytes > q.limits.WaitingBytes:
		return false, ErrFull
	}
	if len(q.waiting[c.tenant]) == 0 {
		q.order = append(q.order, c.tenant)
	}
	q.waiting[c.tenant] = append(q.waiting[c.tenant], c)
	q.count++
	q.bytes += c.bytes
	return false, nil
}

// leave takes back a call that still waits.
func (q *Queue[T]) leave(c *call[T]) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting[c.tenant], c)
	if i < 0 {
		return false
	}
	q.remove(c.tenant, i)
	return true
}

// remove takes out a tenant's i-th call, and the tenant when it was the last.
func (q *Queue[T]) remove(tenant string, i int) *call[T] {
	c := q.waiting[tenant][i]
	q.waiting[tenant] = slices.Delete(q.waiting[tenant], i, i+1)
	q.count--
	q.bytes -= c.bytes
	if len(q.waiting[tenant]) == 0 {
		delete(q.waiting, tenant)
		q.order = slices.DeleteFunc(q.order, func(p string) bool { return p == tenant })
	}
	return c
}

// lead does a batch that begins with the leader's own item.
func (q *Queue[T]) lead(ctx context.Context, c *call[T], work Work[T]) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	b := &batch[T]{queue: q, bytes: c.bytes, cancel: cancel}
	// Even if work panics, no caller may wait forever.
	defer func() {
		q.startNext()
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
	queue  *Queue[T]
	others []*call[T] // beside the leader's
	bytes  int
	cancel context.CancelFunc
	open   atomic.Int64 // callers whose context has not ended
	stops  []func() bool
}

// more adds waiting calls to the batch, as far as there is room.
func (b *batch[T]) more() (items []T) {
	defer b.leave()
	if b.open.Add(1) == 1 {
		return nil // its context has ended
	}
	for _, c := range b.queue.fill(len(b.others)+1, &b.bytes) {
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

// fill takes the waiting calls that fit beside so many items of so many bytes, one of
// each tenant after the other.
func (q *Queue[T]) fill(items int, bytes *int) (taken []*call[T]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.count > 0 && items+len(taken) < q.limits.Items {
		next := q.waiting[q.order[0]][0]
		if *bytes+next.bytes > q.limits.Bytes {
			break
		}
		*bytes += next.bytes
		taken = append(taken, q.next())
	}
	return taken
}

// next takes the first call of the next tenant.
func (q *Queue[T]) next() *call[T] {
	tenant := q.order[0]
	c := q.remove(tenant, 0)
	if len(q.order) > 0 && q.order[0] == tenant { // it has more calls, after those of the others
		q.order = append(q.order[1:], tenant)
	}
	return c
}

// startNext makes the next caller the leader, or the queue idle.
func (q *Queue[T]) startNext() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.count == 0 {
		q.busy = false
		return
	}
	q.next().ready <- true
}
