package html

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

// A resourceCard is what a page shows of one persistent resource.
type resourceCard struct {
	ID       string // of the element
	Name     string // full
	Title    link
	Region   string
	State    badge
	Observed string
	Facts    []string
	Notes    []note
	Bars     []shapeBar
	Pools    []poolRow
	Foreign  []foreignRow
	More     int // foreign jobs that are not listed
}

// A shapeBar is the arithmetic of one shape as a bar.
type shapeBar struct {
	Shape   string
	Machine string
	Limit   capacity.Replicas
	Parts   []barPart
	Mark    string // where the limit is, in parts of the bar, if more is in use
	Notes   []note
	Waiting link // to the queue; no text if none waits
	Pools   []string
}

// A barPart is one kind of use. Its place and width are percentages of the bar.
type barPart struct {
	Kind string // a class of the stylesheet, and its pattern
	Word string
	N    capacity.Replicas
	X, W string
}

// A poolRow is one pool as Vertex AI reports it.
type poolRow struct {
	ID, Shape string
	Machines  capacity.Replicas
	Max       string
	Used      capacity.Replicas
	Parts     []barPart
	Mark      string
	Paused    string
}

type foreignRow struct {
	Job    string
	Link   jobLink
	Demand []string
	Ends   when
	Left   string
}

// A badge is a word with a colour and a sign.
type badge struct{ Kind, Word string }

// Resources are the cards of the page.
func (p *page) Resources() (cards []resourceCard) {
	for _, r := range p.pools.Value.Resources {
		cards = append(cards, p.card(r))
	}
	return cards
}

// PoolNotes are about the pools as a whole.
func (p *page) PoolNotes() []note {
	if p.pools.Err != nil {
		return problemOf(p.pools.Err)
	}
	notes := unread(documents(p.pools.Value.Unreadable))
	for _, tenant := range slices.Sorted(maps.Keys(p.pools.Value.PausedTenants)) {
		notes = append(notes, note{"warning", "Tenant " + tenant + ": " + p.paused(p.pools.Value.PausedTenants[tenant])})
	}
	if len(p.pools.Value.Resources)+len(p.pools.Value.Unreadable) == 0 {
		notes = append(notes, note{"info", "No persistent resource is known yet: Berth observes one from the first request that names it."})
	}
	return notes
}

// MorePools leads to the next page of them.
func (p *page) MorePools() string { return p.more("pools", p.pools.Value.Next) }

// more is the link to what follows on another page of a list, "" if nothing does.
func (p *page) more(path, next string) string {
	switch {
	case next == "":
		return ""
	case p.path == path:
		after := p.with("", "")
		sep := "?"
		if strings.Contains(after, "?") {
			sep = "&"
		}
		return after + sep + "after=" + next // base64 of the URL alphabet
	}
	return p.to(path, "resource", p.query.Get("resource"))
}

// First leads to the first page of a list, from another one.
func (p *page) First() string {
	if p.query.Get("after") == "" {
		return ""
	}
	return p.with("", "")
}

func (p *page) card(r statuspage.Resource) resourceCard {
	now := p.pools.Value.AsOf
	c := resourceCard{
		ID: "resource-" + anchor(r.Name), Name: r.Name, Title: link{Text: short(r.Name), Href: p.to("pools", "resource", r.Name)}, Region: region(r.Name),
		State: badge{"ok", r.State}, Observed: "never observed",
	}
	if r.State != "RUNNING" {
		c.State.Kind = "warning"
	}
	if !r.ObservedAt.IsZero() {
		c.Observed = "observed " + span(time.Duration(r.ObservedAge)) + " ago"
	}
	add := func(kind, text string) { c.Notes = append(c.Notes, note{kind, text}) }
	if r.Stale {
		add("warning", "The last observation is too old: nothing is admitted until the next one.")
	}
	if r.Paused != nil {
		add("warning", p.paused(*r.Paused))
	}
	for _, id := range slices.Sorted(maps.Keys(r.PausedPools)) {
		add("warning", "Pool "+id+": "+p.paused(r.PausedPools[id]))
	}
	if !r.NotBefore.IsZero() {
		add("warning", fmt.Sprintf("Vertex AI declined %s in a row: nothing is submitted before %s.", reason.Count(r.Declines, "job"), at(r.NotBefore, now, true).Text))
	}
	c.Facts = append(c.Facts, reason.Count(r.Holds, "job")+" of Berth's")
	if r.Overstaying > 0 {
		c.Facts = append(c.Facts, fmt.Sprintf("%d of them beyond the time limit", r.Overstaying))
	}
	if r.ForeignJobs > 0 {
		c.Facts = append(c.Facts, reason.Count(r.ForeignJobs, "foreign job"))
	}
	if r.Ray {
		c.Facts = append(c.Facts, "a Ray cluster")
	}
	if r.Network != "" {
		c.Facts = append(c.Facts, "network "+r.Network)
	}
	for _, s := range r.Shapes {
		c.Bars = append(c.Bars, p.shapeBar(r, s))
	}
	for _, pool := range r.Pools {
		c.Pools = append(c.Pools, poolRowOf(pool, r.PausedPools))
	}
	for _, f := range r.Foreign {
		c.Foreign = append(c.Foreign, foreignRow{f.Job, linkTo(f.Job), demand(f.Ask), at(f.LatestEnd, now, false), between(now, f.LatestEnd)})
	}
	c.More = r.ForeignJobs - len(r.Foreign)
	return c
}

