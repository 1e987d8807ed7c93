package main

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"

	"example.com/berth/internal/message"
)

// An outcomeBroker is a Pub/Sub with a topic of events.
type outcomeBroker struct {
	*testing.T
	srv    *pstest.Server
	client *pubsub.Client
}

const tailTopic = "projects/" + project + "/topics/berth-outcomes"

func newOutcomeBroker(t *testing.T) *outcomeBroker {
	t.Helper()
	srv := pstest.NewServer()
	t.Cleanup(func() { _ = srv.Close() })
	client, err := pubsub.NewClient(t.Context(), project, insecureAt(srv.Addr)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if _, err := client.TopicAdminClient.CreateTopic(t.Context(), &pubsubpb.Topic{Name: tailTopic}); err != nil {
		t.Fatal(err)
	}
	return &outcomeBroker{t, srv, client}
}

// subscriptions are those of the topic.
func (b *outcomeBroker) subscriptions() (names []string) {
	for name, err := range b.client.TopicAdminClient.ListTopicSubscriptions(b.Context(), &pubsubpb.ListTopicSubscriptionsRequest{Topic: tailTopic}).All() {
		if err != nil {
			b.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

// tail runs the command, publishes once its subscription is there, and returns what it wrote.
func (b *outcomeBroker) tail(c tailCmd, tenant string, asJSON bool, publish ...*pubsubpb.PubsubMessage) (out, errs string, err error) {
	b.Helper()
	var o, e bytes.Buffer
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	g := &globals{ctx: ctx, out: &o, err: &e, JSON: asJSON, target: target{Project: project, Timeout: 10 * time.Second, Tenant: tenant, pubsub: b.srv.Addr}}
	c.OutcomeTopic = "berth-outcomes"
	done := make(chan error, 1)
	go func() { done <- c.Run(g) }()
	for len(b.subscriptions()) == 0 {
		select {
		case err := <-done:
			return o.String(), e.String(), err
		default:
			runtime.Gosched()
		}
	}
	if _, err := b.client.TopicAdminClient.Publish(b.Context(), &pubsubpb.PublishRequest{Topic: tailTopic, Messages: publish}); err != nil {
		b.Fatal(err)
	}
	err = <-done
	return o.String(), e.String(), err
}

func event(n int, tenant, id, kind, state, data string) *pubsubpb.PubsubMessage {
	return &pubsubpb.PubsubMessage{Data: []byte(data), Attributes: map[string]string{"ce-id": fmt.Sprint("e", n), "ce-type": "berth.request." + kind + ".v1", "ce-time": "2026-03-01T10:00:00Z",
		"ce-subject": id, "ce-tenant": tenant, "ce-state": state, "ce-persistentresource": "pool"}}
}

func TestTail(t *testing.T) {
	t.Setenv("TZ", "UTC")
	b := newOutcomeBroker(t)
	some := []*pubsubpb.PubsubMessage{
		event(1, "default", "nightly-1", "queued", "WAITING", `{"reason":{"code":"FULL","detail":"All are in use."}}`),
		event(2, "default", "other", "failed", "FAILED", `{}`),
		event(1, "default", "nightly-1", "queued", "WAITING", `{}`), // again
		event(3, "vision", "nightly-2", "submitted", "SUBMITTED", `{"job":"projects/p/locations/l/customJobs/7"}`),
		event(4, "default", "nightly-\x1b[31m", "failed", "FAILED", `not JSON`),
	}
	for name, test := range map[string]struct {
		c      tailCmd
		tenant string
		want   []string // ids, as they are printed
	}{
		"all":      {tailCmd{Count: 4}, "", []string{"nightly-1", "other", "nightly-2", `nightly-\x1b[31m`}},
		"prefix":   {tailCmd{Prefix: "nightly", Count: 3}, "", []string{"nightly-1", "nightly-2", `nightly-\x1b[31m`}},
		"state":    {tailCmd{State: []string{"failed"}, Count: 2}, "", []string{"other", `nightly-\x1b[31m`}},
		"type":     {tailCmd{Type: []string{"submitted", "queued"}, Count: 2}, "", []string{"nightly-1", "nightly-2"}},
		"tenant":   {tailCmd{Count: 1}, "vision", []string{"nightly-2"}},
		"resource": {tailCmd{Resource: "projects/p/locations/l/persistentResources/pool", Count: 4}, "", []string{"nightly-1", "other", "nightly-2", `nightly-\x1b[31m`}},
		"count":    {tailCmd{State: []string{"submitted", "waiting"}, Prefix: "nightly-1", Count: 1}, "", []string{"nightly-1"}},
	} {
		out, errs, err := b.tail(test.c, test.tenant, false, some...)
		var got []string
		for line := range strings.Lines(out) {
			if fields := strings.Fields(line); len(fields) >= 4 {
				got = append(got, fields[3])
			}
		}
		slices.Sort(got) // Pub/Sub delivers in any order
		slices.Sort(test.want)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: %v\n%swant %v", name, err, out, test.want)
		}
		if left := b.subscriptions(); len(left) > 0 || !strings.HasPrefix(errs, "Waiting for events of "+tailTopic) {
			t.Errorf("%s: it left %v\n%s", name, left, errs)
		}
	}
	out, _, err := b.tail(tailCmd{Count: 1}, "", false, some[0])
	if want := "10:00:00 UTC  queued      nightly-1  FULL: All are in use.\n"; err != nil || out != want {
		t.Errorf("%v\n%q, want\n%q", err, out, want)
	}
	out, _, err = b.tail(tailCmd{Count: 2}, "", true, some[3], some[4])
	if err != nil || strings.Count(out, "\n") != 2 || !strings.Contains(out, `"data":{"job":"projects/p/locations/l/customJobs/7"}`) || !strings.Contains(out, `"data":null`) || !strings.Contains(out, `"ce-tenant":"vision"`) {
		t.Errorf("%v\n%s", err, out)
	}
}

// A tail ends after its time, and leaves a subscription that is not its own alone.
func TestTailEnds(t *testing.T) {
	b := newOutcomeBroker(t)
	out, _, err := b.tail(tailCmd{For: 200 * time.Millisecond}, "", false)
	if err != nil || out != "" || len(b.subscriptions()) > 0 {
		t.Errorf("%v, %q, %v", err, out, b.subscriptions())
	}
	const own = "projects/" + project + "/subscriptions/mine"
	if _, err := b.client.SubscriptionAdminClient.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: own, Topic: tailTopic}); err != nil {
		t.Fatal(err)
	}
	out, errs, err := b.tail(tailCmd{Subscription: "mine", Count: 1}, "", false, event(1, "default", "a", "queued", "WAITING", "{}"))
	if err != nil || !strings.Contains(out, "  a") || errs != "" || fmt.Sprint(b.subscriptions()) != "["+own+"]" {
		t.Errorf("%v, %q, %q, %v", err, out, errs, b.subscriptions())
	}
	if _, _, err := b.tail(tailCmd{Subscription: "none", Count: 1}, "", false); err == nil || !strings.Contains(err.Error(), "subscriptions/none") {
		t.Error(err)
	}
	if _, _, err := b.tail(tailCmd{Count: -1}, "", false); err == nil {
		t.Error("a negative count is taken")
	}
	if word(message.Type("berth.request.queued.v1")) != "queued" {
		t.Error("the word of a type")
	}
}
