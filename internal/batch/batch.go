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
// Callers belong to parties (tenants), and a batch takes from each party in
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
type Line[T any] struct {
	limits Limits

	mu      sync.Mutex
	busy    bool                  // a batch is under way
	turns   []string              // parties that wait, the next one first
	waiting map[string][]*call[T] // by party, oldest first
	count   int                   // of all that wait
	bytes   int
}

// A call is an item and whoever waits for it.
type call[T any] struct {
	ctx   context.Context
	party string
	bytes int
	item  T
	// wake is sent once: true to lead the next batch, false when the item is
	// done. It has room, so that nobody waits for a caller that has gone.
	wake chan bool
}

// NewLine returns an idle line.
func NewLine[T any](l Limits) *Line[T] {
	return &Line[T]{limits: l, waiting: map[string][]*call[T]{}}
}

// Idle reports whether nothing is under way or waits.
func (l *Line[T]) Idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.busy && l.count == 0
}

// Do waits until the item has been through do, in a batch with others, and
// returns nil. do may be called by this caller for others' items as well, and by
// another caller for this one's; the results travel in the items. The context of
// a batch ends when those of all its callers have.
//
// It returns [ErrFull], or the context's error, if the item was never taken up.
// An item that has been taken up is waited for whatever becomes of the context.
func (l *Line[T]) Do(ctx context.Context, party string, bytes int, item T, do func(context.Context, []T)) error {
	c := &call[T]{ctx, party, bytes, item, make(chan bool, 1)}
	if err := ctx.Err(); err != nil {
		return err
	}
	lead, err := l.join(c)
	if err != nil {
		return err
	}
	if !lead {
		select {
		case lead = <-c.wake:
		case <-ctx.Done():
			if l.leave(c) {
				return ctx.Err()
			}
			lead = <-c.wake
		}
	}
	if lead {
		l.lead(ctx, c, do)
	}
	return nil
}

// join makes the caller the leader of an idle line, or lets it wait.
func (l *Line[T]) join(c *call[T]) (lead bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !l.busy:
		l.busy = true
		return true, nil
	case l.count >= l.limits.Waiting || l.count > 0 && l.bytes+c.bytes > l.limits.WaitingBytes:
		return false, ErrFull
	}
	if len(l.waiting[c.party]) == 0 {
		l.turns = append(l.turns, c.party)
	}
	l.waiting[c.party] = append(l.waiting[c.party], c)
	l.count++
	l.bytes += c.bytes
	return false, nil
}

// leave takes back a call that still waits.
func (l *Line[T]) leave(c *call[T]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting[c.party], c)
	if i < 0 {
		return false
	}
	l.remove(c.party, i)
	return true
}

// remove takes out the call at a place of a party's, and the party when it was
// the last.
func (l *Line[T]) remove(party string, i int) *call[T] {
	c := l.waiting[party][i]
	l.waiting[party] = slices.Delete(l.waiting[party], i, i+1)
	l.count--
	l.bytes -= c.bytes
	if len(l.waiting[party]) == 0 {
		delete(l.waiting, party)
		l.turns = slices.DeleteFunc(l.turns, func(p string) bool { return p == party })
	}
	return c
}

// lead does a batch that begins with the leader's own item.
func (l *Line[T]) lead(ctx context.Context, c *call[T], do func(context.Context, []T)) {
	others := l.fill(c)
	items := []T{c.item}
	calls := []*call[T]{c}
	for _, o := range others {
		items, calls = append(items, o.item), append(calls, o)
	}
	// Even if do panics, nobody may wait forever.
	defer func() {
		l.passOn()
		for _, o := range others {
			o.wake <- false
		}
	}()
	ctx, cancel := together(ctx, calls)
	defer cancel()
	do(ctx, items)
}

// fill takes what waits and fits into the leader's batch, each party in turn.
func (l *Line[T]) fill(leader *call[T]) []*call[T] {
	l.mu.Lock()
	defer l.mu.Unlock()
	var batch []*call[T]
	bytes := leader.bytes
	for l.count > 0 && len(batch)+1 < l.limits.Items {
		next := l.waiting[l.turns[0]][0]
		if bytes += next.bytes; bytes > l.limits.Bytes {
			break
		}
		batch = append(batch, l.next())
	}
	return batch
}

// next takes the first call of the party whose turn it is.
func (l *Line[T]) next() *call[T] {
	party := l.turns[0]
	c := l.remove(party, 0)
	if len(l.turns) > 0 && l.turns[0] == party { // it has more: to the end
		l.turns = append(l.turns[1:], party)
	}
	return c
}

// passOn makes the next caller the leader, or the line idle.
func (l *Line[T]) passOn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == 0 {
		l.busy = false
		return
	}
	l.next().wake <- true
}

// together is a context that lasts as long as that of one of the calls does, the
// leader's among them.
func together[T any](leader context.Context, calls []*call[T]) (context.Context, context.CancelFunc) {
	if len(calls) == 1 {
		return context.WithCancel(leader)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(leader))
	var left atomic.Int64
	left.Store(int64(len(calls)))
	var stops []func() bool
	for _, c := range calls {
		stops = append(stops, context.AfterFunc(c.ctx, func() {
			if left.Add(-1) == 0 {
				cancel()
			}
		}))
	}
	return ctx, func() {
		cancel()
		for _, stop := range stops {
			stop()
		}
	}
}
