package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"

	"example.com/berth/internal/localstack/emulator"
)

// maxFrame is above the 10 MiB that a commit and a publish may have.
const maxFrame = 16 << 20

// finishWithin bounds a call that is carried out whatever becomes of its caller.
const finishWithin = 20 * time.Second

// A proxy stands between the functions and one service. It knows calls with one
// request and one answer or a stream of them, which are all that Berth makes.
type proxy struct {
	service string
	rules   rules
	dice    *dice

	// finish names methods that are carried out to the end even if the caller
	// goes, so that their outcome is known here.
	finish map[string]bool
	// before, if set, hears of a call that is about to be passed on, and how long
	// ago it came. It returns what to pass on.
	before func(method string, req []byte, since time.Duration) []byte
	// after, if set, hears of a call that was carried out with success, before
	// its caller does.
	after func(method string, req, answer []byte)

	host     string
	server   *grpc.Server
	upstream *grpc.ClientConn
	late     sync.WaitGroup // calls carried out later
	pending  atomic.Int64   // how many of them there are
	served   chan struct{}
}

// A frame is a message that nobody here has to understand.
type frame struct {
	data []byte
	came time.Time // of a request
}

// rawCodec passes frames on as they are. It goes by the name of the codec that
// it stands in for.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return nil, fmt.Errorf("chaos: cannot pass on a %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(f.data)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("chaos: cannot take in a %T", v)
	}
	f.data = data.Materialize()
	return nil
}

// start serves on a free port and passes calls on to a host:port.
func (p *proxy) start(upstream string) error {
	lis, err := emulator.Listen(0)
	if err != nil {
		return fmt.Errorf("proxy for %s: %w", p.service, err)
	}
	p.upstream, err = grpc.NewClient(upstream,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(maxFrame), grpc.MaxCallSendMsgSize(maxFrame)),
		// A service that was killed is back in a moment.
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: time.Second,
			Backoff: backoff.Config{BaseDelay: 20 * time.Millisecond, Multiplier: 1.5, MaxDelay: 200 * time.Millisecond}}),
		grpc.WithDisableRetry(), grpc.WithDisableServiceConfig())
	if err != nil {
		return errors.Join(fmt.Errorf("proxy for %s: %w", p.service, err), lis.Close())
	}
	p.host, p.served = lis.Addr().String(), make(chan struct{})
	p.server = grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.UnknownServiceHandler(p.handle),
		grpc.MaxRecvMsgSize(maxFrame), grpc.MaxSendMsgSize(maxFrame))
	go func() {
		defer close(p.served)
		_ = p.server.Serve(lis) // ends by stop
	}()
	return nil
}

func (p *proxy) stop() error {
	p.server.Stop()
	<-p.served
	p.late.Wait()
	return p.upstream.Close()
}

// handle passes one call on, or does not.
func (p *proxy) handle(_ any, caller grpc.ServerStream) error {
	full, _ := grpc.MethodFromServerStream(caller)
	method := path.Base(full)
	req := &frame{came: time.Now()}
	if err := caller.RecvMsg(req); err != nil {
		return err
	}
	fault, wait := p.dice.roll(p.service, method, p.rules[method])
	switch fault {
	case abortedBefore, unavailableBefore, rateLimited, outage:
		return fault.err()
	case doneLater:
		p.pending.Add(1)
		p.late.Go(func() {
			defer p.pending.Add(-1)
			p.later(caller.Context(), full, req, wait)
		})
		return fault.err()
	case slow:
		rest(caller.Context(), wait)
	}
	ctx, cancel := passOn(caller.Context()), func() {}
	if p.finish[method] {
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), finishWithin)
	}
	defer cancel()
	answers, err := p.call(ctx, full, req)
	switch fault {
	case brokenOff:
		answers, err = answers[:len(answers)/2], fault.err()
	case unavailableAfter, deadlineAfter:
		return fault.err()
	}
	for _, a := range answers {
		if err := caller.SendMsg(a); err != nil {
			return err
		}
	}
	return err
}

// later carries out a call whose caller has been told that it failed.
func (p *proxy) later(ctx context.Context, method string, req *frame, wait time.Duration) {
	rest(context.WithoutCancel(ctx), wait)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(passOn(ctx)), finishWithin)
	defer cancel()
	_, _ = p.call(ctx, method, req) // there is nobody to tell
}

// call makes one call and returns all answers that came, also beside an error.
func (p *proxy) call(ctx context.Context, method string, req *frame) ([]*frame, error) {
	stream, err := p.upstream.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method)
	if err != nil {
		return nil, err
	}
	if p.before != nil {
		req = &frame{data: p.before(path.Base(method), req.data, time.Since(req.came))}
	}
	if err := stream.SendMsg(req); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	var answers []*frame
	for {
		a := &frame{}
		err := stream.RecvMsg(a)
		if errors.Is(err, io.EOF) {
			if p.after != nil && len(answers) > 0 {
				p.after(path.Base(method), req.data, answers[0].data)
			}
			return answers, nil
		}
		if err != nil {
			return answers, err
		}
		answers = append(answers, a)
	}
}

// passOn makes the context of the call behind, with the caller's metadata.
func passOn(ctx context.Context) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	md = md.Copy()
	for _, own := range []string{":authority", "content-type", "user-agent", "te"} {
		md.Delete(own) // of the connection, which is another one now
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// rest waits, or returns early when the context ends.
func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// freePort returns a port of 127.0.0.1 below those that outgoing connections
// take, so that nobody takes it while the process that serves there is dead.
func freePort(pick func(n int) int) (int, error) {
	for range 200 {
		port := 15000 + pick(15000)
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port between 15000 and 30000")
}
