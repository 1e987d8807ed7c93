// Package ledgertest is the suite that any ledger must pass: the contract of
// package ledger as tests.
//
// Nothing here waits for time to pass. Where two updates have to meet, one runs
// inside the first run of the other's closure; since closures may run any
// number of times, everything in them counts runs itself or happens once.
package ledgertest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// Run tests a ledger. open returns an empty one that no other test has; it is
// called once per test, from several goroutines. The tests named in except are
// skipped; the caller says why. Every ledger under test is a [Spoiler] and a [Scanner].
func Run(t *testing.T, open func(t *testing.T) ledger.Ledger, except ...string) {
	for name, test := range map[string]func(*testing.T, ledger.Ledger){
		"Absent":             testAbsent,
		"Typed":              testTyped,
		"EveryField":         testEveryField,
		"OddText":            testOddText,
		"Normal":             testNormal,
		"Isolation":          testIsolation,
		"Big":                testBig,
		"PutTwice":           testPutTwice,
		"ReadsOwnPuts":       testReadsOwnPuts,
		"ClosureError":       testClosureError,
		"KindsApart":         testKindsApart,
		"KindsAreVerified":   testKindsAreVerified,
		"Unnamed":            testUnnamed,
		"ImpossibleNames":    testImpossibleNames,
		"PossibleNames":      testPossibleNames,
		"Cancelled":          testCancelled,
		"Now":                testNow,
		"ReadOnly":           testReadOnly,
		"ReadIsVerified":     testReadIsVerified,
		"AbsenceIsVerified":  testAbsenceIsVerified,
		"TwoCreators":        testTwoCreators,
		"WriteSkew":          testWriteSkew,
		"Busy":               testBusy,
		"More":               testMore,
		"NoLostUpdate":       testNoLostUpdate,
		"Snapshot":           testSnapshot,
		"SnapshotOfReader":   testSnapshotOfReader,
		"Queue":              testQueue,
		"Due":                testDue,
		"Unpublished":        testUnpublished,
		"InState":            testInState,
		"List":               testList,
		"OfJob":              testOfJob,
		"Resources":          testResources,
		"QueryFollowsChange": testQueryFollowsChange,
		"Scan":               testScan,
		"Policies":           testPolicies,
		"Unreadable":         testUnreadable,
		"UnreadableInQuery":  testUnreadableInQueries,
	} {
		t.Run(name, func(t *testing.T) {
			if slices.Contains(except, name) {
				t.Skip("not promised by this ledger")
			}
			t.Parallel()
			test(t, open(t))
		})
	}
}

const (
	pool  = "projects/p/locations/l/persistentResources/pool"
	other = "projects/p/locations/l/persistentResources/other"
)

// named lists documents by their own names.
func named(docs ...ledger.Document) (names ledger.ReadSet) {
	for _, d := range docs {
		names = append(names, d.Ref())
	}
	return names
}

// write puts documents in one update.
func write(t *testing.T, l ledger.Ledger, docs ...ledger.Document) {
	t.Helper()
	err := l.Update(t.Context(), named(docs...), func(tx ledger.Tx) error {
		for _, d := range docs {
			tx.Put(d)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("write: %v", err)
	}
}

func get(tx ledger.Tx, ref ledger.Ref) ledger.Document { return ledger.Get[ledger.Document](tx, ref) }

// read returns what is stored under the names of documents, nil for what is absent.
func read(t *testing.T, l ledger.Ledger, like ...ledger.Document) []ledger.Document {
	t.Helper()
	var found []ledger.Document
	err := ledger.Read(t.Context(), l, named(like...), func(tx ledger.Tx) {
		found = nil
		for _, d := range like {
			found = append(found, get(tx, d.Ref()))
		}
	})
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return found
}

func record(t *testing.T, l ledger.Ledger, key message.Key) *ledger.Record {
	t.Helper()
	rec, _ := read(t, l, &ledger.Record{Key: key})[0].(*ledger.Record)
	return rec
}

func same(t *testing.T, want, got any) {
	t.Helper()
	// What a resource remembers of its own sums is not stored.
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(ledger.Resource{})); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
}

// set makes a closure that stores a record with the given sequence number.
func set(key message.Key, sequence int64) func(ledger.Tx) error {
	return func(tx ledger.Tx) error {
		tx.Put(&ledger.Record{Key: key, Sequence: sequence})
		return nil
	}
}

// once makes a function that does something the first time it is called.
func once(do func()) func() {
	return func() {
		if f := do; f != nil {
			do = nil
			f()
		}
	}
}

// update is an update that has to succeed and may be called inside a closure.
func update(t *testing.T, l ledger.Ledger, reads ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) {
	t.Helper()
	if err := l.Update(t.Context(), reads, closure, hints...); err != nil {
		t.Errorf("update: %v", err)
	}
}

// persist repeats an update until it no longer loses to others.
func persist(t *testing.T, l ledger.Ledger, reads ledger.ReadSet, closure func(ledger.Tx) error) {
	for {
		err := l.Update(t.Context(), reads, closure)
		if err == nil {
			return
		}
		if !errors.Is(err, ledger.ErrBusy) {
			t.Errorf("update: %v", err)
			return
		}
	}
}

func records(keys ...message.Key) ledger.ReadSet { return ledger.Records(keys...) }

// at is a moment, seconds after a fixed one.
func at(seconds int) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds) * time.Second)
}
