package localstack

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	pb "cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"example.com/berth/internal/message"
)

// push makes one request, which has the ack deadline as its time limit. A nil
// error is an acknowledgement.
func (p *pump) push(ctx context.Context, sub *pb.Subscription, l lease, attempt int) error {
	d := message.Delivery{ID: l.id, Subscription: sub.Name, PublishTime: l.msg.PublishTime.AsTime(),
		OrderingKey: l.msg.OrderingKey, Attributes: l.msg.Attributes, Data: l.msg.Data}
	if sub.DeadLetterPolicy != nil {
		d.Attempt = attempt
	}
	deadline := cmp.Or(time.Duration(sub.AckDeadlineSeconds)*time.Second, defaultAckDeadline)
	ctx, cancel := context.WithTimeoutCause(ctx, deadline, fmt.Errorf("no answer within the ack deadline of %v", deadline))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sub.PushConfig.PushEndpoint, bytes.NewReader(d.Push()))
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
