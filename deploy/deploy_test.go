package deploy

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/sethvargo/go-envconfig"

	"example.com/berth/internal/app"
	"example.com/berth/internal/gcp"
	"example.com/berth/internal/ledger"
)

const (
	script    = "deploy.sh"
	runAs     = "serviceAccount:berth-run@demo-project.iam.gserviceaccount.com"
	pushAs    = "serviceAccount:berth-push@demo-project.iam.gserviceaccount.com"
	buildAs   = "serviceAccount:berth-build@demo-project.iam.gserviceaccount.com"
	pubsubAs  = "serviceAccount:service-123456789@gcp-sa-pubsub.iam.gserviceaccount.com"
	publisher = "group:ml@example.com"
	submitter = "serviceAccount:train@red-project.iam.gserviceaccount.com"
	operator  = "user:ops@example.com"
	reader    = "user:ann@example.com"
	jobA      = "job-a@demo-project.iam.gserviceaccount.com"
	jobB      = "job-b@other-project.iam.gserviceaccount.com"
)

// everything is a command line that uses every flag.
var everything = []string{
	"--project=demo-project", "--region", "us-central1,europe-west4", "--region=us-east1",
	"--default-resource=a100", "--job-service-account=" + jobA, "--job-service-account", jobB,
	"--publisher=" + publisher, "--tenant=red=" + submitter, "--tenant", "blue", "--operator=" + operator, "--status-user=" + reader, "--env=BERTH_MAX_WAIT=24h",
	"--log-sink", "--runtime=go127",
}

// deployed returns the commands that a dry run prints for an empty project. They
// are read by running what was printed, since it is a script.
func deployed(t *testing.T, args ...string) []command {
	t.Helper()
	r := newRig(t)
	calls, res := r.run(r.print(args...))
	if res.code != 0 {
		t.Fatalf("the printed script fails with %d:\n%s", res.code, res.stderr)
	}
	return calls
}

func dryRun(t *testing.T, args ...string) string {
	t.Helper()
	res := runBash(t, []string{"PATH=" + t.TempDir()}, append([]string{script, "--dry-run"}, args...)...)
	if res.code != 0 {
		t.Fatalf("dry run: exit %d\n%s", res.code, res.stderr)
	}
	return res.stdout
}

// only returns the commands that begin with these words.
func only(calls []command, words string) []command {
	return slices.DeleteFunc(slices.Clone(calls), func(c command) bool { return !c.is(words) })
}

// With nothing on the PATH, a dry run that called anything would fail.
func TestDryRunCallsNothing(t *testing.T) {
	t.Parallel()
	res := runBash(t, []string{"PATH=" + t.TempDir()}, append([]string{script, "--dry-run"}, everything...)...)
	if res.code != 0 || !strings.Contains(res.stderr, "nothing was run") {
		t.Fatalf("exit %d\n%s", res.code, res.stderr)
	}
	for _, text := range []string{"$PROJECT_NUMBER", "$URL", "$WRITER"} {
		if !strings.Contains(res.stdout, text) {
			t.Errorf("printed commands lack %s, which only a run can know", text)
		}
	}
}

// A reviewer of the printed commands has to see what a run would do, no more and
// no less, in a new project and in an old one.
func TestDryRunPrintsWhatARunDoes(t *testing.T) {
	t.Parallel()
	really, printed := newRig(t), newRig(t)
	file := printed.print(everything...)
	for _, when := range []string{"first", "second"} {
		want, res := really.run(append([]string{script}, everything...)...)
		if res.code != 0 || res.stdout != "" {
			t.Fatalf("%s run: exit %d, stdout %q\n%s", when, res.code, res.stdout, res.stderr)
		}
		got, res := printed.run(file)
		if res.code != 0 {
			t.Fatalf("%s run of what is printed: exit %d\n%s", when, res.code, res.stderr)
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s run (-run +printed):\n%s", when, diff)
		}
		if diff := gocmp.Diff(really.project(), printed.project()); diff != "" {
			t.Errorf("after the %s run (-run +printed):\n%s", when, diff)
		}
		if len(want) < 50 {
			t.Errorf("%s run made only %d calls", when, len(want))
		}
	}
}

