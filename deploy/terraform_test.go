package deploy

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"example.com/berth/internal/app"
	"example.com/berth/internal/gcp"
	"example.com/berth/internal/ledger"
)

// sameAsScript are the variables that stand for the flags of everything.
const sameAsScript = `{
  "project": "demo-project", "regions": ["us-central1", "europe-west4", "us-east1"], "default_resource": "a100",
  "tenants": {"red": {"publishers": ["` + submitter + `"]}, "blue": {}},
  "job_service_accounts": ["` + jobA + `", "` + jobB + `"], "publishers": ["` + publisher + `"], "operators": ["` + operator + `"],
  "status_users": ["` + reader + `"], "settings": {"BERTH_MAX_WAIT": "24h"}, "log_sink": true, "runtime": "go127"
}`

// leastVariables are those without a default.
const leastVariables = `{"project": "demo-project", "regions": ["us-central1"]}`

const withTenants = `{"project": "demo-project", "regions": ["us-central1"], "publishers": ["group:all@example.com"], "submissions_per_minute": 30,
  "tenants": {"red": {"publishers": ["group:red@example.com"]}, "blue-2": {"publishers": ["group:blue@example.com", "user:bo@example.com"]}}}`

// functionsOf returns the functions of a configuration by entry point.
func functionsOf(t *testing.T, p *plan) map[string]instance {
	t.Helper()
	byEntry := map[string]instance{}
	for _, f := range p.all(t, "google_cloud_run_v2_service") {
		byEntry[environmentOf(t, f)["FUNCTION_TARGET"]] = f
	}
	return byEntry
}

func environmentOf(t *testing.T, f instance) map[string]string {
	t.Helper()
	env := map[string]string{}
	list, _ := f.at("template.0.containers.0.env").([]any)
	for _, each := range list {
		pair := instance(each.(map[string]any))
		if env[pair.text("name")] != "" || pair.text("value") == "" {
			t.Errorf("%s: %s is set twice, or to nothing", f.text("name"), pair.text("name"))
		}
		env[pair.text("name")] = pair.text("value")
	}
	return env
}

// A name that is not registered makes the process exit at start.
func TestTerraformEntryPoints(t *testing.T) {
	t.Parallel()
	p := configuration(t, "terraform", sameAsScript)
	entries := slices.Sorted(maps.Keys(functionsOf(t, p)))
	if want := registered(t); !slices.Equal(want, entries) {
		t.Errorf("function.go registers %v, Terraform deploys %v", want, entries)
	}
	builds := p.all(t, "google_cloudfunctions2_function")
	if len(builds) != 1 {
		t.Fatalf("%d builds, want one", len(builds))
	}
	for _, b := range builds {
		if entry := b.text("build_config.0.entry_point"); !slices.Contains(entries, entry) || b.text("build_config.0.runtime") != "go127" {
			t.Errorf("builds %q for %q", entry, b.text("build_config.0.runtime"))
		}
		if b.text("service_config.0.ingress_settings") != "ALLOW_INTERNAL_ONLY" {
			t.Error("the function that builds can be called from outside")
		}
		if _, updated := b.at("build_config.0.on_deploy_update_policy").([]any); !updated {
			t.Error("under automatic updates the image has no operating system, and the services cannot run it")
		}
	}
}

