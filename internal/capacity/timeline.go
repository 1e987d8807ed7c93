package capacity

import (
	"cmp"
	"slices"
	"time"
)

// An End is when replicas that are in use come free, at the latest.
type End struct {
	At  time.Time
	Ask Ask // of normal shapes
}

// A Timeline is the room from now on, if nothing new starts. Room only grows along
// it, so the first moment at which an ask fits is well defined. It is built once
// and then only asked.
type Timeline struct {
	room Room
	ends [][]release // per shape of the room, by time
}

// A release is how much of a shape has come free by a moment, in all.
type release struct {
	at    int64 // Unix time in nanoseconds
	freed Replicas
}

// NewTimeline returns the timeline of some pools beside use without a known
// end, and use with one. An end in the past counts as if it were now: the caller gives
// a later end to use that has outlasted its own.
func NewTimeline(pools []Pool, fixed Use, ends []End) Timeline {
	t := Timeline{room: NewRoom(pools, fixed)}
	t.ends = make([][]release, len(t.room.shapes))
	counts := make([]int, len(t.ends))
	each := func(do func(i int, at int64, n Replicas)) {
		for k := range ends {
			for _, n := range ends[k].Ask {
				if i := t.room.index(n.Shape); i >= 0 {
					do(i, ends[k].At.UnixNano(), n.Replicas)
				}
			}
		}
	}
	each(func(i int, _ int64, _ Replicas) { counts[i]++ })
	for i, n := range counts {
		t.ends[i] = make([]release, 0, n)
	}
	each(func(i int, at int64, n Replicas) {
		t.room.shapes[i].used = t.room.shapes[i].used.Plus(n)
		t.ends[i] = append(t.ends[i], release{at, n})
	})
	for _, list := range t.ends {
		slices.SortFunc(list, func(a, b release) int { return cmp.Compare(a.at, b.at) })
		var sum Replicas
		for j := range list {
			sum = sum.Plus(list[j].freed)
			list[j].freed = sum
		}
	}
	return t
}

// Earliest is the first moment from now on at which the ask fits, if nothing new
// starts. It is false when it does not fit even after the last end.
func (t *Timeline) Earliest(now time.Time, ask Ask) (time.Time, bool) {
	first := now.UnixNano()
	for k, n := range ask {
		if slices.ContainsFunc(ask[:k], func(m Need) bool { return m.Shape == n.Shape }) {
			continue
		}
		i := t.room.index(n.Shape)
		if i < 0 {
			return time.Time{}, false
		}
		at, ok := t.earliest(i, items(ask, n.Shape))
		if !ok {
			return time.Time{}, false
		}
		first = max(first, at)
	}
	if first == now.UnixNano() {
		return now, true
	}
	return time.Unix(0, first).In(now.Location()), true
}

func (t *Timeline) earliest(i int, items []Replicas) (at int64, ok bool) {
	s, ends := &t.room.shapes[i], t.ends[i]
	if s.takes(items, 0) {
		return 0, true
	}
	// What fits at one end fits at every later one.
	lo, hi := 0, len(ends)
	for lo < hi {
		if mid := (lo + hi) / 2; s.takes(items, ends[mid].freed) {
			hi = mid
		} else {
			lo = mid + 1
		}
	}
	if lo == len(ends) {
		return 0, false
	}
	return ends[lo].at, true
}

// At returns the room at a moment, if nothing new starts.
func (t *Timeline) At(moment time.Time) Room {
	r := Room{shapes: slices.Clone(t.room.shapes)}
	for i, ends := range t.ends {
		k, _ := slices.BinarySearchFunc(ends, moment.UnixNano()+1, func(r release, after int64) int { return cmp.Compare(r.at, after) })
		if k > 0 {
			r.shapes[i].used -= ends[k-1].freed
		}
	}
	return r
}
