package ledger_test

import (
	"testing"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// TestScan pages through all documents of a kind, whatever their state.
func TestScan(t *testing.T) {
	m := ledger.NewMem(nil)
	for _, key := range []message.Key{"c", "a", "b"} {
		err := m.Update(t.Context(), ledger.Records(key).And(ledger.Leases("d")), func(tx ledger.Tx) error {
			tx.Put(&ledger.Record{Key: key, Labels: map[string]string{"k": "v"}})
			tx.Put(&ledger.Lease{Name: "d"})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	got, after := "", ""
	for range 3 {
		found, err := m.Scan(t.Context(), ledger.KindRecord, after, 1)
		if err != nil || len(found) != 1 {
			t.Fatalf("after %q: %v, %v", after, found, err)
		}
		after = found[0].Ref().Name
		got += after
		found[0].(*ledger.Record).Labels["k"] = "changed" // it is the caller's own
	}
	if rest, err := m.Scan(t.Context(), ledger.KindRecord, after, 1); got != "abc" || len(rest) != 0 || err != nil {
		t.Errorf("scanned %q, then %v, %v", got, rest, err)
	}
	if again, _ := m.Scan(t.Context(), ledger.KindRecord, "", 9); len(again) != 3 || again[0].(*ledger.Record).Labels["k"] != "v" {
		t.Errorf("a scan returns the stored document itself: %+v", again)
	}
	m.Fault = func(string) ledger.Fault { return ledger.FailRead }
	if _, err := m.Scan(t.Context(), ledger.KindRecord, "", 1); err == nil {
		t.Error("no error from a failing query")
	}
}
