package localstack

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// A Topology is the set of topics and subscriptions of a deployment. Topics and subscriptions are
// given by id, without the projects/... in front.
type Topology struct {
	Project string
	Topics  []string // all of them, dead-letter topics included
	Push    []PushSubscription
	Pull    []PullSubscription
}

// A PushSubscription sends each message of a topic to an endpoint.
type PushSubscription struct {
	ID, Topic string
	Endpoint  string // http or https URL

	// AckDeadline is whole seconds, 10 s to 600 s; 0 means 10 s. It is also
	// the time limit of a request.
	AckDeadline time.Duration

	// MinBackoff and MaxBackoff are the retry policy, each 0 to 600 s. Both
	// zero means no policy: the server's own back-off.
	MinBackoff, MaxBackoff time.Duration

	// DeadLetter is the topic for messages that were not acknowledged
	// MaxAttempts times, 5 to 100; 0 means 5. Empty means none.
	DeadLetter  string
	MaxAttempts int
}

// A PullSubscription keeps the messages of a topic until they are fetched.
type PullSubscription struct {
	ID, Topic   string
	AckDeadline time.Duration // as for push
}

// TopicName is the full name of a topic.
func TopicName(project, id string) string { return "projects/" + project + "/topics/" + id }

// SubscriptionName is the full name of a subscription.
func SubscriptionName(project, id string) string {
	return "projects/" + project + "/subscriptions/" + id
}

// Validate reports every contradiction in the topology. The server checks names and
// ranges.
func (t Topology) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if t.Project == "" {
		bad("no project")
	}
	topic := func(sub, id string) {
		if !slices.Contains(t.Topics, id) {
			bad("subscription %s: topic %q is not among the topics", sub, id)
		}
	}
	deadline := func(sub string, d time.Duration) {
		if d < 0 || d%time.Second != 0 {
			bad("subscription %s: ack deadline %v is not a number of whole seconds", sub, d)
		}
	}
	seen := map[string]bool{}
	once := func(id string) {
		if seen[id] {
			bad("subscription %s is there twice", id)
		}
		seen[id] = true
	}
	for _, s := range t.Push {
		once(s.ID)
		topic(s.ID, s.Topic)
		deadline(s.ID, s.AckDeadline)
		if u, err := url.Parse(s.Endpoint); err != nil || u.Host == "" {
			bad("subscription %s: endpoint %q is no URL with a host", s.ID, s.Endpoint)
		}
		if s.DeadLetter != "" {
			topic(s.ID, s.DeadLetter)
		} else if s.MaxAttempts != 0 {
			bad("subscription %s: %d attempts, but no dead-letter topic", s.ID, s.MaxAttempts)
		}
	}
	for _, s := range t.Pull {
		once(s.ID)
		topic(s.ID, s.Topic)
		deadline(s.ID, s.AckDeadline)
	}
	return errors.Join(errs...)
}

// Apply makes the Pub/Sub server at host, official or embedded, have the
// topology. Existing subscriptions are updated (endpoints change between runs);
// others are left alone; messages are kept. It may be
// repeated. A subscription that exists on another topic is an error.
func Apply(ctx context.Context, host string, t Topology) error {
	if err := t.Validate(); err != nil {
		return fmt.Errorf("topology of %q: %w", t.Project, err)
	}
	conn, err := grpc.NewClient(host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connect to Pub/Sub on %s: %w", host, err)
	}
	defer conn.Close() // and with it both clients, which share it
	topics, err := pubsub.NewTopicAdminClient(ctx, option.WithGRPCConn(conn))
	if err != nil {
		return fmt.Errorf("topic client for %s: %w", host, err)
	}
	subs, err := pubsub.NewSubscriptionAdminClient(ctx, option.WithGRPCConn(conn))
	if err != nil {
		return fmt.Errorf("subscription client for %s: %w", host, err)
	}
	for _, id := range t.Topics {
		name := TopicName(t.Project, id)
		if _, err := topics.CreateTopic(ctx, &pb.Topic{Name: name}); err != nil && status.Code(err) != codes.AlreadyExists {
			return fmt.Errorf("create topic %s on %s: %w", name, host, err)
		}
	}
	for _, want := range t.subscriptions() {
		if err := applySubscription(ctx, subs, want); err != nil {
			return fmt.Errorf("subscription %s on %s: %w", want.Name, host, err)
		}
	}
	return nil
}

func applySubscription(ctx context.Context, subs *pubsub.SubscriptionAdminClient, want *pb.Subscription) error {
	_, err := subs.CreateSubscription(ctx, proto.CloneOf(want))
	if status.Code(err) != codes.AlreadyExists {
		return err
	}
	have, err := subs.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: want.Name})
	if err != nil {
		return err
	}
	if have.Topic != want.Topic {
		return fmt.Errorf("is on %s, wanted on %s: delete it first", have.Topic, want.Topic)
	}
	_, err = subs.UpdateSubscription(ctx, &pb.UpdateSubscriptionRequest{
		Subscription: want,
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{
			// Not expiration_policy, which the official emulator refuses to update.
			"ack_deadline_seconds", "push_config", "retry_policy", "dead_letter_policy",
		}},
	})
	return err
}

// subscriptions renders the topology for the API.
func (t Topology) subscriptions() []*pb.Subscription {
	var subs []*pb.Subscription
	add := func(id, topic string, deadline time.Duration) *pb.Subscription {
		if deadline == 0 {
			deadline = defaultAckDeadline
		}
		s := &pb.Subscription{
			Name:               SubscriptionName(t.Project, id),
			Topic:              TopicName(t.Project, topic),
			AckDeadlineSeconds: int32(deadline / time.Second),
			PushConfig:         &pb.PushConfig{},
			ExpirationPolicy:   &pb.ExpirationPolicy{}, // without a time to live: never
		}
		subs = append(subs, s)
		return s
	}
	for _, p := range t.Push {
		s := add(p.ID, p.Topic, p.AckDeadline)
		s.PushConfig.PushEndpoint = p.Endpoint
		if p.MinBackoff != 0 || p.MaxBackoff != 0 {
			s.RetryPolicy = &pb.RetryPolicy{
				MinimumBackoff: durationpb.New(p.MinBackoff),
				MaximumBackoff: durationpb.New(p.MaxBackoff),
			}
		}
		if p.DeadLetter != "" {
			s.DeadLetterPolicy = &pb.DeadLetterPolicy{
				DeadLetterTopic:     TopicName(t.Project, p.DeadLetter),
				MaxDeliveryAttempts: int32(p.MaxAttempts),
			}
			if p.MaxAttempts == 0 {
				s.DeadLetterPolicy.MaxDeliveryAttempts = defaultAttempts
			}
		}
	}
	for _, p := range t.Pull {
		add(p.ID, p.Topic, p.AckDeadline)
	}
	return subs
}
