package fakevertex

import (
	"fmt"
	"strings"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// storeResource fills in defaults and keeps pb, which it takes over, as a new
// incarnation of its name.
func (s *Server) storeResource(parent string, pb *aiplatformpb.PersistentResource) *resource {
	if pb.DisplayName == "" {
		pb.DisplayName = lastWord(pb.Name)
	}
	if pb.CreateTime == nil {
		pb.CreateTime = s.stamp()
	}
	pb.UpdateTime = s.stamp()
	s.fillPools(pb)
	s.seq++
	r := newResource(pb, s.seq, parent)
	s.resources[pb.Name] = r
	if pb.State == aiplatformpb.PersistentResource_RUNNING {
		s.setRunning(r)
	}
	return r
}

// fillPools sets ids, disks and sizes of pools that leave them out.
func (s *Server) fillPools(pb *aiplatformpb.PersistentResource) {
	taken := map[string]bool{}
	for _, p := range pb.ResourcePools {
		taken[p.Id] = true
	}
	for _, p := range pb.ResourcePools {
		p.DiskSpec = fillDisk(p.MachineSpec.GetMachineType(), s.knobs.PoolDisk, p.DiskSpec)
		if p.ReplicaCount == nil {
			p.ReplicaCount = proto.Int64(max(1, p.AutoscalingSpec.GetMinReplicaCount()))
		}
		if p.Id != "" {
			continue
		}
		base := p.MachineSpec.GetMachineType()
		if m := p.MachineSpec; m.GetAcceleratorType() != 0 {
			base += fmt.Sprintf("-%s-%d", strings.ToLower(strings.ReplaceAll(m.AcceleratorType.String(), "_", "-")), m.AcceleratorCount)
		}
		p.Id = base
		for n := 2; taken[p.Id]; n++ {
			p.Id = fmt.Sprintf("%s-%d", base, n)
		}
		taken[p.Id] = true
	}
}

func (s *Server) setRunning(r *resource) {
	r.pb.State = aiplatformpb.PersistentResource_RUNNING
	r.pb.Error = &statuspb.Status{} // shown, though empty
	if r.pb.StartTime == nil {
		r.pb.StartTime = s.stamp()
	}
	r.pb.UpdateTime = s.stamp()
	s.pump(r)
}

// stopIfIdle removes a resource that is STOPPING once nothing lives on it.
func (s *Server) stopIfIdle(r *resource) {
	if r.pb.State != aiplatformpb.PersistentResource_STOPPING || !r.halted || r.live > 0 || s.resources[r.pb.Name] != r {
		return
	}
	delete(s.resources, r.pb.Name)
	s.complete(r.op, &emptypb.Empty{}, nil)
}

// playResource carries out an event of a resource.
func (s *Server) playResource(r *resource, e *event) {
	only := &aiplatformpb.PersistentResource{Name: r.pb.Name}
	switch e.Kind {
	case evProvisioned:
		switch {
		case r.pb.State != aiplatformpb.PersistentResource_PROVISIONING:
		case s.knobs.ProvisionFails:
			r.pb.State = aiplatformpb.PersistentResource_ERROR
			r.pb.Error = &statuspb.Status{Code: int32(codes.ResourceExhausted),
				Message: "Resources are insufficient in region: " + lastWord(r.parent) + ". Please try a different region or use a different machine type."}
			r.pb.UpdateTime = s.stamp()
			s.complete(r.op, nil, r.pb.Error)
		default:
			s.setRunning(r)
			s.complete(r.op, only, nil)
		}
	case evRebooted:
		if r.pb.State != aiplatformpb.PersistentResource_REBOOTING {
			return
		}
		for _, p := range r.pb.ResourcePools {
			s.shrink(r, p)
		}
		s.setRunning(r)
		s.complete(r.op, only, nil)
	case evUpdated:
		if r.pb.State == aiplatformpb.PersistentResource_UPDATING {
			s.setRunning(r)
			s.complete(r.op, only, nil)
		}
	case evHalted:
		r.halted = true
		s.stopIfIdle(r)
	default:
		for _, p := range r.pb.ResourcePools {
			if p.Id != e.Pool {
				continue
			}
			switch e.Kind {
			case evUsed:
				p.UsedReplicaCount = e.Count
			case evResize:
				p.ReplicaCount = proto.Int64(e.Count)
			case evGrow:
				s.grow(r, p)
			case evShrink:
				s.shrink(r, p)
			}
		}
	}
}
