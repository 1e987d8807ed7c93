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

// With buckets=true the sums of the buckets are those of the answer, and there is a
// bucket for each stretch of time of which something is known.
func TestUsageBuckets(t *testing.T) {
	w := newWorld(t)
	w.send(job("mine", cpu, 2, 0))
	w.pass(47)
	w.now = w.now.Add(40 * time.Minute) // nothing is known of it
	w.pass(8)
	w.send(job("wide", gpu, 5, 0))
	w.send(job("too", cpu, 3, 0))
	w.pass(20)
	u := get[Usages](w, "/usage?buckets=true").Resources[0]
	if time.Duration(u.Width) != 5*time.Minute || len(u.Shapes) != 2 {
		t.Fatalf("%+v", u)
	}
	for _, s := range u.Shapes {
		var sum ShapeUsage
		var observed time.Duration
		for i, b := range s.Buckets {
			hours := time.Duration(b.Observed).Hours()
			observed += time.Duration(b.Observed)
			sum.Hours += b.Machines * hours
			sum.ScaleUp += (b.Limit - b.Machines) * hours
			sum.Used += b.Used * hours
			sum.MeanWaiting += b.MeanWaiting * hours
			sum.MaxWaiting = max(sum.MaxWaiting, b.MaxWaiting)
			if !b.From.Equal(b.From.Truncate(5*time.Minute)) || i > 0 && !b.From.After(s.Buckets[i-1].From) || b.From.After(w.now) || observed == 0 {
				t.Errorf("%s: bucket %d: %+v", s.Shape, i, b)
			}
		}
		sum.MeanWaiting /= observed.Hours()
		close := func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }
		if observed != time.Duration(u.Observed) || !close(sum.Hours, s.Hours) || !close(sum.ScaleUp, s.ScaleUp) || !close(sum.Used, s.Used) || !close(sum.MeanWaiting, s.MeanWaiting) || sum.MaxWaiting != s.MaxWaiting {
			t.Errorf("%s: the buckets sum up to %+v in %v, the answer says %+v in %v", s.Shape, sum, observed, s, u.Observed)
		}
	}
	if cpus := u.Shapes[1].Buckets; len(cpus) < 14 || len(cpus) > 17 || cpus[4].Used != 2 || cpus[len(cpus)-1].MaxWaiting != 1 {
		t.Errorf("the buckets of the CPU machines: %+v", cpus)
	}
	if plain := get[Usages](w, "/usage").Resources[0]; plain.Width != 0 || plain.Shapes[0].Buckets != nil {
		t.Errorf("without the parameter: %+v", plain)
	}
	_ = w.fails("GET", "/usage?buckets=1", "", http.StatusBadRequest)
	w.fill(12, lifecycle.Running)
	if u := get[Usages](w, "/usage?buckets=true&limit=200"); len(u.Resources) != bucketLimit || u.Next == "" {
		t.Errorf("%d resources with buckets on a page", len(u.Resources))
	}
}
