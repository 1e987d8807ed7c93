package html

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

// A requestView is what a page shows of one request.
type requestView struct {
	ID       string
	State    badge
	Word     string // the state in words
	Why      why
	Error    string
	Facts    []fact
	Starter  string
	Fits     []fitView
	Events   []eventView
	Warnings []why
	Commands []command
	Job      jobLink
	Live     bool
}

// A fact is a name and a value.
type fact struct {
	Name  string
	Lines []string
	When  when
	Link  link
}

// A fitView is the arithmetic of one shape of a request.
type fitView struct {
	Shape       string
	Verdict     badge
	WorkerPools string
	Asked       capacity.Replicas
	Limit       capacity.Replicas
	Taken       capacity.Replicas
	Short       capacity.Replicas
	ScaleUp     bool
	Pools       string
	Nearest     []diffView
	Edits       []string
}

// A diffView is how a request differs from one pool.
type diffView struct {
	Pool   string
	Fields []capacity.FieldDiff
}

// An eventView is one step of a request's life.
type eventView struct {
	Number    int64
	Word      string
	Kind      string
	When      when
	After     string // since the step before it
	Why       why
	Problems  []why
	Detail    []string
	Published bool
}

// Request is the request of the page.
func (p *page) Request() requestView {
	r := p.request.Value
	v := requestView{
		ID: r.ID, State: badgeOf(statusOf(r)), Word: stateWords(r), Why: whyOf(r.Reason), Live: !r.Terminal, Job: linkTo(r.Job),
		Warnings: whys(r.Warnings), Commands: commands(r.Tenant, r.ID, r.Job, !r.Terminal && r.Kind != message.KindAnswer),
	}
	if r.JobError != nil {
		v.Error = fmt.Sprintf("%s (code %d)", r.JobError.Message, r.JobError.Code)
	}
	if r.State == lifecycle.Waiting && (r.Verdict == admission.Wait || r.Verdict == "") {
		v.Starter = starter(r.Live) // of others the words of the state say it
	}
	v.Facts = p.facts(r)
	for _, f := range r.Fit {
		v.Fits = append(v.Fits, fitOf(f))
	}
	last := time.Time{}
	for _, e := range r.Events {
		v.Events = append(v.Events, eventOf(e, last, r.AsOf))
		last = e.Time
	}
	return v
}

// statusOf is the state of a request, or what kind of answer it is.
func statusOf(r statuspage.Request) string {
	if r.Kind != message.KindAnswer {
		return string(r.State)
	}
	if len(r.Events) > 0 {
		switch e := r.Events[0]; e.Type {
		case message.Quoted:
			return "QUOTED"
		case message.Noted:
			return "NOTED"
		case message.Duplicate:
			return "DUPLICATE"
		default:
			if e.Type.Operated() {
				return "DONE"
			}
		}
	}
	return message.StateRefused
}

// stateWords adds what the word of the state leaves out.
func stateWords(r statuspage.Request) string {
	switch {
	case r.Kind == message.KindAnswer:
		return "The message made no request."
	case !r.CancelledUntil.IsZero():
		return "Nothing came under this id but a cancel: a request that arrives before " + at(r.CancelledUntil, r.AsOf, false).Text + " is cancelled."
	case r.State == lifecycle.Waiting && r.Verdict == admission.Admit:
		return "It fits now, and starts at the next pass."
	case r.State == lifecycle.Waiting && r.Verdict == admission.Refuse:
		return "It can never fit, and is refused at the next pass."
	case r.Hold != nil && r.Hold.Overstays:
		return "Its job runs beyond its time limit."
	}
	return ""
}

func (p *page) facts(r statuspage.Request) (facts []fact) {
	text := func(name string, lines ...string) {
		if lines = slices.DeleteFunc(lines, func(l string) bool { return l == "" }); len(lines) > 0 {
			facts = append(facts, fact{Name: name, Lines: lines})
		}
	}
	moment := func(name string, t time.Time, lines ...string) {
		if !t.IsZero() {
			facts = append(facts, fact{Name: name, When: at(t, r.AsOf, true), Lines: lines})
		}
	}
	number := func(name string, n int64) {
		if n != 0 {
			text(name, fmt.Sprint(n))
		}
	}
	duration := func(name string, d statuspage.Duration) {
		if d != 0 {
			text(name, span(time.Duration(d)))
		}
	}
	if r.Resource != "" {
		facts = append(facts, fact{Name: "Persistent resource", Link: p.resourceLink(r.Resource), Lines: []string{region(r.Resource)}})
	}
	text("Name", r.DisplayName)
	text("Tenant", r.Tenant)
	var asks []string
	for _, need := range r.Ask {
		asks = append(asks, fmt.Sprintf("%d × %s (worker pool %d)", need.Replicas, shapeText(need.Shape), need.WorkerPool))
	}
	text("Asks for", asks...)
	if r.Kind != message.KindAnswer {
		text("Priority", fmt.Sprint(r.Priority))
	}
	duration("Time limit", r.Timeout)
	if r.Expected != nil {
		text("Expected", fmt.Sprintf("to run %s, by %s like it", span(time.Duration(r.Expected.Run)), reason.Count(int(r.Expected.Jobs), "job")))
	}
	if r.State == lifecycle.Waiting {
		text("Before it", beforeText(r.Live))
		moment("Reservation: starts by", r.StartsBy, "in "+between(r.AsOf, r.StartsBy)+", by the time limits of the jobs that run")
		moment("Starts by", r.Bound, "if no request comes that is before it in order, the pools stay and jobs keep to their limits")
		moment("Waits until", r.TimerAt)
		moment("Pools observed", r.ObservedAt)
		moment("No pool fits since", r.ContradictedSince)
	}
	if r.Hold != nil {
		text("Holds", demand(r.Hold.Ask)...)
		moment("Ends by", r.Hold.LatestEnd, "in "+between(r.AsOf, r.Hold.LatestEnd)+" at the latest")
	}
	if r.State == lifecycle.Submitting {
		moment("Attempt may act until", r.ActUntil, fmt.Sprintf("attempt %d", r.Attempt))
	}
	text("Job state", r.JobState)
	moment("Published", r.Times.Published)
	moment("Received", r.Times.Received)
	moment("Queued", r.Times.Queued)
	moment("Reserved", r.Times.Reserved)
	moment("Submitted", r.Times.Submitted)
	moment("Started", first(r.Times.JobStarted, r.Times.Started))
	moment("Ended", first(r.Times.JobEnded, r.Times.Ended))
	waited := r.Times.Reserved
	if waited.IsZero() {
		waited = r.Times.Ended // a refused message has no end, and does not wait
	}
	if waited.IsZero() && !r.Terminal {
		waited = r.AsOf
	}
	text("Waited", between(r.Times.Received, waited))
	text("Ran", between(first(r.Times.JobStarted, r.Times.Started), first(r.Times.JobEnded, r.Times.Ended, r.AsOf)))
	duration("Longest wait", r.MaxWait)
	text("If it does not fit", string(r.OnFull))
	if r.Concurrency.Key != "" {
		text("Concurrency", r.Concurrency.Key, string(r.Concurrency.Policy))
	}
	number("Policy version", r.PolicyVersion)
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(r.Labels)) {
		labels = append(labels, key+"="+r.Labels[key])
	}
	text("Labels", labels...)
	if r.MessageID != r.ID {
		text("Message", r.MessageID)
	}
	text("Run", r.Run)
	return facts
}

