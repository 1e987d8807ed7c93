package localstack

import (
	"context"
	"fmt"
	"net/url"
	"strconv"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// unshared makes sure that no running stack uses the same project on the same
// Pub/Sub, which can be an emulator that was running before: its subscriptions
// would be turned to this stack's function, and its requests with them. What a
// stack that has stopped left there is taken over.
func unshared(ctx context.Context, host string, t Topology) error {
	conn, err := grpc.NewClient(host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("connect to Pub/Sub at %s: %w", host, err)
	}
	defer func() { _ = conn.Close() }()
	subs, err := pubsub.NewSubscriptionAdminClient(ctx, option.WithGRPCConn(conn))
	if err != nil {
		return fmt.Errorf("make Pub/Sub client for %s: %w", host, err)
	}
	for _, want := range t.Push {
		have, err := subs.GetSubscription(ctx, &pb.GetSubscriptionRequest{Subscription: SubscriptionName(t.Project, want.ID)})
		if status.Code(err) == codes.NotFound {
			continue
		}
		if err != nil {
			return fmt.Errorf("find subscription %s at %s: %w", want.ID, host, err)
		}
		endpoint := have.GetPushConfig().GetPushEndpoint()
		u, err := url.Parse(endpoint)
		if err != nil || endpoint == want.Endpoint {
			continue
		}
		port, err := strconv.Atoi(u.Port())
		if err != nil || u.Hostname() != "127.0.0.1" {
			continue
		}
		if nonce, err := ask(ctx, port, noncePath); err == nil && nonce != "" {
			return fmt.Errorf("project %s on the Pub/Sub at %s belongs to the running stack of %s; choose another one with -project", t.Project, host, endpoint)
		}
	}
	return nil
}
