package deploy

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A command is one call of gcloud, as the fake one writes it down.
type command struct {
	Words []string // group, verb, and what the verb applies to
	Flags map[string][]string
	Verb  string
	Thing string // group and name of what it is about
}

func (c command) String() string { return strings.Join(c.Words, " ") }

// name is the last word of what the command is about.
func (c command) name() string { return c.Thing[strings.LastIndexByte(c.Thing, ' ')+1:] }

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

var fake struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if fake.dir != "" {
		_ = os.RemoveAll(fake.dir) // what is left is in the system's temporary folder
	}
	os.Exit(code)
}

// fakeGcloud returns a folder with nothing but the fake gcloud, and a sleep that
// writes down for how long it would.
func fakeGcloud(t *testing.T) string {
	t.Helper()
	shell := bash(t)
	fake.once.Do(func() {
		fake.err = func() error {
			var err error
			if fake.dir, err = os.MkdirTemp("", "fakegcloud"); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(fake.dir, "sleep"), []byte("#!"+shell+"\necho \"$1\" >>\"$FAKE_GCLOUD/slept\"\n"), 0o755); err != nil {
				return err
			}
			out, err := exec.Command("go", "build", "-o", filepath.Join(fake.dir, "gcloud"), "./testdata/fakegcloud").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			return nil
		}()
	})
	if fake.err != nil {
		t.Fatal("build the fake gcloud: ", fake.err)
	}
	return fake.dir
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
	return &rig{t: t, state: t.TempDir(), path: fakeGcloud(t)}
}

// trouble makes commands with this beginning fail in the next runs, twice or, with
// more, always ("LASTS") and after doing their work ("DONE").
func (r *rig) trouble(at, text string, more ...string) {
	r.t.Helper()
	if r.env = nil; at == "" {
		return
	}
	r.env = []string{"FAKE_TROUBLE=" + at, "FAKE_TROUBLE_TEXT=" + text}
	for _, m := range more {
		r.env = append(r.env, "FAKE_TROUBLE_"+m+"=yes")
	}
}

// slept returns for how many seconds the last run paused each time.
func (r *rig) slept() string {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(r.state, "slept"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(data)), " ")
}

// project returns all things and bindings that there are, in order.
func (r *rig) project() (there []string) {
	r.t.Helper()
	files, err := os.ReadDir(r.state)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range files {
		if name := f.Name(); name != "log" && name != "slept" && !strings.HasPrefix(name, "trouble") {
			there = append(there, name)
		}
	}
	return there
}

// print writes what a dry run prints into a file, and returns its path.
func (r *rig) print(args ...string) string {
	r.t.Helper()
	file := filepath.Join(r.t.TempDir(), "printed.sh")
	if err := os.WriteFile(file, []byte(dryRun(r.t, args...)), 0o644); err != nil {
		r.t.Fatal(err)
	}
	return file
}

// run runs bash with the fake gcloud and nothing else to call, and returns the
// calls of gcloud beside what it said.
func (r *rig) run(args ...string) (calls []command, res result) {
	r.t.Helper()
	log := filepath.Join(r.state, "log")
	for _, name := range []string{"log", "slept", "trouble_1", "trouble_2"} {
		if err := os.Remove(filepath.Join(r.state, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			r.t.Fatal(err)
		}
	}
	res = runBash(r.t, append([]string{"PATH=" + r.path, "FAKE_GCLOUD=" + r.state}, r.env...), args...)
	data, err := os.ReadFile(log)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var c command
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			r.t.Fatal(err)
		}
		calls = append(calls, c)
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
