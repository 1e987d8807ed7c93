package app

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sethvargo/go-envconfig"

	"example.com/berth/internal/identity"
	"example.com/berth/internal/identity/identitytest"
	"example.com/berth/internal/message"
	"example.com/berth/internal/sim"
)

const (
	statusURL = "https://status.example"
	statusIAP = "/projects/1/locations/us-central1/services/status"
	pusher    = "berth-push@test-project.iam.gserviceaccount.com"
)

// known is a site whose callers prove themselves with the keys of this Google.
func known(t *testing.T, g *identitytest.Google, pairs ...string) *site {
	t.Helper()
	s := deployed(t, pairs...)
	s.app.callers, s.app.pushers = identity.New(s.app.cfg.callers(), g.Client()), identity.New(s.app.cfg.pushers(), g.Client())
	return s
}

// as asks Status with a header.
func (s *site) as(header, token, method, path, body string) (int, string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if token != "" {
		r.Header.Set(header, token)
	}
	w := httptest.NewRecorder()
	s.app.answer(w, r)
	return w.Code, w.Body.String()
}

// code asks for one tenant's requests, by an ID token for an address.
func (s *site) code(t *testing.T, g *identitytest.Google, email, path string) int {
	t.Helper()
	token := ""
	if email != "" {
		token = "Bearer " + g.Sign(t, "RS256", identitytest.IDToken(statusURL, email))
	}
	code, text := s.as("Authorization", token, http.MethodGet, path, "")
	if email != "" && strings.Contains(text, email) {
		t.Errorf("the answer names the caller: %s", text)
	}
	return code
}

// TestStatusDecidesByCaller: which routes and tenants are open to whom. 404 says that the
// request is looked for.
func TestStatusDecidesByCaller(t *testing.T) {
	g := identitytest.New(t)
	s := known(t, g, "BERTH_STATUS_OPERATORS=Op@example.com", "BERTH_STATUS_CALLERS=red@example.com:red,both@example.com:red+blue", "BERTH_STATUS_AUDIENCES="+statusURL, "BERTH_TENANTS=r:red,b:blue")
	for _, c := range []struct {
		path string
		want map[string]int // by caller; "" is one without a token
	}{
		{"/", map[string]int{"": 200, "stranger@example.com": 200, "red@example.com": 200, "op@example.com": 200}},
		{"/health", map[string]int{"": 200, "stranger@example.com": 200, "red@example.com": 200}},
		{"/pools", map[string]int{"": 401, "stranger@example.com": 200, "red@example.com": 200, "op@example.com": 200}},
		{"/usage", map[string]int{"": 401, "stranger@example.com": 200, "red@example.com": 200}},
		{"/queue", map[string]int{"": 401, "stranger@example.com": 403, "red@example.com": 200, "op@example.com": 200}},
		{"/requests", map[string]int{"": 401, "stranger@example.com": 403, "red@example.com": 200}},
		{"/recent", map[string]int{"": 401, "stranger@example.com": 403, "red@example.com": 200}},
		{"/recent?tenant=blue", map[string]int{"": 401, "stranger@example.com": 403, "red@example.com": 403, "both@example.com": 200, "OP@example.com": 200}},
		{"/requests/x", map[string]int{"": 401, "stranger@example.com": 403, "red@example.com": 404, "both@example.com": 404, "op@example.com": 404}},
		{"/requests/x?tenant=red", map[string]int{"": 401, "red@example.com": 404, "RED@example.com": 404, "op@example.com": 404, "ops@example.com": 403}},
		{"/requests/x?tenant=blue", map[string]int{"red@example.com": 403, "both@example.com": 404, "red@example.com.evil.example": 403}},
		{"/requests/x?tenant=default", map[string]int{"red@example.com": 403, "op@example.com": 404}},
		{"/requests/x?tenant=", map[string]int{"red@example.com": 404}},
		{"/requests/12345?kind=job", map[string]int{"red@example.com": 404, "stranger@example.com": 403}},
	} {
		for email, want := range c.want {
			if got := s.code(t, g, email, c.path); got != want {
				t.Errorf("%s by %q: %d, want %d", c.path, email, got, want)
			}
		}
	}
	// /explain runs as one of the caller's tenants.
	body := `{"data":"e30="}`
	for email, want := range map[string]int{"red@example.com": 200, "both@example.com": 400, "stranger@example.com": 403, "op@example.com": 200} {
		token := "Bearer " + g.Sign(t, "RS256", identitytest.IDToken(statusURL, email))
		code, text := s.as("Authorization", token, http.MethodPost, "/explain", body)
		if code != want || email == "red@example.com" && !strings.Contains(text, `"tenant":"red"`) {
			t.Errorf("/explain by %s: %d %s, want %d", email, code, text, want)
		}
		if code, text = s.as("Authorization", token, http.MethodPost, "/explain?tenant=blue", body); email == "both@example.com" && !strings.Contains(text, `"tenant":"blue"`) || email == "red@example.com" && code != 403 {
			t.Errorf("/explain as blue by %s: %d %s", email, code, text)
		}
	}
	// Without keys nothing can be verified, which another attempt may mend.
	g.Down = true
	s.app.callers = identity.New(s.app.cfg.callers(), g.Client())
	if got := s.code(t, g, "op@example.com", "/queue"); got != http.StatusServiceUnavailable {
		t.Errorf("without keys: %d, want 503", got)
	}
}

