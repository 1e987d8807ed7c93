package html

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

//go:embed templates/*.tmpl
var templateFiles embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"join": strings.Join,
	"fill": fill,
}).ParseFS(templateFiles, "templates/*.tmpl"))

// render makes the page. It depends on its argument alone.
func render(p *page) ([]byte, error) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, "page", p); err != nil {
		return nil, fmt.Errorf("render a page: %w", err)
	}
	return b.Bytes(), nil
}

// A link leads to a page.
type link struct {
	Text, Href string
	Current    bool
}

// A note is a sentence above or below a part of a page.
type note struct {
	Kind string // info, warning or error
	Text string
}

// Stylesheet, Script and Icon are what a page loads.
func (p *page) Stylesheet() string { return p.asset("page.css") }
func (p *page) Script() string     { return p.asset("page.js") }
func (p *page) Icon() string       { return p.asset("icon.svg") }

// Main is the template of the page's own part.
func (p *page) Main() string {
	switch {
	case p.Failed != nil:
		return "failed"
	case p.path == "":
		return "overview"
	case strings.HasPrefix(p.path, "requests/"):
		return "request"
	}
	return p.path
}

// titles are those of the routes.
var titles = map[string]string{"overview": "Overview", "pools": "Pools", "queue": "Queue", "requests": "Requests", "recent": "Outcomes", "usage": "History", "health": "Health", "explain": "What would happen"}

// Title is the heading of the page.
func (p *page) Title() string {
	switch main := p.Main(); main {
	case "failed":
		return failedTitle(p.Status)
	case "request":
		return "Request " + p.request.Value.ID
	default:
		return titles[main]
	}
}

// Deployment names what is shown, as in "default in my-project".
func (p *page) Deployment() string {
	if !p.index.OK() {
		return ""
	}
	return p.index.Value.Deployment + " in " + p.index.Value.Project
}

// Home is the overview.
func (p *page) Home() string { return p.to("") }

// Pages are the links between pages.
func (p *page) Pages() (links []link) {
	for _, route := range []string{"overview", "pools", "queue", "requests", "recent", "usage"} {
		path := route
		if route == "overview" {
			path = ""
		}
		resource := p.query.Get("resource")
		if p.Failed != nil {
			resource = "" // which may be what is wrong
		}
		links = append(links, link{titles[route], p.to(path, "resource", resource), p.Failed == nil && p.path == path})
	}
	return links
}

// intervals are the periods of refreshing that a reader can choose, in seconds.
var intervals = []int{5, 15, 60}

// Refresh is the period that the reader has chosen, 0 for none.
func (p *page) Refresh() int {
	n, err := strconv.Atoi(p.query.Get("refresh"))
	if err != nil || !slices.Contains(intervals, n) {
		return 0
	}
	return n
}

// Refreshes are the choices.
func (p *page) Refreshes() (links []link) {
	again := func(seconds string) string {
		q := p.query
		if q.Get("after") == "" {
			return p.with("refresh", seconds)
		}
		same := p.with("refresh", seconds) // the same part of a list
		sep := "?"
		if strings.Contains(same, "?") {
			sep = "&"
		}
		return same + sep + "after=" + template.URLQueryEscaper(q.Get("after"))
	}
	for _, n := range intervals {
		links = append(links, link{fmt.Sprintf("%d s", n), again(strconv.Itoa(n)), p.Refresh() == n})
	}
	return append(links, link{"off", again(""), p.Refresh() == 0})
}

// A pulse is the state of the deployment in one line.
type pulse struct {
	Kind  string // ok, warning or error
	Word  string
	Notes []string
	AsOf  when
}

// Pulse is shown at the head of every page.
func (p *page) Pulse() pulse {
	if !p.health.OK() {
		u := pulse{Kind: "error", Word: "Health unknown"}
		if p.health.Err != nil {
			u.Notes = []string{p.health.Err.Detail}
		}
		return u
	}
	h := p.health.Value
	u := pulse{Kind: "ok", Word: "Healthy", AsOf: at(h.AsOf, h.AsOf, true)}
	switch {
	case h.Stale && h.OldestAge == 0:
		u.Kind, u.Word = "warning", "Degraded"
		u.Notes = append(u.Notes, short(h.Oldest)+" was never observed: nothing is admitted there")
	case h.Stale:
		u.Kind, u.Word = "warning", "Degraded"
		u.Notes = append(u.Notes, fmt.Sprintf("observation of %s is %s old, too old: nothing is admitted there", short(h.Oldest), span(time.Duration(h.OldestAge))))
	case h.Resources > 0:
		u.Notes = append(u.Notes, "oldest observation "+span(time.Duration(h.OldestAge))+" ago")
	default:
		u.Notes = append(u.Notes, "no persistent resource is observed yet")
	}
	if n := len(h.Unreadable); n > 0 {
		u.Kind, u.Word = "error", "Damaged"
		u.Notes = append(u.Notes, reason.Count(n, "document")+" cannot be read")
	}
	return u
}

// Health is the link to what the line says in short.
func (p *page) HealthLink() string { return p.to("health") }

// Version is of the release that made the page.
func (p *page) Version() string { return p.index.Value.Version }

// failedTitle says in short what a status means.
func failedTitle(status int) string {
	switch status {
	case 400, 405, 413:
		return "This cannot be asked"
	case 401:
		return "No identity"
	case 403:
		return "Not shown to you"
	case 404:
		return "Not found"
	case 503:
		return "No answer at present"
	}
	return "Something is wrong"
}

// Problem is an error in words, for a part of a page.
func problemOf(e *statuspage.Error) []note {
	if e == nil {
		return nil
	}
	return []note{{"error", e.Error()}}
}

// unread are notes on what could not be read.
func unread(lines []string) (notes []note) {
	for _, l := range lines {
		notes = append(notes, note{"error", l + " It is left as it is; berth doctor says what depends on it."})
	}
	return notes
}

// fill is the pattern of a kind of use, so that kinds differ without colour; the
// stylesheet fills the others.
func fill(kind string) string {
	switch kind {
	case "foreign", "unexplained", "paused":
		return "url(#p-" + kind + ")"
	}
	return "none"
}

// A pager leads to the other parts of a list.
type pager struct{ First, Next string }

// Pager is that of the page's list.
func (p *page) Pager() pager {
	next := map[string]string{
		"pools": p.pools.Value.Next, "queue": p.queue.Value.Next, "requests": p.requests.Value.Next, "recent": p.recent.Value.Next, "usage": p.usage.Value.Next,
	}[p.path]
	return pager{p.First(), p.more(p.path, next)}
}
