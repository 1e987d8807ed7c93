package localstack_test

import (
	"net/http"
	"testing"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"example.com/berth/internal/localstack"
)

func TestBrokerPolices(t *testing.T) {
	t.Parallel()
	f := newBrokerFixture(t, startBroker(t))
	url, _ := f.endpoint()
	f.apply(localstack.Topology{Topics: []string{"requests", "requests-dead"}})
	topic := localstack.TopicName(f.project, "requests")
	dead := localstack.TopicName(f.project, "requests-dead")
	name := localstack.SubscriptionName(f.project, "to-admit")
	push := &pb.PushConfig{PushEndpoint: url}

	for what, c := range map[string]struct {
		sub  *pb.Subscription
		want codes.Code
	}{
		"short name":     {&pb.Subscription{Name: localstack.SubscriptionName(f.project, "ab")}, codes.InvalidArgument},
		"reserved name":  {&pb.Subscription{Name: localstack.SubscriptionName(f.project, "google-x")}, codes.InvalidArgument},
		"topic's name":   {&pb.Subscription{Name: topic}, codes.InvalidArgument},
		"no such topic":  {&pb.Subscription{Name: name, Topic: topic + "-2"}, codes.NotFound},
		"odd endpoint":   {&pb.Subscription{Name: name, PushConfig: &pb.PushConfig{PushEndpoint: "localhost:80"}}, codes.InvalidArgument},
		"few attempts":   {&pb.Subscription{Name: name, PushConfig: push, DeadLetterPolicy: &pb.DeadLetterPolicy{DeadLetterTopic: dead, MaxDeliveryAttempts: 4}}, codes.InvalidArgument},
		"no dead letter": {&pb.Subscription{Name: name, PushConfig: push, DeadLetterPolicy: &pb.DeadLetterPolicy{DeadLetterTopic: dead + "er"}}, codes.NotFound},
		"dead, pulled":   {&pb.Subscription{Name: name, DeadLetterPolicy: &pb.DeadLetterPolicy{DeadLetterTopic: dead}}, codes.Unimplemented},
		"retry reversed": {&pb.Subscription{Name: name, RetryPolicy: &pb.RetryPolicy{MinimumBackoff: durationpb.New(2), MaximumBackoff: durationpb.New(1)}}, codes.InvalidArgument},
		"unwrapped":      {&pb.Subscription{Name: name, PushConfig: &pb.PushConfig{PushEndpoint: url, Wrapper: &pb.PushConfig_NoWrapper_{NoWrapper: &pb.PushConfig_NoWrapper{}}}}, codes.Unimplemented},
	} {
		if c.sub.Topic == "" {
			c.sub.Topic = topic
		}
		if _, err := f.subs.CreateSubscription(f.ctx, c.sub); status.Code(err) != c.want {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}

	_, err := f.topics.Publish(f.ctx, &pb.PublishRequest{Topic: topic, Messages: []*pb.PubsubMessage{{OrderingKey: "k"}}})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("empty message: %v", err)
	}
	f.apply(localstack.Topology{
		Topics: []string{"requests"},
		Push:   []localstack.PushSubscription{{ID: "to-admit", Topic: "requests", Endpoint: url}},
	})
	_, err = f.subs.Pull(f.ctx, &pb.PullRequest{Subscription: name, MaxMessages: 1})
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("pull from a push subscription: %v", err)
	}
	// A refused update changes nothing.
	_, err = f.subs.UpdateSubscription(f.ctx, &pb.UpdateSubscriptionRequest{
		Subscription: &pb.Subscription{
			Name: name, AckDeadlineSeconds: 77,
			DeadLetterPolicy: &pb.DeadLetterPolicy{DeadLetterTopic: dead, MaxDeliveryAttempts: 101},
		},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"ack_deadline_seconds", "dead_letter_policy"}},
	})
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("101 attempts: %v", err)
	}
	got, err := f.subs.GetSubscription(f.ctx, &pb.GetSubscriptionRequest{Subscription: name})
	if err != nil || got.AckDeadlineSeconds == 77 || got.DeadLetterPolicy != nil {
		t.Errorf("after a refused update: %v, %v", got, err)
	}
}

