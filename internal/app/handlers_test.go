package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/vertex"
)

// logged returns the lines of the log with an event, decoded.
func (s *site) logged(event string) (lines []map[string]any) {
	s.Helper()
	for line := range strings.Lines(s.log.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			s.Errorf("the log has a line that is no JSON: %s", line)
		}
		if v["event"] == event {
			lines = append(lines, v)
		}
	}
	return lines
}

// What is no delivery is refused by its method, or by what is missing; a delivery
// that cannot be recorded comes again; what is recorded is acknowledged.
func TestAdmitAnswers(t *testing.T) {
	good := message.Delivery{ID: "m1", Data: oneCPU.Body()}.Push()
	for name, c := range map[string]struct {
		method string
		body   []byte
		broken bool
		status int
		code   string
		log    string
		state  lifecycle.State
	}{
		"a good one":           {"POST", good, false, 200, "", "", lifecycle.Submitted},
		"a question":           {"GET", good, false, 405, "MALFORMED", "", ""},
		"another method":       {"PUT", good, false, 405, "MALFORMED", "", ""},
		"no delivery":          {"POST", []byte(`{"hello":1}`), false, 400, "MISSING_FIELD", "bad_delivery", ""},
		"no JSON":              {"POST", []byte(`hello`), false, 400, "MALFORMED", "bad_delivery", ""},
		"nothing":              {"POST", nil, false, 400, "MALFORMED", "bad_delivery", ""},
		"no message id":        {"POST", []byte(`{"message":{"data":"e30="}}`), false, 400, "MISSING_FIELD", "bad_delivery", ""},
		"a ledger that is off": {"POST", good, true, 503, "UNAVAILABLE", "delivery_failed", ""},
	} {
		s := deployed(t)
		if c.broken {
			s.Ledger.Fault = func(string) ledger.Fault { return ledger.FailRead }
		}
		w := httptest.NewRecorder()
		s.app.admit(w, httptest.NewRequest(c.method, "/", bytes.NewReader(c.body)))
		if w.Code != c.status || c.code != "" && code(t, &timedWriter{ResponseRecorder: w}) != c.code {
			t.Errorf("%s is answered %d %s, want %d %s", name, w.Code, w.Body, c.status, c.code)
		}
		if c.code == "" && w.Body.Len() != 0 {
			t.Errorf("%s is answered with %s", name, w.Body)
		}
		if c.code != "" && w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s is answered in %q", name, w.Header().Get("Content-Type"))
		}
		if allow := w.Header().Get("Allow"); (allow == "POST") != (c.status == 405) {
			t.Errorf("%s: Allow is %q", name, allow)
		}
		if lines := s.logged(c.log); c.log != "" && (len(lines) != 1 || lines[0]["severity"] != "ERROR") {
			t.Errorf("%s: the log says %s", name, s.log)
		} else if c.log == "" && s.log.Len() > 0 {
			t.Errorf("%s: the log says %s", name, s.log)
		}
		if s.Ledger.Fault = nil; s.State("a") != c.state {
			t.Errorf("%s: the request is %q, want %q", name, s.State("a"), c.state)
		}
	}
}

// A delivery with an id and invalid content is answered by an event and
// acknowledged, also at the entry point of ticks.
func TestUnreadableDelivery(t *testing.T) {
	s := deployed(t)
	body := []byte(`{"message":{"messageId":"m1","data":"%"}}`)
	if w := post(s.app.admit, body); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if o := s.Out.Last("m1"); o.Type != message.Refused || problem(o) != reason.InvalidValue {
		t.Errorf("the answer is %+v", o)
	}
	if post(s.app.reconcile, body); len(s.Out.All()) != 1 {
		t.Errorf("Reconcile answers by an event: %+v", s.Out.All())
	}
}

