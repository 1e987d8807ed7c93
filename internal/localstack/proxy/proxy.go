// Package proxy stands between a program and one gRPC service. A [Proxy] passes
// calls on as bytes, reports each call that was carried out, and injects the faults
// that its [Options] select.
//
// It supports calls with one request and one answer or a stream of answers, which
// are all that Berth makes. It does not decode them.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/googleapis/gax-go/v2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/localstack/emulator"
)

const (
	// maxFrame is above the 10 MiB that a commit and a publish may have, in bytes.
	maxFrame = 16 << 20
	// finishWithin bounds a call that is carried out even if its caller leaves.
	finishWithin = 20 * time.Second
)

// Options say what a proxy does to calls. Each function may run for several calls
// at the same time. The zero value passes every call on.
type Options struct {
	// Judge chooses the fault of a call by the short name of its method. nil: no
	// faults.
	Judge func(method string) Fault
	// Finish names methods that are carried out to the end even if the caller
	// leaves, so that their outcome is known.
	Finish []string
	// Before runs before a call is passed on, and gets the time since its arrival.
	// It returns the request to pass on. nil: the request is unchanged.
	Before func(method string, request []byte, since time.Duration) []byte
	// After runs for every call that was passed on, after its end and before its
	// caller gets the answer. It must not block.
	After func(Call)
}

// A Call is a call that has ended.
type Call struct {
	Method  string     // short name
	Request []byte     // as it was passed on
	Answers [][]byte   // received, also before an error
	Code    codes.Code // of the service, not of a fault
}

// A Fault is what is done to one call. The zero value lets it through.
type Fault struct {
	Sort Sort
	Err  error         // the error that the caller gets; nil: the service's answer
	Wait time.Duration // before the call is carried out
}

// A Sort says how a fault affects the call.
type Sort int

const (
	// Through: the call is carried out. A Fault with an Err hides its answers.
	Through Sort = iota
	// NotDone: the call is not carried out, and the caller gets Err at once.
	NotDone
	// DoneLater: the caller gets Err at once, and the call is carried out after Wait,
	// when the caller may already have acted on Err.
	DoneLater
	// BrokenOff: the call is carried out, and the first half of its answers is
	// passed on, then Err.
	BrokenOff
)

// A Proxy is a running proxy.
type Proxy struct {
	options  Options
	host     string
	server   *grpc.Server
	upstream *grpc.ClientConn
	late     sync.WaitGroup // calls carried out later
	pending  atomic.Int64   // how many of them there are
	served   chan struct{}
}

// Start serves on a free port of 127.0.0.1 and passes calls on to a host:port.
func Start(upstream string, o Options) (*Proxy, error) {
	lis, err := emulator.Listen(0)
	if err != nil {
		return nil, fmt.Errorf("proxy before %s: %w", upstream, err)
	}
	p := &Proxy{options: o, host: lis.Addr().String(), served: make(chan struct{})}
	p.upstream, err = grpc.NewClient(upstream,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(maxFrame), grpc.MaxCallSendMsgSize(maxFrame)),
		// A service that was killed is back in a moment.
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second,
			Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond}}),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("proxy before %s: %w", upstream, err), lis.Close())
	}
	p.server = grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.UnknownServiceHandler(p.handle),
		grpc.MaxRecvMsgSize(maxFrame), grpc.MaxSendMsgSize(maxFrame))
	go func() {
		defer close(p.served)
		_ = p.server.Serve(lis) // ends by Stop
	}()
	return p, nil
}

// Host is where it serves, host:port.
func (p *Proxy) Host() string { return p.host }

// Pending is how many calls are still to be carried out later.
func (p *Proxy) Pending() int { return int(p.pending.Load()) }

// Drain takes no more calls and returns when those under way are over, also those
// that are carried out later.
func (p *Proxy) Drain() {
	p.server.GracefulStop()
	p.late.Wait()
}

// Stop ends it and breaks off what is under way, but for calls that are carried
// out later: those it waits for. It may be called after Drain.
func (p *Proxy) Stop() error {
	p.server.Stop()
	<-p.served
	p.late.Wait()
	return p.upstream.Close()
}

// handle passes one call on, or does not.
func (p *Proxy) handle(_ any, caller grpc.ServerStream) error {
	full, _ := grpc.MethodFromServerStream(caller)
	req, came := &frame{}, time.Now()
	if err := caller.RecvMsg(req); err != nil {
		return err
	}
	fault := Fault{}
	if p.options.Judge != nil {
		fault = p.options.Judge(path.Base(full))
	}
	switch fault.Sort {
	case NotDone:
		return fault.Err
	case DoneLater:
		p.pending.Add(1)
		p.late.Go(func() {
			defer p.pending.Add(-1)
			ctx := context.WithoutCancel(onward(caller.Context()))
			_ = gax.Sleep(ctx, fault.Wait)             // it does not end
			_, _ = p.finish(ctx, full, req.data, came) // the caller has left
		})
		return fault.Err
	}
	if fault.Wait > 0 {
		_ = gax.Sleep(caller.Context(), fault.Wait) // when it ends, so does the call
	}
	answers, err := p.call(onward(caller.Context()), full, req.data, came)
	if fault.Err != nil {
		err = fault.Err
		if answers = answers[:len(answers)/2]; fault.Sort == Through {
			answers = nil
		}
	}
	for _, a := range answers {
		if err := caller.SendMsg(&frame{a}); err != nil {
			return err
		}
	}
	return err
}

// call makes one call and returns all answers that came, also beside an error.
func (p *Proxy) call(ctx context.Context, full string, request []byte, came time.Time) ([][]byte, error) {
	if slices.Contains(p.options.Finish, path.Base(full)) {
		return p.finish(context.WithoutCancel(ctx), full, request, came)
	}
	return p.pass(ctx, full, request, came)
}

// finish is pass within a limit of its own.
func (p *Proxy) finish(ctx context.Context, full string, request []byte, came time.Time) ([][]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, finishWithin)
	defer cancel()
	return p.pass(ctx, full, request, came)
}

func (p *Proxy) pass(ctx context.Context, full string, request []byte, came time.Time) ([][]byte, error) {
	stream, err := p.upstream.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, full)
	if err == nil && p.options.Before != nil {
		request = p.options.Before(path.Base(full), request, time.Since(came))
	}
	var answers [][]byte
	if err == nil {
		answers, err = exchange(stream, request)
	}
	if p.options.After != nil {
		p.options.After(Call{path.Base(full), request, answers, status.Code(err)})
	}
	return answers, err
}

// exchange sends a request and takes in the answers until their end.
func exchange(stream grpc.ClientStream, request []byte) (answers [][]byte, err error) {
	// io.EOF says that the answer, an error, is there already.
	if err := stream.SendMsg(&frame{request}); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	for {
		var a frame
		if err := stream.RecvMsg(&a); errors.Is(err, io.EOF) {
			return answers, nil
		} else if err != nil {
			return answers, err
		}
		answers = append(answers, a.data)
	}
}

// onward makes the context of the call behind, with the caller's metadata.
func onward(ctx context.Context) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	md = md.Copy()
	for _, own := range []string{":authority", "content-type", "user-agent", "te"} {
		md.Delete(own) // of the connection, which is another one now
	}
	return metadata.NewOutgoingContext(ctx, md)
}
