package statefile

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
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
	child := exec.Command(os.Args[0], "-test.run=^$")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	if err := Write(State{PID: child.Process.Pid, Project: "p"}); err != nil {
		t.Fatal(err)
	}
	if s, err := Read(); !errors.Is(err, ErrGone) || s.Project != "p" {
		t.Errorf("Read: %+v, %v; want %v", s, err, ErrGone)
	}
	if err := Remove(); err != nil {
		t.Fatal(err)
	}
	path, _ := Path()
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
