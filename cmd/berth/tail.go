package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/statuspage"
)

type tailCmd struct {
	Prefix       string        `arg:"" optional:"" help:"Only events of requests whose id begins like this."`
	State        []string      `placeholder:"STATE" known:"states" help:"Only events with these states, such as FAILED,REJECTED."`
	Type         []string      `placeholder:"TYPE" known:"events" help:"Only events of these types, such as submitted,queued."`
	Resource     string        `placeholder:"ID" help:"Only events about this persistent resource."`
	Count        int           `placeholder:"N" help:"End after this many events; 0 for never."`
	For          time.Duration `placeholder:"DURATION" help:"End after this long; 0 for never."`
	OutcomeTopic string        `env:"BERTH_OUTCOME_TOPIC" default:"berth-outcomes" placeholder:"ID" help:"Topic of the events: id or full name, by default ${default}."`
	Subscription string        `placeholder:"ID" help:"Pull from this subscription, which takes its events from others; by default from one of its own, which is deleted at the end."`
}

// Help is shown below the flags.
func (tailCmd) Help() string {
	return `Prints the events of requests as they are published, from now on. It needs the right to subscribe to the topic of events (roles/pubsub.editor on the project), or --subscription. ` +
		`A subscription of its own that it could not delete expires after a day.

With --json an event is a line: its attributes and its data.`
}

// A tailed event is what tail prints with --json.
type tailed struct {
	Attributes map[string]string `json:"attributes"`
	Data       json.RawMessage   `json:"data"`
}

func (c *tailCmd) Run(g *globals) error {
	if c.Count < 0 || c.For < 0 {
		return usage("--count %d, --for %s: want 0 or more", c.Count, c.For)
	}
	if err := c.check(); err != nil {
		return err
	}
	if err := g.writable(); err != nil {
		return err
	}
	var opts []option.ClientOption
	if g.pubsub != "" {
		opts = insecureAt(g.pubsub)
	}
	client, err := pubsub.NewSubscriptionAdminClient(g.ctx, opts...)
	if err != nil {
		return fmt.Errorf("connect to Pub/Sub of %s: %w", &g.target, err)
	}
	defer client.Close() //nolint:errcheck // every call has returned
	name, remove, err := c.subscribe(g, client)
	if err != nil {
		return err
	}
	return errors.Join(c.pull(g, client, name), remove())
}

// check refuses filters that no event can pass, for which tail would wait in vain.
func (c *tailCmd) check() error {
	for _, f := range []struct {
		flag         string
		given, known []string
	}{{"state", c.State, ledger.Statuses()}, {"type", c.Type, eventWords()}} {
		for _, value := range f.given {
			if !slices.ContainsFunc(f.known, func(s string) bool { return strings.EqualFold(s, value) }) {
				return usage("--%s %s: want some of %s", f.flag, value, strings.Join(f.known, ", "))
			}
		}
	}
	return nil
}

// lastsFor is when Pub/Sub deletes a subscription that nothing is pulled from, the shortest
// that it allows, and keepsFor how long it keeps events that are not pulled.
const (
	lastsFor = 24 * time.Hour
	keepsFor = 10 * time.Minute
)

// subscribe returns the full name of the subscription to pull from, and what removes it.
func (c *tailCmd) subscribe(g *globals, client *pubsub.SubscriptionAdminClient) (string, func() error, error) {
	if c.Subscription != "" {
		return fullName(g.Project, "subscriptions", c.Subscription), func() error { return nil }, nil
	}
	topic := fullName(g.Project, "topics", c.OutcomeTopic)
	name := fullName(g.Project, "subscriptions", fmt.Sprintf("%s-tail-%s", short(topic), strings.ToLower(rand.Text()[:8])))
	ctx, cancel := context.WithTimeout(g.ctx, g.Timeout)
	defer cancel()
	_, err := client.CreateSubscription(ctx, &pubsubpb.Subscription{Name: name, Topic: topic, AckDeadlineSeconds: 10,
		ExpirationPolicy: &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(lastsFor)}, MessageRetentionDuration: durationpb.New(keepsFor)})
	switch {
	case status.Code(err) == codes.PermissionDenied:
		return "", nil, fmt.Errorf("subscribe to %s: the caller needs roles/pubsub.editor, or --subscription with one that exists: %w", topic, err)
	case err != nil:
		return "", nil, fmt.Errorf("subscribe to %s: %w", topic, err)
	}
	say(g.err, "Waiting for events of %s; Ctrl-C ends it.", topic)
	return name, func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(g.ctx), g.Timeout)
		defer cancel()
		if err := client.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: name}); err != nil {
			return fmt.Errorf("delete subscription %s, which expires in a day: %w", name, err)
		}
		return nil
	}, nil
}

