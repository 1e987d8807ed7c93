package usage

import (
	"time"

	"example.com/berth/internal/capacity"
)

// How far back a history reaches.
const (
	Fine   = 24 * time.Hour
	Coarse = 31 * 24 * time.Hour

	coarseWidth = 6 * time.Hour

	// slack is how much longer narrow buckets are kept. Without it a question about the
	// last 24 hours that arrives a moment later is answered by buckets of 6 hours.
	slack = time.Hour
)

// maxRows bounds the buckets of a history over all shapes. Ten shapes that all are in use
// all the time have 4,686. Beyond it the oldest go first, the coarse ones before the others.
const maxRows = 4800

// MaxBytes bounds a history as JSON.
const MaxBytes = 512 << 10

// A History is what became of the machines of a resource. The zero value knows nothing.
type History struct {
	Fine   Track `json:"fine,omitzero"`   // by [Width]
	Coarse Track `json:"coarse,omitzero"` // the same and what is older, by 6 hours
}

// Add takes in what was sampled until a moment, and forgets what is too old by then.
func (h *History) Add(t Track, now time.Time) {
	h.Fine.merge(t, 1)
	h.Coarse.merge(t, int64(coarseWidth/Width))
	h.Fine.forget(number(seconds(now.Add(-Fine-slack)), Width))
	h.Coarse.forget(number(seconds(now.Add(-Coarse)), coarseWidth))
	for h.Fine.rows()+h.Coarse.rows() > maxRows {
		if h.Coarse.rows() > 0 {
			h.Coarse.forget(h.Coarse.oldest() + 1)
		} else {
			h.Fine.forget(h.Fine.oldest() + 1)
		}
	}
}

// A Total is the sums of one shape.
type Total struct {
	Shape capacity.Shape
	Sums
}

// A Summary is the sums over a stretch of time.
type Summary struct {
	From, To time.Time     // whole buckets, the last of them perhaps not over yet
	Observed time.Duration // of which something is known
	Shapes   []Total       // in order
}

// Since sums up what is known from a moment until now. It begins at the bucket in which
// the moment is: one of 5 minutes if the last 24 hours will do, or an hour more; of 6
// hours otherwise.
// recent is what is in no history yet.
func (h *History) Since(since, now time.Time, recent Track) Summary {
	all, first, width := h.Buckets(since, now, recent)
	s := Summary{From: start(first, width), To: now}
	var observed int64
	for _, b := range all.Observed {
		observed += b.Seconds
	}
	s.Observed = time.Duration(observed) * time.Second
	for _, series := range all.Shapes {
		total := Total{Shape: series.Shape}
		for _, b := range series.Buckets {
			total.Sums = total.plus(b.Sums)
		}
		s.Shapes = append(s.Shapes, total)
	}
	return s
}

// Buckets returns the buckets that [History.Since] sums up, the number of the first one,
// which may be among those left out, and their width.
func (h *History) Buckets(since, now time.Time, recent Track) (all Track, first int64, width time.Duration) {
	t, width := h.Fine, Width
	if since.Before(now.Add(-Fine - slack)) {
		t, width = h.Coarse, coarseWidth
	}
	first = number(seconds(later(since, now.Add(-Coarse))), width)
	all.merge(t, 1)
	all.merge(recent, int64(width/Width))
	all.forget(first)
	return all, first, width
}

// Start is when a bucket of this width begins.
func (b Bucket) Start(width time.Duration) time.Time { return start(b.Number, width) }

func start(number int64, width time.Duration) time.Time {
	return time.Unix(number*int64(width/time.Second), 0).UTC()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
