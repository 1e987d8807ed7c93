package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/localstack/emulator"
)

// maxFrame is above the 10 MiB that a commit and a publish may have, in bytes.
const maxFrame = 16 << 20

// A proxy stands before one service, passes calls on as bytes and tells of each
// when it is over, before its caller hears so. It knows calls with one request
// and one answer or a stream of them, which are all that Berth makes.
type proxy struct {
	tell func(call)

	host     string
	server   *grpc.Server
	upstream *grpc.ClientConn
	served   chan struct{}
}

// A call is one that is over.
type call struct {
	method  string // short name
	request []byte
	answers [][]byte
	code    codes.Code
}

// startProxy serves on a free port and passes calls on to a host:port.
func startProxy(upstream string, tell func(call)) (*proxy, error) {
	lis, err := emulator.Listen(0)
	if err != nil {
		return nil, fmt.Errorf("proxy before %s: %w", upstream, err)
	}
	p := &proxy{tell: tell, host: lis.Addr().String(), served: make(chan struct{})}
	p.upstream, err = grpc.NewClient(upstream, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(maxFrame), grpc.MaxCallSendMsgSize(maxFrame)))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("proxy before %s: %w", upstream, err), lis.Close())
	}
	p.server = grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.UnknownServiceHandler(p.handle),
		grpc.MaxRecvMsgSize(maxFrame), grpc.MaxSendMsgSize(maxFrame))
	go func() {
		defer close(p.served)
		_ = p.server.Serve(lis) // ends by stop
	}()
	return p, nil
}

func (p *proxy) stop() error {
	p.server.Stop()
	<-p.served
	return p.upstream.Close()
}

// handle passes one call on.
func (p *proxy) handle(_ any, caller grpc.ServerStream) error {
	full, _ := grpc.MethodFromServerStream(caller)
	c := call{method: path.Base(full)}
	err := p.pass(caller, full, &c)
	c.code = status.Code(err)
	p.tell(c)
	return err
}

func (p *proxy) pass(caller grpc.ServerStream, full string, c *call) error {
	var req frame
	if err := caller.RecvMsg(&req); err != nil {
		return err
	}
	c.request = req.data
	stream, err := p.upstream.NewStream(onward(caller.Context()), &grpc.StreamDesc{ServerStreams: true}, full)
	if err != nil {
		return err
	}
	// io.EOF says that the answer, an error, is there already.
	if err := stream.SendMsg(&req); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	for {
		var answer frame
		err := stream.RecvMsg(&answer)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		c.answers = append(c.answers, answer.data)
		if err := caller.SendMsg(&answer); err != nil {
			return err
		}
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

// A frame is a message that the proxy does not have to understand.
type frame struct{ data []byte }

// rawCodec passes frames on as they are. It goes by the name of the codec that
// it stands in for.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	f, ok := v.(*frame)
	if !ok {
		return nil, fmt.Errorf("bench: cannot pass on a %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(f.data)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("bench: cannot take in a %T", v)
	}
	f.data = data.Materialize()
	return nil
}