// TestSecondRun: a second run may set things, but does not fail on what exists,
// and sets everything that can drift.
func TestSecondRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	all := append([]string{script}, everything...)
	if _, res := r.run(all...); res.code != 0 {
		t.Fatalf("first run: exit %d\n%s", res.code, res.stderr)
	}
	calls, res := r.run(all...)
	if res.code != 0 {
		t.Fatalf("second run: exit %d\n%s", res.code, res.stderr)
	}
	var updated []string
	for _, c := range calls {
		switch {
		case c.Verb == "create" && !c.is("firestore indexes composite") && !c.is("beta services identity"):
			t.Errorf("creates again: %s", c)
		case c.Verb == "update" && !c.is("firestore"):
			updated = append(updated, c.Thing)
		}
	}
	slices.Sort(updated)
	want := []string{
		"iam roles berth_jobs", "logging sinks berth-job-logs",
		"pubsub subscriptions berth-admit", "pubsub subscriptions berth-admit-blue", "pubsub subscriptions berth-admit-red", "pubsub subscriptions berth-dead-letters", "pubsub subscriptions berth-job-logs", "pubsub subscriptions berth-operators", "pubsub subscriptions berth-reconcile",
		"pubsub topics berth-requests", "pubsub topics berth-requests-blue", "pubsub topics berth-requests-red",
		"scheduler jobs berth-tick",
	}
	if diff := gocmp.Diff(want, updated); diff != "" {
		t.Errorf("updated by a second run (-want +got):\n%s", diff)
	}
	if n := len(only(calls, "functions deploy")); n != 3 {
		t.Errorf("a second run deploys %d functions, want 3", n)
	}
}

// registered returns the entry points of function.go, sorted.
func registered(t *testing.T) (names []string) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), "../function.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if s, ok := call.Fun.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == "functions" && len(call.Args) == 2 {
				if s.Sel.Name != "HTTP" {
					t.Errorf("functions.%s: only HTTP functions are deployed", s.Sel.Name)
				}
				name, err := strconv.Unquote(call.Args[0].(*ast.BasicLit).Value)
				if err != nil {
					t.Error(err)
				}
				names = append(names, name)
			}
		}
		return true
	})
	if len(names) == 0 {
		t.Fatal("function.go registers nothing")
	}
	slices.Sort(names)
	return names
}

// A name that is not registered makes the process exit at start, after a build
// of minutes, with "no matching function found".
func TestEntryPoints(t *testing.T) {
	t.Parallel()
	var entries []string
	for _, c := range only(deployed(t, everything...), "functions deploy") {
		entries = append(entries, c.flag("entry-point"))
		if want := "berth-" + strings.ToLower(c.flag("entry-point")); c.name() != want {
			t.Errorf("%s is deployed as %s, want %s", c.flag("entry-point"), c.name(), want)
		}
		if c.flag("runtime") != "go127" {
			t.Errorf("%s: runtime %q", c.name(), c.flag("runtime"))
		}
		if source, err := filepath.Abs(".."); err != nil || c.flag("source") != source {
			t.Errorf("%s: source %s, want %s", c.name(), c.flag("source"), source)
		}
	}
	slices.Sort(entries)
	if want := registered(t); !slices.Equal(want, entries) {
		t.Errorf("function.go registers %v, the script deploys %v", want, entries)
	}
}

// TestFunctionsAreClosed: only Pub/Sub reaches the functions that it calls, and
// a call without an account reaches none.
func TestFunctionsAreClosed(t *testing.T) {
	t.Parallel()
	for _, c := range only(deployed(t, everything...), "functions deploy") {
		want := "internal-only"
		if c.flag("entry-point") == "Status" {
			want = "all"
		}
		if got := c.flag("ingress-settings"); got != want {
			t.Errorf("%s: ingress %s, want %s", c.name(), got, want)
		}
		for _, flag := range []string{"gen2", "trigger-http", "no-allow-unauthenticated", "max-instances", "concurrency"} {
			if !c.has(flag) {
				t.Errorf("%s: without --%s", c.name(), flag)
			}
		}
		if "serviceAccount:"+c.flag("service-account") != runAs {
			t.Errorf("%s runs as %q, which may be the default account, an editor", c.name(), c.flag("service-account"))
		}
	}
}

func environment(t *testing.T, c command) map[string]string {
	t.Helper()
	list, ok := strings.CutPrefix(c.flag("set-env-vars"), "^;^") // gcloud: the separator is ";"
	if !ok {
		t.Fatalf("%s: --set-env-vars=%s", c.name(), c.flag("set-env-vars"))
	}
	env := map[string]string{}
	for _, pair := range strings.Split(list, ";") {
		name, value, _ := strings.Cut(pair, "=")
		if _, twice := env[name]; twice || value == "" {
			t.Errorf("%s: %s is set twice, or to nothing", c.name(), name)
		}
		env[name] = value
	}
	return env
}

