package ledger

import (
	"testing"

	"example.com/berth/internal/message"
)

// TestGroupForgetsIdleQueues: a queue that has nothing to do, and has not lost a commit for
// some commits, is forgotten. Without it an instance keeps one for every name that it
// has ever met.
func TestGroupForgetsIdleQueues(t *testing.T) {
	m := NewMem(nil)
	lose := 0
	m.Fault = func(op string) Fault {
		if op == OpCommit && lose > 0 {
			lose--
			return Stale
		}
		return None
	}
	g := NewGroup(m)
	write := func(name string) {
		t.Helper()
		key := message.Key("k" + name[len(name)-1:])
		err := g.Update(t.Context(), Resources(name).And(Records(key)), func(tx Tx) error {
			tx.Put(&Record{Key: key})
			return nil
		}, Hints{Bytes: 1})
		if err != nil {
			t.Fatal(err)
		}
	}
	const a, b = "projects/p/locations/l/persistentResources/a", "projects/p/locations/l/persistentResources/b"
	for range 3 {
		write(a)
		write(b)
		if len(g.queues) != 0 {
			t.Fatalf("%d queues are kept after commits that succeeded at once", len(g.queues))
		}
	}
	lose = 1
	for i := range quietCommits + 1 {
		write(a)
		write(b)
		if kept, want := len(g.queues), min(quietCommits-i, 1); kept != want {
			t.Errorf("%d commits after one that was lost, %d queues are kept, want %d", i, kept, want)
		}
	}
}
