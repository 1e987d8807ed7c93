package statuspage

import (
	"net/http"
	"slices"
	"testing"
)

// TestTenants: the caller is unknown, so requests of another tenant are shown
// only if the deployment shows all: not by id, not in a list, not by what
// /explain says of an id in use. They still count in positions.
func TestTenants(t *testing.T) {
	w := newWorld(t)
	w.sendAs("other", job("first", cpu, 4, 0))
	w.sendAs("other", job("secret", cpu, 1, 5))
	w.send(job("mine", cpu, 2, 0))
	w.sendAs("other", job("huge", cpu, 9, 0))
	body := `{"data":"` + "e30=" + `"}`

	for method, path := range map[string]string{"GET": "/requests/secret?tenant=other", "POST": "/explain?tenant=other"} {
		if e := w.fails(method, path, body, http.StatusForbidden); e.Code != Forbidden || e.Fix == "" {
			t.Errorf("%s %s: %+v", method, path, e)
		}
	}
	if e := w.fails("GET", "/requests/no-such-id?tenant=other", "", http.StatusForbidden); e.Code != Forbidden {
		t.Errorf("an id that is not there tells itself by its answer: %+v", e)
	}
	_ = w.fails("GET", "/requests/secret", "", http.StatusNotFound)
	if q := get[Request](w, "/requests/mine?tenant=default"); q.ID != "mine" {
		t.Errorf("the default tenant by name: %+v", q)
	}

	ids := func() (all []string) {
		for _, query := range []string{"", "?state=REJECTED"} {
			for after, glue := "", "?"; ; {
				if query != "" {
					glue = "&"
				}
				list := get[Requests](w, "/requests"+query+glue+"limit=1&after="+after)
				for _, r := range list.Requests {
					all = append(all, r.ID)
				}
				if after = list.Next; after == "" {
					break
				}
			}
		}
		return all
	}
	waiters := func() (all []Waiter) {
		for after := ""; ; {
			q := get[Queue](w, "/queue?limit=1&after="+after)
			all = append(all, q.Waiting...)
			if after = q.Next; after == "" {
				return all
			}
		}
	}
	if got := ids(); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("the lists show %q, want the own one alone", got)
	}
	if got := w.listed("limit=1"); got != "mine:WAITING" {
		t.Errorf("the recent ones are %q, want the own one alone", got)
	}
	_ = w.fails("GET", "/recent?tenant=other", "", http.StatusForbidden)
	if q := waiters(); len(q) != 1 || q[0].ID != "mine" || q[0].Position != 2 || *q[0].Ahead != 1 {
		t.Errorf("the queue shows %+v, want the own one at place 2", q)
	}

	w.info.AllTenants = true
	w.handler = New(w.c, w.ledger, w.info)
	if q := get[Request](w, "/requests/secret?tenant=other"); q.ID != "secret" || q.Tenant != "other" {
		t.Errorf("where all are shown: %+v", q)
	}
	if got := ids(); !slices.Equal(got, []string{"secret", "mine", "first", "huge"}) {
		t.Errorf("where all are shown the lists show %q", got)
	}
	if got := w.listed("tenant=other"); got != "huge:REJECTED secret:WAITING first:SUBMITTED" {
		t.Errorf("where all are shown the recent ones of one tenant are %q", got)
	}
	if q := waiters(); len(q) != 2 {
		t.Errorf("where all are shown the queue shows %+v", q)
	}
	if code, text := w.do("POST", "/explain?tenant=other", body); code != http.StatusOK {
		t.Errorf("where all are shown, explain: %d %s", code, text)
	}
}
