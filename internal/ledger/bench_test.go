package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"example.com/berth/internal/allocation"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/ledger/ledgertest"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

func BenchmarkOperations(b *testing.B) { allocation.Bench(b, operations()) }

// operations are what every update does to its documents: a read or a put copies
// them, a decision sums up the use, and one that admits takes a hold.
func operations() (all []allocation.Operation) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	rec := ledgertest.BigRecord()
	rec.Spec = rec.Spec[:2<<10]
	for i := range 5 {
		rec.Append(message.Outcome{Type: message.Queued, Tenant: "t", Labels: map[string]string{"a": "b"}, Reason: &reason.Problem{}}, now.Add(time.Duration(i)))
	}
	all = append(all,
		allocation.Operation{Name: "Record.Clone", Do: func() { rec.Clone() }},
		allocation.Operation{Name: "Record.Normal", Do: func() { ledger.Normal(rec) }},
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
				allocation.Operation{Name: like("Resource.Clone"), Do: func() { r.Clone() }},
				allocation.Operation{Name: like("Resource.Normal"), Do: func() { ledger.Normal(r) }},
				allocation.Operation{Name: like("Resource.Use"), Do: func() { r.Use() }},
				allocation.Operation{Name: like("Resource.Hold"), Do: func() { held.Hold(rec, now) }},
			)
		}
	}
	return all
}

func TestAllocations(t *testing.T) { allocation.Hold(t, "internal/ledger", operations()) }
