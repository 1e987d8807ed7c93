package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/sethvargo/go-envconfig"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/identity"
	"example.com/berth/internal/identity/identitytest"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/statuspage"
)

const operatorsSub = "projects/test-project/subscriptions/berth-operators"

// TestWhatIsNotStoredComesAgain: whatever a message is, it is acknowledged only once what
// it leads to is stored.
func TestWhatIsNotStoredComesAgain(t *testing.T) {
	for name, d := range map[string]message.Delivery{
		"a request":                         {Data: oneCPU.Body()},
		"a cancel":                          {Data: []byte(`{"cancel":{"requestId":"a"}}`)},
		"what cannot be read":               {Data: []byte("{")},
		"an operator's message":             {Data: sim.Operation(message.Pause), Subscription: operatorsSub},
		"an operator's that cannot be read": {Data: []byte("{"), Subscription: operatorsSub},
	} {
		for _, body := range [][]byte{nil, []byte(`{"message":{"messageId":"m1","data":"%"},"subscription":"` + d.Subscription + `"}`)} {
			s := deployed(t, "BERTH_OPERATORS_SUBSCRIPTION=berth-operators")
			if d.ID = "m1"; body == nil {
				body = d.Push()
			}
			s.Ledger.Fault = func(string) ledger.Fault { return ledger.FailRead }
			w := post(s.app.admit, body)
			if lines := s.logged("delivery_failed"); w.Code != http.StatusServiceUnavailable || len(lines) != 1 || lines[0]["severity"] != "ERROR" {
				t.Errorf("%s, with the ledger off, is answered %d; the log says %s", name, w.Code, s.log)
			}
			s.Ledger.Fault = nil
			if w = post(s.app.admit, body); w.Code != http.StatusOK {
				t.Errorf("%s comes again and is answered %d %s", name, w.Code, w.Body)
			}
		}
	}
}

// TestDeliveryThatDoesNotDecode: what Pub/Sub itself sent in another form is refused for
// that, as whose message it is, and not for the fields that are missing in it.
func TestDeliveryThatDoesNotDecode(t *testing.T) {
	for subscription, tenant := range map[string]string{"projects/test-project/subscriptions/s": sim.Tenant, operatorsSub: message.Operators} {
		s := deployed(t, "BERTH_OPERATORS_SUBSCRIPTION=berth-operators")
		w := post(s.app.admit, []byte(`{"message":{"messageId":"m1","data":"%"},"subscription":"`+subscription+`"}`))
		events := s.Out.All()
		if w.Code != http.StatusOK || len(events) != 1 || events[0].Type != message.Refused || events[0].Tenant != tenant ||
			events[0].Reason == nil || events[0].Reason.Code != reason.InvalidValue || events[0].Reason.Path != "message.data" {
			t.Errorf("to %s: answered %d, events %+v", subscription, w.Code, events)
		}
	}
}

// TestRecordsOfOperators: the records about an operator's message say whose it is.
func TestRecordsOfOperators(t *testing.T) {
	s := deployed(t, "BERTH_OPERATORS_SUBSCRIPTION=berth-operators")
	s.app.controller = controller.New(s.Config, s.Ledger, s.Vertex, s.Out, s.app.log, controller.RealEnv())
	for i, data := range [][]byte{sim.Operation(message.Pause), []byte("{")} {
		post(s.app.admit, message.Delivery{ID: fmt.Sprint("o", i), Data: data, Subscription: operatorsSub}.Push())
	}
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	if len(lines) < 2 {
		t.Fatalf("the log says %s", s.log)
	}
	for _, line := range lines {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil || v["tenant"] != message.Operators {
			t.Errorf("the log says %s, %v", line, err)
		}
	}
}

