package fakevertex

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
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
	sh := rawShape(m, d)
	if s.knobs.IgnoreDiskSize {
		sh.diskGB = 0
	}
	return sh
}

func rawShape(m *aiplatformpb.MachineSpec, d *aiplatformpb.DiskSpec) shape {
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

// asksOf is equal for specs that ask for equal machines, whatever the knobs.
func asksOf(spec *aiplatformpb.CustomJobSpec) string {
	var b strings.Builder
	for _, w := range spec.GetWorkerPoolSpecs() {
		if !isPlaceholder(w) {
			fmt.Fprintf(&b, "%v\n", need{rawShape(w.MachineSpec, w.DiskSpec), w.ReplicaCount})
		}
	}
	return b.String()
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
			rm.free -= r.taken[p.Id]
		}
		list = append(list, rm)
	}
	return list
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
