package html_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/statuspage"
	status "example.com/berth/internal/statuspage/html"
	"example.com/berth/internal/statuspage/statuspagetest"
)

// as is the Status function of the busy world for a caller.
func as(w *statuspagetest.World, s statuspage.Scope, err error) http.Handler {
	mine := *w
	mine.Info.Access = func(*http.Request) (statuspage.Scope, error) { return s, err }
	return status.New(mine.Handler())
}

// A page shows a caller what JSON shows to the same caller: its own requests, and of other
// tenants sums.
func TestTenantsSeeTheirOwn(t *testing.T) {
	t.Parallel()
	w := busy(t)
	h := as(w, statuspage.Scope{Tenants: []string{statuspagetest.Research}, Fix: "Ask for more."}, nil)
	var secrets, own []string
	for _, rec := range w.Ledger.Records() {
		switch rec.Tenant {
		case statuspagetest.Research:
			own = append(own, rec.ID)
		default:
			secrets = append(secrets, rec.ID, string(rec.Key))
			if rec.Reservation.Job != "" {
				secrets = append(secrets, "/"+ledger.JobNumber(rec.Reservation.Job))
			}
		}
	}
	for _, j := range w.Vertex.Jobs() {
		if j.Run == "" {
			secrets = append(secrets, j.Name, "training/"+ledger.JobNumber(j.Name))
		}
	}
	if len(own) != 3 || len(secrets) < 50 {
		t.Fatalf("%d requests of its own, %d secrets", len(own), len(secrets))
	}
	for _, path := range routes {
		page := ask(h, "GET", path, browser)
		asked := path[strings.LastIndexByte(path, '/')+1:] // by the caller
		for _, s := range secrets {
			if strings.Contains(page.Body.String(), s) && !strings.HasPrefix(asked, s) {
				t.Errorf("%s: %d shows %q of another tenant", path, page.Code, s)
			}
		}
	}
	for path, want := range map[string][]string{"/": own, "/queue": own, "/recent": own, "/requests": own, "/requests/" + own[0]: own[:1]} {
		words := text(t, ask(h, "GET", path, browser).Body.String())
		says(t, path, words, want...)
	}
	says(t, "/pools", text(t, ask(h, "GET", "/pools", browser).Body.String()), "2 foreign jobs") // a sum
	if page := ask(h, "GET", "/queue?tenant=default", browser); page.Code != http.StatusForbidden {
		t.Errorf("the queue of another tenant: %d", page.Code)
	}
}

// Who may see no requests gets sums, and is told why there is no more. Who has no identity
// is told how to get one.
func TestCallersWithoutRequests(t *testing.T) {
	t.Parallel()
	w := busy(t)
	nobody := as(w, statuspage.Scope{Fix: "Ask the operators."}, nil)
	for path, want := range map[string]int{"/": 200, "/pools": 200, "/usage": 200, "/queue": 403, "/recent": 403, "/requests/x": 403} {
		page := ask(nobody, "GET", path, browser)
		if page.Code != want || ask(nobody, "GET", path, "").Code != want {
			t.Errorf("%s: %d, want %d", path, page.Code, want)
		}
		if path == "/" || want == 403 {
			says(t, path, text(t, page.Body.String()), "No requests are shown to you", "Ask the operators.")
		}
	}
	anonymous := as(w, statuspage.Scope{Anonymous: true, Fix: "Sign in."}, nil)
	for path, want := range map[string]int{"/": 200, "/health": 200, "/pools": 401, "/usage": 401, "/queue": 401} {
		page := ask(anonymous, "GET", path, browser)
		if page.Code != want {
			t.Errorf("%s: %d, want %d", path, page.Code, want)
		}
		if path != "/health" {
			says(t, path, text(t, page.Body.String()), "shows requests by the identity of the caller", "Sign in.")
		}
	}
}

// The page asks with the headers of the caller, because these decide what it shows.
func TestAsksAsTheCaller(t *testing.T) {
	t.Parallel()
	w := *busy(t)
	w.Info.Access = func(r *http.Request) (statuspage.Scope, error) {
		if r.Header.Get("X-Goog-Iap-Jwt-Assertion") != "signed" || r.Method != "GET" && r.Method != "HEAD" {
			return statuspage.Scope{Anonymous: true}, nil
		}
		return statuspage.Scope{All: true}, nil
	}
	h := status.New(w.Handler())
	for _, path := range []string{"/", "/queue", "/requests/" + statuspagetest.WaitingID} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Accept", browser)
		r.Header.Set("X-Goog-Iap-Jwt-Assertion", "signed")
		rr := serve(h, r)
		words := text(t, rr.Body.String())
		if rr.Code != http.StatusOK || strings.Contains(words, statuspage.Unauthenticated) || !strings.Contains(words, statuspagetest.WaitingID) {
			t.Errorf("%s: %d %.200s", path, rr.Code, words)
		}
	}
	if page := ask(h, "GET", "/queue", browser); page.Code != http.StatusUnauthorized {
		t.Errorf("without the header: %d", page.Code)
	}
}
