package main

import (
	"fmt"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/statuspage"
)

type queueCmd struct {
	watchFlags

	Resource string `arg:"" optional:"" help:"Persistent resource: id or full name; all by default."`
	Limit    int    `default:"200" help:"Show at most this many requests."`
}

func (c *queueCmd) Run(g *globals) error {
	return c.run(g, func(g *globals) (bool, error) { return false, c.once(g) })
}

func (c *queueCmd) once(g *globals) error {
	all := statuspage.Queue{Waiting: []statuspage.Waiter{}}
	var err error
	all.Next, err = pages(g, "queue", g.inTenant(resourceQuery(c.Resource)), c.Limit, func(q statuspage.Queue) (int, string) {
		all.AsOf = q.AsOf
		all.Waiting, all.Unreadable = append(all.Waiting, q.Waiting...), append(all.Unreadable, q.Unreadable...)
		return len(all.Waiting), q.Next
	})
	if err != nil {
		return err
	}
	if g.JSON {
		return pretty(g.out, all)
	}
	if len(all.Waiting) == 0 {
		say(g.out, "Nothing waits.")
	}
	var t table
	for i, w := range all.Waiting {
		if i == 0 || w.Resource != all.Waiting[i-1].Resource {
			if i > 0 {
				t.end()
				say(g.out, "")
			}
			say(g.out, "%s", w.Resource)
			t = newTable(g.out, "  #", "REQUEST", "PRIORITY", "ASKED", "WAITED", "REASON")
		}
		position := fmt.Sprint("  ", w.Position)
		if w.Parked {
			position = "  parked"
		}
		t.row(position, w.ID, w.Priority, asked(w.Ask), spanOf(w.Waited), why(w))
	}
	if len(all.Waiting) > 0 {
		t.end()
	}
	g.unreadable(all.Unreadable)
	return g.more(all.Next)
}

func why(w statuspage.Waiter) string {
	switch {
	case w.Verdict == admission.Admit:
		return "it fits now, and starts at the next pass"
	case !w.ContradictedSince.IsZero():
		return problem(w.Reason) + " It is refused if that lasts."
	}
	if !w.StartsBy.IsZero() {
		return problem(w.Reason) + " It starts by " + clock(w.StartsBy) + " at the latest."
	}
	return problem(w.Reason)
}
