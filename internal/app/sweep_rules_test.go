package app

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sethvargo/go-envconfig"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/sim"
)

// held compares what a test found with a file of testdata.
func held(t *testing.T, file string, lines []string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(strings.TrimSuffix(string(want), "\n"), "\n"), strings.Split(strings.Join(lines, "\n"), "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// TestSettingsInWords: what is said of each setting with each of some values.
func TestSettingsInWords(t *testing.T) {
	values := []string{"", "0", "1", "2", "9", "-1", "10", "1000000", "1000001", "x", "X y", "a-b", "0s", "99ms", "100ms", "1s", "2s", "5s", "1m", "1m0.5s", "5m", "5m1s", "9m", "9m1s", "10m", "10m1s", "24h", "168h1s", "720h", "720h1s", "2160h", "2161h",
		"a:b", "a:B", "a@b.c", "a@b.c:x+y", "a@b.c:x+Y", "us-east1", "us-east1,europe-west4", "US", "allow", "refuse", "learn", "off", "pd-ssd", "pd-standard", "firestore", "memory", "true", "debug", "host:1", "/projects/1", "projects/p/locations/l/persistentResources/x"}
	var lines []string
	for _, name := range Settings() {
		said := map[string][]string{}
		for _, value := range values {
			env := map[string]string{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1", "BERTH_DEFAULT_RESOURCE": "pool", "BERTH_RUN_IAM": "true", "BERTH_PUSH_ACCOUNT": "p@q.r"}
			env[name] = value
			_, err := LoadConfig(t.Context(), envconfig.MapLookuper(env))
			answer := "ok"
			if err != nil {
				answer = strings.ReplaceAll(strings.ReplaceAll(err.Error(), "\n", " | "), fmt.Sprintf("%q", value), "<it>")
			}
			said[answer] = append(said[answer], fmt.Sprintf("%q", value))
		}
		var answers []string
		for answer, of := range said {
			answers = append(answers, fmt.Sprintf("%s=%s: %s", name, strings.Join(of, " "), answer))
		}
		slices.Sort(answers)
		lines = append(lines, answers...)
	}
	for _, env := range []map[string]string{
		{}, {"BERTH_PROJECT": "test-project"}, {"BERTH_PROJECT": "1", "BERTH_REGIONS": "x,", "BERTH_TICK": "1ms", "BERTH_NOTHING": "1"},
		{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1", "BERTH_UNCLEAR_TIMEOUT": "90s", "BERTH_SUBMIT_TIMEOUT": "1m", "BERTH_RETRY_AFTER": "30s"},
		{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1", "BERTH_UNCLEAR_TIMEOUT": "90001ms", "BERTH_SUBMIT_TIMEOUT": "1m", "BERTH_RETRY_AFTER": "30s"},
		{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1", "BERTH_DEFAULT_TIMEOUT": "2h", "BERTH_MAX_TIMEOUT": "1h"},
		{"BERTH_PROJECT": "test-project", "BERTH_REGIONS": "us-central1", "BERTH_DEFAULT_TIMEOUT": "1h", "BERTH_MAX_TIMEOUT": "1h"},
	} {
		err := CheckSettings(t.Context(), env)
		lines = append(lines, fmt.Sprintf("%v: %s", env, strings.ReplaceAll(fmt.Sprint(err), "\n", " | ")))
	}
	held(t, "testdata/settings.txt", lines)
}

var logNoise = regexp.MustCompile(`"time":"[^"]*",|"serviceContext":{[^}]*},|,"@type":"[^"]*","context":{"reportLocation":{[^}]*}}`)

// TestEntryPointsInWords: what each entry point answers to each of some requests, and what
// it logs.
func TestEntryPointsInWords(t *testing.T) {
	var lines []string
	entry := func(hint, location string) string {
		return `{"resource":{"type":"ml_job","labels":{"job_id":"` + hint + `","location":"` + location + `"}}}`
	}
	began := sim.New(t).Now
	for _, test := range []struct {
		name   string
		method string
		body   []byte
		header map[string]string
		broken bool
	}{
		{"a request", "POST", message.Delivery{ID: "m1", PublishTime: began, Data: oneCPU.Body()}.Push(), nil, false},
		{"a request of another tenant", "POST", message.Delivery{ID: "m1", PublishTime: began, Data: oneCPU.Body(), Subscription: "projects/test-project/subscriptions/red-requests"}.Push(), nil, false},
		{"one of another project's subscription", "POST", message.Delivery{ID: "m1", PublishTime: began, Data: oneCPU.Body(), Subscription: "projects/other/subscriptions/red-requests"}.Push(), nil, false},
		{"a request that never fits", "POST", message.Delivery{ID: "m1", PublishTime: began, Data: sim.Job{ID: "a", CPU: 9}.Body()}.Push(), nil, false},
		{"a dry run", "POST", message.Delivery{ID: "m1", PublishTime: began, Data: sim.Job{ID: "a", CPU: 1, DryRun: true}.Body()}.Push(), nil, false},
		{"a cancel", "POST", message.Delivery{ID: "m1", PublishTime: began, Data: []byte(`{"cancel":{"requestId":"a"}}`)}.Push(), nil, false},
		{"no job", "POST", message.Delivery{ID: "m1", PublishTime: began, Data: []byte(`{"x":1}`)}.Push(), nil, false},
		{"no JSON", "POST", []byte(`{`), nil, false},
		{"a list", "POST", []byte(`[]`), nil, false},
		{"no message", "POST", []byte(`{"x":1}`), nil, false},
		{"no id", "POST", []byte(`{"message":{"data":"e30="}}`), nil, false},
		{"bad data", "POST", []byte(`{"message":{"messageId":"m1","data":"%"}}`), nil, false},
		{"unwrapped", "POST", oneCPU.Body(), map[string]string{"Ce-Id": "1", "Ce-Type": "x", "Ce-Source": "y", "Ce-Specversion": "1.0"}, false},
		{"a hint", "POST", message.Delivery{ID: "m1", PublishTime: began, Data: []byte(entry("1000", "us-central1"))}.Push(), nil, false},
		{"a hint of another region", "POST", message.Delivery{ID: "m1", PublishTime: began, Data: []byte(entry("1000", "mars"))}.Push(), nil, false},
		{"a hint of no job", "POST", message.Delivery{ID: "m1", PublishTime: began, Data: []byte(entry("x1", "us-central1"))}.Push(), nil, false},
		{"an old tick", "POST", []byte(`{"message":{"messageId":"m1","data":"","publishTime":"2020-01-01T00:00:00Z"}}`), nil, false},
		{"too large", "POST", bytes.Repeat([]byte("x"), message.MaxBody+1), nil, false},
		{"a tick", "POST", message.Delivery{ID: "m1", PublishTime: began}.Push(), nil, false},
		{"nothing", "POST", nil, nil, false},
		{"a question", "GET", nil, nil, false},
		{"a ledger that is off", "POST", message.Delivery{ID: "m1", PublishTime: began, Data: oneCPU.Body(), Attempt: 3}.Push(), nil, true},
	} {
		for _, point := range []string{"admit", "reconcile"} {
			s := deployed(t, "BERTH_TENANTS=red-requests:red", "BERTH_LOG_LEVEL=debug")
			if test.broken {
				s.Ledger.Fault = func(string) ledger.Fault { return ledger.FailRead }
			}
			r := httptest.NewRequest(test.method, "/", bytes.NewReader(test.body))
			for name, value := range test.header {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			map[string]func(){"admit": func() { s.app.admit(w, r) }, "reconcile": func() { s.app.reconcile(w, r) }}[point]()
			lines = append(lines, fmt.Sprintf("%s, %s: %d %q %q", point, test.name, w.Code, w.Header().Get("Allow"), strings.TrimSpace(w.Body.String())))
			for _, o := range s.Out.All() {
				lines = append(lines, fmt.Sprintf("  event %s of %s", o.Type.Word(), o.Tenant))
			}
			for line := range strings.Lines(s.log.String()) {
				lines = append(lines, "  log "+strings.TrimSpace(logNoise.ReplaceAllString(line, "")))
			}
			for op, n := range s.Vertex.Calls() {
				if op == "get" {
					lines = append(lines, fmt.Sprintf("  %d gets", n))
				}
			}
		}
	}
	held(t, "testdata/answers.txt", lines)
}
