package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

const pool = "projects/p/locations/l/persistentResources/pool"

// A gate is a ledger whose updates wait until it is opened, so that a test decides which
// of them meet. It refuses every update of the record "poison".
type gate struct {
	*ledger.Mem
	open chan struct{}

	mu      sync.Mutex
	updates []ledger.ReadSet
	hints   []ledger.Hints // of the updates
}

func newGate() *gate { return &gate{Mem: ledger.NewMem(nil), open: make(chan struct{})} }

func (g *gate) Update(ctx context.Context, reads ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) error {
	<-g.open
	g.mu.Lock()
	g.updates, g.hints = append(g.updates, reads), append(g.hints, ledger.HintsOf(hints))
	g.mu.Unlock()
	if slices.Contains(reads, ledger.RecordRef("poison")) {
		return fmt.Errorf("commit: %w", ledger.ErrRefused)
	}
	return g.Mem.Update(ctx, reads, closure, hints...)
}

// sizes is how many records each update named.
func (g *gate) sizes() (sizes []int) {
	for _, n := range g.updates {
		sizes = append(sizes, len(n.Names(ledger.KindRecord)))
	}
	return sizes
}

// small are the hints of an update of which many fit into one commit.
var small = ledger.Hints{Bytes: 1000}

// enter is an update like that of a new request: it counts in the resource and
// writes a record.
func enter(key message.Key) (ledger.ReadSet, func(ledger.Tx) error) {
	return ledger.Resources(pool).And(ledger.Records(key)), func(tx ledger.Tx) error {
		if tx.Record(key) != nil {
			return nil
		}
		res := tx.Resource(pool)
		if res == nil {
			res = &ledger.Resource{Name: pool}
		}
		res.Version++
		tx.Put(res)
		tx.Put(&ledger.Record{Key: key, Sequence: res.Version})
		return nil
	}
}

// contend makes updates of a group, the first to go alone, and returns their
// errors when all have ended.
func contend(t *testing.T, l *gate, updates map[message.Key]func(ledger.Tx) error, first message.Key, rest ...message.Key) map[message.Key]error {
	t.Helper()
	group := ledger.NewGroup(l)
	var mu sync.Mutex
	var wg sync.WaitGroup
	errs := map[message.Key]error{}
	for _, key := range append([]message.Key{first}, rest...) {
		reads, closure := enter(key)
		if other := updates[key]; other != nil {
			closure = other
		}
		wg.Go(func() {
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				if p := recover(); p != nil {
					errs[key] = fmt.Errorf("panicked: %v", p)
				}
			}()
			err := group.Update(t.Context(), reads, closure, small)
			mu.Lock()
			defer mu.Unlock()
			errs[key] = err
		})
		synctest.Wait()
	}
	close(l.open)
	wg.Wait()
	return errs
}

func version(t *testing.T, l *gate) int64 {
	t.Helper()
	return l.Dump().Resources()[0].Version
}

func TestGroupCommitsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newGate()
		errs := contend(t, l, nil, "a", "b", "c", "b", "d")
		for key, err := range errs {
			if err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
		if got := l.sizes(); !slices.Equal(got, []int{1, 4}) {
			t.Errorf("updates of %v records, want 1 and then 4", got)
		}
		// b came twice in one commit: the second saw the first.
		if v := version(t, l); v != 4 || len(l.Records()) != 4 {
			t.Errorf("version %d, %d records; want 4 of each", v, len(l.Records()))
		}
	})
}

