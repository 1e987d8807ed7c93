package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

const tableGap = 2 // columns between cells

// A table aligns rows of cells. A cell that is too wide continues on the next
// line, so that nothing is cut off.
type table struct{ rows *tableRows }

type tableRows struct {
	out   *screen
	heads bool // the first row are heads
	cells [][]string
}

func newTable(out io.Writer, heads ...string) table {
	s, ok := out.(*screen)
	if !ok {
		s = newScreen(out, "never")
	}
	t := table{&tableRows{out: s, heads: len(heads) > 0}}
	if len(heads) > 0 {
		t.rows.cells = append(t.rows.cells, slices.Clone(heads))
	}
	return t
}

func (t table) row(cells ...any) {
	var texts []string
	for _, c := range cells {
		texts = append(texts, line(fmt.Sprint(c)))
	}
	t.rows.cells = append(t.rows.cells, texts)
}

// end writes the rows.
func (t table) end() {
	widths := fitWidths(naturalWidths(t.rows.cells), t.rows.out.width)
	for k, row := range t.rows.cells {
		var wrapped [][]string
		lines := 0
		for i, cell := range row {
			wrapped = append(wrapped, wrap(cell, widths[i]))
			lines = max(lines, len(wrapped[i]))
		}
		for n := range lines {
			var b strings.Builder
			for i, cell := range wrapped {
				text := ""
				if n < len(cell) {
					text = cell[n]
				}
				b.WriteString(t.colour(k == 0, row[i]).on(text))
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text)+tableGap))
			}
			fmt.Fprintln(t.rows.out, strings.TrimRight(b.String(), " ")) //nolint:errcheck // as say
		}
	}
}

// colour is that of a cell: of a head, or of a word that has one.
func (t table) colour(first bool, cell string) paint {
	switch {
	case !t.rows.out.colour:
		return ""
	case first && t.rows.heads:
		return bold
	}
	word, _, _ := strings.Cut(strings.TrimSpace(cell), " ")
	return paints[word]
}

func naturalWidths(rows [][]string) []int {
	var widths []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

// fitWidths narrows columns until a row fits: alternately the last one, which
// holds sentences, and the widest of the others.
func fitWidths(widths []int, width int) []int {
	over := (len(widths)-1)*tableGap - width
	for _, w := range widths {
		over += w
	}
	narrow := func(i, least int) bool {
		cut := min(over, max(0, widths[i]-least))
		widths[i] -= cut
		over -= cut
		return cut > 0
	}
	last := len(widths) - 1
	type least struct{ last, others int }
	levels := []least{{30, 50}, {12, 12}}
	if width < pipeWidth {
		levels = append(levels, least{6, 4}) // words are broken rather than rows
	}
	for _, least := range levels {
		for narrow(last, least.last) || last > 0 && narrow(widest(widths[:last]), least.others) {
		}
	}
	return widths
}

func widest(widths []int) int { return slices.Index(widths, slices.Max(widths)) }

// wrap breaks a text into lines of at most width columns, at spaces where it can,
// else after a slash or comma.
// Further lines are indented as the first is.
func wrap(text string, width int) []string {
	rest := []rune(text)
	indent := len(rest) - len([]rune(strings.TrimLeft(text, " ")))
	if indent >= width/2 {
		indent = 0
	}
	var lines []string
	for len(rest) > width {
		at := lastBreak(indent, width, func(i int) bool { return rest[i] == ' ' })
		if at < 0 {
			at = lastBreak(indent, width, func(i int) bool { return rest[i-1] == '/' || rest[i-1] == ',' })
		}
		if at < 0 {
			at = width
		}
		lines = append(lines, string(rest[:at]))
		rest = []rune(strings.Repeat(" ", indent) + strings.TrimLeft(string(rest[at:]), " "))
	}
	return append(lines, string(rest))
}

// lastBreak is the last place after the indent, width at most, where a line may
// end; -1 if there is none.
func lastBreak(indent, width int, may func(int) bool) int {
	for i := width; i > indent; i-- {
		if may(i) {
			return i
		}
	}
	return -1
}
