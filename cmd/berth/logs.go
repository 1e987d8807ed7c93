package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/statuspage"
)

type logsCmd struct {
	ID           string        `arg:"" help:"Request id, or what berth show takes."`
	Follow       bool          `short:"f" help:"Go on until the job has ended; before its submission, wait for it."`
	Limit        int           `default:"1000" help:"Print at most this many lines that are there already, the latest; 0 for all."`
	Since        string        `placeholder:"TIME" help:"Only lines since: 90m, 24h, 7d, a date (2006-01-31, local time) or a time of RFC 3339; by default since the request came."`
	Severity     string        `placeholder:"LEVEL" known:"severities" help:"Only lines of this severity or above, such as warning. Containers write standard error as ERROR."`
	Task         []string      `placeholder:"TASK" help:"Only lines of these tasks: workerpool0-0 is the first replica of the first worker pool, workerpool0 all of its replicas, service Vertex AI itself."`
	Raw          bool          `help:"Print the text as the job wrote it and nothing else. Not to a terminal, which control characters could take over."`
	PrintCommand bool          `help:"Print the gcloud command that does the same, and read nothing."`
	Every        time.Duration `default:"5s" help:"With --follow, how often to ask."`
	Unknown      time.Duration `default:"2m" help:"With --follow, how long the id may be unknown, because its message is still on its way."`
}

// Help is shown below the flags.
func (logsCmd) Help() string {
	return `Prints the lines of a request's job in Cloud Logging, with the caller's application default credentials, which need roles/logging.viewer on the project of the job. ` +
		`Lines come some seconds late, and need not come in order. With --json each is a line of JSON.

Without --follow it ends with 0 if the log was read, with 4 if the request has no job yet. With --follow it ends as berth submit --follow: 0 if the job succeeded, 5 if it failed or was cancelled. ` +
		`A request that was refused or ended without a job ends it with 3 or 5.`
}

// leastRead is the shortest time between two reads: a project has 60 a minute.
const leastRead = time.Second

// severities of Cloud Logging, in order.
var severities = []string{"DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY"}

var taskName = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)

func (c *logsCmd) check(g *globals) error {
	c.Severity = strings.ToUpper(c.Severity)
	switch s, _ := g.out.(*screen); {
	case c.ID == "":
		return usage("the id is empty")
	case c.Limit < 0 || c.Unknown < 0 || c.Every < leastRead:
		return usage("--limit %d, --unknown %s, --every %s: want 0 or more, 0 or more, and %s or more", c.Limit, c.Unknown, c.Every, leastRead)
	case c.Severity != "" && !slices.Contains(severities, c.Severity):
		return usage("--severity %s: want one of %s", c.Severity, strings.Join(severities, ", "))
	case c.Raw && g.JSON:
		return usage("--raw and --json: give one of them")
	case c.Raw && s != nil && s.terminal:
		return usage("--raw: standard output is a terminal; redirect it to a file or a pipe")
	}
	for _, task := range c.Task {
		if !taskName.MatchString(task) {
			return usage("--task %s: want a task such as workerpool0-0, workerpool1 or service", task)
		}
	}
	return nil
}

func (c *logsCmd) Run(g *globals) error { return c.run(g, machineClock{}) }

func (c *logsCmd) run(g *globals, clock waiter) error {
	if err := c.check(g); err != nil {
		return err
	}
	selects := logSelection{severity: c.Severity, tasks: c.Task}
	if c.Since != "" {
		var err error
		if selects.since, err = moment(c.Since, clock.now()); err != nil {
			return err
		}
	}
	d, err := g.open()
	if err != nil {
		return err
	}
	l := &logRun{logsCmd: c, globals: g, clock: clock, status: d, selects: selects}
	if c.Follow && !c.PrintCommand {
		return l.follow()
	}
	return l.once()
}

// A logRun is one run of the command.
type logRun struct {
	*logsCmd
	*globals
	clock   waiter
	status  *statusClient
	selects logSelection // with the time that the user gave, else zero

	reader *logReader
	job    string // whose log is read
	seen   recentLines
}

// once prints what is there.
func (l *logRun) once() error {
	r, _, err := l.status.request(l.globals, l.ID, "")
	if err != nil {
		return err
	}
	if r.Job == "" {
		return l.noJob(&r)
	}
	if l.PrintCommand {
		return l.command(&r)
	}
	if err := l.begin(&r); err != nil {
		return err
	}
	printed, err := l.printed(r.Job)
	if err == nil && printed == 0 {
		say(l.err, "No line of job %s matches. Lines come some seconds late.", short(r.Job))
	}
	return err
}

// noJob says why there is no log, and what the exit code is.
func (l *logRun) noJob(r *statuspage.Request) error {
	state, _, _ := strings.Cut(stateOf(*r), " ")
	if !r.Terminal {
		return &quit{exitWaits, fmt.Errorf("%s is %s and has no job yet, so there is no log; --follow waits for it", l.ID, state)}
	}
	err := fmt.Errorf("%s ended as %s without a job, so there is no log. See: berth show %s", l.ID, state, l.ID)
	if q := (*quit)(nil); errors.As(ended(r), &q) {
		return &quit{q.code, err}
	}
	return err
}

// begin makes the reader of a request's job.
func (l *logRun) begin(r *statuspage.Request) (err error) {
	if l.reader != nil {
		_ = l.reader.close() // nothing is read with it any more
	}
	l.job, l.seen = r.Job, recentLines{}
	l.reader, err = openLog(l.globals, l.clock, logProject(r), l.Follow)
	l.selects.job = short(r.Job)
	if l.Since == "" {
		l.selects.since = firstLine(r)
	}
	return err
}

