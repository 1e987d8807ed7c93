package statuspage

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// pass lets minutes go by, each with a pass.
func (w *world) pass(minutes int) {
	w.t.Helper()
	for range minutes {
		w.now = w.now.Add(time.Minute)
		if _, err := w.c.Reconcile(w.t.Context(), "tick", 0); err != nil {
			w.t.Fatal(err)
		}
	}
}

// /usage sums up what passes have observed, in the document of its own and since, with
// what other tenants do: sums say of nobody what they are.
func TestUsage(t *testing.T) {
	w := newWorld(t)
	w.sendAs("other", job("theirs", cpu, 3, 0))
	w.send(job("mine", cpu, 2, 0))
	w.pass(90)
	w.golden("usage", "/usage?resource=pool")
	u := get[Usages](w, "/usage").Resources[0]
	if u.Name != prName || len(u.Shapes) != 2 || time.Duration(u.Observed).Round(time.Minute) != 90*time.Minute || !u.To.Equal(w.now) {
		t.Errorf("%+v", u)
	}
	last := get[Usages](w, "/usage?since="+url.QueryEscape(w.now.Add(-time.Hour).Format(time.RFC3339))).Resources[0]
	if hours := last.Shapes[1].Used; last.From.After(w.now.Add(-time.Hour)) || last.From.Before(w.now.Add(-66*time.Minute)) || hours < 3 || hours > 3.3 {
		t.Errorf("of the last hour: %+v", last)
	}
}

// Nothing is known of a resource that was observed once, and that is said.
func TestUsageOfNothing(t *testing.T) {
	w := newWorld(t)
	if u := get[Usages](w, "/usage"); len(u.Resources) != 0 || !u.AsOf.Equal(w.now) {
		t.Errorf("%+v", u)
	}
	w.send(job("mine", cpu, 2, 0))
	if u := get[Usages](w, "/usage").Resources; len(u) != 1 || u[0].Observed != 0 || len(u[0].Shapes) != 0 {
		t.Errorf("%+v", u)
	}
}

func TestBadUsage(t *testing.T) {
	w := busy(t)
	for path, status := range map[string]int{
		"/usage?since=yesterday": 400, "/usage?since=": 200, "/usage?since=2030-01-01T00:00:00Z": 400, "/usage?resource=other": 404,
		"/usage?resource=a/b": 400, "/usage?limit=0": 400, "/usage?after=%21": 400, "/usage?since=0001-01-01T00:00:00Z": 200,
	} {
		if code, text := w.do("GET", path, ""); code != status {
			t.Errorf("GET %s: %d %s", path, code, text)
		}
	}
	_ = w.fails("POST", "/usage", "", http.StatusMethodNotAllowed)
}

// Pages show each resource once.
func TestUsagePages(t *testing.T) {
	w := newWorld(t)
	w.fill(45, lifecycle.Running)
	for _, limit := range []int{1, 7, 200} {
		var names []string
		pages := 0
		for after := ""; ; {
			u := get[Usages](w, fmt.Sprintf("/usage?limit=%d&after=%s", limit, after))
			for _, r := range u.Resources {
				names = append(names, r.Name)
			}
			pages++
			if after = u.Next; after == "" {
				break
			}
		}
		if want := (45 + min(limit, usageLimit) - 1) / min(limit, usageLimit); len(slices.Compact(names)) != 45 || pages != want {
			t.Errorf("by %d: %d resources on %d pages, want 45 on %d", limit, len(names), pages, want)
		}
	}
}

// A document that cannot be read is named, whichever of the two it is.
func TestUnreadableUsage(t *testing.T) {
	for _, ref := range []ledger.Ref{ledger.UsageRef(prName), ledger.ResourceRef(prName)} {
		w := busy(t)
		w.pass(17)
		w.ledger.Spoil(ref, "damaged")
		for _, path := range []string{"/usage", "/usage?resource=pool"} {
			if u := get[Usages](w, path); len(u.Resources) != 0 || len(u.Unreadable) != 1 || u.Unreadable[0].Ref != ref {
				t.Errorf("%s without %s: %+v", path, ref, u)
			}
		}
	}
}