// paused says who paused something, since when and why.
func (p *page) paused(pause admission.Pause) string {
	now := p.pools.Value.AsOf
	word := "paused"
	if pause.Drain {
		word = "draining"
	}
	text := fmt.Sprintf("%s since %s by %s", word, at(pause.Since, now, false).Text, pause.Who)
	if !pause.EmptyAt.IsZero() {
		text = fmt.Sprintf("drained, empty since %s, paused by %s", at(pause.EmptyAt, now, false).Text, pause.Who)
	}
	if pause.Reason != "" {
		text += ": " + pause.Reason
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// shapeBar divides the machines of a shape: what is taken, and what is free on machines
// that are there or that autoscaling would add.
func (p *page) shapeBar(r statuspage.Resource, s statuspage.Shape) shapeBar {
	b := shapeBar{Shape: shapeText(s.Shape), Machine: machine(s.Shape), Limit: s.Limit}
	machines := capacity.Replicas(0)
	for _, pool := range r.Pools {
		if pool.Shape == s.Shape {
			machines += pool.Count
			b.Pools = append(b.Pools, pool.ID)
		}
	}
	free := min(s.Free, max(0, machines-s.Taken-s.Paused))
	b.Parts = parts(max(s.Limit, s.Taken+s.Paused+s.Free),
		barPart{Kind: "ours", Word: "ours", N: s.Held}, barPart{Kind: "foreign", Word: "foreign", N: s.Foreign},
		barPart{Kind: "unexplained", Word: "unexplained", N: s.Unexplained}, barPart{Kind: "paused", Word: "paused", N: s.Paused},
		barPart{Kind: "free", Word: "free", N: free}, barPart{Kind: "room", Word: "scale-up room", N: s.Free - free})
	if s.Overdrawn > 0 {
		b.Mark = percent(s.Limit, max(s.Limit, s.Taken+s.Paused+s.Free))
		b.Notes = append(b.Notes, note{"warning", fmt.Sprintf("Overdrawn by %d: nothing is admitted here until that is gone.", s.Overdrawn)})
	}
	if s.Limit == 0 && s.Taken == 0 {
		b.Notes = append(b.Notes, note{"info", "No machine of this shape is there."})
	}
	if s.Waiting > 0 {
		b.Waiting = link{Text: reason.Count(s.Waiting, "request") + " waiting", Href: p.to("queue", "resource", r.Name)}
	}
	return b
}

// parts lays out the parts of a bar. Those of nothing are kept, because their number is
// shown as text.
func parts(total capacity.Replicas, all ...barPart) []barPart {
	before := capacity.Replicas(0)
	for i := range all {
		all[i].X, all[i].W = percent(before, total), percent(all[i].N, total)
		before += all[i].N
	}
	return all
}

func percent(n, of capacity.Replicas) string {
	if of <= 0 {
		return "0%"
	}
	return strconv.FormatFloat(float64(n)*100/float64(of), 'f', 2, 64) + "%"
}

func poolRowOf(pool statuspage.Pool, paused map[string]admission.Pause) poolRow {
	row := poolRow{ID: pool.ID, Shape: shapeText(pool.Shape), Machines: pool.Count, Max: "fixed size", Used: pool.Used}
	if pool.Max > 0 {
		row.Max = fmt.Sprint(pool.Max)
	}
	if _, ok := paused[pool.ID]; ok {
		row.Paused = "paused"
	}
	idle := max(0, pool.Count-pool.Used)
	row.Parts = parts(max(pool.Limit, pool.Used+idle), barPart{Kind: "used", Word: "in use", N: pool.Used}, barPart{Kind: "free", Word: "idle", N: idle},
		barPart{Kind: "room", Word: "scale-up room", N: max(0, pool.Limit-max(pool.Count, pool.Used))})
	return row
}

// anchor makes a text the id of an element.
func anchor(s string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' {
			return c
		}
		return '-'
	}, s)
}
