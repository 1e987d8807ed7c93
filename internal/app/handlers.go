package app

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/logctx"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
	"example.com/berth/internal/statuspage/html"
	"example.com/berth/internal/telemetry"
	"example.com/berth/internal/vertex"
)

// Admit is the entry point for requests, cancels and operators' messages. It answers 200 when the
// request, or its refusal, is durable; 400 to a body that is not a Pub/Sub
// delivery; 403 to a caller that is not the push account; 503 to be delivered again.
func Admit(w http.ResponseWriter, r *http.Request) {
	if a, ok := open(w); ok {
		a.admit(w, r)
	}
}

// Reconcile is the entry point for ticks and hints. It answers 200 even after a
// failure: the next tick comes anyway, and a nack would only slow Pub/Sub down.
func Reconcile(w http.ResponseWriter, r *http.Request) {
	if a, ok := open(w); ok {
		a.reconcile(w, r)
	}
}

// Status is the entry point for reading: pages for browsers, made of what it answers to
// programs.
func Status(w http.ResponseWriter, r *http.Request) { browsers.ServeHTTP(w, r) }

// browsers get pages also of what is answered without an App, and after a panic.
var browsers = html.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if a, ok := open(w); ok {
		a.answer(w, r)
	}
}))

func (a *App) admit(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, admitSpan, func(ctx context.Context, d message.Delivery, refusal *message.Refusal) (any, error) {
		if a.cfg.ofOperators(d.Subscription) {
			ctx = logctx.With(ctx, slog.String("tenant", message.Operators))
			if refusal != nil {
				return nil, a.controller.Refuse(ctx, message.Operators, d, refusal)
			}
			return nil, a.controller.Operate(ctx, d)
		}
		tenant := a.cfg.tenant(d.Subscription)
		ctx = logctx.With(ctx, slog.String("tenant", tenant))
		if refusal != nil { // a message, but an invalid one
			return nil, a.controller.Refuse(ctx, tenant, d, refusal)
		}
		return nil, a.controller.Handle(ctx, tenant, d)
	})
}

// answer sets the time limit of a body; the route limits its size.
func (a *App) answer(w http.ResponseWriter, r *http.Request) {
	ctx := a.traced(r.Context(), r.Header)
	defer func() { a.recovered(ctx, w, recover()) }()
	r = r.WithContext(ctx)
	if r.Body != http.NoBody {
		timed := *r
		timed.Body = inTime(w, r)
		r = &timed
	}
	a.status.ServeHTTP(w, r)
}

func (a *App) reconcile(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, reconcileSpan, func(ctx context.Context, d message.Delivery, _ *message.Refusal) (any, error) {
		if job := a.hinted(d.Data); job != "" {
			if err := a.controller.Hint(ctx, job); err != nil {
				a.log.WarnContext(ctx, "hint failed", "event", "hint_failed", "job", job, "error", err)
			}
			return nil, nil
		}
		if age := a.now().Sub(d.PublishTime); age > a.cfg.Tick {
			// Ticks accumulate while no instance runs. Only the newest needs a pass.
			a.log.DebugContext(ctx, "old tick dropped", "event", "tick_dropped", "age_seconds", age.Seconds())
			return nil, nil
		}
		report, err := a.controller.Reconcile(ctx, d.ID, a.budget())
		a.log.Log(ctx, levelOf(report, err), "reconciled", "event", "reconcile", "report", report, "error", err)
		return report, nil
	})
}

