package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

func testPutTwice(t *testing.T, l ledger.Ledger) {
	update(t, l, records("k"), func(tx ledger.Tx) error {
		tx.Put(&ledger.Record{Key: "k", Sequence: 1})
		tx.Put(&ledger.Record{Key: "k", Sequence: 2})
		return nil
	})
	same(t, &ledger.Record{Key: "k", Sequence: 2}, record(t, l, "k"))
}

// Two steps of one closure that touch one document see each other's puts.
func testReadsOwnPuts(t *testing.T, l ledger.Ledger) {
	update(t, l, records("k"), func(tx ledger.Tx) error {
		if r := tx.Record("k"); r != nil {
			t.Errorf("before anything was put: %+v", r)
		}
		tx.Put(&ledger.Record{Key: "k", Sequence: 1})
		r := tx.Record("k")
		if r == nil || r.Sequence != 1 {
			t.Fatalf("after a put of sequence 1: %+v", r)
		}
		r.Sequence++
		if again := tx.Record("k"); again != r {
			t.Error("the closure was given two copies of one document")
		}
		tx.Put(r)
		return nil
	})
	same(t, &ledger.Record{Key: "k", Sequence: 2}, record(t, l, "k"))
}

func testClosureError(t *testing.T, l ledger.Ledger) {
	sorry := errors.New("sorry")
	err := l.Update(t.Context(), records("k"), func(tx ledger.Tx) error {
		tx.Put(&ledger.Record{Key: "k"})
		return sorry
	})
	if err != sorry { //nolint:errorlint // the very same error, not one that wraps it
		t.Errorf("error %v, want the closure's own", err)
	}
	if r := record(t, l, "k"); r != nil {
		t.Errorf("%+v was written", r)
	}
}

// Names that are nearly like impossible ones are names.
func testPossibleNames(t *testing.T, l ledger.Ledger) {
	// The same name twice is one document.
	update(t, l, records("k", "k"), set("k", 1))
	same(t, &ledger.Record{Key: "k", Sequence: 1}, record(t, l, "k"))
	if bad := (*ledger.NameError)(nil); !errors.As(l.Update(t.Context(), records("a/b"), func(ledger.Tx) error { return nil }), &bad) {
		t.Error("a key with a slash is taken")
	}
	for _, name := range []message.Key{"...", "__x", "x__", "___", "_", "__x_", "é", message.Key(strings.Repeat("a", ledger.MaxName))} {
		update(t, l, records(name), set(name, 1))
		if r := record(t, l, name); r == nil || r.Sequence != 1 {
			t.Errorf("record %.40q: %+v, want the one that was written", name, r)
		}
	}
}

