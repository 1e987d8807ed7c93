package main

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/statuspage"
)

type listCmd struct {
	watchFlags

	Prefix   string   `arg:"" optional:"" help:"Only requests whose id begins like this."`
	State    []string `placeholder:"STATE" known:"states" help:"Only requests in these states; REFUSED are messages that made no request, QUOTED answers to dry runs, DONE operators' messages that were done (--tenant=operators)."`
	Active   bool     `help:"Only requests that have not ended."`
	Resource string   `placeholder:"NAME" help:"Only requests for this persistent resource: id or full name."`
	Since    string   `placeholder:"TIME" help:"Only requests received since: 90m, 24h, 7d, a date (2006-01-31, local time) or a time of RFC 3339."`
	Limit    int      `default:"50" help:"Show at most this many requests."`
}

// mostPages bounds the pages that are read for a list. A page may have no
// request with a rare prefix.
const mostPages = 25

// query is the command line as parameters of /recent.
func (c *listCmd) query(now time.Time) (url.Values, error) {
	q := url.Values{}
	set := func(name, value string) {
		if value != "" {
			q.Set(name, value)
		}
	}
	set("prefix", c.Prefix)
	set("resource", c.Resource)
	states, known := c.State, ledger.Statuses()
	for i, s := range states {
		if states[i] = strings.ToUpper(s); !slices.Contains(known, states[i]) {
			return nil, usage("--state %s: want some of %s", s, strings.Join(known, ", "))
		}
	}
	if c.Active {
		if len(states) > 0 {
			return nil, usage("--active and --state: give one of them")
		}
		for _, s := range lifecycle.States {
			if !s.Terminal() {
				states = append(states, string(s))
			}
		}
	}
	set("state", strings.Join(states, ","))
	if c.Since != "" {
		since, err := moment(c.Since, now)
		if err != nil {
			return nil, err
		}
		set("since", since.UTC().Format(time.RFC3339))
	}
	return q, nil
}

// moment reads a time, or a duration before now.
func moment(text string, now time.Time) (time.Time, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if d, err := time.ParseDuration(days + "h"); err == nil && d >= 0 {
			return now.Add(-24 * d), nil
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	return now, usage("--since %q: want a duration such as 90m, 24h or 7d, a date such as 2026-01-31, or a time such as 2026-01-31T15:04:05Z", text)
}

func (c *listCmd) Run(g *globals) error {
	return c.run(g, func(g *globals) (bool, error) { return false, c.once(g) })
}

func (c *listCmd) once(g *globals) error {
	query, err := c.query(time.Now())
	if err != nil {
		return err
	}
	all := statuspage.Requests{Requests: []statuspage.Summary{}}
	read := 0
	all.Next, err = pages(g, "recent", g.inTenant(query), c.Limit, func(p statuspage.Requests) (int, string) {
		all.AsOf = p.AsOf
		all.Requests = append(all.Requests, p.Requests...)
		if read++; read == mostPages {
			return c.Limit, p.Next
		}
		return len(all.Requests), p.Next
	})
	if err != nil {
		return err
	}
	if g.JSON {
		return pretty(g.out, all)
	}
	if len(all.Requests) == 0 {
		say(g.out, "No request matches.")
	} else {
		c.print(g, all)
	}
	if all.Next != "" && len(all.Requests) < c.Limit {
		say(g.err, "Only the latest requests were searched; narrow the search with --since, --state or --resource.")
		return nil
	}
	return g.more(all.Next)
}

func (c *listCmd) print(g *globals, all statuspage.Requests) {
	// One zone for all rows, named once.
	zone, offset := all.AsOf.Local().Zone()
	there := time.FixedZone(zone, offset)
	t := newTable(g.out, "REQUEST", "STATE", "FOR", "RESOURCE", "RECEIVED ("+zone+")", "REASON OR JOB")
	for _, s := range all.Requests {
		t.row(s.ID, s.State, lasted(s, all.AsOf), orDash(short(s.Resource)), s.Times.Received.In(there).Format(time.DateTime), outline(s))
	}
	t.end()
}

// lasted is how long a request has waited or run.
func lasted(s statuspage.Summary, now time.Time) string {
	t := s.Times
	from, to := t.Received, now
	switch {
	case !t.Started.IsZero():
		from = t.Started
	case !t.Submitted.IsZero():
		from = t.Submitted
	}
	if !t.Ended.IsZero() {
		to = t.Ended
	}
	if s.Kind == message.KindAnswer || from.IsZero() {
		return "-"
	}
	return span(max(0, to.Sub(from)))
}

// outline is the reason code of a request, or the number of its job; of an operator's
// message, what was done, by whom and why.
func outline(s statuspage.Summary) string {
	switch {
	case s.Operation != nil:
		return operated(s.Operation, s.Target)
	case s.Job != "" && (s.Reason == nil || !s.State.Terminal() || s.State == lifecycle.Succeeded):
		return short(s.Job)
	case s.Reason != nil && !s.StartsBy.IsZero():
		return string(s.Reason.Code) + ", told to start by " + s.StartsBy.Local().Format(time.DateTime)
	case s.Reason != nil:
		return string(s.Reason.Code)
	}
	return "-"
}
