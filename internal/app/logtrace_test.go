package app

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

const (
	requestTrace   = "0af7651916cd43dd8448eb211c80319c"
	publisherTrace = "11111111111111111111111111111111"
	publisherSpan  = "00-" + publisherTrace + "-2222222222222222-01"
)

// postWith delivers a body with headers.
func postWith(handler http.HandlerFunc, body []byte, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	handler(w, r)
	return w
}

// Each record of a request carries the trace that Cloud Run gives to the request, or else
// its publisher's, and nothing else that stands in a header or an attribute.
func TestRecordsCarryTheirTrace(t *testing.T) {
	name := func(id string) string { return "projects/test-project/traces/" + id }
	for what, c := range map[string]struct {
		header, attribute, value string
		trace, span, publisher   any
		sampled                  any
	}{
		"traceparent":                  {"traceparent: 00-" + requestTrace + "-b7ad6b7169203331-01", "", "", name(requestTrace), "b7ad6b7169203331", nil, true},
		"X-Cloud-Trace-Context":        {"X-Cloud-Trace-Context: " + requestTrace + "/255;o=0", "", "", name(requestTrace), "00000000000000ff", nil, false},
		"no trace":                     {"", "", "", nil, nil, nil, nil},
		"a publisher's":                {"", "googclient_traceparent", publisherSpan, name(publisherTrace), "2222222222222222", nil, true},
		"a publisher's plain":          {"", "traceparent", publisherSpan, name(publisherTrace), "2222222222222222", nil, true},
		"both":                         {"traceparent: 00-" + requestTrace + "-b7ad6b7169203331-01", "traceparent", publisherSpan, name(requestTrace), "b7ad6b7169203331", name(publisherTrace), true},
		"a hostile traceparent":        {"traceparent: 00-" + requestTrace + "-b7ad6b7169203331-01-canary", "", "", nil, nil, nil, nil},
		"a hostile X-Cloud":            {"X-Cloud-Trace-Context: canary\"}/1;o=1", "", "", nil, nil, nil, nil},
		"a hostile X-Cloud of a trace": {"X-Cloud-Trace-Context: " + requestTrace + "/1;o=canary", "", "", name(requestTrace), "0000000000000001", nil, false},
		"a hostile attribute":          {"", "googclient_traceparent", "canary\n{\"severity\":\"ERROR\"}", nil, nil, nil, nil},
	} {
		s := deployed(t)
		s.app.controller = controller.New(s.Config, s.Ledger, s.Vertex, s.Out, s.app.log, controller.RealEnv())
		d := message.Delivery{ID: "m1", Data: oneCPU.Body()}
		if c.attribute != "" {
			d.Attributes = map[string]string{c.attribute: c.value}
		}
		if w := postWith(s.app.admit, d.Push(), c.header); w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", what, w.Code, w.Body)
		}
		lines := append(s.logged("decision"), s.logged("submitted")...)
		if len(lines) != 2 {
			t.Fatalf("%s: the log says %s", what, s.log)
		}
		for _, line := range lines {
			for field, want := range map[string]any{"trace": c.trace, "spanId": c.span, "trace_sampled": c.sampled} {
				if got := line["logging.googleapis.com/"+field]; got != want {
					t.Errorf("%s: %s of %s is %v, want %v", what, field, line["event"], got, want)
				}
			}
			if got := line["publisher_trace"]; got != c.publisher {
				t.Errorf("%s: publisher_trace of %s is %v, want %v", what, line["event"], got, c.publisher)
			}
			if line["@type"] != nil || line["context"] != nil {
				t.Errorf("%s: %s is reported as an error: %v", what, line["event"], line)
			}
		}
		if strings.Contains(s.log.String(), canary) || strings.Count(s.log.String(), "\n") != 2 {
			t.Errorf("%s: the log says %s", what, s.log)
		}
	}
}

