package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/telemetry"
	"example.com/berth/internal/vertex"
)

// recorded is a bench whose telemetry is kept in memory.
type recorded struct {
	*bench
	spans  *tracetest.SpanRecorder
	counts *sdkmetric.ManualReader
}

func record(t *testing.T) *recorded {
	t.Helper()
	b := newBench(t)
	r := &recorded{b, tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()}
	recorder, err := telemetry.New("p", sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(r.spans)), sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.counts)))
	b.must(err)
	env := b.c.env
	env.Telemetry = recorder
	b.c = New(DefaultConfig(), b.mem, b.ai, &b.out, b.c.log, env)
	return r
}

// value is the last or the sum of a metric, over all its attributes; -1 for none.
func (r *recorded) value(name string) float64 {
	r.Helper()
	var all metricdata.ResourceMetrics
	r.must(r.counts.Collect(r.Context(), &all))
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != name {
				continue
			}
			sum := 0.
			switch data := m.Data.(type) {
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					sum += float64(p.Value)
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					sum += p.Value
				}
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					sum += float64(p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					sum += p.Sum
				}
			}
			return sum
		}
	}
	return -1
}

// names are the steps that have ended, in order, each with the kind of its failure.
func (r *recorded) names() (names []string) {
	for _, s := range r.spans.Ended() {
		kind := ""
		for _, a := range s.Attributes() {
			if string(a.Key) == string(telemetry.KeyError) {
				kind = a.Value.AsString()
			}
		}
		names = append(names, s.Name()+" "+kind)
	}
	return names
}

// waitSince queues a request of a class that waits since a while.
func (b *bench) waitSince(id string, replicas capacity.Replicas, since, place time.Duration) message.Key {
	b.Helper()
	rec := recordIn(lifecycle.Waiting, "")
	b.rename(rec, nil, id)
	rec.Run, rec.Attempt, rec.ActUntil, rec.MaxWait, rec.Timeout = "", 0, time.Time{}, time.Hour, time.Hour
	rec.Ask = capacity.Ask{{Shape: small, Replicas: replicas}}
	rec.Times.Received = noon.Add(-since)
	rec.Order = ledger.OrderKey(0, noon.Add(place), rec.Key)
	res := b.resource()
	res.Join(rec)
	put(b.T, b.mem, rec, nil)
	put(b.T, b.mem, nil, res)
	return rec.Key
}

// TestQueueIsCounted: how many wait, and how long the one has waited for longest of those
// that come first in their classes, whichever class that is.
func TestQueueIsCounted(t *testing.T) {
	type wait struct {
		replicas capacity.Replicas // its class
		since    time.Duration
	}
	for _, test := range []struct {
		name    string
		waits   []wait // in their order
		change  func(b *bench, keys []message.Key)
		waiting float64
		oldest  time.Duration
	}{
		{"nobody", nil, func(*bench, []message.Key) {}, 0, 0},
		{"one", []wait{{1, time.Minute}}, func(*bench, []message.Key) {}, 1, time.Minute},
		{"the first of a class", []wait{{1, time.Minute}, {1, time.Hour}, {1, time.Second}}, func(*bench, []message.Key) {}, 3, time.Minute},
		{"the oldest of the first", []wait{{1, time.Minute}, {2, time.Hour}, {3, time.Second}}, func(*bench, []message.Key) {}, 3, time.Hour},
		{"the oldest comes last", []wait{{1, time.Minute}, {2, time.Second}, {3, 2 * time.Hour}}, func(*bench, []message.Key) {}, 3, 2 * time.Hour},
		{"one that waits no more", []wait{{1, time.Hour}, {2, time.Minute}}, func(b *bench, keys []message.Key) {
			rec := b.record(keys[0])
			rec.State = lifecycle.Cancelled
			put(b.T, b.mem, rec, nil)
		}, 2, time.Minute},
		{"one that cannot be read", []wait{{1, time.Hour}, {2, time.Minute}}, func(b *bench, keys []message.Key) {
			b.mem.Spoil(ledger.RecordRef(keys[0]), "it has layout 9")
		}, 2, time.Minute},
		{"one that was left out", []wait{{1, time.Hour}, {1, time.Minute}}, func(b *bench, keys []message.Key) {
			res := b.resource()
			res.Skip(keys[0])
			put(b.T, b.mem, nil, res)
		}, 1, time.Minute},
	} {
		r := record(t)
		r.records(lifecycle.Running, 0)
		var keys []message.Key
		for i, w := range test.waits {
			keys = append(keys, r.waitSince(fmt.Sprint("w", i), w.replicas, w.since, time.Duration(i)*time.Second))
		}
		test.change(r.bench, keys)
		if err := r.c.countQueue(t.Context(), resourceOfTests); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if waiting, oldest := r.value("berth.queue.waiting"), r.value("berth.queue.oldest"); waiting != test.waiting || oldest != test.oldest.Seconds() {
			t.Errorf("%s: %v wait, the oldest for %v s; want %v, %v s", test.name, waiting, oldest, test.waiting, test.oldest.Seconds())
		}
	}
}

