package main

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestTableFits: every row fits the terminal and loses no text.
func TestTableFits(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var b bytes.Buffer
		count := 1 + random.IntN(6)
		width := leastWidth + random.IntN(150)
		table := newTable(&screen{Writer: &b, width: width}, strings.Fields("A B C D E F")[:count]...)
		events := map[rune]int{}
		for range 1 + random.IntN(4) {
			var cells []any
			for i := range count {
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
			if n := columns(row); n > width || strings.HasSuffix(row, " ") {
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
	for text, want := range map[string][]string{
		"jobSpec.workerPoolSpecs[0].diskSpec.bootDiskType": {"jobSpec.workerPoolSpecs[0].", "diskSpec.bootDiskType"},
		"nightly-2026-03-01-of-the-vision-team":            {"nightly-2026-03-01-of-the-", "vision-team"},
		"set a/very.long-name":                             {"set a/very.long-name"},
		strings.Repeat("x", 31) + "-":                      {strings.Repeat("x", 30), "x-"},
	} {
		if got := wrap(text, 30); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	got := wrap("g2-standard-12/NVIDIA_L4:1/pd-standard:200", 30)
	if want := []string{"g2-standard-12/NVIDIA_L4:1/", "pd-standard:200"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// inColumns is a table as a terminal of so many columns shows it, or a pipe for 0.
func inColumns(width int, rows ...[]any) string {
	var b bytes.Buffer
	var heads []string
	for _, head := range rows[0] {
		heads = append(heads, head.(string))
	}
	table := newTable(&screen{Writer: &b, width: width, terminal: width > 0}, heads...)
	for _, row := range rows[1:] {
		table.row(row...)
	}
	table.end()
	return b.String()
}

// A row is a line in a pipe. On a terminal no word is broken while there is another way: a
// name that is too long has a line of its own, then the last cell goes below, then all do.
func TestTableOnTerminals(t *testing.T) {
	rows := [][]any{
		{"REQUEST", "STATE", "RESOURCE", "REASON"},
		{"nightly-2026-03-01-of-the-vision-team", "WAITING", "pool", "FULL: 1 replica of n1-standard-4/pd-ssd:100 is asked for; of 4, 4 are in use."},
		{"a", "SUCCEEDED", "pool", "-"},
	}
	for width, want := range map[int]string{
		0: `REQUEST                                STATE      RESOURCE  REASON
nightly-2026-03-01-of-the-vision-team  WAITING    pool      FULL: 1 replica of n1-standard-4/pd-ssd:100 is asked for; of 4, 4 are in use.
a                                      SUCCEEDED  pool      -
`,
		70: `REQUEST  STATE      RESOURCE  REASON
nightly-2026-03-01-of-the-vision-team
         WAITING    pool      FULL: 1 replica of
                              n1-standard-4/pd-ssd:100 is asked for;
                              of 4, 4 are in use.
a        SUCCEEDED  pool      -
`,
		50: `REQUEST  STATE      RESOURCE
    REASON
nightly-2026-03-01-of-the-vision-team
         WAITING    pool
    FULL: 1 replica of n1-standard-4/pd-ssd:100 is
    asked for; of 4, 4 are in use.
a        SUCCEEDED  pool
`,
	} {
		if got := inColumns(width, rows...); got != want {
			t.Errorf("%d columns:\n%s\nwant\n%s", width, got, want)
		}
	}
	table := [][]any{{"  SHAPE", "LIMIT", "UNEXPLAINED", "FREE", "WAITING"}, {"  n1-standard-4/pd-ssd:100", 4, 0, 3, 12}, {"  g2-standard-12/NVIDIA_L4:1/pd-ssd:100", 2, 0, 1, 0}}
	want := `SHAPE          n1-standard-4/
               pd-ssd:100
  LIMIT        4
  UNEXPLAINED  0
  FREE         3
  WAITING      12

SHAPE          g2-standard-12/
               NVIDIA_L4:1/
               pd-ssd:100
  LIMIT        2
  UNEXPLAINED  0
  FREE         1
  WAITING      0
`
	if got := inColumns(32, table...); got != want {
		t.Errorf("a list:\n%s\nwant\n%s", got, want)
	}
}

// A wide character takes two columns, and a mark that is put onto another none.
func TestTableOfWideCharacters(t *testing.T) {
	want := "NAME    STATE\n訓練-1  RUNNING\ne\u0301té     FAILED\nab      FAILED\n"
	if got := inColumns(0, []any{"NAME", "STATE"}, []any{"訓練-1", "RUNNING"}, []any{"e\u0301té", "FAILED"}, []any{"ab", "FAILED"}); got != want {
		t.Errorf("%q, want\n%q", got, want)
	}
	if got, want := wrap("訓練訓練 訓練", 5), []string{"訓練", "訓練", "訓練"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
