package ledger_test

import (
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// The trace of a request is stored once, in its record, and is in each of its events, also
// when another instance reads it; without one nothing is stored.
func TestTraceIsStored(t *testing.T) {
	for _, trace := range []string{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", ""} {
		rec := &ledger.Record{Key: "k", Kind: message.KindRequest, ID: "a", Trace: trace}
		for range 3 {
			rec.Append(message.Outcome{Type: message.Queued}, time.Unix(1e9, 0))
		}
		text, err := ledger.Marshal(rec)
		if err != nil {
			t.Fatal(err)
		}
		want := 0
		if trace != "" {
			want = 1
		}
		if n := strings.Count(string(text), `"trace"`); n != want {
			t.Errorf("%q is stored %d times: %s", trace, n, text)
		}
		back := &ledger.Record{Key: "k"}
		if err := ledger.Unmarshal(text, ledger.Layout, 0, back); err != nil {
			t.Fatal(err)
		}
		for _, l := range back.Unpublished() {
			if e := back.Event(l); e.Trace != trace {
				t.Errorf("event %s carries %q, want %q", e.EventID, e.Trace, trace)
			}
		}
	}
}
