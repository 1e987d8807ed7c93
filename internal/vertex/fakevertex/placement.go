package fakevertex

import (
	"cmp"
	"slices"
	"strings"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
)

// A shape is what must be equal between a worker pool and a pool: every field of
// the machine spec and of the disk spec, after defaults.
type shape struct {
	machine, topology, partition, affinity string
	accelerator                            aiplatformpb.AcceleratorType
	accelerators                           int32
	disk                                   string
	diskGB                                 int32
}

func (s *Server) shapeOf(m *aiplatformpb.MachineSpec, d *aiplatformpb.DiskSpec) shape {
	sh := shape{
		machine:      m.GetMachineType(),
		topology:     m.GetTpuTopology(),
		partition:    m.GetGpuPartitionSize(),
		accelerator:  m.GetAcceleratorType(),
		accelerators: m.GetAcceleratorCount(),
		disk:         d.GetBootDiskType(),
		diskGB:       d.GetBootDiskSizeGb(),
	}
	if a := m.GetReservationAffinity(); a != nil && proto.Size(a) > 0 {
		sh.affinity = a.GetReservationAffinityType().String() + "|" + a.GetKey() + "|" + strings.Join(a.GetValues(), "|")
	}
	if s.knobs.IgnoreDiskSize {
		sh.diskGB = 0
	}
	return sh
}

// fillDisk sets what is unset of a disk spec, each field by itself. usual is the
// type for most machines; empty means pd-ssd.
func fillDisk(machine, usual string, d *aiplatformpb.DiskSpec) *aiplatformpb.DiskSpec {
	if d == nil {
		d = &aiplatformpb.DiskSpec{}
	}
	if d.BootDiskType == "" {
		d.BootDiskType = cmp.Or(usual, "pd-ssd")
		if strings.HasPrefix(machine, "a3-ultragpu") {
			d.BootDiskType = "hyperdisk-balanced"
		}
	}
	if d.BootDiskSizeGb == 0 {
		d.BootDiskSizeGb = 100
	}
	return d
}

// A need is what one worker pool asks for; a room is what one pool can give.
type need struct {
	shape    shape
	replicas int64
}

type room struct {
	pool  string
	shape shape
	free  int64
}

// needs lists what a job asks for, placeholders left out.
func (s *Server) needs(spec *aiplatformpb.CustomJobSpec) []need {
	var list []need
	for _, w := range spec.GetWorkerPoolSpecs() {
		if !isPlaceholder(w) {
			list = append(list, need{s.shapeOf(w.MachineSpec, w.DiskSpec), w.ReplicaCount})
		}
	}
	return list
}

// limitOf is how many machines a pool may come to have.
func (s *Server) limitOf(p *aiplatformpb.ResourcePool, denied bool) int64 {
	if a := p.GetAutoscalingSpec(); a != nil && !denied {
		return max(a.GetMaxReplicaCount(), p.GetReplicaCount())
	}
	return p.GetReplicaCount()
}

// rooms is what the pools of r have left beside the jobs placed on it, or, for an
// empty resource, their limits.
func (s *Server) rooms(r *resource, empty bool) []room {
	var list []room
	for _, p := range r.pb.ResourcePools {
		rm := room{pool: p.Id, shape: s.shapeOf(p.MachineSpec, p.DiskSpec), free: s.limitOf(p, s.knobs.ScaleUpDenied && !empty)}
		if !empty {
			rm.free -= taken(r, p.Id, func(*job) bool { return true })
		}
		list = append(list, rm)
	}
	return list
}

// taken sums the replicas in one pool of the placed jobs that which selects.
func taken(r *resource, pool string, which func(*job) bool) int64 {
	var n int64
	for _, j := range r.jobs {
		if !which(j) {
			continue
		}
		for _, p := range j.places {
			if p.Pool == pool {
				n += p.Replicas
			}
		}
	}
	return n
}

