package message

import (
	"fmt"
	"log/slog"

	"example.com/berth/internal/strict"
)

// What users send never gets into a log: environment variables and arguments
// hold secrets. These types show sizes, counts and hashes of themselves to
// slog and to fmt; ids chosen by users are hashed, because users put names and
// addresses into them.

// LogValue shows where a delivery came from and how large it is.
func (d Delivery) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("messageId", strict.Clean(d.ID, maxID)),
		slog.Int("attempt", d.Attempt),
		slog.Int("dataBytes", len(d.Data)),
		slog.Int("attributes", len(d.Attributes)),
	)
}

// String is the log value as text.
func (d Delivery) String() string { return "delivery" + d.LogValue().String() }

// GoString keeps %#v from showing more than String.
func (d Delivery) GoString() string { return d.String() }

// LogValue shows the size of a request.
func (q Request) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("requestIdHash", idHash(q.RequestID)),
		slog.Int("priority", q.Priority),
		slog.Bool("dryRun", q.DryRun),
		slog.Int("workerPools", len(q.Ask)),
		slog.Int64("replicas", int64(q.Ask.Replicas())),
		slog.Int("warnings", len(q.Warnings)),
	)
}

// String is the log value as text.
func (q Request) String() string { return "request" + q.LogValue().String() }

// GoString keeps %#v from showing more than String.
func (q Request) GoString() string { return q.String() }

// LogValue shows what kind of id a cancel names.
func (c Cancel) LogValue() slog.Value {
	return slog.GroupValue(slog.String("requestIdHash", idHash(c.RequestID)), slog.String("messageId", strict.Clean(c.MessageID, maxID)))
}

// String is the log value as text.
func (c Cancel) String() string { return "cancel" + c.LogValue().String() }

// GoString keeps %#v from showing more than String.
func (c Cancel) GoString() string { return c.String() }

// LogValue shows the part that is set.
func (m Message) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("fingerprint", m.Fingerprint)}
	if m.Request != nil {
		attrs = append(attrs, slog.Any("request", *m.Request))
	}
	if m.Cancel != nil {
		attrs = append(attrs, slog.Any("cancel", *m.Cancel))
	}
	return slog.GroupValue(attrs...)
}

// String is the log value as text.
func (m Message) String() string {
	switch {
	case m.Request != nil:
		return fmt.Sprintf("message %.12s %s", m.Fingerprint, *m.Request)
	case m.Cancel != nil:
		return fmt.Sprintf("message %.12s %s", m.Fingerprint, *m.Cancel)
	}
	return fmt.Sprintf("message %.12s", m.Fingerprint)
}

// GoString keeps %#v from showing more than String.
func (m Message) GoString() string { return m.String() }

// idHash is short: it is enough to distinguish the ids of a log.
func idHash(id string) string {
	if id == "" {
		return ""
	}
	return string(KeyOf("", KindRequest, id)[:12])
}
