package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"

	"example.com/berth/internal/app"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/sim"
	"example.com/berth/internal/vertex"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
)

// alertsOf returns the alert policies by the name of their playbook.
func alertsOf(t *testing.T, p *plan) map[string]instance {
	t.Helper()
	alerts := map[string]instance{}
	for addr, a := range p.all(t, "google_monitoring_alert_policy") {
		name := a.text("user_labels.playbook")
		if name == "" || alerts[name] != nil {
			t.Errorf("%s has no playbook of its own: %q", addr, name)
		}
		alerts[name] = a
	}
	return alerts
}

// Each alert has a playbook of its name, and each playbook an alert.
func TestPlaybooks(t *testing.T) {
	t.Parallel()
	variables := `{"project": "demo-project", "regions": ["us-central1"], "playbooks": "https://example.com/pages", "notification_channels": ["projects/demo-project/notificationChannels/7"]}`
	alerts := alertsOf(t, configuration(t, "terraform", variables))
	pages, err := filepath.Glob("playbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, page := range pages {
		names = append(names, strings.TrimSuffix(filepath.Base(page), ".md"))
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"## What it means\n", "## How to see it\n", "## What to do\n"} {
			if !strings.Contains(string(text), part) {
				t.Errorf("%s has no %q", page, strings.TrimSpace(part))
			}
		}
		for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join("playbooks", m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
			}
		}
	}
	if want := slices.Sorted(maps.Keys(alerts)); !slices.Equal(want, names) {
		t.Errorf("alerts %v, playbooks %v", want, names)
	}
	// The first thing to see is what fired the alert.
	fires := map[string]string{}
	p := configuration(t, "terraform", leastVariables)
	events := map[string]string{}
	for what, filter := range logFilters(t, p) {
		_, of, _ := strings.Cut(filter, `status)$" AND `)
		events[what] = of
	}
	for name, a := range alertsOf(t, p) {
		fires[name] = events["alert "+name]
		if m := regexp.MustCompile(`user_berth_([a-z_]+)`).FindStringSubmatch(a.text("conditions.0.condition_prometheus_query_language.0.query")); m != nil {
			fires[name] = events["metric berth/"+m[1]]
		}
	}
	for _, name := range names {
		text, err := os.ReadFile("playbooks/" + name + ".md")
		if err != nil {
			t.Fatal(err)
		}
		if want := "\n$ gcloud logging read '" + fires[name]; !strings.Contains(string(text), want) {
			t.Errorf("%s.md has no line %q", name, want)
		}
	}
	for name, a := range alerts {
		if want := "See [the playbook](https://example.com/pages/" + name + ".md)."; a.text("documentation.0.content") != want {
			t.Errorf("%s says %q, want %q", name, a.text("documentation.0.content"), want)
		}
		if a.text("notification_channels.0") != "projects/demo-project/notificationChannels/7" {
			t.Errorf("%s tells nobody", name)
		}
	}
}

// logFilters are the filters on log records, by what uses them: alerts and metrics.
func logFilters(t *testing.T, p *plan) map[string]string {
	t.Helper()
	filters := map[string]string{}
	for name, a := range alertsOf(t, p) {
		if f := a.text("conditions.0.condition_matched_log.0.filter"); f != "" {
			filters["alert "+name] = f
		}
	}
	for _, m := range p.all(t, "google_logging_metric") {
		filters["metric "+m.text("name")] = m.text("filter")
	}
	return filters
}

// An event that the code does not log under this name is one that no alert ever sees.
func TestAlertsNameEventsOfTheCode(t *testing.T) {
	t.Parallel()
	logged := loggedEvents(t)
	named := 0
	for what, filter := range logFilters(t, configuration(t, "terraform", leastVariables)) {
		for _, term := range terms(t, filter) {
			if term.field != "jsonPayload.event" {
				continue
			}
			for _, event := range term.values {
				named++
				if !logged[event] {
					t.Errorf("%s: the code logs no event %s", what, event)
				}
			}
		}
	}
	if named < 20 || len(logged) < 40 {
		t.Errorf("%d events are named, the code logs %d: this test looks for other forms", named, len(logged))
	}
}