// fullName is that of a topic or a subscription that is given by its id or its full name.
func fullName(project, kind, id string) string {
	if strings.Contains(id, "/") {
		return id
	}
	return "projects/" + project + "/" + kind + "/" + id
}

// seenEvents is how many events are remembered to drop second deliveries.
const seenEvents = 10_000

// pull prints events until the user, the time or the count ends it.
func (c *tailCmd) pull(g *globals, client *pubsub.SubscriptionAdminClient, name string) error {
	ctx := g.ctx
	if c.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.For)
		defer cancel()
	}
	seen := map[string]bool{}
	failures := 0
	for shown := 0; ; {
		resp, err := client.Pull(ctx, &pubsubpb.PullRequest{Subscription: name, MaxMessages: 100})
		switch {
		case ctx.Err() != nil:
			return nil // it ends as it was meant to
		case status.Code(err) == codes.DeadlineExceeded:
			continue // Pub/Sub ends a pull that has found nothing for a while
		case status.Code(err) == codes.Unavailable && failures < maxFailures:
			if failures++; failures == 1 {
				say(g.err, "Asking again: %v", err)
			}
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			continue
		case err != nil:
			return fmt.Errorf("pull from %s: %w", name, err)
		}
		failures = 0
		var acks []string
		for _, m := range resp.GetReceivedMessages() {
			acks = append(acks, m.GetAckId())
			id := m.GetMessage().GetAttributes()["ce-id"]
			if seen[id] || !c.wants(g.Tenant, m.GetMessage().GetAttributes()) || c.Count > 0 && shown == c.Count {
				continue
			}
			if len(seen) == seenEvents {
				clear(seen)
			}
			seen[id] = true
			shown++
			if err := printEvent(g, m.GetMessage()); err != nil {
				return err
			}
		}
		if len(acks) > 0 {
			if err := client.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: name, AckIds: acks}); err != nil && ctx.Err() == nil {
				return fmt.Errorf("acknowledge events of %s: %w", name, err)
			}
		}
		if c.Count > 0 && shown == c.Count {
			return nil
		}
	}
}

// wants reports whether an event passes the filters.
func (c *tailCmd) wants(tenant string, a map[string]string) bool {
	fits := func(list []string, value string) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, value) })
	}
	return strings.HasPrefix(a["ce-subject"], c.Prefix) && (tenant == "" || tenant == a["ce-tenant"]) && fits(c.State, a["ce-state"]) && fits(c.Type, word(message.Type(a["ce-type"]))) &&
		(c.Resource == "" || short(c.Resource) == a["ce-persistentresource"])
}

// printEvent prints an event. One whose data is of no known form has its attributes alone.
func printEvent(g *globals, m *pubsubpb.PubsubMessage) error {
	a := m.GetAttributes()
	if g.JSON {
		e := tailed{Attributes: a, Data: m.GetData()}
		if !json.Valid(e.Data) {
			e.Data = json.RawMessage("null")
		}
		return printJSON(g.out, e)
	}
	e := statuspage.Event{Type: message.Type(a["ce-type"])}
	if json.Unmarshal(m.GetData(), &e.Outcome) != nil {
		e.Outcome = message.Outcome{}
	}
	at := a["ce-time"]
	if t, err := time.Parse(time.RFC3339Nano, at); err == nil {
		at = t.Local().Format("15:04:05 MST")
	}
	say(g.out, "%s", strings.TrimRight(fmt.Sprintf("%s  %-10s  %s  %s", at, word(e.Type), a["ce-subject"], strings.TrimSpace(detail(e))), " "))
	return nil
}