// TestLevelOfATick: each kind of work alone makes a tick worth a line of the log.
func TestLevelOfATick(t *testing.T) {
	for _, test := range []struct {
		report controller.Report
		err    error
		want   slog.Level
	}{
		{controller.Report{}, nil, slog.LevelDebug}, {controller.Report{Passes: 9}, nil, slog.LevelDebug},
		{controller.Report{Learned: 1}, nil, slog.LevelInfo}, {controller.Report{Timers: 1}, nil, slog.LevelInfo}, {controller.Report{Started: 1}, nil, slog.LevelInfo},
		{controller.Report{Orphans: 1}, nil, slog.LevelInfo}, {controller.Report{Published: 1}, nil, slog.LevelInfo},
		{controller.Report{Learned: 1, Timers: 1, Started: 1, Orphans: 1, Published: 1}, nil, slog.LevelInfo},
		{controller.Report{}, errors.New("x"), slog.LevelError}, {controller.Report{Learned: 1}, errors.New("x"), slog.LevelError},
	} {
		if got := levelOf(test.report, test.err); got != test.want {
			t.Errorf("%+v, %v: %s, want %s", test.report, test.err, got, test.want)
		}
	}
}

// TestHeldBodies: the bodies that are read all at once hold a largest message in base64 and
// its envelope; a longer one is read alone, and its place is free before the work on it
// begins.
func TestHeldBodies(t *testing.T) {
	if large != 2*message.MaxData || bodyWithin != 20*time.Second {
		t.Errorf("bodies of up to %d bytes are read at once, within %s; a change needs another look at the memory and the slots of an instance", large, bodyWithin)
	}
	if n := len(message.Delivery{ID: strings.Repeat("1", 100), Subscription: operatorsSub, Data: make([]byte, message.MaxData)}.Push()); n >= large {
		t.Errorf("a delivery of a largest message has %d bytes, which is large", n)
	}
	s := deployed(t)
	if n := cap(s.app.large); n != 1 {
		t.Errorf("%d large bodies are read at once, want one", n)
	}
	var worked atomic.Int64
	s.Ledger.Fault = func(string) ledger.Fault {
		if worked.Add(1); len(s.app.large) != 0 {
			t.Error("a request is worked on while its body keeps the place of a large one")
		}
		return ledger.None
	}
	body := append(message.Delivery{ID: "m1", Data: oneCPU.Body()}.Push(), bytes.Repeat([]byte(" "), large)...)
	if w := post(s.app.admit, body); w.Code != http.StatusOK || worked.Load() == 0 {
		t.Errorf("a large body is answered %d %s after %d calls of the ledger", w.Code, w.Body, worked.Load())
	}
}

// TestNoBodyNoDeadline: a question without a body gets no deadline, which would end its
// context while it is answered.
func TestNoBodyNoDeadline(t *testing.T) {
	s := deployed(t)
	w := &timedWriter{ResponseRecorder: httptest.NewRecorder()}
	if s.app.answer(w, httptest.NewRequest(http.MethodGet, "/", nil)); w.Code != http.StatusOK || len(w.deadlines) != 0 {
		t.Errorf("a question is answered %d with the deadlines %v", w.Code, w.deadlines)
	}
}

// TestRecordsOfAQuestion: what is logged while Status answers carries the trace of the
// request, as at the other entry points.
func TestRecordsOfAQuestion(t *testing.T) {
	s := deployed(t)
	s.app.status = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.app.log.InfoContext(r.Context(), "asked", "event", "probe")
	})
	for name, want := range map[string]any{"traceparent": "projects/test-project/traces/" + requestTrace, "X-Other": nil} {
		s.log.Reset()
		postWith(s.app.answer, []byte("{}"), name+": 00-"+requestTrace+"-b7ad6b7169203331-01")
		if lines := s.logged("probe"); len(lines) != 1 || lines[0]["logging.googleapis.com/trace"] != want {
			t.Errorf("with the header %s the log says %s, want the trace %v", name, s.log, want)
		}
	}
}

// A broken body fails after its first bytes.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("broken off") }

