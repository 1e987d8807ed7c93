package replay

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// RunTime is the run time of a job that a reference goes by.
type RunTime func(*Job) time.Duration

// Exact is the real run time, which no scheduler knows in advance.
func Exact(j *Job) time.Duration { return j.Run }

// Declared is the job's limit.
func Declared(j *Job) time.Duration { return j.Limit }

// ends are running jobs, a heap by their end and then by their order.
type ends struct {
	jobs []int
	at   []time.Duration // per job of the workload
}

func (h *ends) Len() int { return len(h.jobs) }
func (h *ends) Less(i, k int) bool {
	a, b := h.jobs[i], h.jobs[k]
	return h.at[a] < h.at[b] || h.at[a] == h.at[b] && a < b
}
func (h *ends) Swap(i, k int) { h.jobs[i], h.jobs[k] = h.jobs[k], h.jobs[i] }
func (h *ends) Push(x any)    { h.jobs = append(h.jobs, x.(int)) }
func (h *ends) Pop() any {
	last := h.jobs[len(h.jobs)-1]
	h.jobs = h.jobs[:len(h.jobs)-1]
	return last
}

// A world is one pool and its jobs in virtual time.
type world struct {
	jobs    []Job
	parts   []parts
	floor   floor
	placed  [][]share
	start   []time.Duration
	begun   []bool
	running ends
	next    int // the first job that is not submitted yet
	tooLong bool
}

func newWorld(jobs []Job, m Machines) *world {
	w := &world{jobs: jobs, floor: newFloor(m), parts: make([]parts, len(jobs)), placed: make([][]share, len(jobs)),
		start: make([]time.Duration, len(jobs)), begun: make([]bool, len(jobs)), running: ends{at: make([]time.Duration, len(jobs))}}
	for i := range jobs {
		w.parts[i] = m.parts(&jobs[i])
	}
	return w
}

// step goes on to the next moment at which something happens: jobs that end, then
// jobs that are submitted. It is false when nothing happens any more, or only after
// maxTime.
func (w *world) step() (now time.Duration, ended, submitted []int, more bool) {
	if w.next == len(w.jobs) && w.running.Len() == 0 {
		return 0, nil, nil, false
	}
	if w.next < len(w.jobs) {
		now = w.jobs[w.next].Submit
	}
	if w.running.Len() > 0 && (w.next == len(w.jobs) || w.running.at[w.running.jobs[0]] < now) {
		now = w.running.at[w.running.jobs[0]]
	}
	if now > maxTime {
		w.tooLong = true
		return 0, nil, nil, false
	}
	for w.running.Len() > 0 && w.running.at[w.running.jobs[0]] <= now {
		j := heap.Pop(&w.running).(int)
		w.floor.release(w.placed[j])
		ended = append(ended, j)
	}
	for ; w.next < len(w.jobs) && w.jobs[w.next].Submit <= now; w.next++ {
		submitted = append(submitted, w.next)
	}
	return now, ended, submitted, true
}

func (w *world) begin(j int, now time.Duration, on []share) {
	w.start[j], w.placed[j], w.begun[j] = now, on, true
	w.floor.take(on)
	w.running.at[j] = now + w.jobs[j].Run
	heap.Push(&w.running, j)
}

func (w *world) result() ([]time.Duration, error) {
	if w.tooLong {
		return nil, ErrTooLong
	}
	return w.start, nil
}

// try starts a job if it fits now.
func (w *world) try(j int, now time.Duration) bool {
	if !w.floor.fits(w.parts[j]) {
		return false
	}
	w.begin(j, now, choose(w.floor.free, w.parts[j]))
	return true
}

// Fifo returns when each job starts if none starts before an earlier one. Every job
// has to fit the empty pool, here and below. The error is [ErrTooLong].
func Fifo(jobs []Job, m Machines) ([]time.Duration, error) {
	w := newWorld(jobs, m)
	var queue []int
	for {
		now, _, submitted, more := w.step()
		if !more {
			return w.result()
		}
		queue = append(queue, submitted...)
		for len(queue) > 0 && w.try(queue[0], now) {
			queue = queue[1:]
		}
	}
}

// FirstFit returns when each job starts if every job that fits starts, the earliest
// first, without any reservation.
func FirstFit(jobs []Job, m Machines) ([]time.Duration, error) {
	return greedy(jobs, m, cmp.Compare[int])
}

