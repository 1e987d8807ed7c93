package telemetry_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"example.com/berth/internal/telemetry"
)

const (
	id      = "0af7651916cd43dd8448eb211c80319c"
	span    = "b7ad6b7169203331"
	sampled = "00-" + id + "-" + span + "-01"
)

func TestTraceContexts(t *testing.T) {
	const none = ""
	decimal := fmt.Sprint(uint64(0xb7ad6b7169203331))
	for _, test := range []struct{ traceparent, cloud, want string }{
		{sampled, none, sampled},
		{"00-" + id + "-" + span + "-00", none, "00-" + id + "-" + span + "-00"},
		{"00-" + id + "-" + span + "-ff", none, sampled}, // flags that are not known
		{"01-" + id + "-" + span + "-01-later", none, sampled},
		{sampled, "ffffffffffffffffffffffffffffffff/1;o=1", sampled},
		{none, id + "/" + decimal + ";o=1", sampled},
		{none, strings.ToUpper(id) + "/" + decimal + ";o=1", sampled},
		{none, id + "/" + decimal + ";o=0", "00-" + id + "-" + span + "-00"},
		{none, id + "/" + decimal, "00-" + id + "-" + span + "-00"},
		{none, id + "/1", "00-" + id + "-0000000000000001-00"},
		{"canary", id + "/1;o=1", "00-" + id + "-0000000000000001-01"},
		{none, id, none},
		{none, id + "/", none},
		{none, id + "/-1", none},
		{none, id + "/0", none},
		{none, id + "/18446744073709551616", none},
		{none, id[1:] + "/1", none},
		{none, strings.Repeat("0", 32) + "/1", none},
		{none, id + "/1;o=1" + strings.Repeat(" ", 300), none},
		{"ff-" + id + "-" + span + "-01", none, none},
		{"00-" + strings.Repeat("0", 32) + "-" + span + "-01", none, none},
		{"00-" + id + "-" + strings.Repeat("0", 16) + "-01", none, none},
		{"00-" + strings.ToUpper(id) + "-" + span + "-01", none, none},
		{sampled + "-canary", none, none},
		{sampled[:len(sampled)-2] + "0g", none, none},
		{sampled[:len(sampled)-2] + "0A", none, none},
		{sampled + "0", none, none},
		{"0g" + sampled[2:], none, none},
		{"0" + sampled, none, none},
		{id, none, none},
		{sampled + "\n", none, none},
		{" " + sampled, none, none},
		{"01-" + id + "-" + span + "-01-" + strings.Repeat("x", 300), none, none},
	} {
		header := http.Header{}
		header.Set("Traceparent", test.traceparent)
		header.Set("X-Cloud-Trace-Context", test.cloud)
		got := telemetry.OfRequest(header.Get)
		if telemetry.Format(got) != test.want || got.IsValid() && !got.IsRemote() {
			t.Errorf("%q, %q: %q (remote %v), want %q", test.traceparent, test.cloud, telemetry.Format(got), got.IsRemote(), test.want)
		}
		for _, attributes := range []map[string]string{
			{"traceparent": test.traceparent},
			{"googclient_traceparent": test.traceparent},
			{"googclient_traceparent": test.traceparent, "traceparent": "00-11111111111111111111111111111111-1111111111111111-01"},
		} {
			want := telemetry.Format(telemetry.Parse(test.traceparent))
			if len(attributes) == 2 && want == none {
				want = attributes["traceparent"]
			}
			if got := telemetry.Format(telemetry.OfMessage(attributes)); got != want {
				t.Errorf("%q: %q, want %q", attributes, got, want)
			}
		}
	}
}

// A record is shown with the request that Cloud Run logs; the publisher's trace is then
// found by a field of its own.
func TestTraceOfARecord(t *testing.T) {
	request, other := telemetry.Parse(sampled), telemetry.Parse("00-11111111111111111111111111111111-2222222222222222-00")
	same := telemetry.Parse("00-" + id + "-2222222222222222-00")
	none := trace.SpanContext{}
	const ofRequest, ofPublisher = "request_trace=projects/p/traces/" + id, "publisher_trace=projects/p/traces/11111111111111111111111111111111"
	for _, test := range []struct {
		request, publisher, span trace.SpanContext
		want                     string
	}{
		{none, none, none, "[]"},
		{request, none, none, "[]"},
		{request, same, none, "[]"},
		{request, other, none, "[" + ofPublisher + "]"},
		{none, other, none, "[logging.googleapis.com/trace=projects/p/traces/11111111111111111111111111111111 logging.googleapis.com/spanId=2222222222222222 logging.googleapis.com/trace_sampled=false]"},
		{none, none, request, "[]"},
		{none, other, other, "[]"},
		{request, other, other, "[" + ofRequest + "]"},
		{request, same, same, "[]"},
	} {
		if got := fmt.Sprint(telemetry.DeliveryAttrs("p", test.request, test.publisher, test.span)); got != test.want {
			t.Errorf("%s, want %s", got, test.want)
		}
	}
	want := []slog.Attr{slog.String("logging.googleapis.com/trace", "projects/p/traces/"+id), slog.String("logging.googleapis.com/spanId", span), slog.Bool("logging.googleapis.com/trace_sampled", true)}
	if got := telemetry.Attrs("p", request); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}
