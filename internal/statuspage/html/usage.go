package html

import (
	"fmt"
	"net/url"
	"time"

	"example.com/berth/internal/statuspage"
)

// A usageView is the history of one persistent resource.
type usageView struct {
	ID       string
	Title    link
	Region   string
	From     when
	Observed string
	Charts   []chart
	Notes    []note
}

// Usages are the histories of the page.
func (p *page) Usages() (views []usageView) {
	for _, u := range p.usage.Value.Resources {
		now := p.usage.Value.AsOf
		v := usageView{
			ID: "history-" + anchor(u.Name), Title: link{Text: short(u.Name), Href: p.to("usage", "resource", u.Name)}, Region: region(u.Name),
			From: at(u.From, now, false), Observed: fmt.Sprintf("observed %s of %s", span(time.Duration(u.Observed)), span(u.To.Sub(u.From))),
		}
		for i, s := range u.Shapes {
			v.Charts = append(v.Charts, chartOf(fmt.Sprintf("%s-%d", v.ID, i), u, s))
		}
		if len(u.Shapes) == 0 {
			v.Notes = append(v.Notes, note{"info", "Nothing is known of its machines in this time: two observations at most 15 minutes apart are needed."})
		}
		views = append(views, v)
	}
	return views
}

// UsageNotes are about the histories as a whole.
func (p *page) UsageNotes() []note {
	return listNotes(p.usage.Err, p.usage.Value.Unreadable, len(p.usage.Value.Resources), "No persistent resource is known yet.")
}

// MoreUsages leads to the next page of histories.
func (p *page) MoreUsages() string { return p.more("usage", p.usage.Value.Next) }

// Periods are how far back the page of histories can look.
func (p *page) Periods() (links []link) {
	now := p.usage.Value.AsOf
	if now.IsZero() {
		return nil
	}
	since, err := time.Parse(time.RFC3339, p.query.Get("since"))
	for _, c := range []struct {
		text string
		back time.Duration
	}{{"24 hours", 0}, {"7 days", 7 * 24 * time.Hour}, {"31 days", 31 * 24 * time.Hour}} {
		value := ""
		current := p.query.Get("since") == ""
		if c.back > 0 {
			from := now.Add(-c.back).Truncate(6 * time.Hour)
			value = from.Format(time.RFC3339)
			current = err == nil && since.Equal(from)
		}
		links = append(links, link{c.text, p.with("since", value), current})
	}
	return links
}

// JSONPath is the address of the answer that a program gets, below the function's root.
func (p *page) JSONPath() string {
	path := "/" + p.path
	q := url.Values{}
	for name, v := range p.query {
		if name != "refresh" {
			q[name] = v
		}
	}
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return path
}

// sums says what became of the machines of a shape, in replica-hours.
func sums(s statuspage.ShapeUsage) (facts []fact) {
	add := func(name string, v float64, always bool) {
		if always || v > 0 {
			facts = append(facts, fact{Name: name, Lines: []string{decimal(v)}})
		}
	}
	add("replica-hours", s.Hours, true)
	add("ours", s.Used, true)
	add("foreign", s.Foreign, false)
	add("unexplained", s.Unexplained, false)
	add("idle", s.Idle, true)
	add("idle while requests waited", s.IdleWaiting, true)
	if s.Utilisation != nil {
		facts = append(facts, fact{Name: "in use", Lines: []string{decimal(*s.Utilisation*100) + " %"}})
	}
	add("waiting on average", s.MeanWaiting, true)
	facts = append(facts, fact{Name: "waiting at most", Lines: []string{fmt.Sprint(s.MaxWaiting)}})
	return facts
}