// TestRefusalsAreComplete: what an entry point answers by itself has a code, a sentence
// that says what is wrong and, where the caller can mend it, how.
func TestRefusalsAreComplete(t *testing.T) {
	g := identitytest.New(t)
	push := []string{"BERTH_RUN_IAM=true", "BERTH_PUSH_ACCOUNT=" + pusher}
	signed := []string{"BERTH_PUSH_AUDIENCES=https://admit.example", "BERTH_PUSH_ACCOUNT=" + pusher}
	token := "Authorization: Bearer " + g.Sign(t, "RS256", identitytest.IDToken("https://admit.example", pusher))
	type answer struct {
		status int
		code   reason.Code
		detail string // a part of it
		fix    string // a part of it, "" for none
	}
	for name, c := range map[string]struct {
		pairs  []string
		ask    func(*site) *httptest.ResponseRecorder
		answer answer
	}{
		"another method": {nil, func(s *site) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			s.app.admit(w, httptest.NewRequest(http.MethodGet, "/", nil))
			return w
		}, answer{405, reason.Malformed, "accepts Pub/Sub deliveries", "POST one"}},
		"too large": {nil, func(s *site) *httptest.ResponseRecorder {
			return post(s.app.admit, bytes.Repeat([]byte(" "), message.MaxBody+1))
		}, answer{413, reason.TooLarge, "larger than any that Pub/Sub sends", ""}},
		"incomplete": {nil, func(s *site) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			s.app.admit(w, httptest.NewRequest(http.MethodPost, "/", broken{}))
			return w
		}, answer{503, reason.Malformed, "The body is incomplete.", ""}},
		"a caller without a token": {push, func(s *site) *httptest.ResponseRecorder { return post(s.app.admit, bad("m")) },
			answer{403, statuspage.Forbidden, "with the token of its push account", "compare BERTH_PUSH_ACCOUNT with the account of the push subscription"}},
		"a token that cannot be verified now": {signed, func(s *site) *httptest.ResponseRecorder { return postWith(s.app.admit, bad("m"), token) },
			answer{503, statuspage.Unavailable, "", "?"}},
		"the ledger is off": {nil, func(s *site) *httptest.ResponseRecorder {
			s.Ledger.Fault = func(string) ledger.Fault { return ledger.FailRead }
			return post(s.app.admit, bad("m"))
		}, answer{503, statuspage.Unavailable, "Nothing was stored; deliver again.", ""}},
		"a panic": {nil, func(s *site) *httptest.ResponseRecorder {
			s.app.now = func() time.Time { panic("a bug") }
			return post(s.app.reconcile, message.Delivery{ID: "t"}.Push())
		}, answer{503, statuspage.Unavailable, "An error of Berth; its log has the details.", ""}},
		"a question without a token": {[]string{"BERTH_STATUS_OPERATORS=op@example.com", "BERTH_STATUS_AUDIENCES=" + statusURL}, func(s *site) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			s.app.answer(w, httptest.NewRequest(http.MethodGet, "/queue", nil))
			return w
		}, answer{401, statuspage.Unauthenticated, "The request carries no identity token.", "gcloud auth print-identity-token"}},
		"a question that cannot be verified now": {[]string{"BERTH_STATUS_OPERATORS=op@example.com", "BERTH_STATUS_AUDIENCES=https://admit.example"}, func(s *site) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodGet, "/queue", nil)
			r.Header.Set("Authorization", strings.TrimPrefix(token, "Authorization: "))
			w := httptest.NewRecorder()
			s.app.answer(w, r)
			return w
		}, answer{503, statuspage.Unavailable, "", "?"}},
		"a question of a caller without a tenant": {[]string{"BERTH_STATUS_OPERATORS=op@example.com", "BERTH_STATUS_AUDIENCES=" + statusURL}, func(s *site) *httptest.ResponseRecorder {
			r := httptest.NewRequest(http.MethodGet, "/queue", nil)
			r.Header.Set("Authorization", "Bearer "+g.Sign(t, "RS256", identitytest.IDToken(statusURL, "who@example.com")))
			g.Down = false
			w := httptest.NewRecorder()
			s.app.answer(w, r)
			g.Down = true
			return w
		}, answer{403, statuspage.Forbidden, "", "BERTH_STATUS_CALLERS with a tenant"}},
		"a question where several tenants are": {[]string{"BERTH_TENANTS=r:red"}, func(s *site) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			s.app.answer(w, httptest.NewRequest(http.MethodGet, "/queue", nil))
			return w
		}, answer{403, statuspage.Forbidden, "", "say in BERTH_STATUS_OPERATORS and BERTH_STATUS_CALLERS who may see which"}},
	} {
		g.Down = true
		s := known(t, g, c.pairs...)
		w := c.ask(s)
		var got struct{ Error reason.Problem }
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v in %s", name, err, w.Body)
			continue
		}
		p, want := got.Error, c.answer
		if w.Code != want.status || p.Code != want.code || p.Detail == "" || !strings.Contains(p.Detail, want.detail) || (p.Fix == "") != (want.fix == "") || want.fix != "?" && !strings.Contains(p.Fix, want.fix) {
			t.Errorf("%s is answered %d %+v, want %+v", name, w.Code, p, want)
		}
	}
	// A body that waits too long behind another one.
	d := newDen(t)
	synctest.Test(t, func(t *testing.T) {
		d.app.large = make(chan struct{}, cap(d.app.large)) // the bubble must own the channel
		d.app.large <- struct{}{}
		w := send(d.app, "Admit", &feed{left: 2 * large})
		if text := strings.TrimSpace(w.Body.String()); w.Code != http.StatusServiceUnavailable || text != `{"error":{"code":"TOO_LARGE","detail":"Too many large bodies at once."}}` {
			t.Errorf("a body that waits too long is answered %d %s", w.Code, text)
		}
	})
}

