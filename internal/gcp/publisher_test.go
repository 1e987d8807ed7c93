package gcp

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/localstack/emulatortest"
	"example.com/berth/internal/message"
)

// outcomes makes events that can be published.
func outcomes(n, padding int) []message.Outcome {
	var list []message.Outcome
	for i := range n {
		list = append(list, message.Outcome{
			EventID: fmt.Sprintf("k-%d", i+1), Type: message.Queued, Time: time.Unix(int64(i), 0).UTC(),
			Tenant: "t", RequestID: "r", Sequence: int64(i + 1), DisplayName: strings.Repeat("x", padding),
		})
	}
	return list
}

// openTopic returns a publisher to a new topic of Google's fake, through an
// interceptor that may be nil.
func openTopic(t *testing.T, between grpc.UnaryClientInterceptor) (*Publisher, *pstest.Server) {
	t.Helper()
	s := pstest.NewServer()
	t.Cleanup(func() { s.Close() })
	if _, err := s.GServer.CreateTopic(t.Context(), &pubsubpb.Topic{Name: "projects/p/topics/outcomes"}); err != nil {
		t.Fatal(err)
	}
	options := local(s.Addr)
	if between != nil {
		options = append(options, option.WithGRPCDialOption(grpc.WithChainUnaryInterceptor(between)))
	}
	p, err := NewPublisher(t.Context(), PublisherOptions{Project: "p", Topic: "outcomes", Deployment: "default", AllowEmulator: true, ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, s
}

// published decodes what the topic has.
func published(t *testing.T, s *pstest.Server) map[string]int {
	t.Helper()
	found := map[string]int{}
	for _, m := range s.Messages() {
		o, err := message.DecodeOutcome(m.Attributes, m.Data)
		if err != nil {
			t.Fatal(err)
		}
		found[o.EventID]++
	}
	return found
}

func TestPublish(t *testing.T) {
	for _, test := range []struct{ events, padding, calls int }{
		{0, 0, 0},
		{1, 0, 1},
		{5, 0, 1},
		{1001, 0, 2},
		{100, 200_000, 6}, // 20 MB
	} {
		p, s := openTopic(t, nil)
		if err := p.Publish(t.Context(), outcomes(test.events, test.padding)...); err != nil {
			t.Fatal(err)
		}
		found := published(t, s)
		for _, e := range outcomes(test.events, 0) {
			if found[e.EventID] != 1 {
				t.Errorf("event %s is there %d times", e.EventID, found[e.EventID])
			}
		}
		if n := p.RPCs()["Publish"]; len(found) != test.events || n != int64(test.calls) {
			t.Errorf("%d events of %d bytes: %d published in %d calls, want %d calls", test.events, test.padding, len(found), n, test.calls)
		}
	}
}

// A transient failure is repeated, whether or not the first call had its effect.
func TestPublishAgain(t *testing.T) {
	for _, sent := range []bool{true, false} {
		calls := 0
		p, s := openTopic(t, func(ctx context.Context, method string, req, reply any, c *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if calls++; calls > 1 || sent {
				if err := invoke(ctx, method, req, reply, c, opts...); err != nil {
					return err
				}
			}
			if calls == 1 {
				return status.Error(codes.Unavailable, "injected")
			}
			return nil
		})
		if err := p.Publish(t.Context(), outcomes(2, 0)...); err != nil {
			t.Fatal(err)
		}
		want := map[bool]int{true: 2, false: 1}[sent]
		if found := published(t, s); found["k-1"] != want || found["k-2"] != want || calls != 2 {
			t.Errorf("first call done %v: %v published in %d calls, want %d of each in 2", sent, found, calls, want)
		}
	}
}

func TestPublishFails(t *testing.T) {
	for code, calls := range map[codes.Code]int{codes.PermissionDenied: 1, codes.NotFound: 1, codes.Unavailable: publishTries} {
		made := 0
		p, _ := openTopic(t, func(context.Context, string, any, any, *grpc.ClientConn, grpc.UnaryInvoker, ...grpc.CallOption) error {
			made++
			return status.Error(code, "injected")
		})
		err := p.Publish(t.Context(), outcomes(2, 0)...)
		if status.Code(err) != code || made != calls || !strings.Contains(err.Error(), "(k-1, k-2)") {
			t.Errorf("error %v after %d calls, want %v after %d, naming both events", err, made, code, calls)
		}
	}
}

// One event that cannot be encoded, and one call of several that is refused,
// do not keep the others back, and are named.
func TestPublishInPart(t *testing.T) {
	p, s := openTopic(t, func(ctx context.Context, method string, req, reply any, c *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		if len(req.(*pubsubpb.PublishRequest).Messages) == publishCount {
			return status.Error(codes.InvalidArgument, "injected")
		}
		return invoke(ctx, method, req, reply, c, opts...)
	})
	events := outcomes(publishCount+3, 0)
	events[publishCount+1].Type = "no type"
	err := p.Publish(t.Context(), events...)
	if err == nil || !strings.Contains(err.Error(), "1001 of 1003 events failed (") {
		t.Errorf("error %v", err)
	}
	found := published(t, s)
	if len(found) != 2 || found["k-1001"] != 1 || found["k-1003"] != 1 {
		t.Errorf("published %v, want the two that could be", found)
	}
}

// Publishing is bounded by the caller's context.
func TestPublishCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	made := 0
	p, _ := openTopic(t, func(context.Context, string, any, any, *grpc.ClientConn, grpc.UnaryInvoker, ...grpc.CallOption) error {
		made++
		cancel()
		return status.Error(codes.Unavailable, "injected")
	})
	if err := p.Publish(ctx, outcomes(1, 0)...); err == nil || made != 1 {
		t.Errorf("error %v after %d calls, want one call", err, made)
	}
}

func TestPublisherClosed(t *testing.T) {
	p, _ := openTopic(t, nil)
	if err := p.Publish(t.Context(), outcomes(1, 0)...); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := p.Publish(t.Context(), outcomes(1, 0)...); err == nil {
		t.Error("published after Close")
	}
}

func TestNewPublisherRefuses(t *testing.T) {
	t.Setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
	if _, err := NewPublisher(t.Context(), PublisherOptions{Project: "p", Topic: "t", Deployment: "default"}); err == nil || !strings.Contains(err.Error(), "PUBSUB_EMULATOR_HOST") {
		t.Errorf("error %v, want one that names the variable", err)
	}
	for _, o := range []PublisherOptions{
		{Topic: "t", Deployment: "d", AllowEmulator: true}, {Project: "p", Deployment: "d", AllowEmulator: true}, {Project: "p", Topic: "t", AllowEmulator: true},
	} {
		if _, err := NewPublisher(t.Context(), o); err == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
}

// The whole way through the official emulator: what a subscriber pulls is what
// was published.
func TestPublishEmulator(t *testing.T) {
	host, project := emulatortest.PubSub(t), emulatortest.Project(t)
	p, err := NewPublisher(t.Context(), PublisherOptions{Project: project, Topic: "outcomes", Deployment: "default", AllowEmulator: true, ClientOptions: local(host)})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	admin, err := p.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(t.Context(), &pubsubpb.Topic{Name: p.topic}); err != nil {
		t.Fatal(err)
	}
	conn := admin.Connection() //nolint:staticcheck // deprecated for pools; this client has one connection
	subscriber := pubsubpb.NewSubscriberClient(conn)
	subscription := "projects/" + project + "/subscriptions/all"
	if _, err := subscriber.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: subscription, Topic: p.topic}); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(t.Context(), outcomes(3, 0)...); err != nil {
		t.Fatal(err)
	}
	found := map[string]message.Outcome{}
	for len(found) < 3 {
		answer, err := subscriber.Pull(t.Context(), &pubsubpb.PullRequest{Subscription: subscription, MaxMessages: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range answer.GetReceivedMessages() {
			o, err := message.DecodeOutcome(m.GetMessage().GetAttributes(), m.GetMessage().GetData())
			if err != nil {
				t.Fatal(err)
			}
			found[o.EventID] = o
		}
	}
	for _, e := range outcomes(3, 0) {
		if got := found[e.EventID]; got.Sequence != e.Sequence || !got.Time.Equal(e.Time) || got.Type != e.Type {
			t.Errorf("pulled %+v, want %+v", got, e)
		}
	}
}