// TestStatusWithoutIdentities: what callers see where no setting names any.
func TestStatusWithoutIdentities(t *testing.T) {
	for _, c := range []struct {
		pairs            []string
		own, other, sums int
	}{
		{nil, 404, 403, 200},
		{[]string{"BERTH_TENANTS=r:red"}, 403, 403, 200}, // default is a tenant like others
		{[]string{"BERTH_TENANTS=r:red", "BERTH_STATUS_ALL_TENANTS=true"}, 404, 404, 200},
	} {
		s := deployed(t, c.pairs...)
		for path, want := range map[string]int{"/requests/x": c.own, "/requests/x?tenant=red": c.other, "/pools": c.sums} {
			if code, text := s.get(path); code != want {
				t.Errorf("%v %s: %d %s, want %d", c.pairs, path, code, text, want)
			}
		}
	}
}

// TestForgedSubscription: a caller that IAM lets in, and that is not Pub/Sub, cannot name
// a subscription and so a tenant.
func TestForgedSubscription(t *testing.T) {
	g := identitytest.New(t)
	body := message.Delivery{ID: "1", Subscription: "projects/test-project/subscriptions/red-sub", Data: sim.Job{ID: "forged", CPU: 1}.Body()}.Push()
	push := func(s *site, entry http.HandlerFunc, header http.Header) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
		r.Header = header
		w := httptest.NewRecorder()
		entry(w, r)
		return w
	}
	token := func(email string) string {
		return "Bearer " + g.Sign(t, "RS256", identitytest.IDToken("https://admit.example", email))
	}
	removed := func(email string) string { return identitytest.Removed(token(email)) }
	for _, c := range []struct {
		name   string
		pairs  []string
		header http.Header
		want   int
	}{
		{"no setting", nil, http.Header{}, 200},
		{"the push account", []string{"BERTH_RUN_IAM=true"}, http.Header{"Authorization": {removed(pusher)}}, 200},
		{"a developer with run.invoker", []string{"BERTH_RUN_IAM=true"}, http.Header{"Authorization": {removed("dev@example.com")}}, 403},
		{"nobody", []string{"BERTH_RUN_IAM=true"}, http.Header{}, 403},
		{"a forged text beside the checked token", []string{"BERTH_RUN_IAM=true"}, http.Header{"X-Serverless-Authorization": {removed("dev@example.com")}, "Authorization": {removed(pusher)}}, 403},
		{"another audience", []string{"BERTH_RUN_IAM=true", "BERTH_PUSH_AUDIENCES=https://x"}, http.Header{"Authorization": {removed(pusher)}}, 403},
		{"signed", []string{"BERTH_PUSH_AUDIENCES=https://admit.example"}, http.Header{"Authorization": {token(pusher)}}, 200},
		{"without its signature", []string{"BERTH_PUSH_AUDIENCES=https://admit.example"}, http.Header{"Authorization": {removed(pusher)}}, 403},
		{"signed for another service", []string{"BERTH_PUSH_AUDIENCES=https://x"}, http.Header{"Authorization": {token(pusher)}}, 403},
	} {
		pairs := append([]string{"BERTH_TENANTS=red-sub:red"}, c.pairs...)
		if c.pairs != nil {
			pairs = append(pairs, "BERTH_PUSH_ACCOUNT="+pusher)
		}
		s := known(t, g, pairs...)
		if w := push(s, s.app.admit, c.header); w.Code != c.want {
			t.Errorf("%s: Admit answers %d %s, want %d", c.name, w.Code, w.Body, c.want)
		}
		if _, stored := s.Tenants()["red"]; stored != (c.want == 200) {
			t.Errorf("%s: stored %v", c.name, stored)
		}
		if w := push(s, s.app.reconcile, c.header); w.Code != c.want {
			t.Errorf("%s: Reconcile answers %d %s, want %d", c.name, w.Code, w.Body, c.want)
		}
		if strings.Contains(s.log.String(), "dev@") {
			t.Errorf("%s: the log names the caller", c.name)
		}
	}
}

