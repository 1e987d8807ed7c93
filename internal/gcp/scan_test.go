package gcp

import (
	"fmt"
	"testing"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// TestScan pages through all records of a real database, and only records.
func TestScan(t *testing.T) {
	l := openEmulator(t, &proxy{})
	for i := range 5 {
		key := message.KeyOf("default", message.KindRequest, fmt.Sprint(i))
		err := l.Update(t.Context(), ledger.ReadSet{Records: []message.Key{key}, Resources: []string{"r"}}, func(tx ledger.Tx) error {
			tx.PutRecord(&ledger.Record{Key: key, ID: fmt.Sprint(i)})
			tx.PutResource(&ledger.Resource{Name: "r"})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	seen, after := map[string]bool{}, message.Key("")
	for {
		found, err := l.Scan(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range found {
			if r.Key <= after || seen[r.ID] {
				t.Errorf("%s comes after %s", r.Key, after)
			}
			seen[r.ID], after = true, r.Key
		}
		if len(found) < 2 {
			break
		}
	}
	if len(seen) != 5 {
		t.Errorf("scanned %v, want five", seen)
	}
}