// A tick is always acknowledged, and its report is the answer.
func TestReconcileAnswers(t *testing.T) {
	s := deployed(t)
	s.Ask(oneCPU)
	s.Vertex.SetJob(s.JobOf("a"), vertex.JobRunning)
	tick := func() (*httptest.ResponseRecorder, map[string]any) {
		w := post(s.app.reconcile, message.Delivery{ID: "t", PublishTime: s.Now}.Push())
		var report map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil {
			t.Fatalf("%v in %s", err, w.Body)
		}
		return w, report
	}
	if w, report := tick(); w.Code != http.StatusOK || report["learned"] != 1.0 || report["passes"] != 1.0 {
		t.Errorf("a tick that learns is answered %d %v", w.Code, report)
	}
	if lines := s.logged("reconcile"); len(lines) != 1 || lines[0]["severity"] != "INFO" || lines[0]["message"] != "reconciled" {
		t.Errorf("the log says %s", s.log)
	}
	s.log.Reset()
	if tick(); s.log.Len() > 0 {
		t.Errorf("a tick with nothing to do is logged: %s", s.log)
	}
	s.Out.Fail = func() (bool, bool) { return true, false }
	s.Ask(sim.Job{ID: "b", CPU: 5})
	s.Out.Fail, s.Now = nil, s.Now.Add(time.Minute)
	if _, report := tick(); report["published"] != 1.0 {
		t.Errorf("a tick that publishes the event of one request late is answered %v", report)
	}
	s.log.Reset()
	s.Vertex.Fault = func(op, _ string) vertex.Fault {
		if op == "live" {
			return vertex.FailBefore
		}
		return vertex.NoFault
	}
	if w, _ := tick(); w.Code != http.StatusOK {
		t.Errorf("a tick that fails is answered %d", w.Code)
	}
	if lines := s.logged("reconcile"); len(lines) != 1 || lines[0]["severity"] != "ERROR" || !strings.Contains(fmt.Sprint(lines[0]["error"]), "live projects") {
		t.Errorf("the log says of a tick that failed %s", s.log)
	}
}

// hint is a log entry of a training job, as the sink publishes it.
func hint(kind, labels string) []byte {
	return []byte(`{"resource":{"type":"` + kind + `","labels":{` + labels + `}},"textPayload":"x"}`)
}

// padded is a hint of so many bytes.
func padded(n int) string {
	text := string(hint("ml_job", `"job_id":"123"`))
	return text + strings.Repeat(" ", n-len(text))
}

// A hint makes Berth observe one job, by its number alone and in a region that
// is served; it starts no pass. Anything else is a tick.
func TestHints(t *testing.T) {
	const two = "BERTH_REGIONS=us-central1,europe-west4"
	for data, want := range map[string]string{
		string(hint("ml_job", `"job_id":"123"`)):                                        "us-central1/customJobs/123",
		string(hint("ml_job", `"job_id":"123","location":"europe-west4"`)):              "europe-west4/customJobs/123",
		string(hint("ml_job", `"job_id":"123","region":"europe-west4"`)):                "europe-west4/customJobs/123",
		string(hint("ml_job", `"job_id":"123","region":"asia-east1"`)):                  "us-central1/customJobs/123",
		string(hint("ml_job", `"job_id":"`+strings.Repeat("1", 24)+`"`)):                "us-central1/customJobs/" + strings.Repeat("1", 24),
		string(hint("ml_job", `"job_id":"`+strings.Repeat("1", 25)+`"`)):                "",
		string(hint("ml_job", `"job_id":"12/3"`)):                                       "",
		string(hint("ml_job", `"job_id":"x"`)):                                          "",
		string(hint("ml_job", `"job_id":""`)):                                           "",
		string(hint("gce_instance", `"job_id":"123"`)):                                  "",
		string(hint("ml_job", `"job_id":"123"`)) + strings.Repeat(" ", message.MaxData): "",
		padded(message.MaxData):                                                         "us-central1/customJobs/123",
		padded(message.MaxData + 1):                                                     "",
		string(hint("ml_job", `"job_id":"123","location":5`)):                           "",
		string(hint("ml_job", `"job_id":"123","location":"none"`)):                      "us-central1/customJobs/123",
		string(hint("ml_job", `"job_id":"123","region":"us-east1"`)):                    "us-central1/customJobs/123",
		"":                                   "",
		"tick":                               "",
		"{}":                                 "",
		`{"resource":{"type":"ml_job"}}`:     "",
		`{"resource":"ml_job","labels":"1"}`: "",
	} {
		s := deployed(t, two)
		s.Ask(oneCPU)
		var gets []string
		s.Vertex.Fault = func(op, name string) vertex.Fault {
			if op == "get" {
				gets = append(gets, name)
			}
			return vertex.NoFault
		}
		before := s.Vertex.Calls()["live"]
		w := post(s.app.reconcile, message.Delivery{ID: "h", PublishTime: s.Now, Data: []byte(data)}.Push())
		if w.Code != http.StatusOK {
			t.Errorf("%.80s is answered %d", data, w.Code)
		}
		passes := s.Vertex.Calls()["live"] - before
		switch {
		case want == "" && (len(gets) > 0 || passes == 0):
			t.Errorf("%.80s is no hint: it makes Berth get %q and %d passes", data, gets, passes)
		case want != "" && (len(gets) != 1 || gets[0] != "projects/test-project/locations/"+want || passes != 0):
			t.Errorf("%.80s makes Berth get %q and %d passes, want %s and none", data, gets, passes, want)
		}
	}
}

