package deploy

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

const recipes = "recipes"

// recipeFiles returns the recipes' texts by their names.
func recipeFiles(t *testing.T, pattern string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(recipes, pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d recipes %s, %v", len(files), pattern, err)
	}
	texts := map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[filepath.Base(file)] = string(text)
	}
	return texts
}

// The page's table has each file of the folder, and no other.
func TestRecipesPage(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile(`\]\(recipes/([^)]+)\)`).FindAllStringSubmatch(string(page), -1) {
		listed[m[1]] = true
	}
	for name := range recipeFiles(t, "*") {
		if !listed[name] {
			t.Errorf("recipes.md does not list %s", name)
		}
		delete(listed, name)
	}
	if len(listed) > 0 {
		t.Errorf("recipes.md lists what is not there: %v", listed)
	}
}

// recipeCalls returns the gcloud commands that the recipes' scripts run. Nothing else is
// on their PATH.
func recipeCalls(t *testing.T) (calls []command) {
	t.Helper()
	scripts := recipeFiles(t, "*.sh")
	for _, name := range slices.Sorted(mapKeys(scripts)) {
		const print = `gcloud() { printf '%s\n' "$@" ---; }; . "$0"`
		res := runBash(t, []string{"PATH=" + t.TempDir(), "PROJECT=demo-project", "REGION=us-central1", "STATUS_URL=https://status.example", "SERVICE=mine"},
			"-c", print, filepath.Join(recipes, name), "../testdata/jobs/cpu.json")
		if res.code != 0 {
			t.Fatalf("%s: exit %d\n%s", name, res.code, res.stderr)
		}
		for _, text := range strings.Split(strings.TrimSuffix(res.stdout, "---\n"), "---\n") {
			c := command{Flags: map[string][]string{}}
			for _, word := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
				if flag, is := strings.CutPrefix(word, "--"); is {
					flag, value, _ := strings.Cut(flag, "=")
					c.Flags[flag] = append(c.Flags[flag], value)
				} else {
					c.Words = append(c.Words, word)
				}
			}
			calls = append(calls, c)
		}
	}
	return calls
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// A recipe's script names topics and services that a deployment has, files that lie
// beside it, and an account that may do what it is for.
func TestRecipeScripts(t *testing.T) {
	t.Parallel()
	made := deployed(t, everything...)
	var topics []string
	for _, c := range only(made, "pubsub topics create") {
		topics = append(topics, c.name())
	}
	calls := recipeCalls(t)
	if len(calls) < 10 {
		t.Fatalf("only %d commands", len(calls))
	}
	for _, c := range calls {
		named := append(slices.Clone(c.Flags["topic"]), c.Flags["transport-topic"]...)
		if c.is("pubsub topics add-iam-policy-binding") {
			named = append(named, c.Words[3])
		}
		for _, topic := range named {
			if !slices.Contains(topics, topic[strings.LastIndexByte(topic, '/')+1:]) {
				t.Errorf("%s: a deployment has no topic %s", c, topic)
			}
		}
		if source := c.flag("source"); source != "" {
			if _, err := os.Stat(filepath.Join(recipes, source)); err != nil {
				t.Error(err)
			}
		}
		if c.is("run services add-iam-policy-binding berth-status") && len(only(made, "functions deploy berth-status")) == 0 {
			t.Errorf("%s: a deployment has no such service", c)
		}
		if c.flag("project") != "demo-project" && !c.is("projects") {
			t.Errorf("%s: without --project", c)
		}
	}
	if n := len(only(calls, "eventarc triggers create")); n != 2 {
		t.Errorf("%d triggers of Eventarc, want 2", n)
	}
}

// What Cloud Scheduler publishes is a request without a warning. It has no id of its own,
// so that each run is another request, and a key that lets one run be active at a time.
func TestRecipeOfScheduler(t *testing.T) {
	t.Parallel()
	jobs := only(recipeCalls(t), "scheduler jobs create pubsub")
	if len(jobs) != 1 {
		t.Fatalf("%d jobs of Cloud Scheduler", len(jobs))
	}
	data, err := os.ReadFile(jobs[0].flag("message-body-from-file"))
	if err != nil {
		t.Fatal(err)
	}
	attributes := map[string]string{}
	for _, pair := range strings.Split(jobs[0].flag("attributes"), ",") {
		name, value, _ := strings.Cut(pair, "=")
		attributes[name] = value
	}
	m, err := message.Decode(message.Delivery{ID: "1", Data: data, Attributes: attributes})
	if err != nil {
		t.Fatal(err)
	}
	r := m.Request
	if r.RequestID != "" || r.Concurrency != (message.Concurrency{Key: "nightly", Policy: message.Forbid}) || r.Priority != 10 {
		t.Errorf("request id %q, concurrency %+v, priority %d", r.RequestID, r.Concurrency, r.Priority)
	}
}

// Names of attributes, event types and settings in all recipes are those of the code. What
// the recipes read of Status and events is held by running them (internal/localstack).
func TestRecipeNames(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"berth-cancel": true}
	for _, def := range []string{"request", "cancel"} {
		for _, option := range optionsOf(t, def) {
			known["berth-"+kebab(option)] = true
		}
	}
	resource := regexp.MustCompile(`^berth-(requests|outcomes|outcome|status|run|nightly|workflows|events)$`) // topics, services, and what the recipes make
	types := map[string]bool{}
	for _, typ := range message.Types() {
		types[string(typ)] = true
	}
	for name, text := range recipeFiles(t, "*") {
		for _, word := range regexp.MustCompile(`\bberth-[a-z-]*[a-z]`).FindAllString(text, -1) {
			if !known[word] && !resource.MatchString(word) {
				t.Errorf("%s: %s is no attribute of a message, and no resource of a deployment", name, word)
			}
		}
		for _, word := range regexp.MustCompile(`\bberth\.[a-z]+\.[a-z]+\.v\d+`).FindAllString(text, -1) {
			if !types[word] {
				t.Errorf("%s: %s is no type of event", name, word)
			}
		}
	}
}

