package fakevertex

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

var errNoResource = status.Error(codes.NotFound, "The PersistentResource does not exist.")

// resourceService is PersistentResourceService.
type resourceService struct {
	aiplatformpb.UnimplementedPersistentResourceServiceServer
	*Server
}

func (s resourceService) CreatePersistentResource(_ context.Context, req *aiplatformpb.CreatePersistentResourceRequest) (op *longrunningpb.Operation, err error) {
	err = s.touch(func() error {
		parent, err := s.location(req.GetParent())
		if err != nil {
			return err
		}
		if err := s.validateResource(req.GetPersistentResourceId(), req.GetPersistentResource()); err != nil {
			return err
		}
		name := parent + "/persistentResources/" + req.GetPersistentResourceId()
		if s.resources[name] != nil {
			return status.Errorf(codes.AlreadyExists, "There is an existing PersistentResource with the same ID %q created or being created. "+
				"Please use a different ID.", req.GetPersistentResourceId())
		}
		pb := proto.CloneOf(req.GetPersistentResource())
		pb.Name = name
		pb.State = aiplatformpb.PersistentResource_PROVISIONING
		pb.CreateTime, pb.StartTime, pb.UpdateTime, pb.Error, pb.ResourceRuntime = nil, nil, nil, nil, nil
		for _, p := range pb.ResourcePools {
			p.UsedReplicaCount = 0
		}
		r := s.storeResource(parent, pb)
		op = s.newOperation(name, &aiplatformpb.CreatePersistentResourceOperationMetadata{
			ProgressMessage: "Create persistent resource request received, checking its configuration and quota.",
		})
		r.op = op.Name
		s.after(s.knobs.ProvisionAfter, event{Kind: evProvisioned, Resource: name, UID: r.uid})
		op = proto.CloneOf(op)
		return nil
	})
	return op, err
}

func (s resourceService) GetPersistentResource(_ context.Context, req *aiplatformpb.GetPersistentResourceRequest) (out *aiplatformpb.PersistentResource, err error) {
	err = s.read(func() error {
		r, err := s.findResource(req.GetName())
		if err == nil {
			out = proto.CloneOf(r.pb)
		}
		return err
	})
	return out, err
}

func (s resourceService) ListPersistentResources(_ context.Context, req *aiplatformpb.ListPersistentResourcesRequest) (*aiplatformpb.ListPersistentResourcesResponse, error) {
	out := &aiplatformpb.ListPersistentResourcesResponse{}
	err := s.read(func() error {
		parent, err := s.location(req.GetParent())
		if err != nil {
			return err
		}
		page, err := newPage(req, parent)
		if err != nil {
			return err
		}
		for _, r := range slices.Backward(s.byAge()) {
			if r.parent != parent || page.before > 0 && r.uid >= page.before {
				continue
			}
			if len(out.PersistentResources) == page.size {
				out.NextPageToken = page.next()
				break
			}
			out.PersistentResources = append(out.PersistentResources, proto.CloneOf(r.pb))
			page.before = r.uid
		}
		return nil
	})
	return out, err
}

// UpdatePersistentResource changes replica counts of pools, named by their ids, and
// nothing else. The real service is said to do so for Ray clusters only.
func (s resourceService) UpdatePersistentResource(_ context.Context, req *aiplatformpb.UpdatePersistentResourceRequest) (op *longrunningpb.Operation, err error) {
	err = s.withResource(req.GetPersistentResource().GetName(), func(r *resource) error {
		for _, path := range req.GetUpdateMask().GetPaths() {
			if path != "resource_pools" && path != "resource_pools.replica_count" {
				return fieldError("update_mask", fmt.Sprintf("Unrecognized path %q.", path))
			}
		}
		if len(req.GetUpdateMask().GetPaths()) == 0 {
			return fieldError("update_mask", "Required field is not set.")
		}
		if r.pb.GetResourceRuntimeSpec().GetRaySpec() == nil && !s.knobs.AllowUpdate {
			return status.Error(codes.InvalidArgument, "Updating a PersistentResource is only supported on Ray clusters.")
		}
		if r.pb.State != aiplatformpb.PersistentResource_RUNNING {
			return status.Errorf(codes.FailedPrecondition, "PersistentResource %q is in state %v thus can not be updated.", lastWord(r.pb.Name), r.pb.State)
		}
		sizes := map[string]int64{}
		for i, p := range req.GetPersistentResource().GetResourcePools() {
			old := r.pool(p.GetId())
			switch n := p.GetReplicaCount(); {
			case old == nil:
				return fieldError(fmt.Sprintf("persistent_resource.resource_pools[%d].id", i), "There is no such resource pool.")
			case p.ReplicaCount == nil:
			case n < 1 || old.AutoscalingSpec != nil && (n < old.AutoscalingSpec.GetMinReplicaCount() || n > old.AutoscalingSpec.GetMaxReplicaCount()):
				return fieldError(fmt.Sprintf("persistent_resource.resource_pools[%d].replica_count", i), fmt.Sprintf("Must be at least 1 and within the bounds of autoscaling, got %d.", n))
			default:
				sizes[p.GetId()] = n
			}
		}
		made := s.newOperation(r.pb.Name, &aiplatformpb.UpdatePersistentResourceOperationMetadata{ProgressMessage: "Update persistent resource request received."})
		r.op = made.Name
		r.pb.State = aiplatformpb.PersistentResource_UPDATING
		r.pb.Error, r.pb.UpdateTime = nil, s.stamp()
		for _, p := range r.pb.ResourcePools {
			if n, ok := sizes[p.Id]; ok {
				s.after(s.knobs.UpdateAfter, event{Kind: evResize, Resource: r.pb.Name, UID: r.uid, Pool: p.Id, Count: n})
			}
		}
		s.after(s.knobs.UpdateAfter, event{Kind: evUpdated, Resource: r.pb.Name, UID: r.uid})
		op = proto.CloneOf(made)
		return nil
	})
	return op, err
}