// TestQueueOfManyClassesIsCounted within one read of a hundred requests, and what cannot be
// read is an error that names the resource. Who counts nothing reads nothing.
func TestQueueOfManyClassesIsCounted(t *testing.T) {
	r := record(t)
	res, _ := r.records(lifecycle.Running, 0)
	for i := range 130 {
		rec := recordIn(lifecycle.Waiting, "")
		r.rename(rec, nil, fmt.Sprint("w", i))
		rec.Ask, rec.Timeout, rec.Order = capacity.Ask{{Shape: small, Replicas: 1}}, time.Duration(1)<<min(40, 20+i/5), ledger.OrderKey(0, noon, rec.Key)
		rec.Tenant = fmt.Sprint("t", i) // each is a class
		res.Join(rec)
	}
	if len(res.Queue) <= commitRecords {
		t.Fatalf("there are only %d classes", len(res.Queue))
	}
	put(t, r.mem, nil, res)
	l := &namesLog{Mem: r.mem}
	r.c.ledger = l
	if err := r.c.countQueue(t.Context(), resourceOfTests); err != nil || len(l.names) != commitRecords || r.value("berth.queue.waiting") != 130 {
		t.Errorf("%d requests are read, %v wait, %v", len(l.names), r.value("berth.queue.waiting"), err)
	}
	before := r.mem.Stats().Reads
	if err := r.c.countQueue(t.Context(), resourceOfTests+"2"); err != nil || r.mem.Stats().Reads != before+1 {
		t.Errorf("a resource without a document: %v", err)
	}
	for k, want := range []string{"read the queue of ", "count the queue of "} {
		n := 0
		r.mem.Fault = func(string) ledger.Fault {
			if n++; n == k+1 {
				return ledger.FailRead
			}
			return ledger.None
		}
		if err := r.c.countQueue(t.Context(), resourceOfTests); !errors.Is(err, ledger.ErrInjected) || !strings.HasPrefix(err.Error(), want+resourceOfTests+": ") {
			t.Errorf("read %d fails: %v", k+1, err)
		}
	}
	b := newBench(t)
	b.records(lifecycle.Running, 0)
	before = b.mem.Stats().Reads
	if err := b.c.countQueue(t.Context(), resourceOfTests); err != nil || b.mem.Stats().Reads != before {
		t.Errorf("nothing is counted, and it is read: %v", err)
	}
}