// TestAbortIsNoPanicOfBerth: a handler that aborts its answer on purpose is let through to
// net/http, which says nothing of it.
func TestAbortIsNoPanicOfBerth(t *testing.T) {
	s := deployed(t)
	s.app.status = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	defer func() {
		if found := recover(); found != http.ErrAbortHandler || s.log.Len() != 0 {
			t.Errorf("it ends with %v; the log says %s", found, s.log)
		}
	}()
	s.get("/")
	t.Error("it is answered")
}

// claims is a verifier that says what it is told to.
type claims struct {
	address string
	err     error
}

func (c claims) Caller(*http.Request) (string, error) { return c.address, c.err }

// TestErrorProvesNothing: an error of any kind beside an address shows nothing, and lets no
// delivery in.
func TestErrorProvesNothing(t *testing.T) {
	for _, err := range []error{errors.New("another"), &identity.Error{Detail: "bad", Fix: "fix"}, &identity.Error{Transient: true, Detail: "later", Fix: "fix"}} {
		s := deployed(t, "BERTH_STATUS_OPERATORS=op@example.com", "BERTH_RUN_IAM=true", "BERTH_PUSH_ACCOUNT="+pusher)
		s.app.callers, s.app.pushers = claims{"op@example.com", err}, claims{pusher, err}
		if code, text := s.get("/requests/x?tenant=red"); code == http.StatusOK || code == http.StatusNotFound {
			t.Errorf("%v: an operator's question is answered %d %s", err, code, text)
		}
		if w := post(s.app.admit, bad("m")); w.Code != http.StatusForbidden && w.Code != http.StatusServiceUnavailable || len(s.Out.All()) != 0 {
			t.Errorf("%v: a delivery is answered %d %s", err, w.Code, w.Body)
		}
	}
}

// TestDeployedAppVerifies: what the settings say of callers is what a deployed App asks
// for, at Status and at the other entry points.
func TestDeployedAppVerifies(t *testing.T) {
	s := deployed(t, "BERTH_STATUS_OPERATORS=op@example.com", "BERTH_RUN_IAM=true", "BERTH_PUSH_ACCOUNT="+pusher)
	g := identitytest.New(t)
	token := func(email string) string {
		return "Bearer " + identitytest.Removed(g.Sign(t, "RS256", identitytest.IDToken(statusURL, email)))
	}
	for email, want := range map[string]int{"op@example.com": 404, "who@example.com": 403} {
		if code, text := s.as("Authorization", token(email), http.MethodGet, "/requests/x?tenant=red", ""); code != want {
			t.Errorf("Status answers %s with %d %s, want %d", email, code, text, want)
		}
	}
	for email, want := range map[string]int{strings.ToUpper(pusher): 200, "op@example.com": 403} {
		if w := postWith(s.app.admit, bad("m"), "Authorization: "+token(email)); w.Code != want {
			t.Errorf("Admit answers %s with %d %s, want %d", email, w.Code, w.Body, want)
		}
	}
	s = deployed(t, "BERTH_PUSH_ACCOUNT="+strings.ToUpper(pusher), "BERTH_RUN_IAM=true")
	if w := postWith(s.app.admit, bad("m"), "Authorization: "+token(pusher)); w.Code != http.StatusOK {
		t.Errorf("an account that the setting has in capitals is answered %d %s", w.Code, w.Body)
	}
}

