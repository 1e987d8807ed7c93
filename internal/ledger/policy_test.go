package ledger

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func policyLedger() *Mem {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	return NewMem(func() time.Time { return now })
}

func policyNamed(t *testing.T, m *Mem, name string) (p *Policy) {
	t.Helper()
	if err := Read(t.Context(), m, Policies(name), func(tx Tx) { p = Get[*Policy](tx, PolicyRef(name)) }); err != nil {
		t.Fatal(err)
	}
	return p
}

// A version is written once and stays; the document of the one in force is the same but for
// its name.
func TestVersionsOfAPolicy(t *testing.T) {
	m := policyLedger()
	for i, text := range []string{"one", "two", "one"} {
		restores := int64(0)
		if i == 2 {
			restores = 1
		}
		p, err := WritePolicy(t.Context(), m, int64(i), Policy{Text: text, Who: "ann", Note: "why", Restores: restores})
		if err != nil {
			t.Fatal(err)
		}
		want := Policy{Name: CurrentPolicy, Version: int64(i + 1), Text: text, At: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), Who: "ann", Note: "why", Restores: restores}
		if *p != want || *policyNamed(t, m, CurrentPolicy) != want {
			t.Errorf("wrote %+v, stored %+v, want %+v", p, policyNamed(t, m, CurrentPolicy), want)
		}
		want.Name = fmt.Sprintf("v%08d", i+1)
		if got := policyNamed(t, m, want.Name); *got != want {
			t.Errorf("stored %+v, want %+v", got, want)
		}
	}
	if got := policyNamed(t, m, PolicyName(1)).Text; got != "one" {
		t.Errorf("version 1 is now %q", got)
	}
}

// A policy that was made from another version than the one in force is refused, with the
// version that its author did not know.
func TestAPolicyIsNotWrittenOver(t *testing.T) {
	m := policyLedger()
	write := func(base int64, text string) error {
		_, err := WritePolicy(t.Context(), m, base, Policy{Text: text})
		return err
	}
	for i := range int64(3) {
		if err := write(i, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, base := range []int64{0, 1, 2, 4, 9} {
		conflict := (*PolicyConflictError)(nil)
		if err := write(base, "other"); !errors.As(err, &conflict) || *conflict != (PolicyConflictError{Base: base, Current: 3}) {
			t.Errorf("from version %d: error %v, want a conflict with version 3", base, err)
		}
	}
	if p := policyNamed(t, m, CurrentPolicy); p.Version != 3 || p.Text != "2" || policyNamed(t, m, PolicyName(4)) != nil {
		t.Errorf("in force is version %d, %q", p.Version, p.Text)
	}
}

// A version whose document is there already, of a backup or by hand, is not written over.
func TestAVersionIsNotWrittenOver(t *testing.T) {
	m := policyLedger()
	if _, err := WritePolicy(t.Context(), m, 0, Policy{Text: "one"}); err != nil {
		t.Fatal(err)
	}
	put := func(tx Tx) error {
		tx.Put(&Policy{Name: PolicyName(2), Version: 2, Text: "of a backup"})
		return nil
	}
	if err := m.Update(t.Context(), Policies(PolicyName(2)), put); err != nil {
		t.Fatal(err)
	}
	p, err := WritePolicy(t.Context(), m, 1, Policy{Text: "two"})
	if p != nil || err == nil || !strings.Contains(err.Error(), PolicyName(2)+" is there although version 1 is in force") {
		t.Errorf("wrote %+v, error %v", p, err)
	}
	if now, kept := policyNamed(t, m, CurrentPolicy), policyNamed(t, m, PolicyName(2)); now.Version != 1 || kept.Text != "of a backup" {
		t.Errorf("in force is version %d, version 2 is %q", now.Version, kept.Text)
	}
}

// Of many who write at once from one version, exactly one does, and the two documents are of
// one version.
func TestPoliciesWrittenAtOnce(t *testing.T) {
	m := policyLedger()
	for base := range int64(5) {
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() { _, errs[i] = WritePolicy(t.Context(), m, base, Policy{Text: fmt.Sprintf("%d of %d", i, base)}) })
		}
		wg.Wait()
		written := ""
		for i, err := range errs {
			conflict := (*PolicyConflictError)(nil)
			switch {
			case err == nil && written == "":
				written = fmt.Sprintf("%d of %d", i, base)
			case err == nil:
				t.Errorf("two were written from version %d", base)
			case !errors.As(err, &conflict) || conflict.Current != base+1:
				t.Errorf("from version %d: %v", base, err)
			}
		}
		if now, one := policyNamed(t, m, CurrentPolicy), policyNamed(t, m, PolicyName(base+1)); now.Text != written || one.Text != written || now.Version != base+1 {
			t.Errorf("in force is version %d %q, its own document has %q, want %q", now.Version, now.Text, one.Text, written)
		}
	}
}

// A write whose answer is lost is found to have landed, or is told as unknown and has then
// landed as a whole or not at all.
func TestAPolicyUnderFaults(t *testing.T) {
	for fault, landed := range map[Fault]bool{LoseAnswer: true, LoseAnswerAndCheck: true, FailCommit: false, Stale: true, FailRead: false} {
		m := policyLedger()
		m.Fault = func(op string) Fault {
			if op == OpRead && fault == FailRead || op == OpCommit && fault != FailRead {
				m.Fault = nil
				return fault
			}
			return None
		}
		p, err := WritePolicy(t.Context(), m, 0, Policy{Text: "a"})
		if ok := fault == LoseAnswer || fault == Stale; (err == nil) != ok || ok && p.Version != 1 {
			t.Errorf("fault %d: %+v, error %v", fault, p, err)
		}
		m.Fault = nil
		if now, one := policyNamed(t, m, CurrentPolicy), policyNamed(t, m, PolicyName(1)); (now != nil) != landed || (one != nil) != landed {
			t.Errorf("fault %d: in force %+v, its own document %+v", fault, now, one)
		}
	}
}