// A variable that the code does not know is ignored without a word, and the
// setting with it.
func TestEnvironment(t *testing.T) {
	t.Parallel()
	known, required := map[string]bool{}, []string{}
	for f := range reflect.TypeFor[app.Config]().Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("env"), ",")
		known[name] = true
		if strings.Contains(options, "required") {
			required = append(required, name)
		}
	}
	if len(known) < 10 || len(required) == 0 {
		t.Fatalf("read %d variables, %d required", len(known), len(required))
	}
	for _, args := range [][]string{everything, {"--project=demo-project", "--region=us-central1"}} {
		for _, c := range only(deployed(t, args...), "functions deploy") {
			env := environment(t, c)
			for name := range env {
				if !known[name] {
					t.Errorf("%s: the code does not know %s", c.name(), name)
				}
			}
			for _, name := range required {
				if env[name] == "" {
					t.Errorf("%s: %s is required", c.name(), name)
				}
			}
			cfg := load(t, env)
			if limit := duration(t, c, "timeout"); cfg.Timeout != limit {
				t.Errorf("%s thinks it has %s, and has %s", c.name(), cfg.Timeout, limit)
			}
			wantRegions, wantDefault, wantWait, wantTenants := []string{"us-central1"}, "", 168*time.Hour, map[string]string(nil)
			if len(args) > 2 {
				wantRegions, wantDefault, wantWait = []string{"us-central1", "europe-west4", "us-east1"}, "a100", 24*time.Hour
				wantTenants = map[string]string{"berth-admit-red": "red", "berth-admit-blue": "blue"}
			}
			if !maps.Equal(cfg.Tenants, wantTenants) || cfg.Project != "demo-project" || !slices.Equal(cfg.Regions, wantRegions) || cfg.DefaultResource != wantDefault || cfg.MaxWait != wantWait {
				t.Errorf("%s: %+v", c.name(), cfg)
			}
		}
	}
}

// The names in the script must equal the defaults of the code: a function that
// is deployed without the script, with the required variables only, must find
// the same database and topic.
func TestNamesAreTheDefaults(t *testing.T) {
	t.Parallel()
	calls := deployed(t, everything...)
	byDefault := load(t, map[string]string{"BERTH_PROJECT": "demo-project", "BERTH_REGIONS": "us-central1"})
	for _, c := range only(calls, "functions deploy") {
		cfg := load(t, environment(t, c))
		if cfg.Database != byDefault.Database || cfg.OutcomeTopic != byDefault.OutcomeTopic || cfg.Deployment != byDefault.Deployment || cfg.Tick != byDefault.Tick {
			t.Errorf("%s: %+v, by default %+v", c.name(), cfg, byDefault)
		}
		if cfg.Ledger != "firestore" || cfg.Emulators || cfg.VertexEndpoint != "" {
			t.Errorf("%s: set up for a machine without a cloud: %+v", c.name(), cfg)
		}
	}
	databases := only(calls, "firestore databases create")
	if len(databases) != 1 || databases[0].name() != byDefault.Database {
		t.Fatalf("creates databases %v, the code opens %s", databases, byDefault.Database)
	}
	for flag, want := range map[string]string{"type": "firestore-native", "edition": "standard", "location": "us-central1"} {
		if got := databases[0].flag(flag); got != want {
			t.Errorf("database: --%s=%s, want %s", flag, got, want)
		}
	}
	if !databases[0].has("delete-protection") {
		t.Error("the database can be deleted by a slip")
	}
	var topics []string
	for _, c := range only(calls, "pubsub topics create") {
		topics = append(topics, c.name())
	}
	slices.Sort(topics)
	if want := []string{"berth-dead-letters", "berth-job-logs", "berth-operators", byDefault.OutcomeTopic, "berth-requests", "berth-requests-blue", "berth-requests-red", "berth-ticks"}; !slices.Equal(topics, want) {
		t.Errorf("topics %v, want %v", topics, want)
	}
}

// Two installations in one project share nothing.
func TestPrefix(t *testing.T) {
	t.Parallel()
	args := append(slices.Clone(everything), "--prefix=night-shift")
	for _, c := range deployed(t, args...) {
		for _, text := range append(slices.Clone(c.Words), slices.Concat(slices.Collect(maps.Values(c.Flags))...)...) {
			if plain := strings.ReplaceAll(text, "BERTH_", ""); strings.Contains(plain, "berth") && !strings.HasPrefix(text, "/") {
				t.Errorf("%s: %q is that of the default installation", c, text)
			}
		}
		if c.is("functions deploy") {
			if cfg := load(t, environment(t, c)); cfg.Deployment != "night-shift" || cfg.Database != "night-shift" || cfg.OutcomeTopic != "night-shift-outcomes" {
				t.Errorf("%s: %+v", c.name(), cfg)
			}
		}
	}
}