// beforeText says what comes before a waiting request.
func beforeText(l statuspage.Live) string {
	switch b := l.Before; {
	case b == nil && l.Ahead == nil:
		return ""
	case b == nil:
		return aheadText(*l.Ahead)
	case b.Requests == 0:
		return aheadText(0)
	case b.HigherPriority > 0:
		return fmt.Sprintf("%s for %s, %d of them of a higher priority", reason.Count(b.Requests, "request"), reason.Count(b.Replicas, "replica"), b.HigherPriority)
	default:
		return fmt.Sprintf("%s for %s", reason.Count(b.Requests, "request"), reason.Count(b.Replicas, "replica"))
	}
}

func fitOf(f capacity.Finding) fitView {
	v := fitView{
		Shape: shapeText(f.Shape), Verdict: badge{"warning", string(f.Verdict)}, Asked: f.Asked, Limit: f.Limit, Taken: f.Taken, Short: f.Short,
		ScaleUp: f.ScaleUp, Pools: strings.Join(f.Pools, ", "),
	}
	switch f.Verdict {
	case capacity.Fits:
		v.Verdict.Kind = "ok"
	case capacity.Never:
		v.Verdict.Kind = "error"
	}
	var numbers []string
	for _, n := range f.WorkerPools {
		numbers = append(numbers, fmt.Sprint(n))
	}
	v.WorkerPools = strings.Join(numbers, ", ")
	for _, n := range f.Nearest {
		v.Nearest = append(v.Nearest, diffView{n.Pool, n.Fields})
	}
	for _, e := range f.Edits {
		v.Edits = append(v.Edits, e.String())
	}
	return v
}

func whys(all []reason.Problem) (list []why) {
	for _, p := range all {
		list = append(list, whyOf(&p))
	}
	return list
}

// eventOf shows an event: what changed, why, and how long after the one before.
func eventOf(e statuspage.Event, last, now time.Time) eventView {
	o := e.Outcome
	v := eventView{
		Number: e.Sequence, Word: eventWord(e.Type), Kind: badgeOf(o.State).Kind, When: at(e.Time, now, true), Why: whyOf(o.Reason), Problems: whys(o.Problems),
		Published: e.Published,
	}
	if after := between(last, e.Time); after != "" {
		v.After = after + " later"
	}
	if o.Job != "" {
		v.Detail = append(v.Detail, "job "+short(o.Job))
	}
	if o.JobState != "" {
		v.Detail = append(v.Detail, o.JobState)
	}
	if o.Verdict != "" {
		v.Detail = append(v.Detail, "verdict "+o.Verdict)
	}
	if !o.StartsBy.IsZero() {
		v.Detail = append(v.Detail, "starts by "+at(o.StartsBy, now, false).Text)
	}
	if o.Ahead != nil && *o.Ahead > 0 {
		v.Detail = append(v.Detail, aheadText(*o.Ahead))
	}
	if o.JobError != nil {
		v.Detail = append(v.Detail, fmt.Sprintf("%s (code %d)", o.JobError.Message, o.JobError.Code))
	}
	if o.Operator != nil {
		v.Detail = append(v.Detail, string(o.Operator.Action)+" by "+o.Operator.Who)
	}
	if len(o.Problems) > 0 {
		v.Why = why{} // it is one of them
	}
	return v
}

// eventWord is the part of a type that says what happened: "queued" of
// "berth.request.queued.v1".
func eventWord(t message.Type) string {
	parts := strings.Split(string(t), ".")
	if len(parts) < 3 {
		return string(t)
	}
	return parts[len(parts)-2]
}

// Waits reports whether the request of the page waits, so that what is said of its fit is
// of now.
func (p *page) Waits() bool { return p.request.Value.State == lifecycle.Waiting }