// Shortest is first fit with the shortest job first, by exact run times.
func Shortest(jobs []Job, m Machines) ([]time.Duration, error) {
	return greedy(jobs, m, shorter(jobs))
}

func shorter(jobs []Job) func(a, b int) int {
	return func(a, b int) int { return cmp.Or(cmp.Compare(jobs[a].Run, jobs[b].Run), a-b) }
}

func greedy(jobs []Job, m Machines, order func(a, b int) int) ([]time.Duration, error) {
	w := newWorld(jobs, m)
	var queue []int
	for {
		now, _, submitted, more := w.step()
		if !more {
			return w.result()
		}
		for _, j := range submitted {
			i, _ := slices.BinarySearchFunc(queue, j, order)
			queue = slices.Insert(queue, i, j)
		}
		kept := queue[:0]
		for i, j := range queue {
			if w.floor.full() {
				kept = append(kept, queue[i:]...)
				break
			}
			if !w.try(j, now) {
				kept = append(kept, j)
			}
		}
		queue = kept
	}
}

// Easy returns when each job starts under EASY backfill: the first in the queue has
// a reservation by the run times that are known, and a later one starts if it ends
// by then or fits beside it. With shortFirst the shortest candidate is tried first.
func Easy(jobs []Job, m Machines, known RunTime, shortFirst bool) ([]time.Duration, error) {
	e := &easy{world: newWorld(jobs, m), known: known, reserved: -1}
	e.run(shortFirst)
	return e.result()
}

// An easy is a run of EASY backfill under way.
type easy struct {
	*world
	known    RunTime
	reserved int           // the job with the reservation; -1 for none
	at       time.Duration // when it starts, by what is known
	spare    []int64       // per machine: what is free then beside it
	both     []int64       // room for a job that runs on beyond
}

func (e *easy) run(shortFirst bool) {
	var queue []int
	for {
		now, ended, submitted, more := e.step()
		if !more {
			return
		}
		for _, j := range ended {
			if e.known(&e.jobs[j]) != e.jobs[j].Run {
				e.reserved = -1 // it was expected to end at another time
			}
		}
		first := len(queue) // if nothing has ended, only what is new can start
		if queue = append(queue, submitted...); len(ended) > 0 {
			first = 0
		}
		for len(queue) > 0 && first == 0 && e.try(queue[0], now) {
			queue, e.reserved = queue[1:], -1
		}
		if len(queue) == 0 || e.floor.full() {
			continue // a reservation made later, from fewer jobs, is no later
		}
		if e.reserved != queue[0] {
			e.reserve(queue[0], now)
		}
		candidates := queue[max(first, 1):]
		if shortFirst {
			candidates = slices.Clone(candidates)
			slices.SortFunc(candidates, shorter(e.jobs))
		}
		some := false
		for _, j := range candidates {
			if e.floor.full() {
				break
			}
			if e.pass(j, now) {
				some = true
			}
		}
		if some {
			queue = slices.DeleteFunc(queue, func(j int) bool { return e.begun[j] })
		}
	}
}

func (e *easy) reserve(head int, now time.Duration) {
	end := func(j int) time.Duration { return e.start[j] + e.known(&e.jobs[j]) }
	running := slices.Clone(e.running.jobs)
	slices.SortFunc(running, func(a, b int) int { return cmp.Or(cmp.Compare(end(a), end(b)), a-b) })
	f := floor{free: slices.Clone(e.floor.free), atLeast: slices.Clone(e.floor.atLeast)}
	e.reserved, e.at = head, now
	for i := 0; !f.fits(e.parts[head]); {
		for e.at = end(running[i]); i < len(running) && end(running[i]) <= e.at; i++ {
			f.release(e.placed[running[i]])
		}
	}
	for _, s := range choose(f.free, e.parts[head]) {
		f.free[s.machine] -= s.replicas
	}
	e.spare = f.free
}

// pass starts a job if that does not delay the reservation.
func (e *easy) pass(j int, now time.Duration) bool {
	if !e.floor.fits(e.parts[j]) {
		return false
	}
	if now+e.known(&e.jobs[j]) <= e.at {
		return e.try(j, now)
	}
	e.both = e.both[:0]
	for m, n := range e.floor.free {
		e.both = append(e.both, min(n, e.spare[m]))
	}
	on := choose(e.both, e.parts[j])
	for _, s := range on {
		e.spare[s.machine] -= s.replicas
	}
	if on != nil {
		e.begin(j, now, on)
	}
	return on != nil
}
