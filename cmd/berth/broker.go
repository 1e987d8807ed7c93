package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/repair"
)

// A broker calls the administrative API of Pub/Sub, and implements
// [repair.DeadLetterQueue] for dead letters.
type broker struct {
	project, prefix, requestTopic, outcomeTopic string

	emulated        bool
	functionTimeout time.Duration // 0 where it is not known
	timeout         time.Duration // of one call

	topics *pubsub.TopicAdminClient
	subs   *pubsub.SubscriptionAdminClient
	dead   string // full name of the dead-letter subscription, once found
}

func newBroker(g *globals, prefix string, emulated bool, functionTimeout time.Duration) *broker {
	b := &broker{project: g.Project, prefix: prefix, requestTopic: g.topicName(), emulated: emulated, functionTimeout: functionTimeout, timeout: g.Timeout}
	if prefix != "berth" && g.Topic == "berth-requests" {
		b.requestTopic = b.topic(prefix + "-requests") // the flag has its default
	}
	return b
}

func (b *broker) topic(id string) string { return "projects/" + b.project + "/topics/" + id }
func (b *broker) outcomes() string       { return cmp.Or(b.outcomeTopic, b.prefix+"-outcomes") }
func (b *broker) deadTopic() string      { return b.topic(b.prefix + "-dead-letters") }
func (b *broker) tickTopic() string      { return b.topic(b.prefix + "-ticks") }
func (b *broker) operatorTopic() string  { return b.topic(b.prefix + "-operators") }

// answered reports whether every message of a topic has an answer, so that none may be
// lost.
func (b *broker) answered(topic string) bool {
	return topic == b.requestTopic || topic == b.operatorTopic()
}

// pushed reports whether a function handles the messages of a topic.
func (b *broker) pushed(topic string) bool { return b.answered(topic) || topic == b.tickTopic() }

func (b *broker) connect(g *globals) (err error) {
	var opts []option.ClientOption
	if g.pubsub != "" {
		opts = insecureAt(g.pubsub)
	}
	if b.topics, err = pubsub.NewTopicAdminClient(g.ctx, opts...); err != nil {
		return fmt.Errorf("connect to Pub/Sub of %s: %w", &g.target, err)
	}
	if b.subs, err = pubsub.NewSubscriptionAdminClient(g.ctx, opts...); err != nil {
		return errors.Join(fmt.Errorf("connect to Pub/Sub of %s: %w", &g.target, err), b.topics.Close())
	}
	return nil
}

func (b *broker) close() error { return errors.Join(b.topics.Close(), b.subs.Close()) }

// subscriptions returns the subscriptions of a topic.
func (b *broker) subscriptions(ctx context.Context, topic string) ([]*pubsubpb.Subscription, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	var found []*pubsubpb.Subscription
	for name, err := range b.topics.ListTopicSubscriptions(ctx, &pubsubpb.ListTopicSubscriptionsRequest{Topic: topic}).All() {
		if err != nil {
			return nil, fmt.Errorf("list the subscriptions of %s: %w", topic, err)
		}
		sub, err := b.subs.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: name})
		if err != nil {
			return nil, fmt.Errorf("get subscription %s: %w", name, err)
		}
		found = append(found, sub)
	}
	return found, nil
}

// findDead finds the subscription that keeps the dead letters.
func (b *broker) findDead(ctx context.Context) error {
	subs, err := b.subscriptions(ctx, b.deadTopic())
	if err != nil {
		return err
	}
	for _, s := range subs {
		if s.GetPushConfig().GetPushEndpoint() == "" {
			b.dead = s.GetName()
			return nil
		}
	}
	return fmt.Errorf("topic %s has no subscription to pull from: dead letters are lost", b.deadTopic())
}

// Pull implements [repair.DeadLetterQueue]. Google's Pub/Sub may answer nothing at once
// although there are messages, so Pull waits up to 5 s for one.
func (b *broker) Pull(ctx context.Context, most int) ([]repair.Pulled, error) {
	if b.dead == "" {
		if err := b.findDead(ctx); err != nil {
			return nil, err
		}
	}
	const maxPull = 5 * time.Second
	limit := b.timeout
	if !b.emulated {
		limit = min(limit, maxPull)
	}
	call, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	resp, err := b.subs.Pull(call, &pubsubpb.PullRequest{
		Subscription: b.dead, MaxMessages: int32(min(most, 1000)),
		ReturnImmediately: b.emulated, //nolint:staticcheck // deprecated because a service may miss messages by it; an emulator does not
	})
	switch {
	case ctx.Err() == nil && status.Code(err) == codes.DeadlineExceeded:
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("pull from %s: %w", b.dead, err)
	}
	var pulled []repair.Pulled
	for _, m := range resp.GetReceivedMessages() {
		pulled = append(pulled, repair.Pulled{ID: m.GetMessage().GetMessageId(), AckID: m.GetAckId(),
			PublishTime: m.GetMessage().GetPublishTime().AsTime(), Attributes: m.GetMessage().GetAttributes(), Data: m.GetMessage().GetData()})
	}
	return pulled, nil
}

// Return implements [repair.DeadLetterQueue].
func (b *broker) Return(ctx context.Context, ackIDs []string) error {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	err := b.subs.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{Subscription: b.dead, AckIds: ackIDs})
	if err != nil {
		return fmt.Errorf("return %d messages to %s (they come back by themselves): %w", len(ackIDs), b.dead, err)
	}
	return nil
}

// FromRequests implements [repair.DeadLetterQueue].
func (b *broker) FromRequests(ctx context.Context, id string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	sub, err := b.subs.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: "projects/" + b.project + "/subscriptions/" + id})
	if status.Code(err) == codes.NotFound {
		return false, nil
	}
	return sub.GetTopic() == b.requestTopic, err
}

// Send implements [repair.DeadLetterQueue].
func (b *broker) Send(ctx context.Context, data []byte, attributes map[string]string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	resp, err := b.topics.Publish(ctx, &pubsubpb.PublishRequest{
		Topic: b.requestTopic, Messages: []*pubsubpb.PubsubMessage{{Data: data, Attributes: attributes}},
	})
	if err != nil {
		return "", fmt.Errorf("publish to %s: %w", b.requestTopic, err)
	}
	return strings.Join(resp.GetMessageIds(), ","), nil
}

// Ack implements [repair.DeadLetterQueue].
func (b *broker) Ack(ctx context.Context, ackID string) error {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	return b.subs.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: b.dead, AckIds: []string{ackID}})
}
