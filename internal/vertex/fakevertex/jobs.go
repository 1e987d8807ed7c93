package fakevertex

import (
	"context"
	"fmt"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

var errNoJob = status.Error(codes.NotFound, "The CustomJob does not exist.")

// jobService is the part of JobService that is about custom jobs; the rest
// answers UNIMPLEMENTED.
type jobService struct {
	aiplatformpb.UnimplementedJobServiceServer
	*Server
}

func (s jobService) CreateCustomJob(_ context.Context, req *aiplatformpb.CreateCustomJobRequest) (out *aiplatformpb.CustomJob, err error) {
	err = s.touch(func() error {
		j, err := s.createJob(req)
		if err == nil {
			out = proto.CloneOf(j.pb)
		}
		return err
	})
	return out, err
}

// createJob does it all: validation, the checks against the resource, placing.
func (s *Server) createJob(req *aiplatformpb.CreateCustomJobRequest) (*job, error) {
	parent, err := s.location(req.GetParent())
	if err != nil {
		return nil, err
	}
	in := req.GetCustomJob()
	lot, err := s.validateJob(in)
	if err != nil {
		return nil, err
	}
	spec := proto.CloneOf(in.GetJobSpec())
	for _, w := range spec.WorkerPoolSpecs {
		if !isPlaceholder(w) {
			w.DiskSpec = fillDisk(w.MachineSpec.GetMachineType(), s.knobs.JobDisk, w.DiskSpec)
		}
	}
	id := spec.PersistentResourceId
	if err := s.machineQuota(id != ""); err != nil {
		return nil, err
	}
	var v verdict
	if id != "" {
		if v = s.admit(parent+"/persistentResources/"+id, spec, in); v.err != nil {
			return nil, v.err
		}
	}
	j := s.newJob(parent, &aiplatformpb.CustomJob{
		DisplayName:    in.DisplayName,
		JobSpec:        spec,
		Labels:         in.Labels,
		EncryptionSpec: in.EncryptionSpec,
	}, lot)
	s.enter(j, v)
	return j, nil
}

// newJob stores a job that is PENDING and on no resource yet.
func (s *Server) newJob(parent string, pb *aiplatformpb.CustomJob, lot lot) *job {
	pb.Name = parent + "/customJobs/" + s.newID()
	pb.State = pending
	pb.CreateTime, pb.UpdateTime = s.stamp(), s.stamp()
	s.seq++
	j := &job{pb: pb, seq: s.seq, parent: parent, asks: asksOf(pb.JobSpec), lot: lot}
	if id := pb.JobSpec.PersistentResourceId; id != "" {
		j.resource = parent + "/persistentResources/" + id
	}
	s.jobs[pb.Name] = j
	s.order = append(s.order, j)
	s.indexOf(parent).add(j)
	s.named[pb.DisplayName]++
	s.begin(j)
	return j
}

// enter carries a verdict out on a job that was just created.
func (s *Server) enter(j *job, v verdict) {
	switch {
	case v.doom != "":
		s.after(s.knobs.AcceptFailAfter, event{Kind: evFail, Job: j.pb.Name, Code: v.code, Message: v.doom})
	case v.on == nil:
		s.hold(j) // it has machines of its own
	default:
		j.uid = v.on.uid
		v.on.add(j)
		if v.starve {
			s.after(s.knobs.QueueFailAfter, event{Kind: evStarve, Job: j.pb.Name, Code: codes.ResourceExhausted, Message: fullText(v.on)})
		}
		s.pump(v.on)
	}
}

// A verdict is what a resource says to a job: an error for the call, or doom for
// a job that is accepted and will fail, or the resource to be on.
type verdict struct {
	err    error
	code   codes.Code
	doom   string
	on     *resource
	starve bool // the job fails if it waits too long
}

// refuse turns a refusal into a verdict.
func (r Refusal) refuse(usual codes.Code, message string) verdict {
	code := usual
	switch r {
	case RefuseInvalidArgument:
		code = codes.InvalidArgument
	case RefuseFailedPrecondition:
		code = codes.FailedPrecondition
	case RefuseNotFound:
		code = codes.NotFound
	case RefuseByFailing:
		return verdict{code: usual, doom: message}
	}
	return verdict{err: status.Error(code, message)}
}

func fullText(r *resource) string {
	return fmt.Sprintf("The PersistentResource %q does not have enough free replicas for the job.", lastWord(r.pb.Name))
}

// admit decides what the resource of that name says to a job with spec.
func (s *Server) admit(name string, spec *aiplatformpb.CustomJobSpec, in *aiplatformpb.CustomJob) verdict {
	id := lastWord(name)
	r := s.resources[name]
	if r == nil {
		return s.knobs.ResourceAbsent.refuse(codes.NotFound, fmt.Sprintf("The PersistentResource %q does not exist.", id))
	}
	if r.pb.State != aiplatformpb.PersistentResource_RUNNING {
		return s.knobs.ResourceNotRunning.refuse(codes.FailedPrecondition,
			fmt.Sprintf("The PersistentResource %q is in state %v and can not run jobs.", id, r.pb.State))
	}
	if why := s.inconsistent(r.pb, spec, in); why != "" {
		return s.knobs.Mismatch.refuse(codes.InvalidArgument, why)
	}
	needs := s.needs(spec)
	if _, ok := s.fit(needs, s.rooms(r, true)); !ok {
		return s.knobs.Mismatch.refuse(codes.InvalidArgument,
			fmt.Sprintf("The worker pools of the job do not match the resource pools of PersistentResource %q.", id))
	}
	if _, ok := s.fit(needs, s.rooms(r, false)); ok {
		return verdict{on: r}
	}
	switch s.knobs.FullPool {
	case FullFailedPrecondition:
		return verdict{err: status.Error(codes.FailedPrecondition, fullText(r))}
	case FullResourceExhausted:
		return verdict{err: status.Error(codes.ResourceExhausted, fullText(r))}
	case FullAcceptThenFail:
		return verdict{code: codes.ResourceExhausted, doom: fullText(r)}
	}
	return verdict{on: r, starve: s.knobs.FullPool == FullQueueThenFail}
}

// inconsistent says how a job and its resource contradict each other apart from
// machines, or "".
func (s *Server) inconsistent(r *aiplatformpb.PersistentResource, spec *aiplatformpb.CustomJobSpec, in *aiplatformpb.CustomJob) string {
	switch {
	case spec.Network != r.Network:
		return fmt.Sprintf("The network %q of the job is not the network %q of its PersistentResource.", spec.Network, r.Network)
	case in.GetEncryptionSpec().GetKmsKeyName() != r.GetEncryptionSpec().GetKmsKeyName():
		return fmt.Sprintf("The key %q of the job is not the key %q of its PersistentResource.",
			in.GetEncryptionSpec().GetKmsKeyName(), r.GetEncryptionSpec().GetKmsKeyName())
	case r.GetResourceRuntimeSpec().GetServiceAccountSpec().GetEnableCustomServiceAccount() && spec.ServiceAccount == "":
		return "The PersistentResource enforces custom service accounts, but the job sets none."
	case s.knobs.RefuseAccounts && !r.GetResourceRuntimeSpec().GetServiceAccountSpec().GetEnableCustomServiceAccount() && spec.ServiceAccount != "":
		return "The PersistentResource does not enable custom service accounts, but the job sets one."
	case s.knobs.RefuseRay && r.GetResourceRuntimeSpec().GetRaySpec() != nil:
		return "The PersistentResource is a Ray cluster and can not run custom jobs."
	}
	for _, w := range spec.WorkerPoolSpecs {
		if bindsReservation(w.GetMachineSpec().GetReservationAffinity()) {
			return "Reservation affinity is not supported yet for persistent clusters"
		}
	}
	return ""
}

func (s jobService) GetCustomJob(_ context.Context, req *aiplatformpb.GetCustomJobRequest) (out *aiplatformpb.CustomJob, err error) {
	err = s.read(func() error {
		j, err := s.findJob(req.GetName())
		if err == nil {
			out = proto.CloneOf(j.pb)
		}
		return err
	})
	return out, err
}

func (s jobService) CancelCustomJob(_ context.Context, req *aiplatformpb.CancelCustomJobRequest) (*emptypb.Empty, error) {
	err := s.touch(func() error {
		j, err := s.findJob(req.GetName())
		if err == nil {
			s.cancel(j)
		}
		return err
	})
	return &emptypb.Empty{}, err
}

func (s jobService) DeleteCustomJob(_ context.Context, req *aiplatformpb.DeleteCustomJobRequest) (op *longrunningpb.Operation, err error) {
	err = s.touch(func() error {
		j, err := s.findJob(req.GetName())
		if err != nil {
			return err
		}
		if j.live() {
			return status.Errorf(codes.FailedPrecondition,
				"The CustomJob %q is in state %v and can not be deleted. Please cancel it first.", j.pb.Name, j.pb.State)
		}
		delete(s.jobs, j.pb.Name)
		s.order = s.order.drop(j)
		s.indexOf(j.parent).remove(j)
		if r := s.home(j); r != nil {
			s.release(r, j)
		}
		op = s.newOperation(j.parent, &aiplatformpb.DeleteOperationMetadata{})
		s.complete(op.Name, &emptypb.Empty{}, nil)
		op = proto.CloneOf(s.ops[op.Name])
		return nil
	})
	return op, err
}

// findJob is the job of that name, given with the project's id or number.
func (s *Server) findJob(name string) (*job, error) {
	canonical, err := s.jobName(name)
	if err != nil {
		return nil, err
	}
	j := s.jobs[canonical]
	if j == nil {
		return nil, errNoJob
	}
	return j, nil
}