// TestStepsOfCalls: each call of Vertex AI and each commit that a request waits for is a
// step with its name, and with the kind of its failure.
func TestStepsOfCalls(t *testing.T) {
	r := record(t)
	ctx, job := t.Context(), regionOfTests+"/customJobs/1"
	calls := map[string]func() error{
		"vertex create":   func() error { _, err := r.c.vertex.Create(ctx, regionOfTests, nil); return err },
		"vertex get":      func() error { _, err := r.c.vertex.Get(ctx, job); return err },
		"vertex find":     func() error { _, err := r.c.vertex.Find(ctx, regionOfTests, "r1"); return err },
		"vertex list":     func() error { _, err := r.c.vertex.Live(ctx, regionOfTests); return err },
		"vertex cancel":   func() error { return r.c.vertex.Cancel(ctx, job) },
		"vertex resource": func() error { _, err := r.c.vertex.Resource(ctx, resourceOfTests); return err },
	}
	r.ai.Fault = func(string, string) vertex.Fault { return vertex.FailBefore }
	for name, call := range calls {
		before := len(r.names())
		if err := call(); vertex.KindOf(err) != vertex.Unclear {
			t.Errorf("%s: the error is %v", name, err)
		}
		if got := r.names()[before:]; !slices.Equal(got, []string{name + " UNCLEAR"}) {
			t.Errorf("%s: the steps are %q", name, got)
		}
	}
	r.ai.Fault = nil
	r.ai.SetResource(resourceOfTests, vertex.Resource{State: vertex.Running, CreateTime: noon})
	live := r.ai.AddForeign(regionOfTests, "pool", capacity.Ask{{Shape: small, Replicas: 1}})
	res, err := r.c.vertex.Resource(ctx, resourceOfTests)
	jobs, listErr := r.c.vertex.Live(ctx, regionOfTests)
	got, getErr := r.c.vertex.Get(ctx, live)
	if res.State != vertex.Running || len(jobs) != 1 || got.Name != live || errors.Join(err, listErr, getErr) != nil {
		t.Errorf("what is answered is lost: %+v, %+v, %+v", res, jobs, got)
	}
	before := len(r.names())
	if err := r.c.grouped.Update(ctx, ledger.Resources(resourceOfTests), func(ledger.Tx) error { return nil }); err != nil {
		t.Error(err)
	}
	r.mem.Fault = func(string) ledger.Fault { return ledger.FailRead }
	if err := r.c.grouped.Update(ctx, ledger.Resources(resourceOfTests), func(ledger.Tx) error { return nil }); !errors.Is(err, ledger.ErrInjected) {
		t.Errorf("the error is %v", err)
	}
	if got := r.names()[before:]; !slices.Equal(got, []string{"commit ", "commit FAILED"}) {
		t.Errorf("the steps of two commits are %q", got)
	}
}

// TestFailureInAWord: the text of an error may quote a job, so a step has its kind alone.
func TestFailureInAWord(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{nil, ""}, {&vertex.Error{Kind: vertex.Denied, Message: "secret"}, string(vertex.Denied)}, {fmt.Errorf("create: %w", &vertex.Error{Kind: vertex.RateLimited}), string(vertex.RateLimited)},
		{fmt.Errorf("update: %w", ledger.ErrBusy), "BUSY"}, {fmt.Errorf("update: %w", ledger.ErrRefused), "REFUSED"},
		{fmt.Errorf("read: %w", &ledger.UnreadableError{Why: "secret"}), "UNREADABLE"},
		{fmt.Errorf("read: %w", context.DeadlineExceeded), "DEADLINE_EXCEEDED"}, {fmt.Errorf("read: %w", context.Canceled), "CANCELLED"}, {errors.New("secret"), "FAILED"},
	} {
		if got := failure(test.err); got != test.want {
			t.Errorf("%v is %q, want %q", test.err, got, test.want)
		}
	}
}

// TestHoldsAreCounted: the event that says that a request gives its replicas back counts for
// how long it had them, once.
func TestHoldsAreCounted(t *testing.T) {
	reserved, event := noon.Add(-time.Hour), noon.Add(-time.Minute)
	for _, test := range []struct {
		name   string
		e      ledger.OutboxEvent
		queued time.Time
		held   float64 // in seconds; -1 for none
	}{
		{"it has ended", ledger.OutboxEvent{Outcome: message.Outcome{Type: message.Succeeded, State: "SUCCEEDED"}}, noon.Add(-2 * time.Hour), 59 * 60},
		{"it has failed and never waited", ledger.OutboxEvent{Outcome: message.Outcome{Type: message.Failed, State: "FAILED"}}, time.Time{}, 59 * 60},
		{"it waits again", ledger.OutboxEvent{Outcome: message.Outcome{Type: message.Queued, State: "WAITING"}}, event, 59 * 60},
		{"it goes on waiting", ledger.OutboxEvent{Outcome: message.Outcome{Type: message.Queued, State: "WAITING"}}, noon.Add(-30 * time.Minute), -1},
		{"it ended while it waited again", ledger.OutboxEvent{Outcome: message.Outcome{Type: message.Expired, State: "EXPIRED"}}, noon.Add(-30 * time.Minute), -1},
		{"it runs", ledger.OutboxEvent{Outcome: message.Outcome{Type: message.Started, State: "RUNNING"}}, noon.Add(-2 * time.Hour), -1},
	} {
		r := record(t)
		test.e.Time, test.e.Type = event, test.e.Outcome.Type
		test.e.Outcome.Times.Reserved, test.e.Outcome.Times.Queued = reserved, test.queued
		r.c.published(t.Context(), []ledger.OutboxEvent{test.e}, noon)
		if held, age := r.value("berth.hold.duration"), r.value("berth.outbox.delay"); held != test.held || age != 60 {
			t.Errorf("%s: held for %v s, published after %v s; want %v, 60", test.name, held, age, test.held)
		}
		test.e.Outcome.Times.Reserved = time.Time{}
		r = record(t)
		r.c.published(t.Context(), []ledger.OutboxEvent{test.e}, noon)
		if held := r.value("berth.hold.duration"); held != -1 {
			t.Errorf("%s, and never had replicas: held for %v s", test.name, held)
		}
	}
}

