package chaos

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"github.com/googleapis/gax-go/v2"

	"example.com/berth/internal/localstack"
	"example.com/berth/internal/message"
)

// A sent message: a planned message and the id that Pub/Sub gave it.
type sent struct {
	id string
	plannedMessage
}

// about is the key of the request that the message makes or cancels.
func (s sent) about(first map[*order]string) message.Key {
	if s.order.NoID {
		return message.KeyOf(tenant, message.KindMessage, first[s.order])
	}
	return message.KeyOf(tenant, message.KindRequest, s.order.Name)
}

// tenant is whose all messages are.
const tenant = "default"

// A publisher publishes and keeps what it has published.
type publisher struct {
	client *pubsub.Client

	mu    sync.Mutex
	sent  []sent
	first map[*order]string // message id of the first message of an order
}

// publish publishes planned messages at their times, counted from now.
func (o *publisher) publish(ctx context.Context, plan []plannedMessage) error {
	requests := o.client.Publisher(localstack.RequestTopic)
	requests.PublishSettings.DelayThreshold = time.Millisecond
	defer requests.Stop()
	began := time.Now()
	for _, p := range plan {
		if gax.Sleep(ctx, p.at-time.Since(began)) != nil {
			return ctx.Err()
		}
		data, attributes := p.data, p.attributes
		if p.cancels {
			o.mu.Lock()
			attributes = map[string]string{"berth-cancel": "true", "berth-message-id": o.first[p.order]}
			o.mu.Unlock()
		}
		id, err := requests.Publish(ctx, &pubsub.Message{Data: data, Attributes: attributes}).Get(ctx)
		if err != nil {
			return fmt.Errorf("publish a %s: %w", p.purpose, err)
		}
		o.mu.Lock()
		o.sent = append(o.sent, sent{id, p})
		if p.purpose == forJob && o.first[p.order] == "" {
			o.first[p.order] = id
		}
		o.mu.Unlock()
	}
	return nil
}

// all returns what has been published.
func (o *publisher) all() ([]sent, []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var ids []string
	for _, s := range o.sent {
		ids = append(ids, s.id)
	}
	return append([]sent(nil), o.sent...), ids
}

// tickTock publishes a tick every period until ctx ends, as Cloud Scheduler
// does.
func (o *publisher) tickTock(ctx context.Context) {
	ticks := o.client.Publisher(localstack.TickTopic)
	defer ticks.Stop()
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			ticks.Publish(ctx, &pubsub.Message{Data: []byte("{}")})
		case <-ctx.Done():
			return
		}
	}
}

// A collector receives the messages of a subscription: outcome events, or dead
// letters.
type collector struct {
	mu   sync.Mutex
	got  []received
	ids  map[string]bool // event ids
	news chan struct{}   // closed and replaced at every message
}

// A received message, unchanged.
type received struct {
	id         string // message id
	data       string
	attributes map[string]string
}

func newCollector() *collector { return &collector{ids: map[string]bool{}, news: make(chan struct{})} }

// receive receives until ctx ends.
func (e *collector) receive(ctx context.Context, sub *pubsub.Subscriber) error {
	err := sub.Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		e.mu.Lock()
		e.got = append(e.got, received{m.ID, string(m.Data), m.Attributes})
		e.ids[m.Attributes["ce-id"]] = true
		close(e.news)
		e.news = make(chan struct{})
		e.mu.Unlock()
		m.Ack()
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("receive from %s: %w", sub.ID(), err)
	}
	return nil
}

func (e *collector) all() []received {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]received(nil), e.got...)
}

func (e *collector) has(event string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ids[event]
}