func TestSubscriptions(t *testing.T) {
	t.Parallel()
	calls := deployed(t, everything...)
	limit := map[string]time.Duration{} // timeout by URL of the function
	for _, c := range only(calls, "functions deploy") {
		limit["https://"+c.name()+".example.run.app"] = duration(t, c, "timeout")
	}
	subscriptions := only(calls, "pubsub subscriptions create")
	to := map[string]string{}
	for _, c := range subscriptions {
		name, endpoint := c.name(), c.flag("push-endpoint")
		to[name] = c.flag("topic") + " " + endpoint
		if c.flag("expiration-period") != "never" {
			t.Errorf("%s is deleted after a quiet month", name)
		}
		if endpoint == "" {
			continue
		}
		if ack := duration(t, c, "ack-deadline"); ack <= limit[endpoint] || ack > 10*time.Minute {
			t.Errorf("%s: ack deadline %s, function timeout %s: it would be delivered again while it is being worked on", name, ack, limit[endpoint])
		}
		if c.flag("min-retry-delay") != "10s" || c.flag("max-retry-delay") != "600s" {
			t.Errorf("%s: retry delays %q to %q", name, c.flag("min-retry-delay"), c.flag("max-retry-delay"))
		}
		if "serviceAccount:"+c.flag("push-auth-service-account") != pushAs || c.flag("push-auth-token-audience") != endpoint {
			t.Errorf("%s: pushes as %q to audience %q", name, c.flag("push-auth-service-account"), c.flag("push-auth-token-audience"))
		}
		// A dead letter is a request without an answer. Old ticks and hints among
		// them would make an operator publish them again as requests.
		if strings.HasPrefix(name, "berth-admit") || name == "berth-operators" {
			if c.flag("dead-letter-topic") != "berth-dead-letters" || c.flag("max-delivery-attempts") != "100" {
				t.Errorf("%s: dead letters to %q after %q attempts", name, c.flag("dead-letter-topic"), c.flag("max-delivery-attempts"))
			}
			// Trouble that lasts a night must not send good requests there.
			lasts, pause := time.Duration(0), duration(t, c, "min-retry-delay")
			for range 99 {
				lasts, pause = lasts+pause, min(2*pause, duration(t, c, "max-retry-delay"))
			}
			if lasts < 15*time.Hour {
				t.Errorf("%s gives a message up after %s", name, lasts)
			}
		} else if c.has("dead-letter-topic") || c.flag("message-retention-duration") != "10m" {
			t.Errorf("%s: want no dead letters and the shortest retention, which is 10m; have %v", name, c.Flags)
		}
	}
	want := map[string]string{
		"berth-admit":        "berth-requests https://berth-admit.example.run.app",
		"berth-admit-red":    "berth-requests-red https://berth-admit.example.run.app",
		"berth-admit-blue":   "berth-requests-blue https://berth-admit.example.run.app",
		"berth-operators":    "berth-operators https://berth-admit.example.run.app",
		"berth-reconcile":    "berth-ticks https://berth-reconcile.example.run.app",
		"berth-job-logs":     "berth-job-logs https://berth-reconcile.example.run.app",
		"berth-dead-letters": "berth-dead-letters ",
	}
	if diff := gocmp.Diff(want, to); diff != "" {
		t.Errorf("subscriptions (-want +got):\n%s", diff)
	}

	// An update has to set all that a creation sets, but the topic, which cannot be
	// changed.
	r := newRig(t)
	for range 2 {
		calls, _ = r.run(append([]string{script}, everything...)...)
	}
	updates := only(calls, "pubsub subscriptions update")
	for i, c := range subscriptions {
		if i >= len(updates) {
			t.Fatalf("%d subscriptions are created, %d updated", len(subscriptions), len(updates))
		}
		if diff := gocmp.Diff(c.Flags, updates[i].Flags, cmpopts.IgnoreMapEntries(func(flag string, _ []string) bool { return flag == "topic" })); diff != "" {
			t.Errorf("%s (-created +updated):\n%s", c.name(), diff)
		}
	}
}

func TestTick(t *testing.T) {
	t.Parallel()
	calls := deployed(t, everything...)
	jobs := only(calls, "scheduler jobs create pubsub")
	if len(jobs) != 1 {
		t.Fatalf("%d scheduler jobs", len(jobs))
	}
	for _, c := range only(calls, "functions deploy") {
		// An observation older than two ticks admits nothing: were ticks rarer than the
		// function thinks, nothing would be admitted most of the time.
		if cfg := load(t, environment(t, c)); cfg.Tick != time.Minute || jobs[0].flag("schedule") != "* * * * *" {
			t.Errorf("%s expects a tick every %s; schedule %q", c.name(), cfg.Tick, jobs[0].flag("schedule"))
		}
	}
	if got := jobs[0].flag("topic"); got != "projects/demo-project/topics/berth-ticks" {
		t.Errorf("ticks go to %s", got)
	}
}

