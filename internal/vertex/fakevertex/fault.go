package fakevertex

import (
	"context"
	"net"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A Fault is a lie about one call. The zero Fault is none.
type Fault struct {
	act     faultAct
	after   bool // the call is carried out first
	code    codes.Code
	message string
}

type faultAct int

const (
	faultNone faultAct = iota
	faultFail          // answer with the code
	faultDrop          // close the connection
	faultHang          // answer nothing until the caller has gone
)

// FailBefore is a call that is not carried out and fails with code, which must
// not be OK.
func FailBefore(code codes.Code, message string) Fault {
	return Fault{act: faultFail, code: code, message: message}
}

// FailAfter is a call that is carried out and yet fails with code, which must not
// be OK.
func FailAfter(code codes.Code, message string) Fault {
	return Fault{act: faultFail, after: true, code: code, message: message}
}

// DropBefore is a call that is not carried out, on a connection that then closes.
func DropBefore() Fault { return Fault{act: faultDrop} }

// DropAfter is a call that is carried out, on a connection that then closes
// without an answer. Other calls on that connection fail too.
func DropAfter() Fault { return Fault{act: faultDrop, after: true} }

// HangBefore is a call that is not carried out and never answered: it lasts until
// the caller's deadline passes or the caller goes.
func HangBefore() Fault { return Fault{act: faultHang} }

// HangAfter is a call that is carried out and then never answered.
func HangAfter() Fault { return Fault{act: faultHang, after: true} }

// SetFault installs a hook that is asked about every call, with the short name of
// its method ("CreateCustomJob") and its request, which the hook must not change.
// Nil removes the hook. The hook may call methods of the server.
func (s *Server) SetFault(hook func(method string, req any) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faultHook = hook
}

// FaultOnce lets f befall the next call of method (its short name), before the
// hook is asked. Several for one method befall one call each, in order.
func (s *Server) FaultOnce(method string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faultsOnce[method] = append(s.faultsOnce[method], f)
}

// faultFor takes the fault that is meant for a call.
func (s *Server) faultFor(method string, req any) Fault {
	s.mu.Lock()
	if q := s.faultsOnce[method]; len(q) > 0 {
		s.faultsOnce[method] = q[1:]
		s.mu.Unlock()
		return q[0]
	}
	hook := s.faultHook
	s.mu.Unlock()
	if hook != nil {
		if f := hook(method, req); f.act != faultNone {
			return f
		}
	}
	return s.ruledFault(method)
}

type connKey struct{}

// commit carries the fault out on the call that ctx belongs to.
func (f Fault) commit(ctx context.Context) error {
	switch f.act {
	case faultFail:
		return status.Error(f.code, f.message)
	case faultDrop:
		if c, ok := ctx.Value(connKey{}).(net.Conn); ok {
			c.Close()
		}
		return status.Error(codes.Unavailable, "connection dropped")
	default:
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	}
}
