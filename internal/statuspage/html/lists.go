package html

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

// kinds are the badges of statuses. Others are neutral.
var kinds = map[string]string{
	"RUNNING": "ok", "SUCCEEDED": "ok", "DONE": "ok",
	"FAILED": "error", "EXPIRED": "error", "REJECTED": "error", "REFUSED": "error",
	"CANCELLING": "warning", "CANCELLED": "warning",
}

func badgeOf(status string) badge { return badge{kinds[status], status} }

// failed reports whether a status is one that somebody has to look at.
func failed(status string) bool { return slices.Contains(strings.Split(failing, ","), status) }

// requestLink leads to the page of a request. Its tenant is named, because an id belongs
// to a tenant.
func (p *page) requestLink(tenant, id string, kind message.Kind) link {
	of := string(kind)
	if kind == message.KindRequest {
		of = ""
	}
	return link{Text: id, Href: p.to("requests/"+url.PathEscape(id), "tenant", tenant, "kind", of)}
}

// tenantLink narrows the page to a tenant.
func (p *page) tenantLink(tenant string) link {
	if tenant == "default" {
		return link{}
	}
	return link{Text: tenant, Href: p.with("tenant", tenant)}
}

// resourceLink leads to the pools of a resource, and is as short as its id.
func (p *page) resourceLink(name string) link {
	if name == "" {
		return link{}
	}
	return link{Text: short(name), Href: p.to("pools", "resource", name)}
}

// A row is one request in a list. Which parts a list shows is the template's.
type row struct {
	Request  link
	Name     string
	Tenant   link // no text for the default one
	Resource link
	Region   string
	Demand   []string
	State    badge
	Job      jobLink
	JobState string

	Since   when
	Held    string // for how long it has held replicas, or waited
	Until   when   // when its time limit ends at the latest
	Left    string
	Overdue bool

	Place       string // in the queue
	Ahead       string
	Priority    int
	Why         why
	Reservation when
	StartsIn    string
	Starter     string // what would start it
	WaitsUntil  when

	Ended    when
	Received when
	Ran      string
}

// why is a reason: its code, and words.
type why struct{ Code, Path, Detail, Fix string }

func whyOf(r *reason.Problem) why {
	if r == nil {
		return why{}
	}
	return why{string(r.Code), r.Path, r.Detail, r.Fix}
}

func (p *page) summary(s statuspage.Summary, now time.Time) row {
	r := row{
		Request: p.requestLink(s.Tenant, s.ID, s.Kind), Name: s.DisplayName, Tenant: p.tenantLink(s.Tenant), Resource: p.resourceLink(s.Resource), Region: region(s.Resource),
		Demand: demand(s.Ask), State: badgeOf(string(s.State)), JobState: s.JobState, Priority: s.Priority, Why: whyOf(s.Reason),
		Received: at(s.Times.Received, now, false), Ended: at(s.Times.Ended, now, false),
		Ran: between(first(s.Times.JobStarted, s.Times.Started), first(s.Times.JobEnded, s.Times.Ended)),
	}
	if s.Job != "" {
		r.Job = linkTo(s.Job)
	}
	if r.Name == s.ID {
		r.Name = "" // it says nothing more
	}
	since := s.Times.Reserved
	if s.State == lifecycle.Waiting {
		since = s.Times.Queued
		r.Reservation, r.StartsIn = at(s.StartsBy, now, false), between(now, s.StartsBy)
	}
	r.Since, r.Held = at(since, now, false), between(since, now)
	if s.Hold != nil {
		r.Demand = demand(s.Hold.Ask)
		r.Until, r.Left = at(s.Hold.LatestEnd, now, false), between(now, s.Hold.LatestEnd)
		r.Overdue = s.Hold.Overstays || !s.Hold.LatestEnd.IsZero() && s.Hold.LatestEnd.Before(now)
	}
	if s.Operation != nil {
		r.Name = string(s.Operation.Action) + " by " + s.Operation.Who
		r.Resource, r.Region = p.resourceLink(s.Target), region(s.Target)
	}
	return r
}

