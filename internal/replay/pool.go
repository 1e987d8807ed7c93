package replay

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// A pool is what one resource document holds of a pool: the values of a plan. They
// are kept sorted and change a little at a time, because a run makes a plan for
// nearly every job.
type pool struct {
	shape    capacity.Shape
	pools    []capacity.Pool
	replicas int64
	free     int64
	held     []admission.Held // by end
	ends     map[int]time.Time
	starting map[int]time.Duration                  // jobs that are not yet running, and when they will be
	waiting  map[admission.ClassID][]admission.Head // whole classes, in order
	queue    admission.Queue                        // their first requests
	reserved []admission.Reservation
	changed  bool // a plan may start or reserve something
	quotas   *admission.Quotas
	tenants  map[string]*tenant
}

func newPool(p Pool) *pool {
	shape := p.shape()
	return &pool{shape: shape, replicas: p.Replicas, free: p.Replicas,
		pools: []capacity.Pool{{ID: p.Name, Shape: shape, Count: capacity.Replicas(p.Replicas)}},
		ends:  map[int]time.Time{}, tenants: map[string]*tenant{}, starting: map[int]time.Duration{}, waiting: map[admission.ClassID][]admission.Head{}, queue: admission.Queue{}}
}

func keyOf(j int) message.Key { return message.Key(fmt.Sprintf("%09d", j)) }

func jobOf(key message.Key) (j int) {
	for _, digit := range key {
		j = 10*j + int(digit-'0')
	}
	return j
}

// A waiting is a request in the queue.
type waiting struct {
	admission.Head
	class admission.ClassID
}

// waitingOf makes the request of a job. Its key is fixed at submission.
func waitingOf(j int, job *Job, shape capacity.Shape, s Settings, place admission.Place) waiting {
	id, key := keyOf(j), admission.Key(epoch.Add(job.Submit), s.Expected(job), job.Replicas >= s.Gang).Add(place.Offset)
	h := admission.Head{ID: id, Tenant: job.Tenant, Within: place.Within, Key: key, Limit: job.Limit,
		Order:  fmt.Sprintf("%04d-%s-%s", 1000-job.Priority, key.Format("20060102T150405.000000000"), id),
		Demand: capacity.Ask{{Shape: shape, Replicas: capacity.Replicas(job.Replicas)}}}
	return waiting{h, admission.Queue(nil).ClassFor(h)}
}

func byOrder(a, b admission.Head) int { return strings.Compare(a.Order, b.Order) }

func (p *pool) join(w waiting) {
	list := p.waiting[w.class]
	i, _ := slices.BinarySearchFunc(list, w.Head, byOrder)
	p.put(w.class, slices.Insert(list, i, w.Head))
	p.await(w, 1)
}

// leave takes a request out of the queue, and says whether its class has requests
// that the plan did not know.
func (p *pool) leave(w waiting) (more bool) {
	list := p.waiting[w.class]
	i, _ := slices.BinarySearchFunc(list, w.Head, byOrder)
	copy(list[1:i+1], list[:i]) // it is among the first
	p.await(w, -1)
	p.put(w.class, list[1:])
	return len(list) > admission.MaxHeads
}

// outranks reports whether a request has a higher priority than a reservation.
func (p *pool) outranks(w waiting) bool {
	return slices.ContainsFunc(p.reserved, func(r admission.Reservation) bool { return w.Order[:4] < r.Order[:4] })
}

func (p *pool) put(c admission.ClassID, list []admission.Head) {
	if len(list) == 0 {
		delete(p.waiting, c)
		delete(p.queue, c)
		return
	}
	p.waiting[c] = list
	p.queue[c] = admission.Class{Count: len(list), Heads: list[:min(len(list), admission.MaxHeads)]}
}

// hold takes the replicas of a start, which has to be running by a moment at the
// latest. Its end is tightened once it runs.
func (p *pool) hold(st *admission.Start, now, begin, latest time.Duration) {
	j := jobOf(st.ID)
	p.take(st.Tenant, now, int64(st.Demand.Replicas()))
	p.free -= int64(st.Demand.Replicas())
	if latest > begin {
		p.starting[j] = begin
	}
	p.add(j, admission.Held{ID: st.ID, Tenant: st.Tenant, Demand: st.Demand, End: epoch.Add(latest + st.Limit)})
}

func byEnd(a, b admission.Held) int {
	return cmp.Or(a.End.Compare(b.End), cmp.Compare(a.ID, b.ID))
}

func (p *pool) add(j int, h admission.Held) {
	i, _ := slices.BinarySearchFunc(p.held, h, byEnd)
	p.held = slices.Insert(p.held, i, h)
	p.ends[j] = h.End
}

func (p *pool) remove(j int) admission.Held {
	i, _ := slices.BinarySearchFunc(p.held, admission.Held{ID: keyOf(j), End: p.ends[j]}, byEnd)
	h := p.held[i]
	p.held = slices.Delete(p.held, i, i+1)
	delete(p.ends, j)
	return h
}

func (p *pool) release(j int, now time.Duration) {
	h := p.remove(j)
	p.take(h.Tenant, now, -int64(h.Demand.Replicas()))
	p.free += int64(h.Demand.Replicas())
	delete(p.starting, j)
}

// running tightens the ends of the jobs that run by now.
func (p *pool) running(now time.Duration, jobs []Job) {
	for j, begin := range p.starting {
		if begin <= now {
			h := p.remove(j)
			h.End = epoch.Add(begin + jobs[j].Limit)
			p.add(j, h)
			delete(p.starting, j)
		}
	}
}

func (p *pool) snapshot(now time.Duration) admission.PlanSnapshot {
	return admission.PlanSnapshot{Now: epoch.Add(now), Pools: p.pools, Held: p.held, Queue: p.queue, Reserved: p.reserved,
		Use: capacity.Use{p.shape: capacity.Replicas(p.replicas - p.free)}}
}

// await counts one more or one less waiting request of a tenant.
func (p *pool) await(w waiting, n int64) {
	if t := p.tenants[w.Tenant]; t != nil {
		t.waiting += n * int64(w.Demand.Replicas())
	}
}

// A tenant is what a tenant holds of a pool, and has held of late.
type tenant struct {
	replicas int64 // that it holds
	waiting  int64 // that its waiting requests ask for
	used     admission.Used
}

// take counts replicas that a tenant gets, or gives back.
func (p *pool) take(name string, now time.Duration, replicas int64) {
	if p.quotas == nil {
		return
	}
	t := p.tenants[name]
	if t == nil {
		t = &tenant{}
		p.tenants[name] = t
	}
	t.used = t.used.After(epoch.Add(now), capacity.Replicas(t.replicas))
	t.replicas += replicas
}

// place is where a job that is submitted now stands because of its tenant.
func (p *pool) place(j *Job, gang bool, now time.Duration) admission.Place {
	if p.quotas == nil {
		return admission.Place{}
	}
	p.take(j.Tenant, now, 0)
	t := p.tenants[j.Tenant]
	return p.quotas.Place(j.Tenant, capacity.Use{p.shape: capacity.Replicas(t.replicas + t.waiting)},
		capacity.Ask{{Shape: p.shape, Replicas: capacity.Replicas(j.Replicas)}}, gang, t.used)
}
