package collector

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	traces "go.opentelemetry.io/proto/otlp/trace/v1"
)

// Await returns when each trace has spans for the publication of so many events, or when
// the context ends: the last spans of a trace come after its last event.
func (c *Collector) Await(ctx context.Context, events map[string]int) error {
	for {
		c.mu.Lock()
		changed, missing := c.changed, 0
		for trace, want := range events {
			if published(c.spans[trace]) < want {
				missing++
			}
		}
		c.mu.Unlock()
		if missing == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d traces are not complete: %w", missing, len(events), ctx.Err())
		}
	}
}

func published(spans []*traces.Span) (n int) {
	for _, span := range spans {
		for _, a := range span.GetAttributes() {
			if a.GetKey() == "berth.events" && span.GetStatus().GetCode() != traces.Status_STATUS_CODE_ERROR {
				n += int(a.GetValue().GetIntValue())
			}
		}
	}
	return n
}

// Tree writes the spans of a trace, each below its parent, with how long it took, when it
// began after the first, and its attributes.
func (c *Collector) Tree(out io.Writer, trace string) {
	c.mu.Lock()
	spans := slices.Clone(c.spans[trace])
	c.mu.Unlock()
	slices.SortStableFunc(spans, func(a, b *traces.Span) int {
		return time.Unix(0, int64(a.GetStartTimeUnixNano())).Compare(time.Unix(0, int64(b.GetStartTimeUnixNano())))
	})
	known := map[string]bool{}
	for _, span := range spans {
		known[string(span.GetSpanId())] = true
	}
	var write func(parent string, indent int)
	write = func(parent string, indent int) {
		for _, span := range spans {
			of := string(span.GetParentSpanId())
			if of != parent && (parent != "" || known[of]) || of == string(span.GetSpanId()) {
				continue
			}
			name := strings.Repeat("  ", indent) + span.GetName()
			text := fmt.Sprintf("    %-28s %8s  +%-9s%s", name, between(span.GetStartTimeUnixNano(), span.GetEndTimeUnixNano()),
				between(spans[0].GetStartTimeUnixNano(), span.GetStartTimeUnixNano()), described(span))
			_, _ = fmt.Fprintln(out, strings.TrimRight(text, " "))
			write(string(span.GetSpanId()), indent+1)
		}
	}
	write("", 0)
}

func between(from, to uint64) string {
	d := time.Duration(to - from)
	if d < time.Second {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// described are the attributes of a span that say what happened, and whether it is linked.
func described(span *traces.Span) (text string) {
	for _, a := range span.GetAttributes() {
		if name, ours := strings.CutPrefix(a.GetKey(), "berth."); ours || a.GetKey() == "error.type" {
			text += " " + name + "=" + value(a.GetValue())
		}
	}
	if len(span.GetLinks()) > 0 {
		text += " (linked to trace " + hex.EncodeToString(span.GetLinks()[0].GetTraceId())[:8] + ")"
	}
	return text
}

func value(v *common.AnyValue) string {
	if n, is := v.GetValue().(*common.AnyValue_IntValue); is {
		return fmt.Sprint(n.IntValue)
	}
	return v.GetStringValue()
}

// Metrics writes the last value of each series: of a histogram the count and the mean.
func (c *Collector) Metrics(out io.Writer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.metrics)) {
		m := c.metrics[name]
		var lines []string
		for _, p := range slices.Concat(m.GetSum().GetDataPoints(), m.GetGauge().GetDataPoints()) {
			n := fmt.Sprint(p.GetAsInt())
			if f, is := p.GetValue().(*metrics.NumberDataPoint_AsDouble); is {
				n = fmt.Sprintf("%.1f %s", f.AsDouble, m.GetUnit())
			}
			lines = append(lines, line(name, p.GetAttributes(), n))
		}
		for _, p := range m.GetHistogram().GetDataPoints() {
			lines = append(lines, line(name, p.GetAttributes(), fmt.Sprintf("%d of %.2f %s on average", p.GetCount(), p.GetSum()/max(1, float64(p.GetCount())), m.GetUnit())))
		}
		slices.Sort(lines)
		for _, text := range lines {
			_, _ = fmt.Fprintln(out, text)
		}
	}
}

func line(name string, attributes []*common.KeyValue, value string) string {
	for _, a := range attributes {
		if v := a.GetValue().GetStringValue(); v != "" {
			name += " " + a.GetKey() + "=" + v
		}
	}
	return fmt.Sprintf("    %-64s %s", name, value)
}
