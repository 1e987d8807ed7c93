package statefile

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestWriteReadRemove(t *testing.T) {
	t.Setenv(Variable, filepath.Join(t.TempDir(), "a", "b", "stack.json"))
	if _, err := Read(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Read without a file: %v", err)
	}
	if err := Remove(); err != nil {
		t.Errorf("Remove without a file: %v", err)
	}
	want := State{PID: os.Getpid(), Project: "p", PubSub: "127.0.0.1:1", Topic: "requests", OutcomeTopic: "outcomes",
		Status: "http://127.0.0.1:2/Status", Vertex: "127.0.0.1:3"}
	given := want
	given.PID = 0
	if err := Write(given); err != nil {
		t.Fatal(err)
	}
	want.File = os.Getenv(Variable)
	if got, err := Read(); err != nil || got != want {
		t.Errorf("Read: %+v, %v; want %+v", got, err, want)
	}
	if err := Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Read after Remove: %v", err)
	}
}

// The id of a child that has ended is not given out again for a long while.
func TestStackThatIsGone(t *testing.T) {
	t.Setenv(Variable, filepath.Join(t.TempDir(), "stack.json"))
	if err := Write(State{PID: ended(t), Project: "p"}); err != nil {
		t.Fatal(err)
	}
	if s, err := Read(); !errors.Is(err, ErrGone) || s.Project != "p" {
		t.Errorf("Read: %+v, %v; want %v", s, err, ErrGone)
	}
	if err := Remove(); err != nil {
		t.Fatal(err)
	}
	path := os.Getenv(Variable)
	if _, err := os.Stat(path); err != nil {
		t.Errorf("Remove took a file that is not this process's: %v", err)
	}
}

func TestBrokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stack.json")
	t.Setenv(Variable, path)
	for _, text := range []string{"", "{", `{"pid":-1}`, `{"pid":0}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := Read(); err == nil {
			t.Errorf("Read of %q: %+v", text, s)
		}
	}
}

// Two stacks of one user: each has a file, the later one is found first, and
// stopping it leaves the other.
func TestTwoStacks(t *testing.T) {
	t.Setenv(Variable, "")
	home := t.TempDir()
	t.Setenv("HOME", home) // of macOS and, without the next, of Linux
	t.Setenv("XDG_CACHE_HOME", home)
	dir, err := folder()
	if err != nil || !strings.HasPrefix(dir, home) {
		t.Skipf("the cache folder of this system is not %s: %v", home, err)
	}
	if _, err := Running(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Running without files: %v", err)
	}
	first := State{PID: os.Getppid(), Started: time.Unix(100, 0).UTC(), Project: "first"}
	foreign(t, filepath.Join(dir, "localstack-1.json"), first)
	dead := filepath.Join(dir, "localstack-2.json")
	foreign(t, dead, State{PID: ended(t), Started: time.Unix(300, 0).UTC(), Project: "dead"})
	if err := Write(State{Started: time.Unix(200, 0).UTC(), Project: "second"}); err != nil {
		t.Fatal(err)
	}
	projects := func() (names []string) {
		all, err := Running()
		if err != nil {
			t.Error(err)
		}
		for _, s := range all {
			names = append(names, s.Project)
		}
		return names
	}
	if got := projects(); !slices.Equal(got, []string{"second", "first"}) {
		t.Errorf("running are %v, want the later one first", got)
	}
	if err := Remove(); err != nil {
		t.Fatal(err)
	}
	if got := projects(); !slices.Equal(got, []string{"first"}) {
		t.Errorf("after the second has stopped, running are %v", got)
	}
	Prune()
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file of a process that has ended stays: %v", err)
	}
	if got := projects(); !slices.Equal(got, []string{"first"}) {
		t.Errorf("after Prune, running are %v", got)
	}
}

// A file that was named is not taken from the running stack that has it; one of
// a process that has ended, or that is broken, is replaced.
func TestNamedFileIsTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stack.json")
	t.Setenv(Variable, path)
	foreign(t, path, State{PID: os.Getppid(), Project: "first"})
	if err := Write(State{Project: "second"}); !errors.Is(err, ErrTaken) {
		t.Errorf("Write over the file of a running stack: %v, want %v", err, ErrTaken)
	}
	if s, err := Read(); err != nil || s.Project != "first" {
		t.Errorf("Read: %+v, %v", s, err)
	}
	foreign(t, path, State{PID: ended(t), Project: "dead"})
	for _, content := range []string{"", "{"} {
		if content != "" {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := Write(State{Project: "second"}); err != nil {
			t.Fatal(err)
		}
		if s, err := Read(); err != nil || s.Project != "second" || s.PID != os.Getpid() {
			t.Errorf("Read: %+v, %v", s, err)
		}
		if err := Remove(); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := filepath.Glob(path + "*"); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

// foreign writes a file as another process would.
func foreign(t *testing.T, path string, s State) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// ended returns the id of a process that has ended.
func ended(t *testing.T) int {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^$")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	return child.Process.Pid
}
