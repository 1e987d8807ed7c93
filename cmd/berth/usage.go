package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/statuspage"
)

type usageCmd struct {
	Resource string   `arg:"" optional:"" help:"Persistent resource: id or full name; all by default."`
	Since    string   `default:"24h" placeholder:"TIME" help:"From when on: 90m, 24h, 7d, a date (2006-01-31, local time) or a time of RFC 3339; at most 31 days ago, by default ${default}."`
	Price    []string `sep:"none" placeholder:"MACHINE=USD" help:"Price of an hour of a machine, such as g2-standard-8+NVIDIA_L4=1.23; may be repeated."`
	Prices   string   `placeholder:"FILE" help:"Prices by machine: CSV with the columns name,usd,region,date,source."`
	Limit    int      `default:"200" help:"Show at most this many persistent resources."`
}

// Help is shown below the flags.
func (usageCmd) Help() string {
	return `Says what became of the machines of a persistent resource, in replica-hours per machine and disk spec: how many there were (HOURS), used by
Berth's jobs and by others, idle, and idle while a request waited for such machines (WAITED), which is what order and fragmentation cost.
QUEUE is the mean and the largest number of requests that waited for such machines.

Passes of the deployment sum this up as they observe: 5 minutes at a time for the last 24 hours, 6 hours at a time for 31 days. The time
in which no pass ran is not known, and in no sum.

PRICE is the list price of the idle hours of machine and accelerators, in USD, without disks and discounts. Few prices are built in, each
with its date and source; --price and --prices add yours: the price of a machine type, of an accelerator, or of both together.`
}

// used is a usage with prices.
type used struct {
	statuspage.Usage
	Shapes []usedShape `json:"shapes"`
}

type usedShape struct {
	statuspage.ShapeUsage
	IdlePrice *float64 `json:"idlePrice,omitempty"` // USD
	Prices    []price  `json:"prices,omitempty"`    // that it rests on
}

func (c *usageCmd) Run(g *globals) error {
	known, err := pricesOf(c.Prices, c.Price)
	if err != nil {
		return err
	}
	query := resourceQuery(c.Resource)
	since, err := moment(c.Since, time.Now())
	if err != nil {
		return err
	}
	query.Set("since", since.UTC().Format(time.RFC3339))
	var answer statuspage.Usages
	list := []used{}
	answer.Next, err = pages(g, "usage", query, c.Limit, func(p statuspage.Usages) (int, string) {
		answer.AsOf, answer.Unreadable = p.AsOf, append(answer.Unreadable, p.Unreadable...)
		for _, u := range p.Resources {
			list = append(list, known.on(u))
		}
		return len(list), p.Next
	})
	if err != nil {
		return err
	}
	if g.JSON {
		return pretty(g.out, struct {
			AsOf       time.Time                 `json:"asOf"`
			Resources  []used                    `json:"resources"`
			Next       string                    `json:"next,omitempty"`
			Unreadable []*ledger.UnreadableError `json:"unreadable,omitempty"`
		}{answer.AsOf, list, answer.Next, answer.Unreadable})
	}
	if len(list)+len(answer.Unreadable) == 0 {
		say(g.out, "No persistent resource is known yet; Berth observes one when a request names it.")
	}
	for i, u := range list {
		if i > 0 {
			say(g.out, "")
		}
		u.print(g.out)
	}
	g.unreadable(answer.Unreadable)
	return g.more(answer.Next)
}

// on adds prices to a usage.
func (p prices) on(u statuspage.Usage) used {
	n := used{Usage: u, Shapes: []usedShape{}}
	for _, s := range u.Shapes {
		one := usedShape{ShapeUsage: s}
		if usd, by, ok := p.of(s.Shape); ok {
			idle := usd * s.Idle
			one.IdlePrice, one.Prices = &idle, by
		}
		n.Shapes = append(n.Shapes, one)
	}
	return n
}

func (u used) print(w io.Writer) {
	say(w, "%s", u.Name)
	known := spanOf(u.Observed)
	if d := time.Duration(u.Observed); d > time.Hour {
		known = span(d.Round(time.Minute))
	}
	if u.Observed == 0 {
		prose(w, "  Nothing is known since %s: passes sum up from their second observation on.", clock(u.From))
		return
	}
	prose(w, "  %s to %s, of which %s were observed", clock(u.From), clock(u.To), known)
	say(w, "")
	t := newTable(w, "  SHAPE", "HOURS", "USED", "OTHERS", "IDLE", "WAITED", "BUSY", "QUEUE", "PRICE")
	var notes []string
	note := func(format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !slices.Contains(notes, text) {
			notes = append(notes, text)
		}
	}
	for _, s := range u.Shapes {
		busy, cost := "-", "-"
		if s.Utilisation != nil {
			busy = fmt.Sprintf("%.0f%%", 100**s.Utilisation)
		}
		switch {
		case s.IdlePrice != nil:
			cost = fmt.Sprintf("%.2f", *s.IdlePrice)
			for _, p := range s.Prices {
				note("An hour of %s costs %g USD%s", p.Name, p.USD, p.origin())
			}
		case s.Idle > 0:
			note("No price of %s is known: give --price '%s=USD'", wholeMachine(s.Shape.Spec()), wholeMachine(s.Shape.Spec()))
		}
		t.row("  "+s.Shape.String(), hours(s.Hours), hours(s.Used), hours(s.Foreign+s.Unexplained), hours(s.Idle), hours(s.IdleWaiting), busy,
			fmt.Sprintf("%.1f, %d", s.MeanWaiting, s.MaxWaiting), cost)
	}
	t.end()
	if len(notes) > 0 {
		say(w, "")
	}
	for _, n := range notes {
		prose(w, "  %s.", n)
	}
}

func hours(n float64) string { return fmt.Sprintf("%.1f", n) }

// origin says where a price comes from.
func (p price) origin() string {
	var parts []string
	for _, part := range []string{p.Region, p.Date, p.Source} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if parts == nil {
		return ""
	}
	return " (" + strings.Join(parts, ", ") + ")"
}
