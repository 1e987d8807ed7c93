package localstack

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"
)

const (
	pushesInFlight     = 16 // per subscription
	pullBatch          = 1000
	defaultAckDeadline = 10 * time.Second
	defaultAttempts    = 5 // of a dead-letter policy that names no number
	maxBackoff         = 600 * time.Second

	// foreverLease keeps a message out of the fake's own redelivery, which
	// knows no back-off. The pump gives it back or acknowledges it.
	foreverLease = math.MaxInt32 // seconds
)

// A pump pushes the messages of one subscription. It leases each message from
// the fake and keeps the lease through all attempts, counting them itself: the
// fake counts the deliveries of all subscriptions together. Keeping the lease
// also keeps the order: the fake hands out the next message of an ordering key
// when the one before is acknowledged.
type pump struct {
	b      *Broker
	cancel context.CancelFunc
	wake   chan struct{}                   // holds one token when there may be something to pull
	sub    atomic.Pointer[pb.Subscription] // read at every attempt, never changed in place
	slots  chan struct{}                   // one token per request in flight
	wg     sync.WaitGroup                  // messages under lease
}

// startPump starts the pump of a subscription, or gives the running one its new
// settings. b.mu must be held.
func (b *Broker) startPump(sub *pb.Subscription) {
	if p := b.pumps[sub.Name]; p != nil {
		p.sub.Store(sub)
		return
	}
	ctx, cancel := context.WithCancel(b.ctx)
	p := &pump{
		b:      b,
		cancel: cancel,
		wake:   make(chan struct{}, 1),
		slots:  make(chan struct{}, pushesInFlight),
	}
	p.sub.Store(sub)
	p.nudge()
	b.pumps[sub.Name] = p
	b.wg.Go(func() { p.run(ctx) })
}

// stopPump ends the pump of a subscription, if there is one; it gives its
// messages back a moment later. b.mu must be held.
func (b *Broker) stopPump(name string) {
	if p := b.pumps[name]; p != nil {
		p.cancel()
		delete(b.pumps, name)
	}
}

func (p *pump) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *pump) run(ctx context.Context) {
	defer p.cancel()
	defer func() {
		p.wg.Wait()
		p.b.nudge() // a successor may have checked before the leases were returned
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		for p.pull(ctx) {
		}
	}
}

// pull leases what is there and starts its delivery in the order of
// publication. It reports whether there may be more.
func (p *pump) pull(ctx context.Context) (more bool) {
	name := p.sub.Load().Name
	resp, err := p.b.fake.GServer.Pull(ctx, &pb.PullRequest{
		Subscription: name, MaxMessages: pullBatch,
		ReturnImmediately: true, //nolint:staticcheck // a deprecated field, but the pump must not block here and hold up its nacks
	})
	if err != nil || len(resp.ReceivedMessages) == 0 {
		return false // the subscription is gone, or has nothing to give
	}
	var got []lease
	for _, rm := range resp.ReceivedMessages {
		l := lease{msg: rm.Message, ackID: rm.AckId, id: p.b.messageID(rm.Message.MessageId)}
		p.modify(l, foreverLease)
		got = append(got, l)
	}
	slices.SortFunc(got, func(a, b lease) int {
		return cmp.Or(a.msg.PublishTime.AsTime().Compare(b.msg.PublishTime.AsTime()), cmp.Compare(a.id, b.id))
	})
	for i, l := range got {
		if !p.enter(ctx) {
			for _, rest := range got[i:] {
				p.modify(rest, 0)
			}
			return false
		}
		p.wg.Go(func() { p.deliver(ctx, l) })
	}
	return true
}

// A lease is a message that the pump answers for.
type lease struct {
	msg   *pb.PubsubMessage // shared with the fake: read only
	ackID string
	id    string
}

