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

// A Parcel is a message as it lies in the dead-letter subscription.
type Parcel struct {
	ID, AckID   string
	PublishTime time.Time
	Attributes  map[string]string
	Data        []byte
}

// A Mailbox is the dead-letter subscription, and the topics that its letters came
// from.
type Mailbox interface {
	// Pull returns messages and keeps others from pulling them for a while; at most
	// max, fewer or none when there are no more.
	Pull(ctx context.Context, max int) ([]Parcel, error)
	// Return makes pulled messages available again.
	Return(ctx context.Context, ackIDs []string) error
	// FromRequests says whether a subscription is one of the request topic.
	FromRequests(ctx context.Context, subscription string) (bool, error)
	// Send publishes to the request topic and returns the new message's id once the
	// server has it.
	Send(ctx context.Context, data []byte, attributes map[string]string) (string, error)
	// Ack removes a pulled message for good.
	Ack(ctx context.Context, ackID string) error
}

// A DeadLetter is a message that was delivered in vain. Its content is not
// shown.
type DeadLetter struct {
	ID       string        `json:"id"`
	Source   string        `json:"source,omitempty"` // id of the subscription that gave up
	Attempts int           `json:"attempts,omitempty"`
	Sent     time.Time     `json:"sent"` // when it was first published
	Age      time.Duration `json:"-"`
	Bytes    int           `json:"bytes"`
	// What it is: a request or cancel, with the request's id if it has one, or
	// something that cannot be read.
	What      string `json:"what"`
	RequestID string `json:"requestId,omitempty"`
	// NewID is the id of the message that took its place.
	NewID string `json:"newId,omitempty"`
	Note  string `json:"note,omitempty"`
	Left  string `json:"left,omitempty"` // why it is not sent again

	parcel     Parcel
	attributes map[string]string // the original's
}

// Open reads a parcel.
func Open(p Parcel, now time.Time) DeadLetter {
	d := DeadLetter{ID: p.ID, Sent: p.PublishTime, Bytes: len(p.Data), parcel: p, attributes: map[string]string{}}
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
		d.Note = "its answer will say what is wrong with it, under the new message's id"
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

// DeadLetters lists dead letters, at most max. With Do set, it publishes each to
// the request topic again, as it was, and then removes it; a crash in between
// sends one twice, which a request id makes harmless. Only those with an id in
// only, if there are any in it, and only those that a subscription of the request
// topic gave up are sent: a dead tick is no request. The others are returned to
// the subscription, as all are in a dry run.
func (k Kit) DeadLetters(ctx context.Context, box Mailbox, now time.Time, most int, only []string) (events []DeadLetter, err error) {
	var back []string
	defer func() {
		if len(back) > 0 {
			err = errors.Join(err, box.Return(context.WithoutCancel(ctx), back))
		}
	}()
	seen := map[string]bool{}
	for len(events) < most {
		parcels, err := box.Pull(ctx, most-len(events))
		if err != nil {
			return events, fmt.Errorf("pull dead letters: %w", err)
		}
		fresh := false
		for _, p := range parcels {
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
			d.Left = "not among those named"
			continue
		}
		if d.Source == "" && len(only) == 0 {
			d.Left = "it does not say which subscription gave it up; name it to send it all the same"
			continue
		}
		if err := k.publishAgain(ctx, box, d); err != nil {
			return events, err
		}
		if d.NewID != "" {
			back = slices.DeleteFunc(back, func(id string) bool { return id == d.parcel.AckID })
		}
	}
	for _, id := range only {
		if !seen[id] {
			return events, fmt.Errorf("dead letter %s: it is not among the %d that could be pulled", id, len(events))
		}
	}
	return events, nil
}

// Bounds of a replay: as many as are sent before the others' time in hand is over,
// and as many as one list shows.
const (
	replayAtOnce = 100
	replayListed = 10_000
)

// Replay is DeadLetters for all there are, however many: with Do set, round by round
// until nothing is left to send. A second call finds nothing of what the first has
// sent.
func (k Kit) Replay(ctx context.Context, box Mailbox, clock func() time.Time) ([]DeadLetter, error) {
	if !k.Do {
		return k.DeadLetters(ctx, box, clock(), replayListed, nil)
	}
	var all []DeadLetter
	told := map[string]bool{}
	for {
		events, err := k.DeadLetters(ctx, box, clock(), replayAtOnce, nil)
		sent := 0
		for _, d := range events {
			if d.NewID != "" {
				sent++
			}
			if !told[d.ID] {
				all = append(all, d)
			}
			told[d.ID] = true
		}
		if err != nil || sent == 0 {
			return all, err
		}
	}
}

func (k Kit) publishAgain(ctx context.Context, box Mailbox, d *DeadLetter) error {
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
	if !k.Do {
		return nil
	}
	id, err := box.Send(ctx, d.parcel.Data, d.attributes)
	if err != nil {
		return fmt.Errorf("publish dead letter %s again: %w", d.ID, err)
	}
	d.NewID = id
	if err := box.Ack(ctx, d.parcel.AckID); err != nil {
		return fmt.Errorf("remove dead letter %s, which was published again as %s: %w", d.ID, id, err)
	}
	return nil
}
