// Package usage sums up what becomes of the machines of one persistent resource: how
// many there were, who used them, how many were idle, and how many of those while
// requests waited for machines like them. It is pure: time is an argument.
//
// # Words
//
//   - A [Sample] is what one observation says of a resource at a moment.
//   - [Sums] are replicas times seconds, and requests times seconds.
//   - A [Track] has sums by shape and by buckets of one width.
//   - [Recent] is what has been sampled and is in no history yet. It is small, and is
//     stored with what an observation writes anyway.
//   - A [History] has the last 24 hours by 5 minutes, and the last 31 days by 6 hours.
//
// # What is known
//
// A sample says what was true since the sample before it. If that was longer ago than
// [MaxGap], nothing is known of the time between: it is in no sum, and
// [Sums.Seconds] of the resource falls short of the time that has passed by that much.
// A sample that is not later than the one before it counts nothing. Buckets begin at
// multiples of their width since 1970, in UTC.
package usage

import (
	"cmp"
	"math"
	"slices"
	"time"

	"example.com/berth/internal/capacity"
)

// MaxGap is the longest time between two samples of which something is known. The slowest
// tick of a deployment is one in 10 minutes, and a pass may be late.
const MaxGap = 15 * time.Minute

// Width is that of the buckets of [Recent], and of the last day of a [History].
const Width = 5 * time.Minute

// maxLevel bounds the replicas and requests of a sample, so that no sum wraps around. It
// is ten times what one pool may report.
const maxLevel = 10_000_000

// A Level is what is true of the machines of one shape at a moment.
type Level struct {
	Machines    capacity.Replicas // machines there, which are paid for
	Limit       capacity.Replicas // as many as autoscaling may make of them
	Ours        capacity.Replicas // held by our reservations
	Foreign     capacity.Replicas // used by jobs that no reservation names
	Unexplained capacity.Replicas // used by no job that is listed
	Waiting     int               // requests that wait for such machines, perhaps among others
}

// A Sample is what an observation says of a resource. A shape that it does not name has
// no machines, no use and no waiting requests.
type Sample struct {
	At     time.Time
	Levels map[capacity.Shape]Level
}

// Sums are integrals over time: replica-seconds, but for Seconds and the last two.
type Sums struct {
	Seconds     int64 `json:"n,omitempty"` // of which something is known; only of a resource
	Machines    int64 `json:"m,omitempty"`
	Room        int64 `json:"r,omitempty"` // what autoscaling may add to the machines
	Ours        int64 `json:"o,omitempty"`
	Foreign     int64 `json:"f,omitempty"`
	Unexplained int64 `json:"u,omitempty"`
	Idle        int64 `json:"i,omitempty"` // machines that nothing uses
	IdleWaiting int64 `json:"w,omitempty"` // those of them that were idle while a request waited for their shape
	Waiting     int64 `json:"q,omitempty"` // request-seconds
	MaxWaiting  int64 `json:"x,omitempty"` // most requests at one moment
}

// over returns the sums of a level that lasts for some seconds.
func (l Level) over(seconds int64) Sums {
	bound := func(n int64) int64 { return min(max(0, n), maxLevel) }
	machines, limit, waiting := bound(int64(l.Machines)), bound(int64(l.Limit)), bound(int64(l.Waiting))
	ours, foreign, unexplained := bound(int64(l.Ours)), bound(int64(l.Foreign)), bound(int64(l.Unexplained))
	idle := max(0, machines-ours-foreign-unexplained)
	s := Sums{Machines: machines * seconds, Room: max(0, limit-machines) * seconds, Ours: ours * seconds, Foreign: foreign * seconds,
		Unexplained: unexplained * seconds, Idle: idle * seconds, Waiting: waiting * seconds, MaxWaiting: waiting}
	if waiting > 0 {
		s.IdleWaiting = s.Idle
	}
	return s
}

// plus adds sums of different times.
func (s Sums) plus(t Sums) Sums {
	return Sums{s.Seconds + t.Seconds, s.Machines + t.Machines, s.Room + t.Room, s.Ours + t.Ours, s.Foreign + t.Foreign, s.Unexplained + t.Unexplained,
		s.Idle + t.Idle, s.IdleWaiting + t.IdleWaiting, s.Waiting + t.Waiting, max(s.MaxWaiting, t.MaxWaiting)}
}

// A Bucket is the sums of one stretch of time.
type Bucket struct {
	Number int64 `json:"t"` // how many widths its beginning is after 1970
	Sums
}

// A Series is the buckets of one shape, in order. Buckets of nothing are left out.
type Series struct {
	Shape   capacity.Shape `json:"shape"`
	Buckets []Bucket       `json:"buckets"`
}

// A Track is sums by buckets of one width: how long the resource was observed, and
// what became of its machines by shape. Shapes are in order.
type Track struct {
	Observed []Bucket `json:"observed,omitempty"`
	Shapes   []Series `json:"shapes,omitempty"`
}

func (t *Track) add(shape capacity.Shape, number int64, s Sums) {
	if s == (Sums{}) {
		return
	}
	i, found := slices.BinarySearchFunc(t.Shapes, shape, func(s Series, shape capacity.Shape) int { return s.Shape.Compare(shape) })
	if !found {
		t.Shapes = slices.Insert(t.Shapes, i, Series{Shape: shape})
	}
	t.Shapes[i].Buckets = with(t.Shapes[i].Buckets, number, s)
}

// with adds sums to a bucket, and makes it if there is none.
func with(buckets []Bucket, number int64, s Sums) []Bucket {
	i, found := slices.BinarySearchFunc(buckets, number, func(b Bucket, number int64) int { return cmp.Compare(b.Number, number) })
	if !found {
		return slices.Insert(buckets, i, Bucket{number, s})
	}
	buckets[i].Sums = buckets[i].plus(s)
	return buckets
}

// merge adds a track whose buckets are so many times narrower.
func (t *Track) merge(narrow Track, times int64) {
	for _, b := range narrow.Observed {
		t.Observed = with(t.Observed, b.Number/times, b.Sums)
	}
	for _, s := range narrow.Shapes {
		for _, b := range s.Buckets {
			t.add(s.Shape, b.Number/times, b.Sums)
		}
	}
}

// forget leaves out the buckets before one, and shapes that have no others.
func (t *Track) forget(before int64) {
	old := func(b Bucket) bool { return b.Number < before }
	t.Observed = slices.DeleteFunc(t.Observed, old)
	for i := range t.Shapes {
		t.Shapes[i].Buckets = slices.DeleteFunc(t.Shapes[i].Buckets, old)
	}
	t.Shapes = slices.DeleteFunc(t.Shapes, func(s Series) bool { return len(s.Buckets) == 0 })
}

// rows is how many buckets there are in all.
func (t *Track) rows() int {
	n := len(t.Observed)
	for _, s := range t.Shapes {
		n += len(s.Buckets)
	}
	return n
}

// oldest is the number of the first bucket.
func (t *Track) oldest() int64 {
	first := int64(math.MaxInt64 - 1)
	for _, b := range t.Observed[:min(1, len(t.Observed))] {
		first = b.Number
	}
	for _, s := range t.Shapes {
		for _, b := range s.Buckets[:min(1, len(s.Buckets))] {
			first = min(first, b.Number)
		}
	}
	return first
}
