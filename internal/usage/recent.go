package usage

import "time"

// Recent is what has been sampled since a history was last written.
type Recent struct {
	// Last is the second of the last sample, 0 for none, and Began that from which on the
	// sums are: seconds since 1970.
	Last  int64 `json:"last,omitempty"`
	Began int64 `json:"began,omitempty"`
	Track
}

// seconds are those since 1970.
func seconds(t time.Time) int64 { return t.Unix() }

// number is that of the bucket of a second.
func number(second int64, width time.Duration) int64 { return second / int64(width/time.Second) }

// Add takes in a sample.
func (r *Recent) Add(s Sample) {
	at := seconds(s.At)
	if at <= max(0, r.Last) {
		return
	}
	from := r.Last
	r.Last = at
	if from == 0 || at-from > int64(MaxGap/time.Second) {
		if len(r.Observed) == 0 {
			r.Began = at
		}
		return
	}
	width := int64(Width / time.Second)
	for from < at {
		n := number(from, Width)
		to := min(at, (n+1)*width)
		r.Observed = with(r.Observed, n, Sums{Seconds: to - from})
		for shape, l := range s.Levels {
			r.add(shape, n, l.over(to-from))
		}
		from = to
	}
}

// moveAfter is how old sums become before they go into the history.
const moveAfter = 15 * time.Minute

// Due says whether the sums are to go into the history with a sample of a moment: they
// begin at least [moveAfter] before it. So they have few buckets, and a history is
// written at most four times an hour.
func (r *Recent) Due(at time.Time) bool {
	return len(r.Observed) > 0 && seconds(at)-r.Began >= int64(moveAfter/time.Second)
}

// Take returns the sums, and begins anew.
func (r *Recent) Take() (t Track) {
	t, r.Track = r.Track, Track{}
	r.Began = r.Last
	return t
}

// Rows is how many buckets there are in all, for a document's weight.
func (r *Recent) Rows() int { return r.rows() }
