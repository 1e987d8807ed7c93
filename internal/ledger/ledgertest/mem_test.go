package ledgertest_test

import (
	"sync/atomic"
	"testing"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/ledger/ledgertest"
)

func TestMem(t *testing.T) {
	ledgertest.Run(t, func(*testing.T) ledger.Ledger { return ledger.NewMem(nil) })
}

// The contract as seen through a ledger whose commits go wrong in all the ways
// that Update settles by itself.
func TestMemFaulty(t *testing.T) {
	ledgertest.Run(t, func(t *testing.T) ledger.Ledger {
		m := ledger.NewMem(nil)
		var commits atomic.Int64
		m.Fault = func(op string) ledger.Fault {
			if op != ledger.OpCommit {
				return ledger.None
			}
			switch n := commits.Add(1); {
			case n%3 == 0:
				return ledger.LoseAnswer
			case n%4 == 0:
				return ledger.Stale
			}
			return ledger.None
		}
		return m
	})
}