// loggedEvents returns the names of the events that the code logs.
func loggedEvents(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	text := func(e ast.Expr) string {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return ""
		}
		s, _ := strconv.Unquote(lit.Value)
		return s
	}
	err := filepath.WalkDir("../internal", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			for i, arg := range call.Args[:max(0, len(call.Args)-1)] {
				if text(arg) == "event" {
					found[text(call.Args[i+1])] = true
				}
			}
			if f, ok := call.Fun.(*ast.Ident); ok && f.Name == "report" && len(call.Args) == 3 { // of reportLate
				found[text(call.Args[1])] = true
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	delete(found, "")
	return found
}

// A term of a filter of Cloud Logging: a field has one of some values, or matches.
type term struct {
	field  string
	values []string
	match  *regexp.Regexp
}

var termForm = regexp.MustCompile(`^([a-zA-Z_.]+)(=~|=)(\(.*\)|"(?:[^"\\]|\\.)*")$`)

// terms reads the form of filters that alerts and metrics use: FIELD="a" AND
// FIELD=("a" OR "b") AND FIELD=~"re".
func terms(t *testing.T, filter string) (all []term) {
	t.Helper()
	for _, part := range strings.Split(filter, " AND ") {
		m := termForm.FindStringSubmatch(part)
		if m == nil {
			t.Fatalf("this test does not know the form %s", part)
		}
		next := term{field: m[1]}
		for _, v := range strings.Split(strings.Trim(m[3], "()"), " OR ") {
			if m[2] == "=~" {
				v = m[3]
			}
			s, err := strconv.Unquote(v)
			if err != nil {
				t.Fatalf("%s: %v", v, err)
			}
			next.values = append(next.values, s)
			if m[2] == "=~" {
				next.match = regexp.MustCompile(s)
				break
			}
		}
		all = append(all, next)
	}
	return all
}

// matches says whether an entry of the log is one that the filter takes.
func matches(t *testing.T, filter string, entry instance) bool {
	t.Helper()
	return !slices.ContainsFunc(terms(t, filter), func(of term) bool {
		v, _ := entry.at(of.field).(string)
		if of.match != nil {
			return !of.match.MatchString(v)
		}
		return !slices.Contains(of.values, v)
	})
}

// A scene makes the code log what an alert is for.
type scene struct {
	*sim.World
	log  bytes.Buffer
	runs int
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{World: sim.New(t)}
	s.Config.SampleEvery = 1
	s.Controller = controller.New(s.Config, s.Ledger, s.Vertex, s.Out, slog.New(slog.NewJSONHandler(&s.log, nil)), controller.Env{
		Monotonic: func() time.Time { return s.Now },
		Sleep: func(_ context.Context, d time.Duration) error {
			s.Now = s.Now.Add(d)
			return nil
		},
		NewRun: func() string {
			s.runs++
			return fmt.Sprintf("scene%d", s.runs)
		},
	})
	s.Tick = func() error {
		_, _ = s.Controller.Reconcile(context.Background(), "tick", time.Second) // it may be about a failure
		return nil
	}
	return s
}

// change changes the ledger by hand.
func (s *scene) change(reads ledger.ReadSet, do func(ledger.Tx)) {
	s.Helper()
	if err := s.Ledger.Update(context.Background(), reads, func(tx ledger.Tx) error {
		do(tx)
		return nil
	}); err != nil {
		s.Fatalf("%v", err)
	}
}

var scenes = map[string]func(*scene){
	"alert violation": func(s *scene) {
		s.Ask(sim.Job{ID: "a", CPU: 1})
		s.change(ledger.Resources(sim.Resource), func(tx ledger.Tx) {
			res, key := tx.Resource(sim.Resource), s.Record("a").Key
			h := res.Holds[key]
			h.Ask[0].Replicas = 3
			res.Holds[key] = h
			tx.Put(res)
		})
		s.After(time.Minute)
	},
	"alert leaked-hold": func(s *scene) {
		s.Ask(sim.Job{ID: "a", CPU: 1})
		key := s.Record("a").Key
		s.change(ledger.Records(key), func(tx ledger.Tx) {
			rec := tx.Record(key)
			rec.State, rec.TimerAt = lifecycle.Failed, time.Time{}
			tx.Put(rec)
		})
		s.After(time.Minute)
		s.After(time.Minute)
	},
	"alert orphan-job": func(s *scene) {
		s.Ask(sim.Job{ID: "a", CPU: 1})
		key := s.Record("a").Key
		s.change(ledger.Records(key), func(tx ledger.Tx) {
			rec := tx.Record(key)
			rec.Reservation.Job = "projects/test-project/locations/us-central1/customJobs/77"
			tx.Put(rec)
		})
		s.After(time.Minute)
		s.After(time.Minute)
	},
	"alert ledger-damage": func(s *scene) {
		s.Ask(sim.Job{ID: "a", CPU: 1})
		s.Ledger.Spoil(ledger.RecordRef(s.Record("a").Key), "it has layout 99, this release knows 1")
		s.After(24 * time.Hour)
	},
	"alert outage": func(s *scene) {
		s.Ask(sim.Job{ID: "a", CPU: 1})
		s.Vertex.Fault = func(string, string) vertex.Fault { return vertex.FailBefore }
		for range 3 {
			s.After(time.Minute)
		}
	},
	"alert submissions-denied": func(s *scene) {
		s.Vertex.Admit = func(string, *aiplatformpb.CustomJob) error {
			return &vertex.Error{Op: "create", Kind: vertex.Denied, Code: int32(code.Code_PERMISSION_DENIED)}
		}
		s.Ask(sim.Job{ID: "a", CPU: 1})
		s.After(time.Minute)
	},
	"metric berth/rate_refusals": func(s *scene) {
		s.Vertex.Fault = func(op, _ string) vertex.Fault {
			if op == "create" {
				return vertex.FailRate
			}
			return vertex.NoFault
		}
		s.Ask(sim.Job{ID: "a", CPU: 1})
		s.After(time.Minute)
	},
	"metric berth/outbox_late": func(s *scene) {
		s.Out.Fail = func() (bool, bool) { return true, false }
		s.Ask(sim.Job{ID: "a", CPU: 1})
		s.After(6 * time.Minute)
	},
	"metric berth/timer_late": func(s *scene) {
		s.Ask(sim.Job{ID: "full", CPU: 4})
		s.Ask(sim.Job{ID: "waits", CPU: 1, MaxWait: "120s"})
		s.After(time.Hour)
	},
	"metric berth/resource_down": func(s *scene) {
		s.Ask(sim.Job{ID: "full", CPU: 4})
		s.Ask(sim.Job{ID: "waits", CPU: 1})
		s.SetPools("ERROR", capacity.Pool{ID: "cpu", Shape: sim.CPU, Count: 4})
		s.After(time.Minute)
	},
	"metric berth/reuse_seconds": func(s *scene) {
		s.Ask(sim.Job{ID: "full", CPU: 4})
		s.Ask(sim.Job{ID: "waits", CPU: 1})
		s.Vertex.SetJob(s.JobOf("full"), vertex.JobSucceeded)
		s.After(time.Minute)
	},
	"metric berth/submissions": func(s *scene) { s.Ask(sim.Job{ID: "a", CPU: 1}) },
	"metric berth/decisions":   func(s *scene) { s.Ask(sim.Job{ID: "a", CPU: 1}) },
	"metric berth/declined": func(s *scene) {
		s.Vertex.Fault = func(op, _ string) vertex.Fault { return map[string]vertex.Fault{"create": vertex.FailRate}[op] }
		s.Ask(sim.Job{ID: "a", CPU: 1})
	},
	"metric berth/answers": func(s *scene) { s.Send([]byte("{")) },
}

// platformTexts are what Cloud Run itself writes about an instance, and the Go runtime
// about a crash.
// https://cloud.google.com/run/docs/troubleshooting
var platformTexts = map[string][]string{
	"alert instance-crash": {
		"Container called exit(2).", "Container called exit(139).", "Uncaught signal: 11, pid=1, tid=1, fault_addr=0.",
		`STARTUP TCP probe failed 60 times consecutively for container "function" on port 8080. The instance was not started.`,
		"panic: runtime error: invalid memory address or nil pointer dereference",
	},
	"alert instance-out-of-memory": {
		"Memory limit of 512 MiB exceeded with 530 MiB used. Consider increasing the memory limit, see https://cloud.google.com/run/docs/configuring/memory-limits",
	},
}

// quietTexts are what is written about an instance that comes and goes.
var quietTexts = []string{"Starting new instance. Reason: AUTOSCALING", `STARTUP TCP probe succeeded after 1 attempt for container "function" on port 8080.`, "Container called exit(0).", "2026/11/27 09:00:00 Serving function: \"Admit\""}

// inPackage are alerts whose events need the inside of a package to be made: the tests
// there make them.
var inPackage = []string{"alert illegal-move"}

func entry(payload, text any) instance {
	return instance{"resource": map[string]any{"type": "cloud_run_revision", "labels": map[string]any{"service_name": "berth-reconcile"}},
		"jsonPayload": payload, "textPayload": text}
}

// Each filter on the log takes what the code logs in the case that it is for, and nothing
// of a quiet day.
func TestAlertsAreFired(t *testing.T) {
	filters := logFilters(t, configuration(t, "terraform", leastVariables))
	taken := func(what string, log *bytes.Buffer) (n int) {
		for line := range strings.Lines(log.String()) {
			var payload map[string]any
			if err := json.Unmarshal([]byte(line), &payload); err != nil {
				t.Fatal(err)
			}
			if matches(t, filters[what], entry(payload, nil)) {
				n++
			}
		}
		return n
	}
	quiet := newScene(t)
	quiet.Ask(sim.Job{ID: "a", CPU: 1})
	quiet.Vertex.SetJob(quiet.JobOf("a"), vertex.JobRunning)
	quiet.After(time.Minute)
	quiet.Vertex.SetJob(quiet.JobOf("a"), vertex.JobSucceeded)
	quiet.After(time.Minute)
	for what := range filters {
		if n := taken(what, &quiet.log); strings.HasPrefix(what, "alert") && n > 0 {
			t.Errorf("%s: fired %d times on a quiet day\n%s", what, n, &quiet.log)
		}
		switch play := scenes[what]; {
		case slices.Contains(inPackage, what):
		case platformTexts[what] != nil:
			for _, text := range platformTexts[what] {
				if !matches(t, filters[what], entry(nil, text)) {
					t.Errorf("%s: %s does not take %q", what, filters[what], text)
				}
			}
			for _, text := range quietTexts {
				if matches(t, filters[what], entry(nil, text)) {
					t.Errorf("%s: %s takes %q", what, filters[what], text)
				}
			}
		case what == "alert settings-refused":
			if log := started(t); taken(what, &log) != 1 {
				t.Errorf("%s: %s takes nothing of\n%s", what, filters[what], &log)
			}
		case play == nil:
			t.Errorf("%s: no scene fires it", what)
		default:
			s := newScene(t)
			play(s)
			if taken(what, &s.log) == 0 {
				t.Errorf("%s: %s takes nothing of\n%s", what, filters[what], &s.log)
			}
		}
	}
}

// started returns the log of a function without its settings.
func started(t *testing.T) (log bytes.Buffer) {
	t.Helper()
	t.Setenv("BERTH_PROJECT", "123456")
	out := os.Stdout
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = w
	answer := httptest.NewRecorder()
	app.Admit(answer, httptest.NewRequest("POST", "/", nil))
	os.Stdout = out
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(&log, r); err != nil {
		t.Fatal(err)
	}
	if answer.Code != 503 {
		t.Errorf("without settings it answers %d", answer.Code)
	}
	return log
}

// The alerts on what lasts read metrics that exist, by the names that the query language
// has for them, and every log-based metric is read by an alert, an objective or the
// dashboard.
func TestMetricsAreRead(t *testing.T) {
	t.Parallel()
	p := configuration(t, "terraform", leastVariables)
	metrics := map[string]string{} // by the name in queries
	for _, m := range p.all(t, "google_logging_metric") {
		metrics["logging_googleapis_com:user_"+regexp.MustCompile(`[^a-zA-Z0-9]`).ReplaceAllString(m.text("name"), "_")] = m.text("name")
	}
	read := map[string]bool{}
	query := regexp.MustCompile(`^sum\(increase\(([a-z_:]+)\{monitored_resource="cloud_run_revision"\}\[(10|20)m\]\)\) > [0-9]+$`)
	for name, a := range alertsOf(t, p) {
		if q := a.text("conditions.0.condition_prometheus_query_language.0.query"); q != "" {
			m := query.FindStringSubmatch(q)
			if m == nil || metrics[m[1]] == "" {
				t.Errorf("%s: %s reads no metric of ours (%v)", name, q, metrics)
				continue
			}
			read[metrics[m[1]]] = true
		}
	}
	texts := []string{}
	for _, d := range p.all(t, "google_monitoring_dashboard") {
		var any map[string]any
		if err := json.Unmarshal([]byte(d.text("dashboard_json")), &any); err != nil {
			t.Fatalf("the dashboard is no JSON: %v", err)
		}
		// The service does not return a number that is 0, and each plan would add it again.
		if zero := regexp.MustCompile(`"[a-zA-Z]+": 0\b`).FindString(d.text("dashboard_json")); zero != "" {
			t.Errorf("the dashboard has %s, which no apply makes so", zero)
		}
		texts = append(texts, strings.ReplaceAll(d.text("dashboard_json"), `\"`, `"`))
	}
	slos := map[string]float64{}
	for _, s := range p.all(t, "google_monitoring_slo") {
		texts = append(texts, s.text("request_based_sli.0.distribution_cut.0.distribution_filter"))
		slos[s.text("slo_id")] = s.number("request_based_sli.0.distribution_cut.0.range.0.max")
	}
	if !maps.Equal(slos, map[string]float64{"berth-answered": 0, "berth-accepted": 10000, "berth-reused": 60}) {
		t.Errorf("objectives: %v", slos)
	}
	for _, text := range texts {
		for _, m := range regexp.MustCompile(`logging\.googleapis\.com/user/([a-z_/]+)`).FindAllStringSubmatch(text, -1) {
			read[m[1]] = true
			if !slices.Contains(slices.Collect(maps.Values(metrics)), m[1]) {
				t.Errorf("%s is read, and does not exist", m[1])
			}
		}
	}
	for _, name := range metrics {
		if !read[name] && name != "berth/answers" && name != "berth/rate_refusals" {
			t.Errorf("nothing reads the metric %s", name)
		}
	}
	// Hints keep Reconcile busy without a tick, so its own requests do not show ticks.
	tick := `metric.type="pubsub.googleapis.com/subscription/push_request_count" AND resource.type="pubsub_subscription" AND resource.labels.subscription_id="berth-reconcile" AND metric.labels.response_class="ack"`
	if f := alertsOf(t, p)["no-tick"].text("conditions.0.condition_absent.0.filter"); f != tick {
		t.Errorf("no-tick watches %s", f)
	}
	for name, a := range alertsOf(t, p) {
		for _, path := range []string{"conditions.0.condition_absent.0.filter", "conditions.1.condition_threshold.0.filter", "conditions.0.condition_threshold.0.filter"} {
			f := a.text(path)
			if m := regexp.MustCompile(`(?:service_name|subscription_id)="([^"]+)"`).FindStringSubmatch(f); m != nil && !slices.Contains([]string{"berth-reconcile", "berth-dead-letters"}, m[1]) {
				t.Errorf("%s watches %s", name, m[1])
			}
		}
	}
}