// A subscription that stops pushing gives its messages to those who pull, and
// takes them back when it pushes again.
func TestBrokerPushToPullAndBack(t *testing.T) {
	t.Parallel()
	f := newBrokerFixture(t, startBroker(t))
	url, pushes := f.endpoint()
	f.apply(localstack.Topology{
		Topics: []string{"requests"},
		Push: []localstack.PushSubscription{{
			ID: "to-admit", Topic: "requests", Endpoint: url, MinBackoff: time.Minute, MaxBackoff: time.Minute,
		}},
	})
	name := localstack.SubscriptionName(f.project, "to-admit")
	id := f.publish("requests", &pb.PubsubMessage{Data: []byte("x")})
	next(t, "push", pushes).answer <- http.StatusInternalServerError

	if err := f.subs.ModifyPushConfig(f.ctx, &pb.ModifyPushConfigRequest{Subscription: name, PushConfig: &pb.PushConfig{}}); err != nil {
		t.Fatal(err)
	}
	if got := f.pull("to-admit"); got.MessageId != id {
		t.Errorf("pulled %s, want %s", got.MessageId, id)
	}
	id = f.publish("requests", &pb.PubsubMessage{Data: []byte("y")})
	err := f.subs.ModifyPushConfig(f.ctx, &pb.ModifyPushConfigRequest{
		Subscription: name, PushConfig: &pb.PushConfig{PushEndpoint: url},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := next(t, "push", pushes)
	p.answer <- http.StatusOK
	if p.Message.MessageID != id {
		t.Errorf("pushed %s, want %s", p.Message.MessageID, id)
	}
}

// Streaming pull is what the high-level client uses.
func TestBrokerStreamingPull(t *testing.T) {
	t.Parallel()
	f := newBrokerFixture(t, startBroker(t))
	f.apply(localstack.Topology{
		Topics: []string{"outcomes"},
		Pull:   []localstack.PullSubscription{{ID: "all-outcomes", Topic: "outcomes"}},
	})
	stream, err := f.subs.StreamingPull(f.ctx)
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&pb.StreamingPullRequest{
		Subscription: localstack.SubscriptionName(f.project, "all-outcomes"), StreamAckDeadlineSeconds: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	id := f.publish("outcomes", &pb.PubsubMessage{Data: []byte("x")})
	resp, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.ReceivedMessages[0].Message.MessageId; got != id {
		t.Errorf("received %s, published as %s", got, id)
	}
}

// Message ids are keys to their receivers, so a broker never repeats those of
// an earlier one.
func TestBrokerIDsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 2 {
		f := newBrokerFixture(t, startBroker(t))
		f.apply(localstack.Topology{Topics: []string{"requests"}})
		id := f.publish("requests", &pb.PubsubMessage{Data: []byte("x")})
		if seen[id] {
			t.Errorf("id %s from two brokers", id)
		}
		seen[id] = true
	}
}

// Stop cuts off a push in flight, ends everything and may be repeated.
func TestBrokerStop(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	f := newBrokerFixture(t, b)
	url, pushes := f.endpoint()
	f.apply(localstack.Topology{
		Topics: []string{"requests"},
		Push:   []localstack.PushSubscription{{ID: "to-admit", Topic: "requests", Endpoint: url}},
	})
	f.publish("requests", &pb.PubsubMessage{Data: []byte("x")})
	p := next(t, "push", pushes)
	for range 2 {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	}
	next(t, "end of the push", p.gone)
	if _, err := http.Get("http://" + b.Host() + "/"); err == nil {
		t.Error("answers after Stop")
	}
}
