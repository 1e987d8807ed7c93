// Package allocation measures operations for the tests of other packages: a benchmark
// prints times and bytes, and a test holds how often each operation allocates to its band
// in testdata/bench/allocs.json.
package allocation

import (
	"encoding/json"
	"os"
	"testing"
)

// An Operation is what is measured. Do runs it once.
type Operation struct {
	Name string
	Do   func()
}

// Bench runs each operation as a benchmark, for people to compare.
func Bench(b *testing.B, all []Operation) {
	b.Helper()
	for _, o := range all {
		b.Run(o.Name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				o.Do()
			}
		})
	}
}

// Hold fails the test for each operation that allocates more often than its band in the
// file allows, for an operation without a band and for a band without an operation. It
// is called from a package below internal, whose folder is the name of its bands.
//
// A band holds with and without the race detector. Find out why an operation allocates
// more before its band is raised.
func Hold(t *testing.T, folder string, all []Operation) {
	t.Helper()
	hold(t, "../../testdata/bench/allocs.json", folder, all)
}

// A reporter is the part of [testing.T] that hold needs.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Fatal(args ...any)
}

func hold(t reporter, file, folder string, all []Operation) {
	t.Helper()
	data, err := os.ReadFile(file) // #nosec G304 -- of this repository
	if err != nil {
		t.Fatal(err)
	}
	var content struct {
		Packages map[string]map[string]struct{ Most float64 }
	}
	if err := json.Unmarshal(data, &content); err != nil {
		t.Fatal(err)
	}
	bands := content.Packages[folder]
	for _, o := range all {
		// The least of a few runs: goroutines of other tests may still be ending, and
		// what they allocate is counted as well.
		got := min(testing.AllocsPerRun(10, o.Do), testing.AllocsPerRun(10, o.Do), testing.AllocsPerRun(10, o.Do))
		if band, ok := bands[o.Name]; !ok || got > band.Most {
			t.Errorf("%s allocates %v times, the band ends at %v", o.Name, got, band.Most)
		}
	}
	if len(bands) != len(all) {
		t.Errorf("%d bands for %d operations", len(bands), len(all))
	}
}
