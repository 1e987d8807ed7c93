package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/localstack/statefile"
	"example.com/berth/internal/message"
	"example.com/berth/internal/statuspage"
)

// A logWorld is a Status function with one request, a Cloud Logging with the log of its job,
// and a clock that moves when it is waited on.
type logWorld struct {
	*testing.T
	request *statuspage.Request // nil: unknown
	entries []map[string]any
	page    int   // entries of a page at most; 0 for as many as asked for
	codes   []int // answers to the next reads in the place of entries

	time  time.Time
	waits []time.Duration
	then  []func() // what happens at the first wait, at the second, ...
	reads []logRead
}

type logRead struct {
	ResourceNames              []string
	Filter, OrderBy, PageToken string
	PageSize                   int
}

const (
	logJob  = "projects/123456789012/locations/us-central1/customJobs/77"
	logPool = "projects/my-project/locations/us-central1/persistentResources/pool"
)

func newLogWorld(t *testing.T) *logWorld {
	t.Setenv("TZ", "UTC")
	w := &logWorld{T: t, time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	w.request = &statuspage.Request{ID: "r", Kind: message.KindRequest, State: lifecycle.Running, Job: logJob, Resource: logPool, Times: message.Times{Received: w.time.Add(-10 * time.Minute)}}
	return w
}

func (w *logWorld) now() time.Time { return w.time }

func (w *logWorld) wait(ctx context.Context, d time.Duration) error {
	if d > 0 {
		w.waits, w.time = append(w.waits, d), w.time.Add(d)
		if len(w.then) > 0 {
			next := w.then[0]
			w.then = w.then[1:]
			next()
		}
	}
	return ctx.Err()
}

// line adds a line of the first replica, so many seconds after noon.
func (w *logWorld) line(second int, text string) {
	w.entries = append(w.entries, map[string]any{"insertId": fmt.Sprint("i", len(w.entries)), "logName": "projects/my-project/logs/x", "severity": "INFO", "textPayload": text,
		"timestamp": w.time.Truncate(time.Hour).Add(time.Duration(second) * time.Second).Format(time.RFC3339Nano),
		"resource":  map[string]any{"type": "ml_job", "labels": map[string]string{"job_id": "77", "task_name": "workerpool0-0"}}})
}

func (w *logWorld) end(state lifecycle.State) func() {
	return func() {
		w.request.State, w.request.Terminal, w.request.Times.Ended = state, true, w.time
	}
}

var sinceOf = regexp.MustCompile(`timestamp>="([^"]+)"`)

func (w *logWorld) serveLog(rw http.ResponseWriter, r *http.Request) {
	var read logRead
	if err := json.NewDecoder(r.Body).Decode(&read); err != nil || r.URL.Path != "/v2/entries:list" {
		w.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	w.reads = append(w.reads, read)
	if len(w.codes) > 0 {
		code := w.codes[0]
		w.codes = w.codes[1:]
		if code != 0 {
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(code)
			_, _ = fmt.Fprintf(rw, `{"error":{"code":%d,"message":"Google says no."}}`, code)
			return
		}
	}
	since, err := time.Parse(time.RFC3339Nano, sinceOf.FindStringSubmatch(read.Filter)[1])
	if err != nil {
		w.Errorf("filter %s: %v", read.Filter, err)
	}
	found := []map[string]any{}
	for _, e := range w.entries {
		if at, _ := time.Parse(time.RFC3339Nano, e["timestamp"].(string)); !at.Before(since) {
			found = append(found, e)
		}
	}
	slices.SortStableFunc(found, func(a, b map[string]any) int {
		return strings.Compare(a["timestamp"].(string), b["timestamp"].(string))
	})
	if read.OrderBy == latestFirst {
		slices.Reverse(found)
	}
	from, _ := strconv.Atoi(read.PageToken)
	size := read.PageSize
	if w.page > 0 {
		size = min(size, w.page)
	}
	to := min(from+size, len(found))
	answer := map[string]any{"entries": found[from:to]}
	if to < len(found) {
		answer["nextPageToken"] = fmt.Sprint(to)
	}
	if err := json.NewEncoder(rw).Encode(answer); err != nil {
		w.Error(err)
	}
}

func (w *logWorld) serveStatus(rw http.ResponseWriter, _ *http.Request) {
	if w.request == nil {
		rw.WriteHeader(http.StatusNotFound)
		fmt.Fprint(rw, `{"error":{"code":"NOT_FOUND","detail":"It is unknown."}}`)
		return
	}
	r := *w.request
	r.AsOf = w.time
	if err := json.NewEncoder(rw).Encode(r); err != nil {
		w.Error(err)
	}
}

// logs runs the command and returns its exit code; at is the address of the log, "" for
// that of the world.
func (w *logWorld) logs(c logsCmd, more ...func(*globals)) (code int, out, errs string) {
	w.Helper()
	status, log := httptest.NewServer(http.HandlerFunc(w.serveStatus)), httptest.NewServer(http.HandlerFunc(w.serveLog))
	defer status.Close()
	defer log.Close()
	var o, e bytes.Buffer
	g := &globals{ctx: w.Context(), out: &o, err: &e, target: target{Project: "my-project", StatusURL: status.URL, Timeout: 10 * time.Second,
		pubsub: "x", stack: statefile.State{Vertex: strings.TrimPrefix(log.URL, "http://")}}}
	for _, change := range more {
		change(g)
	}
	c.ID = "r"
	if c.Every == 0 {
		c.Every = 5 * time.Second
	}
	err := c.run(g, w)
	if err != nil && err.Error() != "" {
		fmt.Fprintln(&e, err)
	}
	return exitCode(err), o.String(), e.String()
}

// lines are the printed lines without their beginnings.
func lines(out string) (texts []string) {
	for row := range strings.Lines(out) {
		_, text, _ := strings.Cut(row, "workerpool0-0  ")
		texts = append(texts, strings.TrimSuffix(text, "\n"))
	}
	return texts
}

func (w *logWorld) want(name string, code, wantCode int, out string, want ...string) {
	w.Helper()
	if got := lines(out); code != wantCode || !slices.Equal(got, want) {
		w.Errorf("%s: it ends with %d, want %d, and\n%q, want\n%q", name, code, wantCode, got, want)
	}
}

// exitCode is that of the tool for an error.
func exitCode(err error) int {
	q := (*quit)(nil)
	switch {
	case err == nil:
		return 0
	case errors.As(err, &q):
		return q.code
	}
	return exitError
}

func asJSON(g *globals) { g.JSON = true }

func TestLogLines(t *testing.T) {
	w := newLogWorld(t)
	w.line(1, "It runs.\nTwo\tcolumns\r\n")
	w.line(2, "\x1b[31mred\x1b[0m \x1b[2Jgone\u202e\u200b 10%\r20%")
	w.line(3, "")
	w.entries[2]["severity"] = "ERROR"
	delete(w.entries[2], "textPayload")
	w.entries[2]["jsonPayload"] = map[string]any{"message": "from a logger", "step": 3}
	w.line(4, "")
	delete(w.entries[3], "textPayload")
	w.entries[3]["jsonPayload"] = map[string]any{"loss": 0.5, "step": 4}
	w.entries[3]["resource"] = map[string]any{"labels": map[string]string{"task_name": "service"}}
	code, out, errs := w.logs(logsCmd{})
	want := `2026-03-01 12:00:01 UTC  INFO     workerpool0-0  It runs.
2026-03-01 12:00:01 UTC  INFO     workerpool0-0  Two    columns
2026-03-01 12:00:02 UTC  INFO     workerpool0-0  red \x1b[2Jgone\u202e\u200b 10%
2026-03-01 12:00:02 UTC  INFO     workerpool0-0  20%
2026-03-01 12:00:03 UTC  ERROR    workerpool0-0  from a logger
2026-03-01 12:00:04 UTC  INFO     service        {"loss":0.5,"step":4}
`
	if code != 0 || errs != "" || out != want {
		t.Errorf("%d, %s\n%q, want\n%q", code, errs, out, want)
	}
	code, out, _ = w.logs(logsCmd{}, asJSON)
	if want := `{"time":"2026-03-01T12:00:02Z","severity":"INFO","task":"workerpool0-0","text":"\u001b[31mred\u001b[0m \u001b[2Jgone\u202e\u200b 10%\r20%","job":"` + logJob + `","insertId":"i1"}`; code != 0 || strings.Split(out, "\n")[1] != want {
		t.Errorf("%d\n%s, want\n%s", code, out, want)
	}
	if want := `{"time":"2026-03-01T12:00:03Z","severity":"ERROR","task":"workerpool0-0","text":"from a logger","payload":{"message":"from a logger","step":3},"job":"` + logJob + `","insertId":"i2"}`; strings.Split(out, "\n")[2] != want {
		t.Errorf("%s, want\n%s", out, want)
	}
	if code, out, _ = w.logs(logsCmd{Raw: true}); code != 0 || !strings.HasPrefix(out, "It runs.\nTwo\tcolumns\r\n\x1b[31mred\x1b[0m") || !strings.HasSuffix(out, "\nfrom a logger\n{\"loss\":0.5,\"step\":4}\n") {
		t.Errorf("%d, %q", code, out)
	}
	if code, out, errs = w.logs(logsCmd{Raw: true}, func(g *globals) { g.out = &screen{Writer: g.out, terminal: true} }); code != exitUsage || out != "" || !strings.Contains(errs, "--raw") {
		t.Errorf("raw on a terminal: %d, %q, %s", code, out, errs)
	}
}

func TestLogLinesOnATerminal(t *testing.T) {
	w := newLogWorld(t)
	w.line(1, "a")
	w.entries[0]["severity"] = "ERROR"
	var b bytes.Buffer
	for width, want := range map[int]string{
		60: "12:00:01  \x1b[31mERROR\x1b[0m    workerpool0-0  a\n",
		80: "2026-03-01 12:00:01 UTC  \x1b[31mERROR\x1b[0m    workerpool0-0  a\n",
	} {
		b.Reset()
		code, _, _ := w.logs(logsCmd{}, func(g *globals) { g.out = &screen{Writer: &b, terminal: true, width: width, colour: true} })
		if code != 0 || b.String() != want {
			t.Errorf("%d columns: %d, %q, want %q", width, code, b.String(), want)
		}
	}
}

// The latest lines are printed, oldest first and once each, however many pages they are in.
func TestLogsLimit(t *testing.T) {
	w := newLogWorld(t)
	for i := range 7 {
		w.line(i, fmt.Sprint("line ", i))
	}
	w.entries = append(w.entries, w.entries[6]) // Cloud Logging may give one twice
	w.page = 2
	code, out, errs := w.logs(logsCmd{Limit: 3})
	w.want("limit", code, 0, out, "line 4", "line 5", "line 6")
	if !strings.Contains(errs, "raise --limit") || len(w.reads) != 3 || w.reads[0].PageSize != 4 {
		t.Errorf("%s after %+v", errs, w.reads)
	}
	w.reads = nil
	code, out, errs = w.logs(logsCmd{Limit: 7})
	w.want("all", code, 0, out, "line 0", "line 1", "line 2", "line 3", "line 4", "line 5", "line 6")
	if errs != "" {
		t.Error(errs)
	}
	w.reads = nil
	code, out, _ = w.logs(logsCmd{})
	w.want("without limit", code, 0, out, "line 0", "line 1", "line 2", "line 3", "line 4", "line 5", "line 6")
	if len(w.reads) != 4 || w.reads[0].OrderBy != oldestFirst || w.reads[0].PageSize != logPage || fmt.Sprint(w.reads[0].ResourceNames) != "[projects/my-project]" {
		t.Errorf("%+v", w.reads)
	}
	// Reads keep within 60 a minute: five at once, then one a second.
	w.page, w.reads, w.waits = 1, nil, nil
	code, _, _ = w.logs(logsCmd{})
	if want := []time.Duration{time.Second, time.Second, time.Second}; code != 0 || len(w.reads) != 8 || !slices.Equal(w.waits, want) {
		t.Errorf("%d, %d reads with pauses of %v", code, len(w.reads), w.waits)
	}
	w.entries, w.waits = nil, nil
	code, out, errs = w.logs(logsCmd{})
	if code != 0 || out != "" || !strings.HasPrefix(errs, "No line of job 77 matches.") {
		t.Errorf("%d, %q, %s", code, out, errs)
	}
}

// A follower waits for the job, prints each line once in the order in which they come, late
// ones too, and ends as the request when two reads after its end bring nothing.
func TestLogsFollow(t *testing.T) {
	for _, end := range []struct {
		state lifecycle.State
		code  int
	}{{lifecycle.Succeeded, 0}, {lifecycle.Failed, exitEndedBadly}, {lifecycle.Cancelled, exitEndedBadly}} {
		w := newLogWorld(t)
		known := *w.request
		w.request = nil
		w.line(20, "twenty")
		w.then = []func(){
			func() { w.request = &statuspage.Request{ID: "r", State: lifecycle.Waiting} },
			func() { w.request = &known },
			func() { w.line(30, "thirty"); w.line(16, "sixteen, late") },
			w.end(end.state),
			func() { w.line(31, "last") },
		}
		code, out, errs := w.logs(logsCmd{Follow: true, Limit: 10, Unknown: time.Minute})
		w.want(string(end.state), code, end.code, out, "twenty", "sixteen, late", "thirty", "last")
		if errs != "r is WAITING; its log begins with its job.\n" {
			t.Errorf("it says %q", errs)
		}
		// Two waits for the job, then reads every 5 s: the first, the two lines, nothing at the
		// end, the last line, and twice nothing.
		if want := slices.Repeat([]time.Duration{5 * time.Second}, 7); !slices.Equal(w.waits, want) || len(w.reads) != 6 {
			t.Errorf("%d reads, waits of %v", len(w.reads), w.waits)
		}
		for i, since := range []string{"2026-03-01T10:50:00Z", "2026-03-01T12:00:05Z", "2026-03-01T12:00:15Z"} {
			if got := sinceOf.FindStringSubmatch(w.reads[i].Filter)[1]; got != since {
				t.Errorf("read %d begins at %s, want %s", i, got, since)
			}
		}
	}
	// The log of a job that ended long ago is read once.
	w := newLogWorld(t)
	w.line(1, "old")
	w.end(lifecycle.Succeeded)()
	w.time = w.time.Add(2 * time.Minute)
	code, out, _ := w.logs(logsCmd{Follow: true, Limit: 10})
	w.want("ended", code, 0, out, "old")
	if len(w.waits) != 0 || len(w.reads) != 1 {
		t.Errorf("%d reads, waits of %v", len(w.reads), w.waits)
	}
	// A request that an operator requeues gets another job, whose log is followed.
	w = newLogWorld(t)
	w.line(1, "first job")
	w.then = []func(){func() {
		w.request.Job, w.entries = strings.Replace(logJob, "77", "78", 1), nil
		w.line(2, "second job")
	}, w.end(lifecycle.Succeeded)}
	code, out, errs := w.logs(logsCmd{Follow: true, Limit: 10})
	w.want("another job", code, 0, out, "first job", "second job")
	if errs != "r has another job now: 78\n" || !strings.Contains(w.reads[1].Filter, `resource.labels.job_id="78"`) {
		t.Errorf("%s, %+v", errs, w.reads)
	}
}

func TestLogsWithoutAJob(t *testing.T) {
	for name, test := range map[string]struct {
		request statuspage.Request
		code    int
		says    string
	}{
		"waits":     {statuspage.Request{State: lifecycle.Waiting}, exitWaits, "r is WAITING and has no job yet"},
		"rejected":  {statuspage.Request{State: lifecycle.Rejected, Terminal: true}, exitRefused, "r ended as REJECTED without a job"},
		"cancelled": {statuspage.Request{State: lifecycle.Cancelled, Terminal: true}, exitEndedBadly, "r ended as CANCELLED without a job"},
		"refused": {statuspage.Request{Kind: message.KindAnswer, Terminal: true, Events: []statuspage.Event{{Type: message.Refused}}},
			exitRefused, "r ended as REFUSED without a job"},
	} {
		w := newLogWorld(t)
		w.request = &test.request
		for _, c := range []logsCmd{{}, {PrintCommand: true}, {Follow: true}} {
			if c.Follow && !test.request.Terminal {
				continue
			}
			if code, out, errs := w.logs(c); code != test.code || out != "" || !strings.Contains(errs, test.says) || len(w.reads) > 0 {
				t.Errorf("%s, %+v: %d, %q, %s", name, c, code, out, errs)
			}
		}
	}
	w := newLogWorld(t)
	w.request = nil
	code, _, errs := w.logs(logsCmd{})
	if code != exitError || !strings.Contains(errs, "It is unknown.") {
		t.Errorf("%d, %s", code, errs)
	}
	if code, _, errs = w.logs(logsCmd{Follow: true, Unknown: 10 * time.Second}); code != exitError || !strings.Contains(errs, "It is unknown.") || len(w.waits) != 2 {
		t.Errorf("%d, %s, after %v", code, errs, w.waits)
	}
}

// Where the quota is used up it waits longer each time, and where the caller may not read it
// says which role is missing.
func TestLogsFailures(t *testing.T) {
	w := newLogWorld(t)
	w.line(1, "a")
	w.line(2, "b")
	w.page = 1
	w.codes = []int{0, 429, 429, 429, 0, 429}
	code, out, errs := w.logs(logsCmd{})
	w.want("quota", code, 0, out, "a", "b")
	if strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "Asking again in 5s: read the log of projects/my-project: the quota of reads, 60 a minute") {
		t.Error(errs)
	}
	if want := []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second}; !slices.Equal(w.waits, want) {
		t.Errorf("it waits %v", w.waits)
	}
	w = newLogWorld(t)
	w.codes = slices.Repeat([]int{429}, 20)
	code, out, _ = w.logs(logsCmd{})
	if longest := slices.Max(w.waits); code != exitError || out != "" || len(w.reads) != maxFailures+1 || longest != mostBackoff {
		t.Errorf("%d, %d reads, waits of %v", code, len(w.reads), w.waits)
	}
	for codeOf, says := range map[int]string{403: "the caller needs roles/logging.viewer on the project", 401: "gcloud auth application-default login", 400: "Google says no", 503: "Google says no"} {
		w := newLogWorld(t)
		w.codes = []int{codeOf}
		if code, _, errs := w.logs(logsCmd{}); code != exitError || !strings.Contains(errs, says) || !strings.Contains(errs, "Google says no") || len(w.reads) != 1 {
			t.Errorf("%d: %d after %d reads, %s", codeOf, code, len(w.reads), errs)
		}
	}
	// A follower asks again after an outage, and gives up at once where it may not read.
	w = newLogWorld(t)
	w.line(1, "a")
	w.codes = []int{503, 503}
	w.then = []func(){func() {}, w.end(lifecycle.Succeeded)}
	code, out, errs = w.logs(logsCmd{Follow: true, Limit: 5})
	w.want("outage", code, 0, out, "a")
	if strings.Count(errs, "Asking again") != 1 {
		t.Error(errs)
	}
	w = newLogWorld(t)
	w.codes = []int{403}
	if code, _, errs := w.logs(logsCmd{Follow: true, Limit: 5}); code != exitError || len(w.waits) > 0 || !strings.Contains(errs, "roles/logging.viewer") {
		t.Errorf("%d, %s", code, errs)
	}
}

