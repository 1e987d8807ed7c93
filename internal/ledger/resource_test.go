package ledger

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// The sum that a resource keeps is the sum of what it holds, whatever moves came
// in whatever order; and no copy shares it.
func TestUseIsTheSum(t *testing.T) {
	shapes := []capacity.Shape{capacity.Spec{MachineType: "a"}.Normal(), capacity.Spec{MachineType: "b"}.Normal()}
	for seed := range uint64(100) {
		dice := rand.New(rand.NewPCG(seed, 2))
		ask := func() capacity.Ask {
			return capacity.Ask{{Shape: shapes[dice.IntN(2)], Replicas: capacity.Replicas(1 + dice.IntN(4))}}
		}
		r := &Resource{Pools: []capacity.Pool{{Shape: shapes[0], Count: 10}, {Shape: shapes[1], Count: 5}}}
		for step := range 60 {
			key := message.Key(fmt.Sprint(dice.IntN(6)))
			switch dice.IntN(8) {
			case 0, 1, 2, 3:
				r.Hold(&Record{Key: key, Ask: ask()}, time.Time{})
			case 4, 5:
				r.Release(key)
			case 6:
				r.Foreign = []Foreign{{Job: "j", Ask: ask()}}
				r.Unexplained = capacity.Use{shapes[1]: 2}
				r.Recompute()
			case 7:
				before := r.Clone()
				want := before.Use()
				r.Hold(&Record{Key: key, Ask: ask()}, time.Time{})
				r.Use()[shapes[0]] += 1000
				if got := before.Use(); !maps.Equal(want, got) {
					t.Fatalf("seed %d, step %d: a copy's use went from %v to %v", seed, step, want, got)
				}
			}
			if got, want := r.Use(), r.sum(); !maps.Equal(got, want) {
				t.Fatalf("seed %d, step %d: %v in use, the holds are %v", seed, step, got, want)
			}
			if want := capacity.Overdrawn(r.Pools, r.sum()); !maps.Equal(r.Overdrawn, want) {
				t.Fatalf("seed %d, step %d: overdrawn by %v, want %v", seed, step, r.Overdrawn, want)
			}
		}
	}
}
