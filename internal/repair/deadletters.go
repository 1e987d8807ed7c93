package repair

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/berth/internal/message"
)

// deadPrefix begins the attributes that Pub/Sub adds to a dead letter.
const deadPrefix = "CloudPubSub"

// A Pulled is a message that was pulled from the dead-letter subscription.
type Pulled struct {
	ID, AckID   string
	PublishTime time.Time
	Attributes  map[string]string
	Data        []byte
}

// A DeadLetterQueue is the dead-letter subscription, and the topics that its
// messages came from.
type DeadLetterQueue interface {
	// Pull returns at most max messages and hides them from other subscribers
	// for a while; fewer or none if there are no more.
	Pull(ctx context.Context, max int) ([]Pulled, error)
	// Return makes pulled messages available again.
	Return(ctx context.Context, ackIDs []string) error
	// FromRequests reports whether a subscription is one of the request topic.
	FromRequests(ctx context.Context, subscription string) (bool, error)
	// Send publishes to the request topic and returns the new message's id after
	// the server's confirmation.
	Send(ctx context.Context, data []byte, attributes map[string]string) (string, error)
	// Ack deletes a pulled message.
	Ack(ctx context.Context, ackID string) error
}

// A DeadLetter is a message whose every delivery failed. Its content is not
// shown.
type DeadLetter struct {
	ID       string        `json:"id"`
	Source   string        `json:"source,omitempty"` // id of the subscription that gave up
	Attempts int           `json:"attempts,omitempty"`
	Sent     time.Time     `json:"sent"` // when it was first published
	Age      time.Duration `json:"-"`
	Bytes    int           `json:"bytes"`
	// What is "request" or "cancel", with the request's id if it has one, or
	// says that the message cannot be read.
	What      string `json:"what"`
	RequestID string `json:"requestId,omitempty"`
	// NewID is the id of the message that replaced it.
	NewID string `json:"newId,omitempty"`
	Note  string `json:"note,omitempty"`
	Left  string `json:"left,omitempty"` // why it is not published again

	pulled     Pulled
	attributes map[string]string // the original's
}

// Open decodes a pulled message.
func Open(p Pulled, now time.Time) DeadLetter {
	d := DeadLetter{ID: p.ID, Sent: p.PublishTime, Bytes: len(p.Data), pulled: p, attributes: map[string]string{}}
	for key, value := range p.Attributes {
		if !strings.HasPrefix(key, deadPrefix) {
			d.attributes[key] = value
		}
	}
	d.Source = p.Attributes[deadPrefix+"DeadLetterSourceSubscription"]
	d.Attempts, _ = strconv.Atoi(p.Attributes[deadPrefix+"DeadLetterSourceDeliveryCount"])
	if t, err := time.Parse(time.RFC3339Nano, p.Attributes[deadPrefix+"DeadLetterSourceTopicPublishTime"]); err == nil {
		d.Sent = t
	}
	d.Age = now.Sub(d.Sent)
	m, err := message.Decode(message.Delivery{ID: cmp.Or(p.ID, "unknown"), Attributes: d.attributes, Data: p.Data})
	switch {
	case err != nil:
		d.What = "unreadable"
		d.Note = "the answer to the new message will say what is wrong with it"
		if refusal := (*message.Refusal)(nil); errors.As(err, &refusal) {
			d.RequestID = refusal.ClaimedID
		}
	case m.Cancel != nil:
		d.What, d.RequestID = "cancel", cmp.Or(m.Cancel.RequestID, m.Cancel.MessageID)
	default:
		d.What, d.RequestID = "request", m.Request.RequestID
		if d.RequestID == "" {
			d.Note = "it has no request id, so the new message's id becomes that of the request"
		}
	}
	return d
}

// DeadLetters lists dead letters, at most most. Without DryRun it publishes
// each to the request topic again, unchanged, and then removes it. A crash in
// between publishes one twice, which a request id makes harmless. It publishes
// only those with an id in only, if only is not empty, and only those that a
// subscription of the request topic gave up, because a dead tick is not a
// request. The others are returned to the subscription, as are all in a dry
// run.
func (k Kit) DeadLetters(ctx context.Context, box DeadLetterQueue, now time.Time, most int, only []string) (events []DeadLetter, err error) {
	var back []string
	defer func() {
		if len(back) > 0 {
			err = errors.Join(err, box.Return(context.WithoutCancel(ctx), back))
		}
	}()
	seen := map[string]bool{}
	for len(events) < most {
		pulled, err := box.Pull(ctx, most-len(events))
		if err != nil {
			return events, fmt.Errorf("pull dead letters: %w", err)
		}
		fresh := false
		for _, p := range pulled {
			back = append(back, p.AckID)
			if seen[p.ID] {
				continue
			}
			seen[p.ID], fresh = true, true
			events = append(events, Open(p, now))
		}
		if !fresh {
			break
		}
	}
	for i := range events {
		d := &events[i]
		if len(only) > 0 && !slices.Contains(only, d.ID) {
			d.Left = "not among the named ones"
			continue
		}
		if d.Source == "" && len(only) == 0 {
			d.Left = "it does not say which subscription gave it up; name it to publish it nevertheless"
			continue
		}
		if err := k.publishAgain(ctx, box, d); err != nil {
			return events, err
		}
		if d.NewID != "" {
			back = slices.DeleteFunc(back, func(id string) bool { return id == d.pulled.AckID })
		}
	}
	for _, id := range only {
		if !seen[id] {
			return events, fmt.Errorf("dead letter %s: it is not among the %d that could be pulled", id, len(events))
		}
	}
	return events, nil
}

// Bounds of a replay: as many as can be published before the pulled ones are
// delivered again, and as many as one list shows.
const (
	replayAtOnce = 100
	replayListed = 10_000
)

// Replay is DeadLetters for all dead letters: without DryRun it repeats until
// none is left to publish. A second call finds none of those that the first has
// published.
func (k Kit) Replay(ctx context.Context, box DeadLetterQueue, clock func() time.Time) ([]DeadLetter, error) {
	if k.DryRun {
		return k.DeadLetters(ctx, box, clock(), replayListed, nil)
	}
	var all []DeadLetter
	listed := map[string]bool{}
	for {
		events, err := k.DeadLetters(ctx, box, clock(), replayAtOnce, nil)
		sent := 0
		for _, d := range events {
			if d.NewID != "" {
				sent++
			}
			if !listed[d.ID] {
				all = append(all, d)
			}
			listed[d.ID] = true
		}
		if err != nil || sent == 0 {
			return all, err
		}
	}
}

func (k Kit) publishAgain(ctx context.Context, box DeadLetterQueue, d *DeadLetter) error {
	if d.Source != "" {
		ours, err := box.FromRequests(ctx, d.Source)
		switch {
		case err != nil:
			return fmt.Errorf("find the topic of subscription %s, which gave up dead letter %s: %w", d.Source, d.ID, err)
		case !ours:
			d.Left = "subscription " + d.Source + " is not one of the request topic"
			return nil
		}
	}
	if k.DryRun {
		return nil
	}
	id, err := box.Send(ctx, d.pulled.Data, d.attributes)
	if err != nil {
		return fmt.Errorf("publish dead letter %s again: %w", d.ID, err)
	}
	d.NewID = id
	if err := box.Ack(ctx, d.pulled.AckID); err != nil {
		return fmt.Errorf("remove dead letter %s, which was published again as %s: %w", d.ID, id, err)
	}
	return nil
}