// TestScopeOfAnAddress: an address sees what each of the settings gives to it, however they
// write it, and its tenants in order.
func TestScopeOfAnAddress(t *testing.T) {
	c := settings(t, "BERTH_STATUS_OPERATORS=x@example.com,Op@Example.com", "BERTH_STATUS_CALLERS=Red@example.com:red+blue+amber,one@example.com:one", "BERTH_RUN_IAM=true")
	const fix = "Ask for your address to be added to BERTH_STATUS_CALLERS with a tenant, or to BERTH_STATUS_OPERATORS."
	for address, want := range map[string]statuspage.Scope{
		"op@example.com": {All: true, Fix: fix}, "x@example.com": {All: true, Fix: fix}, "red@example.com": {Tenants: []string{"amber", "blue", "red"}, Fix: fix},
		"one@example.com": {Tenants: []string{"one"}, Fix: fix}, "who@example.com": {Fix: fix}, "": {Fix: fix},
	} {
		for range 5 { // the order of a map changes
			if diff := cmp.Diff(want, c.scope(address), cmpopts.IgnoreUnexported(want)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", address, diff)
			}
		}
	}
}

// TestEveryEntryOfAListIsChecked: the last of several is refused as the first would be, and
// by a text that quotes it.
func TestEveryEntryOfAListIsChecked(t *testing.T) {
	for _, test := range []struct{ name, value, quoted string }{
		{"BERTH_REGIONS", "us-central1,europe-west4,XX", `BERTH_REGIONS: "XX" is not a region`},
		{"BERTH_REGIONS", "us-central1,europe-west4,us-central1", `BERTH_REGIONS names "us-central1" twice`},
		{"BERTH_STATUS_OPERATORS", "a@x.com,b@x.com,who", `BERTH_STATUS_OPERATORS: "who" is not an e-mail address`},
		{"BERTH_STATUS_OPERATORS", "a@x.com,b@x.com,B@x.com", `name "b@x.com" and "B@x.com", which is one address`},
		{"BERTH_STATUS_CALLERS", "a@x.com:t,b@x.com:t,z:t", `BERTH_STATUS_CALLERS: "z" is not an e-mail address`},
		{"BERTH_STATUS_CALLERS", "a@x.com:t,b@x.com:t+u+V", `BERTH_STATUS_CALLERS: tenant "V" of "b@x.com"`},
		{"BERTH_STATUS_CALLERS", "a@x.com:t,b@x.com:" + strings.Repeat("t+", 20) + "t", `"b@x.com" has 21 tenants; want at most 20`},
		{"BERTH_STATUS_IAP", "/projects/1,/projects/2,x", `BERTH_STATUS_IAP: "x" does not begin with /projects/`},
		{"BERTH_STATUS_IAP", "/projects/1,/projects/2,", "BERTH_STATUS_IAP has an empty audience"},
		{"BERTH_STATUS_AUDIENCES", "https://x,https://y,", "BERTH_STATUS_AUDIENCES has an empty audience"},
		{"BERTH_PUSH_AUDIENCES", "https://x,https://y,", "BERTH_PUSH_AUDIENCES has an empty audience"},
		{"BERTH_TENANTS", "s:t,r:u,q:V", `BERTH_TENANTS: tenant "V" of "q"`},
		{"BERTH_TENANTS", "s:t,r:u,q:" + message.Operators, `no tenant can be named "` + message.Operators + `", as that of "q" is`},
		{"BERTH_TENANTS", "s:t,r:u,op:v", `"op" is the subscription of operators`},
		{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "x", `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT "x"`},
	} {
		for range 8 { // the order of a map changes
			err := CheckSettings(t.Context(), map[string]string{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1", "BERTH_RUN_IAM": "true",
				"BERTH_PUSH_ACCOUNT": "p@x.com", "BERTH_OPERATORS_SUBSCRIPTION": "op", test.name: test.value})
			if !strings.Contains(fmt.Sprint(err), test.quoted) {
				t.Fatalf("%s=%s: %v, want %s", test.name, test.value, err, test.quoted)
			}
		}
	}
	// Names that are no settings come in order, with all that are.
	err := CheckSettings(t.Context(), map[string]string{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1", "C": "1", "A": "1", "D": "1", "B": "1", "E": "1", "F": "1"})
	var unknown []string
	for line := range strings.Lines(fmt.Sprint(err)) {
		name, rest, _ := strings.Cut(line, " is not a setting; the settings are ")
		unknown = append(unknown, name)
		if all := strings.Split(strings.TrimSpace(rest), ", "); !slices.Equal(all, Settings()) || !slices.IsSorted(all) || len(all) < 50 {
			t.Errorf("the settings are said to be %v", all)
		}
	}
	if got := strings.Join(unknown, ""); got != "ABCDEF" {
		t.Errorf("the unknown names come as %s: %v", got, err)
	}
	if _, err := LoadConfig(t.Context(), envconfig.MapLookuper(map[string]string{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": ""})); err == nil || !strings.Contains(err.Error(), "BERTH_REGIONS") {
		t.Errorf("without a region: %v", err)
	}
}

// TestRecordIsSharedWithOtherHandlers: what is added for Error Reporting is added to a copy;
// another handler of the same record gets it as it was. Groups and attributes of a logger
// stay.
func TestRecordIsSharedWithOtherHandlers(t *testing.T) {
	var b bytes.Buffer
	log := newLogger(&b, slog.LevelInfo)
	record := slog.NewRecord(time.Unix(1, 0), slog.LevelError, "bad", 0)
	handler := reports{slog.NewJSONHandler(&b, nil)}
	for n := range 20 { // some of them beside the record itself, with room for more
		record.AddAttrs(slog.Int(fmt.Sprint("n", n), n))
		b.Reset()
		for range 2 {
			if err := handler.Handle(context.Background(), record); err != nil {
				t.Fatal(err)
			}
		}
		if lines := strings.Split(b.String(), "\n"); len(lines) != 3 || lines[0] != lines[1] || strings.Contains(lines[1], "BUG") || strings.Count(lines[1], errorEvent) != 1 || record.NumAttrs() != n+1 {
			t.Errorf("a record of %d attributes that is handled twice is written as\n%s", n+1, &b)
		}
	}
	b.Reset()
	log.With("resource", "r").WithGroup("job").Warn("x", "name", "n")
	if text := b.String(); !strings.Contains(text, `"resource":"r"`) || !strings.Contains(text, `"job":{"name":"n"}`) || !strings.Contains(text, `"severity":"WARNING"`) {
		t.Errorf("a group is written as %s", text)
	}
	failing := reports{slog.NewJSONHandler(full{}, nil)}
	if err := failing.Handle(context.Background(), record); err == nil {
		t.Error("the error of the output is lost")
	}
}

// full is an output that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

// TestStatusKnowsHowLongItKeeps: an id is kept for as long as the controller keeps it.
func TestStatusKnowsHowLongItKeeps(t *testing.T) {
	s := deployed(t)
	if _, text := s.get("/"); !strings.Contains(text, fmt.Sprintf(`"keep":"%ds"`, int(s.Config.Keep.Seconds()))) || s.Config.Keep == 0 {
		t.Errorf("Status keeps ids as %s, and the controller for %s", text, s.Config.Keep)
	}
}
