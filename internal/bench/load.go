package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/googleapis/gax-go/v2"
)

// A delivery that is not answered by 200 comes again, as Pub/Sub would send it,
// but sooner.
const (
	redeliverAfter = 50 * time.Millisecond
	deliveries     = 100 // of one message, at most
)

// longest is how long one load may take. A delivery without an answer by then
// is reported as such, because a service that does not keep up would never end.
const longest = 3 * time.Minute

var errTooLong = fmt.Errorf("not answered within %s", longest)

// A run is what became of a number of deliveries.
type run struct {
	took    []time.Duration // of each, from when it was due to its 200, ascending
	total   time.Duration   // from the first to the last
	failed  int             // answers other than 200
	example error           // one of them
	left    int             // not answered in time
}

// burst makes deliveries from some clients at once, each of which waits for its
// answer before the next. Instances alternate.
func (w *world) burst(ctx context.Context, clients int, all []delivery) (run, error) {
	began := time.Now()
	return w.load(ctx, clients, all, func(context.Context, int) time.Time { return time.Now() }, began)
}

// steady makes deliveries at an even rate, whether earlier ones are answered or
// not. A delivery that finds all clients busy counts from when it was due.
func (w *world) steady(ctx context.Context, clients int, perSecond float64, all []delivery) (run, error) {
	began := time.Now()
	return w.load(ctx, clients, all, func(ctx context.Context, i int) time.Time {
		due := began.Add(time.Duration(float64(i) / perSecond * float64(time.Second)))
		_ = gax.Sleep(ctx, time.Until(due))
		return due
	}, began)
}

// load hands the deliveries out to the clients in order; due waits until one may
// go and says from when it counts.
func (w *world) load(ctx context.Context, clients int, all []delivery, due func(context.Context, int) time.Time, began time.Time) (run, error) {
	ctx, stop := context.WithTimeoutCause(ctx, longest, errTooLong)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var r run
	var next atomic.Int64
	var mu sync.Mutex
	var group sync.WaitGroup
	for range min(clients, len(all)) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(all) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				from := due(ctx, i)
				failed, err := w.deliver(ctx, w.functions[i%len(w.functions)], all[i])
				took := time.Since(from)
				mu.Lock()
				r.failed += len(failed)
				if len(failed) > 0 {
					r.example = failed[0]
				}
				if err == nil {
					r.took = append(r.took, took)
				}
				mu.Unlock()
				if err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	r.total, r.left = time.Since(began), len(all)-len(r.took)
	slices.Sort(r.took)
	err := context.Cause(ctx)
	if errors.Is(err, errTooLong) && len(r.took) > 0 {
		err = nil
	}
	return r, err
}

// deliver posts until the answer is 200.
func (w *world) deliver(ctx context.Context, f target, d delivery) (failed []error, err error) {
	for range deliveries {
		if err = w.post(ctx, f, d, nil); err == nil || ctx.Err() != nil {
			return failed, err
		}
		failed = append(failed, err)
		_ = gax.Sleep(ctx, redeliverAfter)
	}
	return failed, fmt.Errorf("delivered %d times: %w", deliveries, err)
}

// percentile is the time that a share of the deliveries did not exceed.
func (r run) percentile(share float64) time.Duration {
	return r.took[min(int(share*float64(len(r.took))), len(r.took)-1)]
}

// perSecond is the rate of all.
func (r run) perSecond() float64 { return float64(len(r.took)) / r.total.Seconds() }

// and puts two runs together that were made one after the other.
func (r run) and(o run) run {
	took := append(slices.Clone(r.took), o.took...)
	slices.Sort(took)
	return run{took: took, total: r.total + o.total, failed: r.failed + o.failed, example: cmp.Or(r.example, o.example), left: r.left + o.left}
}
