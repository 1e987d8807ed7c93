package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	logging "cloud.google.com/go/logging/apiv2"
	"cloud.google.com/go/logging/apiv2/loggingpb"
	"github.com/googleapis/gax-go/v2"
	"github.com/googleapis/gax-go/v2/apierror"
	"golang.org/x/time/rate"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
)

// A logEntry is a line of a job's log.
type logEntry = loggingpb.LogEntry

const (
	oldestFirst = "timestamp asc"
	latestFirst = "timestamp desc"

	logPage   = 1000 // entries of a read, the most that Cloud Logging gives
	readBurst = 5    // reads that follow each other without a pause

	// overlap is how far behind the latest line a follower reads again, because lines of
	// several replicas do not come in order.
	overlap = 15 * time.Second

	leastBackoff = 5 * time.Second
	mostBackoff  = time.Minute // the quota of reads counts by the minute
)

// A logSelection says which lines of a project's log are read.
type logSelection struct {
	job      string // number
	since    time.Time
	severity string   // at least; "" for all
	tasks    []string // nil for all
}

// filter is the selection in the query language of Cloud Logging. It always has a time, so
// that no default of a reader's applies.
func (s logSelection) filter() string {
	parts := []string{`resource.type="ml_job"`, fmt.Sprintf("resource.labels.job_id=%q", s.job), fmt.Sprintf("timestamp>=%q", s.since.UTC().Format(time.RFC3339Nano))}
	if s.severity != "" {
		parts = append(parts, "severity>="+s.severity)
	}
	var tasks []string
	for _, task := range s.tasks {
		if strings.HasPrefix(task, "workerpool") && !strings.Contains(task, "-") {
			tasks = append(tasks, fmt.Sprintf("resource.labels.task_name:%q", task+"-"))
			continue
		}
		tasks = append(tasks, fmt.Sprintf("resource.labels.task_name=%q", task))
	}
	switch {
	case len(tasks) == 1:
		parts = append(parts, tasks[0])
	case len(tasks) > 1:
		parts = append(parts, "("+strings.Join(tasks, " OR ")+")")
	}
	return strings.Join(parts, " AND ")
}

// A logReader reads the log of one project, within the quota of reads, which all readers of
// the project share.
type logReader struct {
	client  *logging.Client
	project string // projects/P
	patient bool   // asks again after a failure that may pass
	clock   waiter
	pace    *rate.Limiter
	warn    func(format string, args ...any)
}

// openLog makes a reader of Cloud Logging, or of the local stack's fake.
func openLog(g *globals, clock waiter, project string, patient bool) (*logReader, error) {
	opts := []option.ClientOption{option.WithScopes("https://www.googleapis.com/auth/logging.read")}
	if g.pubsub != "" {
		if g.stack.Vertex == "" {
			return nil, usage("the local stack's file %s does not name its Vertex AI, which has the logs", g.stack.File)
		}
		opts = []option.ClientOption{option.WithEndpoint("http://" + g.stack.Vertex), option.WithoutAuthentication(), option.WithTelemetryDisabled()}
	}
	client, err := logging.NewRESTClient(g.ctx, opts...)
	if err != nil {
		return nil, fmt.Errorf("read Cloud Logging: %w. Application default credentials of a user: gcloud auth application-default login", err)
	}
	client.CallOptions.ListLogEntries = []gax.CallOption{gax.WithTimeout(g.Timeout)} // the reader itself asks again
	return &logReader{client: client, project: project, patient: patient, clock: clock, pace: rate.NewLimiter(rate.Every(leastRead), readBurst),
		warn: func(format string, args ...any) { say(g.err, format, args...) }}, nil
}

func (r *logReader) close() error { return r.client.Close() }

// each calls fn with the entries that a filter selects until fn wants no more. most is how
// many fn may want; 0 if that is not known.
func (r *logReader) each(ctx context.Context, filter, order string, most int, fn func(*logEntry) (more bool, err error)) error {
	req := &loggingpb.ListLogEntriesRequest{ResourceNames: []string{r.project}, Filter: filter, OrderBy: order, PageSize: logPage}
	if most > 0 {
		req.PageSize = int32(min(most, logPage))
	}
	it, asked := r.client.ListLogEntries(ctx, req), false
	for failures := 0; ; {
		if page := it.PageInfo(); page.Remaining() == 0 && (!asked || page.Token != "") {
			if err := r.clock.wait(ctx, r.pace.ReserveN(r.clock.now(), 1).DelayFrom(r.clock.now())); err != nil {
				return err
			}
			asked = true
		}
		e, err := it.Next()
		switch {
		case errors.Is(err, iterator.Done):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil:
			failures = 0
			if more, err := fn(e); err != nil || !more {
				return err
			}
			continue
		case failures == maxFailures || !r.again(err):
			return r.explain(err)
		}
		failures++
		pause := min(leastBackoff<<min(failures-1, 8), mostBackoff)
		if failures == 1 {
			r.warn("Asking again in %s: %v", pause, r.explain(err))
		}
		if err := r.clock.wait(ctx, pause); err != nil {
			return err
		}
		req.PageToken = it.PageInfo().Token // an iterator that has failed does not go on
		it, asked = r.client.ListLogEntries(ctx, req), false
	}
}

// again reports whether a read may succeed later: always where the quota was used up.
func (r *logReader) again(err error) bool {
	code := httpCode(err)
	return code == http.StatusTooManyRequests || r.patient && (code <= 0 || code >= 500)
}

// httpCode is the code of an answer; 0 without one.
func httpCode(err error) int {
	if e := (*apierror.APIError)(nil); errors.As(err, &e) {
		return e.HTTPCode()
	}
	return 0
}

// explain says what to do about an error of Cloud Logging.
func (r *logReader) explain(err error) error {
	what := "read the log of " + r.project
	switch httpCode(err) {
	case http.StatusForbidden:
		return fmt.Errorf("%s: the caller needs roles/logging.viewer on the project: %w", what, err)
	case http.StatusUnauthorized:
		return fmt.Errorf("%s: the application default credentials are not valid; renew them with gcloud auth application-default login: %w", what, err)
	case http.StatusTooManyRequests:
		return fmt.Errorf("%s: the quota of reads, 60 a minute for all readers of a project, is used up: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// recentLines are the lines that were printed lately, because reads overlap.
type recentLines struct {
	at     map[lineKey]bool
	latest time.Time
}

// A lineKey names an entry among those of a log.
type lineKey struct {
	at       time.Time
	log, key string
}

// add notes an entry, and reports whether it is new.
func (l *recentLines) add(e *logEntry) bool {
	at := e.GetTimestamp().AsTime()
	k := lineKey{at, e.GetLogName(), e.GetInsertId()}
	if l.at[k] {
		return false
	}
	if l.at == nil {
		l.at = map[lineKey]bool{}
	}
	l.at[k] = true
	if at.After(l.latest) {
		l.latest = at
	}
	return true
}

// forget drops what is before a time: no read finds it again.
func (l *recentLines) forget(before time.Time) {
	for k := range l.at {
		if k.at.Before(before) {
			delete(l.at, k)
		}
	}
}
