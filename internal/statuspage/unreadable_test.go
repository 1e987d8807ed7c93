package statuspage

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// TestUnreadableDocumentsAreNamed: an unreadable document is named, and all
// others are shown.
func TestUnreadableDocumentsAreNamed(t *testing.T) {
	w := busy(t)
	record := ledger.RecordRef(message.KeyOf("default", message.KindRequest, "wide"))
	w.ledger.Spoil(record, "it has layout 9")
	names := func(list []*ledger.UnreadableError) (all []string) {
		for _, u := range list {
			all = append(all, u.Ref.String()+": "+u.Why)
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
	lease := ledger.LeaseRef(controller.ReconcileLease)
	if _, err := w.c.Reconcile(t.Context(), "tick", 0); err != nil {
		t.Fatal(err)
	}
	w.ledger.Spoil(lease, "damaged")
	resource := ledger.ResourceRef(prName)
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
	// Its requests are shown, each from its own document.
	if list := get[Requests](w, "/requests"); len(list.Requests) != 2 || len(list.Unreadable) != 2 {
		t.Errorf("requests of a resource that cannot be read: %+v", list)
	}
	if r := get[Request](w, "/requests/narrow"); r.ID != "narrow" {
		t.Errorf("a request on it: %+v", r)
	}
}

// TestRecentNamesUnreadableOnce: pages of recent requests continue past
// unreadable documents, show every other one once, and name each unreadable one
// once per page.
func TestRecentNamesUnreadableOnce(t *testing.T) {
	w := newWorld(t)
	there := strings.Replace(prName, "us-central1", "europe-west4", 1)
	var recs []*ledger.Record
	want, spoiled := "", map[string]bool{}
	for i := range 12 {
		rec := &ledger.Record{Key: message.Key(fmt.Sprintf("k%02d", i)), Kind: message.KindRequest, Tenant: "default", ID: fmt.Sprintf("r%02d", i), Resource: prName,
			Times: message.Times{Received: w.now.Add(time.Duration(-i) * time.Second)}, Reservation: lifecycle.Reservation{State: lifecycle.Succeeded}}
		if i%5 == 1 {
			spoiled[ledger.RecordRef(rec.Key).String()] = true
		} else {
			want += rec.ID + ":SUCCEEDED "
		}
		if i == 11 {
			rec.Resource = there
		}
		recs = append(recs, rec)
	}
	w.put(&ledger.Resource{Name: parent + "/persistentResources/none"}, recs...)
	for i := range recs {
		if i%5 == 1 {
			w.ledger.Spoil(ledger.RecordRef(recs[i].Key), "damaged")
		}
	}
	for _, query := range []string{"limit=1", "limit=2", "limit=3", "limit=50", "resource=pool&limit=1", "resource=pool&limit=1&prefix=x", "limit=4&prefix=x"} {
		shown, named := "", map[string]bool{}
		for after, pages := "", 0; ; pages++ {
			p := get[Requests](w, "/recent?"+query+"&after="+after)
			once := map[string]bool{}
			for _, u := range p.Unreadable {
				if once[u.Ref.String()] {
					t.Errorf("?%s: page %d names %s twice", query, pages, u.Ref)
				}
				once[u.Ref.String()], named[u.Ref.String()] = true, true
			}
			for _, s := range p.Requests {
				shown += s.ID + ":" + string(s.State) + " "
			}
			if after = p.Next; after == "" {
				break
			}
			if pages > 20 {
				t.Fatalf("?%s: no end of pages", query)
			}
		}
		if !maps.Equal(named, spoiled) {
			t.Errorf("?%s: named %v, want %v", query, named, spoiled)
		}
		if !strings.Contains(query, "prefix=x") && shown != want {
			t.Errorf("?%s: shown %s, want %s", query, shown, want)
		}
	}
}

// TestUnreadablePolicyIsNamed: while the policy in force cannot be read nothing is decided,
// and waiting a moment does not help.
func TestUnreadablePolicyIsNamed(t *testing.T) {
	w := newWorld(t)
	if _, err := ledger.WritePolicy(t.Context(), w.ledger, 0, ledger.Policy{Text: "defaults: {serviceAccounts: any}\nfromTheFuture: secret\n"}); err != nil {
		t.Fatal(err)
	}
	e := w.fails("POST", "/explain", fmt.Sprintf(`{"data":%q}`, base64.StdEncoding.EncodeToString(job("new", gpu, 1, 0))), http.StatusInternalServerError)
	if e.Code != Unreadable || e.Detail != "Version 1 of the policy, which is in force, cannot be read by this release: line 2: UNKNOWN_FIELD." || !strings.Contains(e.Fix, "berth policy rollback") {
		t.Errorf("%+v", e)
	}
}
