package replay

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// running are the jobs that run, a heap by their end and then by their order.
type running []int

type runningHeap struct {
	running
	end []time.Duration
}

func (h runningHeap) Len() int { return len(h.running) }
func (h runningHeap) Less(i, k int) bool {
	a, b := h.running[i], h.running[k]
	return h.end[a] < h.end[b] || h.end[a] == h.end[b] && a < b
}
func (h runningHeap) Swap(i, k int) { h.running[i], h.running[k] = h.running[k], h.running[i] }
func (h *runningHeap) Push(x any)   { h.running = append(h.running, x.(int)) }
func (h *runningHeap) Pop() any {
	last := h.running[len(h.running)-1]
	h.running = h.running[:len(h.running)-1]
	return last
}

// A world is the pool and the jobs on it, in virtual time.
type world struct {
	jobs  []Job
	free  int64
	start []time.Duration
	runs  runningHeap
	next  int // the first job that is not submitted yet
}

func newWorld(jobs []Job, replicas int64) *world {
	return &world{jobs: jobs, free: replicas, start: make([]time.Duration, len(jobs)),
		runs: runningHeap{end: make([]time.Duration, len(jobs))}}
}

// step goes on to the next moment at which something happens: jobs that end, then
// jobs that are submitted. It is false when nothing happens any more.
func (w *world) step() (now time.Duration, ended, submitted []int, more bool) {
	if w.next == len(w.jobs) && w.runs.Len() == 0 {
		return 0, nil, nil, false
	}
	if w.next < len(w.jobs) {
		now = w.jobs[w.next].Submit
	}
	if w.runs.Len() > 0 && (w.next == len(w.jobs) || w.runs.end[w.runs.running[0]] < now) {
		now = w.runs.end[w.runs.running[0]]
	}
	for w.runs.Len() > 0 && w.runs.end[w.runs.running[0]] <= now {
		j := heap.Pop(&w.runs).(int)
		w.free += w.jobs[j].Replicas
		ended = append(ended, j)
	}
	for ; w.next < len(w.jobs) && w.jobs[w.next].Submit <= now; w.next++ {
		submitted = append(submitted, w.next)
	}
	return now, ended, submitted, true
}

func (w *world) begin(j int, now time.Duration) {
	w.start[j] = now
	w.free -= w.jobs[j].Replicas
	w.runs.end[j] = now + w.jobs[j].Run
	heap.Push(&w.runs, j)
}

// Easy returns when each job starts under EASY backfill with exact run times: the
// first in the queue has a reservation, and a later one starts if it ends by then or
// fits beside it. Every job has to fit the empty pool.
func Easy(jobs []Job, replicas int64) []time.Duration {
	w := newWorld(jobs, replicas)
	var queue []int
	reserved, at, spare := -1, time.Duration(0), int64(0)
	reserve := func(head int, now time.Duration) {
		ends := slices.Clone(w.runs.running)
		slices.SortFunc(ends, func(a, b int) int { return cmp.Compare(w.runs.end[a], w.runs.end[b]) })
		free := w.free
		at = now
		for i := 0; free < jobs[head].Replicas; {
			for at = w.runs.end[ends[i]]; i < len(ends) && w.runs.end[ends[i]] <= at; i++ {
				free += jobs[ends[i]].Replicas
			}
		}
		reserved, spare = head, free-jobs[head].Replicas
	}
	pass := func(j int, now time.Duration) bool {
		switch n := jobs[j].Replicas; {
		case n > w.free:
			return false
		case now+jobs[j].Run <= at:
		case n <= spare:
			spare -= n
		default:
			return false
		}
		w.begin(j, now)
		return true
	}
	for {
		now, ended, submitted, more := w.step()
		if !more {
			return w.start
		}
		first := len(queue) // if nothing has ended, only what is new can start
		if queue = append(queue, submitted...); len(ended) > 0 {
			first = 0
		}
		for len(queue) > 0 && first == 0 && jobs[queue[0]].Replicas <= w.free {
			w.begin(queue[0], now)
			queue, reserved = queue[1:], -1
		}
		if len(queue) == 0 {
			continue
		}
		if reserved != queue[0] {
			reserve(queue[0], now)
		}
		from := max(first, 1)
		kept := queue[:from]
		for _, j := range queue[from:] {
			if !pass(j, now) {
				kept = append(kept, j)
			}
		}
		queue = kept
	}
}

// Shortest returns when each job starts if every job that fits starts, the shortest
// first by exact run times, without any reservation.
func Shortest(jobs []Job, replicas int64) []time.Duration {
	w := newWorld(jobs, replicas)
	var queue []int
	order := func(a, b int) int { return cmp.Or(cmp.Compare(jobs[a].Run, jobs[b].Run), a-b) }
	for {
		now, _, submitted, more := w.step()
		if !more {
			return w.start
		}
		for _, j := range submitted {
			i, _ := slices.BinarySearchFunc(queue, j, order)
			queue = slices.Insert(queue, i, j)
		}
		queue = slices.DeleteFunc(queue, func(j int) bool {
			if jobs[j].Replicas > w.free {
				return false
			}
			w.begin(j, now)
			return true
		})
	}
}
