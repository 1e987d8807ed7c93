package admission

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// An operation is measured: its time by a benchmark, and its allocations by a
// test as well.
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

// operations are decisions. With holds, each first counts the use of that many,
// as [ledger.Resource.Use] does for every decision.
func operations() (all []operation) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	policy := Policy{MaxAge: time.Minute, MaxHolds: 1300, RefuseAfter: time.Hour}
	for _, n := range []int{3, 20} {
		s := Snapshot{Now: now, State: "RUNNING", ObservedAt: now, Known: true}
		for i := range n {
			shape := capacity.Spec{MachineType: fmt.Sprintf("n1-standard-%d", i+1), Accelerator: "NVIDIA_TESLA_T4", AcceleratorCount: 4}.Normal()
			s.Pools = append(s.Pools, capacity.Pool{ID: fmt.Sprintf("pool-%d", i), Shape: shape, Count: 1002})
		}
		last := s.Pools[n-1].Shape
		spec := last.Spec()
		spec.DiskType = "pd-standard"
		odd := spec.Normal()
		hold := capacity.Ask{{WorkerPool: 0, Shape: last, Replicas: 1}}
		for _, c := range []struct {
			name string
			need capacity.Need
			want Verdict
		}{
			{"fits", capacity.Need{Shape: last, Replicas: 2}, Admit},
			{"full", capacity.Need{Shape: last, Replicas: 3}, Wait},
			{"never", capacity.Need{Shape: odd, Replicas: 1}, Refuse},
		} {
			for _, holds := range []int{0, 1000} {
				ask := Ask{Head: Head{Demand: capacity.Ask{c.need}}, OnFull: message.Queue}
				all = append(all, operation{fmt.Sprintf("Decide/%s/pools=%d/holds=%d", c.name, n, holds), func() {
					s := s
					s.Use = capacity.Use{}
					for range holds {
						s.Use.Add(hold)
					}
					if holds == 0 {
						s.Use[last] = 1000 // by a foreign job
					}
					if d := Decide(s, ask, policy); d.Verdict != c.want {
						panic(fmt.Sprint(c.name, d))
					}
				}})
			}
		}
	}
	return all
}

// TestAllocations: the allocations of an operation stay within its band, with
// and without the race detector. Find the cause of a higher number before you
// widen a band.
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
	bands := file.Packages["internal/admission"]
	all := operations()
	for _, o := range all {
		got := testing.AllocsPerRun(50, o.do)
		if band, ok := bands[o.name]; !ok || got > band.Most {
			t.Errorf("%s allocates %v times, the band ends at %v", o.name, got, band.Most)
		}
	}
	if len(bands) != len(all) {
		t.Errorf("%d bands for %d operations", len(bands), len(all))
	}
}
