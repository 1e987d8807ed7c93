package message

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is pushed is what production pushes, and what is read of it is the message.
func TestPush(t *testing.T) {
	at := time.Date(2026, 11, 23, 12, 0, 0, 700_000_000, time.UTC)
	for _, c := range []struct {
		d    Delivery
		want string
	}{
		{Delivery{ID: "1", PublishTime: at.In(time.FixedZone("", 3600))},
			`{"message":{"messageId":"1","message_id":"1","publishTime":"2026-11-23T12:00:00.700Z","publish_time":"2026-11-23T12:00:00.700Z"},"subscription":""}`},
		{Delivery{ID: "2", PublishTime: at, Subscription: "projects/p/subscriptions/s", Attempt: 3, OrderingKey: "k", Attributes: map[string]string{"a": "b"}, Data: []byte("{}")},
			`{"message":{"attributes":{"a":"b"},"data":"e30=","messageId":"2","message_id":"2","orderingKey":"k",` +
				`"publishTime":"2026-11-23T12:00:00.700Z","publish_time":"2026-11-23T12:00:00.700Z"},"subscription":"projects/p/subscriptions/s","deliveryAttempt":3}`},
	} {
		if diff := cmp.Diff(c.want, string(c.d.Push())); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		got, err := DecodeDelivery(func(string) string { return "" }, c.d.Push())
		if err != nil {
			t.Fatal(err)
		}
		want := c.d
		want.PublishTime = want.PublishTime.UTC()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("read again (-want +got)\n%s", diff)
		}
	}
}
