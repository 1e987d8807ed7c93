package fakevertex

import (
	"slices"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// The counts of a resource are kept with every change, so that what a call costs does not
// grow with the jobs that hold machines, wait, or have ended.

func newResource(pb *aiplatformpb.PersistentResource, uid int64, parent string) *resource {
	return &resource{pb: pb, uid: uid, parent: parent, wait: map[string]jobList{}, taken: map[string]int64{},
		held: map[string]int64{}, busy: map[string]int64{}, used: map[string]int64{}, grows: map[string]bool{}}
}

// add puts a job on the resource, with its places if it has any. It may have ended, if its
// machines are not released yet.
func (r *resource) add(j *job) {
	r.jobs = r.jobs.put(j)
	if j.live() {
		r.live++
	}
	count(r.taken, j, 1)
	switch {
	case j.holding:
		count(r.held, j, 1)
		if j.live() {
			count(r.busy, j, 1)
		}
	case j.places != nil:
		r.coming = r.coming.put(j)
	case j.live():
		r.wait[j.asks] = r.wait[j.asks].put(j)
	}
}

// count adds the places of a job, so many times, to sums per pool.
func count(sums map[string]int64, j *job, times int64) {
	for _, p := range j.places {
		sums[p.Pool] += times * p.Replicas
	}
}

// place gives a waiting job its places.
func (r *resource) place(j *job, places []place) {
	j.places = places
	count(r.taken, j, 1)
	r.coming = r.coming.put(j)
}

// took notes that a job now holds its machines.
func (r *resource) took(j *job) {
	r.coming = r.coming.drop(j)
	count(r.held, j, 1)
	count(r.busy, j, 1)
}

// ended notes that a live job is in a terminal state now.
func (r *resource) ended(j *job) {
	r.live--
	if j.holding {
		count(r.busy, j, -1)
	}
}

// leave takes an ended job off the resource.
func (r *resource) leave(j *job) {
	if _, on := r.jobs.find(j.seq); !on {
		return
	}
	r.jobs, r.coming = r.jobs.drop(j), r.coming.drop(j)
	if l := r.wait[j.asks].drop(j); len(l) > 0 {
		r.wait[j.asks] = l
	} else {
		delete(r.wait, j.asks)
	}
	count(r.taken, j, -1)
	if j.holding {
		count(r.held, j, -1)
	}
}

// pump does for a RUNNING resource what its jobs wait for, oldest job first: it
// places those that fit, gives machines to those whose machines are free and lets
// pools grow. A job that does not fit holds up no younger one, except those that ask
// for the same: rooms only get smaller here.
func (s *Server) pump(r *resource) {
	if r.pb.State == aiplatformpb.PersistentResource_RUNNING {
		coming := slices.Clone(r.coming)
		heads := make(map[string]int, len(r.wait)) // of each list, how many need not wait any more
		for asks := range r.wait {
			heads[asks] = 0
		}
		for {
			j, waits := r.next(coming, heads)
			if j == nil {
				break
			}
			s.work++
			switch {
			case !waits:
				coming = coming[1:]
			case !j.live() || j.pb.State == cancelling:
				heads[j.asks]++
			default:
				places, ok := s.fit(s.needs(j.pb.JobSpec), s.rooms(r, false))
				if !ok {
					r.wait[j.asks] = r.wait[j.asks][heads[j.asks]:]
					delete(heads, j.asks)
					continue
				}
				heads[j.asks]++
				r.place(j, places)
			}
			if j.live() && j.pb.State != cancelling && r.machinesFree(j) {
				s.hold(j)
			}
		}
		for asks := range heads { // they are at their ends
			delete(r.wait, asks)
		}
		for _, p := range r.pb.ResourcePools {
			short := r.taken[p.Id] > p.GetReplicaCount()
			if short && p.AutoscalingSpec != nil && !s.knobs.ScaleUpDenied && !r.grows[p.Id] {
				r.grows[p.Id] = true
				s.after(s.knobs.ScaleUpAfter, event{Kind: evGrow, Resource: r.pb.Name, UID: r.uid, Pool: p.Id})
			}
		}
	}
	s.recount(r)
}

// next is the oldest job of those that are coming and of the heads of what waits.
func (r *resource) next(coming jobList, heads map[string]int) (next *job, waits bool) {
	if len(coming) > 0 {
		next = coming[0]
	}
	for asks, i := range heads {
		if l := r.wait[asks]; i < len(l) && (next == nil || l[i].seq < next.seq) {
			next, waits = l[i], true
		}
	}
	return next, waits
}

// machinesFree reports whether all machines that j was placed on exist and are
// free.
func (r *resource) machinesFree(j *job) bool {
	ask := map[string]int64{}
	count(ask, j, 1)
	for _, p := range r.pb.ResourcePools {
		if n := ask[p.Id]; n > 0 {
			if n > p.GetReplicaCount()-r.held[p.Id] {
				return false
			}
			delete(ask, p.Id)
		}
	}
	return len(ask) == 0 // else its pool has gone
}

// recount brings used_replica_count up to date, at once or with the knob's lag.
func (s *Server) recount(r *resource) {
	for _, p := range r.pb.ResourcePools {
		n := r.busy[p.Id]
		if n == r.used[p.Id] {
			continue
		}
		r.used[p.Id] = n
		if s.knobs.UsedCountLag > 0 {
			s.after(s.knobs.UsedCountLag, event{Kind: evUsed, Resource: r.pb.Name, UID: r.uid, Pool: p.Id, Count: n})
		} else {
			p.UsedReplicaCount = n
		}
	}
}

// grow and shrink are the two halves of autoscaling. A pool grows to what is
// placed on it, and shrinks to that or to its minimum.
func (s *Server) grow(r *resource, p *aiplatformpb.ResourcePool) {
	delete(r.grows, p.Id)
	if s.knobs.ScaleUpDenied {
		s.unplace(r, p.Id)
	} else if n := min(r.taken[p.Id], s.limitOf(p, false)); n > p.GetReplicaCount() {
		p.ReplicaCount = proto.Int64(n)
	}
	s.pump(r)
}

func (s *Server) shrink(r *resource, p *aiplatformpb.ResourcePool) {
	if p.AutoscalingSpec == nil {
		return
	}
	if n := max(r.taken[p.Id], p.AutoscalingSpec.GetMinReplicaCount()); n < p.GetReplicaCount() {
		p.ReplicaCount = proto.Int64(n)
	}
}

// unplace takes back the places of the jobs that waited for a pool to grow which
// then could not. What becomes of them is what a full pool does.
func (s *Server) unplace(r *resource, pool string) {
	for _, j := range slices.Clone(r.coming) {
		if !j.live() || !slices.ContainsFunc(j.places, func(p place) bool { return p.Pool == pool }) {
			continue
		}
		count(r.taken, j, -1)
		r.coming = r.coming.drop(j)
		j.places = nil
		r.wait[j.asks] = r.wait[j.asks].put(j)
		switch s.knobs.FullPool {
		case FullQueueThenFail:
			s.after(s.knobs.QueueFailAfter, event{Kind: evStarve, Job: j.pb.Name, Code: codes.ResourceExhausted, Message: fullText(r)})
		case FullFailedPrecondition, FullResourceExhausted, FullAcceptThenFail:
			s.after(s.knobs.AcceptFailAfter, event{Kind: evStarve, Job: j.pb.Name, Code: codes.ResourceExhausted, Message: fullText(r)})
		}
	}
}
