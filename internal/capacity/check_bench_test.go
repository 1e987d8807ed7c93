package capacity

import (
	"encoding/json"
	"os"
	"strconv"
	"testing"
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

// machines returns as many pools as asked for, each of a shape of its own, with
// ten machines.
func machines(n int) (pools []Pool) {
	for i := range n {
		shape := Spec{MachineType: "n1-standard-" + strconv.Itoa(i+1), Accelerator: "NVIDIA_TESLA_T4", AcceleratorCount: 4}
		pools = append(pools, Pool{ID: "pool-" + strconv.Itoa(i), Shape: shape.Normal(), Count: 10})
	}
	return pools
}

func operations() (all []operation) {
	for _, n := range []int{3, 20} {
		pools := machines(n)
		last := pools[n-1].Shape
		spec := last.Spec()
		spec.DiskType = "pd-standard"
		odd := spec.Normal()
		for _, c := range []struct {
			name string
			used Replicas
			ask  Ask
		}{
			{"fits", 4, Ask{{0, last, 1}}},
			{"fits-four-worker-pools", 2, Ask{{0, last, 1}, {1, last, 2}, {2, last, 1}, {3, pools[0].Shape, 1}}},
			{"full", 8, Ask{{0, last, 3}}},
			{"never-no-such-machine", 4, Ask{{0, odd, 1}}},
			{"never-too-many", 4, Ask{{0, last, 11}}},
		} {
			use := Use{last: c.used}
			all = append(all, operation{"Check/" + c.name + "/pools=" + strconv.Itoa(n), func() { Check(pools, use, c.ask) }})
		}
	}
	pools := machines(3)
	twins := []Pool{pools[0], pools[0], pools[0]}
	split := Ask{{0, pools[0].Shape, 6}, {1, pools[0].Shape, 5}, {2, pools[0].Shape, 4}, {3, pools[0].Shape, 3}}
	text := pools[0].Shape.String()
	return append(all,
		operation{"Check/three-pools-of-one-shape", func() { Check(twins, Use{pools[0].Shape: 5}, split) }},
		operation{"Use.Add/holds=1000", func() {
			use := Use{}
			for range 1000 {
				use.Add(split)
			}
		}},
		operation{"Overdrawn/pools=3", func() { Overdrawn(pools, Use{pools[0].Shape: 11, pools[1].Shape: 1}) }},
		operation{"Ask.Shapes", func() { split.Shapes() }},
		operation{"Shape.String", func() { _ = pools[0].Shape.String() }},
		operation{"ParseShape", func() { _, _ = ParseShape(text) }},
	)
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
	bands := file.Packages["internal/capacity"]
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
