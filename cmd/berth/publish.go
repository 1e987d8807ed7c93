package main

import (
	"context"
	"fmt"
	"strings"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// publish publishes one message to the request topic and returns its id. A lost
// answer can lead to a second copy, which Berth takes for a duplicate if the
// request has an id.
func (g *globals) publish(data []byte, attributes map[string]string) (id string, err error) {
	if err := g.writable(); err != nil {
		return "", err
	}
	return g.publishTo(g.topicName(), data, attributes)
}

// publishTo publishes one message to a topic, by its full name, of a writable target.
func (g *globals) publishTo(topic string, data []byte, attributes map[string]string) (id string, err error) {
	ctx, cancel := context.WithTimeout(g.ctx, g.Timeout)
	defer cancel()
	var opts []option.ClientOption
	if g.pubsub != "" {
		opts = append(opts, option.WithEndpoint(g.pubsub), option.WithoutAuthentication(),
			option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	}
	client, err := pubsub.NewTopicAdminClient(ctx, opts...)
	if err != nil {
		return "", fmt.Errorf("connect to Pub/Sub of %s: %w", &g.target, err)
	}
	defer client.Close() //nolint:errcheck // the call has returned
	resp, err := client.Publish(ctx, &pubsubpb.PublishRequest{
		Topic: topic, Messages: []*pubsubpb.PubsubMessage{{Data: data, Attributes: attributes}},
	})
	switch {
	case status.Code(err) == codes.NotFound:
		return "", fmt.Errorf("publish to %s: there is no such topic: %w", topic, err)
	case status.Code(err) == codes.PermissionDenied:
		return "", fmt.Errorf("publish to %s: the caller needs roles/pubsub.publisher on it: %w", topic, err)
	case err != nil:
		return "", fmt.Errorf("publish to %s: %w", topic, err)
	case len(resp.GetMessageIds()) != 1:
		return "", fmt.Errorf("publish to %s: %d message ids came back, want 1", topic, len(resp.GetMessageIds()))
	}
	return resp.GetMessageIds()[0], nil
}

func (g *globals) topicName() string {
	if strings.Contains(g.Topic, "/") {
		return g.Topic
	}
	return "projects/" + g.Project + "/topics/" + g.Topic
}
