package batch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"example.com/berth/internal/batch"
)

var wide = batch.Limits{Items: 100, Bytes: 1000, Waiting: 1000, WaitingBytes: 10000}

// A bench does batches and remembers them. Each batch waits for open.
type bench struct {
	mu      sync.Mutex
	batches [][]string
	open    chan struct{}
}

func (b *bench) do(_ context.Context, items []string, _ func() []string) {
	b.mu.Lock()
	b.batches = append(b.batches, slices.Clone(items))
	b.mu.Unlock()
	<-b.open
}

func equal(t *testing.T, got [][]string, want ...[]string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("batches %v, want %v", got, want)
	}
}

// start calls Do for one item after the other, each in a goroutine of its own.
func start(ctx context.Context, l *batch.Queue[string], b *bench, tenant string, size int, items ...string) *sync.WaitGroup {
	var wg sync.WaitGroup
	for _, item := range items {
		wg.Go(func() { _ = l.Do(ctx, tenant, size, item, b.do) })
		synctest.Wait()
	}
	return &wg
}

// The first caller starts at once; callers that arrive meanwhile are one batch.
func TestNextBatchIsWhatArrivedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, b := batch.NewQueue[string](wide), &bench{open: make(chan struct{})}
		wg := start(t.Context(), l, b, "", 1, "a", "b", "c", "d")
		equal(t, b.batches, []string{"a"})
		b.open <- struct{}{}
		synctest.Wait()
		equal(t, b.batches, []string{"a"}, []string{"b", "c", "d"})
		close(b.open)
		wg.Wait()
		if !l.Idle() {
			t.Error("the queue is not idle when all have returned")
		}
	})
}

func TestLimitsOfABatch(t *testing.T) {
	for name, test := range map[string]struct {
		limits batch.Limits
		size   int
		want   [][]string
	}{
		"items":              {batch.Limits{Items: 2, Bytes: 1000, Waiting: 9, WaitingBytes: 1000}, 1, [][]string{{"a"}, {"b", "c"}, {"d", "e"}}},
		"bytes":              {batch.Limits{Items: 9, Bytes: 30, Waiting: 9, WaitingBytes: 1000}, 10, [][]string{{"a"}, {"b", "c", "d"}, {"e"}}},
		"one too large goes": {batch.Limits{Items: 9, Bytes: 5, Waiting: 9, WaitingBytes: 1000}, 10, [][]string{{"a"}, {"b"}, {"c"}, {"d"}, {"e"}}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, b := batch.NewQueue[string](test.limits), &bench{open: make(chan struct{})}
				wg := start(t.Context(), l, b, "", test.size, "a", "b", "c", "d", "e")
				close(b.open)
				wg.Wait()
				equal(t, b.batches, test.want...)
			})
		})
	}
}

// A tenant with many calls waiting does not keep another's out of the next batch.
func TestTenantsShareBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, b := batch.NewQueue[string](batch.Limits{Items: 3, Bytes: 1000, Waiting: 99, WaitingBytes: 1000}), &bench{open: make(chan struct{})}
		many := start(t.Context(), l, b, "many", 1, "m0", "m1", "m2", "m3", "m4", "m5")
		one := start(t.Context(), l, b, "one", 1, "o1")
		two := start(t.Context(), l, b, "two", 1, "t1", "t2")
		close(b.open)
		many.Wait()
		one.Wait()
		two.Wait()
		equal(t, b.batches, []string{"m0"}, []string{"m1", "o1", "t1"}, []string{"m2", "t2", "m3"}, []string{"m4", "m5"})
	})
}

func TestFull(t *testing.T) {
	for name, limits := range map[string]batch.Limits{
		"calls": {Items: 9, Bytes: 99, Waiting: 2, WaitingBytes: 1000},
		"bytes": {Items: 9, Bytes: 99, Waiting: 99, WaitingBytes: 20},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l, b := batch.NewQueue[string](limits), &bench{open: make(chan struct{})}
				wg := start(t.Context(), l, b, "", 10, "a", "b", "c")
				if err := l.Do(t.Context(), "", 10, "d", b.do); !errors.Is(err, batch.ErrFull) {
					t.Errorf("one too many: %v, want ErrFull", err)
				}
				close(b.open)
				wg.Wait()
				equal(t, b.batches, []string{"a"}, []string{"b", "c"})
			})
		})
	}
}