// A delivery that is refused before its message is read has the trace of its request, and
// so does a panic, which is answered so that the message comes again.
func TestErrorsAreReported(t *testing.T) {
	t.Setenv("K_SERVICE", "berth-admit")
	t.Setenv("K_REVISION", "berth-admit-00007-abc")
	header := "traceparent: 00-" + requestTrace + "-b7ad6b7169203331-01"
	for what, c := range map[string]struct {
		do              func(*site) *httptest.ResponseRecorder
		event, function string
		status          int
	}{
		"no delivery": {func(s *site) *httptest.ResponseRecorder { return postWith(s.app.admit, []byte("{}"), header) }, "bad_delivery", "(*App).serve", 400},
		"a failure": {func(s *site) *httptest.ResponseRecorder {
			s.Ledger.Fault = func(string) ledger.Fault { return ledger.FailRead }
			return postWith(s.app.admit, message.Delivery{ID: "m1", Data: oneCPU.Body()}.Push(), header)
		}, "delivery_failed", "(*App).serve", 503},
		"a panic of a user's text": {func(s *site) *httptest.ResponseRecorder {
			s.Vertex.Fault = func(string, string) vertex.Fault { panic("canary " + string(oneCPU.Body())) }
			return postWith(s.app.admit, message.Delivery{ID: "m1", Data: oneCPU.Body()}.Push(), header)
		}, "panic", "(*App).recovered", 503},
		"a panic of the runtime": {func(s *site) *httptest.ResponseRecorder {
			s.app.now = func() time.Time { return []time.Time{}[len(s.Now.String())] }
			return postWith(s.app.reconcile, message.Delivery{ID: "t", PublishTime: s.Now}.Push(), header)
		}, "panic", "(*App).recovered", 503},
		"a panic of Status": {func(s *site) *httptest.ResponseRecorder {
			s.app.status = nil
			return postWith(s.app.answer, nil, header)
		}, "panic", "(*App).recovered", 503},
	} {
		s := deployed(t)
		if w := c.do(s); w.Code != c.status {
			t.Errorf("%s is answered %d %s, want %d", what, w.Code, w.Body, c.status)
		}
		lines := s.logged(c.event)
		if len(lines) != 1 || strings.Count(s.log.String(), "\n") != 1 {
			t.Fatalf("%s: the log says %s", what, s.log)
		}
		line := lines[0]
		at, _ := line["context"].(map[string]any)["reportLocation"].(map[string]any)
		if line["severity"] != "ERROR" || line["@type"] != errorEvent || line["logging.googleapis.com/trace"] != "projects/test-project/traces/"+requestTrace ||
			fmt.Sprint(line["serviceContext"]) != "map[service:berth-admit version:berth-admit-00007-abc]" {
			t.Errorf("%s: the log says %v", what, line)
		}
		if !strings.HasSuffix(fmt.Sprint(at["functionName"]), c.function) || !strings.HasPrefix(fmt.Sprint(at["filePath"]), "app/") || at["lineNumber"] == nil {
			t.Errorf("%s is reported at %v, want %s", what, at, c.function)
		}
		stack, _ := line["stack_trace"].(string)
		if (c.event == "panic") != strings.HasPrefix(stack, "panic: ") || c.event == "panic" && !strings.Contains(stack, "\n\ngoroutine ") {
			t.Errorf("%s has the stack trace %q", what, stack)
		}
		if strings.Contains(s.log.String(), canary) {
			t.Errorf("%s: the log says %s", what, s.log)
		}
	}
}

// Without Cloud Run the service has its name and the version of the build.
func TestServiceOfALocalStack(t *testing.T) {
	t.Setenv("K_SERVICE", "")
	t.Setenv("K_REVISION", "")
	s := deployed(t)
	post(s.app.admit, []byte("{}"))
	if lines := s.logged("bad_delivery"); len(lines) != 1 || fmt.Sprint(lines[0]["serviceContext"]) != "map[service:berth version:"+Version()+"]" {
		t.Errorf("the log says %s", s.log)
	}
}

// Every field of a decision, and what makes an error a report.
func TestTelemetryPageListsTheFields(t *testing.T) {
	s := deployed(t)
	s.app.controller = controller.New(s.Config, s.Ledger, s.Vertex, s.Out, s.app.log, controller.RealEnv())
	d := message.Delivery{ID: "m1", Data: oneCPU.Body(), Attributes: map[string]string{"traceparent": publisherSpan}}
	postWith(s.app.admit, d.Push(), "traceparent: 00-"+requestTrace+"-b7ad6b7169203331-01")
	with := record(t, deployed(t)) // spans
	postWith(with.app.admit, d.Push(), "traceparent: 00-"+requestTrace+"-b7ad6b7169203331-01")
	page, code := map[string]string{}, map[string]string{}
	for _, head := range []string{"field |", "field of a decision |"} {
		for _, row := range table(t, "deploy/telemetry.md", head) {
			for _, name := range quoted.FindAllStringSubmatch(row[0], -1) {
				page[name[1]] = ""
			}
		}
	}
	for _, line := range append(s.logged("decision"), with.logged("decision")...) {
		for field := range line {
			code[field] = ""
		}
	}
	sameRows(t, "field of a decision's record", page, code)
	post(s.app.admit, []byte("{}"))
	for _, line := range s.logged("bad_delivery") {
		for _, field := range []string{"@type", "context"} {
			if line[field] == nil || !strings.Contains(readPage(t, "deploy/telemetry.md"), "`"+field) {
				t.Errorf("the record of an error, or the page, does not have %s: %v", field, line)
			}
		}
	}
}
