package statuspage

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// What cannot be read is told by name, and everything else is shown.
func TestUnreadableDocumentsAreNamed(t *testing.T) {
	w := busy(t)
	record := ledger.RecordDoc(message.KeyOf("default", message.KindRequest, "wide"))
	w.ledger.Spoil(record, "it has layout 9")
	names := func(list []*ledger.UnreadableError) (all []string) {
		for _, u := range list {
			all = append(all, u.Doc.String()+": "+u.Why)
		}
		return all
	}
	want := []string{record.String() + ": it has layout 9"}
	q := get[Queue](w, "/queue")
	if got := names(q.Unreadable); !slices.Equal(got, want) || len(q.Waiting) != 1 || q.Waiting[0].ID != "narrow" {
		t.Errorf("queue: unreadable %v, waiting %+v", got, q.Waiting)
	}
	list := get[Requests](w, "/requests")
	if got := names(list.Unreadable); !slices.Equal(got, want) || len(list.Requests) != 2 {
		t.Errorf("requests: unreadable %v, others %+v", got, list.Requests)
	}
	e := w.fails("GET", "/requests/wide", "", http.StatusInternalServerError)
	if e.Code != Unreadable || !strings.Contains(e.Detail, record.String()) || !strings.Contains(e.Detail, "layout 9") {
		t.Errorf("the request itself: %v", e)
	}
	if r := get[Request](w, "/requests/narrow"); r.ID != "narrow" {
		t.Errorf("another request: %+v", r)
	}
	lease := ledger.Doc{Kind: ledger.KindLease, Name: controller.ReconcileLease}
	if _, err := w.c.Reconcile(t.Context(), "tick", 0); err != nil {
		t.Fatal(err)
	}
	w.ledger.Spoil(lease, "damaged")
	resource := ledger.Doc{Kind: ledger.KindResource, Name: prName}
	w.ledger.Spoil(resource, "damaged")
	want = []string{resource.String() + ": damaged"}
	for _, path := range []string{"/pools", "/pools?resource=pool"} {
		if p := get[Pools](w, path); !slices.Equal(names(p.Unreadable), want) || len(p.Resources) != 0 {
			t.Errorf("%s: unreadable %v, others %+v", path, names(p.Unreadable), p.Resources)
		}
	}
	if h := get[Health](w, "/health"); !slices.Equal(names(h.Unreadable), want) || h.Reconcile != nil {
		t.Errorf("health: %+v", h)
	}
	// Its requests are there, each by its own document.
	if list := get[Requests](w, "/requests"); len(list.Requests) != 2 || len(list.Unreadable) != 2 {
		t.Errorf("requests of a resource that cannot be read: %+v", list)
	}
	if r := get[Request](w, "/requests/narrow"); r.ID != "narrow" {
		t.Errorf("a request on it: %+v", r)
	}
}
