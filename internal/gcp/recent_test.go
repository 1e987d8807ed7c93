package gcp

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/localstack/emulatortest"
	"example.com/berth/internal/message"
)

var justRecent = ledger.Hints{Recent: true}

// spent runs something and returns the reads and commits that it took.
func spent(l *Ledger, do func()) string {
	before := l.RPCs()
	do()
	after := l.RPCs()
	return fmt.Sprintf("%d reads, %d commits", after["BatchGetDocuments"]-before["BatchGetDocuments"], after["Commit"]-before["Commit"])
}

// The next write of what this process has just written needs no read, unless
// another process has written it, or nothing is written.
func TestRecent(t *testing.T) {
	emulatortest.Firestore(t)
	t.Parallel()
	l, other := openEmulator(t, &proxy{}), openEmulator(t, &proxy{})
	other.database = l.database
	var now time.Time
	runs := 0
	add := func(l *Ledger, hints ledger.Hints) {
		t.Helper()
		err := l.Update(t.Context(), justK, func(tx ledger.Tx) error {
			runs++
			if tx.Now().Before(now) {
				t.Errorf("the time went back from %v to %v", now, tx.Now())
			}
			now = tx.Now()
			r := tx.Record("k")
			if r == nil {
				r = &ledger.Record{Key: "k"}
			}
			r.Sequence++
			tx.Put(r)
			return nil
		}, hints)
		if err != nil {
			t.Fatal(err)
		}
	}
	expect := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s took %s, want %s", what, got, want)
		}
	}
	expect("the first write", spent(l, func() { add(l, justRecent) }), "1 reads, 1 commits")
	expect("the next", spent(l, func() { add(l, justRecent) }), "0 reads, 1 commits")
	expect("one more", spent(l, func() { add(l, justRecent) }), "0 reads, 1 commits")
	expect("one that asks to read", spent(l, func() { add(l, ledger.Hints{}) }), "1 reads, 1 commits")
	expect("one by another process", spent(other, func() { add(other, justRecent) }), "1 reads, 1 commits")
	runs = 0
	expect("one after another process's", spent(l, func() { add(l, justRecent) }), "1 reads, 2 commits")
	if runs != 2 || sequence(t, l) != 6 {
		t.Errorf("%d runs, sequence %d; want 2 and 6", runs, sequence(t, l))
	}
	runs = 0
	expect("one that only reads", spent(l, func() {
		_ = l.Update(t.Context(), justK, func(tx ledger.Tx) error {
			if runs++; tx.Record("k").Sequence != 6 {
				t.Errorf("sequence %d, want 6", tx.Record("k").Sequence)
			}
			return nil
		}, justRecent)
	}), "1 reads, 0 commits")
	if runs != 2 {
		t.Errorf("%d runs of one that only reads, want 2: the second on what was read", runs)
	}
}

// Of many documents only those are read that are not remembered, or have to be
// fresh; and what was remembered is checked by the commit.
func TestRecentInPart(t *testing.T) {
	emulatortest.Firestore(t)
	t.Parallel()
	l, other := openEmulator(t, &proxy{}), openEmulator(t, &proxy{})
	other.database = l.database
	all := ledger.Records("a", "b", "c")
	add := func(l *Ledger, reads ledger.ReadSet) {
		t.Helper()
		err := l.Update(t.Context(), reads, func(tx ledger.Tx) error {
			for _, key := range reads.Names(ledger.KindRecord) {
				key := message.Key(key)
				r := tx.Record(key)
				if r == nil {
					r = &ledger.Record{Key: key}
				}
				r.Sequence++
				tx.Put(r)
			}
			return nil
		}, ledger.Hints{Recent: true, Fresh: ledger.Records("b")})
		if err != nil {
			t.Fatal(err)
		}
	}
	add(l, all)
	if got := spent(l, func() { add(l, all) }); got != "1 reads, 1 commits" {
		t.Errorf("with one to be read it took %s", got)
	}
	add(other, ledger.Records("a"))
	if got := spent(l, func() { add(l, all) }); got != "2 reads, 2 commits" {
		t.Errorf("after another process's write it took %s", got)
	}
	err := ledger.Read(t.Context(), l, all, func(tx ledger.Tx) {
		for key, want := range map[message.Key]int64{"a": 4, "b": 3, "c": 3} {
			if got := tx.Record(key).Sequence; got != want {
				t.Errorf("%s was written %d times, want %d", key, got, want)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What is remembered is bounded in bytes and in time.
func TestRecentForgets(t *testing.T) {
	var r recent
	start := time.Now()
	stamp := timestamppb.New(time.Unix(1000, 0))
	i := func(n int) ledger.Ref { return ledger.RecordRef(message.Key(fmt.Sprint(n))) }
	big := &ledger.Record{Spec: string(make([]byte, 200<<10))}
	for n := range 100 {
		r.keep(i(n), big, stamp, stamp, start)
		r.keep(i(n), big, stamp, stamp, start) // again, and it counts once
	}
	if r.bytes > recentBytes || r.bytes < recentBytes/2 || len(r.order) != len(r.written) {
		t.Errorf("%d bytes in %d records, %d in order; want up to %d", r.bytes, len(r.written), len(r.order), recentBytes)
	}
	take := func(now time.Time, fresh ledger.ReadSet, ns ...int) (known int, at time.Time) {
		var ids []ledger.Ref
		for _, n := range ns {
			ids = append(ids, i(n))
		}
		snap, others := r.take(ids, fresh, now)
		if len(snap.docs)+len(others) != len(ids) {
			t.Errorf("%d known and %d to be read, of %d", len(snap.docs), len(others), len(ids))
		}
		return len(snap.docs), snap.at
	}
	if known, _ := take(start, nil, 0); known > 0 {
		t.Error("the oldest is remembered")
	}
	if known, _ := take(start, ledger.Records("99"), 99); known > 0 {
		t.Error("a record that has to be read is remembered")
	}
	known, at := take(start.Add(3*time.Second), nil, 99, 0)
	if want := time.Unix(1003, 0).UTC(); known != 1 || !at.Equal(want) {
		t.Errorf("%d remembered, as of %v; want 1 as of %v", known, at, want)
	}
	if known, _ := take(start, nil, 99); known > 0 {
		t.Error("a record was given out twice: two closures would change it")
	}
	if known, _ := take(start.Add(recentFor), nil, 98); known > 0 {
		t.Error("a record is remembered for too long")
	}
	r.keep(i(0), big, stamp, stamp, start.Add(recentFor))
	if len(r.written) != 1 || len(r.order) != 1 {
		t.Errorf("%d records, %d in order; want the new one only", len(r.written), len(r.order))
	}
}
