package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

const (
	tableGap  = 2 // columns between cells
	belowLast = 4 // columns by which a last cell is indented that stands below its row
)

// A table aligns rows of cells and loses no text. In a pipe a row is a line. On a terminal
// that is too narrow for that, cells continue on the next line at the end of a word. Where
// words would have to be broken too, the last cell goes below its row, and where that does
// not help each row becomes a list of its cells.
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
	l := arrange(t.rows.cells, t.rows.out.width, t.rows.heads)
	for k, row := range t.rows.cells {
		switch {
		case l.list && k == 0: // each row has the heads
		case l.list:
			if k > 1 {
				t.write("")
			}
			t.list(row)
		default:
			t.grid(k, row, l)
		}
	}
}

// grid writes a row in columns. A first cell that is wider than its column has a line of its
// own, so that a name can be copied.
func (t table) grid(k int, row []string, l layout) {
	indent := leading(row[0])
	last := ""
	if l.below {
		row, last = row[:len(row)-1], row[len(row)-1]
	}
	cells := make([][]string, len(row))
	lines := 0
	for i, cell := range row {
		cells[i] = wrap(cell, l.widths[i])
		lines = max(lines, len(cells[i]))
	}
	if l.apart && columns(row[0]) > l.widths[0] {
		for _, text := range wrap(row[0], t.rows.out.width) {
			t.write(t.colour(k, row[0]).on(text))
		}
		cells[0] = nil
		lines = 0
		for _, cell := range cells {
			lines = max(lines, len(cell))
		}
	}
	for n := range lines {
		var b strings.Builder
		for i, cell := range cells {
			text := ""
			if n < len(cell) {
				text = cell[n]
			}
			b.WriteString(t.colour(k, row[i]).on(text))
			b.WriteString(strings.Repeat(" ", max(0, l.widths[i]-columns(text))+tableGap))
		}
		t.write(b.String())
	}
	if last != "" && last != "-" {
		for _, text := range wrap(strings.Repeat(" ", indent+belowLast)+last, t.rows.out.width) {
			t.write(t.colour(k, last).on(text))
		}
	}
}

// list writes the cells of a row below each other, each with its head.
func (t table) list(row []string) {
	heads := t.rows.cells[0]
	wide := 0
	for _, head := range heads {
		wide = max(wide, columns(strings.TrimLeft(head, " ")))
	}
	for i, cell := range row {
		indent := ""
		if i > 0 {
			indent = "  "
		}
		head := strings.TrimLeft(heads[i], " ")
		room := max(t.rows.out.width-wide-2*tableGap, 4)
		for n, text := range wrap(strings.TrimLeft(cell, " "), room) {
			if n > 0 {
				head = ""
			}
			pad := strings.Repeat(" ", wide+2*tableGap-len(indent)-columns(head))
			t.write(indent + t.colour(0, head).on(head) + pad + t.colour(1, cell).on(text))
		}
	}
}

func (t table) write(text string) {
	fmt.Fprintln(t.rows.out, strings.TrimRight(text, " ")) //nolint:errcheck // as say
}

// colour is that of a cell of a row: of a head, or of a word that has one.
func (t table) colour(row int, cell string) paint {
	switch {
	case !t.rows.out.colour:
		return ""
	case row == 0 && t.rows.heads:
		return bold
	}
	word, _, _ := strings.Cut(strings.TrimSpace(cell), " ")
	return paints[word]
}

// A layout is how the rows of a table are written.
type layout struct {
	widths []int // of the columns
	apart  bool  // a first cell that is too wide has a line of its own
	below  bool  // the last cell is below its row
	list   bool  // a row is a list of its cells
}

// arrange finds the layout of rows for a width; 0 is any width.
func arrange(rows [][]string, width int, heads bool) layout {
	natural, words := widthsOf(rows)
	if width == 0 || total(natural) <= width {
		return layout{widths: natural}
	}
	if !heads {
		return layout{widths: fit2(natural, width)}
	}
	if widths, ok := narrowed(natural, words, width); ok {
		return layout{widths: tightened(rows, widths, natural, width), apart: true}
	}
	if n := len(natural) - 1; n > 0 {
		if widths, ok := narrowed(natural[:n], words[:n], width); ok {
			return layout{widths: tightened(rows, widths, natural[:n], width), apart: true, below: true}
		}
	}
	return layout{list: true}
}

// widthsOf are the widest cell and the widest word of each column.
func widthsOf(rows [][]string) (natural, words []int) {
	for _, row := range rows {
		for i, cell := range row {
			if i == len(natural) {
				natural, words = append(natural, 0), append(words, 0)
			}
			natural[i], words[i] = max(natural[i], columns(cell)), max(words[i], widestWord(cell))
		}
	}
	return natural, words
}

func total(widths []int) int {
	n := (len(widths) - 1) * tableGap
	for _, w := range widths {
		n += w
	}
	return n
}

// Least widths of columns.
const (
	mostLines  = 3  // of a last cell; one that would have more stands below its row
	leastName  = 16 // of the first column
	leastFirst = 10 // of the first column if nothing else helps
)

// narrowed narrows columns until a row fits without a broken word, except for those of the
// first cell, which may stand apart. ok is false if that cannot be.
func narrowed(natural, words []int, width int) (widths []int, ok bool) {
	widths = slices.Clone(natural)
	over := total(widths) - width
	narrow := func(i, least int) {
		cut := min(max(over, 0), max(0, widths[i]-least))
		widths[i] -= cut
		over -= cut
	}
	last := len(widths) - 1
	if last > 0 {
		narrow(last, max(words[last], (natural[last]+mostLines-1)/mostLines))
	}
	for i := 1; i < last; i++ {
		narrow(i, words[i])
	}
	narrow(0, leastName)
	narrow(0, leastFirst)
	return widths, over <= 0
}

// tightened makes the first column as narrow as its cells that do not stand apart, and gives
// the room to the last.
func tightened(rows [][]string, widths, natural []int, width int) []int {
	first := 0
	for _, row := range rows {
		if w := columns(row[0]); w <= widths[0] {
			first = max(first, w)
		}
	}
	if last := len(widths) - 1; last > 0 {
		widths[0] = first
		widths[last] = min(natural[last], widths[last]+max(0, width-total(widths)))
	}
	return widths
}

// fit2 narrows the columns of a table without heads: names, which stay as they are, and
// values.
func fit2(widths []int, width int) []int {
	widths = slices.Clone(widths)
	for i, least := range slices.Backward(widths) {
		if i < len(widths)-1 {
			least = min(least, 12)
		} else {
			least = min(least, max(width/2, 12))
		}
		widths[i] -= min(max(0, total(widths)-width), max(0, widths[i]-least))
	}
	return widths
}
