package ledger

import (
	"context"
	"errors"
	"testing"
	"time"

	"example.com/berth/internal/lifecycle"
)

const pool = "projects/p/locations/l/persistentResources/pool"

func names() ReadSet {
	return Resources(pool).And(Records("k"))
}

// bump adds one to the resource's version and puts a record that says so.
func bump(runs *int) func(Tx) error {
	return func(tx Tx) error {
		*runs++
		r := tx.Resource(pool)
		if r == nil {
			r = &Resource{Name: pool}
		}
		r.Version++
		tx.Put(r)
		tx.Put(&Record{Key: "k", Sequence: r.Version})
		return nil
	}
}

func version(t *testing.T, m *Mem) int64 {
	t.Helper()
	d := m.Dump()
	if len(d) == 0 {
		return 0
	}
	resources, records := d.Resources(), d.Records()
	if len(d) != 2 || len(records) != 1 || records[0].Sequence != resources[0].Version {
		t.Fatalf("documents of one commit disagree: %+v", d)
	}
	return resources[0].Version
}

func TestMemRunsEveryClosureTwice(t *testing.T) {
	m := NewMem(nil)
	runs := 0
	if err := m.Update(t.Context(), names(), bump(&runs)); err != nil {
		t.Fatal(err)
	}
	if runs != 2 || version(t, m) != 1 {
		t.Errorf("%d runs, version %d; want 2 runs on copies of their own, of which one counts", runs, version(t, m))
	}
}

// Every fault, once, at the first commit or read: what Update returns, and
// whether the write is there.
func TestMemFaults(t *testing.T) {
	for _, test := range []struct {
		fault   Fault
		err     bool
		version int64
		runs    int
	}{
		{None, false, 1, 2},
		{FailRead, true, 0, 0},
		{FailCommit, true, 0, 2},
		{LoseAnswer, false, 1, 2},
		{LoseAnswerAndCheck, true, 1, 2},
		{Stale, false, 1, 4},
	} {
		m := NewMem(nil)
		m.Fault = once(test.fault)
		runs := 0
		err := m.Update(t.Context(), names(), bump(&runs))
		if (err != nil) != test.err || version(t, m) != test.version || runs != test.runs {
			t.Errorf("fault %d: error %v, version %d, %d runs; want error %v, version %d, %d runs",
				test.fault, err, version(t, m), runs, test.err, test.version, test.runs)
		}
		if err != nil && (!errors.Is(err, ErrInjected) || errors.Is(err, ErrBusy)) {
			t.Errorf("fault %d: %v does not say that it was injected", test.fault, err)
		}
	}
}

// once is a hook by which the first operation that can have the fault has it.
func once(f Fault) func(string) Fault {
	return func(op string) Fault {
		if (f == FailRead) == (op == OpCommit) {
			return None
		}
		defer func() { f = None }()
		return f
	}
}

func TestMemBusy(t *testing.T) {
	m := NewMem(nil)
	m.Fault = func(string) Fault { return Stale }
	runs := 0
	if err := m.Update(t.Context(), names(), bump(&runs)); err != ErrBusy {
		t.Errorf("error %v, want ErrBusy", err)
	}
	if s := m.Stats(); version(t, m) != 0 || s.Stale != memTries || s.Commits != memTries || s.DocsWritten != 0 {
		t.Errorf("version %d, %+v after %d stale commits", version(t, m), s, memTries)
	}
}

func TestMemBetween(t *testing.T) {
	m := NewMem(nil)
	other := 0
	m.Between = func() {
		if other == 0 {
			if err := m.Update(t.Context(), names(), bump(&other)); err != nil {
				t.Error(err)
			}
		}
	}
	runs := 0
	if err := m.Update(t.Context(), names(), bump(&runs)); err != nil {
		t.Fatal(err)
	}
	if runs != 4 || version(t, m) != 2 {
		t.Errorf("%d runs, version %d; want the closure to run anew (4) on the other's write (2)", runs, version(t, m))
	}
}

// A commit whose answer was lost, and all of whose documents others have overwritten
// before the check, looks like one that did not land: the closure runs again and sees
// its own effect.
func TestMemLostAndOverwritten(t *testing.T) {
	m := NewMem(nil)
	m.Fault = once(LoseAnswer)
	other, runs := 0, 0
	m.AfterLost = func() {
		if err := m.Update(t.Context(), names(), bump(&other)); err != nil {
			t.Error(err)
		}
	}
	if err := m.Update(t.Context(), names(), bump(&runs)); err != nil {
		t.Fatal(err)
	}
	if runs != 4 || version(t, m) != 3 {
		t.Errorf("%d runs, version %d; want 4 and 3", runs, version(t, m))
	}
}

// When one commit may have landed, "nothing was written" must not be claimed.
func TestMemLostAndThenBusy(t *testing.T) {
	m := NewMem(nil)
	fault := LoseAnswer
	m.Fault = func(op string) Fault {
		if op != OpCommit {
			return None
		}
		defer func() { fault = Stale }()
		return fault
	}
	other, runs := 0, 0
	m.AfterLost = func() {
		fault = None
		if err := m.Update(t.Context(), names(), bump(&other)); err != nil {
			t.Error(err)
		}
	}
	if err := m.Update(t.Context(), names(), bump(&runs)); err == nil || errors.Is(err, ErrBusy) {
		t.Errorf("error %v, want one other than ErrBusy", err)
	}
}

func TestMemNow(t *testing.T) {
	at := time.Date(2026, 5, 4, 3, 2, 1, 123456789, time.FixedZone("east", 3600))
	m := NewMem(func() time.Time { return at })
	var got time.Time
	if err := Read(t.Context(), m, names(), func(tx Tx) { got = tx.Now() }); err != nil {
		t.Fatal(err)
	}
	if want := time.Date(2026, 5, 4, 2, 2, 1, 123456000, time.UTC); got != want {
		t.Errorf("Now() = %v, want %v", got, want)
	}
}

func TestMemQueryFaultAndCancel(t *testing.T) {
	m := NewMem(nil)
	m.Fault = func(string) Fault { return FailRead }
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		ctx  context.Context
		want error
	}{{t.Context(), ErrInjected}, {cancelled, context.Canceled}} {
		ctx := test.ctx
		_, queue := m.Queue(ctx, pool, "s", "", 1)
		_, due := m.Due(ctx, lifecycle.States, time.Now(), Timed{}, 1)
		_, unpublished := m.Unpublished(ctx, Timed{}, 1)
		_, state := m.InState(ctx, pool, lifecycle.Waiting, "", 1)
		_, resources := m.Resources(ctx, "", 1)
		for i, err := range []error{queue, due, unpublished, state, resources} {
			if !errors.Is(err, test.want) {
				t.Errorf("query %d: %v, want %v", i, err, test.want)
			}
		}
	}
}