// An update that fails in any way gets its error alone, and the others of its group are
// committed.
func TestGroupPoison(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		poison message.Key
		does   func(ledger.Tx) error
		says   string
	}{
		"refused":               {"poison", nil, ledger.ErrRefused.Error()},
		"no name of a document": {"__x__", nil, "cannot have a document named"},
		"fails": {"x", func(tx ledger.Tx) error {
			res := tx.Resource(pool)
			res.Version += 100
			tx.Put(res)
			return broken
		}, "broken"},
		"panics": {"x", func(tx ledger.Tx) error {
			tx.Resource(pool).Version += 100
			panic("bad")
		}, "panicked: bad"},
		"changes and does not put": {"x", func(tx ledger.Tx) error {
			tx.Resource(pool).Version += 100
			return nil
		}, "did not put it"},
		"reads what it does not name": {"x", func(tx ledger.Tx) error {
			tx.Record("b")
			return nil
		}, "does not name"},
		"puts what it does not name": {"x", func(tx ledger.Tx) error {
			tx.Put(&ledger.Record{Key: "b"})
			return nil
		}, "does not name"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newGate()
				errs := contend(t, l, map[message.Key]func(ledger.Tx) error{test.poison: test.does}, "a", "b", "c", test.poison, "d", "e", "f")
				for key, err := range errs {
					if key == test.poison {
						if err == nil || !strings.Contains(err.Error(), test.says) {
							t.Errorf("the poisoned update got %v, want %q", err, test.says)
						}
					} else if err != nil {
						t.Errorf("%s, another of its group: %v", key, err)
					}
				}
				if v := version(t, l); v != 6 || len(l.Records()) != 6 {
					t.Errorf("version %d, %d records; want 6 of each", v, len(l.Records()))
				}
			})
		})
	}
}

// In an outage the group is not split: every update gets the error after one try.
func TestGroupOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newGate()
		calls := 0
		l.Fault = func(op string) ledger.Fault {
			if calls++; op == ledger.OpRead {
				return ledger.FailRead
			}
			return ledger.None
		}
		for key, err := range contend(t, l, nil, "a", "b", "c", "d") {
			if !errors.Is(err, ledger.ErrInjected) {
				t.Errorf("%s: %v, want the read's error", key, err)
			}
		}
		if len(l.updates) != 2 || calls != 2 {
			t.Errorf("%d updates with %d calls, want 2 and 2", len(l.updates), calls)
		}
	})
}

// Updates go with those of their resource, whether they read it or not; others
// go by themselves. A record that one update wants read is read for all.
func TestGroupQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newGate()
		group := ledger.NewGroup(l)
		var wg sync.WaitGroup
		do := func(reads ledger.ReadSet, hints ledger.Hints) {
			hints.Bytes = 1
			wg.Go(func() {
				if err := group.Update(t.Context(), reads, func(ledger.Tx) error { return nil }, hints); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		for _, key := range []message.Key{"a", "b", "c"} {
			do(ledger.Records(key), ledger.Hints{})
			do(ledger.Records(key+"2").And(ledger.Resources(pool)), ledger.Hints{})
			do(ledger.Records(key+"1"), ledger.Hints{Recent: true, With: pool})
			do(ledger.Records(key).And(ledger.Resources(pool+"2")), ledger.Hints{})
			do(ledger.Records(key).And(ledger.Resources(pool, pool+"2")), ledger.Hints{}) // goes by itself
		}
		close(l.open)
		wg.Wait()
		got := map[string]int{}
		for i, reads := range l.updates {
			got[fmt.Sprint(slices.Compact(reads.Names(ledger.KindResource)), l.hints[i].Recent, l.hints[i].Fresh.Names(ledger.KindRecord), reads.Names(ledger.KindRecord))]++
		}
		// The first of each queue goes alone, the others together.
		want := map[string]int{
			"[] false [] [a]": 1, "[] false [b c] [b c]": 1,
			"[" + pool + "] false [] [a2]": 1, "[" + pool + "] true [b2 c2] [a1 b2 b1 c2 c1]": 1,
			"[" + pool + "2] false [] [a]": 1, "[" + pool + "2] false [b c] [b c]": 1,
			"[" + pool + " " + pool + "2] false [] [a]": 1, "[" + pool + " " + pool + "2] false [] [b]": 1, "[" + pool + " " + pool + "2] false [] [c]": 1,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("updates, want - got +:\n%s", diff)
		}
	})
}