// Both ways to deploy make the same functions.
func TestTerraformFunctionsAreTheScripts(t *testing.T) {
	t.Parallel()
	byEntry := functionsOf(t, configuration(t, "terraform", sameAsScript))
	for _, c := range only(deployed(t, everything...), "functions deploy") {
		f := byEntry[c.flag("entry-point")]
		want := map[string]string{
			"name": c.name(), "location": c.flag("region"), "account": c.flag("service-account"), "timeout": c.flag("timeout"),
			"max": c.flag("max-instances"), "concurrency": c.flag("concurrency"), "memory": c.flag("memory"), "cpu": c.flag("cpu"),
			"ingress": map[string]string{"internal-only": "INGRESS_TRAFFIC_INTERNAL_ONLY", "all": "INGRESS_TRAFFIC_ALL"}[c.flag("ingress-settings")],
		}
		got := map[string]string{
			"name": f.text("name"), "location": f.text("location"), "account": f.text("template.0.service_account"), "timeout": f.text("template.0.timeout"),
			"max": fmt.Sprint(f.at("template.0.scaling.0.max_instance_count")), "concurrency": fmt.Sprint(f.at("template.0.max_instance_request_concurrency")),
			"memory": f.text("template.0.containers.0.resources.0.limits.memory"), "cpu": f.text("template.0.containers.0.resources.0.limits.cpu"),
			"ingress": f.text("ingress"),
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-script +Terraform):\n%s", c.name(), diff)
		}
		wantEnv, gotEnv := environment(t, c), environmentOf(t, f)
		wantEnv["FUNCTION_TARGET"] = c.flag("entry-point")
		delete(gotEnv, "BERTH_SUBMISSIONS") // the script leaves it at its default
		for _, env := range []map[string]string{wantEnv, gotEnv} {
			tenants := strings.Split(env["BERTH_TENANTS"], ",")
			slices.Sort(tenants)
			env["BERTH_TENANTS"] = strings.Join(tenants, ",")
		}
		if diff := gocmp.Diff(wantEnv, gotEnv); diff != "" {
			t.Errorf("%s: environment (-script +Terraform):\n%s", c.name(), diff)
		}
	}
	for entry, f := range byEntry {
		resources := "template.0.containers.0.resources.0."
		if f.at(resources+"cpu_idle") != true || f.at(resources+"startup_cpu_boost") != true {
			t.Errorf("%s: want CPU during requests only, and a boost at startup", entry)
		}
		if f.number("template.0.containers.0.startup_probe.0.tcp_socket.0.port") != 8080 {
			t.Errorf("%s has no startup probe of its port", entry)
		}
		if !strings.Contains(f.text("template.0.containers.0.image"), "google_cloud_run_v2_service.build") {
			t.Errorf("%s runs %q, not the image of the one build", entry, f.text("template.0.containers.0.image"))
		}
	}
}

// A variable that the code does not know is ignored, and the setting with it.
func TestTerraformEnvironment(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"FUNCTION_TARGET": true} // of the functions framework
	for f := range reflect.TypeFor[app.Config]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("env"), ",")
		known[name] = true
	}
	for variables, submissions := range map[string]int{sameAsScript: 60, leastVariables: 60, withTenants: 30} {
		p := configuration(t, "terraform", variables)
		for entry, f := range functionsOf(t, p) {
			env := environmentOf(t, f)
			for name := range env {
				if !known[name] {
					t.Errorf("%s: the code does not know %s", entry, name)
				}
			}
			cfg := load(t, env)
			if limit, err := time.ParseDuration(f.text("template.0.timeout")); err != nil || cfg.Timeout != limit {
				t.Errorf("%s thinks it has %s, and has %s", entry, cfg.Timeout, limit)
			}
			if cfg.Submissions != submissions || cfg.Ledger != "firestore" || cfg.Emulators || !cfg.RunIAM {
				t.Errorf("%s: %+v", entry, cfg)
			}
		}
		locals, err := p.local("known_settings")
		if err != nil {
			t.Fatal(err)
		}
		var settings []string
		for _, v := range locals.AsValueSlice() {
			settings = append(settings, v.AsString())
		}
		want := slices.DeleteFunc(slices.Sorted(maps.Keys(known)), func(name string) bool { return name == "FUNCTION_TARGET" })
		slices.Sort(settings)
		if diff := gocmp.Diff(want, settings); diff != "" {
			t.Errorf("settings that Terraform reads from the code (-code +Terraform):\n%s", diff)
		}
	}
}