// A caller that gives up while it waits leaves no trace; one whose item has been
// taken up stays until it is done.
func TestGivingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, b := batch.NewQueue[string](wide), &bench{open: make(chan struct{})}
		first := start(t.Context(), l, b, "", 1, "a")
		ctx, cancel := context.WithCancel(t.Context())
		var gone error
		var wg sync.WaitGroup
		wg.Go(func() { gone = l.Do(ctx, "", 1, "b", b.do) })
		synctest.Wait()
		last := start(t.Context(), l, b, "", 1, "c")
		cancel()
		wg.Wait()
		if !errors.Is(gone, context.Canceled) {
			t.Errorf("a caller that gave up got %v", gone)
		}
		b.open <- struct{}{}
		synctest.Wait()
		equal(t, b.batches, []string{"a"}, []string{"c"})
		close(b.open)
		first.Wait()
		last.Wait()
		if err := l.Do(ctx, "", 1, "d", b.do); !errors.Is(err, context.Canceled) || len(b.batches) != 2 {
			t.Errorf("a caller that had gone before it came got %v", err)
		}
	})
}

// The context of a batch outlives its leader's, and ends with the last caller's.
func TestContextOfABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, b := batch.NewQueue[string](wide), &bench{open: make(chan struct{})}
		first := start(t.Context(), l, b, "", 1, "a")
		var running context.Context
		do := func(ctx context.Context, _ []string, _ func() []string) {
			running = ctx
			<-b.open
		}
		b2, cancel2 := context.WithCancel(t.Context())
		b3, cancel3 := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = l.Do(b2, "", 1, "b", do) })
		wg.Go(func() { _ = l.Do(b3, "", 1, "c", do) })
		synctest.Wait()
		b.open <- struct{}{}
		synctest.Wait()
		cancel2()
		synctest.Wait()
		if running.Err() != nil {
			t.Error("the batch ended with one of its callers")
		}
		cancel3()
		synctest.Wait()
		if running.Err() == nil {
			t.Error("the batch outlives all its callers")
		}
		close(b.open)
		first.Wait()
		wg.Wait()
	})
}

// A panic fails its own batch only, and the queue goes on.
func TestPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, b := batch.NewQueue[string](wide), &bench{open: make(chan struct{})}
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = l.Do(t.Context(), "", 1, "a", func(context.Context, []string, func() []string) {
				<-b.open
				panic("broken")
			})
		})
		synctest.Wait()
		rest := start(t.Context(), l, b, "", 1, "b", "c")
		close(b.open)
		wg.Wait()
		rest.Wait()
		equal(t, b.batches, []string{"b", "c"})
	})
}

// Work that has to start anew takes in what has come meanwhile, as far as there
// is room, and every caller returns when it is done.
func TestMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, b := batch.NewQueue[string](batch.Limits{Items: 4, Bytes: 1000, Waiting: 99, WaitingBytes: 1000}), &bench{open: make(chan struct{})}
		work := func(ctx context.Context, items []string, more func() []string) {
			b.do(ctx, items, nil)
			b.do(ctx, append(items, more()...), nil)
		}
		var wg sync.WaitGroup
		for _, item := range []string{"a", "b", "c", "d", "e", "f"} {
			wg.Go(func() { _ = l.Do(t.Context(), "", 1, item, work) })
			synctest.Wait()
		}
		close(b.open)
		wg.Wait()
		equal(t, b.batches, []string{"a"}, []string{"a", "b", "c", "d"}, []string{"e", "f"}, []string{"e", "f"})
	})
}

// A caller that joins late keeps the batch's context open, and no caller joins one
// that has ended.
func TestContextWithMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := batch.NewQueue[string](wide)
		var running context.Context
		var late []string
		step := make(chan struct{})
		work := func(ctx context.Context, _ []string, more func() []string) {
			running = ctx
			for range step {
				late = append(late, more()...)
			}
		}
		var wg sync.WaitGroup
		call := func(item string) context.CancelFunc {
			ctx, cancel := context.WithCancel(t.Context())
			wg.Go(func() { _ = l.Do(ctx, "", 1, item, work) })
			synctest.Wait()
			return cancel
		}
		end := func(cancel context.CancelFunc) {
			cancel()
			synctest.Wait()
		}
		first, second := call("a"), call("b")
		step <- struct{}{}
		synctest.Wait()
		end(first)
		if running.Err() != nil || !slices.Equal(late, []string{"b"}) {
			t.Errorf("the batch ended (%v) with its leader's call, or did not take in b: %v", running.Err(), late)
		}
		end(second)
		third := call("c")
		defer third()
		step <- struct{}{}
		synctest.Wait()
		if running.Err() == nil || len(late) != 1 {
			t.Errorf("the batch outlives its callers (%v), or took in another: %v", running.Err(), late)
		}
		close(step)
		wg.Wait()
	})
}
