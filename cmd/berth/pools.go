package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

type poolsCmd struct {
	watchFlags

	Resource string `arg:"" optional:"" help:"Persistent resource: id or full name; all by default."`
	Limit    int    `default:"200" help:"Show at most this many persistent resources."`
}

func (c *poolsCmd) Run(g *globals) error {
	return c.run(g, func(g *globals) (bool, error) { return false, c.once(g) })
}

func (c *poolsCmd) once(g *globals) error {
	all := statuspage.Pools{Resources: []statuspage.Resource{}}
	var err error
	all.Next, err = pages(g, "pools", resourceQuery(c.Resource), c.Limit, func(p statuspage.Pools) (int, string) {
		all.AsOf, all.PausedTenants = p.AsOf, p.PausedTenants
		all.Resources, all.Unreadable = append(all.Resources, p.Resources...), append(all.Unreadable, p.Unreadable...)
		return len(all.Resources), p.Next
	})
	if err != nil {
		return err
	}
	if g.JSON {
		return pretty(g.out, all)
	}
	if len(all.Resources)+len(all.Unreadable) == 0 {
		say(g.out, "No persistent resource is known yet; Berth observes one when a request names it.")
	}
	for _, tenant := range slices.Sorted(maps.Keys(all.PausedTenants)) {
		p := all.PausedTenants[tenant]
		say(g.out, "tenant %s: %s", tenant, paused(&p))
	}
	for i, r := range all.Resources {
		if i > 0 || len(all.PausedTenants) > 0 {
			say(g.out, "")
		}
		resource(g.out, all, r)
	}
	g.unreadable(all.Unreadable)
	return g.more(all.Next)
}

// paused says who paused something, since when and why.
func paused(p *admission.Pause) string {
	word := "PAUSED"
	if p.Drain {
		word = "DRAINING"
	}
	if !p.EmptyAt.IsZero() {
		word = "DRAINED, empty since " + clock(p.EmptyAt) + ", paused"
	}
	return fmt.Sprintf("%s since %s by %s: %s", word, clock(p.Since), p.Who, p.Reason)
}

// pages asks a list page by page until it has limit entries. add consumes a
// page, and returns how many entries there are and the next cursor.
func pages[P any](g *globals, route string, query url.Values, limit int, add func(P) (int, string)) (next string, err error) {
	if limit < 1 {
		return "", usage("--limit %d: want 1 or more", limit)
	}
	d, err := g.open()
	if err != nil {
		return "", err
	}
	for have := 0; ; {
		query.Set("limit", strconv.Itoa(min(limit-have, 200)))
		if next != "" {
			query.Set("after", next)
		}
		var p P
		if _, err := d.get(g.ctx, &p, query, route); err != nil {
			return "", err
		}
		if have, next = add(p); next == "" || have >= limit {
			return next, nil
		}
	}
}

func resourceQuery(resource string) url.Values {
	if resource == "" {
		return url.Values{}
	}
	return url.Values{"resource": {resource}}
}

// more reports that not everything was shown.
func (g *globals) more(next string) error {
	if next != "" {
		say(g.err, "There are more; raise --limit.")
	}
	return nil
}

// unreadable reports documents that could not be read, each once.
func (g *globals) unreadable(documents []*ledger.UnreadableError) {
	printed := map[ledger.Ref]bool{}
	for _, u := range documents {
		if !printed[u.Ref] {
			say(g.err, "%s cannot be read: %s. It is left as it is; see berth doctor.", u.Ref, u.Why)
		}
		printed[u.Ref] = true
	}
}

func pretty(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	return indent(w, text)
}

func resource(w io.Writer, p statuspage.Pools, r statuspage.Resource) {
	say(w, "%s", r.Name)
	seen := "never observed"
	if !r.ObservedAt.IsZero() {
		seen = "observed " + spanOf(r.ObservedAge) + " ago"
	}
	if r.Stale {
		seen += " (too long: nothing is admitted)"
	}
	facts := []string{r.State, seen, reason.Count(r.Holds, "job") + " of Berth's"}
	if r.Ray {
		facts = append(facts, "a Ray cluster")
	}
	if r.Overstaying > 0 {
		facts = append(facts, fmt.Sprintf("%d beyond the time limit", r.Overstaying))
	}
	if n := max(r.ForeignJobs, len(r.Foreign)); n > 0 {
		facts = append(facts, reason.Count(n, "foreign job"))
	}
	if r.NotBefore.After(p.AsOf) {
		facts = append(facts, "backing off for "+span(r.NotBefore.Sub(p.AsOf)))
	}
	say(w, "  %s", strings.Join(facts, ", "))
	if r.Paused != nil {
		say(w, "  %s", paused(r.Paused))
	}
	for _, id := range slices.Sorted(maps.Keys(r.PausedPools)) {
		p := r.PausedPools[id]
		say(w, "  pool %s: %s", id, paused(&p))
	}
	say(w, "")
	t := newTable(w, "  POOL", "MACHINES", "MAX", "USED", "SHAPE")
	for _, pool := range r.Pools {
		most := "-"
		if pool.Max > 0 {
			most = fmt.Sprint(pool.Max)
		}
		t.row("  "+pool.ID, pool.Count, most, pool.Used, pool.Shape)
	}
	t.end()
	if len(r.Shapes) == 0 {
		return
	}
	say(w, "")
	t = newTable(w, "  SHAPE", "LIMIT", "HELD", "FOREIGN", "UNEXPLAINED", "FREE", "WAITING")
	for _, s := range r.Shapes {
		t.row("  "+s.Shape.String(), s.Limit, s.Held, s.Foreign, s.Unexplained, s.Free, s.Waiting)
	}
	t.end()
	for _, s := range r.Shapes {
		if s.Overdrawn > 0 {
			say(w, "  Overdrawn by %d of %s: more are in use than exist, and nothing is admitted until they are free.", s.Overdrawn, s.Shape)
		}
	}
	if len(r.Foreign) == 0 {
		return
	}
	say(w, "")
	t = newTable(w, "  FOREIGN JOB", "HAS")
	for _, f := range r.Foreign {
		t.row("  "+short(f.Job), asked(f.Ask))
	}
	t.end()
	if n := r.ForeignJobs - len(r.Foreign); n > 0 {
		say(w, "  and %s more", reason.Count(n, "foreign job"))
	}
}