// A hint that a job has ended frees its machines at once. One that fails is
// acknowledged: the next tick finds out.
func TestHintEndsAJob(t *testing.T) {
	s := deployed(t)
	s.Ask(oneCPU)
	job := s.JobOf("a")
	s.Vertex.SetJob(job, vertex.JobSucceeded)
	data := hint("ml_job", `"job_id":"`+job[strings.LastIndex(job, "/")+1:]+`"`)
	fail(s.World, "get", 1, vertex.FailBefore)
	if w := post(s.app.reconcile, message.Delivery{ID: "h1", Data: data}.Push()); w.Code != http.StatusOK {
		t.Errorf("a hint that fails is answered %d", w.Code)
	}
	if lines := s.logged("hint_failed"); len(lines) != 1 || lines[0]["severity"] != "WARNING" || lines[0]["job"] != job {
		t.Errorf("the log says of it %s", s.log)
	}
	if s.State("a") != lifecycle.Submitted {
		t.Fatalf("after a hint that failed it is %s", s.State("a"))
	}
	post(s.app.reconcile, message.Delivery{ID: "h2", Data: data}.Push())
	s.Expect("a", lifecycle.Succeeded, "reserved", "submitted", "succeeded")
}

// The lines of the log are what Cloud Logging reads: severity and message under
// its names, but not within groups.
func TestLogLines(t *testing.T) {
	var b bytes.Buffer
	log := newLogger(&b, slog.LevelInfo)
	log.Warn("careful", "event", "probe", slog.Group("g", "level", "x", "msg", "y"))
	log.Error("bad")
	log.Debug("not seen")
	var lines []map[string]any
	for line := range strings.Lines(b.String()) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, v)
	}
	if len(lines) != 2 || lines[0]["severity"] != "WARNING" || lines[0]["message"] != "careful" || lines[0]["event"] != "probe" || lines[1]["severity"] != "ERROR" {
		t.Fatalf("the log is %s", &b)
	}
	if g := fmt.Sprint(lines[0]["g"]); g != "map[level:x msg:y]" {
		t.Errorf("a group is written as %s", g)
	}
}

