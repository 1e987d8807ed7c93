package localstack

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
)

// The body of a push, the same JSON as production sends.
type (
	pushBody struct {
		Message         pushMessage `json:"message"`
		Subscription    string      `json:"subscription"`
		DeliveryAttempt int         `json:"deliveryAttempt,omitempty"` // only with a dead-letter policy
	}
	pushMessage struct {
		Attributes  map[string]string `json:"attributes,omitempty"`
		Data        []byte            `json:"data,omitempty"`
		MessageID   string            `json:"messageId"`
		SameID      string            `json:"message_id"`
		OrderingKey string            `json:"orderingKey,omitempty"`
		PublishTime string            `json:"publishTime"`
		SameTime    string            `json:"publish_time"`
	}
)

// push makes one request, which has the ack deadline as its time limit. A nil
// error is an acknowledgement.
func (p *pump) push(ctx context.Context, sub *pb.Subscription, l lease, attempt int) error {
	published := l.msg.PublishTime.AsTime().UTC().Format("2006-01-02T15:04:05.000Z")
	body := pushBody{
		Message: pushMessage{
			Attributes: l.msg.Attributes, Data: l.msg.Data, OrderingKey: l.msg.OrderingKey,
			MessageID: l.id, SameID: l.id, PublishTime: published, SameTime: published,
		},
		Subscription: sub.Name,
	}
	if sub.DeadLetterPolicy != nil {
		body.DeliveryAttempt = attempt
	}
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	deadline := cmp.Or(time.Duration(sub.AckDeadlineSeconds)*time.Second, defaultAckDeadline)
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("no answer within the ack deadline of %v", deadline))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sub.PushConfig.PushEndpoint, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "berth-localstack")
	resp, err := p.b.pusher.Do(req)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("POST %s: %w", sub.PushConfig.PushEndpoint, cause)
		}
		return err
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 16<<10))
	switch resp.StatusCode {
	case 102, 200, 201, 202, 204:
		return nil
	}
	return fmt.Errorf("POST %s: %s: %.300q", sub.PushConfig.PushEndpoint, resp.Status, said)
}

// pushClient follows no redirects: an answer is an answer.
func pushClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: pushesInFlight},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
