package proxy

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/localstack/emulator"
)

// A service answers every call with its request, twice, and counts.
type service struct {
	host  string
	calls atomic.Int64
	began chan struct{}    // receives when a call "wait" has arrived
	ended chan struct{}    // closed: it may go on
	saw   chan metadata.MD // of the last call
}

func serve(t *testing.T) *service {
	t.Helper()
	lis, err := emulator.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	x := &service{host: lis.Addr().String(), began: make(chan struct{}), ended: make(chan struct{}), saw: make(chan metadata.MD, 10)}
	s := grpc.NewServer(grpc.ForceServerCodecV2(rawCodec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		f := &frame{}
		if err := stream.RecvMsg(f); err != nil {
			return err
		}
		x.calls.Add(1)
		md, _ := metadata.FromIncomingContext(stream.Context())
		x.saw <- md
		switch string(f.data) {
		case "no":
			return status.Error(codes.FailedPrecondition, "own words")
		case "half":
			if err := stream.SendMsg(f); err != nil {
				return err
			}
			return status.Error(codes.Internal, "own words")
		case "wait":
			x.began <- struct{}{}
			select {
			case <-x.ended:
			case <-stream.Context().Done():
				return stream.Context().Err()
			}
		}
		return errors.Join(stream.SendMsg(f), stream.SendMsg(f))
	}))
	go func() { _ = s.Serve(lis) }()
	t.Cleanup(s.Stop)
	return x
}

// start starts a proxy that ends with the test at the latest.
func start(t *testing.T, upstream string, o Options) *Proxy {
	t.Helper()
	p, err := Start(upstream, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop() })
	return p
}

// ask makes a call and counts the answers, which have to be like the request.
func ask(ctx context.Context, t *testing.T, host, text string) (answers int, err error) {
	t.Helper()
	conn, err := grpc.NewClient(host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/any.Service/Method", grpc.ForceCodecV2(rawCodec{}))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(stream.SendMsg(&frame{data: []byte(text)}), stream.CloseSend()); err != nil {
		t.Fatal(err)
	}
	for {
		f := &frame{}
		if err := stream.RecvMsg(f); errors.Is(err, io.EOF) {
			return answers, nil
		} else if err != nil {
			return answers, err
		}
		if string(f.data) != text {
			t.Errorf("answer %q, want %q", f.data, text)
		}
		answers++
	}
}

// The effect of each fault on the caller and the service, and the report of the
// call.
func TestFaults(t *testing.T) {
	unavailable := status.Error(codes.Unavailable, "injected")
	const wait = 100 * time.Millisecond
	for _, test := range []struct {
		name    string
		fault   Fault
		text    string
		answers int
		code    codes.Code // that the caller gets
		done    int64      // calls that got through
		after   codes.Code // of them
		came    int        // answers of the service
	}{
		{"none", Fault{}, "yes", 2, codes.OK, 1, codes.OK, 2},
		{"none, and the service refuses", Fault{}, "no", 0, codes.FailedPrecondition, 1, codes.FailedPrecondition, 0},
		{"none, and the service breaks off", Fault{}, "half", 1, codes.Internal, 1, codes.Internal, 1},
		{"slow", Fault{Wait: wait}, "yes", 2, codes.OK, 1, codes.OK, 2},
		{"not done", Fault{Sort: NotDone, Err: unavailable}, "yes", 0, codes.Unavailable, 0, 0, 0},
		{"done, and reported as failed", Fault{Err: unavailable}, "yes", 0, codes.Unavailable, 1, codes.OK, 2},
		{"broken off", Fault{Sort: BrokenOff, Err: unavailable}, "yes", 1, codes.Unavailable, 1, codes.OK, 2},
		{"done later", Fault{Sort: DoneLater, Err: unavailable, Wait: wait}, "yes", 0, codes.Unavailable, 1, codes.OK, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			x := serve(t)
			var mu sync.Mutex
			var since []time.Duration
			var after []Call
			p := start(t, x.host, Options{
				Judge: func(method string) Fault {
					if method != "Method" {
						t.Errorf("asked about %q", method)
					}
					return test.fault
				},
				Before: func(method string, request []byte, ago time.Duration) []byte {
					mu.Lock()
					defer mu.Unlock()
					since = append(since, ago)
					return request
				},
				After: func(c Call) {
					mu.Lock()
					defer mu.Unlock()
					after = append(after, c)
				},
			})
			answers, err := ask(t.Context(), t, p.Host(), test.text)
			mu.Lock()
			if reported := len(after) > 0; reported != (test.done > 0) && test.fault.Sort != DoneLater {
				t.Errorf("when its caller gets the answer, %d calls are reported, want %d", len(after), test.done)
			}
			mu.Unlock()
			p.Drain()
			if p.Pending() != 0 {
				t.Errorf("%d calls are pending after Drain", p.Pending())
			}
			if err := p.Stop(); err != nil {
				t.Error(err)
			}
			if answers != test.answers || status.Code(err) != test.code || x.calls.Load() != test.done {
				t.Errorf("%d answers, %v, %d calls got through; want %d, %s, %d", answers, err, x.calls.Load(), test.answers, test.code, test.done)
			}
			if want := "own words"; test.text != "yes" && status.Convert(err).Message() != want {
				t.Errorf("the service's own error became %v", err)
			}
			if len(since) != int(test.done) || len(after) != int(test.done) {
				t.Fatalf("reported %d calls before and %d after, want %d", len(since), len(after), test.done)
			}
			for i, c := range after {
				if c.Method != "Method" || string(c.Request) != test.text || c.Code != test.after || len(c.Answers) != test.came {
					t.Errorf("reported %+v", c)
				}
				if since[i] < test.fault.Wait {
					t.Errorf("it was carried out %s after it came, want %s", since[i], test.fault.Wait)
				}
			}
		})
	}
}