// Tenants counts the requests of each tenant.
func (s *site) Tenants() map[string]int {
	n := map[string]int{}
	for _, rec := range s.Ledger.Records() {
		n[rec.Tenant]++
	}
	return n
}

// TestCallersTogether: settings of callers that contradict each other, or that verify
// nothing, are refused.
func TestCallersTogether(t *testing.T) {
	for pairs, want := range map[string]string{
		"BERTH_STATUS_OPERATORS=a@x.com": "no identity can be verified",
		"BERTH_STATUS_CALLERS=a@x.com:t": "no identity can be verified",
		"BERTH_STATUS_OPERATORS=a@x.com BERTH_RUN_IAM=true BERTH_STATUS_ALL_TENANTS=true":  "have no effect",
		"BERTH_STATUS_OPERATORS=a@x.com BERTH_STATUS_CALLERS=A@x.com:t BERTH_RUN_IAM=true": "one address",
		"BERTH_PUSH_ACCOUNT=a@x.com":                                                        "no push token can be verified",
		"BERTH_PUSH_AUDIENCES=https://x":                                                    "without BERTH_PUSH_ACCOUNT",
		"BERTH_STATUS_OPERATORS=a@x.com BERTH_STATUS_AUDIENCES=https://x,":                  "empty audience",
		"BERTH_STATUS_CALLERS=a@x.com:" + strings.Repeat("t+", 20) + "t BERTH_RUN_IAM=true": "at most 20",

		"BERTH_STATUS_CALLERS=a@x.com:" + strings.Repeat("t+", 19) + "t BERTH_RUN_IAM=true": "",
		"BERTH_STATUS_OPERATORS=a@x.com BERTH_STATUS_AUDIENCES=https://x":                   "",
		"BERTH_STATUS_OPERATORS=a@x.com BERTH_STATUS_IAP=" + statusIAP:                      "",
		"BERTH_PUSH_ACCOUNT=a@x.com BERTH_RUN_IAM=true":                                     "",
		"BERTH_PUSH_ACCOUNT=a@x.com BERTH_PUSH_AUDIENCES=https://x":                         "",
	} {
		env := map[string]string{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1"}
		for pair := range strings.FieldsSeq(pairs) {
			name, value, _ := strings.Cut(pair, "=")
			env[name] = value
		}
		if _, err := LoadConfig(t.Context(), envconfig.MapLookuper(env)); (err == nil) != (want == "") || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %q", pairs, err, want)
		}
	}
}
