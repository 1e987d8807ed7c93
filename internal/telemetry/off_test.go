package telemetry_test

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"example.com/berth/internal/telemetry"
)

// A deployment without a collector pays nothing for what it does not record.
func TestOffCostsNothing(t *testing.T) {
	var off *telemetry.Recorder
	none, err := telemetry.New("p", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	attributes := map[string]string{"berth-priority": "1"}
	for name, r := range map[string]*telemetry.Recorder{"off": off, "of nothing": none} {
		n := testing.AllocsPerRun(100, func() {
			ctx, admit := r.Receive(t.Context(), "admit", trace.SpanContext{}, trace.SpanContext{})
			ctx, tick := r.Tick(ctx, "reconcile", trace.SpanContext{}, trace.SpanContext{})
			ctx, decide := r.Start(ctx, "decide")
			ctx, call := r.Call(ctx, "vertex create", "x")
			ctx, submit := r.Follow(ctx, "submit", sampled)
			ctx, publish := r.Publish(ctx, "publish", sampled)
			for _, span := range []telemetry.Span{admit, tick, decide, call, submit, publish} {
				span.Set(telemetry.KeyVerdict, "admit")
				span.Count(telemetry.KeyEvents, 1)
				span.End("FAILED")
				if span.Context().IsValid() {
					t.Error("there is a span")
				}
			}
			r.Decision(ctx, "admit", "FULL")
			r.Submission(ctx, "CREATED")
			r.Commit(ctx, "committed")
			r.Queue(ctx, "pool", 1, time.Second)
			r.Hold(ctx, time.Second, "FAILED")
			r.Reuse(ctx, time.Second)
			r.Published(ctx, time.Second)
			r.Unpublished(ctx, time.Second)
			r.Pass(ctx, time.Second)
			if r.Counts() || ctx != t.Context() || r.Traceparent(ctx, attributes) != "" {
				t.Error("there is a trace")
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