// What a restore of the database needs: versions, backups, and the requests that came
// after the backup, for as long as versions are kept.
func TestBackups(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, verb := range []string{"create", "update"} { // the first run creates, the second updates
		calls, res := r.run(append([]string{script}, everything...)...)
		if res.code != 0 {
			t.Fatal(res.stderr)
		}
		for _, flag := range []string{"enable-pitr", "delete-protection"} {
			if c := only(calls, "firestore databases "+verb); len(c) != 1 || c[0].flag("database") != "berth" || !c[0].has(flag) {
				t.Errorf("%s without --%s: %v", verb, flag, c)
			}
		}
		if c := only(calls, "firestore backups schedules create"); verb == "create" && (len(c) != 1 || c[0].flag("recurrence") != "daily" || c[0].flag("retention") != "14d" || c[0].flag("database") != "berth") {
			t.Errorf("backups: %v", c)
		}
		for _, topic := range []string{"berth-requests", "berth-requests-red", "berth-requests-blue"} {
			if c := only(calls, "pubsub topics "+verb+" "+topic); len(c) != 1 || c[0].flag("message-retention-duration") != "7d" {
				t.Errorf("%s %s: %v", verb, topic, c)
			}
		}
	}
}

// The emulators answer any query without an index; the service refuses.
func TestIndexes(t *testing.T) {
	t.Parallel()
	calls := deployed(t, everything...)
	var want, got []string
	for _, i := range gcp.Indexes {
		want = append(want, i.Collection+" "+strings.Join(i.Fields, " "))
	}
	exempt := map[string]bool{}
	for _, c := range only(calls, "firestore indexes fields update") {
		switch collection := c.flag("collection-group"); {
		case c.name() == "*" && c.has("disable-indexes"):
			exempt[collection] = true
		case c.flag("index") == "order=ascending":
			got = append(got, collection+" "+c.name())
		default:
			t.Errorf("%s: %v", c, c.Flags)
		}
	}
	for _, c := range only(calls, "firestore indexes composite create") {
		fields := []string{c.flag("collection-group")}
		for _, f := range c.Flags["field-config"] {
			name, mode, _ := strings.Cut(strings.TrimPrefix(f, "field-path="), ",")
			switch mode {
			case "order=ascending":
				fields = append(fields, name)
			case "array-config=contains":
				fields = append(fields, name+"[]")
			default:
				t.Errorf("%s: %s", c, f)
			}
		}
		got = append(got, strings.Join(fields, " "))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("indexes (-internal/gcp +script):\n%s", diff)
	}
	for _, kind := range ledger.Kinds() {
		if !exempt[string(kind)] {
			t.Errorf("every field of %s is indexed: add it to the collections in deploy.sh whose default indexes are switched off", kind)
		}
		delete(exempt, string(kind))
	}
	if len(exempt) != 0 {
		t.Errorf("deploy.sh switches off the indexes of %v, of which the ledger has no documents", exempt)
	}
	ttl := only(calls, "firestore fields ttls update")
	if len(ttl) != 1 || ttl[0].name() != gcp.ExpireField || ttl[0].flag("collection-group") != gcp.Requests || !ttl[0].has("enable-ttl") {
		t.Errorf("time to live: %v", ttl)
	}
	for _, c := range slices.Concat(only(calls, "firestore indexes"), ttl) {
		if c.flag("database") != "berth" {
			t.Errorf("%s is for database %q", c, c.flag("database"))
		}
	}
}

// grants are all rights that are given, by the script and by Terraform. A new one needs a
// line here, and a reason that fits into it.
var grants = []string{
	// Submit, follow and cancel jobs: jobs have no policy of their own.
	"projects demo-project: projects/demo-project/roles/berth_jobs to " + runAs + " if None",
	// One database, not all of the project.
	"projects demo-project: roles/datastore.user to " + runAs + ` if expression=resource.name=="projects/demo-project/databases/berth",title=berth-database-only`,
	"projects demo-project: roles/logging.logWriter to " + buildAs + " if None",
	// The bucket that function sources are put into, not those with training data.
	"projects demo-project: roles/storage.objectViewer to " + buildAs + ` if expression=resource.name.startsWith("projects/_/buckets/gcf-v2-sources-123456789-us-central1"),title=berth-build-sources-only`,
	"artifacts repositories berth: roles/artifactregistry.writer to " + buildAs,
	// Run jobs as these accounts and no others.
	"iam service-accounts " + jobA + ": roles/iam.serviceAccountUser to " + runAs + " if None",
	"iam service-accounts " + jobB + ": roles/iam.serviceAccountUser to " + runAs + " if None",
	// Outcomes, not requests: otherwise an attacker who controls a function
	// could publish jobs.
	"pubsub topics berth-outcomes: roles/pubsub.publisher to " + runAs,
	"pubsub topics berth-requests: roles/pubsub.publisher to " + publisher,
	// The topic of a request decides its tenant.
	"pubsub topics berth-requests-red: roles/pubsub.publisher to " + submitter,
	"pubsub topics berth-operators: roles/pubsub.publisher to " + operator,
	"pubsub topics berth-job-logs: roles/pubsub.publisher to serviceAccount:sink@example.iam.gserviceaccount.com",
	// The rights of Pub/Sub itself: to push with a token, and to move dead
	// letters by a publication and an acknowledgement.
	"iam service-accounts " + strings.TrimPrefix(pushAs, "serviceAccount:") + ": roles/iam.serviceAccountTokenCreator to " + pubsubAs + " if None",
	"pubsub topics berth-dead-letters: roles/pubsub.publisher to " + pubsubAs,
	"pubsub subscriptions berth-admit: roles/pubsub.subscriber to " + pubsubAs,
	"pubsub subscriptions berth-admit-red: roles/pubsub.subscriber to " + pubsubAs,
	"pubsub subscriptions berth-admit-blue: roles/pubsub.subscriber to " + pubsubAs,
	"pubsub subscriptions berth-operators: roles/pubsub.subscriber to " + pubsubAs,
	"run services berth-admit: roles/run.invoker to " + pushAs + " if None",
	"run services berth-reconcile: roles/run.invoker to " + pushAs + " if None",
	"run services berth-status: roles/run.invoker to " + reader + " if None",
}

