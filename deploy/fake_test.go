package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The tests run the script against a gcloud of their own: this test binary under
// that name. It keeps, in a folder, what has been created, refuses to create a
// thing twice or to touch one that is not there, and writes down every command.
// Of the service's own rules it knows no others.

func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "gcloud" {
		os.Exit(fakeGcloud(os.Args[1:], os.Getenv("FAKE_GCLOUD")))
	}
	os.Exit(m.Run())
}

// A command is one call of gcloud. Words are its group, its verb and what the
// verb applies to.
type command struct {
	Words []string
	Flags map[string][]string
}

func parse(args []string) command {
	c := command{Flags: map[string][]string{}}
	for _, a := range args {
		if flag, ok := strings.CutPrefix(a, "--"); ok {
			name, value, _ := strings.Cut(flag, "=")
			c.Flags[name] = append(c.Flags[name], value)
			continue
		}
		c.Words = append(c.Words, a)
	}
	return c
}

func (c command) String() string { return strings.Join(c.Words, " ") }

// is reports whether the command begins with these words.
func (c command) is(words string) bool {
	return c.String() == words || strings.HasPrefix(c.String(), words+" ")
}

// flag returns the value of a flag that is given once, "" if it is not.
func (c command) flag(name string) string {
	if v := c.Flags[name]; len(v) == 1 {
		return v[0]
	}
	return ""
}

func (c command) has(name string) bool { return len(c.Flags[name]) > 0 }

var verbs = []string{"describe", "create", "update", "deploy", "enable", "add-iam-policy-binding"}

func (c command) verb() int {
	return slices.IndexFunc(c.Words, func(w string) bool { return slices.Contains(verbs, w) })
}

// changes reports whether the command does anything.
func (c command) changes() bool { return c.Words[c.verb()] != "describe" }

// name is what the verb applies to.
func (c command) name() string {
	rest := c.Words[c.verb()+1:]
	if c.Words[0] == "scheduler" && len(rest) > 0 && rest[0] == "pubsub" {
		rest = rest[1:]
	}
	switch {
	case c.is("firestore databases"):
		return c.flag("database")
	case c.is("firestore indexes composite"):
		return fmt.Sprint(c.flag("database"), c.flag("collection-group"), c.Flags["field-config"])
	case len(rest) == 0:
		return ""
	case c.is("iam service-accounts create"):
		return rest[0] + "@" + c.flag("project") + ".iam.gserviceaccount.com"
	}
	return rest[0]
}

// thing is the group and name of what the command is about.
func (c command) thing() string {
	return strings.Join(c.Words[:c.verb()], " ") + " " + c.name()
}

func fakeGcloud(args []string, dir string) int {
	refuse := func(format string, a ...any) int {
		fmt.Fprintf(os.Stderr, "ERROR: (gcloud) "+format+"\n", a...)
		return 1
	}
	line, err := json.Marshal(args)
	if err != nil {
		return refuse("%v", err)
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return refuse("%v", err)
	}
	_, err = log.Write(append(line, '\n'))
	if err := errors.Join(err, log.Close()); err != nil {
		return refuse("%v", err)
	}
	c := parse(args)
	file := func(thing string) string {
		return filepath.Join(dir, strings.NewReplacer("/", "~", " ", "_", "*", "+").Replace(thing))
	}
	there := func(thing string) bool { _, err := os.Stat(file(thing)); return err == nil }
	put := func(things ...string) int {
		for _, thing := range things {
			if err := os.WriteFile(file(thing), nil, 0o644); err != nil {
				return refuse("%v", err)
			}
		}
		return 0
	}
	if trouble := os.Getenv("FAKE_TROUBLE"); trouble != "" && c.is(trouble) {
		// The first two tries fail, or all of them.
		text := os.Getenv("FAKE_TROUBLE_TEXT")
		if !there("trouble 2") || os.Getenv("FAKE_TROUBLE_LASTS") != "" {
			if there("trouble 1") {
				put("trouble 2")
			}
			put("trouble 1")
			return refuse("%s", text)
		}
	}
	if !c.has("quiet") || c.flag("project") == "" {
		return refuse("it would ask, or use another project: %v", args)
	}
	verb := c.verb()
	if verb < 0 {
		return refuse("unknown command %v", args)
	}
	group, exists := strings.Join(c.Words[:verb], " "), there(c.thing())
	switch c.Words[verb] {
	case "describe":
		switch {
		case c.is("projects"):
			fmt.Println("123456789")
		case !exists:
			return refuse("NOT_FOUND: %s", c.thing())
		case group == "run services":
			fmt.Println("https://" + c.name() + ".example.run.app")
		case group == "logging sinks":
			fmt.Println("serviceAccount:sink@example.iam.gserviceaccount.com")
		}
	case "create":
		if exists {
			return refuse("ALREADY_EXISTS: %s already exists", c.thing())
		}
		for group, flag := range map[string]string{"pubsub topics": "topic", "pubsub topics ": "dead-letter-topic"} {
			if name := c.flag(flag); name != "" && !there(strings.TrimSpace(group)+" "+name[strings.LastIndexByte(name, '/')+1:]) {
				return refuse("NOT_FOUND: topic %s", name)
			}
		}
		return put(c.thing())
	case "update":
		if !exists && group != "firestore indexes fields" && group != "firestore fields ttls" {
			return refuse("NOT_FOUND: %s", c.thing())
		}
	case "deploy":
		for _, account := range []string{c.flag("service-account"), c.flag("build-service-account")} {
			if !there("iam service-accounts " + account[strings.LastIndexByte(account, '/')+1:]) {
				return refuse("NOT_FOUND: %s", account)
			}
		}
		return put(c.thing(), "run services "+c.name())
	case "add-iam-policy-binding":
		foreign := strings.HasPrefix(c.name(), "job-") // a job's account is somebody else's
		if !exists && !foreign && group != "projects" {
			return refuse("NOT_FOUND: %s", c.thing())
		}
	}
	return 0
}

// A rig is a place to run the script in, with an empty project.
type rig struct {
	t     *testing.T
	state string
	path  string
	env   []string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, state: t.TempDir(), path: t.TempDir()}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(r.path, "gcloud")); err != nil {
		t.Skip("the fake gcloud is a link: ", err)
	}
	sleep := "#!" + bash(t) + "\n"
	if err := os.WriteFile(filepath.Join(r.path, "sleep"), []byte(sleep), 0o755); err != nil {
		t.Fatal(err)
	}
	return r
}

// run runs bash with the fake gcloud and nothing else to call, and returns the
// calls of gcloud beside what it said.
func (r *rig) run(args ...string) (calls []command, res result) {
	r.t.Helper()
	log := filepath.Join(r.state, "log")
	if err := os.Remove(log); err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	res = runBash(r.t, append([]string{"PATH=" + r.path, "FAKE_GCLOUD=" + r.state}, r.env...), args...)
	data, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var args []string
		if err := json.Unmarshal([]byte(line), &args); err != nil {
			r.t.Fatal(err)
		}
		calls = append(calls, parse(args))
	}
	return calls, res
}

type result struct {
	code           int
	stdout, stderr string
}

func runBash(t *testing.T, env []string, args ...string) result {
	t.Helper()
	cmd := exec.Command(bash(t), args...)
	var stdout, stderr strings.Builder
	cmd.Env, cmd.Stdout, cmd.Stderr = env, &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func bash(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("the script needs bash: ", err)
	}
	return path
}
