package fakevertex

import (
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// AddResource stores a resource under its name, which must be complete and not
// taken, and returns what clients will see. Defaults are filled in. A resource
// without a state is RUNNING at once; one that is PROVISIONING stays so until
// SetResourceState.
func (s *Server) AddResource(pb *aiplatformpb.PersistentResource) (*aiplatformpb.PersistentResource, error) {
	var out *aiplatformpb.PersistentResource
	err := s.touch(func() error {
		name, err := s.checkResource(pb)
		if err != nil {
			return err
		}
		if s.resources[name] != nil {
			return fmt.Errorf("%s exists", name)
		}
		out = proto.CloneOf(s.putResource(name, pb).pb)
		return nil
	})
	return out, wrap("add", pb.GetName(), err)
}

// ReplaceResource changes what a resource is, in place: its identity (create
// time) and its jobs stay, whether or not the machines they are on still exist.
// Output fields of pb are ignored, except its state.
func (s *Server) ReplaceResource(pb *aiplatformpb.PersistentResource) (*aiplatformpb.PersistentResource, error) {
	var out *aiplatformpb.PersistentResource
	err := s.touch(func() error {
		name, err := s.checkResource(pb)
		if err != nil {
			return err
		}
		r := s.resources[name]
		if r == nil {
			return errNoResource
		}
		old := r.pb
		r.pb = proto.CloneOf(pb)
		r.pb.Name, r.pb.CreateTime, r.pb.StartTime, r.pb.UpdateTime, r.pb.Error = name, old.CreateTime, old.StartTime, s.stamp(), old.Error
		if r.pb.State == 0 {
			r.pb.State = old.State
		}
		if r.pb.DisplayName == "" {
			r.pb.DisplayName = lastWord(name)
		}
		s.fillPools(r.pb)
		shown := map[string]int64{}
		for _, p := range old.ResourcePools {
			shown[p.Id] = p.UsedReplicaCount
		}
		for _, p := range r.pb.ResourcePools {
			p.UsedReplicaCount = shown[p.Id]
		}
		s.pump(r)
		out = proto.CloneOf(r.pb)
		return nil
	})
	return out, wrap("replace", pb.GetName(), err)
}

// RecreateResource is a deletion and a creation under the same name in one
// moment: the live jobs of the old resource are CANCELLED, and the new one has
// another create time and nothing on it.
func (s *Server) RecreateResource(pb *aiplatformpb.PersistentResource) (*aiplatformpb.PersistentResource, error) {
	var out *aiplatformpb.PersistentResource
	err := s.touch(func() error {
		name, err := s.checkResource(pb)
		if err != nil {
			return err
		}
		r := s.resources[name]
		if r == nil {
			return errNoResource
		}
		s.removeResource(r)
		s.now = s.now.Add(time.Microsecond) // never the create time of the old one
		out = proto.CloneOf(s.putResource(name, pb).pb)
		return nil
	})
	return out, wrap("recreate", pb.GetName(), err)
}

// RemoveResource deletes a resource in one moment, without an operation: its live jobs are
// CANCELLED, and the operation that it is under, if any, ends.
func (s *Server) RemoveResource(name string) error {
	return wrap("remove", name, s.withResource(name, func(r *resource) error {
		s.removeResource(r)
		return nil
	}))
}

func (s *Server) removeResource(r *resource) {
	delete(s.resources, r.pb.Name) // so that nothing is started on what is left
	if r.pb.State == aiplatformpb.PersistentResource_STOPPING {
		s.complete(r.op, &emptypb.Empty{}, nil)
	} else {
		s.complete(r.op, nil, &statuspb.Status{Code: int32(codes.Aborted), Message: "The PersistentResource was removed."})
	}
	for _, j := range r.jobs {
		if j.live() {
			s.finish(j, cancelled, codes.Canceled, "CANCELED")
		}
	}
}

func wrap(verb, name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s resource %s: %w", verb, name, err)
}

func (s *Server) checkResource(pb *aiplatformpb.PersistentResource) (name string, err error) {
	name, err = s.resourceName(pb.GetName())
	if err != nil {
		return "", err
	}
	return name, s.validateResource(lastWord(name), pb)
}

func (s *Server) putResource(name string, pb *aiplatformpb.PersistentResource) *resource {
	parent, _, _ := s.splitName(name)
	pb = proto.CloneOf(pb)
	pb.Name, pb.CreateTime = name, nil
	if pb.State == 0 {
		pb.State = aiplatformpb.PersistentResource_RUNNING
	}
	for _, p := range pb.ResourcePools {
		p.UsedReplicaCount = 0
	}
	return s.storeResource(parent, pb)
}

// SetResourceState puts a resource into a state, and its error to that of the
// state: none for most, an empty one for RUNNING, an INTERNAL one for ERROR. RUNNING and ERROR
// end the operation that the resource is under, if any. Jobs on it go on; jobs that wait are
// only started while it is RUNNING.
func (s *Server) SetResourceState(name string, state aiplatformpb.PersistentResource_State) error {
	return wrap("set state of", name, s.withResource(name, func(r *resource) error {
		r.pb.State, r.pb.Error, r.pb.UpdateTime = state, nil, s.stamp()
		switch state {
		case aiplatformpb.PersistentResource_RUNNING:
			s.setRunning(r)
			s.complete(r.op, &aiplatformpb.PersistentResource{Name: r.pb.Name}, nil)
		case aiplatformpb.PersistentResource_ERROR:
			r.pb.Error = &statuspb.Status{Code: int32(codes.Internal), Message: "The PersistentResource has failed."}
			s.complete(r.op, nil, r.pb.Error)
		}
		return nil
	}))
}

// ResizePool sets how many machines a pool has now. Fewer than are in use takes
// none away from the jobs that use them.
func (s *Server) ResizePool(name, pool string, replicas int64) error {
	return wrap("resize pool "+pool+" of", name, s.withResource(name, func(r *resource) error {
		for _, p := range r.pb.ResourcePools {
			if p.Id == pool {
				p.ReplicaCount = proto.Int64(max(replicas, 0))
				r.pb.UpdateTime = s.stamp()
				s.pump(r)
				return nil
			}
		}
		return fmt.Errorf("it has no such pool")
	}))
}

// StartForeignJob puts a job without labels on a pool of a resource, as another user
// of the project might. It goes through the usual states and runs for
// run, or for ever if that is negative. It fails if the pool has no room for it.
func (s *Server) StartForeignJob(name, pool string, replicas int64, run time.Duration) (*aiplatformpb.CustomJob, error) {
	var out *aiplatformpb.CustomJob
	err := s.withResource(name, func(r *resource) error {
		for i, p := range r.pb.ResourcePools {
			if p.Id != pool {
				continue
			}
			if free := s.rooms(r, false)[i].free; replicas < 1 || replicas > free {
				return fmt.Errorf("%d replicas asked, %d free", replicas, free)
			}
			j := s.newJob(r.parent, &aiplatformpb.CustomJob{
				DisplayName:    "foreign",
				EncryptionSpec: proto.CloneOf(r.pb.EncryptionSpec),
				JobSpec: &aiplatformpb.CustomJobSpec{
					PersistentResourceId: lastWord(r.pb.Name),
					Network:              r.pb.Network,
					WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{{
						MachineSpec:  proto.CloneOf(p.MachineSpec),
						DiskSpec:     proto.CloneOf(p.DiskSpec),
						ReplicaCount: replicas,
						Task: &aiplatformpb.WorkerPoolSpec_ContainerSpec{
							ContainerSpec: &aiplatformpb.ContainerSpec{ImageUri: "gcr.io/foreign/image"},
						},
					}},
				},
			}, lot{startDelay: -1, runFor: run, end: succeeded})
			j.places = []place{{pool, replicas}}
			s.enter(j, verdict{on: r})
			out = proto.CloneOf(j.pb)
			return nil
		}
		return fmt.Errorf("it has no such pool")
	})
	return out, wrap("start foreign job on pool "+pool+" of", name, err)
}

// Reset forgets all jobs, resources, operations, logs and counts of calls. The clock, the
// knobs and the rules stay as they are; ids are drawn as from the start.
func (s *Server) Reset() {
	_ = s.touch(func() error {
		now := s.now
		s.store, s.ids = emptyStore(), map[string]bool{}
		s.now = now
		s.windows, s.calls = map[quotaKey]*window{}, map[string]int{}
		return nil
	})
}

// States is how many jobs are in each state, by its name without prefix, after everything
// that is due has been played.
func (s *Server) States() map[string]int {
	n := map[string]int{}
	_ = s.read(func() error {
		for _, j := range s.order {
			n[strings.TrimPrefix(j.pb.State.String(), "JOB_STATE_")]++
		}
		return nil
	})
	return n
}

// Jobs is a copy of all jobs, oldest first, those included that a list leaves out.
func (s *Server) Jobs() []*aiplatformpb.CustomJob {
	var out []*aiplatformpb.CustomJob
	_ = s.read(func() error {
		for _, j := range s.order {
			out = append(out, proto.CloneOf(j.pb))
		}
		return nil
	})
	return out
}

// Resources is a copy of all resources, oldest first.
func (s *Server) Resources() []*aiplatformpb.PersistentResource {
	var out []*aiplatformpb.PersistentResource
	_ = s.read(func() error {
		for _, r := range s.byAge() {
			out = append(out, proto.CloneOf(r.pb))
		}
		return nil
	})
	return out
}

// Placed is what a job takes of which pool (by id), whether or not it holds the
// machines yet; nil for a job that waits or is on no resource.
func (s *Server) Placed(name string) map[string]int64 {
	var out map[string]int64
	_ = s.read(func() error {
		j, err := s.findJob(name)
		if err != nil {
			return err
		}
		for _, p := range j.places {
			if out == nil {
				out = map[string]int64{}
			}
			out[p.Pool] += p.Replicas
		}
		return nil
	})
	return out
}
