package statuspage

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// reads counts what a ledger is asked for.
type reads struct {
	ledger.Ledger
	asked string
}

func (l *reads) Update(ctx context.Context, names ledger.ReadSet, f func(ledger.Tx) error, hints ...ledger.Hints) error {
	l.asked += "read "
	return l.Ledger.Update(ctx, names, f, hints...)
}

func (l *reads) OfJob(ctx context.Context, number string, limit int) ([]message.Key, error) {
	l.asked += "job "
	return l.Ledger.OfJob(ctx, number, limit)
}

// shared is a deployment whose tenants red and blue have requests in every kind of list:
// one that runs, two that wait, one that was refused. The caller sees what scope says.
func shared(t *testing.T) (w *world, scope *Scope, l *reads) {
	w = newWorld(t)
	send := func(tenant, id string, n int, labels bool) {
		var env map[string]any
		if err := json.Unmarshal(job(id, cpu, n, 0), &env); err != nil {
			t.Fatal(err)
		}
		spec := env["job"].(map[string]any)
		spec["displayName"] = tenant + "-name-" + id
		if labels {
			spec["labels"] = map[string]any{"team": tenant + "-label"}
		}
		data, _ := json.Marshal(env)
		w.sendAs(tenant, data)
	}
	send("blue", "blue-runs", 3, true)
	send("blue", "blue-waits", 4, true)
	send("red", "red-waits", 3, true)
	send("blue", "blue-waits-too", 2, true)
	send("red", "red-runs", 1, false)
	send("blue", "blue-huge", 99, true)
	w.vertex.AddForeign(parent, "pool", capacity.Ask{{Shape: gpu, Replicas: 1}})
	if _, err := w.c.Reconcile(t.Context(), "tick", 0); err != nil {
		t.Fatal(err)
	}
	scope, l = &Scope{Tenants: []string{"red"}, Fix: "ask"}, &reads{Ledger: w.ledger}
	w.info.Access = func(*http.Request) (Scope, error) { return *scope, nil }
	w.handler = New(w.c, l, w.info)
	return w, scope, l
}

// TestOnlySumsOfOthers walks every route, page by page, as one tenant: nothing that is
// another's shows, neither in plain text nor in cursors, and the sums count the others.
func TestOnlySumsOfOthers(t *testing.T) {
	w, _, _ := shared(t)
	secrets := []string{"blue", "customJobs/" + number(w, "blue", "blue-runs")}
	for _, id := range []string{"blue-runs", "blue-waits", "blue-waits-too", "blue-huge"} {
		secrets = append(secrets, string(message.KeyOf("blue", message.KindRequest, id)))
	}
	for _, j := range w.vertex.Jobs() {
		if j.Run == "" {
			secrets = append(secrets, j.Name) // a job that Berth did not admit
		}
	}
	w.ledger.Spoil(ledger.RecordRef(message.KeyOf("blue", message.KindRequest, "blue-waits-too")), "it has layout 9")
	seen := func(path, text string) {
		for _, m := range append([]string{text}, cursors(text)...) {
			for _, s := range secrets {
				if strings.Contains(m, s) {
					t.Errorf("%s shows %q of another tenant: %s", path, s, m)
				}
			}
		}
	}
	for _, path := range []string{"/", "/health", "/pools", "/usage", "/queue", "/requests", "/recent", "/requests?state=REJECTED", "/recent?state=REJECTED",
		"/recent?prefix=blue", "/queue?tenant=red", "/pools?resource=pool", "/requests/red-waits", "/requests/red-runs", "/requests/" + number(w, "red", "red-runs")} {
		for after, pages := "", 0; ; pages++ {
			u := path
			if strings.Contains(path, "?") {
				u += "&limit=1&after=" + after
			} else if after != "" || !strings.HasPrefix(path, "/requests/") && path != "/" && path != "/health" {
				u += "?limit=1&after=" + after
			}
			code, text := w.do("GET", u, "")
			if code != http.StatusOK {
				t.Fatalf("%s: %d %s", u, code, text)
			}
			seen(u, text)
			var next struct{ Next string }
			if err := json.Unmarshal([]byte(text), &next); err != nil || next.Next == "" {
				break
			}
			if after = next.Next; pages > 10 {
				t.Fatalf("%s: no end of pages", path)
			}
		}
	}
	data := base64.StdEncoding.EncodeToString(job("blue-waits", cpu, 4, 0))
	code, text := w.do("POST", "/explain", `{"data":"`+data+`"}`)
	if seen("/explain", strings.ReplaceAll(text, "blue-waits", "")); code != http.StatusOK || !strings.Contains(text, `"verdict":"WAIT"`) {
		t.Errorf("/explain of an id of another tenant: %d %s", code, text)
	}
	q := get[Queue](w, "/queue")
	if len(q.Waiting) != 2 || q.Waiting[0].ID != "red-waits" || q.Waiting[0].Position != 2 || *q.Waiting[0].Ahead != 1 || q.Unreadable != nil {
		t.Errorf("the queue: %+v", q)
	}
	p := get[Pools](w, "/pools?resource=pool")
	if r := p.Resources[0]; r.Holds != 1 || r.ForeignJobs != 1 || r.Foreign != nil || r.Shapes[1].Held+r.Shapes[0].Held != 3 {
		t.Errorf("the pools count others in sums: %+v", r)
	}
}

func number(w *world, tenant, id string) string {
	for _, rec := range w.ledger.Records() {
		if rec.Tenant == tenant && rec.ID == id {
			return ledger.JobNumber(rec.Reservation.Job)
		}
	}
	w.t.Fatalf("no request %s of %s", id, tenant)
	return ""
}

