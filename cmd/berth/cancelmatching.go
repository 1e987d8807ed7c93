package main

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

// cancelMatchingCmd cancels all requests that a filter matches, as an operator.
type cancelMatchingCmd struct {
	operatorFlags
	Resource string            `placeholder:"NAME" help:"Only requests for this persistent resource: id or full name."`
	State    []string          `placeholder:"STATE" known:"active" help:"Only requests in these states; by default all that have not ended."`
	Name     string            `placeholder:"TEXT" help:"Only requests whose display name begins like this."`
	Label    map[string]string `placeholder:"KEY=VALUE" help:"Only requests with this label; may be repeated."`
	Older    time.Duration     `placeholder:"DURATION" help:"Only requests that were received longer ago."`
	All      bool              `help:"All requests of the target's tenants, where no filter is given."`
	Limit    int               `default:"1000" help:"Match at most this many requests; with more nothing is cancelled."`
	Yes      bool              `help:"Cancel them. Without it they are only listed."`
}

// Help is shown by berth cancel-matching --help.
func (cancelMatchingCmd) Help() string {
	return `Lists the requests that match every filter given, and with --yes publishes a cancel for each of them by its id, to the operators' topic. What arrives meanwhile is not cancelled.

--tenant narrows to one tenant; by default it is every tenant that the deployment shows to the caller.`
}

// A cancelledMatch is one request in what cancel-matching prints with --json.
type cancelledMatch struct {
	statuspage.Summary
	// MessageID is the message that cancels it; empty without --yes, and for those that
	// were not reached.
	MessageID string `json:"messageId,omitempty"`
}

func (c *cancelMatchingCmd) query() (url.Values, error) {
	list := listCmd{State: slices.Clone(c.State), Resource: c.Resource, Active: len(c.State) == 0}
	if !c.All && c.Resource == "" && len(c.State) == 0 && c.Name == "" && len(c.Label) == 0 && c.Older == 0 {
		return nil, usage("give a filter, or --all")
	}
	q, err := list.query(time.Now())
	if err != nil {
		return nil, err
	}
	for _, s := range list.State {
		if !slices.Contains(lifecycle.States, lifecycle.State(s)) || lifecycle.State(s).Terminal() {
			return nil, usage("--state %s: want states of requests that have not ended", s)
		}
	}
	return q, nil
}

// matches reports whether a request passes the filters that Status does not know.
func (c *cancelMatchingCmd) matches(s statuspage.Summary, now time.Time) bool {
	for key, value := range c.Label {
		if got, has := s.Labels[key]; !has || got != value {
			return false
		}
	}
	return strings.HasPrefix(s.DisplayName, c.Name) && (c.Older == 0 || now.Sub(s.Times.Received) > c.Older) && s.Kind != message.KindAnswer
}

// Run lists the requests and, with --yes, cancels them.
func (c *cancelMatchingCmd) Run(g *globals) error {
	query, err := c.query()
	if err != nil {
		return err
	}
	if g.Tenant != "default" { // the default is every tenant that the deployment shows
		query.Set("tenant", g.Tenant)
	}
	found := []cancelledMatch{}
	next, err := pages(g, "recent", query, c.Limit+1, func(p statuspage.Requests) (int, string) {
		for _, s := range p.Requests {
			if c.matches(s, p.AsOf) {
				found = append(found, cancelledMatch{Summary: s})
			}
		}
		return len(found), p.Next
	})
	if err != nil {
		return err
	}
	if len(found) > c.Limit || next != "" {
		return fmt.Errorf("more than %d requests match; nothing was cancelled. Narrow the filter, or raise --limit", c.Limit)
	}
	if c.Yes {
		for i := range found {
			if err := c.cancel(g, &found[i]); err != nil {
				return fmt.Errorf("%d of %d cancels were published: %w", i, len(found), err)
			}
		}
	}
	if g.JSON {
		return pretty(g.out, map[string][]cancelledMatch{"requests": found})
	}
	c.print(g, found)
	return nil
}

func (c *cancelMatchingCmd) cancel(g *globals, m *cancelledMatch) (err error) {
	fields := map[string]any{"action": message.CancelRequest, "tenant": m.Tenant, "requestId": m.ID}
	if m.Kind == message.KindMessage {
		delete(fields, "requestId")
		fields["messageId"] = m.ID
	}
	m.MessageID, err = c.send(g, fields)
	return err
}

func (c *cancelMatchingCmd) print(g *globals, found []cancelledMatch) {
	if len(found) == 0 {
		say(g.out, "No request matches.")
		return
	}
	t := newTable(g.out, "TENANT", "REQUEST", "STATE", "NAME", "RESOURCE", "ASKED")
	for _, m := range found {
		t.row(m.Tenant, m.ID, m.State, m.DisplayName, short(m.Resource), asked(m.Ask))
	}
	t.end()
	if c.Yes {
		say(g.out, "%s published. Show the answers with: berth list --tenant=%s", reason.Count(len(found), "cancel"), message.Operators)
		return
	}
	say(g.out, "Nothing was published. With --yes: %s.", reason.Count(len(found), "cancel"))
}
