//go:build unix

package emulator

import (
	"bufio"
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
	if script := os.Getenv("BERTH_TEST_PARENT_OF"); script != "" {
		p, err := startProcess("sh", []string{"-c", script}, nil)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if os.Getenv("BERTH_TEST_WATCH") != "" {
			watch(p.pid)
		}
		fmt.Println("ready")
		<-p.exited
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
	p, err := startProcess("sh", []string{"-c", "trap '' TERM; exec 9>" + name + "; echo up >&9; sleep 1000; true"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := open()
	if line, err := r.ReadString('\n'); err != nil {
		t.Fatalf("read %q: %v", line, err)
	}
	if err := p.stop(100 * time.Millisecond); err != nil {
		t.Error(err)
	}
	awaitEnd(t, r)
	if err := p.stop(0); err != nil {
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

func TestTail(t *testing.T) {
	var tl tail
	for i := range 3000 {
		_, _ = fmt.Fprintf(&tl, "line %d\n", i)
	}
	if len(tl.buf) > tailBytes {
		t.Errorf("keeps %d bytes", len(tl.buf))
	}
	if q := tl.quote(); !strings.HasSuffix(q, "line 2999") {
		t.Errorf("ends in %q", q[max(0, len(q)-20):])
	}
}
