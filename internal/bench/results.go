package bench

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// resultsFile is the page with the figures of the last run that was written down,
// from the module's root.
const resultsFile = "testdata/bench/results.md"

// writeResults writes the report as the page of resultsFile.
func writeResults(file string, r *Report, date time.Time) error {
	if err := os.WriteFile(file, []byte(r.Markdown(date)), 0o644); err != nil { // #nosec G306 -- a file of the repository
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

// Markdown is the report as a page: a section for each measurement, with a table
// for each kind of figure. A column without a figure, and a count that is 0 in
// every case of the measurement, is left out.
func (r *Report) Markdown(date time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Results of the benchmark\n\n`go run ./cmd/bench -write` writes this page. Run of %s on %s; %.0f s.\n", date.UTC().Format(time.DateOnly), r.Machine, r.Seconds)
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "%s\n", n)
	}
	b.WriteString("A multiple in brackets is of the floor that the last column names: the same call without Berth, in the same run.\nCounts are per request, unless the case says otherwise.\n")
	for _, m := range measurements {
		if slices.ContainsFunc(r.Figures, func(f Figure) bool { return f.Measurement == m.name }) {
			fmt.Fprintf(&b, "\n## %s\n\n%s.\n", m.name, strings.ToUpper(m.about[:1])+m.about[1:])
			for _, kind := range []Kind{Speed, Count, Other} {
				tableOf(r.Figures, m.name, kind).markdown(&b)
			}
		}
	}
	b.WriteString("\n## Columns of the counts\n\n| column | |\n| --- | --- |\n")
	for _, c := range columns {
		fmt.Fprintf(&b, "| %s | %s |\n", c.name, c.legend)
	}
	return b.String()
}

// A table has a row for each case and a column for each name of the figures of
// one measurement and kind.
type table struct {
	cases, names []string
	cells        map[string]map[string]string // by case and name
	floors       map[string]string            // by case
}

func tableOf(figures []Figure, measurement string, kind Kind) table {
	t := table{cells: map[string]map[string]string{}, floors: map[string]string{}}
	for _, f := range figures {
		if f.Measurement != measurement || f.Kind != kind {
			continue
		}
		if t.cells[f.Case] == nil {
			t.cases, t.cells[f.Case] = append(t.cases, f.Case), map[string]string{}
		}
		if f.Kind == Count && f.Value == 0 {
			t.cells[f.Case][f.Name] = "0"
			continue // it makes no column by itself
		}
		if !slices.Contains(t.names, f.Name) {
			t.names = append(t.names, f.Name)
		}
		t.cells[f.Case][f.Name] = f.cell()
		if f.Floor != "" && !strings.Contains(t.floors[f.Case], f.Floor) {
			t.floors[f.Case] = strings.TrimPrefix(t.floors[f.Case]+"; "+f.Floor, "; ")
		}
	}
	return t
}

func (t table) markdown(b *strings.Builder) {
	if len(t.names) == 0 {
		return
	}
	row := func(cells []string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }
	head := slices.Concat([]string{"case"}, t.names)
	if len(t.floors) > 0 {
		head = append(head, "floor")
	}
	b.WriteString("\n")
	row(head)
	row(slices.Repeat([]string{"---"}, len(head)))
	for _, c := range t.cases {
		cells := []string{strings.ReplaceAll(c, "|", `\|`)}
		for _, n := range t.names {
			cells = append(cells, t.cells[c][n])
		}
		if len(t.floors) > 0 {
			cells = append(cells, t.floors[c])
		}
		row(cells)
	}
}