// firstLine is a time before the first line of a request's job.
func firstLine(r *statuspage.Request) time.Time {
	if r.Times.Received.IsZero() {
		return r.AsOf.Add(-30 * 24 * time.Hour) // as long as Cloud Logging keeps lines by default
	}
	return r.Times.Received.Add(-time.Hour)
}

// logProject is the project that has the log: that of the persistent resource, which names
// it by its id; a job names it by its number.
func logProject(r *statuspage.Request) string {
	name := r.Job
	if strings.HasPrefix(r.Resource, "projects/") {
		name = r.Resource
	}
	parts := strings.Split(name, "/")
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// printed prints the lines of a job that are there, the latest ones, and returns how many.
func (l *logRun) printed(job string) (n int, err error) {
	if l.Limit == 0 {
		err = l.reader.each(l.ctx, l.selects.filter(), oldestFirst, 0, func(e *logEntry) (bool, error) {
			if !l.seen.add(e) {
				return true, nil
			}
			n++
			return true, l.line(job, e)
		})
		return n, err
	}
	var latest []*logEntry
	err = l.reader.each(l.ctx, l.selects.filter(), latestFirst, l.Limit+1, func(e *logEntry) (bool, error) {
		if l.seen.add(e) {
			latest = append(latest, e)
		}
		return len(latest) <= l.Limit, nil
	})
	if err != nil {
		return 0, err
	}
	if len(latest) > l.Limit {
		say(l.err, "There are earlier lines; raise --limit.")
		latest = latest[:l.Limit]
	}
	for _, e := range slices.Backward(latest) {
		if err := l.line(job, e); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// follow prints lines until the request has ended and no more come.
func (l *logRun) follow() error {
	began, failures, quiet, told := l.clock.now(), 0, 0, lifecycle.State("")
	for {
		r, _, err := l.status.request(l.globals, l.ID, "")
		unknown := notFound(err) && l.clock.now().Sub(began) < l.Unknown
		switch {
		case l.ctx.Err() != nil:
			return &quit{code: exitInterrupted}
		case unknown:
		case err != nil && (!transient(err) || failures == maxFailures):
			return err
		case err != nil:
			if failures++; failures == 1 {
				say(l.err, "Asking again: %v", err)
			}
		case r.Job == "" && r.Terminal:
			return l.noJob(&r)
		case r.Job == "":
			failures = 0
			if r.State != told {
				say(l.err, "%s is %s; its log begins with its job.", l.ID, r.State)
				told = r.State
			}
		default:
			failures = 0
			n, err := l.more(&r)
			switch {
			case l.ctx.Err() != nil:
				return &quit{code: exitInterrupted}
			case err != nil:
				return err
			case n > 0 || !r.Terminal:
				quiet = 0
			default:
				quiet++
			}
			// Lines come late: two reads without one end it, and one where the end is past.
			if r.Terminal && (quiet == 2 || r.AsOf.Sub(r.Times.Ended) > pastEnd) {
				return ended(&r)
			}
		}
		if l.clock.wait(l.ctx, l.Every) != nil {
			return &quit{code: exitInterrupted}
		}
	}
}

// pastEnd is how long after its end a job writes no more lines.
const pastEnd = time.Minute

// more prints the lines that are new, and returns how many.
func (l *logRun) more(r *statuspage.Request) (n int, err error) {
	if r.Job != l.job {
		if l.job != "" {
			say(l.err, "%s has another job now: %s", l.ID, short(r.Job))
		}
		if err := l.begin(r); err != nil {
			return 0, err
		}
		return l.printed(r.Job)
	}
	selects := l.selects
	if from := l.seen.latest.Add(-overlap); from.After(selects.since) {
		selects.since = from
	}
	l.seen.forget(selects.since)
	err = l.reader.each(l.ctx, selects.filter(), oldestFirst, 0, func(e *logEntry) (bool, error) {
		if !l.seen.add(e) {
			return true, nil
		}
		n++
		return true, l.line(r.Job, e)
	})
	return n, err
}

// command prints what reads the log with gcloud.
func (l *logRun) command(r *statuspage.Request) error {
	if l.Since == "" {
		l.selects.since = firstLine(r)
	}
	l.selects.job = short(r.Job)
	project := short(logProject(r))
	text := fmt.Sprintf("gcloud logging read '%s' --project=%s --format='value(timestamp,severity,resource.labels.task_name,textPayload,jsonPayload.message)'", l.selects.filter(), project)
	switch parts := strings.Split(r.Job, "/"); {
	case l.Follow && len(parts) > 3:
		text = fmt.Sprintf("gcloud ai custom-jobs stream-logs %s --region=%s --project=%s", short(r.Job), parts[3], project)
	case l.Limit > 0:
		text += fmt.Sprintf(" --limit=%d", l.Limit) // the latest first
	default:
		text += " --order=asc"
	}
	if v := l.stack.Vertex; l.pubsub != "" && v != "" {
		text = fmt.Sprintf("CLOUDSDK_API_ENDPOINT_OVERRIDES_AIPLATFORM=http://%s/ CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING=http://%s/ CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true ", v, v) + text
	}
	if l.JSON {
		return printJSON(l.out, map[string]string{"command": text})
	}
	say(l.out, "%s", text)
	return nil
}

// A waiter is a clock that can be waited on. Tests have their own.
type waiter interface {
	now() time.Time
	wait(ctx context.Context, d time.Duration) error
}

type machineClock struct{}

func (machineClock) now() time.Time { return time.Now() }

func (machineClock) wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
