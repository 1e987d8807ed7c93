package gcp

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"sync"
	"time"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// rpcs counts calls by method. Every client here embeds it.
type rpcs struct {
	mu    sync.Mutex
	calls map[string]int64
}

// RPCs returns how many calls have been sent, by the short name of the method.
func (r *rpcs) RPCs() map[string]int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.calls)
}

func (r *rpcs) count(method string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls == nil {
		r.calls = map[string]int64{}
	}
	r.calls[path.Base(method)]++
}

// option counts calls from inside the connection, so repeats by the client library
// count as well.
func (r *rpcs) option() []option.ClientOption {
	return []option.ClientOption{
		option.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(func(ctx context.Context, method string, req, reply any, c *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			r.count(method)
			return invoke(ctx, method, req, reply, c, opts...)
		})),
		option.WithGRPCDialOption(grpc.WithChainStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, c *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			r.count(method)
			return open(ctx, d, c, method, opts...)
		})),
		// gRPC repeats no call by itself, nor by a policy that a name server sends: a
		// create that is repeated makes a second job.
		option.WithGRPCDialOption(grpc.WithDisableRetry()),
		option.WithGRPCDialOption(grpc.WithDisableServiceConfig()),
	}
}

// local are the options for a server on this machine: no TLS, no credentials.
func local(address string) []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint(address),
		option.WithoutAuthentication(),
		option.WithTelemetryDisabled(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
}

// emulator returns the options for the emulator that an environment variable
// names, none if it is not set. A variable that is set and not allowed is an
// error: without it a deployment would silently use an emulator and look healthy.
func emulator(variable string, allowed bool) ([]option.ClientOption, error) {
	host := os.Getenv(variable)
	switch {
	case host == "":
		return nil, nil
	case !allowed:
		return nil, fmt.Errorf("%s is set, but an emulator is not allowed here", variable)
	}
	return local(host), nil
}

// transient reports whether a call that failed with a code may succeed when it is
// repeated, for calls that do no harm twice.
func transient(code codes.Code) bool {
	switch code {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unknown, codes.Aborted, codes.ResourceExhausted, codes.Canceled:
		return true
	}
	return false
}

// repeat makes a call that may be made twice, up to tries times, each with a
// deadline of its own. It returns the last error.
func repeat(ctx context.Context, tries int, deadline time.Duration, call func(context.Context) error) error {
	for try := 0; ; try++ {
		err := once(ctx, deadline, call)
		if err == nil || !transient(status.Code(err)) || try+1 >= tries {
			return err
		}
		if pause(ctx, firstPause<<try) != nil { // tries are few
			return err
		}
	}
}

func once(ctx context.Context, deadline time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	return call(ctx)
}

// Bounds of [pause].
const (
	firstPause   = 10 * time.Millisecond
	longestPause = 2 * time.Second
)

// pause waits for a random time up to a bound, so that updates that collided do not
// collide again. It returns early, with an error, when the context ends.
func pause(ctx context.Context, most time.Duration) error {
	wait := time.NewTimer(rand.N(most))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return nil
	}
}

// failed returns the error of a call: operation and arguments, and the context's own
// error if that ended it, so that callers find it by errors.Is.
func failed(ctx context.Context, operation string, err error) error {
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%s: %w (%v)", operation, cause, err)
	}
	return fmt.Errorf("%s: %w", operation, err)
}