func TestGrants(t *testing.T) {
	t.Parallel()
	want := slices.Clone(grants)
	calls := deployed(t, everything...)
	var got []string
	for _, c := range calls {
		if c.Verb != "add-iam-policy-binding" {
			continue
		}
		line := c.Thing + ": " + c.flag("role") + " to " + c.flag("member")
		if c.has("condition") {
			line += " if " + c.flag("condition")
		}
		got = append(got, line)
		if role := c.flag("role"); slices.Contains([]string{"roles/owner", "roles/editor", "roles/viewer"}, role) || strings.HasSuffix(role, ".admin") {
			t.Errorf("%s is never needed", line)
		}
		if c.is("projects") && (c.flag("role") == "roles/iam.serviceAccountUser" || c.flag("role") == "roles/iam.serviceAccountTokenCreator") {
			t.Errorf("%s: on the project it is for every account there", line)
		}
		// gcloud asks, and without a terminal fails, once one binding of a policy has
		// a condition.
		if c.is("projects") && !c.has("condition") {
			t.Errorf("%s: says nothing of a condition", line)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("grants (-want +script):\n%s", diff)
	}

	roles := only(calls, "iam roles create")
	if len(roles) != 1 {
		t.Fatalf("%d custom roles", len(roles))
	}
	permissions := strings.Split(roles[0].flag("permissions"), ",")
	slices.Sort(permissions)
	if want := needed(t, "aiplatform"); !slices.Equal(permissions, want) {
		t.Errorf("the custom role permits %v, the calls of internal/gcp need %v", permissions, want)
	}
}

// Without flags that grant a right, no member outside gets one.
func TestLeastCommandLine(t *testing.T) {
	t.Parallel()
	for _, c := range deployed(t, "--project=demo-project", "--region=us-central1") {
		member := c.flag("member")
		if member != "" && !slices.Contains([]string{runAs, pushAs, buildAs, pubsubAs}, member) {
			t.Errorf("%s: %s", c, member)
		}
		if c.is("logging") || c.flag("role") == "roles/iam.serviceAccountUser" || c.is("run services add-iam-policy-binding berth-status") {
			t.Errorf("%s: no flag asked for it", c)
		}
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	good := []string{"--project=demo-project", "--region=us-central1"}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--help"}, 0, ""},
		{[]string{}, 2, "--project is missing"},
		{good[:1], 2, "--region is missing"},
		{append(good, "--regoin=x"), 2, "unknown flag --regoin"},
		{append(good, "here"), 2, `unexpected argument "here"`},
		{append(good, "--prefix"), 2, "value is missing"},
		{append(good, "--prefix=ab"), 2, "4 to 20"},
		{append(good, "--project=123456"), 2, "project id"},
		{append(good, "--project=a$(x)b12"), 2, "project id"},
		{append(good, "--region=us-central1;x"), 2, "region"},
		{append(good, "--region="), 2, "region"},
		{append(good, "--region=europe-west4,us-central1"), 2, "--region: us-central1 is given twice"},
		{append(good, "--region=us-east1\nus-west1"), 2, "--region: has more than one line"},
		{append(good, "--publisher=allUsers"), 2, "allUsers"},
		{append(good, "--status-user=allAuthenticatedUsers"), 2, "member"},
		{append(good, "--publisher=ann@example.com"), 2, "member"},
		{append(good, "--operator=ann@example.com"), 2, "member"},
		{append(good, "--env=BERTH_OPERATORS_SUBSCRIPTION=x"), 2, "follows from the other flags"},
		{append(good, "--job-service-account=*"), 2, "service account"},
		{append(good, "--env=PATH=x"), 2, "BERTH_NAME=VALUE"},
		{append(good, "--env=BERTH_TENANTS=a:b;BERTH_EMULATORS=true"), 2, "BERTH_NAME=VALUE"},
		{append(good, "--env=BERTH_TIMEOUT=10s"), 2, "follows from the other flags"},
		{append(good, "--env=BERTH_EMULATORS=true"), 2, "without a cloud"},
		{append(good, "--runtime=python312"), 2, "Go runtime"},
		{append(good, "--default-resource=a/b"), 2, "persistentResources"},
		{append(good, "--env=BERTH_MAX_WAITS=1h"), 2, "BERTH_MAX_WAITS is not a setting of the functions; the settings are: BERTH_PROJECT"},
		{append(good, "--env=OTEL_EXPORTER_OTLP_ENDPOIN=http://localhost:4318"), 2, "OTEL_EXPORTER_OTLP_ENDPOIN is not a setting of the functions"},
		{append(good, "--env=BERTH_MAX_WAIT=1h", "--env", "BERTH_MAX_WAIT=2h"), 2, "BERTH_MAX_WAIT is given twice"},
		{append(good, "--tenant=Red"), 2, "--tenant: \"Red\" is not a name"},
		{append(good, "--tenant=red=allUsers"), 2, "--tenant: \"allUsers\" is not a member"},
		{append(good, "--tenant==group:a@example.com"), 2, "is not a name"},
		{append(good, "--tenant=default"), 2, "see --publisher"},
		{append(good, "--tenant=operators"), 2, "the tenant of the answers to operators"},
		{append(good, "--tenant=red", "--env=BERTH_TENANTS=x:red"), 2, "BERTH_TENANTS follows from --tenant"},
		{append(good, "--yes"), 2, "--yes: belongs to --undeploy"},
		{append(good, "--undeploy=maybe"), 2, "--undeploy=maybe: takes true or false"},
		{append(good, "--undeploy", "--yes"), 1, "gcloud is not installed"},
		{append(good, "--dry-run=maybe"), 2, "--dry-run=maybe: takes true or false"},
		{append(good, "--log-sink=1"), 2, "takes true or false"},
		{[]string{"--project", "--region=us-central1"}, 2, "--project: unknown, or its value is missing"},
		{append(good, "--dry-run=false"), 1, "gcloud is not installed"},
		{good, 1, "gcloud is not installed"},
	} {
		res := runBash(t, []string{"PATH=" + t.TempDir()}, append([]string{script}, c.args...)...)
		if res.code != c.code || !strings.Contains(res.stderr, c.says) {
			t.Errorf("%q: exit %d, want %d and %q\n%s", c.args, res.code, c.code, c.says, res.stderr)
		}
		if help := c.code == 0; help != strings.Contains(res.stdout, "usage:") {
			t.Errorf("%q: stdout %q", c.args, res.stdout)
		}
	}
}

// Every flag is taken with "=" and with a space, the switches also with a value.
func TestFlagForms(t *testing.T) {
	t.Parallel()
	equals := []string{"--project=demo-project", "--region=us-central1", "--default-resource=a100", "--job-service-account=" + jobA,
		"--publisher=" + publisher, "--tenant=red=" + submitter, "--operator=" + operator, "--status-user=" + reader, "--env=BERTH_MAX_WAIT=24h", "--runtime=go127", "--prefix=night-shift", "--log-sink=true"}
	var spaces []string
	for _, arg := range equals[:len(equals)-1] {
		flag, value, _ := strings.Cut(arg, "=")
		spaces = append(spaces, flag, value)
	}
	want := dryRun(t, equals...)
	if got := dryRun(t, append(spaces, "--log-sink")...); got != want {
		t.Errorf("with spaces (-equals +spaces):\n%s", gocmp.Diff(want, got))
	}
	if got := dryRun(t, append(spaces, "--log-sink", "--log-sink=false")...); strings.Contains(got, "logging sinks") {
		t.Error("--log-sink=false makes a log sink")
	}
}

// If Go is installed, the code's own validation checks the values before
// anything is called or printed, in any environment of the caller.
func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		setting, says string
	}{
		{"BERTH_MAX_WAIT=2000h", "BERTH_MAX_WAIT is 2000h0m0s; want 1s to 720h0m0s"},
		{"BERTH_POLL=soon", "Poll"},
		{"BERTH_TENANTS=berth-admit:Team", "BERTH_TENANTS: tenant"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=localhost:4318", `OTEL_EXPORTER_OTLP_ENDPOINT "localhost:4318": want a URL`},
		{"BERTH_MAX_WAIT=24h", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318", ""},
	} {
		res := runBash(t, append(os.Environ(), "BERTH_TICK=never", "OTEL_TRACES_SAMPLER=never", "BERTH_PROJECT=x"),
			script, "--dry-run", "--project=demo-project", "--region=us-central1", "--env="+c.setting)
		if c.says == "" {
			if res.code != 0 || strings.Contains(res.stderr, "not checked") {
				t.Errorf("%s: exit %d\n%s", c.setting, res.code, res.stderr)
			}
			if !strings.Contains(res.stdout, c.setting) {
				t.Errorf("%s is not in what is printed", c.setting)
			}
			continue
		}
		if res.code != 2 || !strings.Contains(res.stderr, c.says) || res.stdout != "" || strings.Count(res.stderr, "\n") != 2 {
			t.Errorf("%s: exit %d, stdout %q, stderr\n%s", c.setting, res.code, res.stdout, res.stderr)
		}
	}
	res := runBash(t, []string{"PATH=" + t.TempDir()}, script, "--dry-run", "--project=demo-project", "--region=us-central1", "--env=BERTH_POLL=soon")
	if res.code != 0 || !strings.Contains(res.stderr, "go is not installed: the values of settings are not checked") {
		t.Errorf("without Go: exit %d\n%s", res.code, res.stderr)
	}
}

// The table of gcloud's shell completion has all flags. Without this test a misspelt
// flag fails when half of a deployment has been created.
func TestFlagsAreGclouds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var calls []command
	for _, more := range [][]string{nil, nil, {"--undeploy", "--yes"}} { // creations, updates, deletions
		made, _ := r.run(slices.Concat([]string{script}, everything, more)...)
		calls = append(calls, made...)
	}
	holdFlags(t, append(calls, recipeCalls(t)...))
}

