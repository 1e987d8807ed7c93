package localstack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"example.com/berth/internal/localstack"
	"example.com/berth/internal/localstack/emulatortest"
)

// limit bounds every wait; a wait reaches it only after a failure.
const limit = 30 * time.Second

// onBoth runs a test against the embedded Pub/Sub and against the official one
// where it is installed.
func onBoth(t *testing.T, test func(t *testing.T, f *fixture)) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, newBrokerFixture(t, startBroker(t)))
	})
	t.Run("official", func(t *testing.T) {
		t.Parallel()
		test(t, newFixture(t, emulatortest.PubSub(t)))
	})
}

func newBrokerFixture(t *testing.T, b *localstack.Broker) *fixture {
	t.Helper()
	f := newFixture(t, b.Host())
	f.embedded = true
	return f
}

func startBroker(t *testing.T) *localstack.Broker {
	t.Helper()
	b, err := localstack.StartBroker(localstack.BrokerOptions{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// A fixture is one project on one server, with ordinary clients.
type fixture struct {
	t        *testing.T
	ctx      context.Context
	embedded bool
	host     string
	project  string
	topics   *pubsub.TopicAdminClient
	subs     *pubsub.SubscriptionAdminClient
}

func newFixture(t *testing.T, host string) *fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*limit)
	t.Cleanup(cancel)
	conn, err := grpc.NewClient(host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	f := &fixture{t: t, ctx: ctx, host: host, project: emulatortest.Project(t)}
	if f.topics, err = pubsub.NewTopicAdminClient(ctx, option.WithGRPCConn(conn)); err != nil {
		t.Fatal(err)
	}
	if f.subs, err = pubsub.NewSubscriptionAdminClient(ctx, option.WithGRPCConn(conn)); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) apply(t localstack.Topology) {
	f.t.Helper()
	t.Project = f.project
	if err := localstack.Apply(f.ctx, f.host, t); err != nil {
		f.t.Fatal(err)
	}
	if f.embedded {
		return // it is stopped
	}
	// The official one is shared, and would go on pushing to a closed endpoint.
	f.t.Cleanup(func() {
		for _, s := range t.Push {
			f.subs.DeleteSubscription(context.WithoutCancel(f.ctx), &pb.DeleteSubscriptionRequest{
				Subscription: localstack.SubscriptionName(f.project, s.ID),
			})
		}
	})
}

// eager makes redelivery quick by a short back-off, or on the official
// emulator, which waits 3 s with any small back-off, by none (1 s).
func (f *fixture) eager(s localstack.PushSubscription) localstack.PushSubscription {
	if f.embedded {
		s.MinBackoff, s.MaxBackoff = 50*time.Millisecond, 100*time.Millisecond
	}
	return s
}

// publish returns the id of the new message.
func (f *fixture) publish(topic string, m *pb.PubsubMessage) string {
	f.t.Helper()
	resp, err := f.topics.Publish(f.ctx, &pb.PublishRequest{
		Topic: localstack.TopicName(f.project, topic), Messages: []*pb.PubsubMessage{m},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.MessageIds[0]
}

// pull waits for the next message of a subscription and acknowledges it.
func (f *fixture) pull(sub string) *pb.PubsubMessage {
	f.t.Helper()
	name := localstack.SubscriptionName(f.project, sub)
	for {
		resp, err := f.subs.Pull(f.ctx, &pb.PullRequest{Subscription: name, MaxMessages: 1})
		if err != nil {
			f.t.Fatal(err)
		}
		if len(resp.ReceivedMessages) == 0 {
			continue // the server waited a while for one
		}
		got := resp.ReceivedMessages[0]
		err = f.subs.Acknowledge(f.ctx, &pb.AcknowledgeRequest{Subscription: name, AckIds: []string{got.AckId}})
		if err != nil {
			f.t.Fatal(err)
		}
		return got.Message
	}
}

// A push is what an endpoint received.
type push struct {
	Message struct {
		Attributes  map[string]string `json:"attributes"`
		Data        []byte            `json:"data"`
		MessageID   string            `json:"messageId"`
		SameID      string            `json:"message_id"`
		OrderingKey string            `json:"orderingKey"`
		PublishTime time.Time         `json:"publishTime"`
		SameTime    time.Time         `json:"publish_time"`
	} `json:"message"`
	Subscription    string `json:"subscription"`
	DeliveryAttempt int    `json:"deliveryAttempt"`

	contentType string
	path        string
	gone        <-chan struct{} // closed when the server has given up on the request
	answer      chan<- int      // the endpoint answers with what is sent here
}

// endpoint starts a push endpoint. Each request appears on the channel and waits
// there for its answer.
func (f *fixture) endpoint() (url string, pushes <-chan push) {
	f.t.Helper()
	c := make(chan push)
	done := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := make(chan int, 1)
		p := push{contentType: r.Header.Get("Content-Type"), path: r.URL.Path, gone: r.Context().Done(), answer: answer}
		if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
			f.t.Errorf("push with a body that is no JSON: %v", err)
		}
		select {
		case c <- p:
		case <-done:
			return
		}
		select {
		case code := <-answer:
			w.WriteHeader(code)
		case <-done:
		}
	}))
	f.t.Cleanup(srv.Close)
	f.t.Cleanup(func() { close(done) })
	return srv.URL, c
}

