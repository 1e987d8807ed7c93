//go:build unix

package child

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain doubles as a program that starts a process and waits to be killed.
func TestMain(m *testing.M) {
	if os.Getenv("BERTH_TEST_HELD") != "" {
		EndWithParent()
		fmt.Println("held")
		select {}
	}
	if script := os.Getenv("BERTH_TEST_PARENT_OF"); script != "" {
		p, err := Start(Spec{Path: "sh", Args: []string{"-c", script}})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if os.Getenv("BERTH_TEST_WATCH") != "" {
			watch(p.PID())
		}
		fmt.Println("ready")
		<-p.Exited()
		os.Exit(2)
	}
	os.Exit(m.Run())
}

// lifeline returns the name of a pipe and a reader of it. The reader meets the
// end when every process that had the pipe open for writing is gone.
func lifeline(t *testing.T) (name string, open func() *bufio.Reader) {
	t.Helper()
	name = filepath.Join(t.TempDir(), "lifeline")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		t.Fatal(err)
	}
	return name, func() *bufio.Reader {
		f, err := os.Open(name) // waits for a writer
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return bufio.NewReader(f)
	}
}

// awaitEnd fails unless the reader meets the end soon.
func awaitEnd(t *testing.T, r io.Reader) {
	t.Helper()
	end := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, r)
		end <- err
	}()
	select {
	case err := <-end:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("a process of the group is still there")
	}
}

// A process that ignores SIGTERM is killed after the grace, and so is its child.
func TestStopKillsTheGroup(t *testing.T) {
	name, open := lifeline(t)
	p := shell(t, "trap '' TERM; exec 9>"+name+"; echo up >&9; sleep 1000; true", nil)
	r := open()
	if line, err := r.ReadString('\n'); err != nil {
		t.Fatalf("read %q: %v", line, err)
	}
	if err := p.Stop(100 * time.Millisecond); err != nil {
		t.Error(err)
	}
	awaitEnd(t, r)
	if err := p.Stop(0); err != nil {
		t.Errorf("second stop: %v", err)
	}
}

// When the program that started it is killed, so is the process: by the kernel
// on Linux, and by the watcher, which is tried everywhere.
func TestProcessDiesWithItsParent(t *testing.T) {
	for _, how := range []string{"kernel", "watcher"} {
		t.Run(how, func(t *testing.T) {
			if how == "kernel" && runtime.GOOS != "linux" {
				t.Skip("Linux only")
			}
			name, open := lifeline(t)
			script := "exec 9>" + name + "; echo up >&9; exec sleep 1000"
			if how == "watcher" {
				// The shell stays, and its child has no death signal.
				script = "exec 9>" + name + "; sleep 1000 & echo up >&9; wait"
			}
			parent := exec.Command(os.Args[0])
			parent.Env = append(os.Environ(), "BERTH_TEST_PARENT_OF="+script)
			if how == "watcher" {
				parent.Env = append(parent.Env, "BERTH_TEST_WATCH=1")
			}
			out, err := parent.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
				t.Fatalf("parent says %q: %v", line, err)
			}
			r := open()
			if line, err := r.ReadString('\n'); err != nil {
				t.Fatalf("read %q: %v", line, err)
			}
			if err := parent.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			parent.Wait() //nolint:errcheck // it was killed
			awaitEnd(t, r)
		})
	}
}

