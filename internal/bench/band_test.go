package bench

import (
	"path/filepath"
	"strings"
	"testing"
)

// What varies because requests are decided together has room; what never
// happened has none.
func TestBandOf(t *testing.T) {
	for _, c := range []struct {
		runs      []float64
		loose     bool
		low, high float64
	}{
		{[]float64{3, 3}, false, 3, 3},
		{[]float64{3, 3}, true, 2.7, 3.3},
		{[]float64{0.1, 0.12}, true, 0, 0.37},
		{[]float64{0, 0}, true, 0, 0},
	} {
		if b := bandOf(c.runs, c.loose); b.Low != c.low || b.High != c.high {
			t.Errorf("bandOf(%v, %t) is %g to %g, want %g to %g", c.runs, c.loose, b.Low, b.High, c.low, c.high)
		}
	}
}

func TestBands(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bands.json")
	run := func(gets, stale float64) []Figure {
		return []Figure{
			{Measurement: "m", Case: "c", Name: "gets", Kind: Count, Value: gets},
			{Measurement: "m", Case: "c", Name: "stale", Kind: Count, Value: stale, Loose: true},
			{Measurement: "m", Case: "c", Name: "p50", Kind: Speed, Value: 17},
		}
	}
	for _, figures := range [][]Figure{run(3, 4), run(3, 5)} {
		if err := record(file, figures); err != nil {
			t.Fatal(err)
		}
	}
	bands, err := readBands(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		figures []Figure
		found   []string // parts of what is said, in order
	}{
		{"as before", run(3, 4), nil},
		{"twice as far off as ever", run(3, 7), nil},
		{"beyond it", run(3, 7.1), []string{"stale: 7.10 is outside 2 to 7 (runs: [4 5])"}},
		{"what never differed", run(3.1, 4), []string{"gets: 3.10 is outside 3 to 3"}},
		{"better than ever", run(2, 4), []string{"gets: 2 is outside 3 to 3"}},
		{"a count that is new", append(run(3, 4), Figure{Measurement: "m", Case: "c", Name: "new", Kind: Count}), []string{"new: no band"}},
		{"a count that is gone", run(3, 4)[:1], []string{"stale: it has a band and was not measured"}},
		{"another case", nil, nil},
	} {
		found := bands.outside(c.figures)
		if len(found) != len(c.found) {
			t.Errorf("%s: %d findings %q, want %d", c.name, len(found), found, len(c.found))
			continue
		}
		for i, part := range c.found {
			if !strings.Contains(found[i], part) {
				t.Errorf("%s: %q does not say %q", c.name, found[i], part)
			}
		}
	}
}