func next[T any](t *testing.T, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(limit):
		t.Fatalf("no %s within %v", what, limit)
		panic("unreachable")
	}
}

func TestPush(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		url, pushes := f.endpoint()
		f.apply(localstack.Topology{
			Topics: []string{"requests"},
			Push:   []localstack.PushSubscription{{ID: "to-admit", Topic: "requests", Endpoint: url + "/projects/p"}},
		})
		id := f.publish("requests", &pb.PubsubMessage{Data: []byte(`{"a":1}`), Attributes: map[string]string{"k": "v"}})
		p := next(t, "push", pushes)
		p.answer <- http.StatusNoContent
		if string(p.Message.Data) != `{"a":1}` || p.Message.Attributes["k"] != "v" {
			t.Errorf("message = %+v", p.Message)
		}
		if p.Message.MessageID != id || p.Message.SameID != id {
			t.Errorf("ids %q and %q, published as %q", p.Message.MessageID, p.Message.SameID, id)
		}
		if p.Message.PublishTime.IsZero() || !p.Message.SameTime.Equal(p.Message.PublishTime) {
			t.Errorf("times %v and %v", p.Message.PublishTime, p.Message.SameTime)
		}
		if want := localstack.SubscriptionName(f.project, "to-admit"); p.Subscription != want {
			t.Errorf("subscription = %q, want %q", p.Subscription, want)
		}
		if p.contentType != "application/json" || p.path != "/projects/p" {
			t.Errorf("content type %q, path %q", p.contentType, p.path)
		}
		// Acknowledged: what comes next is the next message.
		second := f.publish("requests", &pb.PubsubMessage{Data: []byte("2")})
		p = next(t, "second push", pushes)
		p.answer <- http.StatusOK
		if p.Message.MessageID != second {
			t.Errorf("message %s again after it was acknowledged", p.Message.MessageID)
		}
	})
}

func TestNackIsRedelivered(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		url, pushes := f.endpoint()
		f.apply(localstack.Topology{
			Topics: []string{"requests"},
			Push:   []localstack.PushSubscription{f.eager(localstack.PushSubscription{ID: "to-admit", Topic: "requests", Endpoint: url})},
		})
		id := f.publish("requests", &pb.PubsubMessage{Data: []byte("x")})
		for _, code := range []int{http.StatusInternalServerError, http.StatusBadRequest, http.StatusFound, http.StatusOK} {
			p := next(t, fmt.Sprintf("push to be answered %d", code), pushes)
			if p.Message.MessageID != id {
				t.Errorf("message %s, want %s", p.Message.MessageID, id)
			}
			p.answer <- code
		}
	})
}