func (p *pump) enter(ctx context.Context) bool {
	select {
	case p.slots <- struct{}{}:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// deliver pushes one message until it is acknowledged, dead, or the pump ends.
// The caller has taken a slot for the first attempt.
func (p *pump) deliver(ctx context.Context, l lease) {
	for attempt := 1; ; attempt++ {
		sub := p.sub.Load()
		err := p.push(ctx, sub, l, attempt)
		<-p.slots
		if ctx.Err() != nil {
			p.modify(l, 0)
			return
		}
		if err == nil {
			p.ack(l)
			return
		}
		p.b.log.WarnContext(ctx, "push not acknowledged", "subscription", sub.Name, "message", l.id, "attempt", attempt, "error", err)
		if d := sub.DeadLetterPolicy; d != nil && attempt >= int(d.MaxDeliveryAttempts) {
			err := p.bury(ctx, sub, l, attempt)
			if err == nil {
				p.ack(l)
				return
			}
			p.b.log.ErrorContext(ctx, "dead letter not published; its deliveries continue", "topic", d.DeadLetterTopic, "message", l.id, "error", err)
		}
		wait := time.NewTimer(backoff(sub.RetryPolicy, attempt))
		select {
		case <-wait.C:
		case <-ctx.Done():
		}
		wait.Stop()
		if !p.enter(ctx) {
			p.modify(l, 0)
			return
		}
	}
}

// ack deletes a message and checks for the next one of its key. It fails
// only when the subscription is gone.
func (p *pump) ack(l lease) {
	_, _ = p.b.fake.GServer.Acknowledge(context.Background(), &pb.AcknowledgeRequest{
		Subscription: p.sub.Load().Name, AckIds: []string{l.ackID},
	})
	if l.msg.OrderingKey != "" {
		p.nudge()
	}
}

// modify sets how long the fake keeps the message from others; 0 gives it back.
// It fails only when the subscription is gone.
func (p *pump) modify(l lease, seconds int32) {
	_, _ = p.b.fake.GServer.ModifyAckDeadline(context.Background(), &pb.ModifyAckDeadlineRequest{
		Subscription: p.sub.Load().Name, AckIds: []string{l.ackID}, AckDeadlineSeconds: seconds,
	})
}

// bury publishes a message to the dead-letter topic with the attributes that
// say where it comes from. It is acknowledged only afterwards: a crash between
// the two makes a second copy, not a loss.
func (p *pump) bury(ctx context.Context, sub *pb.Subscription, l lease, attempts int) error {
	attributes := map[string]string{}
	maps.Copy(attributes, l.msg.Attributes)
	project, id, _ := strings.Cut(strings.TrimPrefix(sub.Name, "projects/"), "/subscriptions/")
	attributes["CloudPubSubDeadLetterSourceDeliveryCount"] = strconv.Itoa(attempts)
	attributes["CloudPubSubDeadLetterSourceSubscription"] = id
	attributes["CloudPubSubDeadLetterSourceSubscriptionProject"] = project
	attributes["CloudPubSubDeadLetterSourceTopicPublishTime"] = l.msg.PublishTime.AsTime().UTC().Format("2006-01-02T15:04:05.000Z07:00")
	_, err := p.b.publish(ctx, &pb.PublishRequest{
		Topic:    sub.DeadLetterPolicy.DeadLetterTopic,
		Messages: []*pb.PubsubMessage{{Data: l.msg.Data, Attributes: attributes, OrderingKey: l.msg.OrderingKey}},
	})
	return err
}

// backoff is the wait after the given attempt (from 1): the smallest, doubling
// up to the largest. Without a policy it is production's push back-off.
func backoff(policy *pb.RetryPolicy, attempt int) time.Duration {
	low, high := backoffRange(policy)
	wait := low
	for range attempt - 1 {
		if wait >= high {
			break
		}
		wait *= 2
	}
	return min(wait, high)
}

func backoffRange(policy *pb.RetryPolicy) (low, high time.Duration) {
	if policy == nil {
		return 100 * time.Millisecond, 60 * time.Second
	}
	return durationOr(policy.MinimumBackoff, 10*time.Second), durationOr(policy.MaximumBackoff, maxBackoff)
}

func durationOr(d *durationpb.Duration, unset time.Duration) time.Duration {
	if d == nil {
		return unset
	}
	return d.AsDuration()
}
