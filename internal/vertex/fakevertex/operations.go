package fakevertex

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"cloud.google.com/go/longrunning/autogen/longrunningpb"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
)

// operationService is google.longrunning.Operations. Operations cannot be
// cancelled.
type operationService struct {
	longrunningpb.UnimplementedOperationsServer
	*Server
}

// A metadata is what every kind of operation says about itself.
type metadata interface {
	proto.Message
	GetGenericMetadata() *aiplatformpb.GenericOperationMetadata
}

// newOperation stores an operation under parent that is not done. Its id is a
// number.
func (s *Server) newOperation(parent string, m metadata) *longrunningpb.Operation {
	op := &longrunningpb.Operation{Name: parent + "/operations/" + s.newID()}
	generic := &aiplatformpb.GenericOperationMetadata{CreateTime: s.stamp(), UpdateTime: s.stamp()}
	switch m := m.(type) {
	case *aiplatformpb.DeleteOperationMetadata:
		m.GenericMetadata = generic
	case *aiplatformpb.CreatePersistentResourceOperationMetadata:
		m.GenericMetadata = generic
	case *aiplatformpb.RebootPersistentResourceOperationMetadata:
		m.GenericMetadata = generic
	case *aiplatformpb.UpdatePersistentResourceOperationMetadata:
		m.GenericMetadata = generic
	}
	op.Metadata = pack(m)
	s.keepOperation(op)
	return op
}

// keepOperation stores an operation under its name, and under its location and id.
func (s *store) keepOperation(op *longrunningpb.Operation) {
	s.ops[op.Name] = op
	s.opsByID[opKey(op)] = op
}

func opKey(op *longrunningpb.Operation) string {
	return strings.Join(strings.SplitN(op.Name, "/", 5)[:4], "/") + "/" + lastWord(op.Name)
}

// complete ends an operation with a response or an error; a name that is gone is
// ignored.
func (s *Server) complete(name string, response proto.Message, failure *statuspb.Status) {
	op := s.ops[name]
	if op == nil || op.Done {
		return
	}
	if m, err := op.Metadata.UnmarshalNew(); err == nil {
		if m, ok := m.(metadata); ok {
			m.GetGenericMetadata().UpdateTime = s.stamp()
			if m, ok := m.(*aiplatformpb.CreatePersistentResourceOperationMetadata); ok && failure == nil {
				m.ProgressMessage = "Your persistent resource is ready."
			}
			op.Metadata = pack(m)
		}
	}
	op.Done = true
	if failure != nil {
		op.Result = &longrunningpb.Operation_Error{Error: failure}
	} else {
		op.Result = &longrunningpb.Operation_Response{Response: pack(response)}
	}
}

// pack cannot fail: its messages are valid and registered.
func pack(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(fmt.Sprintf("fakevertex: pack %T: %v", m, err))
	}
	return a
}

// operation finds an operation by a name with the project's id or number. The
// caller holds the mutex.
func (s *Server) operation(name string) (*longrunningpb.Operation, error) {
	parent, rest, err := s.splitName(name)
	if err != nil || !strings.Contains("/"+rest, "/operations/") {
		return nil, fieldError("name", "Invalid Operation resource name.")
	}
	op := s.ops[parent+"/"+rest]
	if id, bare := strings.CutPrefix(rest, "operations/"); op == nil && bare {
		op = s.opsByID[parent+"/"+id] // as gcloud asks, whatever the operation is about
	}
	if op == nil {
		return nil, status.Errorf(codes.NotFound, "The Operation %q does not exist.", name)
	}
	return op, nil
}

func (s operationService) GetOperation(_ context.Context, req *longrunningpb.GetOperationRequest) (out *longrunningpb.Operation, err error) {
	err = s.read(func() error {
		op, err := s.operation(req.GetName())
		if err == nil {
			out = proto.CloneOf(op)
		}
		return err
	})
	return out, err
}

// ListOperations lists the operations directly under a location, a job or a
// resource, newest name last; filters are refused.
func (s operationService) ListOperations(_ context.Context, req *longrunningpb.ListOperationsRequest) (*longrunningpb.ListOperationsResponse, error) {
	out := &longrunningpb.ListOperationsResponse{}
	err := s.read(func() error {
		parent, rest, err := s.splitName(strings.TrimSuffix(req.GetName(), "/operations"))
		if err != nil {
			return fieldError("name", "Invalid Operation parent name.")
		}
		if req.GetFilter() != "" {
			return fieldError("filter", "Filters on operations are not supported.")
		}
		if rest != "" {
			parent += "/" + rest
		}
		for name, op := range s.ops {
			if id, ok := strings.CutPrefix(name, parent+"/operations/"); ok && !strings.Contains(id, "/") {
				out.Operations = append(out.Operations, proto.CloneOf(op))
			}
		}
		slices.SortFunc(out.Operations, func(a, b *longrunningpb.Operation) int { return cmp.Compare(a.Name, b.Name) })
		return nil
	})
	return out, err
}

func (s operationService) DeleteOperation(_ context.Context, req *longrunningpb.DeleteOperationRequest) (*emptypb.Empty, error) {
	err := s.touch(func() error {
		op, err := s.operation(req.GetName())
		if err == nil {
			delete(s.ops, op.Name)
			delete(s.opsByID, opKey(op))
		}
		return err
	})
	return &emptypb.Empty{}, err
}

// WaitOperation answers when the operation is done, at the latest after the
// timeout in the request (none: the caller's deadline) on the server's clock.
func (s operationService) WaitOperation(ctx context.Context, req *longrunningpb.WaitOperationRequest) (*longrunningpb.Operation, error) {
	get := func() (*longrunningpb.Operation, error) {
		return s.GetOperation(ctx, &longrunningpb.GetOperationRequest{Name: req.GetName()})
	}
	begin := s.clock.Now()
	for {
		changed := s.whenChanged() // before the look, so that no change falls between the two
		op, err := get()
		if err != nil || op.Done {
			return op, err
		}
		// The next event may end it, or what another caller does.
		next, any := s.NextEvent()
		wait := next.Sub(s.clock.Now())
		if t := req.GetTimeout(); t != nil {
			left := begin.Add(t.AsDuration()).Sub(s.clock.Now())
			if left <= 0 {
				return op, nil
			}
			if !any || left < wait {
				wait, any = left, true
			}
		}
		reached := make(chan struct{})
		stop := func() bool { return true }
		if any {
			stop = s.clock.AfterFunc(max(wait, 0), func() { close(reached) })
		}
		select {
		case <-reached:
		case <-changed:
			stop()
		case <-ctx.Done():
			stop()
			return nil, status.FromContextError(ctx.Err()).Err()
		}
	}
}