// A commit that is lost to another process takes along the updates that have arrived
// since. After that, updates of records only go by themselves: they do not conflict.
func TestGroupWhileConflicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := ledger.NewMem(nil)
		lose := 1
		m.Fault = func(op string) ledger.Fault {
			if op == ledger.OpCommit && lose > 0 {
				lose--
				return ledger.Stale
			}
			return ledger.None
		}
		open := make(chan struct{})
		m.Between = func() { <-open }
		group := ledger.NewGroup(m)
		var wg sync.WaitGroup
		start := func(key message.Key, beside bool) {
			reads, closure := enter(key)
			hints := small
			if beside {
				reads, hints.With = ledger.Records(key), pool
				closure = func(tx ledger.Tx) error {
					tx.Put(&ledger.Record{Key: key})
					return nil
				}
			}
			wg.Go(func() {
				if err := group.Update(t.Context(), reads, closure, hints); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		step := func(wantCommits, wantRecords int) {
			t.Helper()
			open <- struct{}{}
			synctest.Wait()
			if s := m.Stats(); s.Commits != wantCommits || len(m.Records()) != wantRecords {
				t.Errorf("%d commits, %d records; want %d and %d", s.Commits, len(m.Records()), wantCommits, wantRecords)
			}
		}
		start("a", false)
		start("b", false)
		start("c", true)
		step(1, 0) // lost
		step(2, 3) // all three
		start("d", false)
		start("e", true) // by itself, while the other is under way
		if s := m.Stats(); s.Commits != 3 || len(m.Records()) != 4 {
			t.Errorf("%d commits, %d records; want 3 and 4", s.Commits, len(m.Records()))
		}
		step(4, 5)
		for i := range 7 { // until the resource counts as this process's own again
			start(message.Key(fmt.Sprint("f", i)), false)
			step(5+i, 6+i)
		}
		start("g", false)
		start("h", true)
		step(12, 13)
		step(13, 14)
		wg.Wait()
	})
}

// Many callers, every fault of a commit: each update that reports success is
// there once, and none that reports failure twice.
func TestGroupUnderFaults(t *testing.T) {
	m := ledger.NewMem(nil)
	var mu sync.Mutex
	n := 0
	m.Fault = func(op string) ledger.Fault {
		mu.Lock()
		defer mu.Unlock()
		n++
		switch {
		case op == ledger.OpRead && n%17 == 0:
			return ledger.FailRead
		case op == ledger.OpCommit:
			return []ledger.Fault{ledger.None, ledger.LoseAnswer, ledger.None, ledger.Stale, ledger.FailCommit, ledger.LoseAnswerAndCheck}[n%6]
		}
		return ledger.None
	}
	groups := []*ledger.Group{ledger.NewGroup(m), ledger.NewGroup(m)} // two processes
	const callers, each = 20, 20
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				reads, closure := enter(message.Key(fmt.Sprintf("%d-%d", c, i)))
				for groups[(c+i)%2].Update(t.Context(), reads, closure, small) != nil { // delivered again
				}
			}
		})
	}
	wg.Wait()
	m.Fault = nil
	seen := map[int64]bool{}
	for _, r := range m.Records() {
		if seen[r.Sequence] {
			t.Errorf("two updates were given number %d", r.Sequence)
		}
		seen[r.Sequence] = true
	}
	if got := m.Dump().Resources()[0].Version; got != callers*each || len(seen) != callers*each {
		t.Errorf("version %d and %d records, want %d of each", got, len(seen), callers*each)
	}
}

// A document that cannot be read fails the updates that need it and no other of
// their group.
func TestGroupUnreadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newGate()
		names := ledger.Records("bad")
		err := l.Mem.Update(t.Context(), names, func(tx ledger.Tx) error {
			tx.Put(&ledger.Record{Key: "bad", Sequence: 7})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		l.Spoil(ledger.RecordRef("bad"), "damaged")
		errs := contend(t, l, nil, "first", "a", "bad", "b")
		for key, err := range errs {
			unreadable := (*ledger.UnreadableError)(nil)
			if is := errors.As(err, &unreadable); is != (key == "bad") || !is && err != nil {
				t.Errorf("%s: %v", key, err)
			}
		}
		written := map[message.Key]int64{}
		for _, r := range l.Records() {
			written[r.Key] = r.Sequence
		}
		if len(written) != 4 || written["bad"] != 7 {
			t.Errorf("written: %v", written)
		}
	})
}
