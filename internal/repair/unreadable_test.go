package repair_test

import (
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/ledger/ledgertest"
	"example.com/berth/internal/message"
	"example.com/berth/internal/repair"
)

// TestUnreadableDocuments: the doctor names every unreadable document, and no fix
// changes a document that depends on one.
func TestUnreadableDocuments(t *testing.T) {
	w := newWorld(t, false)
	mem := w.ledger.(*ledger.Mem)
	toy := &ledgertest.Toy{Name: "toy"}
	history, sums := &ledger.History{Tenant: "default"}, &ledger.Usage{Resource: pool}
	if err := mem.Update(t.Context(), ledger.ReadSetOf[ledger.Document](toy, history, sums), func(tx ledger.Tx) error {
		tx.Put(toy)
		tx.Put(history)
		tx.Put(sums)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	docs := map[ledger.Ref]string{
		ledger.RecordRef(w.key("runs")):                           "it keeps its replicas",
		ledger.RecordRef(w.key("next")):                           "it keeps its replicas",
		{Kind: ledger.KindLease, Name: controller.ReconcileLease}: "without a lease",
		{Kind: ledger.KindBudget, Name: parent}:                   "Nothing is submitted",
		history.Ref():                                             "ordered by their time limits",
		sums.Ref():                                                "no request depends on it",
		toy.Ref():                                                 "waits until it can be read", // of a kind of which the doctor knows nothing
	}
	for d := range docs {
		mem.Spoil(d, "it has layout 9")
	}
	before := w.contents()
	found := find(w.doctor(), repair.CheckUnreadable)
	for d, means := range docs {
		n := 0
		for _, f := range found {
			if strings.Contains(f.Text, d.String()) && strings.Contains(f.Text, "layout 9") && strings.Contains(f.Means, means) && f.Level == repair.Fail && f.Do != "" {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s is reported %d times in %+v", d, n, found)
		}
	}
	if len(found) != len(docs) {
		t.Errorf("%d findings for %d documents: %+v", len(found), len(docs), found)
	}
	for _, rule := range []string{"hold-matches", "queue-matches"} {
		for _, f := range find(w.doctor(), rule) {
			t.Errorf("a document that cannot be read is taken for one that is not there: %+v", f)
		}
	}
	w.now = w.now.Add(time.Hour)
	for name, m := range map[string]change{"orphans": leakedHolds, "queues": queues} {
		changes, err := m(t.Context(), w.kit(true), w)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		left := map[message.Key]bool{}
		for _, c := range changes {
			if c.Left == "" || c.Done {
				t.Errorf("%s: %+v", name, c)
			}
			left[c.Request] = true
		}
		if !left[w.key("runs")] || !left[w.key("next")] {
			t.Errorf("%s says nothing of what it leaves: %+v", name, changes)
		}
	}
	w.unchangedSince(before)
	if _, err := w.kit(true).RunTimer(t.Context(), w.key("runs")); err == nil || !strings.Contains(err.Error(), "layout 9") {
		t.Errorf("the timer of an unreadable request: %v", err)
	}
	// An unreadable resource: it and its requests are named, and no other check fails.
	mem.Spoil(ledger.ResourceRef(pool), "damaged")
	found = w.doctor()
	n := 0
	for _, f := range found {
		if f.Check == repair.CheckUnreadable && f.Resource == pool && strings.Contains(f.Text, "resources/"+pool) {
			n++
		}
		if strings.Contains(f.Text, "no document") {
			t.Errorf("a resource that cannot be read counts as absent: %+v", f)
		}
	}
	if n != 1 {
		t.Errorf("the resource is reported %d times in %+v", n, found)
	}
}
