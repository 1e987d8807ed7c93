package admission

import (
	"fmt"
	"testing"
	"time"

	"example.com/berth/internal/allocation"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

func BenchmarkOperations(b *testing.B) { allocation.Bench(b, operations()) }

// operations are decisions. With holds, each first counts the use of that many,
// as [ledger.Resource.Use] does for every decision.
func operations() (all []allocation.Operation) {
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
				all = append(all, allocation.Operation{Name: fmt.Sprintf("Decide/%s/pools=%d/holds=%d", c.name, n, holds), Do: func() {
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

func TestAllocations(t *testing.T) { allocation.Hold(t, "internal/admission", operations()) }
