package bench

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// A Report is what a run found.
type Report struct {
	Machine string   `json:"machine"`
	Notes   []string `json:"notes"` // what stood in for what
	Seconds float64  `json:"seconds"`
	Figures []Figure `json:"figures"`
}

func describe() string {
	return fmt.Sprintf("%s/%s, %d cores, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
}

// Print writes the report as a table in three parts.
func (r *Report) Print(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %.0f s\n", r.Machine, r.Seconds)
	for _, n := range r.Notes {
		fmt.Fprintln(&b, n)
	}
	for _, part := range []struct {
		kind  Kind
		title string
	}{
		{Speed, "SPEED (k× is the multiple of the floor that the last column names)"},
		{Count, "COUNTS (per request, unless the case says otherwise)"},
		{Other, "SIZE AND COST (CPU of the function and of the Firestore emulator, and instance time, per request)"},
	} {
		r.part(&b, part.kind, part.title)
	}
	if slices.ContainsFunc(r.Figures, func(f Figure) bool { return f.Kind == Count }) {
		fmt.Fprintln(&b, "\nColumns of the counts:")
		for _, c := range columns {
			fmt.Fprintf(&b, "  %-10s %s\n", c.name, c.legend)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// part writes the figures of one kind: a line for each case, a column for each
// name.
func (r *Report) part(b *strings.Builder, kind Kind, title string) {
	type row struct{ measurement, name string }
	var rows []row
	var names []string
	cells := map[row]map[string]string{}
	floors := map[row]string{}
	for _, f := range r.Figures {
		if f.Kind != kind {
			continue
		}
		at := row{f.Measurement, f.Case}
		if cells[at] == nil {
			rows, cells[at] = append(rows, at), map[string]string{}
		}
		if !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
		cells[at][f.Name] = f.cell()
		if f.Floor != "" && !strings.Contains(floors[at], f.Floor) {
			floors[at] = strings.TrimPrefix(floors[at]+"; "+f.Floor, "; ")
		}
	}
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", title)
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = io.WriteString(t, strings.Join(cells, "\t")+"\n") } // a strings.Builder never fails
	line(slices.Concat([]string{"measurement", "case"}, names)...)
	for _, at := range rows {
		row := []string{at.measurement, at.name}
		for _, n := range names {
			row = append(row, cells[at][n])
		}
		line(append(row, floors[at])...)
	}
	_ = t.Flush()
}

// cell is the figure as the table shows it.
func (f Figure) cell() string {
	s := short(f.Value) + f.Unit
	if f.Times > 0 {
		s += " (" + short(f.Times) + "×)"
	}
	return s
}

// short writes a number with three digits that count, and whole numbers as they
// are.
func short(v float64) string {
	if v == math.Trunc(v) {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	digits := 2 - int(math.Floor(math.Log10(math.Abs(v))))
	return strconv.FormatFloat(v, 'f', max(digits, 0), 64)
}