func TestLogsFlags(t *testing.T) {
	for name, test := range map[string]struct {
		c    logsCmd
		says string
	}{
		"limit":    {logsCmd{Limit: -1}, "--limit -1"},
		"every":    {logsCmd{Every: 10 * time.Millisecond}, "--every 10ms"},
		"severity": {logsCmd{Severity: "loud"}, "--severity LOUD"},
		"since":    {logsCmd{Since: "noon"}, `--since "noon"`},
		"task":     {logsCmd{Task: []string{`x" OR "`}}, "--task"},
	} {
		w := newLogWorld(t)
		if code, _, errs := w.logs(test.c); code != exitUsage || !strings.Contains(errs, test.says) || len(w.reads) > 0 {
			t.Errorf("%s: %d, %s", name, code, errs)
		}
	}
	w := newLogWorld(t)
	if code, _, _ := w.logs(logsCmd{Raw: true}, asJSON); code != exitUsage {
		t.Errorf("--raw and --json: %d", code)
	}
	w.line(1, "a")
	code, _, _ := w.logs(logsCmd{Since: "1h", Severity: "warning", Task: []string{"service", "workerpool1", "workerpool0-3"}, Limit: 5})
	want := `resource.type="ml_job" AND resource.labels.job_id="77" AND timestamp>="2026-03-01T11:00:00Z" AND severity>=WARNING AND ` +
		`(resource.labels.task_name="service" OR resource.labels.task_name:"workerpool1-" OR resource.labels.task_name="workerpool0-3")`
	if code != 0 || w.reads[0].Filter != want {
		t.Errorf("%d\n%s, want\n%s", code, w.reads[0].Filter, want)
	}
	w.reads = nil
	code, out, _ := w.logs(logsCmd{PrintCommand: true, Limit: 9}, func(g *globals) { g.pubsub, g.Token, g.Project = "", "t", "my-project" })
	want = `gcloud logging read 'resource.type="ml_job" AND resource.labels.job_id="77" AND timestamp>="2026-03-01T10:50:00Z"' --project=my-project ` +
		`--format='value(timestamp,severity,resource.labels.task_name,textPayload,jsonPayload.message)' --limit=9` + "\n"
	if code != 0 || out != want || len(w.reads) > 0 {
		t.Errorf("%d\n%s, want\n%s", code, out, want)
	}
	code, out, _ = w.logs(logsCmd{PrintCommand: true, Follow: true})
	if !strings.HasSuffix(out, " gcloud ai custom-jobs stream-logs 77 --region=us-central1 --project=my-project\n") || !strings.HasPrefix(out, "CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM=http://127.0.0.1:") || code != 0 {
		t.Errorf("%d, %s", code, out)
	}
}
