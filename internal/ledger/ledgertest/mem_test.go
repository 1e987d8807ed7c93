package ledgertest_test

import (
	"context"
	"sync/atomic"
	"testing"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/ledger/ledgertest"
)

func TestMem(t *testing.T) {
	ledgertest.Run(t, func(*testing.T) ledger.Ledger { return ledger.NewMem(nil) })
}

// The contract as seen through a ledger whose commits go wrong in all the ways
// that Update handles by itself.
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

// A group is a ledger like any other, but that a closure must not wait for an
// update of its own group: what tests do from inside a closure, to come between,
// is done by another process here.
func TestGroup(t *testing.T) {
	ledgertest.Run(t, func(*testing.T) ledger.Ledger { return &twoProcesses{Group: ledger.NewGroup(ledger.NewMem(nil))} })
}

func (l *twoProcesses) Spoil(d ledger.Ref, how string) { l.Ledger.(*ledger.Mem).Spoil(d, how) }

func (l *twoProcesses) Scan(ctx context.Context, kind ledger.Kind, after string, limit int) ([]ledger.Document, error) {
	return l.Ledger.(*ledger.Mem).Scan(ctx, kind, after, limit)
}

type twoProcesses struct {
	*ledger.Group
	inside  atomic.Int64 // closures of the first that are running
	running atomic.Int64 // updates under way
}

func (l *twoProcesses) Update(ctx context.Context, reads ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) error {
	// Of updates at one time every second is the other process's: two whose
	// closures wait for each other cannot go together.
	n := l.running.Add(1)
	defer l.running.Add(-1)
	if l.inside.Load() > 0 || n%2 == 0 {
		return l.Ledger.Update(ctx, reads, closure, hints...)
	}
	return l.Group.Update(ctx, reads, func(tx ledger.Tx) error {
		l.inside.Add(1)
		defer l.inside.Add(-1)
		return closure(tx)
	}, hints...)
}
