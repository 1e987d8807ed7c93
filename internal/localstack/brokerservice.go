package localstack

import (
	"context"
	"slices"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// publisher is the fake's publishing half with what it leaves out.
type publisher struct {
	pb.PublisherServer
	b *Broker
}

func (p *publisher) CreateTopic(ctx context.Context, t *pb.Topic) (*pb.Topic, error) {
	if err := checkName(t.GetName(), "topics"); err != nil {
		return nil, err
	}
	return p.PublisherServer.CreateTopic(ctx, t)
}

func (p *publisher) Publish(ctx context.Context, req *pb.PublishRequest) (*pb.PublishResponse, error) {
	if len(req.GetMessages()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "publish without a message")
	}
	for i, m := range req.GetMessages() {
		if len(m.GetData()) == 0 && len(m.GetAttributes()) == 0 {
			return nil, status.Errorf(codes.InvalidArgument, "message %d has neither data nor attributes", i)
		}
	}
	return p.b.publish(ctx, req)
}

// subscriber is the fake's subscribing half. Its methods keep dead-letter
// policies away from the fake, which would republish a dead message without
// end, and start and stop the pumps. The interceptor holds b.mu through all of
// them but Pull and StreamingPull.
type subscriber struct {
	pb.SubscriberServer
	b *Broker
}

func (s *subscriber) CreateSubscription(ctx context.Context, req *pb.Subscription) (*pb.Subscription, error) {
	if err := s.check(ctx, req); err != nil {
		return nil, err
	}
	policy := takePolicy(req)
	sub, err := s.SubscriberServer.CreateSubscription(ctx, req)
	if err != nil {
		return nil, err
	}
	return s.follow(sub, policy), nil
}

// UpdateSubscription checks what the subscription would become before it asks
// the fake, so that a refused update changes nothing.
func (s *subscriber) UpdateSubscription(ctx context.Context, req *pb.UpdateSubscriptionRequest) (*pb.Subscription, error) {
	paths := req.GetUpdateMask().GetPaths()
	if len(paths) == 0 || req.GetSubscription() == nil {
		return nil, status.Error(codes.InvalidArgument, "update needs a subscription and a mask")
	}
	next, err := s.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: req.Subscription.GetName()})
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		switch path {
		case "push_config":
			next.PushConfig = req.Subscription.GetPushConfig()
		case "dead_letter_policy":
			next.DeadLetterPolicy = req.Subscription.GetDeadLetterPolicy()
		case "retry_policy":
			next.RetryPolicy = req.Subscription.GetRetryPolicy()
		}
	}
	if err := s.check(ctx, next); err != nil {
		return nil, err
	}
	policy := takePolicy(next)
	sub, err := s.SubscriberServer.UpdateSubscription(ctx, &pb.UpdateSubscriptionRequest{
		Subscription: req.Subscription,
		UpdateMask: &fieldmaskpb.FieldMask{
			Paths: slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return p == "dead_letter_policy" }),
		},
	})
	if err != nil {
		return nil, err
	}
	return s.follow(sub, policy), nil
}

func (s *subscriber) ModifyPushConfig(ctx context.Context, req *pb.ModifyPushConfigRequest) (*emptypb.Empty, error) {
	_, err := s.UpdateSubscription(ctx, &pb.UpdateSubscriptionRequest{
		Subscription: &pb.Subscription{Name: req.GetSubscription(), PushConfig: req.GetPushConfig()},
		UpdateMask:   &fieldmaskpb.FieldMask{Paths: []string{"push_config"}},
	})
	return &emptypb.Empty{}, err
}

func (s *subscriber) GetSubscription(ctx context.Context, req *pb.GetSubscriptionRequest) (*pb.Subscription, error) {
	sub, err := s.SubscriberServer.GetSubscription(ctx, req)
	if err != nil {
		return nil, err
	}
	return s.whole(sub), nil
}

