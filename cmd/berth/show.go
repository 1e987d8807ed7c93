package main

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

type showCmd struct {
	watchFlags

	ID   string `arg:"" help:"Request id, or the id of the message where the request has none, or the name or number of its job."`
	Kind string `enum:"request,message,answer,job," default:"" placeholder:"request|message|answer|job" help:"What kind of id it is; by default the first of these that is known."`
}

func (c *showCmd) Run(g *globals) error {
	if c.ID == "" {
		return usage("the id is empty")
	}
	d, err := g.open()
	if err != nil {
		return err
	}
	return c.run(g, func(g *globals) (ended bool, err error) { return c.once(g, d) })
}

func (c *showCmd) once(g *globals, d *statusClient) (ended bool, err error) {
	r, text, err := d.request(g, c.ID, c.Kind)
	if err != nil {
		return false, err
	}
	if g.JSON {
		return r.Terminal, indent(g.out, text)
	}
	head(g.out, r)
	if r.State == lifecycle.Waiting || r.State == lifecycle.Rejected {
		fit(g.out, r.Fit, r.Verdict == admission.Wait)
	}
	history(g.out, r.Events)
	if len(r.Warnings) > 0 {
		say(g.out, "")
		say(g.out, "Warnings:")
		problems(g.out, r.Warnings)
	}
	return r.Terminal, nil
}

// request asks for one request; an empty kind means any.
func (d *statusClient) request(g *globals, id, kind string) (r statuspage.Request, text []byte, err error) {
	query := g.inTenant(url.Values{})
	if kind != "" {
		query.Set("kind", kind)
	}
	text, err = d.get(g.ctx, &r, query, "requests", id)
	return r, text, err
}

func head(w io.Writer, r statuspage.Request) {
	t := newTable(w)
	row := func(name string, value any) {
		if s := fmt.Sprint(value); s != "" && s != "-" {
			t.row(name, s)
		}
	}
	if r.Kind == message.KindAnswer {
		row("Message", r.ID)
	} else {
		row("Request", r.ID)
	}
	if r.Kind == message.KindMessage && r.CancelledUntil.IsZero() {
		row("Kind", "message (the request has no id of its own)")
	}
	row("Tenant", r.Tenant)
	row("State", stateOf(r))
	row("Reason", problem(r.Reason))
	if r.Reason != nil {
		row("Fix", r.Reason.Fix)
	}
	if r.JobError != nil {
		row("Error", fmt.Sprintf("%s (code %d)", r.JobError.Message, r.JobError.Code))
	}
	row("Resource", r.Resource)
	row("Name", r.DisplayName)
	row("Asked", asked(r.Ask))
	if r.Priority != 0 {
		row("Priority", r.Priority)
	}
	if r.PolicyVersion != 0 {
		row("Policy", fmt.Sprintf("version %d", r.PolicyVersion))
	}
	if r.Concurrency.Key != "" {
		row("Concurrency", fmt.Sprintf("%s, %s", r.Concurrency.Key, r.Concurrency.Policy))
	}
	row("Expected", expected(r.Expected))
	if r.State == lifecycle.Waiting {
		row("Ahead", ahead(r.Live))
		if !r.StartsBy.IsZero() {
			row("Starts by", clock(r.StartsBy)+", by the time limits of the jobs that run")
		}
		if !r.Bound.IsZero() {
			row("Bound", clock(r.Bound)+", if no request comes that is before it in order, the pools stay and jobs keep to their limits")
		}
		row("Waits until", clock(r.TimerAt))
		row("Pools observed", clock(r.ObservedAt))
	}
	if r.Hold != nil {
		row("Ends by", endsBy(*r.Hold))
	}
	row("Job", r.Job)
	row("Job state", r.JobState)
	if r.State == lifecycle.Submitting {
		row("Attempt", fmt.Sprintf("%d, may act until %s", r.Attempt, clock(r.ActUntil)))
	}
	times(row, r)
	t.end()
}

// endsBy says by when a job that holds replicas has ended, by its time limit.
func endsBy(h statuspage.Hold) string {
	switch at := clock(h.LatestEnd); {
	case h.LatestEnd.IsZero():
		return ""
	case h.Overstays:
		return at + ", and it still runs"
	default:
		return at
	}
}