// holdFlags holds commands and flags against those that the gcloud installed here has.
func holdFlags(t *testing.T, calls []command) {
	t.Helper()
	link, err := exec.LookPath("gcloud")
	if err != nil {
		t.Skip("gcloud is not installed: ", err)
	}
	gcloud, err := filepath.EvalSymlinks(link)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(filepath.Dir(gcloud), "..", "data", "cli", "gcloud_completions.py")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Skip("this gcloud has no completion table: ", err)
	}
	type node struct {
		Commands map[string]node
		Flags    map[string]any // "bool", "value", "dynamic", or a list of choices
	}
	var root node
	if err := json.NewDecoder(strings.NewReader(string(data[strings.IndexByte(string(data), '{'):]))).Decode(&root); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	for _, c := range calls {
		n := root
		for _, w := range c.Words {
			next, ok := n.Commands[w]
			if !ok {
				break
			}
			n = next
		}
		if len(n.Commands) > 0 {
			t.Errorf("%s: gcloud has no such command", c)
			continue
		}
		for name, values := range c.Flags {
			kind, ok := n.Flags["--"+name]
			if !ok {
				kind, ok = root.Flags["--"+name]
			}
			if positive, isNo := strings.CutPrefix(name, "no-"); !ok && isNo {
				kind, ok = n.Flags["--"+positive]
			}
			if !ok {
				t.Errorf("%s: gcloud does not know --%s", c, name)
				continue
			}
			for _, v := range values {
				if choices, ok := kind.([]any); ok && !slices.Contains(choices, any(v)) {
					t.Errorf("%s: --%s=%s; gcloud takes %v", c, name, v, choices)
				}
				if (kind == "bool") != (v == "") {
					t.Errorf("%s: --%s=%q; gcloud says %v", c, name, v, kind)
				}
			}
		}
	}
}