func (s *subscriber) ListSubscriptions(ctx context.Context, req *pb.ListSubscriptionsRequest) (*pb.ListSubscriptionsResponse, error) {
	resp, err := s.SubscriberServer.ListSubscriptions(ctx, req)
	if err != nil {
		return nil, err
	}
	for i, sub := range resp.Subscriptions {
		resp.Subscriptions[i] = s.whole(sub)
	}
	return resp, nil
}

func (s *subscriber) DeleteSubscription(ctx context.Context, req *pb.DeleteSubscriptionRequest) (*emptypb.Empty, error) {
	resp, err := s.SubscriberServer.DeleteSubscription(ctx, req)
	if err != nil {
		return nil, err
	}
	s.b.stopPump(req.GetSubscription())
	delete(s.b.policies, req.GetSubscription())
	return resp, nil
}

func (s *subscriber) Seek(context.Context, *pb.SeekRequest) (*pb.SeekResponse, error) {
	return nil, status.Error(codes.Unimplemented, "seek is not supported by the embedded Pub/Sub")
}

func (s *subscriber) Pull(ctx context.Context, req *pb.PullRequest) (*pb.PullResponse, error) {
	if err := s.mayPull(req.GetSubscription()); err != nil {
		return nil, err
	}
	resp, err := s.SubscriberServer.Pull(ctx, req)
	if err != nil {
		return nil, err
	}
	return &pb.PullResponse{ReceivedMessages: s.received(resp.GetReceivedMessages())}, nil
}

func (s *subscriber) StreamingPull(stream pb.Subscriber_StreamingPullServer) error {
	return s.SubscriberServer.StreamingPull(&pullStream{Subscriber_StreamingPullServer: stream, s: s})
}

// A pullStream checks the subscription on the way in and gives messages their
// ids on the way out.
type pullStream struct {
	pb.Subscriber_StreamingPullServer
	s *subscriber
}

func (p *pullStream) Recv() (*pb.StreamingPullRequest, error) {
	req, err := p.Subscriber_StreamingPullServer.Recv()
	if err == nil && req.GetSubscription() != "" { // the first one
		err = p.s.mayPull(req.GetSubscription())
	}
	return req, err
}

func (p *pullStream) Send(resp *pb.StreamingPullResponse) error {
	resp.ReceivedMessages = p.s.received(resp.ReceivedMessages)
	return p.Subscriber_StreamingPullServer.Send(resp)
}

// received copies messages, which the fake shares between subscriptions.
func (s *subscriber) received(in []*pb.ReceivedMessage) []*pb.ReceivedMessage {
	var out []*pb.ReceivedMessage
	for _, rm := range in {
		rm = proto.CloneOf(rm)
		rm.Message.MessageId = s.b.messageID(rm.Message.MessageId)
		out = append(out, rm)
	}
	return out
}

func (s *subscriber) mayPull(name string) error {
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	if s.b.pumps[name] != nil {
		return status.Errorf(codes.FailedPrecondition, "%s is a push subscription", name)
	}
	return nil
}

// follow records the policy and starts or stops the pump as the subscription now
// requires. It returns the subscription as users read it.
func (s *subscriber) follow(sub *pb.Subscription, policy *pb.DeadLetterPolicy) *pb.Subscription {
	if policy != nil {
		s.b.policies[sub.Name] = policy
	} else {
		delete(s.b.policies, sub.Name)
	}
	seen := s.whole(sub)
	if seen.GetPushConfig().GetPushEndpoint() == "" {
		s.b.stopPump(sub.Name)
	} else {
		s.b.startPump(seen)
	}
	return seen
}

// whole is a copy of the fake's subscription with the policy that it never saw.
func (s *subscriber) whole(sub *pb.Subscription) *pb.Subscription {
	sub = proto.CloneOf(sub)
	sub.DeadLetterPolicy = proto.CloneOf(s.b.policies[sub.Name])
	return sub
}

func takePolicy(sub *pb.Subscription) *pb.DeadLetterPolicy {
	policy := sub.GetDeadLetterPolicy()
	sub.DeadLetterPolicy = nil
	if policy != nil && policy.MaxDeliveryAttempts == 0 {
		policy.MaxDeliveryAttempts = defaultAttempts
	}
	return policy
}
