package localstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/localstack/emulator"
)

// A Service is a running server that clients reach at Host: an official
// emulator or an embedded replacement.
type Service interface {
	Name() string // in words
	Host() string // host:port
	Stop() error  // may be called again
}

var (
	_ Service = (*emulator.Emulator)(nil)
	_ Service = (*Broker)(nil)
)

// A Broker is the embedded Pub/Sub: Google's in-process fake for topics, pull
// and ordering, with a pump of this package for push, back-off and dead letters. It
// speaks gRPC and REST on its host, so that every client works against it that
// honours PUBSUB_EMULATOR_HOST, and gcloud pubsub with its endpoint overridden.
//
// Where it differs from production:
//
//   - everything is in memory, and an unacknowledged message of a pull
//     subscription is dropped after 10 minutes;
//   - a push carries no identity token, and unwrapped push is refused;
//   - a dead-letter policy on a pull subscription is refused;
//   - seek, snapshots and exactly-once delivery are missing;
//   - an ack deadline may be as short as one second.
//
// It polices what production polices and the fake does not: names, delivery
// attempts, back-off ranges, empty messages, pulling from a push subscription.
type Broker struct {
	log  *slog.Logger
	host string
	fake *pstest.Server // only its implementation is used; its port is private
	grpc *grpc.Server
	http *http.Server

	firstID int64 // added to the fake's message numbers

	ctx    context.Context // of the pumps
	cancel context.CancelFunc
	pusher *http.Client
	wg     sync.WaitGroup // pumps and the server
	stop   func() error

	mu       sync.Mutex
	pumps    map[string]*pump                // by subscription, for those that push
	policies map[string]*pb.DeadLetterPolicy // by subscription; the fake must not see them
}

// BrokerOptions say how to start a Broker. The zero value is usable.
type BrokerOptions struct {
	Port int          // of 127.0.0.1; 0 means any free one
	Log  *slog.Logger // gets a warning for each push that was not acknowledged; nil means none
}

// StartBroker starts an embedded Pub/Sub.
func StartBroker(opts BrokerOptions) (*Broker, error) {
	l, err := emulator.Listen(opts.Port)
	if err != nil {
		return nil, fmt.Errorf("embedded Pub/Sub: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b := &Broker{
		log:  opts.Log,
		host: l.Addr().String(),
		fake: pstest.NewServerWithAddress("127.0.0.1:0"),
		// The fake counts from zero at each start. Ids are keys to those who
		// receive them, and a ledger may outlive this broker.
		firstID:  time.Now().UnixMilli() * 1_000_000,
		ctx:      ctx,
		cancel:   cancel,
		pusher:   pushClient(),
		pumps:    map[string]*pump{},
		policies: map[string]*pb.DeadLetterPolicy{},
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	b.stop = sync.OnceValue(b.shutDown)
	if err := b.serve(l); err != nil {
		cancel()
		return nil, errors.Join(err, l.Close(), b.fake.Close())
	}
	return b, nil
}

// Name says what it is, in words.
func (b *Broker) Name() string { return "embedded Pub/Sub" }

// Host is host:port, in the form that PUBSUB_EMULATOR_HOST takes.
func (b *Broker) Host() string { return b.host }

func (b *Broker) String() string { return b.Name() + " on " + b.host }

// Stop ends the pumps and the server; pushes in flight are cut off. It returns
// when nothing is pushed any more and may be called again.
func (b *Broker) Stop() error { return b.stop() }

func (b *Broker) shutDown() error {
	b.cancel()
	err := b.http.Close()
	b.grpc.Stop()
	b.wg.Wait()
	b.pusher.CloseIdleConnections()
	return errors.Join(err, b.fake.Close())
}

// maxMessage is above the 10 MB that a publish request may have.
const maxMessage = 16 << 20

// serve answers gRPC, REST and, for those who ask whether it is up, GET /.
func (b *Broker) serve(l net.Listener) error {
	b.grpc = grpc.NewServer(grpc.UnaryInterceptor(b.oneAtATime), grpc.MaxRecvMsgSize(maxMessage))
	pb.RegisterPublisherServer(b.grpc, &publisher{PublisherServer: &b.fake.GServer, b: b})
	pb.RegisterSubscriberServer(b.grpc, &subscriber{SubscriberServer: &b.fake.GServer, b: b})
	pb.RegisterSchemaServiceServer(b.grpc, &b.fake.GServer)

	rest, err := b.restHandler()
	if err != nil {
		return err
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	b.http = &http.Server{
		Handler:           b.route(rest),
		Protocols:         protocols,
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(b.log.Handler(), slog.LevelDebug),
	}
	b.wg.Go(func() {
		if err := b.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			b.log.ErrorContext(context.Background(), "embedded Pub/Sub stopped serving", "error", err)
		}
	})
	return nil
}

func (b *Broker) route(rest http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
			b.grpc.ServeHTTP(w, r)
		case r.URL.Path == "/" && r.Method == http.MethodGet:
			_, _ = io.WriteString(w, "Ok\n")
		default:
			rest.ServeHTTP(w, r)
		}
	})
}

// oneAtATime holds b.mu through administrative calls and answers with copies:
// the fake hands out its own live messages, which a later update would change
// under the encoder. It also survives the fake's panics on malformed requests.
func (b *Broker) oneAtATime(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) {
	defer func() {
		if r := recover(); r != nil {
			b.log.ErrorContext(ctx, "embedded Pub/Sub panicked", "method", info.FullMethod, "panic", r)
			err = status.Errorf(codes.Internal, "%s: panic: %v", info.FullMethod, r)
		}
	}()
	switch req.(type) {
	case *pb.PublishRequest, *pb.PullRequest, *pb.AcknowledgeRequest, *pb.ModifyAckDeadlineRequest:
		return handler(ctx, req) // may wait, and shares nothing
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	resp, err = handler(ctx, req)
	if m, ok := resp.(proto.Message); ok && err == nil {
		resp = proto.Clone(m)
	}
	return resp, err
}

// messageID turns the fake's "m12" into a number that no earlier broker gave.
func (b *Broker) messageID(id string) string {
	n, err := strconv.ParseInt(strings.TrimPrefix(id, "m"), 10, 64)
	if err != nil {
		return id
	}
	return strconv.FormatInt(b.firstID+n, 10)
}

// publish stores messages and wakes the pumps. b.mu must not be held.
func (b *Broker) publish(ctx context.Context, req *pb.PublishRequest) (*pb.PublishResponse, error) {
	resp, err := b.fake.GServer.Publish(ctx, req)
	if err != nil {
		return nil, err
	}
	for i, id := range resp.MessageIds {
		resp.MessageIds[i] = b.messageID(id)
	}
	b.nudge()
	return resp, nil
}

// nudge lets every pump check for messages. b.mu must not be held.
func (b *Broker) nudge() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.pumps {
		p.nudge()
	}
}
