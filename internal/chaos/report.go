package chaos

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"example.com/berth/internal/invariant"
	"example.com/berth/internal/message"
)

// A Report is what came of a run.
type Report struct {
	Seed       uint64                   `json:"seed"`
	Took       time.Duration            `json:"took"`
	Messages   int                      `json:"messages"` // published
	Purposes   map[string]int           `json:"purposes"` // messages by what they were for
	Requests   int                      `json:"requests"` // in the ledger
	Answers    int                      `json:"answers"`  // in the ledger: to messages that make no request
	Ends       map[string]int           `json:"ends"`     // requests by state
	Excused    int                      `json:"excused"`  // of those, ended as they did because of what was done to them
	Deliveries Deliveries               `json:"deliveries"`
	Kills      Kills                    `json:"kills"`
	Faults     map[string]map[Fault]int `json:"faults"`   // by service and kind
	Outages    int                      `json:"outages"`  // of whole services, for seconds
	Passes     int                      `json:"passes"`   // reconciles
	Commits    int                      `json:"commits"`  // of the ledger, each of them judged
	Takes      int                      `json:"takes"`    // of those, with more holds after than before
	Events     int                      `json:"events"`   // received from the outcome topic
	Repeated   int                      `json:"repeated"` // of those, received before
	Jobs       Jobs                     `json:"jobs"`
	Violations []invariant.Violation    `json:"violations"`
}

// report is how it stands, as far as that can be said while it goes on.
func (r *run) report(s standing) Report {
	all, ids := r.publisher.all()
	o := Report{Seed: r.o.Seed, Took: time.Since(r.began), Messages: len(all), Purposes: map[string]int{}, Ends: map[string]int{},
		Faults: r.world.dice.injected(), Violations: []invariant.Violation{}}
	for _, m := range all {
		o.Purposes[string(m.purpose)]++
	}
	for _, rec := range s.picture.Records {
		switch {
		case rec.Kind == message.KindAnswer:
			o.Answers++
			continue
		case rec.Tombstone():
			continue
		}
		o.Requests++
		o.Ends[string(rec.State)]++
		if excused(rec) {
			o.Excused++
		}
	}
	o.Deliveries, _, o.Passes = r.pump.tally(ids)
	o.Kills, o.Outages, _ = r.injector.tally()
	w := r.world.witness
	w.mu.Lock()
	o.Commits, o.Takes = w.commits, w.takes
	w.mu.Unlock()
	r.outcomes.mu.Lock()
	o.Events, o.Repeated = len(r.outcomes.got), len(r.outcomes.got)-len(r.outcomes.ids)
	r.outcomes.mu.Unlock()
	return o
}

// conclude adds what was found, each thing once.
func (o *Report) conclude(found []invariant.Violation) {
	seen := map[invariant.Violation]bool{}
	for _, v := range found {
		if !seen[v] {
			seen[v] = true
			o.Violations = append(o.Violations, v)
		}
	}
}

func (o Report) killed() int {
	n := o.Kills.Vertex
	for _, k := range o.Kills.Functions {
		n += k
	}
	return n
}

func (o Report) injected() int {
	n := 0
	for _, kinds := range o.Faults {
		for _, k := range kinds {
			n += k
		}
	}
	return n
}

// Print writes the closing table.
func (o Report) Print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("SEED", "%d, %.1f s", o.Seed, o.Took.Seconds())
	row("MESSAGES", "%d published: %s", o.Messages, listed(o.Purposes))
	row("REQUESTS", "%d: %s", o.Requests, listed(o.Ends))
	row("", "%d answers to messages that make no request", o.Answers)
	if o.Excused > 0 {
		row("", "%d of the requests failed or were cancelled because whether they had a job, or when it would start, could not be found out", o.Excused)
	}
	d := o.Deliveries
	row("DELIVERIES", "%d, of them %d duplicates, %d held back; %d not acknowledged, %d acknowledgements lost", d.Total, d.Duplicate, d.Late, d.Failed, d.AckLost)
	row("", "%d ticks, %d reconciles", d.Ticks, o.Passes)
	for i, n := range o.Kills.Functions {
		row(pick(i == 0, "KILLS", ""), "%d of function %d", n, i+1)
	}
	row("", "%d of the fake Vertex AI, %d of them within a create", o.Kills.Vertex, o.Kills.MidCreate)
	row("OUTAGES", "%d", o.Outages)
	for i, service := range slices.Sorted(maps.Keys(o.Faults)) {
		row(pick(i == 0, "FAULTS", ""), "%s: %s", service, listed(o.Faults[service]))
	}
	row("COMMITS", "%d, each of them judged; %d took replicas", o.Commits, o.Takes)
	row("EVENTS", "%d received, %d of them repeated", o.Events, o.Repeated)
	row("JOBS", "%d named by their request; %d of foreign jobs", o.Jobs.Named, o.Jobs.Foreign)
	row("ORPHANS", "%d cancelled, %d ended before a pass observed them; %d creates were too late to be found by the next attempt", o.Jobs.OrphansCancelled, o.Jobs.OrphansOver, o.Jobs.LateCreates)
	row("VIOLATIONS", "%d", len(o.Violations))
	if err := w.Flush(); err != nil {
		return err
	}
	for _, v := range o.Violations {
		if _, err := fmt.Fprintf(out, "\n  %s\n", v); err != nil {
			return err
		}
	}
	return nil
}

func pick(first bool, a, b string) string {
	if first {
		return a
	}
	return b
}

// listed writes counts in order of their names.
func listed[K ~string](counts map[K]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[k], k))
	}
	return strings.Join(parts, ", ")
}
