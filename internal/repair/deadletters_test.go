package repair_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/repair"
)

// A box is a dead-letter subscription in memory.
type box struct {
	kept    []repair.Pulled
	pulled  map[string]bool
	sent    []map[string]string
	data    []string
	noAck   bool
	refuses bool
}

func (b *box) Pull(_ context.Context, most int) ([]repair.Pulled, error) {
	var out []repair.Pulled
	for _, p := range b.kept {
		if !b.pulled[p.AckID] && len(out) < min(most, 2) { // Pub/Sub may return fewer than asked for
			b.pulled[p.AckID] = true
			out = append(out, p)
		}
	}
	return out, nil
}

func (b *box) Return(_ context.Context, ackIDs []string) error {
	for _, id := range ackIDs {
		delete(b.pulled, id)
	}
	return nil
}

func (b *box) FromRequests(_ context.Context, sub string) (bool, error) {
	return strings.Contains(sub, "admit"), nil
}

func (b *box) Send(_ context.Context, data []byte, attributes map[string]string) (string, error) {
	if b.refuses {
		return "", errors.New("refused")
	}
	b.data, b.sent = append(b.data, string(data)), append(b.sent, attributes)
	return fmt.Sprintf("new-%d", len(b.sent)), nil
}

func (b *box) Ack(_ context.Context, ackID string) error {
	if b.noAck {
		return errors.New("lost")
	}
	delete(b.pulled, ackID)
	b.kept = slices.DeleteFunc(b.kept, func(p repair.Pulled) bool { return p.AckID == ackID })
	return nil
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func parcel(id, source, data string) repair.Pulled {
	return repair.Pulled{ID: id, AckID: "ack-" + id, PublishTime: noon.Add(-time.Minute), Data: []byte(data), Attributes: map[string]string{
		"team": "vision", "CloudPubSubDeadLetterSourceSubscription": source, "CloudPubSubDeadLetterSourceDeliveryCount": "20",
		"CloudPubSubDeadLetterSourceTopicPublishTime": "2026-03-01T11:00:00.000Z", "CloudPubSubDeadLetterSourceSubscriptionProject": "p",
	}}
}

const jobText = `{"displayName":"train","jobSpec":{"workerPoolSpecs":[{"machineSpec":{"machineType":"n1-standard-4"},"replicaCount":1,"containerSpec":{"imageUri":"gcr.io/p/image"}}]}}`

func newBox() *box {
	return &box{pulled: map[string]bool{}, kept: []repair.Pulled{
		parcel("1", "berth-admit", `{"requestId":"mine","job":`+jobText+`}`),
		parcel("2", "berth-admit", jobText),
		parcel("3", "berth-reconcile", `tick`),
		parcel("4", "berth-admit", `not a request`),
		{ID: "5", AckID: "ack-5", Data: []byte(jobText)},
	}}
}

func TestDeadLetters(t *testing.T) {
	b := newBox()
	events, err := repair.Kit{DryRun: true}.DeadLetters(t.Context(), b, noon, 100, nil)
	if err != nil || len(events) != 5 || len(b.sent) != 0 || len(b.pulled) != 0 || len(b.kept) != 5 {
		t.Fatalf("dry run: %+v, %v; box %+v", events, err, b)
	}
	if l := events[0]; l.Source != "berth-admit" || l.Attempts != 20 || l.Age != time.Hour || l.What != "request" || l.RequestID != "mine" || l.Note != "" || l.Left != "" {
		t.Errorf("a request: %+v", l)
	}
	if l := events[1]; l.RequestID != "" || !strings.Contains(l.Note, "new message's id becomes that of the request") {
		t.Errorf("a request without an id: %+v", l)
	}
	if l := events[2]; !strings.Contains(l.Left, "berth-reconcile") {
		t.Errorf("a tick: %+v", l)
	}
	if l := events[3]; l.What != "unreadable" || l.Left != "" {
		t.Errorf("nonsense: %+v", l)
	}
	if l := events[4]; l.Left == "" {
		t.Errorf("one of unknown origin: %+v", l)
	}
	events, err = repair.Kit{}.DeadLetters(t.Context(), b, noon, 100, nil)
	if err != nil || events[0].NewID != "new-1" || events[1].NewID != "new-2" || events[3].NewID != "new-3" {
		t.Fatalf("dead letters %+v, %v", events, err)
	}
	if len(b.kept) != 2 || len(b.pulled) != 0 {
		t.Errorf("the subscription has %+v, of which %v are hidden", b.kept, b.pulled)
	}
	if b.data[1] != jobText || len(b.sent[0]) != 1 || b.sent[0]["team"] != "vision" {
		t.Errorf("sent %q with %v", b.data, b.sent)
	}
	events, err = repair.Kit{}.DeadLetters(t.Context(), b, noon, 100, []string{"5"})
	if err != nil || len(events) != 2 || events[0].Left == "" || events[1].NewID == "" || len(b.kept) != 1 {
		t.Errorf("by name: %+v, %v", events, err)
	}
	if _, err = (repair.Kit{}).DeadLetters(t.Context(), b, noon, 100, []string{"9"}); err == nil {
		t.Error("no error for a dead letter that is not there")
	}
}

// TestDeadLettersThatFail: no failure loses a dead letter. An unpublished one stays,
// and so does a published one that could not be removed.
func TestDeadLettersThatFail(t *testing.T) {
	b := newBox()
	b.refuses = true
	if _, err := (repair.Kit{}).DeadLetters(t.Context(), b, noon, 100, nil); err == nil || len(b.kept) != 5 || len(b.pulled) != 0 {
		t.Errorf("a refused publication: %v, box %+v", err, b)
	}
	b = newBox()
	b.noAck = true
	events, err := repair.Kit{}.DeadLetters(t.Context(), b, noon, 100, nil)
	if err == nil || !strings.Contains(err.Error(), "published again as new-1") || len(b.kept) != 5 || events[0].NewID != "new-1" {
		t.Errorf("a lost ack: %+v, %v", events, err)
	}
}

// TestReplayOfAll: one call publishes every dead letter once; a second call finds
// none left.
func TestReplayOfAll(t *testing.T) {
	const n = 345
	b := &box{pulled: map[string]bool{}}
	for i := range n {
		b.kept = append(b.kept, parcel(fmt.Sprint(i), "berth-admit", fmt.Sprintf(`{"requestId":"r%d","job":%s}`, i, jobText)))
	}
	b.kept = append(b.kept, parcel("tick", "berth-reconcile", "tick"))
	clock := func() time.Time { return noon }
	events, err := repair.Kit{DryRun: true}.Replay(t.Context(), b, clock)
	if err != nil || len(events) != n+1 || len(b.sent) != 0 || len(b.kept) != n+1 || len(b.pulled) != 0 {
		t.Fatalf("dry run: %d dead letters, %v; %d sent, %d left", len(events), err, len(b.sent), len(b.kept))
	}
	events, err = repair.Kit{}.Replay(t.Context(), b, clock)
	if err != nil || len(events) != n+1 || len(b.sent) != n || len(b.kept) != 1 || len(b.pulled) != 0 {
		t.Fatalf("%d dead letters, %v; %d sent, %d left", len(events), err, len(b.sent), len(b.kept))
	}
	seen := map[string]bool{}
	for _, data := range b.data {
		seen[data] = true
	}
	if len(seen) != n {
		t.Errorf("%d different requests were sent, want %d", len(seen), n)
	}
	events, err = repair.Kit{}.Replay(t.Context(), b, clock)
	if err != nil || len(events) != 1 || events[0].Left == "" || len(b.sent) != n {
		t.Errorf("once more: %+v, %v; %d sent", events, err, len(b.sent))
	}
}