// A setting that both ways refuse is one that they set themselves.
func TestTerraformRefusesTheSettingsThatTheScriptRefuses(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	var refused []string
	for _, list := range regexp.MustCompile(`(?m)^ *(BERTH_[A-Z_]+(?: \| BERTH_[A-Z_]+)*)\)$`).FindAllStringSubmatch(string(text), -1) {
		refused = append(refused, strings.Split(list[1], " | ")...)
	}
	// Terraform makes the subscriptions of tenants, and reads the quota.
	refused = append(refused, "BERTH_TENANTS", "BERTH_SUBMISSIONS")
	p := configuration(t, "terraform", leastVariables)
	var own []string
	for _, name := range []string{"managed_settings", "local_settings"} {
		v, err := p.local(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range v.AsValueSlice() {
			own = append(own, each.AsString())
		}
	}
	slices.Sort(own)
	slices.Sort(refused)
	if diff := gocmp.Diff(refused, own); diff != "" {
		t.Errorf("settings that are refused (-script +Terraform):\n%s", diff)
	}
}

// flagsOf returns a subscription as the flags that create it.
func flagsOf(s instance) map[string]string {
	flags := map[string]string{
		"topic": filepath.Base(s.text("topic")), "ack-deadline": fmt.Sprint(s.at("ack_deadline_seconds")),
		"expiration-period": map[any]string{"": "never"}[s.at("expiration_policy.0.ttl")],
	}
	for flag, path := range map[string]string{
		"push-endpoint": "push_config.0.push_endpoint", "push-auth-service-account": "push_config.0.oidc_token.0.service_account_email",
		"push-auth-token-audience": "push_config.0.oidc_token.0.audience", "min-retry-delay": "retry_policy.0.minimum_backoff",
		"max-retry-delay": "retry_policy.0.maximum_backoff", "dead-letter-topic": "dead_letter_policy.0.dead_letter_topic",
	} {
		if v := s.text(path); v != "" {
			flags[flag] = v
		}
	}
	if flags["dead-letter-topic"] != "" {
		flags["dead-letter-topic"] = filepath.Base(flags["dead-letter-topic"])
		flags["max-delivery-attempts"] = fmt.Sprint(s.at("dead_letter_policy.0.max_delivery_attempts"))
	}
	flags["message-retention-duration"] = map[string]string{"600s": "10m", "2678400s": "31d"}[s.text("message_retention_duration")]
	if flags["message-retention-duration"] == "" && s.text("message_retention_duration") == "604800s" {
		delete(flags, "message-retention-duration") // Pub/Sub's default
	}
	return flags
}

// daysOf is a duration as gcloud takes it: 7d.
func daysOf(t *testing.T, text string) time.Duration {
	t.Helper()
	days, err := strconv.Atoi(strings.TrimSuffix(text, "d"))
	if err != nil || !strings.HasSuffix(text, "d") {
		t.Fatalf("%q is no number of days", text)
	}
	return time.Duration(days) * 24 * time.Hour
}

func TestTerraformSubscriptionsAreTheScripts(t *testing.T) {
	t.Parallel()
	calls := deployed(t, everything...)
	p := configuration(t, "terraform", sameAsScript)
	want, got := map[string]map[string]string{}, map[string]map[string]string{}
	for _, c := range only(calls, "pubsub subscriptions create") {
		want[c.name()] = map[string]string{}
		for flag := range c.Flags {
			if !slices.Contains([]string{"project", "quiet"}, flag) {
				want[c.name()][flag] = c.flag(flag)
			}
		}
	}
	for _, s := range p.all(t, "google_pubsub_subscription") {
		got[s.text("name")] = flagsOf(s)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("subscriptions (-script +Terraform):\n%s", diff)
	}
	var topics, made []string
	for _, c := range only(calls, "pubsub topics create") {
		kept := ""
		if c.has("message-retention-duration") {
			kept = fmt.Sprintf(" keeps messages for %.0f s", daysOf(t, c.flag("message-retention-duration")).Seconds())
		}
		topics = append(topics, c.name()+kept)
	}
	for _, topic := range p.all(t, "google_pubsub_topic") {
		kept := ""
		if s := topic.text("message_retention_duration"); s != "" {
			kept = " keeps messages for " + strings.TrimSuffix(s, "s") + " s"
		}
		made = append(made, topic.text("name")+kept)
	}
	slices.Sort(topics)
	slices.Sort(made)
	if !slices.Equal(topics, made) {
		t.Errorf("the script makes topics %v, Terraform %v", topics, made)
	}
	for _, f := range functionsOf(t, p) {
		limit, err := time.ParseDuration(f.text("template.0.timeout"))
		if err != nil {
			t.Fatal(err)
		}
		for name, flags := range got {
			if flags["push-endpoint"] == f.text("uri") && flags["ack-deadline"] != fmt.Sprint((limit+30*time.Second).Seconds()) {
				t.Errorf("%s: acknowledgement deadline %s s, function timeout %s", name, flags["ack-deadline"], limit)
			}
		}
	}
}

// Each tenant has a request topic and a subscription of its own, which the code maps to
// it, and only its publishers may publish there.
func TestTerraformTenants(t *testing.T) {
	t.Parallel()
	p := configuration(t, "terraform", withTenants)
	cfg := load(t, environmentOf(t, functionsOf(t, p)["Admit"]))
	if diff := gocmp.Diff(map[string]string{"berth-admit-red": "red", "berth-admit-blue-2": "blue-2"}, map[string]string(cfg.Tenants)); diff != "" {
		t.Errorf("tenants (-want +got):\n%s", diff)
	}
	subscriptions := map[string]instance{}
	for _, s := range p.all(t, "google_pubsub_subscription") {
		subscriptions[s.text("name")] = s
	}
	defaultOne := flagsOf(subscriptions["berth-admit"])
	for subscription, tenant := range cfg.Tenants {
		want := maps.Clone(defaultOne)
		want["topic"] = "berth-requests-" + tenant
		if diff := gocmp.Diff(want, flagsOf(subscriptions[subscription])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", subscription, diff)
		}
	}
	got := map[string][]string{}
	for _, g := range p.all(t, "google_pubsub_topic_iam_member") {
		if strings.HasPrefix(g.text("topic"), "berth-requests") {
			got[g.text("topic")] = append(got[g.text("topic")], g.text("member"))
		}
	}
	for _, members := range got {
		slices.Sort(members)
	}
	if diff := gocmp.Diff(map[string][]string{
		"berth-requests": {"group:all@example.com"}, "berth-requests-red": {"group:red@example.com"},
		"berth-requests-blue-2": {"group:blue@example.com", "user:bo@example.com"},
	}, got); diff != "" {
		t.Errorf("who may publish (-want +got):\n%s", diff)
	}
	var dead []string
	for _, g := range p.all(t, "google_pubsub_subscription_iam_member") {
		dead = append(dead, g.text("subscription")+" "+g.text("role")+" "+g.text("member"))
	}
	slices.Sort(dead)
	if want := []string{
		"berth-admit roles/pubsub.subscriber " + pubsubAs, "berth-admit-blue-2 roles/pubsub.subscriber " + pubsubAs,
		"berth-admit-red roles/pubsub.subscriber " + pubsubAs, "berth-operators roles/pubsub.subscriber " + pubsubAs,
	}; !slices.Equal(want, dead) {
		t.Errorf("without these no dead letter is ever made: want %v, have %v", want, dead)
	}
}

func TestTerraformTick(t *testing.T) {
	t.Parallel()
	p := configuration(t, "terraform", sameAsScript)
	jobs := p.all(t, "google_cloud_scheduler_job")
	if len(jobs) != 1 {
		t.Fatalf("%d scheduler jobs", len(jobs))
	}
	for _, j := range jobs {
		for _, f := range functionsOf(t, p) {
			if cfg := load(t, environmentOf(t, f)); cfg.Tick != time.Minute || j.text("schedule") != "* * * * *" {
				t.Errorf("a tick is expected every %s; schedule %q", cfg.Tick, j.text("schedule"))
			}
		}
		if got := j.text("pubsub_target.0.topic_name"); got != "projects/demo-project/topics/berth-ticks" {
			t.Errorf("ticks go to %s", got)
		}
	}
	filters := map[string]bool{}
	for _, s := range p.all(t, "google_logging_project_sink") {
		filters["--log-filter="+s.text("filter")] = true
		if s.text("destination") != "pubsub.googleapis.com/projects/demo-project/topics/berth-job-logs" {
			t.Errorf("the sink writes to %s", s.text("destination"))
		}
	}
	for _, c := range only(deployed(t, everything...), "logging sinks create") {
		if !filters["--log-filter="+c.flag("log-filter")] {
			t.Errorf("the script's sink takes %s, Terraform's %v", c.flag("log-filter"), filters)
		}
	}
	if least := configuration(t, "terraform", `{"project": "demo-project", "regions": ["us-central1"], "log_sink": false}`); len(least.all(t, "google_logging_project_sink"))+len(least.all(t, "google_pubsub_topic")) != 5 {
		t.Error("without log_sink there is neither a sink nor a topic of it")
	}
}

// The emulators answer any query without an index; the service refuses.
func TestTerraformIndexes(t *testing.T) {
	t.Parallel()
	p := configuration(t, "terraform", sameAsScript)
	var want, got []string
	for _, i := range gcp.Indexes {
		want = append(want, i.Collection+" "+strings.Join(i.Fields, " "))
	}
	exempt := map[string]bool{}
	var expiring []string
	for addr, f := range p.all(t, "google_firestore_field") {
		if f.text("database") != "berth" {
			t.Errorf("%s is for database %q", addr, f.text("database"))
		}
		indexes, _ := f.at("index_config.0.indexes").([]any)
		if f.at("ttl_config") != nil {
			expiring = append(expiring, f.text("collection")+" "+f.text("field"))
		}
		switch {
		case f.at("index_config") == nil:
			t.Errorf("%s has all default indexes", addr)
		case f.text("field") == "*" && len(indexes) == 0:
			exempt[f.text("collection")] = true
		case len(indexes) == 1 && f.text("index_config.0.indexes.0.order") == "ASCENDING":
			got = append(got, f.text("collection")+" "+f.text("field"))
		case len(indexes) != 0:
			t.Errorf("%s: %v", addr, indexes)
		}
	}
	for addr, i := range p.all(t, "google_firestore_index") {
		fields := []string{i.text("collection")}
		list, _ := i.at("fields").([]any)
		for _, each := range list {
			switch f := instance(each.(map[string]any)); {
			case f.text("order") == "ASCENDING":
				fields = append(fields, f.text("field_path"))
			case f.text("array_config") == "CONTAINS":
				fields = append(fields, f.text("field_path")+"[]")
			default:
				t.Errorf("%s: %v", addr, f)
			}
		}
		got = append(got, strings.Join(fields, " "))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("indexes (-internal/gcp +Terraform):\n%s", diff)
	}
	if want := []string{gcp.Requests + " " + gcp.ExpireField}; !slices.Equal(want, expiring) {
		t.Errorf("time to live on %v, want %v", expiring, want)
	}
	var kinds []string
	for _, kind := range ledger.Kinds() {
		kinds = append(kinds, string(kind))
	}
	slices.Sort(kinds)
	if have := slices.Sorted(maps.Keys(exempt)); !slices.Equal(kinds, have) {
		t.Errorf("the default indexes are off for %v; the ledger has %v", have, kinds)
	}
}

func TestTerraformDatabase(t *testing.T) {
	t.Parallel()
	byDefault := load(t, map[string]string{"BERTH_PROJECT": "demo-project", "BERTH_REGIONS": "us-central1"})
	for variables, want := range map[string]map[string]string{
		sameAsScript: {"name": byDefault.Database, "delete_protection_state": "DELETE_PROTECTION_ENABLED", "deletion_policy": "PREVENT"},
		`{"project": "demo-project", "regions": ["us-central1"], "prefix": "night-shift", "protect_database": false}`: {
			"name": "night-shift", "delete_protection_state": "DELETE_PROTECTION_DISABLED", "deletion_policy": "DELETE"},
	} {
		p := configuration(t, "terraform", variables)
		maps.Copy(want, map[string]string{"type": "FIRESTORE_NATIVE", "database_edition": "STANDARD", "concurrency_mode": "PESSIMISTIC",
			"point_in_time_recovery_enablement": "POINT_IN_TIME_RECOVERY_ENABLED", "location_id": "us-central1"})
		databases := p.all(t, "google_firestore_database")
		if len(databases) != 1 {
			t.Fatalf("%d databases", len(databases))
		}
		for _, d := range databases {
			for name, value := range want {
				if d.text(name) != value {
					t.Errorf("database: %s is %q, want %q", name, d.text(name), value)
				}
			}
		}
		for _, b := range p.all(t, "google_firestore_backup_schedule") {
			if b.text("retention") != "1209600s" || b.at("daily_recurrence") == nil || b.text("database") != want["name"] {
				t.Errorf("backups: %v", b)
			}
		}
		for _, r := range p.all(t, "google_firebaserules_ruleset") {
			if text := r.text("source.0.files.0.content"); !strings.Contains(text, "allow read, write: if false;") || strings.Count(text, "allow") != 1 {
				t.Errorf("the rules let somebody in:\n%s", text)
			}
		}
		for _, r := range p.all(t, "google_firebaserules_release") {
			if r.text("name") != "cloud.firestore/"+want["name"] {
				t.Errorf("the rules are for %s", r.text("name"))
			}
		}
	}
}

// Two installations in one project share nothing.
func TestTerraformPrefix(t *testing.T) {
	t.Parallel()
	variables := strings.Replace(sameAsScript, `"project"`, `"prefix": "night-shift", "project"`, 1)
	p := configuration(t, "terraform", variables)
	for addr, b := range p.blocks {
		if b.Type != "resource" || b.Labels[0] == "google_monitoring_dashboard" {
			continue
		}
		for key, i := range p.all(t, b.Labels[0]) {
			for _, attr := range []string{"name", "topic", "subscription", "account_id", "database", "role_id", "repository_id", "bucket", "slo_id", "service_id", "display_name"} {
				if text := i.text(attr); strings.HasPrefix(text, "berth") {
					t.Errorf("%s: %s %q is that of the default installation (%s)", key, attr, text, addr)
				}
			}
		}
	}
	for _, f := range functionsOf(t, p) {
		if cfg := load(t, environmentOf(t, f)); cfg.Deployment != "night-shift" || cfg.Database != "night-shift" || cfg.OutcomeTopic != "night-shift-outcomes" {
			t.Errorf("%+v", cfg)
		}
	}
}

// What is built is what "gcloud functions deploy" would upload.
func TestTerraformBuildsTheUploadSet(t *testing.T) {
	t.Parallel()
	rules := []string{".*", "*_test.go", "testdata/", "/cmd/", "/deploy/", "/*.md"}
	text, err := os.ReadFile("../.gcloudignore")
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(text)), "\n"), func(line string) bool { return strings.HasPrefix(line, "#") })
	if !slices.Equal(rules, lines) {
		t.Fatalf(".gcloudignore has %v; this test and source.tf know %v", lines, rules)
	}
	var want []string
	err = filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		name, _ := filepath.Rel("..", path)
		switch {
		case err != nil || name == ".":
			return err
		case strings.HasPrefix(d.Name(), "."), d.Name() == "testdata", name == "cmd", name == "deploy":
			if d.IsDir() {
				return filepath.SkipDir
			}
		case !d.IsDir() && !strings.HasSuffix(name, "_test.go") && (strings.Contains(name, "/") || !strings.HasSuffix(name, ".md")):
			want = append(want, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := configuration(t, "terraform", leastVariables).local("source_files")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range v.AsValueSlice() {
		got = append(got, f.AsString())
	}
	slices.Sort(want)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("files (-.gcloudignore +source.tf):\n%s", diff)
	}
}

