package capacity

import (
	"strconv"
	"testing"

	"example.com/berth/internal/allocation"
)

func BenchmarkOperations(b *testing.B) { allocation.Bench(b, operations()) }

// machines returns as many pools as asked for, each of a shape of its own, with
// ten machines.
func machines(n int) (pools []Pool) {
	for i := range n {
		shape := Spec{MachineType: "n1-standard-" + strconv.Itoa(i+1), Accelerator: "NVIDIA_TESLA_T4", AcceleratorCount: 4}
		pools = append(pools, Pool{ID: "pool-" + strconv.Itoa(i), Shape: shape.Normal(), Count: 10})
	}
	return pools
}

func operations() (all []allocation.Operation) {
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
			all = append(all, allocation.Operation{Name: "Check/" + c.name + "/pools=" + strconv.Itoa(n), Do: func() { Check(pools, use, c.ask) }})
		}
	}
	pools := machines(3)
	twins := []Pool{pools[0], pools[0], pools[0]}
	split := Ask{{0, pools[0].Shape, 6}, {1, pools[0].Shape, 5}, {2, pools[0].Shape, 4}, {3, pools[0].Shape, 3}}
	text := pools[0].Shape.String()
	return append(all,
		allocation.Operation{Name: "Check/three-pools-of-one-shape", Do: func() { Check(twins, Use{pools[0].Shape: 5}, split) }},
		allocation.Operation{Name: "Use.Add/holds=1000", Do: func() {
			use := Use{}
			for range 1000 {
				use.Add(split)
			}
		}},
		allocation.Operation{Name: "Overdrawn/pools=3", Do: func() { Overdrawn(pools, Use{pools[0].Shape: 11, pools[1].Shape: 1}) }},
		allocation.Operation{Name: "Ask.Shapes", Do: func() { split.Shapes() }},
		allocation.Operation{Name: "Shape.String", Do: func() { _ = pools[0].Shape.String() }},
		allocation.Operation{Name: "ParseShape", Do: func() { _, _ = ParseShape(text) }},
	)
}

func TestAllocations(t *testing.T) { allocation.Hold(t, "internal/capacity", operations()) }