// cursors decodes what in an answer may be a cursor.
func cursors(text string) (all []string) {
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return c == '"' }) {
		if b, err := base64.RawURLEncoding.DecodeString(word); err == nil {
			all = append(all, string(b))
		}
	}
	return all
}

// TestUnknownAndOthersAreAlike: the answer to an id, or a job, of another tenant is that
// to an unknown one, after as many reads.
func TestUnknownAndOthersAreAlike(t *testing.T) {
	w, scope, l := shared(t)
	job := func(number string) string {
		return url.PathEscape(parent + "/customJobs/" + number)
	}
	others := number(w, "blue", "blue-runs")
	unknown := strings.Repeat("9", len(others))
	for _, tenants := range [][]string{{"red"}, {"green", "red"}} {
		scope.Tenants = tenants
		for _, c := range [][3]string{
			{"/requests/", "blue-runs", "grey-runs"}, {"/requests/", "blue-huge", "grey-huge"}, {"/requests/", "blue-waits?kind=request", "grey-waits?kind=request"},
			{"/requests/", others, unknown}, {"/requests/", others + "?kind=job", unknown + "?kind=job"}, {"/requests/", job(others), job(unknown)},
			{"/requests/", "blue-runs?tenant=blue", "grey-runs?tenant=grey"},
		} {
			var answers, work []string
			for _, id := range c[1:] {
				l.asked = ""
				code, text := w.do("GET", c[0]+id, "")
				name, _, _ := strings.Cut(id, "?")
				plain, _ := url.PathUnescape(name)
				text = strings.NewReplacer(plain, "ID", "blue", "TENANT", "grey", "TENANT").Replace(text)
				answers, work = append(answers, fmt.Sprint(code, text)), append(work, l.asked)
			}
			if answers[0] != answers[1] || work[0] != work[1] || strings.HasPrefix(answers[0], "200") {
				t.Errorf("%v: another tenant's %s after %q, an unknown one %s after %q", tenants, answers[0], work[0], answers[1], work[1])
			}
		}
	}
	// A document of a job that cannot be read is another's as far as is known.
	w.ledger.Spoil(ledger.RecordRef(message.KeyOf("blue", message.KindRequest, "blue-runs")), "damaged")
	if e := w.fails("GET", "/requests/"+others, "", http.StatusNotFound); e.Code != NotFound {
		t.Errorf("%+v", e)
	}
}

// TestPagesPassOverOthers: of many requests a page shows the caller's own, however many
// others are between them, and a page that ends among others names none.
func TestPagesPassOverOthers(t *testing.T) {
	w, scope, _ := shared(t)
	var recs []*ledger.Record
	template := w.ledger.Records()[0]
	for _, rec := range w.ledger.Records() {
		if rec.ID == "blue-waits" {
			template = rec
		}
	}
	for i := range 1150 {
		rec := template.Clone()
		rec.ID, rec.Tenant = fmt.Sprintf("m%04d", i), "blue"
		if i == 19 || i == 1119 {
			rec.Tenant = "red"
		}
		rec.Key = message.KeyOf(rec.Tenant, rec.Kind, rec.ID)
		rec.Times.Received = w.now.Add(time.Duration(i) * time.Second)
		rec.Order = ledger.OrderKey(0, rec.Times.Received, rec.Key)
		recs = append(recs, rec)
	}
	for chunk := range slices.Chunk(recs, 100) {
		var res *ledger.Resource
		if err := ledger.Read(t.Context(), w.ledger, ledger.Resources(prName), func(tx ledger.Tx) { res = tx.Resource(prName) }); err != nil {
			t.Fatal(err)
		}
		w.put(res, chunk...)
	}
	for path, want := range map[string]string{"/queue?": "m0019 m1119 red-waits red-runs", "/requests?state=WAITING&": "m0019 m1119 red-waits red-runs", "/recent?state=WAITING&": "m1119 m0019 red-runs red-waits"} {
		limits := []int{1, 50}
		if strings.HasPrefix(path, "/recent") {
			limits = limits[1:] // a sort of all records for each 20
		}
		for _, limit := range limits {
			scope.All, scope.Tenants = false, []string{"red"}
			var got []string
			after, pages := "", 0
			for {
				_, text := w.do("GET", fmt.Sprintf("%slimit=%d&after=%s", path, limit, after), "")
				var page struct {
					Waiting, Requests []struct {
						ID       string
						Position int
					}
					Next string
				}
				if err := json.Unmarshal([]byte(text), &page); err != nil {
					t.Fatal(err)
				}
				for _, r := range append(page.Waiting, page.Requests...) {
					got = append(got, r.ID)
					if want := map[string]int{"m0019": 20, "m1119": 1120}[r.ID]; strings.HasPrefix(path, "/queue") && want != 0 && r.Position != want {
						t.Errorf("%s by %d: %s is at place %d, want %d", path, limit, r.ID, r.Position, want)
					}
				}
				for _, c := range cursors(text) {
					for _, rec := range recs {
						if rec.Tenant == "blue" && strings.Contains(c, string(rec.Key)) {
							t.Fatalf("%s: the cursor %s names a request of another tenant", path, c)
						}
					}
				}
				if after = page.Next; after == "" {
					break
				}
				if pages++; pages > 12 {
					t.Fatalf("%s: no end of pages", path)
				}
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s by %d: %v, want %s", path, limit, got, want)
			}
		}
	}
}
