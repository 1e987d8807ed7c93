package localstack

import (
	"context"
	"net/url"
	"regexp"
	"strings"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// check holds the rules that the fake has not.
func (s *subscriber) check(ctx context.Context, sub *pb.Subscription) error {
	if err := checkName(sub.GetName(), "subscriptions"); err != nil {
		return err
	}
	endpoint := sub.GetPushConfig().GetPushEndpoint()
	if endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return status.Errorf(codes.InvalidArgument, "push endpoint %q is no http or https URL", endpoint)
		}
	}
	if sub.GetPushConfig().GetNoWrapper() != nil {
		return status.Error(codes.Unimplemented, "unwrapped push is not supported by the embedded Pub/Sub")
	}
	if r := sub.GetRetryPolicy(); r != nil {
		if low, high := backoffRange(r); low < 0 || high > maxBackoff || low > high {
			return status.Errorf(codes.InvalidArgument, "retry policy from %v to %v: must be 0 to %v and in order", low, high, maxBackoff)
		}
	}
	d := sub.GetDeadLetterPolicy()
	if d == nil {
		return nil
	}
	if endpoint == "" {
		return status.Error(codes.Unimplemented, "a dead-letter policy on a pull subscription is not supported by the embedded Pub/Sub")
	}
	if n := d.GetMaxDeliveryAttempts(); n != 0 && (n < 5 || n > 100) {
		return status.Errorf(codes.InvalidArgument, "%d delivery attempts: must be 5 to 100", n)
	}
	_, err := s.b.fake.GServer.GetTopic(ctx, &pb.GetTopicRequest{Topic: d.GetDeadLetterTopic()})
	return err
}

var nameRule = regexp.MustCompile(`^projects/[^/]+/(topics|subscriptions)/([A-Za-z][A-Za-z0-9._~+%-]{2,254})$`)

func checkName(name, collection string) error {
	m := nameRule.FindStringSubmatch(name)
	if m == nil || m[1] != collection || strings.HasPrefix(strings.ToLower(m[2]), "goog") {
		return status.Errorf(codes.InvalidArgument,
			"%q: must be projects/PROJECT/%s/ID, with an id of 3 to 255 letters, digits or -._~+%% that begins with a letter, not with goog", name, collection)
	}
	return nil
}