// A process that is not configured says so in its answer and its log, says no
// more to foreign jobs, and tries again.
func TestOpen(t *testing.T) {
	opened = nil
	t.Cleanup(func() { opened = nil })
	t.Setenv("BERTH_PROJECT", "")
	t.Setenv("BERTH_REGIONS", "us-central1")
	for name, handler := range map[string]http.HandlerFunc{"Admit": Admit, "Reconcile": Reconcile, "Status": Status} {
		printed := captureOutput(t)
		w := httptest.NewRecorder()
		handler(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}")))
		if text := printed(); !strings.Contains(text, "start_failed") || !strings.Contains(text, "BERTH_PROJECT") {
			t.Errorf("%s logs %s", name, text)
		}
		if w.Code != http.StatusServiceUnavailable || code(t, &timedWriter{ResponseRecorder: w}) != "UNAVAILABLE" || strings.Contains(w.Body.String(), "BERTH_") {
			t.Errorf("%s answers %d %s", name, w.Code, w.Body)
		}
	}
	browse := func() *httptest.ResponseRecorder {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", "text/html")
		Status(w, r)
		return w
	}
	printed := captureOutput(t)
	if w := browse(); w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "<p class=\"lead\">The settings of the service are wrong; its log says which.</p>") ||
		strings.Count(printed(), "start_failed") != 1 {
		t.Errorf("a browser is answered %d %s", w.Code, w.Body)
	}
	outside := listen(t)
	for name, value := range map[string]string{"BERTH_PROJECT": "test-project", "BERTH_LEDGER": "memory", "BERTH_EMULATORS": "true", "BERTH_LOG_LEVEL": "error",
		"BERTH_VERTEX_ENDPOINT": outside.addr, "PUBSUB_EMULATOR_HOST": outside.addr} {
		t.Setenv(name, value)
	}
	get := func() (*App, string) {
		w := httptest.NewRecorder()
		Status(w, httptest.NewRequest(http.MethodGet, "/", nil))
		return opened, w.Body.String()
	}
	first, text := get()
	if first == nil || !strings.Contains(text, `"project":"test-project"`) {
		t.Fatalf("once it is configured Status answers %s", text)
	}
	if second, _ := get(); second != first {
		t.Error("every request makes an App of its own")
	}
	if w := browse(); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "default in test-project") || w.Header().Get("Vary") != "Accept" {
		t.Errorf("a browser is answered %d %s", w.Code, w.Body)
	}
	for name, handler := range map[string]http.HandlerFunc{"Admit": Admit, "Reconcile": Reconcile} {
		if w := post(handler, []byte("{}")); w.Code != http.StatusBadRequest {
			t.Errorf("%s answers %d %s", name, w.Code, w.Body)
		}
	}
}

// What Status says of the deployment is what the deployment is.
func TestStatusIndex(t *testing.T) {
	s := deployed(t, "BERTH_REGIONS=us-central1,europe-west4", "BERTH_TICK=3m")
	_, text := s.get("/")
	for _, want := range []string{`"project":"test-project"`, `"regions":["us-central1","europe-west4"]`, `"deployment":"default"`,
		`"defaultResource":"pool"`, `"outcomeTopic":"berth-outcomes"`, `"maxAge":"360s"`, `"version":"` + Version() + `"`} {
		if !strings.Contains(text, want) {
			t.Errorf("Status does not say %s: %s", want, text)
		}
	}
	// A bare id means one in any region.
	s.Ask(sim.Job{ID: "x", CPU: 1})
	if code, text := s.get("/pools?resource=pool"); code != http.StatusOK {
		t.Errorf("a bare id: %d %s", code, text)
	}
}

// An attempt ends itself a little before its time, and never later than three
// quarters of it.
func TestMargin(t *testing.T) {
	for pair, want := range map[string]time.Duration{"BERTH_SUBMIT_TIMEOUT=2s": 500 * time.Millisecond, "BERTH_SUBMIT_TIMEOUT=8s": 2 * time.Second,
		"BERTH_SUBMIT_TIMEOUT=20s": 5 * time.Second, "BERTH_SUBMIT_TIMEOUT=1m": 5 * time.Second} {
		if got := settings(t, pair).controller().Margin; got != want {
			t.Errorf("%s: the margin is %s, want %s", pair, got, want)
		}
	}
}