// Before can change what is passed on, and After gets the changed request.
func TestBeforeChangesTheRequest(t *testing.T) {
	x := serve(t)
	var after string
	p := start(t, x.host, Options{
		Before: func(string, []byte, time.Duration) []byte { return []byte("no") },
		After:  func(c Call) { after = string(c.Request) },
	})
	if _, err := ask(t.Context(), t, p.Host(), "yes"); status.Code(err) != codes.FailedPrecondition || after != "no" {
		t.Errorf("the service answers %v to %q", err, after)
	}
}

// A method that is finished is carried out although its caller has gone; another
// goes with its caller.
func TestFinish(t *testing.T) {
	for _, finish := range []bool{true, false} {
		x := serve(t)
		after := make(chan Call, 1)
		o := Options{After: func(c Call) { after <- c }}
		want := codes.Canceled
		if finish {
			o.Finish, want = []string{"Method"}, codes.OK
		}
		p := start(t, x.host, o)
		ctx, leave := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := ask(ctx, t, p.Host(), "wait")
			gone <- err
		}()
		<-x.began
		leave()
		if err := <-gone; status.Code(err) != codes.Canceled {
			t.Errorf("finish %t: the caller, who left, gets %v", finish, err)
		}
		if finish {
			close(x.ended)
		}
		if c := <-after; c.Code != want {
			t.Errorf("finish %t: the call ended with %s, want %s", finish, c.Code, want)
		}
	}
}

// The caller's metadata is passed on, and the proxy survives a service that is not
// there.
func TestMetadata(t *testing.T) {
	x := serve(t)
	p := start(t, x.host, Options{})
	if _, err := ask(metadata.AppendToOutgoingContext(t.Context(), "x-goog-request-params", "a=b"), t, p.Host(), "yes"); err != nil {
		t.Fatal(err)
	}
	if md := <-x.saw; len(md.Get("x-goog-request-params")) != 1 || md.Get("x-goog-request-params")[0] != "a=b" || len(md.Get(":authority")) != 1 || md.Get(":authority")[0] != x.host {
		t.Errorf("the service sees %v", md)
	}
	lis, err := emulator.Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	unused := lis.Addr().String()
	if err := lis.Close(); err != nil {
		t.Fatal(err)
	}
	codeAfter := codes.OK
	p = start(t, unused, Options{After: func(c Call) { codeAfter = c.Code }})
	if _, err := ask(t.Context(), t, p.Host(), "yes"); status.Code(err) != codes.Unavailable || codeAfter != codes.Unavailable {
		t.Errorf("before a service that does not exist: %v, reported %s", err, codeAfter)
	}
}