func TestDeadLetter(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		url, pushes := f.endpoint()
		f.apply(localstack.Topology{
			Topics: []string{"requests", "requests-dead"},
			Push: []localstack.PushSubscription{f.eager(localstack.PushSubscription{
				ID: "to-admit", Topic: "requests", Endpoint: url, DeadLetter: "requests-dead", MaxAttempts: 5,
			})},
			Pull: []localstack.PullSubscription{{ID: "dead-sub", Topic: "requests-dead"}},
		})
		id := f.publish("requests", &pb.PubsubMessage{Data: []byte("x"), Attributes: map[string]string{"k": "v"}})
		for attempt := 1; attempt <= 5; attempt++ {
			p := next(t, fmt.Sprintf("attempt %d", attempt), pushes)
			p.answer <- http.StatusInternalServerError
			if f.embedded && p.DeliveryAttempt != attempt { // the official emulator does not say
				t.Errorf("delivery attempt %d, want %d", p.DeliveryAttempt, attempt)
			}
		}
		dead := f.pull("dead-sub")
		if string(dead.Data) != "x" || dead.MessageId == id {
			t.Errorf("dead letter has data %q, id %s (the source had %s)", dead.Data, dead.MessageId, id)
		}
		for key, want := range map[string]string{
			"k": "v",
			"CloudPubSubDeadLetterSourceDeliveryCount":       "5",
			"CloudPubSubDeadLetterSourceSubscription":        "to-admit",
			"CloudPubSubDeadLetterSourceSubscriptionProject": f.project,
		} {
			if got := dead.Attributes[key]; got != want {
				t.Errorf("attribute %s = %q, want %q", key, got, want)
			}
		}
		if at := dead.Attributes["CloudPubSubDeadLetterSourceTopicPublishTime"]; at == "" {
			t.Error("no CloudPubSubDeadLetterSourceTopicPublishTime")
		}
		// The source is rid of it: the next push is another message.
		second := f.publish("requests", &pb.PubsubMessage{Data: []byte("y")})
		p := next(t, "push after a dead letter", pushes)
		p.answer <- http.StatusOK
		if p.Message.MessageID != second {
			t.Errorf("message %s was pushed after it died", p.Message.MessageID)
		}
	})
}

func TestPull(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		f.apply(localstack.Topology{
			Topics: []string{"outcomes"},
			Pull:   []localstack.PullSubscription{{ID: "outcomes-all", Topic: "outcomes", AckDeadline: 20 * time.Second}},
		})
		var want, got []string
		for i := range 5 {
			want = append(want, f.publish("outcomes", &pb.PubsubMessage{Data: []byte{byte('0' + i)}}))
		}
		for range want {
			got = append(got, f.pull("outcomes-all").MessageId)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("pulled %v, published %v", got, want)
		}
	})
}

// A handler slower than the ack deadline is called again while it still runs.
func TestSlowHandler(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		deadline := 10 * time.Second // the shortest that the official one takes
		if f.embedded {
			deadline = time.Second
		}
		url, pushes := f.endpoint()
		f.apply(localstack.Topology{
			Topics: []string{"requests"},
			Push: []localstack.PushSubscription{f.eager(localstack.PushSubscription{
				ID: "to-admit", Topic: "requests", Endpoint: url, AckDeadline: deadline,
			})},
		})
		id := f.publish("requests", &pb.PubsubMessage{Data: []byte("x")})
		slow := next(t, "push", pushes)
		began := time.Now()
		again := next(t, "push after the deadline", pushes)
		if waited := time.Since(began); waited < deadline/2 {
			t.Errorf("pushed again after %v, the ack deadline is %v", waited, deadline)
		}
		if slow.Message.MessageID != id || again.Message.MessageID != id {
			t.Errorf("pushed %s, then %s, want %s twice", slow.Message.MessageID, again.Message.MessageID, id)
		}
		if f.embedded {
			next(t, "end of the slow request", slow.gone)
		}
		again.answer <- http.StatusOK
		slow.answer <- http.StatusOK
	})
}

