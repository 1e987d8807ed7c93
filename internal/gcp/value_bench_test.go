package gcp

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/ledger/ledgertest"
	"example.com/berth/internal/message"
)

// A sized document is one as a busy deployment has it.
type sized struct {
	name string
	doc  ledger.Document
}

// sizedDocs are resources from empty to as full as a day of bursts makes them,
// and records with a job of the usual size and with one near the limit of
// [message.MaxData].
func sizedDocs() (all []sized) {
	for _, holds := range []int{0, 50, 1000} {
		for _, workerPools := range []int{1, 4} {
			if holds == 0 && workerPools > 1 {
				continue // no holds, so no worker pools
			}
			r := ledgertest.BigResource(workerPools)
			some := map[message.Key]ledger.Hold{} // a map that held more would be as slow as a large one
			for key, h := range r.Holds {
				if len(some) < holds {
					some[key] = h
				}
			}
			r.Holds = some
			all = append(all, sized{fmt.Sprintf("resource/holds=%d/pools=%d", holds, workerPools), ledger.Normal(r)})
		}
	}
	for _, kib := range []int{2, 200} {
		r := ledgertest.BigRecord()
		r.Spec = strings.Repeat(`{"text":"\n"}...`, kib<<10/16)
		all = append(all, sized{fmt.Sprintf("record/spec=%dKiB", kib), ledger.Normal(r)})
	}
	return all
}

// An operation is what is measured: its time by a benchmark, for people to
// compare; how often it allocates by a test as well.
type operation struct {
	name string
	do   func()
}

func BenchmarkOperations(b *testing.B) { bench(b, operations(b)) }

func bench(b *testing.B, all []operation) {
	for _, o := range all {
		b.Run(o.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				o.do()
			}
		})
	}
}

func operations(t testing.TB) (all []operation) {
	t.Helper()
	for _, d := range sizedDocs() {
		stored, err := ledger.Marshal(d.doc)
		if err != nil {
			t.Fatal(err)
		}
		empty := reflect.TypeOf(d.doc).Elem()
		all = append(all,
			operation{"encode/" + d.name, func() { _, _ = ledger.Marshal(d.doc) }},
			operation{"decode/" + d.name, func() {
				_ = ledger.Unmarshal(stored, ledger.Layout, 0, reflect.New(empty).Interface().(ledger.Document))
			}},
		)
	}
	return all
}

// How often an operation allocates stays within its band, with and without the
// race detector. Find out why one allocates more before widening its band.
func TestAllocations(t *testing.T) {
	data, err := os.ReadFile("../../testdata/bench/allocs.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Packages map[string]map[string]struct{ Most float64 }
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	bands := file.Packages["internal/gcp"]
	all := operations(t)
	for _, o := range all {
		// The least of a few runs: connections of other tests may still be closing,
		// and what they allocate is counted as well.
		got := min(testing.AllocsPerRun(5, o.do), testing.AllocsPerRun(5, o.do), testing.AllocsPerRun(5, o.do))
		if band, ok := bands[o.name]; !ok || got > band.Most {
			t.Errorf("%s allocates %v times, the band ends at %v", o.name, got, band.Most)
		}
	}
	if len(bands) != len(all) {
		t.Errorf("%d bands for %d operations", len(bands), len(all))
	}
}