func TestShell(t *testing.T) {
	t.Parallel()
	if res := runBash(t, nil, "-n", script); res.code != 0 {
		t.Error(res.stderr)
	}
	shellcheck, err := exec.LookPath("shellcheck")
	if err != nil {
		t.Skip("shellcheck is not installed: ", err)
	}
	if out, err := exec.Command(shellcheck, script, "../.ci/run").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func load(t *testing.T, env map[string]string) app.Config {
	t.Helper()
	cfg, err := app.LoadConfig(context.Background(), envconfig.MapLookuper(env))
	if err != nil {
		t.Errorf("the code refuses %v: %v", env, err)
	}
	return cfg
}

// duration reads a flag in seconds, with a unit or without.
func duration(t *testing.T, c command, flag string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(strings.TrimSuffix(cmp.Or(c.flag(flag), "none"), "s") + "s")
	if err != nil {
		t.Error(fmt.Errorf("%s: --%s: %w", c, flag, err))
	}
	return d
}

// Whoever deploys reads the same list of roles in both places.
func TestRolesOfWhoeverDeploys(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("deploying.md")
	if err != nil {
		t.Fatal(err)
	}
	help := runBash(t, []string{"PATH=" + t.TempDir()}, script, "--help").stdout
	role := regexp.MustCompile(`roles/[a-zA-Z.]+`)
	roles := func(text string) []string {
		all := role.FindAllString(text, -1)
		slices.Sort(all)
		return slices.Compact(all)
	}
	if diff := gocmp.Diff(roles(string(page)), roles(help)); diff != "" || len(roles(help)) < 10 {
		t.Errorf("roles (-page +help):\n%s", diff)
	}
}