func testCancelled(t *testing.T, l ledger.Ledger) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Update(ctx, records("k"), set("k", 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if _, err := l.Resources(ctx, "", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("query: error %v, want context.Canceled", err)
	}
	if r := record(t, l, "k"); r != nil {
		t.Errorf("%+v was written", r)
	}
}

func testNow(t *testing.T, l ledger.Ledger) {
	var last time.Time
	for i := range 5 {
		var now time.Time
		update(t, l, records("k"), func(tx ledger.Tx) error {
			now = tx.Now()
			if again := tx.Now(); again != now {
				t.Errorf("Now moved within one run, from %v to %v", now, again)
			}
			tx.Put(&ledger.Record{Key: "k", Sequence: int64(i)})
			return nil
		})
		if now.IsZero() || now.Before(last) {
			t.Errorf("Now = %v after %v", now, last)
		}
		if now.Location() != time.UTC || now.Nanosecond()%1000 != 0 {
			t.Errorf("Now = %v is not in UTC microseconds", now)
		}
		last = now
	}
}

// A reader is not disturbed: it gets what was there when it read, once.
func testReadOnly(t *testing.T, l ledger.Ledger) {
	write(t, l, &ledger.Record{Key: "k", Sequence: 1})
	meanwhile := once(func() { update(t, l, records("k"), set("k", 2)) })
	var seen []int64
	update(t, l, records("k"), func(tx ledger.Tx) error {
		seen = append(seen, tx.Record("k").Sequence)
		meanwhile()
		return nil
	})
	for _, s := range seen {
		if s != 1 {
			t.Errorf("runs saw the sequences %v: an update that puts nothing was started again", seen)
		}
	}
	same(t, &ledger.Record{Key: "k", Sequence: 2}, record(t, l, "k"))
}

// A decision holds only as long as everything it read does, written or not.
func testReadIsVerified(t *testing.T, l ledger.Ledger) {
	write(t, l, &ledger.Record{Key: "read", Sequence: 1})
	meanwhile := once(func() { update(t, l, records("read"), set("read", 2)) })
	update(t, l, records("read", "written"), func(tx ledger.Tx) error {
		tx.Put(&ledger.Record{Key: "written", Sequence: tx.Record("read").Sequence})
		meanwhile()
		return nil
	})
	same(t, &ledger.Record{Key: "written", Sequence: 2}, record(t, l, "written"))

	// Verifying a document leaves it as it is.
	same(t, &ledger.Record{Key: "read", Sequence: 2}, record(t, l, "read"))
}

// The commit also checks that an absent document is still absent.
func testAbsenceIsVerified(t *testing.T, l ledger.Ledger) {
	meanwhile := once(func() { update(t, l, records("absent"), set("absent", 2)) })
	copyOf := func(tx ledger.Tx) error {
		found := int64(0)
		if r := tx.Record("absent"); r != nil {
			found = r.Sequence
		}
		tx.Put(&ledger.Record{Key: "written", Sequence: found})
		meanwhile()
		return nil
	}
	update(t, l, records("absent", "written"), copyOf)
	same(t, &ledger.Record{Key: "written", Sequence: 2}, record(t, l, "written"))

	// Verifying an absence creates nothing.
	update(t, l, records("absent2", "written"), set("written", 3))
	if r := record(t, l, "absent2"); r != nil {
		t.Errorf("%+v appeared", r)
	}
	same(t, &ledger.Record{Key: "written", Sequence: 3}, record(t, l, "written"))
}

func testTwoCreators(t *testing.T, l ledger.Ledger) {
	create := func(id string, then func(), saw *string) func(ledger.Tx) error {
		return func(tx ledger.Tx) error {
			*saw = ""
			if r := tx.Record("k"); r != nil {
				*saw = r.ID
				return nil
			}
			tx.Put(&ledger.Record{Key: "k", ID: id})
			then()
			return nil
		}
	}
	var first, second string
	update(t, l, records("k"), create("first", once(func() {
		update(t, l, records("k"), create("second", func() {}, &second))
	}), &first))
	if first != "second" || second != "" {
		t.Errorf("the first saw %q and the second %q, want the first to see that the second won", first, second)
	}
	same(t, &ledger.Record{Key: "k", ID: "second"}, record(t, l, "k"))
}

// Two updates read both documents and write one each. Whatever the order, one
// of them sees the other's write.
func testWriteSkew(t *testing.T, l ledger.Ledger) {
	write(t, l, &ledger.Record{Key: "a"}, &ledger.Record{Key: "b"})
	take := func(mine, others *ledger.Record, then func()) func(ledger.Tx) error {
		return func(tx ledger.Tx) error {
			if tx.Record(others.Key).Sequence == 0 {
				tx.Put(&ledger.Record{Key: mine.Key, Sequence: 1})
			}
			then()
			return nil
		}
	}
	a, b := &ledger.Record{Key: "a"}, &ledger.Record{Key: "b"}
	update(t, l, records("a", "b"), take(a, b, once(func() {
		update(t, l, records("a", "b"), take(b, a, func() {}))
	})))
	if got := record(t, l, "a").Sequence + record(t, l, "b").Sequence; got != 1 {
		t.Errorf("%d updates think that they are the only one", got)
	}

	// And from two goroutines that meet after both have read.
	for range 3 {
		write(t, l, a, b)
		var both, done sync.WaitGroup
		both.Add(2)
		for _, pair := range [][2]*ledger.Record{{a, b}, {b, a}} {
			meet := once(func() { both.Done(); both.Wait() })
			done.Go(func() { persist(t, l, records("a", "b"), take(pair[0], pair[1], meet)) })
		}
		done.Wait()
		if got := record(t, l, "a").Sequence + record(t, l, "b").Sequence; got != 1 {
			t.Errorf("%d updates think that they are the only one", got)
		}
	}
}

// Another update is first, every time.
func testBusy(t *testing.T, l ledger.Ledger) {
	others := int64(0)
	err := l.Update(t.Context(), records("k"), func(tx ledger.Tx) error {
		others++
		update(t, l, records("k"), set("k", others))
		tx.Put(&ledger.Record{Key: "k", ID: "mine"})
		return nil
	})
	if !errors.Is(err, ledger.ErrBusy) {
		t.Errorf("error %v, want ErrBusy", err)
	}
	same(t, &ledger.Record{Key: "k", Sequence: others}, record(t, l, "k"))
}

// What is named while an update loses to another is read and checked like the
// rest from then on.
func testMore(t *testing.T, l ledger.Ledger) {
	asked, lost := 0, 0
	more := func() ledger.ReadSet {
		asked++
		return ledger.Records("k", message.Key(fmt.Sprint("more", asked)))
	}
	update(t, l, records("k"), func(tx ledger.Tx) error {
		if lost < 2 && lost == asked { // once per try another update is faster
			lost++
			write(t, l, &ledger.Record{Key: "k", Sequence: int64(lost)})
		}
		for n := 1; n <= asked; n++ {
			tx.Put(&ledger.Record{Key: message.Key(fmt.Sprint("more", n)), Sequence: tx.Record("k").Sequence})
		}
		r := tx.Record("k")
		if r == nil {
			r = &ledger.Record{Key: "k"}
		}
		r.Sequence += 10
		tx.Put(r)
		return nil
	}, ledger.Hints{More: more})
	if asked < 2 {
		t.Fatalf("asked for more documents %d times, after two lost tries", asked)
	}
	same(t, &ledger.Record{Key: "k", Sequence: 12}, record(t, l, "k"))
	for n := 1; n <= asked; n++ {
		key := message.Key(fmt.Sprint("more", n))
		same(t, &ledger.Record{Key: key, Sequence: 2}, record(t, l, key))
	}
}

// Every writer counts once for each of its numbers. Each leaves a mark by which
// it knows its own work, as every closure has to: when an answer was lost and
// others have written since, it runs again.
func testNoLostUpdate(t *testing.T, l ledger.Ledger) {
	const writers, each = 16, 4
	var done sync.WaitGroup
	for w := range writers {
		done.Go(func() {
			for n := range each {
				mark := fmt.Sprintf("%d-%d", w, n)
				persist(t, l, records("k"), func(tx ledger.Tx) error {
					r := tx.Record("k")
					if r == nil {
						r = &ledger.Record{Key: "k"}
					}
					if !slices.Contains(r.PastRuns, mark) {
						r.Sequence++
						r.PastRuns = append(r.PastRuns, mark)
						tx.Put(r)
					}
					return nil
				})
			}
		})
	}
	done.Wait()
	r := record(t, l, "k")
	if slices.Sort(r.PastRuns); r.Sequence != writers*each || len(slices.Compact(r.PastRuns)) != writers*each {
		t.Errorf("counted to %d, marks of %v; want %d of each", r.Sequence, r.PastRuns, writers*each)
	}
}

// What is written together is seen together: an update never commits what it
// made of documents of different commits.
func testSnapshot(t *testing.T, l ledger.Ledger) {
	besideWriter(t, l, 20, func(reader int) (found []ledger.Document) {
		mine := &ledger.Record{Key: message.Key(fmt.Sprint("reader", reader))}
		persist(t, l, named(append(versions(0), mine)...), func(tx ledger.Tx) error {
			found = []ledger.Document{tx.Resource(pool), tx.Record("k"), tx.Lease("lease")}
			mine.Sequence++
			tx.Put(mine)
			return nil
		})
		return found
	})
}

// And one that only reads does not see such documents either.
func testSnapshotOfReader(t *testing.T, l ledger.Ledger) {
	besideWriter(t, l, 40, func(int) []ledger.Document { return read(t, l, versions(0)...) })
}

// besideWriter runs readers while commits are made that each write three
// documents.
func besideWriter(t *testing.T, l ledger.Ledger, commits int, observe func(reader int) []ledger.Document) {
	write(t, l, versions(0)...)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for i := range 3 {
		readers.Go(func() {
			for {
				found := observe(i)
				r, k, lease := found[0].(*ledger.Resource), found[1].(*ledger.Record), found[2].(*ledger.Lease)
				if r.Version != k.Sequence || lease.Until != at(int(r.Version)) {
					t.Errorf("read %d, %d and %v together", r.Version, k.Sequence, lease.Until)
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for i := range commits {
		persist(t, l, named(versions(0)...), func(tx ledger.Tx) error {
			for _, doc := range versions(i + 1) {
				tx.Put(doc)
			}
			return nil
		})
	}
	close(stop)
	readers.Wait()
	same(t, versions(commits), read(t, l, versions(0)...))
}

func versions(n int) []ledger.Document {
	return []ledger.Document{
		&ledger.Resource{Name: pool, Version: int64(n)},
		&ledger.Record{Key: "k", Sequence: int64(n)},
		&ledger.Lease{Name: "lease", Until: at(n)},
	}
}
