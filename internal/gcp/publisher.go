package gcp

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/protobuf/proto"

	"example.com/berth/internal/message"
)

// Bounds of one Publish. Pub/Sub takes 1,000 messages and 10 MB in one call. A
// third of that also passes a gRPC server with default limits (4 MiB), as the
// emulator is.
const (
	publishCount    = 1000
	publishBytes    = 3_500_000
	publishTries    = 6
	publishDeadline = 10 * time.Second // per call
)

// PublisherOptions say which topic, and in whose name.
type PublisherOptions struct {
	Project    string // id
	Topic      string // id
	Deployment string // with Project, the source of the events
	// AllowEmulator lets PUBSUB_EMULATOR_HOST take the place of Pub/Sub. Without
	// it the variable is an error.
	AllowEmulator bool
	ClientOptions []option.ClientOption
}

// A Publisher publishes outcome events to one topic. It has no queue: when Publish
// returns, nothing is under way. It connects when it first publishes, and is
// safe for concurrent use.
type Publisher struct {
	rpcs
	topic  string // projects/P/topics/T
	source message.Source
	open   func(context.Context) (*pubsub.TopicAdminClient, error)

	mu     sync.Mutex
	closed bool
	client *pubsub.TopicAdminClient
}

// NewPublisher checks the options. It does not connect.
func NewPublisher(_ context.Context, o PublisherOptions) (*Publisher, error) {
	if o.Project == "" || o.Topic == "" || o.Deployment == "" {
		return nil, fmt.Errorf("publisher: project %q, topic %q or deployment %q is not set", o.Project, o.Topic, o.Deployment)
	}
	// The library would follow the variable without asking AllowEmulator.
	options, err := emulator("PUBSUB_EMULATOR_HOST", o.AllowEmulator)
	if err != nil {
		return nil, fmt.Errorf("publisher for %s: %w", o.Topic, err)
	}
	p := &Publisher{topic: "projects/" + o.Project + "/topics/" + o.Topic, source: message.Source{Project: o.Project, Deployment: o.Deployment}}
	options = append(append(p.option(), options...), o.ClientOptions...)
	p.open = func(ctx context.Context) (*pubsub.TopicAdminClient, error) {
		c, err := pubsub.NewTopicAdminClient(context.WithoutCancel(ctx), options...)
		if err == nil {
			c.CallOptions = &pubsub.TopicAdminCallOptions{}
		}
		return c, err
	}
	return p, nil
}

// Close ends the connection. A later Publish fails.
func (p *Publisher) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.client == nil {
		return nil
	}
	defer func() { p.client = nil }()
	return p.client.Close()
}

// Publish publishes events, in as few calls as the limits allow, and waits until the
// server has them. It repeats calls that failed transiently, so an event may
// be published twice, with the same event id. After an error some events may be
// published; the error names those that are not known to be. An event that cannot
// be encoded does not stop the others.
func (p *Publisher) Publish(ctx context.Context, events ...message.Outcome) error {
	var failures []string
	var first error
	fail := func(err error, batch ...outgoing) {
		if first == nil {
			first = err
		}
		for _, m := range batch {
			failures = append(failures, m.event)
		}
	}
	var batch []outgoing
	size := 0
	flush := func() {
		if len(batch) > 0 {
			if err := p.send(ctx, batch); err != nil {
				fail(err, batch...)
			}
		}
		batch, size = nil, 0
	}
	for _, e := range events {
		data, attributes, err := e.PubSub(p.source)
		m := outgoing{e.EventID, &pubsubpb.PubsubMessage{Data: data, Attributes: attributes}}
		if err != nil {
			fail(err, m)
			continue
		}
		n := proto.Size(m.message) + 16 // and its tag and length
		if len(batch) == publishCount || size+n > publishBytes {
			flush()
		}
		batch, size = append(batch, m), size+n
	}
	flush()
	if first == nil {
		return nil
	}
	return fmt.Errorf("publish to %s: %d of %d events failed (%s): %w", p.topic, len(failures), len(events), brief(failures), first)
}

// An outgoing is an event, by its id, and the message that carries it.
type outgoing struct {
	event   string
	message *pubsubpb.PubsubMessage
}

// brief lists the first few failures.
func brief(events []string) string {
	const most = 10
	if len(events) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(events[:most], ", "), len(events)-most)
	}
	return strings.Join(events, ", ")
}

func (p *Publisher) send(ctx context.Context, batch []outgoing) error {
	client, err := p.connect(ctx)
	if err != nil {
		return err
	}
	req := &pubsubpb.PublishRequest{Topic: p.topic}
	for _, m := range batch {
		req.Messages = append(req.Messages, m.message)
	}
	err = repeat(ctx, publishTries, publishDeadline, func(ctx context.Context) error {
		answer, err := client.Publish(ctx, req)
		if err == nil && len(answer.GetMessageIds()) != len(batch) {
			err = fmt.Errorf("%d messages sent, %d taken", len(batch), len(answer.GetMessageIds()))
		}
		return err
	})
	if err != nil {
		return failed(ctx, "send", err)
	}
	return nil
}

func (p *Publisher) connect(ctx context.Context) (*pubsub.TopicAdminClient, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("publisher is closed")
	}
	if p.client == nil {
		c, err := p.open(ctx)
		if err != nil {
			return nil, err
		}
		p.client = c
	}
	return p.client, nil
}