// A process of this program ends when its standard input does, where neither the
// kernel nor a watcher ends it.
func TestEndWithParent(t *testing.T) {
	held := exec.Command(os.Args[0])
	held.Env = append(os.Environ(), "BERTH_TEST_HELD=1")
	in, err := held.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := held.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := held.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	if line, err := r.ReadString('\n'); err != nil {
		t.Fatalf("it says %q: %v", line, err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, r)
	if err := held.Wait(); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

// A process of this program is started so that it is held by its standard input.
func TestThisProgramIsHeld(t *testing.T) {
	log := &output{}
	p, err := Start(Spec{Env: []string{"BERTH_TEST_HELD=1"}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Stop(0) }()
	err = p.Await(t.Context(), time.Millisecond, func(context.Context) error {
		if log.text() != "held" {
			return errors.New("silent")
		}
		return nil
	})
	if err != nil {
		t.Fatalf("a process whose standard input is open: %v", err)
	}
}

// shell starts a script that ends with the test at the latest.
func shell(t *testing.T, script string, log io.Writer) *Process {
	t.Helper()
	p, err := Start(Spec{Path: "sh", Args: []string{"-c", script}, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(0); err != nil {
			t.Error(err)
		}
	})
	return p
}

// The text about the end of a process has its last line, unless a signal ended
// it.
func TestWhy(t *testing.T) {
	for script, want := range map[string]string{
		"echo first; echo it is broken >&2; echo; exit 3": "exit status 3: it is broken",
		"echo all is well":           "exit status 0",
		"exit 4":                     "exit status 4",
		"echo working; kill -9 $$":   "signal: killed",
		"echo $BERTH_TEST_X; exit 1": "exit status 1: second",
	} {
		var log output
		p, err := Start(Spec{Path: "sh", Args: []string{"-c", script}, Env: []string{"BERTH_TEST_X=first", "BERTH_TEST_X=second"}, Log: &log})
		if err != nil {
			t.Fatal(err)
		}
		<-p.Exited()
		if p.Why() != want {
			t.Errorf("%s: %q, want %q", script, p.Why(), want)
		}
		if log.text() != p.output.text() {
			t.Errorf("%s: the log has %q, want %q", script, log.text(), p.output.text())
		}
		if err := p.Stop(time.Hour); err != nil {
			t.Errorf("%s: Stop after its end: %v", script, err)
		}
	}
	if p, err := Start(Spec{Path: "/nonexistent"}); p != nil || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v, %v", p, err)
	}
}

func TestAwait(t *testing.T) {
	p := shell(t, "exec sleep 1000", nil)
	no := errors.New("not yet")
	asked := 0
	answer := func(after int, err error) func(context.Context) error {
		asked = 0
		return func(context.Context) error {
			if asked++; asked < after {
				return no
			}
			return err
		}
	}
	if err := p.Await(t.Context(), time.Millisecond, answer(3, nil)); err != nil || asked != 3 {
		t.Errorf("asked %d times: %v; want 3 and no error", asked, err)
	}
	foreign := Foreign{errors.New("the port of another")}
	if err := p.Await(t.Context(), time.Millisecond, answer(2, foreign)); !errors.Is(err, foreign) || asked != 2 {
		t.Errorf("asked %d times: %v; want 2 and that another answered", asked, err)
	}
	mine := errors.New("no answer within a moment")
	ctx, cancel := context.WithCancelCause(t.Context())
	err := p.Await(ctx, time.Millisecond, func(context.Context) error { cancel(mine); return no })
	if !errors.Is(err, mine) || !errors.Is(err, no) {
		t.Errorf("error %v, want %v with the last answer", err, mine)
	}
	// The process ends, while it is asked and before the answer, which is another's.
	err = p.Await(t.Context(), time.Millisecond, func(ctx context.Context) error {
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
		<-ctx.Done()
		return nil
	})
	if !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("error %v, want that it was killed before it answered", err)
	}
}

func TestOutput(t *testing.T) {
	var o output
	for i := range 3000 {
		_, _ = fmt.Fprintf(&o, "line %d\n", i)
	}
	if len(o.buf) > tailBytes {
		t.Errorf("keeps %d bytes", len(o.buf))
	}
	if q := o.quote(); !strings.HasSuffix(q, "line 2999") || o.lastLine() != "line 2999" {
		t.Errorf("ends in %q, the last line is %q", q[max(0, len(q)-20):], o.lastLine())
	}
	if q := (&output{}).quote(); q != "" {
		t.Errorf("of nothing it quotes %q", q)
	}
}