// ahead says what comes before a waiting request.
func ahead(l statuspage.Live) string {
	switch b := l.Before; {
	case b == nil && l.Ahead == nil:
		return ""
	case b == nil:
		return fmt.Sprint(*l.Ahead)
	case b.Requests == 0:
		return "0"
	case b.HigherPriority > 0:
		return fmt.Sprintf("%d for %s, %d of them of a higher priority", b.Requests, reason.Count(b.Replicas, "replica"), b.HigherPriority)
	default:
		return fmt.Sprintf("%d for %s", b.Requests, reason.Count(b.Replicas, "replica"))
	}
}

// expected is how long a job is expected to run, and by how many others; "" if that is
// not known.
func expected(e *statuspage.Expected) string {
	if e == nil {
		return ""
	}
	return fmt.Sprintf("to run %s, by %s like it", span(time.Duration(e.Run)), reason.Count(int(e.Jobs), "job"))
}

// stateOf adds details that the word of the state leaves out.
func stateOf(r statuspage.Request) string {
	switch {
	case r.Kind == message.KindAnswer && len(r.Events) > 0 && r.Events[0].Type == message.Quoted:
		return "QUOTED (a dry run): " + r.Events[0].Outcome.Verdict
	case r.Kind == message.KindAnswer && len(r.Events) > 0 && r.Events[0].Type == message.Noted:
		return "NOTED (a cancel of an id that was unknown)"
	case r.Kind == message.KindAnswer && len(r.Events) > 0 && r.Events[0].Type == message.Duplicate:
		return "DUPLICATE (the request was published again after it had ended as " + r.Events[0].Outcome.State + ")"
	case done(&r):
		return "DONE (the operator's message was done)"
	case r.Kind == message.KindAnswer:
		return "REFUSED (the message made no request)"
	case !r.CancelledUntil.IsZero():
		return "UNKNOWN (cancelled in advance: a request that arrives under this id before " + clock(r.CancelledUntil) + " is cancelled)"
	case r.State == lifecycle.Waiting && r.Verdict == admission.Admit:
		return "WAITING (it fits now, and starts at the next pass)"
	case r.State == lifecycle.Waiting && r.Verdict == admission.Refuse:
		return "WAITING (it can never fit, and is refused at the next pass)"
	}
	return string(r.State)
}

func times(row func(string, any), r statuspage.Request) {
	t := r.Times
	row("Published", clock(t.Published))
	row("Received", clock(t.Received))
	row("Queued", clock(t.Queued))
	row("Reserved", clock(t.Reserved))
	row("Submitted", clock(t.Submitted))
	row("Started", clock(t.Started))
	row("Ended", clock(t.Ended))
	after := func(name string, from, to time.Time) {
		if !from.IsZero() && to.After(from) {
			row(name, span(to.Sub(from)))
		}
	}
	if r.State == lifecycle.Waiting {
		after("Waited", t.Received, r.AsOf)
	} else {
		after("Waited", t.Received, t.Reserved)
	}
	if r.State.Terminal() {
		after("Ran", t.Started, t.Ended)
	} else {
		after("Ran", t.Started, r.AsOf)
	}
}

// historyDetail names a job by its number, because the head of the page has its
// full name.
func historyDetail(e statuspage.Event) string {
	text := strings.TrimSpace(detail(e))
	if text != "" && text == e.Outcome.Job {
		return "job " + short(text)
	}
	return text
}

// history writes one row per event.
func history(w io.Writer, events []statuspage.Event) {
	if len(events) == 0 {
		return
	}
	say(w, "")
	t := newTable(w, "#", "TIME", "EVENT", "SENT", "DETAIL")
	for _, e := range events {
		sent := "yes"
		if !e.Published {
			sent = "not yet"
		}
		t.row(e.Sequence, clock(e.Time), word(e.Type), sent, historyDetail(e))
	}
	t.end()
	for _, e := range events {
		problems(w, e.Outcome.Problems)
	}
}
