package replay

import "errors"

// A Size is how long jobs wait with so many replicas of one pool.
type Size struct {
	Replicas int64 `json:"replicas"`
	Score
	OK bool `json:"ok"` // the p95 of the waits is short enough
	// TooLong says that the last job would end after more than 200 years. There is no
	// score then.
	TooLong bool `json:"tooLong,omitempty"`
}

// A Search says where [FindSize] looks.
type Search struct {
	Least, Most, Step int64   // sizes are Least, Least+Step and so on, up to Most
	First             int64   // where to begin
	Target            Seconds // the p95 of all waits is to be at most this
}

// FindSize looks for a number of replicas of one pool that brings the p95 of all waits
// to the target, while one step fewer does not. It returns the sizes around it, or the
// largest one if none suffices. score runs the workload with a number of replicas. The
// error is one of score, but not [ErrTooLong].
//
// More replicas mostly shorten waits but not always: no backfill policy promises that.
// So a smaller size than the one found may suffice too.
func FindSize(s Search, score func(int64) (Score, error)) (sizes []Size, found bool, err error) {
	tried := map[int64]Size{}
	try := func(k int64) Size { // k steps from the least
		size, ok := tried[k]
		if !ok && err == nil {
			size.Replicas = s.Least + k*s.Step
			size.Score, err = score(size.Replicas)
			if errors.Is(err, ErrTooLong) {
				size.TooLong, err = true, nil
			}
			size.OK = !size.TooLong && size.P95 <= s.Target
			tried[k] = size
		}
		return size
	}
	last := (s.Most - s.Least) / s.Step
	first := max(0, min(last, (s.First-s.Least)/s.Step))
	lo, hi := int64(-1), last+1 // lo is too few, hi suffices; neither is tried
	for stride := max(1, first/8); hi-lo > 1 && err == nil; {
		k := first
		switch {
		case lo < 0 && hi > last: // nothing is known
		case lo < 0:
			k = max(0, hi-stride)
			stride *= 2
		case hi > last:
			k = min(last, lo+stride)
			stride *= 2
		default:
			k = lo + (hi-lo)/2
		}
		if try(k).OK {
			hi = k
		} else {
			lo = k
		}
	}
	if hi > last {
		return []Size{try(last)}, false, err
	}
	for k := max(0, hi-1); k <= min(last, hi+1); k++ {
		sizes = append(sizes, try(k))
	}
	return sizes, true, err
}
