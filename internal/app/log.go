package app

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"strings"

	"example.com/berth/internal/logctx"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
	"example.com/berth/internal/telemetry"
	"example.com/berth/internal/visible"
)

// newLogger writes one JSON line per record, with the key names that Cloud
// Logging understands, the attributes of the context, and the service that Error
// Reporting groups errors by.
func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	lines := slog.NewJSONHandler(w, &slog.HandlerOptions{
		Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			a.Value = shown(a.Value)
			if len(groups) > 0 {
				return a
			}
			switch a.Key {
			case slog.MessageKey:
				a.Key = "message"
			case slog.LevelKey:
				a.Key = "severity"
				a.Value = slog.StringValue(strings.ReplaceAll(a.Value.String(), "WARN", "WARNING"))
			}
			return a
		},
	})
	service, version := service()
	return logctx.NewLogger(slog.New(reports{lines.WithAttrs([]slog.Attr{
		slog.Group("serviceContext", slog.String("service", service), slog.String("version", version)),
	})}))
}

// service is the name of the service and its version. Cloud Run sets both variables; a
// cloud build does not know its commit.
// https://cloud.google.com/run/docs/container-contract#services-env-vars
func service() (name, version string) {
	return cmp.Or(os.Getenv("K_SERVICE"), "berth"), cmp.Or(os.Getenv("K_REVISION"), Version())
}

// shown makes hidden characters of users' texts in a log field visible, above all in an
// error that quotes one. Otherwise such a character can show a line that Berth did not
// log.
func shown(v slog.Value) slog.Value {
	switch v.Kind() {
	case slog.KindString:
		return slog.StringValue(visible.Text(v.String()))
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			return slog.StringValue(visible.Text(err.Error()))
		}
	}
	return v
}

// errorEvent makes Error Reporting take a record that has no stack trace.
// https://cloud.google.com/error-reporting/docs/formatting-error-messages
const errorEvent = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent"

// reports makes records of errors such that Error Reporting groups them: those of one
// place in the code are one group, whatever request they are about.
type reports struct{ slog.Handler }

func (h reports) Handle(ctx context.Context, r slog.Record) error {
	if r.Level >= slog.LevelError {
		frame, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
		r = r.Clone()
		r.AddAttrs(slog.String("@type", errorEvent), slog.Group("context", slog.Group("reportLocation",
			slog.String("filePath", path.Base(path.Dir(frame.File))+"/"+path.Base(frame.File)),
			slog.Int("lineNumber", frame.Line),
			slog.String("functionName", frame.Function))))
	}
	return h.Handler.Handle(ctx, r)
}

func (h reports) WithAttrs(attrs []slog.Attr) slog.Handler {
	return reports{h.Handler.WithAttrs(attrs)}
}

func (h reports) WithGroup(name string) slog.Handler { return reports{h.Handler.WithGroup(name)} }

// traced returns the context of a request, whose log records carry the trace that Cloud
// Run's own record of the request has.
func (a *App) traced(ctx context.Context, header http.Header) context.Context {
	return logctx.With(ctx, telemetry.Attrs(a.cfg.Project, telemetry.OfRequest(header.Get))...)
}

// A stack keeps its ends of lines, unlike other text ([shown]): Error Reporting reads them.
type stack string

// recovered answers and logs a panic, nil for none. Otherwise the functions framework
// prints the value, which may quote a request, in lines of their own without trace and
// severity.
func (a *App) recovered(ctx context.Context, w http.ResponseWriter, found any) {
	switch found {
	case nil:
		return
	case http.ErrAbortHandler:
		panic(found)
	}
	what := fmt.Sprintf("panic: a value of type %T", found)
	if err, is := found.(runtime.Error); is {
		what = "panic: " + err.Error()
	}
	a.log.ErrorContext(ctx, "a request ended in a panic: this is a bug, please report it", "event", "panic",
		"stack_trace", stack(what+"\n\n"+string(debug.Stack())))
	refuse(w, http.StatusServiceUnavailable, reason.Problem{Code: statuspage.Unavailable, Detail: "An error of Berth; its log has the details."})
}