// first is the first of the moments that is known.
func first(all ...time.Time) time.Time {
	for _, t := range all {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}

func (p *page) summaries(part part[statuspage.Requests]) (rows []row) {
	for _, s := range part.Value.Requests {
		rows = append(rows, p.summary(s, part.Value.AsOf))
	}
	return rows
}

// listNotes are about a list as a whole.
func listNotes(err *statuspage.Error, unreadable []*ledger.UnreadableError, n int, none string) []note {
	if err != nil {
		return problemOf(err)
	}
	notes := unread(documents(unreadable))
	if n == 0 {
		notes = append(notes, note{"info", none})
	}
	return notes
}

// Holders are the requests that hold replicas, those first whose machines are free again
// first.
func (p *page) Holders() []row {
	sorted := slices.Clone(p.holders.Value.Requests)
	slices.SortStableFunc(sorted, func(a, b statuspage.Summary) int {
		x, y := time.Time{}, time.Time{}
		if a.Hold != nil {
			x = a.Hold.LatestEnd
		}
		if b.Hold != nil {
			y = b.Hold.LatestEnd
		}
		if x.IsZero() != y.IsZero() {
			return cmp.Compare(y.Unix(), x.Unix()) // an unknown end is last
		}
		return x.Compare(y)
	})
	var rows []row
	for _, s := range sorted {
		rows = append(rows, p.summary(s, p.holders.Value.AsOf))
	}
	return rows
}

// HolderNotes are about the requests that hold replicas.
func (p *page) HolderNotes() []note {
	return listNotes(p.holders.Err, p.holders.Value.Unreadable, len(p.holders.Value.Requests), "No request of yours holds replicas.")
}

// MoreHolders leads to all of them.
func (p *page) MoreHolders() string {
	if p.holders.Value.Next == "" {
		return ""
	}
	return p.to("requests", "state", holding, "resource", p.query.Get("resource"))
}

// Waiters are the queue in order.
func (p *page) Waiters() (rows []row) {
	now := p.queue.Value.AsOf
	for _, w := range p.queue.Value.Waiting {
		r := row{
			Request: p.requestLink(w.Tenant, w.ID, w.Kind), Name: w.DisplayName, Tenant: p.tenantLink(w.Tenant), Resource: p.resourceLink(w.Resource), Region: region(w.Resource),
			Demand: demand(w.Ask), Priority: w.Priority, Place: fmt.Sprint(w.Position), Since: at(w.Since, now, false), Held: span(time.Duration(w.Waited)),
			Why: whyOf(w.Reason), Reservation: at(w.StartsBy, now, false), StartsIn: between(now, w.StartsBy), WaitsUntil: at(w.Until, now, false),
		}
		if w.Parked {
			r.Place = "parked"
		}
		if w.Ahead != nil {
			r.Ahead = aheadText(*w.Ahead)
		}
		r.Starter = starter(w.Live)
		rows = append(rows, r)
	}
	return rows
}

func aheadText(n int) string {
	switch n {
	case 0:
		return "first for its machines"
	case 1:
		return "1 before it for its machines"
	}
	return fmt.Sprintf("%d before it for its machines", n)
}

// starter says what would start a waiting request.
func starter(l statuspage.Live) string {
	switch {
	case l.Verdict == admission.Admit && l.ScaleUp:
		return "It fits, and starts at the next pass; the autoscaler adds machines."
	case l.Verdict == admission.Admit:
		return "It fits, and starts at the next pass."
	case l.Verdict == admission.Refuse:
		return "It can never fit, and is refused at the next pass."
	case l.Reason != nil && l.Reason.Fix != "":
		return l.Reason.Fix
	}
	for _, f := range l.Fit {
		if f.Short > 0 {
			return fmt.Sprintf("%d of the %s in use of %s %s to end.", f.Short, reason.Count(f.Taken, "replica"), machine(f.Shape), reason.Agree(f.Short, "has", "have"))
		}
	}
	return ""
}

// WaiterNotes are about the queue.
func (p *page) WaiterNotes() []note {
	return listNotes(p.queue.Err, p.queue.Value.Unreadable, len(p.queue.Value.Waiting), "No request of yours waits.")
}

// MoreWaiters leads to the rest of the queue.
func (p *page) MoreWaiters() string { return p.more("queue", p.queue.Value.Next) }

// Listed are the requests of the page of requests.
func (p *page) Listed() []row { return p.summaries(p.requests) }

// ListNotes are about them.
func (p *page) ListNotes() []note {
	return listNotes(p.requests.Err, p.requests.Value.Unreadable, len(p.requests.Value.Requests), "No request is in these states.")
}

// MoreListed leads to the next page of them.
func (p *page) MoreListed() string { return p.more("requests", p.requests.Value.Next) }

// Failures are the outcomes that somebody has to look at, and Ends the others.
func (p *page) Failures() []row { return p.summaries(p.failures) }
func (p *page) Ends() []row     { return p.summaries(p.ended) }

// FailureNotes and EndNotes are about them.
func (p *page) FailureNotes() []note {
	return listNotes(p.failures.Err, p.failures.Value.Unreadable, len(p.failures.Value.Requests), "No request of yours has failed, expired or been refused.")
}

func (p *page) EndNotes() []note {
	return listNotes(p.ended.Err, p.ended.Value.Unreadable, len(p.ended.Value.Requests), "No request of yours has succeeded or been cancelled.")
}

// MoreFailures and MoreEnds lead to all of them.
func (p *page) MoreFailures() string {
	return p.to("recent", "state", failing, "resource", p.query.Get("resource"))
}

func (p *page) MoreEnds() string {
	return p.to("recent", "state", ending, "resource", p.query.Get("resource"))
}

// Recent is the page of outcomes: of the requests on it the failed ones come first, and
// otherwise the order is that of the answer, the latest first.
func (p *page) Recent() []row {
	rows := p.summaries(p.recent)
	slices.SortStableFunc(rows, func(a, b row) int {
		return cmp.Compare(rank(a.State.Word), rank(b.State.Word))
	})
	return rows
}

func rank(status string) int {
	if failed(status) {
		return 0
	}
	return 1
}

// RecentNotes are about the page of outcomes.
func (p *page) RecentNotes() []note {
	return listNotes(p.recent.Err, p.recent.Value.Unreadable, len(p.recent.Value.Requests), "Nothing was received that matches.")
}

// MoreRecent leads to the next page of outcomes.
func (p *page) MoreRecent() string { return p.more("recent", p.recent.Value.Next) }

// count says how many requests a list has; "" for none.
func count(n int, next string) string {
	switch {
	case n == 0:
		return ""
	case next != "":
		return fmt.Sprintf("the first %d", n)
	}
	return reason.Count(n, "request")
}

// HolderCount and WaiterCount say how many requests hold replicas and wait.
func (p *page) HolderCount() string {
	return count(len(p.holders.Value.Requests), p.holders.Value.Next)
}

func (p *page) WaiterCount() string {
	return count(len(p.queue.Value.Waiting), p.queue.Value.Next)
}