// TestReplicasThatCameFree: a request that has given its replicas back says when; the next
// that starts there says for how long they were free, until a plan has gone over them.
func TestReplicasThatCameFree(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*ledger.Record)
		free   float64 // in seconds; -1 for none
	}{
		{"at the end of its job", func(r *ledger.Record) { r.Times.JobEnded = noon.Add(-20 * time.Second) }, 20},
		{"at its own end", func(*ledger.Record) {}, 10},
		{"it never had any", func(r *ledger.Record) { r.Times.Reserved = time.Time{} }, -1},
		{"it had given them back before", func(r *ledger.Record) { r.Times.Queued = noon.Add(-time.Minute) }, -1},
		{"it has not ended", func(r *ledger.Record) { r.State = lifecycle.Cancelling }, -1},
	} {
		r := record(t)
		rec := recordIn(lifecycle.Succeeded, "j")
		rec.Times.Reserved, rec.Times.Queued, rec.Times.Ended = noon.Add(-time.Hour), noon.Add(-2*time.Hour), noon.Add(-10*time.Second)
		test.change(rec)
		r.c.gaveBack(rec)
		if r.c.reused(t.Context(), resourceOfTests, noon); r.value("berth.reuse.delay") != test.free || strings.Contains(r.log.String(), `"reused"`) != (test.free >= 0) {
			t.Errorf("%s: free for %v s, want %v; %s", test.name, r.value("berth.reuse.delay"), test.free, &r.log)
		}
		earlier := recordIn(lifecycle.Failed, "j")
		earlier.Times.Reserved, earlier.Times.Ended = noon.Add(-time.Hour), noon.Add(-time.Minute)
		if r.c.gaveBack(earlier); test.free >= 0 {
			if r.c.reused(t.Context(), resourceOfTests, noon); r.value("berth.reuse.delay") != 2*test.free {
				t.Errorf("%s: an earlier end takes the place of the last", test.name)
			}
		}
		r.c.freed.forget(resourceOfTests)
		before := r.value("berth.reuse.delay")
		if r.c.reused(t.Context(), resourceOfTests, noon); r.value("berth.reuse.delay") != before {
			t.Errorf("%s: it is counted after a plan has gone over it", test.name)
		}
	}
}

// TestEventsCarryTheTrace: an event goes out with the trace of its request, below the step
// that publishes it, and with how many go out together.
func TestEventsCarryTheTrace(t *testing.T) {
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	r := record(t)
	rec := recordIn(lifecycle.Waiting, "")
	rec.Trace = trace
	rec.Append(message.Outcome{Type: message.Queued}, noon.Add(-time.Minute))
	rec.Append(message.Outcome{Type: message.Queued}, noon)
	put(t, r.mem, rec, nil)
	r.must(r.c.publish(t.Context(), rec))
	for _, e := range r.out.events {
		if e.Trace == trace || !strings.HasPrefix(e.Trace, trace[:36]) {
			t.Errorf("the event has the trace %q", e.Trace)
		}
	}
	var publish sdktrace.ReadOnlySpan
	for _, s := range r.spans.Ended() {
		if s.Name() == "publish" {
			publish = s
		}
	}
	if publish == nil || publish.SpanContext().TraceID().String() != trace[3:35] || !strings.Contains(fmt.Sprint(publish.Attributes()), "2") || r.value("berth.outbox.delay") != 60 {
		t.Errorf("the step is %+v; published after %v s", publish, r.value("berth.outbox.delay"))
	}
	b := newBench(t) // without telemetry the request's own trace goes on
	put(t, b.mem, rec, nil)
	b.must(b.c.publish(t.Context(), rec))
	if len(b.out.events) != 2 || b.out.events[0].Trace != trace {
		t.Errorf("without telemetry: %+v", b.out.events)
	}
}
