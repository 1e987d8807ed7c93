package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
)

// A Band is the range that a count has to be in, and the values that it had in
// the runs which the range was made from.
type Band struct {
	Low  float64   `json:"low"`
	High float64   `json:"high"`
	Runs []float64 `json:"runs"`
}

// Bands are bands by case ("measurement / case") and name of a figure.
type Bands map[string]map[string]Band

func readBands(file string) (Bands, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read bands: %w", err)
	}
	var b Bands
	if err := json.Unmarshal(data, &b); err != nil {
		return nil, fmt.Errorf("read bands of %s: %w", file, err)
	}
	return b, nil
}

// record adds the counts of a run to the bands in a file, which need not exist.
func record(file string, figures []Figure) error {
	b, err := readBands(file)
	if errors.Is(err, fs.ErrNotExist) {
		b, err = Bands{}, nil
	}
	if err != nil {
		return err
	}
	for _, f := range counted(figures) {
		if b[f.page()] == nil {
			b[f.page()] = map[string]Band{}
		}
		b[f.page()][f.Name] = bandOf(append(b[f.page()][f.Name].Runs, f.Value), f.Loose)
	}
	return os.WriteFile(file, b.text(), 0o644) // #nosec G306 -- a file of the repository
}

// bandOf makes the band of some runs. A count is to stay as it was, to the last
// document. What depends on which requests happen to be decided together, and so
// on the scheduling of the machine, may go a tenth beyond the runs, or twice as
// far as they went apart; and what is less than one a request, a share in
// batches, may be by batchShare more or less. Bands are for the call more per
// request, not for the batch more.
func bandOf(runs []float64, loose bool) Band {
	low, high := slices.Min(runs), slices.Max(runs)
	if loose && high > 0 {
		margin := max(0.1*high, 2*(high-low))
		if high < 1 {
			margin = max(margin, batchShare)
		}
		low, high = max(0, low-margin), high+margin
	}
	return Band{Low: math.Floor(low*100) / 100, High: math.Ceil(high*100) / 100, Runs: runs}
}

// batchShare is a call for every four requests.
const batchShare = 0.25

func counted(figures []Figure) []Figure {
	return slices.DeleteFunc(slices.Clone(figures), func(f Figure) bool { return f.Kind != Count })
}

// page names the case that a figure belongs to.
func (f Figure) page() string { return f.Measurement + " / " + f.Case }

// text is the bands as they are kept, a line for each.
func (b Bands) text() []byte {
	var s strings.Builder
	s.WriteString("{")
	for i, page := range slices.Sorted(maps.Keys(b)) {
		fmt.Fprintf(&s, "%s\n  %q: {", comma(i), page)
		for j, name := range slices.Sorted(maps.Keys(b[page])) {
			line, err := json.Marshal(b[page][name])
			if err != nil {
				panic(err) // cannot happen: numbers encode
			}
			fmt.Fprintf(&s, "%s\n    %q: %s", comma(j), name, line)
		}
		s.WriteString("\n  }")
	}
	s.WriteString("\n}\n")
	return []byte(s.String())
}

func comma(i int) string {
	if i == 0 {
		return ""
	}
	return ","
}

// outside says what of a run's counts is not in its band. A count without a band
// is outside, and so is a band of a case that was measured but no longer has that
// count: both need a decision of the author.
func (b Bands) outside(figures []Figure) []string {
	var found []string
	have := map[string]map[string]bool{}
	for _, f := range counted(figures) {
		if have[f.page()] == nil {
			have[f.page()] = map[string]bool{}
		}
		have[f.page()][f.Name] = true
		band, ok := b[f.page()][f.Name]
		switch {
		case !ok:
			found = append(found, fmt.Sprintf("%s: %s: no band; it is %s", f.page(), f.Name, f.cell()))
		case math.Round(f.Value*1000) < math.Round(band.Low*1000) || math.Round(f.Value*1000) > math.Round(band.High*1000):
			found = append(found, fmt.Sprintf("%s: %s: %s is outside %g to %g (runs: %v)", f.page(), f.Name, f.cell(), band.Low, band.High, band.Runs))
		}
	}
	for page, names := range have {
		for name := range b[page] {
			if !names[name] {
				found = append(found, fmt.Sprintf("%s: %s: it has a band and was not measured", page, name))
			}
		}
	}
	slices.Sort(found)
	return found
}