func optionsOf(t *testing.T, def string) (names []string) {
	t.Helper()
	var schema struct {
		Defs map[string]struct{ Properties map[string]any } `json:"$defs"`
	}
	if err := json.Unmarshal(message.Schema, &schema); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(mapKeys(schema.Defs[def].Properties))
}

func kebab(name string) string {
	return regexp.MustCompile(`[A-Z]`).ReplaceAllStringFunc(name, func(s string) string { return "-" + strings.ToLower(s) })
}

// The definitions of Workflows have the steps, calls and variables that its reference
// documents (cloud.google.com/workflows/docs/reference/syntax). No service is asked.
func TestRecipesOfWorkflows(t *testing.T) {
	t.Parallel()
	for name, text := range recipeFiles(t, "workflow_*.yaml") {
		var doc map[string]struct {
			Params []string
			Steps  []map[string]map[string]any
		}
		if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(doc) != 1 || len(doc["main"].Params) != 1 {
			t.Errorf("%s: want main alone, with one parameter", name)
		}
		for _, bad := range wrongSteps(doc["main"].Steps, nil, map[string]bool{}) {
			t.Errorf("%s: %s", name, bad)
		}
		for _, m := range regexp.MustCompile(`sys\.get_env\("(\w+)"\)`).FindAllStringSubmatch(text, -1) {
			if !slices.Contains([]string{"GOOGLE_CLOUD_PROJECT_ID", "GOOGLE_CLOUD_PROJECT_NUMBER", "GOOGLE_CLOUD_LOCATION",
				"GOOGLE_CLOUD_WORKFLOW_ID", "GOOGLE_CLOUD_WORKFLOW_EXECUTION_ID"}, m[1]) && !strings.Contains(recipeFiles(t, "workflows.sh")["workflows.sh"], m[1]+"=") {
				t.Errorf("%s: %s is no variable of Workflows, and workflows.sh does not set it", name, m[1])
			}
		}
	}
	// The listener hands over each state that ends a request, and the answer to a message that made none.
	var want []string
	for _, s := range lifecycle.States {
		if s.Terminal() {
			want = append(want, string(s))
		}
	}
	want = append(want, message.StateRefused)
	m := regexp.MustCompile(`- ends: \[(.*)\]`).FindStringSubmatch(recipeFiles(t, "workflow_outcome.yaml")["workflow_outcome.yaml"])
	if m == nil {
		t.Fatal("workflow_outcome.yaml has no list of ends")
	}
	got := strings.Split(m[1], ", ")
	slices.Sort(got)
	slices.Sort(want)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("ends (-want +got):\n%s", diff)
	}
}

// wrongSteps says what is wrong with a list of steps. outer are the names that a step may
// go on with beside its own list's.
func wrongSteps(steps []map[string]map[string]any, outer []string, seen map[string]bool) (wrong []string) {
	calls := []string{"events.create_callback_endpoint", "events.await_callback", "http.get", "http.post", "sys.log",
		"googleapis.pubsub.v1.projects.topics.publish",
		"googleapis.workflowexecutions.v1.projects.locations.workflows.executions.callbacks.list"}
	names := slices.Clone(outer)
	for _, s := range steps {
		for name := range s {
			if names = append(names, name); seen[name] && name != "another_error" {
				wrong = append(wrong, "two steps are "+name)
			}
			seen[name] = true
		}
	}
	var body func(at string, s map[string]any)
	nested := func(at string, v any, outer []string) {
		var list []map[string]map[string]any
		text, err := yaml.Marshal(v)
		if err == nil {
			err = yaml.Unmarshal(text, &list)
		}
		if err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %v", at, err))
		}
		wrong = append(wrong, wrongSteps(list, outer, seen)...)
	}
	body = func(at string, s map[string]any) {
		for _, key := range slices.Sorted(mapKeys(s)) {
			v := s[key]
			switch key {
			case "call":
				if !slices.Contains(calls, fmt.Sprint(v)) {
					wrong = append(wrong, fmt.Sprintf("%s calls %v", at, v))
				}
			case "next":
				if !slices.Contains(append(names, "end", "continue", "break"), fmt.Sprint(v)) {
					wrong = append(wrong, fmt.Sprintf("%s goes on with %v, which is not there", at, v))
				}
			case "switch":
				for _, c := range v.([]any) {
					c := c.(map[string]any)
					if !strings.HasPrefix(fmt.Sprint(c["condition"]), "${") || len(c) != 2 {
						wrong = append(wrong, fmt.Sprintf("%s: want a condition and what follows", at))
					}
					delete(c, "condition")
					body(at, c)
				}
			case "try":
				body(at, v.(map[string]any))
			case "except":
				nested(at, v.(map[string]any)["steps"], nil)
			case "for":
				nested(at, v.(map[string]any)["steps"], nil)
			case "args", "assign", "result", "return", "raise", "retry":
			default:
				wrong = append(wrong, fmt.Sprintf("%s has %s, which is no part of a step", at, key))
			}
		}
		text, _ := json.Marshal(s)
		if strings.Count(string(text), "${") != strings.Count(string(text), "}\"") {
			wrong = append(wrong, at+": an expression does not end its text")
		}
	}
	for _, s := range steps {
		if len(s) != 1 {
			wrong = append(wrong, fmt.Sprintf("a step has %d names", len(s)))
		}
		for name, s := range s {
			body(name, s)
		}
	}
	slices.SortFunc(wrong, cmp.Compare[string])
	return wrong
}
