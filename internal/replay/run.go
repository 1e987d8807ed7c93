package replay

import (
	"container/heap"
	"errors"
	"slices"
	"time"

	"example.com/berth/internal/admission"
)

// Settings are those of a run.
type Settings struct {
	Policy admission.PlanPolicy
	Gang   int64 // replicas from which on a job is a gang
	// Quotas, if set, are those of the tenants on each pool.
	Quotas func(pool Pool) *admission.Quotas
	// Expected is the run time that a job's key is made of, when it is submitted.
	Expected RunTime
	// Ended, if set, is called for every job whose end is seen.
	Ended  func(*Job)
	Delays Delays
	// Progress, if set, is called now and then with how many jobs have ended since the
	// last call. The run stops when it returns false.
	Progress func(ended int) (more bool)
}

// Delays are those of the real system. Zero is none.
type Delays struct {
	Tick        time.Duration // between two looks at what has ended, while no job waits
	Poll        time.Duration // the same while a job waits; zero for Tick
	Submissions int           // at most so many jobs a minute are submitted to Vertex AI; 0 for no bound
	Start       time.Duration // from the submission of a job until it runs
}

// A Result is what happened to the jobs of a run.
type Result struct {
	Start    []time.Duration // when each job ran
	Promises int             // jobs that got a reservation with a latest start
	Kept     int             // those of them that had their replicas by the first latest start they got
	Requeued int             // times that a job was not running in time and went back into the queue
	// Within says of each job that it was submitted within the share of its tenant.
	Within []bool
	// Err is [ErrStopped] or [ErrTooLong] if the run did not come to its end. Its figures
	// then mean nothing.
	Err error
}

// Why a run does not come to its end.
var (
	ErrStopped = errors.New("interrupted")
	ErrTooLong = errors.New("the last job would end after more than 200 years; the pools are too small for the workload")
)

// progressEvery is how many jobs end between two calls of Progress.
const progressEvery = 200

// epoch is the start of virtual time.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// A run is one under way: several pools, one clock.
type run struct {
	jobs  []Job
	s     Settings
	pools []*pool
	of    []*pool   // per job
	queue []waiting // per job
	runs  ends      // when each job that has replicas gives them back
	wait  int       // jobs that wait
	since time.Duration
	slots []time.Duration // of the last submissions, the oldest first
	late  []bool          // per job: it passed another and is not going to run in time
	first []time.Duration // per job: the first latest start, -1 for none
	ended int             // jobs since the last call of Progress
	Result
}

// Run returns what happens to the jobs under [admission.MakePlan]. They have to be
// the jobs of [Place], sorted by their submission.
func Run(jobs []Job, pools []Pool, s Settings) Result {
	r := newRun(jobs, pools, s)
	r.loop()
	return r.Result
}

func newRun(jobs []Job, pools []Pool, s Settings) *run {
	r := &run{jobs: jobs, s: s, of: make([]*pool, len(jobs)), queue: make([]waiting, len(jobs)), runs: ends{at: make([]time.Duration, len(jobs))},
		late: make([]bool, len(jobs)), first: make([]time.Duration, len(jobs)), Result: Result{Start: make([]time.Duration, len(jobs)), Within: make([]bool, len(jobs))}}
	byName := map[string]*pool{}
	for _, p := range pools {
		byName[p.Name] = newPool(p)
		if s.Quotas != nil {
			byName[p.Name].quotas = s.Quotas(p)
		}
		r.pools = append(r.pools, byName[p.Name])
	}
	for i := range jobs {
		r.of[i], r.first[i] = byName[jobs[i].Pool], -1
	}
	return r
}

// loop goes from one moment at which something happens to the next, until every job has
// ended.
func (r *run) loop() {
	for next := 0; next < len(r.jobs) || r.runs.Len() > 0; {
		now := r.moment(next)
		if now > maxTime {
			r.Err = ErrTooLong
			return
		}
		for r.runs.Len() > 0 && r.seen(r.runs.at[r.runs.jobs[0]]) <= now {
			r.end(heap.Pop(&r.runs).(int), now)
		}
		for ; next < len(r.jobs) && r.jobs[next].Submit <= now; next++ {
			r.join(next, now)
		}
		for _, p := range r.pools {
			if p.changed {
				r.pass(p, now)
			}
		}
		if r.ended >= progressEvery && r.s.Progress != nil {
			if !r.s.Progress(r.ended) {
				r.Err = ErrStopped
				return
			}
			r.ended = 0
		}
	}
	if r.s.Progress != nil {
		r.s.Progress(r.ended)
	}
}

