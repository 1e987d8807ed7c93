package replay

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// Settings are those of a run.
type Settings struct {
	Policy admission.PlanPolicy
	Gang   int64 // replicas from which on a job is a gang
	// Expected is the run time that a job's key is made of, when it is submitted.
	Expected func(*Job) time.Duration
	// Ended, if set, is called for every job that ends.
	Ended func(*Job)
}

// start of virtual time.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// Run returns when each job starts under [admission.MakePlan]. Every job has to fit
// the empty pool.
func Run(jobs []Job, replicas int64, s Settings) []time.Duration {
	shape := capacity.Spec{MachineType: "replica"}.Normal()
	r := &planRun{world: newWorld(jobs, replicas), s: s, shape: shape, replicas: replicas,
		pools: []capacity.Pool{{ID: "pool", Shape: shape, Count: capacity.Replicas(replicas)}},
		held:  map[message.Key]admission.Held{}, waiting: map[admission.ClassID][]admission.Head{}}
	for {
		now, ended, submitted, more := r.step()
		if !more {
			return r.start
		}
		for _, j := range ended {
			delete(r.held, keyOf(j))
			if s.Ended != nil {
				s.Ended(&jobs[j])
			}
		}
		plan := len(ended) > 0
		for _, j := range submitted {
			r.join(j, now)
			// A job that does not fit, behind a reservation, changes no other start.
			plan = plan || jobs[j].Replicas <= r.free || len(r.reserved) == 0
		}
		if plan {
			r.pass(now)
		}
	}
}

// A planRun is a run under way.
type planRun struct {
	*world
	s        Settings
	shape    capacity.Shape
	replicas int64
	pools    []capacity.Pool
	held     map[message.Key]admission.Held
	waiting  map[admission.ClassID][]admission.Head // whole classes, in order
	reserved []admission.Reservation
}

func keyOf(j int) message.Key { return message.Key(fmt.Sprintf("%09d", j)) }

func jobOf(key message.Key) (j int) {
	for _, digit := range key {
		j = 10*j + int(digit-'0')
	}
	return j
}

func byOrder(a, b admission.Head) int { return strings.Compare(a.Order, b.Order) }

func (r *planRun) class(h admission.Head) admission.ClassID {
	return admission.ClassOf("", h.Demand, h.Limit)
}

func (r *planRun) join(j int, now time.Duration) {
	job := &r.jobs[j]
	key := admission.Key(epoch.Add(now), r.s.Expected(job), job.Replicas >= r.s.Gang)
	h := admission.Head{ID: keyOf(j), Key: key, Limit: job.Limit, Order: "1000-" + key.Format("20060102T150405.000000000") + "-" + string(keyOf(j)),
		Demand: capacity.Ask{{Shape: r.shape, Replicas: capacity.Replicas(job.Replicas)}}}
	c := r.class(h)
	i, _ := slices.BinarySearchFunc(r.waiting[c], h, byOrder)
	r.waiting[c] = slices.Insert(r.waiting[c], i, h)
}

func (r *planRun) leave(h admission.Head) {
	c := r.class(h)
	i, _ := slices.BinarySearchFunc(r.waiting[c], h, byOrder)
	if r.waiting[c] = slices.Delete(r.waiting[c], i, i+1); len(r.waiting[c]) == 0 {
		delete(r.waiting, c)
	}
}

// pass plans until nothing more starts.
func (r *planRun) pass(now time.Duration) {
	for len(r.waiting) > 0 {
		plan := admission.MakePlan(r.snapshot(now), r.s.Policy)
		r.reserved = plan.Reserved
		for _, st := range plan.Starts {
			r.leave(st.Head)
			r.begin(jobOf(st.ID), now)
			r.held[st.ID] = admission.Held{ID: st.ID, Demand: st.Demand, End: epoch.Add(now + st.Limit)}
		}
		if len(plan.Starts) == 0 {
			return
		}
	}
}

func (r *planRun) snapshot(now time.Duration) admission.PlanSnapshot {
	s := admission.PlanSnapshot{Now: epoch.Add(now), Pools: r.pools, Queue: make(admission.Queue, len(r.waiting)), Reserved: r.reserved,
		Use: capacity.Use{r.shape: capacity.Replicas(r.replicas - r.free)}, Held: make([]admission.Held, 0, len(r.held))}
	for c, list := range r.waiting {
		s.Queue[c] = admission.Class{Count: len(list), Heads: list[:min(len(list), admission.MaxHeads)]}
	}
	for _, h := range r.held {
		s.Held = append(s.Held, h)
	}
	return s
}
