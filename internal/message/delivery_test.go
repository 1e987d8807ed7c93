package message

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/reason"
)

const pushEnvelope = `{
  "message": {
    "attributes": {"berth-priority": "1"},
    "data": "W10=",
    "messageId": "2070443601311540", "message_id": "2070443601311540",
    "publishTime": "2026-02-26T19:13:55.749Z", "publish_time": "2026-02-26T19:13:55.749Z",
    "orderingKey": "k", "newField": {"a": [1]}
  },
  "subscription": "projects/p/subscriptions/s",
  "deliveryAttempt": 5,
  "somethingNew": true
}`

func headers(pairs ...string) func(string) string {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h.Get
}

func TestDecodeDelivery(t *testing.T) {
	full := Delivery{
		ID: "2070443601311540", Subscription: "projects/p/subscriptions/s",
		PublishTime: time.Date(2026, 2, 26, 19, 13, 55, 749e6, time.UTC),
		Attempt:     5, OrderingKey: "k", Attributes: map[string]string{"berth-priority": "1"}, Data: []byte("[]"),
	}
	event := func(fields string) string {
		return `{"specversion": "1.0", "id": "1", "source": "//pubsub", "type": "` + publishedType + `", ` + fields + `}`
	}
	binary := headers("Ce-Type", publishedType, "Ce-Specversion", "1.0", "Ce-Id", "1", "Content-Type", "application/json")
	structured := headers("Content-Type", "application/cloudevents+json; charset=utf-8")
	for _, c := range []struct {
		name   string
		header func(string) string
		body   string
		want   Delivery
	}{
		{"push", headers("Content-Type", "application/json"), pushEnvelope, full},
		{"push without content type", headers(), pushEnvelope, full},
		{"binary event", binary, pushEnvelope, full},
		{"structured event", structured, event(`"data": ` + pushEnvelope), full},
		{"structured event with base64", structured, event(`"data_base64": "` + base64.StdEncoding.EncodeToString([]byte(pushEnvelope)) + `"`), full},
		{"snake case alone", headers(), `{"message": {"message_id": "1", "publish_time": "2026-02-26T19:13:55Z"}}`,
			Delivery{ID: "1", PublishTime: time.Date(2026, 2, 26, 19, 13, 55, 0, time.UTC)}},
		{"no more than an id", headers(), `{"message": {"messageId": "m0", "data": "", "attributes": null}}`, Delivery{ID: "m0", Data: []byte{}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := DecodeDelivery(c.header, []byte(c.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestDecodeDeliveryRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		header func(string) string
		body   string
		want   string // codes and paths
		id     string // what is known of the message all the same
	}{
		{"too large", headers(), strings.Repeat(" ", MaxBody+1), "TOO_LARGE ", ""},
		{"nothing", headers(), "", "MALFORMED ", ""},
		{"text", headers("Content-Type", "text/plain"), "hello", "MALFORMED ", ""},
		{"unwrapped push", headers("X-Goog-Pubsub-Message-Id", "1"), "train: now", "MALFORMED , MALFORMED ", ""},
		{"unwrapped job", headers(), `{"jobSpec": {}}`, "MISSING_FIELD message", ""},
		{"number", headers(), "1", "MALFORMED ", ""},
		{"batch by type", headers("Content-Type", "application/cloudevents-batch+json"), "[]", "MALFORMED ", ""},
		{"batch by body", headers("Content-Type", "application/cloudevents+json"), "[]", "MALFORMED ", ""},
		{"event in another format", headers("Content-Type", "application/cloudevents+avro"), pushEnvelope, "MALFORMED ", "2070443601311540"},
		{"other event", headers("Ce-Type", "google.cloud.storage.object.v1.finalized", "Ce-Specversion", "1.0"), pushEnvelope, "INVALID_VALUE ce-type", "2070443601311540"},
		{"old event", headers("Ce-Type", publishedType, "Ce-Specversion", "0.3"), pushEnvelope, "INVALID_VALUE ce-specversion", "2070443601311540"},
		{"event without type", headers("Ce-Id", "1", "Ce-Specversion", "1.0"), pushEnvelope, "INVALID_VALUE ce-type", "2070443601311540"},
		{"structured without data", headers("Content-Type", "application/cloudevents+json"), `{"specversion": "1.0", "type": "` + publishedType + `"}`, "MISSING_FIELD data", ""},
		{"structured with both data", headers("Content-Type", "application/cloudevents+json"), `{"specversion": "1.0", "type": "` + publishedType + `", "data": {}, "data_base64": ""}`,
			"MISSING_FIELD data.message, CONFLICT data_base64", ""},
		{"no message id", headers(), `{"message": {"data": "W10="}}`, "MISSING_FIELD message.messageId", ""},
		{"number as message id", headers(), `{"message": {"messageId": 7}}`, "INVALID_VALUE message.messageId", ""},
		{"empty message id", headers(), `{"message": {"messageId": ""}}`, "INVALID_VALUE message.messageId", ""},
		{"two message ids", headers(), `{"message": {"messageId": "1", "message_id": "2"}}`, "CONFLICT message.message_id", "1"},
		{"bad base64", headers(), `{"message": {"messageId": "1", "data": "W10"}}`, "INVALID_VALUE message.data", "1"},
		{"data not text", headers(), `{"message": {"messageId": "1", "data": {"jobSpec": {}}}}`, "INVALID_VALUE message.data", "1"},
		{"wrong types", headers(), `{"message": {"messageId": "1", "attributes": {"a": 1}, "publishTime": 5, "orderingKey": []}, "subscription": 1, "deliveryAttempt": "5"}`,
			"INVALID_VALUE message.attributes.a, INVALID_VALUE message.publishTime, INVALID_VALUE message.orderingKey, INVALID_VALUE subscription, INVALID_VALUE deliveryAttempt", "1"},
		{"time that is no JSON", headers(), `{"message": {"messageId": "1", "publishTime": "9999-12-31T23:59:59-23:59"}}`, "INVALID_VALUE message.publishTime", "1"},
		{"time before all years", headers(), `{"message": {"messageId": "1", "publishTime": "0000-12-31T23:59:59Z"}}`, "INVALID_VALUE message.publishTime", "1"},
		{"attributes not an object", headers(), `{"message": {"messageId": "1", "attributes": []}}`, "INVALID_VALUE message.attributes", "1"},
		{"control characters", headers(), `{"message": {"messageId": "1"}, "subscription": "a\nb"}`, "INVALID_VALUE subscription", "1"},
		{"repeated key", headers(), `{"message": {"messageId": "1", "data": "W10=", "data": "e30="}}`, "DUPLICATE_FIELD message.data", "1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := DecodeDelivery(c.header, []byte(c.body))
			var refusal *Refusal
			if !errors.As(err, &refusal) {
				t.Fatalf("error %v", err)
			}
			var got []string
			for _, p := range refusal.Problems {
				got = append(got, string(p.Code)+" "+p.Path)
			}
			if diff := cmp.Diff(c.want, strings.Join(got, ", ")); diff != "" || d.ID != c.id {
				t.Errorf("id %q, (-want +got)\n%s", d.ID, diff)
			}
		})
	}
}

// TestUnwrappedPushHasAFix holds the refusal that a user gets who made the wrong
// kind of subscription.
func TestUnwrappedPushHasAFix(t *testing.T) {
	_, err := DecodeDelivery(headers(), []byte(plainJobSpec))
	if err == nil || !strings.Contains(err.Error(), useWrapped) {
		t.Errorf("error %v does not say %q", err, useWrapped)
	}
}

const plainJobSpec = `{"workerPoolSpecs":` + plainJob + `}`

// Data that is refused for its size is not held in full until it is.
func TestDataTooLargeIsCut(t *testing.T) {
	for _, n := range []int{MaxData, MaxData + 1, 4 * MaxData} {
		body := `{"message":{"messageId":"1","data":"` + base64.StdEncoding.EncodeToString(make([]byte, n)) + `"}}`
		d, err := DecodeDelivery(func(string) string { return "" }, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if want := min(n, MaxData+1); len(d.Data) != want || n > MaxData && cap(d.Data) > want+want/4 {
			t.Errorf("of %d bytes %d are kept, in room for %d; want %d", n, len(d.Data), cap(d.Data), want)
		}
		refusal := (*Refusal)(nil)
		if _, err = Decode(d); errors.As(err, &refusal) != true || (refusal.Problems[0].Code == reason.TooLarge) != (n > MaxData) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}