// moment is when something happens next: a job is submitted, or an end is seen.
func (r *run) moment(next int) time.Duration {
	if r.runs.Len() == 0 {
		return r.jobs[next].Submit
	}
	seen := r.seen(r.runs.at[r.runs.jobs[0]])
	if next < len(r.jobs) {
		return min(seen, r.jobs[next].Submit)
	}
	return seen
}

// seen is when an end is seen: at the next poll while a job waits, else at the next
// tick.
func (r *run) seen(end time.Duration) time.Duration {
	d := r.s.Delays
	step := d.Tick
	if d.Poll > 0 && r.wait > 0 {
		step, end = d.Poll, max(end, min(r.since, r.upTo(end, d.Tick)))
	}
	return r.upTo(end, step)
}

// upTo is the first multiple of a step from a moment on.
func (r *run) upTo(moment, step time.Duration) time.Duration {
	if step <= 0 {
		return moment
	}
	return moment + (step-moment%step)%step
}

func (r *run) join(j int, now time.Duration) {
	if r.wait++; r.wait == 1 {
		r.since = now
	}
	p, w := r.of[j], r.queue[j]
	if w.ID == "" { // it is submitted; one that comes back keeps its key
		place := p.place(&r.jobs[j], r.jobs[j].Replicas >= r.s.Gang, now)
		r.Within[j] = place.Within
		w = waitingOf(j, &r.jobs[j], p.shape, r.s, place)
	}
	w.class = p.queue.ClassFor(w.Head)
	r.queue[j] = w
	p.join(w)
	// A job that does not fit, behind a reservation, changes no other start.
	p.changed = p.changed || r.jobs[j].Replicas <= p.free || len(p.reserved) == 0 || p.outranks(w) || p.quotas.Shared()
}

// end frees the replicas of a job that has ended, or that goes back into the queue.
func (r *run) end(j int, now time.Duration) {
	p := r.of[j]
	p.release(j, now)
	if r.late[j] {
		r.late[j], r.queue[j].Slow = false, true
		r.Requeued++
		r.join(j, now)
	} else {
		if r.s.Ended != nil {
			r.s.Ended(&r.jobs[j])
		}
		r.ended++
	}
	p.changed = p.changed || len(p.queue) > 0
}

// pass plans a pool until nothing more starts.
func (r *run) pass(p *pool, now time.Duration) {
	p.changed = false
	for len(p.queue) > 0 {
		p.running(now, r.jobs)
		policy := r.s.Policy
		policy.Quotas = p.quotas
		plan := admission.MakePlan(p.snapshot(now), policy)
		p.reserved = plan.Reserved
		for i := range plan.Reserved {
			if v := &plan.Reserved[i]; !v.At.IsZero() && r.first[jobOf(v.ID)] < 0 {
				r.first[jobOf(v.ID)] = v.At.Sub(epoch)
				r.Promises++
			}
		}
		again := len(plan.Want) > 0
		for i := range plan.Starts {
			st := &plan.Starts[i]
			again = p.leave(r.queue[jobOf(st.ID)]) || again
			r.begin(p, st, now)
		}
		// A plan knows the first requests of each class. If it has started none of a
		// class with more, the next plan would be the same.
		if len(plan.Starts) == 0 || !again || p.free == 0 && len(p.reserved) > 0 {
			return
		}
	}
}

// begin gives a job its replicas. It runs after the delays, or goes back into the
// queue at the moment by which it has to be running so as not to delay one that it passed.
func (r *run) begin(p *pool, st *admission.Start, now time.Duration) {
	j := jobOf(st.ID)
	if r.first[j] >= now {
		r.Kept++ // the first latest start counts, whatever the plan said later
	}
	r.first[j] = min(r.first[j], now-1) // counted once, even if it comes back
	r.wait--
	submit := r.slot(now)
	begin := submit + r.s.Delays.Start
	latest := st.End(epoch.Add(now), r.s.Policy).Sub(epoch) - st.Limit // to be running
	if by := st.By.Sub(epoch); !st.By.IsZero() && begin > by {
		r.late[j], r.runs.at[j] = true, by
		p.hold(st, now, by, by)
	} else {
		r.submitted(submit)
		r.Start[j], r.runs.at[j] = begin, begin+r.jobs[j].Run
		p.hold(st, now, begin, max(latest, begin))
	}
	heap.Push(&r.runs, j)
}

// slot is when the next job can be submitted.
func (r *run) slot(now time.Duration) time.Duration {
	if n := r.s.Delays.Submissions; n > 0 && len(r.slots) == n {
		return max(now, r.slots[0]+time.Minute)
	}
	return now
}

func (r *run) submitted(at time.Duration) {
	if n := r.s.Delays.Submissions; n > 0 {
		if len(r.slots) == n {
			r.slots = slices.Delete(r.slots, 0, 1)
		}
		r.slots = append(r.slots, at)
	}
}