// pool is the pool of that id, or nil.
func (r *resource) pool(id string) *aiplatformpb.ResourcePool {
	for _, p := range r.pb.ResourcePools {
		if p.Id == id {
			return p
		}
	}
	return nil
}

func (s resourceService) DeletePersistentResource(_ context.Context, req *aiplatformpb.DeletePersistentResourceRequest) (op *longrunningpb.Operation, err error) {
	err = s.withResource(req.GetName(), func(r *resource) error {
		switch r.pb.State {
		case aiplatformpb.PersistentResource_RUNNING, aiplatformpb.PersistentResource_ERROR:
		case aiplatformpb.PersistentResource_PROVISIONING:
			return status.Errorf(codes.FailedPrecondition, "PersistentResource %q is being created thus can not be deleted now. "+
				"Please try again later after it's active.", lastWord(r.pb.Name))
		default:
			return status.Errorf(codes.FailedPrecondition, "PersistentResource %q is in state %v thus can not be deleted now.",
				lastWord(r.pb.Name), r.pb.State)
		}
		made := s.newOperation(r.parent, &aiplatformpb.DeleteOperationMetadata{})
		r.op = made.Name
		r.pb.State = aiplatformpb.PersistentResource_STOPPING
		r.pb.UpdateTime = s.stamp()
		for _, j := range r.jobs {
			s.cancel(j)
		}
		if s.knobs.StopAfter > 0 {
			s.after(s.knobs.StopAfter, event{Kind: evHalted, Resource: r.pb.Name, UID: r.uid})
		} else {
			r.halted = true
			s.stopIfIdle(r)
		}
		op = proto.CloneOf(made)
		return nil
	})
	return op, err
}

func (s resourceService) RebootPersistentResource(_ context.Context, req *aiplatformpb.RebootPersistentResourceRequest) (op *longrunningpb.Operation, err error) {
	err = s.withResource(req.GetName(), func(r *resource) error {
		if st := r.pb.State; st != aiplatformpb.PersistentResource_RUNNING && st != aiplatformpb.PersistentResource_ERROR {
			return status.Errorf(codes.FailedPrecondition, "PersistentResource %q is in state %v thus can not be rebooted.", lastWord(r.pb.Name), st)
		}
		made := s.newOperation(r.pb.Name, &aiplatformpb.RebootPersistentResourceOperationMetadata{})
		r.op = made.Name
		r.pb.State = aiplatformpb.PersistentResource_REBOOTING
		r.pb.Error, r.pb.UpdateTime = nil, s.stamp()
		if s.knobs.RebootKills {
			for _, j := range slices.Clone(r.jobs) {
				if j.live() {
					s.finish(j, failed, codes.Aborted, "The PersistentResource was rebooted.")
				}
			}
		}
		s.after(s.knobs.RebootAfter, event{Kind: evRebooted, Resource: r.pb.Name, UID: r.uid})
		op = proto.CloneOf(made)
		return nil
	})
	return op, err
}

// byAge is all resources, oldest first.
func (s *Server) byAge() []*resource {
	return slices.SortedFunc(maps.Values(s.resources), func(a, b *resource) int { return cmp.Compare(a.uid, b.uid) })
}

// withResource runs f on the resource of that name.
func (s *Server) withResource(name string, f func(*resource) error) error {
	return s.touch(func() error {
		r, err := s.findResource(name)
		if err != nil {
			return err
		}
		return f(r)
	})
}

// findResource is the resource of that name, given with the project's id or number.
func (s *Server) findResource(name string) (*resource, error) {
	canonical, err := s.resourceName(name)
	if err != nil {
		return nil, err
	}
	r := s.resources[canonical]
	if r == nil {
		return nil, errNoResource
	}
	return r, nil
}