// The CLI takes what the output says, and finds the deployment with it.
func TestTerraformOutputs(t *testing.T) {
	t.Parallel()
	p := configuration(t, "terraform", withTenants)
	text, _ := p.output(t, "cli").(string)
	known := map[string]bool{}
	files, err := filepath.Glob("../cmd/berth/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`env:"(BERTH_[A-Z_]+)"`).FindAllStringSubmatch(string(source), -1) {
			known[m[1]] = true
		}
	}
	env := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "export "), "=")
		if !known[name] {
			t.Errorf("the CLI does not know %s", name)
		}
		env[name] = value
	}
	if diff := gocmp.Diff(map[string]string{
		"BERTH_PROJECT": "demo-project", "BERTH_REGIONS": "us-central1", "BERTH_PREFIX": "berth", "BERTH_DEPLOYMENT": "default", "BERTH_DATABASE": "berth",
		"BERTH_STATUS_URL": "https://berth-status.example.run.app", "BERTH_REQUEST_TOPIC": "berth-requests", "BERTH_OPERATORS_TOPIC": "berth-operators",
	}, env); diff != "" {
		t.Errorf("the CLI's environment (-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff(map[string]any{
		"default": "projects/demo-project/topics/berth-requests", "red": "projects/demo-project/topics/berth-requests-red",
		"blue-2": "projects/demo-project/topics/berth-requests-blue-2",
	}, p.output(t, "request_topics")); diff != "" {
		t.Errorf("request topics (-want +got):\n%s", diff)
	}
	for name := range p.outputs {
		if v := p.output(t, name); v == nil || v == "" {
			t.Errorf("output %s is empty", name)
		}
	}
}

