package logctx_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"

	"example.com/berth/internal/logctx"
)

func TestRecordsCarryTheirContext(t *testing.T) {
	var out bytes.Buffer
	log := logctx.NewLogger(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
				return slog.Attr{}
			}
			return a
		},
	})))
	if logctx.NewLogger(log) != log {
		t.Error("attributes would be added twice")
	}
	none := t.Context()
	one := logctx.With(none, slog.String("message_id", "m"), slog.String("request_key", "a"))
	two := logctx.With(one, slog.String("request_key", "b"))
	for _, test := range []struct {
		name string
		log  func()
		want string
	}{
		{"no attributes", func() { log.InfoContext(none, "x", "k", 1) }, "msg=x k=1\n"},
		{"those of the context", func() { log.WarnContext(one, "x", "k", 1) }, "msg=x k=1 message_id=m request_key=a\n"},
		{"the latest of a key", func() { log.InfoContext(two, "x") }, "msg=x message_id=m request_key=b\n"},
		{"an outer context stays as it is", func() { log.InfoContext(one, "x") }, "msg=x message_id=m request_key=a\n"},
		{"the call's own come first", func() { log.ErrorContext(one, "x", "request_key", "c") }, "msg=x request_key=c message_id=m\n"},
		{"work for others", func() { log.InfoContext(logctx.Without(two), "x") }, "msg=x\n"},
		{"a logger with attributes", func() { log.With("k", 1).InfoContext(one, "x") }, "msg=x k=1 message_id=m request_key=a\n"},
		{"a context that has ended", func() {
			ended, cancel := context.WithCancel(one)
			cancel()
			log.InfoContext(ended, "x")
		}, "msg=x message_id=m request_key=a\n"},
	} {
		out.Reset()
		if test.log(); out.String() != test.want {
			t.Errorf("%s: %q, want %q", test.name, out.String(), test.want)
		}
	}
}
