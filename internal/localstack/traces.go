package localstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"maps"
)

// traced are the attributes of a sample, with the trace context of a publisher if the
// stack shows traces.
func (st *Story) traced(s Sample) map[string]string {
	if st.stack.Collector == nil {
		return s.Message.Attributes
	}
	var id [24]byte
	rand.Read(id[:])
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.traces[s.Name] == "" { // copies of a message belong to one trace
		st.traces[s.Name] = hex.EncodeToString(id[:16])
	}
	attributes := maps.Clone(s.Message.Attributes)
	if attributes == nil {
		attributes = map[string]string{}
	}
	attributes["googclient_traceparent"] = "00-" + st.traces[s.Name] + "-" + hex.EncodeToString(id[16:]) + "-01"
	return attributes
}

// ShowTraces prints the trace of each sample, and the metrics, once the collector has all
// of them or the context ends.
func (st *Story) ShowTraces(ctx context.Context, out io.Writer) error {
	want := map[string]int{}
	for _, s := range st.samples {
		want[st.traces[s.Name]] = len(st.eventsOf(s))
	}
	err := st.stack.Collector.Await(ctx, want)
	for _, s := range st.samples {
		st.say("\n  %s, trace %s", s.Name, st.traces[s.Name])
		st.stack.Collector.Tree(out, st.traces[s.Name])
	}
	var metrics bytes.Buffer
	if st.stack.Collector.Metrics(&metrics); metrics.Len() > 0 {
		st.say("\n  Metrics, as last sent")
		_, _ = out.Write(metrics.Bytes())
	}
	return err
}