func TestTerraformVariables(t *testing.T) {
	t.Parallel()
	for variables, says := range map[string]string{
		leastVariables: "",
		`{"project": "demo-project", "regions": ["us-central1"], "settings": {"BERTH_LOG_LEVEL": "debug"}}`: "",
		`{"project": "demo-project", "regions": ["us-central1"], "settings": {"BERTH_LOG_LEVEL": "warn"}}`:  "count log records of level info",
		`{"regions": ["us-central1"]}`:                                                                                                "variable project is needed",
		`{"project": "123456"}`:                                                                                                       "variable regions is needed",
		`{"project": "123456", "regions": ["us-central1"]}`:                                                                           "a project number is not taken",
		`{"project": "demo-project", "regions": []}`:                                                                                  "at least one region",
		`{"project": "demo-project", "regions": ["us-central1", "us-central1"]}`:                                                      "named twice",
		`{"project": "demo-project", "regions": ["Iowa"]}`:                                                                            "such as us-central1",
		`{"project": "demo-project", "regions": ["us-central1"], "prefix": "ab"}`:                                                     "4 to 20",
		`{"project": "demo-project", "regions": ["us-central1"], "publishers": ["allUsers"]}`:                                         "variable publishers: Want members",
		`{"project": "demo-project", "regions": ["us-central1"], "operators": ["ann@example.com"]}`:                                   "variable operators: Want members",
		`{"project": "demo-project", "regions": ["us-central1"], "status_users": ["allAuthenticatedUsers"]}`:                          "variable status_users: Want members",
		`{"project": "demo-project", "regions": ["us-central1"], "job_service_accounts": ["*"]}`:                                      "service accounts",
		`{"project": "demo-project", "regions": ["us-central1"], "tenants": {"Red": {"publishers": []}}}`:                             "lowercase",
		`{"project": "demo-project", "regions": ["us-central1"], "tenants": {"default": {"publishers": []}}}`:                         `"default" has`,
		`{"project": "demo-project", "regions": ["us-central1"], "tenants": {"red": {"publishers": ["allUsers"]}}}`:                   "allUsers is never one",
		`{"project": "demo-project", "regions": ["us-central1"], "settings": {"BERTH_MAX_WAITS": "1h"}}`:                              "do not know",
		`{"project": "demo-project", "regions": ["us-central1"], "settings": {"BERTH_TICK": "1h"}}`:                                   "follow from other variables",
		`{"project": "demo-project", "regions": ["us-central1"], "settings": {"BERTH_EMULATORS": "true"}}`:                            "without a cloud",
		`{"project": "demo-project", "regions": ["us-central1"], "runtime": "python312"}`:                                             "Go runtime",
		`{"project": "demo-project", "regions": ["us-central1"], "max_instances": 0}`:                                                 "1 to 100",
		`{"project": "demo-project", "regions": ["us-central1"], "min_instances": 11}`:                                                "0 to max_instances",
		`{"project": "demo-project", "regions": ["us-central1"], "submissions_per_minute": 0.5}`:                                      "1 to 1000000",
		`{"project": "demo-project", "regions": ["us-central1"], "backup_days": 99}`:                                                  "1 to 98 days",
		`{"project": "demo-project", "regions": ["us-central1"], "notification_channels": ["ann"]}`:                                   "notificationChannels",
		`{"project": "demo-project", "regions": ["us-central1"], "collector_image": "otelcol"}`:                                       "a tag or a digest",
		`{"project": "demo-project", "regions": ["us-central1"], "playbooks": "http://example.com"}`:                                  "https URL",
		`{"project": "demo-project", "regions": ["us-central1"], "default_resource": "a/b"}`:                                          "persistentResources",
		`{"project": "demo-project", "regions": ["us-central1"], "persistent_resources": {"a": {"region": "us-east1", "pools": []}}}`: "serves only the regions",
	} {
		p, err := readConfiguration("terraform", nil)
		if err != nil {
			t.Fatal(err)
		}
		err = p.set(variables)
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", variables, err, says)
		}
	}
}

