package html

import (
	"fmt"
	"time"
)

// A healthView is what the page of the health shows.
type healthView struct {
	Words []string
	Notes []note
	Facts []fact
}

// HealthView is that of the page.
func (p *page) HealthView() healthView {
	h, u := p.health.Value, p.Pulse()
	v := healthView{Words: []string{u.Word + "."}, Notes: append(problemOf(p.health.Err), unread(documents(h.Unreadable))...)}
	if u.Kind == "warning" {
		for _, n := range u.Notes {
			v.Notes = append(v.Notes, note{"warning", n + "."})
		}
	}
	add := func(name, text string) { v.Facts = append(v.Facts, fact{Name: name, Lines: []string{text}}) }
	v.Facts = append(v.Facts, fact{Name: "As of", When: at(h.AsOf, h.AsOf, true), Lines: []string{"by the ledger's clock"}})
	add("Persistent resources observed", fmt.Sprint(h.Resources))
	if h.Oldest != "" {
		age := "never observed"
		if h.OldestAge > 0 || !h.Stale {
			age = "observed " + span(time.Duration(h.OldestAge)) + " ago"
		}
		v.Facts = append(v.Facts, fact{Name: "Oldest observation", Link: p.resourceLink(h.Oldest), Lines: []string{age}})
	}
	if p.index.OK() {
		add("An older observation admits nothing", span(time.Duration(p.index.Value.MaxAge)))
	}
	if h.Reconcile == nil {
		add("Last passes", "by no instance yet")
	} else {
		v.Facts = append(v.Facts, fact{Name: "Last passes", When: at(h.Reconcile.Until, h.AsOf, true), Lines: []string{"until then by instance " + h.Reconcile.Holder}})
	}
	return v
}

// Explained is the answer to a message that was not published.
func (p *page) Explained() requestView {
	q := p.quote.Value
	v := requestView{State: badge{"warning", q.Verdict}, Why: whyOf(q.Reason), Warnings: whys(q.Warnings)}
	switch {
	case q.Verdict == "ADMIT":
		v.State.Kind = "ok"
	case q.Verdict == "" || q.Verdict == "REFUSE":
		v.State = badge{"error", "REFUSE"}
	}
	for _, f := range q.Fit {
		v.Facts = append(v.Facts, fact{Name: shapeText(f.Shape), Lines: []string{fmt.Sprintf("%d asked, %d of %d taken: %s", f.Asked, f.Taken, f.Limit, f.Verdict)}})
	}
	return v
}
