package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/repair"
)

// Names of the checks of Pub/Sub.
const (
	checkTopics = "topics"
	checkSubs   = "subscriptions"
	checkDead   = "dead-letters"
)

// mostDead is how many dead letters the doctor counts.
const mostDead = 100

// check checks topics and subscriptions. It finds subscriptions by their topic,
// not by name, because a deployment with tenants has several.
func (b *broker) check(ctx context.Context, now time.Time) []repair.Finding {
	var found []repair.Finding
	subs := map[string][]*pubsubpb.Subscription{}
	missing := 0
	topics := []string{b.requestTopic, b.operatorTopic(), b.tickTopic(), b.topic(b.outcomes()), b.deadTopic()}
	for _, topic := range topics {
		list, err := b.subscriptionsOf(ctx, topic)
		switch {
		case status.Code(err) == codes.NotFound && topic == b.operatorTopic(): // then there are no operators
		case status.Code(err) == codes.NotFound:
			missing++
			found = append(found, repair.Finding{Check: checkTopics, Level: repair.Fail, Text: "there is no topic " + topic,
				Means: "Nothing can be published to it.", Do: "Run deploy/deploy.sh again, or give --topic and --prefix as they were deployed."})
		case err != nil:
			missing++
			found = append(found, repair.Unchecked(checkTopics, err, "Check that the caller may get topics and subscriptions (roles/pubsub.viewer)."))
		default:
			subs[topic] = list
		}
	}
	if missing == 0 {
		found = append(found, repair.Finding{Check: checkTopics, Level: repair.OK, Text: "requests, ticks, outcomes and dead letters each have their topic"})
	}
	before := len(found)
	for _, topic := range topics {
		if list, known := subs[topic]; known {
			found = append(found, b.plumbing(topic, list)...)
		}
	}
	if len(found) == before && missing == 0 {
		found = append(found, repair.Finding{Check: checkSubs, Level: repair.OK, Text: fmt.Sprintf("%s and %s push, %s; none expires",
			reason.Count(len(subs[b.requestTopic]), "subscription of requests"), reason.Count(len(subs[b.tickTopic()]), "of ticks"), "dead letters are kept")})
	}
	if _, known := subs[b.deadTopic()]; known {
		found = append(found, b.backlog(ctx, now))
	}
	return found
}

// subscriptionsOf returns the subscriptions of a topic, and an error if there is no such
// topic.
func (b *broker) subscriptionsOf(ctx context.Context, topic string) ([]*pubsubpb.Subscription, error) {
	call, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	if _, err := b.topics.GetTopic(call, &pubsubpb.GetTopicRequest{Topic: topic}); err != nil {
		return nil, err
	}
	return b.subscriptions(ctx, topic)
}

// plumbing checks the subscriptions of one topic.
func (b *broker) plumbing(topic string, subs []*pubsubpb.Subscription) (found []repair.Finding) {
	bad := func(level repair.Level, text, means string) {
		found = append(found, repair.Finding{Check: checkSubs, Level: level, Text: text, Means: means,
			Do: "Run deploy/deploy.sh again: it corrects every subscription."})
	}
	pushes := 0
	for _, s := range subs {
		name := "subscription " + short(s.GetName())
		push := s.GetPushConfig()
		if push.GetPushEndpoint() != "" {
			pushes++
		}
		if e := s.GetExpirationPolicy(); topic != b.topic(b.outcomes()) && (e == nil && !b.emulated || e.GetTtl().AsDuration() > 0) {
			bad(repair.Fail, name+" expires when it is quiet", "Pub/Sub deletes it after that many days without a message, and later messages are lost.")
		}
		if s.GetDetached() {
			bad(repair.Fail, name+" is detached from its topic", "It receives no messages.")
		}
		if !b.pushed(topic) {
			continue
		}
		if push.GetPushEndpoint() == "" {
			bad(repair.Warn, name+" is on a topic of Berth's and does not push", "A subscriber that pulls from it gets a copy of every message; Berth does not use it.")
			found[len(found)-1].Do = "If nothing else uses it: gcloud pubsub subscriptions delete " + short(s.GetName())
			continue
		}
		if push.GetNoWrapper() != nil {
			bad(repair.Fail, name+" pushes without the wrapper", "Message ids are missing in the body, so every delivery is refused.")
		}
		if !b.emulated && (!strings.HasPrefix(push.GetPushEndpoint(), "https://") || push.GetOidcToken() == nil) {
			bad(repair.Fail, name+" pushes without an identity", "The functions refuse calls without one.")
		}
		if d := time.Duration(s.GetAckDeadlineSeconds()) * time.Second; d < b.functionTimeout {
			bad(repair.Fail, fmt.Sprintf("%s has an acknowledgement deadline of %s; the functions may take %s", name, d, b.functionTimeout),
				"Pub/Sub delivers a message again while a function still handles its first delivery.")
		}
		if !b.answered(topic) {
			continue
		}
		switch policy := s.GetDeadLetterPolicy(); {
		case policy == nil:
			bad(repair.Fail, name+" has no dead-letter policy", "A message that always fails is delivered until its retention ends, and is then lost without a report.")
		case policy.GetDeadLetterTopic() != b.deadTopic():
			bad(repair.Fail, fmt.Sprintf("%s sends dead letters to %s, not to %s", name, policy.GetDeadLetterTopic(), b.deadTopic()), "Neither doctor nor repair finds them there.")
		}
	}
	switch {
	case b.pushed(topic) && pushes == 0:
		bad(repair.Fail, "topic "+short(topic)+" has no subscription that pushes", "What is published to it reaches no function.")
	case topic == b.deadTopic() && len(subs) == pushes:
		bad(repair.Fail, "topic "+short(topic)+" has no subscription to pull from", "Dead letters are lost.")
	case topic == b.topic(b.outcomes()) && len(subs) == 0:
		found = append(found, repair.Finding{Check: checkSubs, Level: repair.Warn, Text: "topic " + short(topic) + " has no subscription",
			Means: "Pub/Sub drops the outcome events that are published now.", Do: "Create one for the reader of the events: gcloud pubsub subscriptions create."})
	}
	return found
}

// backlog counts the dead letters and returns them to their subscription.
func (b *broker) backlog(ctx context.Context, now time.Time) repair.Finding {
	events, err := repair.Kit{DryRun: true}.DeadLetters(ctx, b, now, mostDead, nil)
	if err != nil {
		return repair.Unchecked(checkDead, err, "Check that the caller may pull from it (roles/pubsub.subscriber).")
	}
	if len(events) == 0 {
		return repair.Finding{Check: checkDead, Level: repair.OK, Text: "there are none"}
	}
	var oldest time.Duration
	lost := 0
	for _, l := range events {
		oldest = max(oldest, l.Age)
		if l.Left == "" {
			lost++
		}
	}
	count := reason.Count(len(events), "dead letter")
	if len(events) == mostDead {
		count = fmt.Sprintf("%d dead letters or more", mostDead)
	}
	text := fmt.Sprintf("%s, the oldest published %s ago", count, span(oldest))
	if lost == 0 {
		return repair.Finding{Check: checkDead, Level: repair.Warn, Text: text, Means: "None is known to be a request. A dead tick needs no repair.",
			Do: "berth repair dead-letters lists them. To delete them: gcloud pubsub subscriptions pull --auto-ack " + short(b.dead)}
	}
	return repair.Finding{Check: checkDead, Level: repair.Fail, Text: text,
		Means: "Each is a message without an answer; its publisher still waits.",
		Do:    "The log of Admit says why they failed. After the fix: berth repair dead-letters"}
}
