package message

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	cepubsub "github.com/cloudevents/sdk-go/protocol/pubsub/v2"
	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	gocmp "github.com/google/go-cmp/cmp"
)

// Every way in which a subscriber can get an event, each received by the
// CloudEvents SDK for Go and not by [DecodeOutcome]: a fault in our own reading of
// the binding would hide the same fault in our writing.
var receivers = map[string]func(*testing.T, map[string]string, []byte) *cloudevents.Event{
	"unwrapped push": receiveUnwrapped,
	"wrapped push":   receiveWrapped,
	"pull":           receivePulled,
}

// receiveUnwrapped posts the message as a push subscription without wrapper and
// with metadata does: data as the body, every attribute as a header.
func receiveUnwrapped(t *testing.T, attributes map[string]string, data []byte) (got *cloudevents.Event) {
	t.Helper()
	p, err := cloudevents.NewHTTP()
	if err != nil {
		t.Fatal(err)
	}
	h, err := cloudevents.NewHTTPReceiveHandler(t.Context(), p, func(_ context.Context, e cloudevents.Event) { got = &e })
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(data))
	for key, value := range attributes {
		r.Header.Set(key, value)
	}
	for key, value := range map[string]string{
		"x-goog-pubsub-message-id": "2070443601311540", "x-goog-pubsub-publish-time": "2026-03-01T12:00:00Z",
		"x-goog-pubsub-subscription-name": "projects/p/subscriptions/s", "User-Agent": "CloudPubSub-Google",
	} {
		r.Header.Set(key, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code/100 != 2 || got == nil {
		t.Fatalf("the receiver answers %d %s", w.Code, w.Body)
	}
	return got
}

// receiveWrapped reads the JSON envelope of a push into the Pub/Sub library's
// message, which is what the SDK's binding takes.
func receiveWrapped(t *testing.T, attributes map[string]string, data []byte) *cloudevents.Event {
	t.Helper()
	type pushed struct {
		Data        []byte            `json:"data"`
		Attributes  map[string]string `json:"attributes"`
		MessageID   string            `json:"messageId"`
		PublishTime time.Time         `json:"publishTime"`
	}
	type envelope struct {
		Message      pushed `json:"message"`
		Subscription string `json:"subscription"`
	}
	body, err := json.Marshal(envelope{pushed{data, attributes, "1", time.Unix(0, 0)}, "projects/p/subscriptions/s"})
	if err != nil {
		t.Fatal(err)
	}
	var got envelope
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	return receivePulled(t, got.Message.Attributes, got.Message.Data)
}

func receivePulled(t *testing.T, attributes map[string]string, data []byte) *cloudevents.Event {
	t.Helper()
	e, err := binding.ToEvent(t.Context(), cepubsub.NewMessage(&pubsub.Message{Data: data, Attributes: attributes}))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// TestEventsAreReceivedBySDK holds one event of every type against the receivers
// of the CloudEvents SDK.
func TestEventsAreReceivedBySDK(t *testing.T) {
	for _, o := range sampleOutcomes() {
		data, attributes, err := o.PubSub(testSource)
		if err != nil {
			t.Fatal(err)
		}
		for name, receive := range receivers {
			t.Run(o.Type.Word()+"/"+name, func(t *testing.T) {
				e := receive(t, attributes, data)
				if err := e.Validate(); err != nil {
					t.Error(err)
				}
				var got Outcome
				if err := e.DataAs(&got); err != nil {
					t.Fatalf("its data: %v", err)
				}
				got.EventID, got.Type, got.Time = e.ID(), Type(e.Type()), e.Time()
				if diff := gocmp.Diff(o, got); diff != "" {
					t.Errorf("(-sent +received)\n%s", diff)
				}
				if e.SpecVersion() != "1.0" || e.Source() != testSource.Of(o.Tenant) || e.Subject() == "" {
					t.Errorf("specversion %s, source %s, subject %q", e.SpecVersion(), e.Source(), e.Subject())
				}
				// The SDK's binding for pull looks for Content-Type and not for
				// content-type, which the binding names, and takes data without a
				// type for JSON.
				if kind := e.DataContentType(); kind != "application/json" && (kind != "" || name == "unwrapped push") {
					t.Errorf("data content type %q", kind)
				}
				for extension, want := range map[string]string{
					"tenant": o.Tenant, "requestid": cmp.Or(o.RequestID, o.ClaimedRequestID), "state": attributes["ce-state"], "sequence": attributes["ce-sequence"],
				} {
					if got, _ := e.Extensions()[extension].(string); got != want {
						t.Errorf("extension %s is %q, want %q", extension, got, want)
					}
				}
			})
		}
	}
}

// TestReceiversRefuse shows that the receivers notice: the attribute that stood
// beside content-type once is refused.
func TestReceiversRefuse(t *testing.T) {
	data, attributes, err := sampleOutcomes()[0].PubSub(testSource)
	if err != nil {
		t.Fatal(err)
	}
	p, err := cloudevents.NewHTTP()
	if err != nil {
		t.Fatal(err)
	}
	called := false
	h, err := cloudevents.NewHTTPReceiveHandler(t.Context(), p, func(context.Context, cloudevents.Event) { called = true })
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(data))
	for key, value := range attributes {
		r.Header.Set(key, value)
	}
	r.Header.Set("ce-datacontenttype", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code/100 == 2 && called {
		t.Error("ce-datacontenttype beside content-type is received: the exception in PubSub's comment is not needed any more")
	}
}