// fit gives each need a room of its own shape, trying every combination before it
// gives up. The tightest room comes first unless a knob says the first.
func (s *Server) fit(needs []need, rooms []room) ([]place, bool) {
	if len(needs) == 0 {
		return nil, true
	}
	want := needs[0]
	var tries []int
	for i, rm := range rooms {
		if rm.shape == want.shape && rm.free >= want.replicas {
			tries = append(tries, i)
		}
	}
	if !s.knobs.FirstPool {
		slices.SortStableFunc(tries, func(a, b int) int { return cmp.Compare(rooms[a].free, rooms[b].free) })
	}
	for _, i := range tries {
		left := slices.Clone(rooms)
		left[i].free -= want.replicas
		if s.knobs.RejectSharedPool {
			left[i].free = -1
		}
		if rest, ok := s.fit(needs[1:], left); ok {
			return append([]place{{rooms[i].pool, want.replicas}}, rest...), true
		}
	}
	return nil, false
}

// pump does for a RUNNING resource what its jobs wait for, oldest job first: it
// places those that fit, gives machines to those whose machines are free and lets
// pools grow. A job that does not fit holds up no younger one.
func (s *Server) pump(r *resource) {
	if r.pb.State == aiplatformpb.PersistentResource_RUNNING {
		for _, j := range r.jobs {
			if !j.live() || j.holding || j.pb.State == cancelling {
				continue
			}
			if j.places == nil {
				j.places, _ = s.fit(s.needs(j.pb.JobSpec), s.rooms(r, false))
			}
			if j.places != nil && s.machinesFree(r, j) {
				s.hold(j)
			}
		}
		for _, p := range r.pb.ResourcePools {
			short := taken(r, p.Id, func(*job) bool { return true }) > p.GetReplicaCount()
			if short && p.AutoscalingSpec != nil && !s.knobs.ScaleUpDenied && !r.grows[p.Id] {
				r.grows[p.Id] = true
				s.after(s.knobs.ScaleUpAfter, event{Kind: evGrow, Resource: r.pb.Name, UID: r.uid, Pool: p.Id})
			}
		}
	}
	s.recount(r)
}

// machinesFree reports whether all machines that j was placed on exist and are
// free.
func (s *Server) machinesFree(r *resource, j *job) bool {
	ask := map[string]int64{}
	for _, p := range j.places {
		ask[p.Pool] += p.Replicas
	}
	for _, p := range r.pb.ResourcePools {
		if n := ask[p.Id]; n > 0 {
			if n > p.GetReplicaCount()-taken(r, p.Id, func(o *job) bool { return o.holding }) {
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
		n := taken(r, p.Id, func(j *job) bool { return j.holding && j.live() })
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
	placed := taken(r, p.Id, func(*job) bool { return true })
	if s.knobs.ScaleUpDenied {
		s.unplace(r, p.Id)
	} else if n := min(placed, s.limitOf(p, false)); n > p.GetReplicaCount() {
		p.ReplicaCount = proto.Int64(n)
	}
	s.pump(r)
}

func (s *Server) shrink(r *resource, p *aiplatformpb.ResourcePool) {
	if p.AutoscalingSpec == nil {
		return
	}
	placed := taken(r, p.Id, func(*job) bool { return true })
	if n := max(placed, p.AutoscalingSpec.GetMinReplicaCount()); n < p.GetReplicaCount() {
		p.ReplicaCount = proto.Int64(n)
	}
}

// unplace takes back the places of the jobs that waited for a pool to grow which
// then could not. What becomes of them is what a full pool does.
func (s *Server) unplace(r *resource, pool string) {
	for _, j := range slices.Clone(r.jobs) {
		waits := slices.ContainsFunc(j.places, func(p place) bool { return p.Pool == pool })
		if !waits || j.holding || !j.live() {
			continue
		}
		j.places = nil
		switch s.knobs.FullPool {
		case FullQueueThenFail:
			s.after(s.knobs.QueueFailAfter, event{Kind: evStarve, Job: j.pb.Name, Code: codes.ResourceExhausted, Message: fullText(r)})
		case FullFailedPrecondition, FullResourceExhausted, FullAcceptThenFail:
			s.after(s.knobs.AcceptFailAfter, event{Kind: evStarve, Job: j.pb.Name, Code: codes.ResourceExhausted, Message: fullText(r)})
		}
	}
}