func TestOrderedPush(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		url, pushes := f.endpoint()
		f.apply(localstack.Topology{Topics: []string{"requests"}})
		name := localstack.SubscriptionName(f.project, "in-order")
		_, err := f.subs.CreateSubscription(f.ctx, &pb.Subscription{
			Name: name, Topic: localstack.TopicName(f.project, "requests"),
			PushConfig: &pb.PushConfig{PushEndpoint: url}, EnableMessageOrdering: true, AckDeadlineSeconds: 10,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			f.subs.DeleteSubscription(context.WithoutCancel(f.ctx), &pb.DeleteSubscriptionRequest{Subscription: name})
		})
		var ids []string
		for range 3 {
			ids = append(ids, f.publish("requests", &pb.PubsubMessage{Data: []byte("x"), OrderingKey: "key"}))
		}
		// The first is refused once, and still comes before the second.
		for i, want := range []string{ids[0], ids[0], ids[1], ids[2]} {
			p := next(t, fmt.Sprintf("push %d", i), pushes)
			if p.Message.MessageID != want {
				t.Errorf("push %d is %s, want %s of %v", i, p.Message.MessageID, want, ids)
			}
			if f.embedded && p.Message.OrderingKey != "key" {
				t.Errorf("ordering key = %q", p.Message.OrderingKey)
			}
			if i == 0 {
				p.answer <- http.StatusServiceUnavailable
			} else {
				p.answer <- http.StatusOK
			}
		}
	})
}

func TestApplyAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		old, fromOld := f.endpoint()
		topology := localstack.Topology{
			Topics: []string{"requests", "requests-dead"},
			Push: []localstack.PushSubscription{{
				ID: "to-admit", Topic: "requests", Endpoint: old,
				MinBackoff: time.Second, MaxBackoff: 2 * time.Second, DeadLetter: "requests-dead",
			}},
			Pull: []localstack.PullSubscription{{ID: "dead-sub", Topic: "requests-dead"}},
		}
		f.apply(topology)
		f.apply(topology)
		f.publish("requests", &pb.PubsubMessage{Data: []byte("x")})
		next(t, "push", fromOld).answer <- http.StatusOK

		moved, fromMoved := f.endpoint()
		topology.Push[0].Endpoint = moved
		topology.Push[0].MaxAttempts = 7
		f.apply(topology)
		f.publish("requests", &pb.PubsubMessage{Data: []byte("y")})
		next(t, "push to the new endpoint", fromMoved).answer <- http.StatusOK

		sub, err := f.subs.GetSubscription(f.ctx, &pb.GetSubscriptionRequest{
			Subscription: localstack.SubscriptionName(f.project, "to-admit"),
		})
		if err != nil {
			t.Fatal(err)
		}
		if sub.PushConfig.PushEndpoint != moved || sub.DeadLetterPolicy.GetMaxDeliveryAttempts() != 7 ||
			sub.RetryPolicy.GetMinimumBackoff().AsDuration() != time.Second {
			t.Errorf("subscription = %v", sub)
		}

		topology.Topics = append(topology.Topics, "other")
		topology.Push[0].Topic = "other"
		topology.Project = f.project
		if err := localstack.Apply(f.ctx, f.host, topology); err == nil || !strings.Contains(err.Error(), "delete it first") {
			t.Errorf("moved to another topic: %v", err)
		}
	})
}

func TestApplyRefusesContradictions(t *testing.T) {
	err := localstack.Apply(t.Context(), "127.0.0.1:1", localstack.Topology{
		Topics: []string{"requests"},
		Push:   []localstack.PushSubscription{{ID: "one", Topic: "nowhere", Endpoint: "here", MaxAttempts: 5}},
		Pull:   []localstack.PullSubscription{{ID: "one", Topic: "requests", AckDeadline: time.Millisecond}},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"no project", `"nowhere"`, `"here"`, "no dead-letter topic", "twice", "1ms"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error does not name %s: %v", want, err)
		}
	}
}
