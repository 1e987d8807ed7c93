// Package logctx lets a context carry the attributes of what is being done, so that
// every log record made with it says which request, resource or message it is about.
// They are added once, where the work enters, and not at each call.
package logctx

import (
	"context"
	"log/slog"
	"slices"
)

type key struct{}

// With returns a context whose log records carry attributes too. One takes the place
// of an earlier one of the same key.
func With(ctx context.Context, attrs ...slog.Attr) context.Context {
	all := slices.DeleteFunc(slices.Clone(of(ctx)), func(old slog.Attr) bool { return has(attrs, old.Key) })
	return context.WithValue(ctx, key{}, append(all, attrs...))
}

// Without returns a context whose log records carry nothing of their own: for work
// that one request does for others.
func Without(ctx context.Context) context.Context { return context.WithValue(ctx, key{}, nil) }

func of(ctx context.Context) []slog.Attr {
	attrs, _ := ctx.Value(key{}).([]slog.Attr)
	return attrs
}

func has(attrs []slog.Attr, key string) bool {
	return slices.ContainsFunc(attrs, func(a slog.Attr) bool { return a.Key == key })
}

// NewLogger returns a logger that adds the attributes of the context to each record
// and passes it on to another. An attribute of the call itself takes the place of one
// of the context. A logger that does so already is returned as it is.
func NewLogger(to *slog.Logger) *slog.Logger {
	if _, does := to.Handler().(handler); does {
		return to
	}
	return slog.New(handler{to.Handler()})
}

type handler struct{ slog.Handler }

func (h handler) Handle(ctx context.Context, r slog.Record) error {
	attrs := of(ctx)
	if len(attrs) == 0 {
		return h.Handler.Handle(ctx, r)
	}
	var own []slog.Attr
	r.Attrs(func(a slog.Attr) bool {
		own = append(own, a)
		return true
	})
	r = r.Clone()
	for _, a := range attrs {
		if !has(own, a.Key) {
			r.AddAttrs(a)
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

func (h handler) WithGroup(name string) slog.Handler { return handler{h.Handler.WithGroup(name)} }
