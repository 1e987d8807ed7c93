package main

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestTableFits: every row fits the width and loses no text.
func TestTableFits(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var b bytes.Buffer
		columns := 1 + random.IntN(6)
		width := leastWidth + random.IntN(150)
		table := newTable(&screen{Writer: &b, width: width}, strings.Fields("A B C D E F")[:columns]...)
		events := map[rune]int{}
		for range 1 + random.IntN(4) {
			var cells []any
			for i := range columns {
				text := strings.Repeat(strings.Repeat(string(rune('a'+i)), 1+random.IntN(15))+" ", random.IntN(3))
				if random.IntN(5) == 0 {
					text = strings.Repeat("é", random.IntN(150))
				}
				cells = append(cells, strings.TrimSpace(text))
				for _, c := range text {
					events[c]++
				}
			}
			table.row(cells...)
		}
		table.end()
		for row := range strings.Lines(b.String()) {
			row = strings.TrimSuffix(row, "\n")
			if n := utf8.RuneCountInString(row); n > width || strings.HasSuffix(row, " ") {
				t.Fatalf("a row of %d columns: %q", n, row)
			}
			for _, c := range row {
				events[c]--
			}
		}
		for c, n := range events {
			if n != 0 && c >= 'a' {
				t.Fatalf("%q is missing %d times:\n%s", c, n, b.String())
			}
		}
	}
}

func TestWrapKeepsNamesWhole(t *testing.T) {
	got := wrap("g2-standard-12/NVIDIA_L4:1/pd-standard:200", 30)
	if want := []string{"g2-standard-12/NVIDIA_L4:1/", "pd-standard:200"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestTableWraps(t *testing.T) {
	var b bytes.Buffer
	table := newTable(&b, "  ID", "REASON")
	table.row("  "+strings.Repeat("x", 20), strings.Repeat("word ", 20)+"end")
	table.row("  y", "short")
	table.end()
	want := `  ID                    REASON
  xxxxxxxxxxxxxxxxxxxx  word word word word word word word word word word word word word word word
                        word word word word word end
  y                     short
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}