func TestTerraformPersistentResource(t *testing.T) {
	t.Parallel()
	const fixed = `{"project": "demo-project", "region": "us-central1", "name": "a100", "pools": [{"machine_type": "a2-highgpu-1g", "accelerator_type": "NVIDIA_TESLA_A100", "accelerator_count": 1, "replicas": 4}, {"machine_type": "n1-standard-4", "min_replicas": 1, "max_replicas": 8}]}`
	p := configuration(t, "terraform/persistent-resource", fixed)
	for _, r := range p.all(t, "google_vertex_ai_persistent_resource") {
		if r.text("resource_pools.0.replica_count") != "4" || r.at("resource_pools.0.autoscaling_spec") != nil ||
			r.at("resource_pools.1.replica_count") != nil || r.text("resource_pools.1.autoscaling_spec.0.max_replica_count") != "8" {
			t.Errorf("pools: %v", r.at("resource_pools"))
		}
		if r.at("resource_runtime_spec.0.service_account_spec.0.enable_custom_service_account") != true {
			t.Error("jobs without a service account would run as a service agent")
		}
	}
	if got := p.output(t, "name"); got != "projects/demo-project/locations/us-central1/persistentResources/a100" {
		t.Errorf("name %v", got)
	}
	for change, says := range map[[2]string]string{
		{`"replicas": 4`, `"replicas": 4, "max_replicas": 5, "min_replicas": 1`}: "either replicas",
		{`"min_replicas": 1`, `"min_replicas": 0`}:                               "at least 1",
		{`"replicas": 4`, `"replicas": 4, "disk_type": "ssd"`}:                   "A disk type",
		{`"accelerator_count": 1, `, ``}:                                         "together",
		{`"name": "a100"`, `"name": "A100"`}:                                     "lowercase",
	} {
		p, err := readConfiguration("terraform/persistent-resource", nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.set(strings.Replace(fixed, change[0], change[1], 1)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", change[1], err, says)
		}
	}
	// The root passes on every variable of the module.
	root, err := readConfiguration("terraform", nil)
	if err != nil {
		t.Fatal(err)
	}
	passed := root.modules["persistent_resource"].Body.Attributes
	for name := range p.vars {
		if passed[name] == nil {
			t.Errorf("the module's variable %s is not passed on", name)
		}
	}
	for name := range passed {
		if p.vars[name] == nil && !slices.Contains(meta, name) && name != "source" {
			t.Errorf("the module has no variable %s", name)
		}
	}
}

// A collector runs beside each function, gets its traces and metrics, and may send them on.
// Without one there is neither.
func TestTerraformCollector(t *testing.T) {
	t.Parallel()
	const image = "us-docker.pkg.dev/cloud-ops-agents-artifacts/google-cloud-opentelemetry-collector/otelcol-google:0.156.0"
	p := configuration(t, "terraform", `{"project": "demo-project", "regions": ["us-central1"], "collector_image": "`+image+`"}`)
	for entry, f := range functionsOf(t, p) {
		if f.text("template.0.containers.1.image") != image || f.at("template.0.containers.1.ports") != nil || f.number("template.0.containers.0.ports.0.container_port") != 8080 {
			t.Errorf("%s: %v", entry, f.at("template.0.containers.1"))
		}
		if cfg := load(t, environmentOf(t, f)); cfg.OTLPEndpoint != "http://localhost:4318" {
			t.Errorf("%s sends to %q", entry, cfg.OTLPEndpoint)
		}
	}
	var roles []string
	for _, g := range p.all(t, "google_project_iam_member") {
		if g.text("member") == runAs && g.text("condition.0.title") == "" {
			roles = append(roles, g.text("role"))
		}
	}
	slices.Sort(roles)
	if want := []string{"projects/demo-project/roles/berth_jobs", "roles/cloudtrace.agent", "roles/monitoring.metricWriter"}; !slices.Equal(want, roles) {
		t.Errorf("the functions have %v, want %v", roles, want)
	}
	for entry, f := range functionsOf(t, configuration(t, "terraform", leastVariables)) {
		if f.at("template.0.containers.1") != nil || environmentOf(t, f)["OTEL_EXPORTER_OTLP_ENDPOINT"] != "" {
			t.Errorf("%s has a collector that no variable asks for", entry)
		}
	}
}

// The pace is the least quota of the regions that are served, and Vertex AI's default where
// the project's quotas do not say.
func TestTerraformReadsTheQuota(t *testing.T) {
	t.Parallel()
	const crud = `{"quota_display_name": "Resource management (CRUD) requests per minute per region", "dimensions_infos": [{"applicable_locations": ["us-central1"], "details": [{"value": "7"}]}]}`
	for quotas, want := range map[string]float64{
		`[]`:             60,
		`[` + crud + `]`: 60,
		// -1 is no limit.
		`[{"quota_display_name": "Job or LRO submission requests per minute per region", "dimensions_infos": [
			{"applicable_locations": ["us-central1"], "details": [{"value": "-1"}]},
			{"applicable_locations": ["europe-west4"], "details": [{"value": "120"}]}]}]`: 120,
		`[` + crud + `, {"quota_display_name": "Job or LRO submission requests per minute per region", "dimensions_infos": [
			{"applicable_locations": ["us-central1", "us-east1"], "details": [{"value": "120"}]},
			{"applicable_locations": ["europe-west4"], "details": [{"value": "90"}]},
			{"applicable_locations": ["asia-east1"], "details": [{"value": "30"}]}]}]`: 90,
	} {
		p := configuration(t, "terraform", `{"project": "demo-project", "regions": ["us-central1", "europe-west4"]}`)
		text := []byte(`[{"quota_infos": ` + quotas + `}]`)
		typ, err := ctyjson.ImpliedType(text)
		if err != nil {
			t.Fatal(err)
		}
		if p.done["data.google_cloud_quotas_quota_infos.vertex"], err = ctyjson.Unmarshal(text, typ); err != nil {
			t.Fatal(err)
		}
		if got := p.output(t, "submissions_per_minute"); got != want {
			t.Errorf("%s: %v a minute, want %v", quotas, got, want)
		}
	}
}

// Google refuses a call of some APIs by a user whose call names no quota project. Terraform
// names one only where the provider is told to, whatever the user's credentials say.
func TestTerraformNamesAQuotaProject(t *testing.T) {
	t.Parallel()
	needs := regexp.MustCompile(`^(data\.google_cloud_quotas_|google_firebaserules_)`)
	p := configuration(t, "terraform", leastVariables)
	found := 0
	for addr, b := range p.blocks {
		if !needs.MatchString(addr) {
			continue
		}
		found++
		of := b.Body.Attributes["provider"]
		if of == nil || len(of.Expr.Variables()) != 1 || of.Expr.Variables()[0].RootName() != "google" || of.Expr.Variables()[0][1].(hcl.TraverseAttr).Name != "with_quota_project" {
			t.Errorf("%s: a user who applies is refused", addr)
		}
	}
	if found != 3 {
		t.Errorf("%d resources need a quota project", found)
	}
	for _, b := range p.files["versions.tf"].Body.(*hclsyntax.Body).Blocks {
		a := b.Body.Attributes
		if b.Type != "provider" || a["alias"] == nil {
			continue
		}
		found++
		for name, want := range map[string]cty.Value{"alias": cty.StringVal("with_quota_project"), "project": cty.StringVal("demo-project"), "billing_project": cty.StringVal("demo-project"), "user_project_override": cty.True} {
			if v, err := p.value(a[name].Expr, nil); err != nil || !v.RawEquals(want) {
				t.Errorf("the provider's %s: %v, %v", name, v, err)
			}
		}
	}
	if found != 4 {
		t.Error("no provider names a quota project")
	}
}