// levelOf is the level at which a reconcile is logged: one that changed nothing is of no
// interest to readers of the log.
func levelOf(report controller.Report, err error) slog.Level {
	switch {
	case err != nil:
		return slog.LevelError
	case report.Learned+report.Timers+report.Started+report.Orphans+report.Published > 0:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// serve decodes a delivery, calls handle with a deadline, and answers. name is that of the
// span. handle also gets invalid deliveries that have an id, with the refusal.
func (a *App) serve(w http.ResponseWriter, r *http.Request, name string, handle func(context.Context, message.Delivery, *message.Refusal) (any, error)) {
	ctx, cancel := context.WithTimeout(a.traced(r.Context(), r.Header), a.cfg.Timeout-a.cfg.Timeout/20)
	defer cancel()
	var span telemetry.Span
	defer func() {
		found := recover()
		if found != nil {
			span.End("PANIC")
			a.export.Flush(ctx)
		}
		a.recovered(ctx, w, found)
	}()
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, reason.Problem{Code: reason.Malformed,
			Detail: "This entry point accepts Pub/Sub deliveries.", Fix: "POST one, or publish to the topic."})
		return
	}
	if !a.pushed(ctx, w, r) {
		return
	}
	body, free, err := a.read(ctx, w, r, message.MaxBody)
	free = sync.OnceFunc(free)
	defer free()
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		refuse(w, http.StatusRequestEntityTooLarge, reason.Problem{Code: reason.TooLarge,
			Detail: "The body is larger than any that Pub/Sub sends."})
		return
	} else if errors.Is(err, errBusy) {
		refuse(w, http.StatusServiceUnavailable, reason.Problem{Code: reason.TooLarge, Detail: "Too many large bodies at once."})
		return
	} else if err != nil {
		refuse(w, http.StatusServiceUnavailable, reason.Problem{Code: reason.Malformed, Detail: "The body is incomplete."})
		return
	}
	d, err := message.DecodeDelivery(r.Header.Get, body)
	free()
	refusal := (*message.Refusal)(nil) // the only error of DecodeDelivery
	if errors.As(err, &refusal) && d.ID == "" {
		// Not from a wrapped push subscription. Without a message id no answer can be
		// stored, so the nack leads to the dead-letter topic, where the operator finds it.
		a.log.ErrorContext(ctx, "not a Pub/Sub delivery", "event", "bad_delivery", "code", string(refusal.Problems[0].Code), "bytes", len(body))
		refuse(w, http.StatusBadRequest, refusal.Problems[0])
		return
	}
	ctx, span = a.receive(ctx, r, name, &d)
	answer, err := handle(ctx, d, refusal)
	a.ended(ctx, span, answer, err)
	if err != nil {
		a.log.ErrorContext(ctx, "delivery failed and will be repeated", "event", "delivery_failed", "attempt", d.Attempt, "error", err)
		refuse(w, http.StatusServiceUnavailable, reason.Problem{Code: statuspage.Unavailable, Detail: "Nothing was stored; deliver again."})
		return
	}
	if answer == nil {
		w.WriteHeader(http.StatusOK)
		return
	}
	reply(w, http.StatusOK, answer)
}

func refuse(w http.ResponseWriter, status int, p reason.Problem) {
	reply(w, status, map[string]reason.Problem{"error": p})
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // an error means that the client has left
}

// hinted returns the full name of the job that a log entry of a training job is
// about, "" for anything else. It uses only the number in the entry, because
// the entry is a hint.
func (a *App) hinted(data []byte) string {
	if len(data) > message.MaxData {
		return ""
	}
	var entry struct {
		Resource struct {
			Type   string `json:"type"`
			Labels struct {
				JobID    string `json:"job_id"`
				Location string `json:"location"`
				Region   string `json:"region"`
			} `json:"labels"`
		} `json:"resource"`
	}
	if json.Unmarshal(data, &entry) != nil || entry.Resource.Type != "ml_job" {
		return ""
	}
	id := entry.Resource.Labels.JobID
	if id == "" || strings.Trim(id, "0123456789") != "" || len(id) > 24 {
		return ""
	}
	region := a.cfg.Regions[0]
	for _, r := range a.cfg.Regions {
		if r == entry.Resource.Labels.Location || r == entry.Resource.Labels.Region {
			region = r
		}
	}
	return vertex.InRegion(a.cfg.Project, region).Job(id).String()
}
