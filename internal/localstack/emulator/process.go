package emulator

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"
)

// A process is a child that is in a process group of its own and does not
// outlive this program.
type process struct {
	pid    int
	tail   *tail
	exited chan struct{} // closed after the child has been reaped
	state  *os.ProcessState
}

// startProcess runs a program in the temporary folder with its output going to
// out (may be nil) and to the tail.
func startProcess(path string, args []string, out io.Writer) (*process, error) {
	p := &process{tail: &tail{}, exited: make(chan struct{})}
	cmd := exec.Command(path, args...)
	cmd.Dir = os.TempDir()
	cmd.SysProcAttr = ownGroup()
	cmd.Stdout = io.Writer(p.tail)
	if out != nil {
		cmd.Stdout = io.MultiWriter(p.tail, out)
	}
	cmd.Stderr = cmd.Stdout
	cmd.WaitDelay = 2 * time.Second // a stranger that inherited the pipe must not hold up Wait

	started := make(chan error)
	go func() {
		// On Linux the death signal is sent when the *thread* that started
		// the child ends, so this goroutine keeps its thread until the child
		// is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := cmd.Start(); err != nil {
			started <- fmt.Errorf("start %s: %w", path, err)
			return
		}
		p.pid = cmd.Process.Pid
		unguard := guard(p.pid)
		started <- nil
		cmd.Wait() //nolint:errcheck // the exit status is in ProcessState
		unguard()
		p.state = cmd.ProcessState
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// exitCode is that of a process which has exited, -1 after a signal.
func (p *process) exitCode() int { return p.state.ExitCode() }

// stop asks the group to end, kills it after the grace period, and returns once
// the process is gone. Stopping an ended process is no error.
func (p *process) stop(grace time.Duration) error {
	select {
	case <-p.exited:
		return nil
	default:
	}
	kill := time.NewTimer(grace)
	defer kill.Stop()
	err := terminateGroup(p.pid)
	select {
	case <-p.exited:
		return nil
	case <-kill.C:
	}
	err = errors.Join(err, killGroup(p.pid))
	// What remains now is the kernel's work and the pipe's WaitDelay.
	kill.Reset(grace + 5*time.Second)
	select {
	case <-p.exited:
		return nil
	case <-kill.C:
		return fmt.Errorf("process %d is still there after SIGKILL: %w", p.pid, errors.Join(err, os.ErrDeadlineExceeded))
	}
}

// tailBytes is how much of the output an error message can quote.
const tailBytes = 4 << 10

// A tail is a writer that remembers the end of what was written.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, b...)
	if extra := len(t.buf) - tailBytes; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(b), nil
}

// quote renders the tail as the end of an error message, empty without output.
func (t *tail) quote() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(t.buf))
	if text == "" {
		return ""
	}
	return "\nits last output:\n\t" + strings.ReplaceAll(text, "\n", "\n\t")
}
