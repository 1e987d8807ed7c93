package ledger_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/ledger/ledgertest"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// An operation is what is measured: its time by a benchmark, for people to
// compare; how often it allocates by a test as well.
type operation struct {
	name string
	do   func()
}

func BenchmarkOperations(b *testing.B) {
	for _, o := range operations() {
		b.Run(o.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				o.do()
			}
		})
	}
}

// operations are what every update does to its documents: a read or a put copies
// them, a decision sums up the use, and one that admits takes a hold.
func operations() (all []operation) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	rec := ledgertest.BigRecord()
	rec.Spec = rec.Spec[:2<<10]
	for i := range 5 {
		rec.Append(message.Outcome{Type: message.Queued, Tenant: "t", Labels: map[string]string{"a": "b"}, Reason: &reason.Problem{}}, now.Add(time.Duration(i)))
	}
	all = append(all,
		operation{"Record.Clone", func() { rec.Clone() }},
		operation{"Record.Normal", func() { ledger.Normal(rec) }},
	)
	for _, holds := range []int{0, 50, 1000} {
		for _, workerPools := range []int{1, 4} {
			if holds == 0 && workerPools > 1 {
				continue // no holds, so no worker pools
			}
			r := ledgertest.BigResource(workerPools)
			some := map[message.Key]ledger.Hold{} // a map that held more would be as slow as a large one
			for key, h := range r.Holds {
				if rec.Ask = h.Ask; len(some) < holds {
					some[key] = h
				}
			}
			r.Holds = some
			like := func(op string) string { return fmt.Sprintf("%s/holds=%d/pools=%d", op, holds, workerPools) }
			held := r.Clone()
			all = append(all,
				operation{like("Resource.Clone"), func() { r.Clone() }},
				operation{like("Resource.Normal"), func() { ledger.Normal(r) }},
				operation{like("Resource.Use"), func() { r.Use() }},
				operation{like("Resource.Hold"), func() { held.Hold(rec, now) }},
			)
		}
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
	bands := file.Packages["internal/ledger"]
	all := operations()
	for _, o := range all {
		got := testing.AllocsPerRun(20, o.do)
		if band, ok := bands[o.name]; !ok || got > band.Most {
			t.Errorf("%s allocates %v times, the band ends at %v", o.name, got, band.Most)
		}
	}
	if len(bands) != len(all) {
		t.Errorf("%d bands for %d operations", len(bands), len(all))
	}
}
