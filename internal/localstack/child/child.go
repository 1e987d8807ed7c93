// Package child starts the processes of a local stack, and ends them.
//
// A [Process] does not outlive this program, however this program ends: by the
// kernel on Linux, by a watcher on other Unixes, and everywhere by its standard
// input if it is a process of this program itself (see [EndWithParent]). It has a
// process group of its own, so that its own children end with it, and Ctrl-C
// reaches this program only.
//
// A [Service] is a process that has another in its place when it dies, as on a
// serverless platform.
package child

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// askEvery is the pause between two questions whether a process answers.
const askEvery = 50 * time.Millisecond

// A Spec says what to start.
type Spec struct {
	// Path is the program. "" is this program, whose main then has to call
	// [EndWithParent].
	Path string
	Args []string
	Env  []string  // KEY=value, beside this program's own; the last of a key counts
	Dir  string    // working folder; "" for this program's
	Log  io.Writer // gets what it writes to stdout and stderr; nil: discarded
}

// A Process is a running child.
type Process struct {
	cmd    *exec.Cmd
	output *output
	err    error              // how it ended; read it after lives
	lives  context.Context    // until it has been reaped
	reaped context.CancelFunc // ends lives
}

// Start starts a process.
func Start(s Spec) (*Process, error) {
	p := &Process{output: &output{out: s.Log}}
	p.lives, p.reaped = context.WithCancel(context.Background())
	path := s.Path
	if path == "" {
		var err error
		if path, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
	}
	p.cmd = exec.Command(path, s.Args...) // #nosec G204 -- it is the caller's to say
	p.cmd.Env = append(os.Environ(), s.Env...)
	p.cmd.Dir = s.Dir
	p.cmd.SysProcAttr = ownGroup()
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	p.cmd.WaitDelay = 2 * time.Second // a process that inherited the pipe must not hold up Wait
	if s.Path == "" {
		if _, err := p.cmd.StdinPipe(); err != nil { // Wait closes it
			return nil, fmt.Errorf("start %s: %w", path, err)
		}
	}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	return p, nil
}

// run starts the process, reports that, and waits for its end. On Linux the death
// signal is sent when the *thread* that started the child ends, so this goroutine
// keeps its thread until the child is gone.
func (p *Process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	unguard := guard(p.PID())
	started <- nil
	p.err = p.cmd.Wait()
	unguard()
	p.reaped()
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Exited is closed when the process has ended and has been reaped.
func (p *Process) Exited() <-chan struct{} { return p.lives.Done() }

// ExitCode is that of a process which has exited, -1 after a signal.
func (p *Process) ExitCode() int { return p.cmd.ProcessState.ExitCode() }

// Why says how a process that has exited ended, with the last line that it wrote
// unless a signal ended it.
func (p *Process) Why() string {
	if p.err == nil {
		return "exit status 0"
	}
	if text := p.output.lastLine(); text != "" && p.cmd.ProcessState.Exited() {
		return p.err.Error() + ": " + text
	}
	return p.err.Error()
}

// Quote renders the last output as the end of an error message, empty without any.
func (p *Process) Quote() string { return p.output.quote() }

// Kill ends the process at once, as kill -9 does, and does not wait for its end.
func (p *Process) Kill() error { return p.cmd.Process.Kill() }

// Stop asks the process group to end, kills it after a grace period, and returns
// when the process is gone. Without a grace period it is killed at once. Stopping
// a process that has ended is no error.
func (p *Process) Stop(grace time.Duration) error {
	select {
	case <-p.Exited():
		return nil
	default:
	}
	var asked error
	if grace > 0 {
		asked = terminateGroup(p.PID())
		if p.gone(grace) {
			return nil
		}
	}
	err := errors.Join(asked, killGroup(p.PID()))
	// What remains now is the kernel's work and the pipe's WaitDelay.
	if p.gone(grace + 10*time.Second) {
		return nil
	}
	return fmt.Errorf("process %d is still there after SIGKILL: %w", p.PID(), errors.Join(err, os.ErrDeadlineExceeded))
}

// gone waits for the end of the process, up to a limit.
func (p *Process) gone(within time.Duration) bool {
	limit := time.NewTimer(within)
	defer limit.Stop()
	select {
	case <-p.Exited():
		return true
	case <-limit.C:
		return false
	}
}

// ErrEnded is matched by the error of Await when the process has ended.
var ErrEnded = errors.New("it ended before it answered")

// Foreign wraps what a question found that another process answered: more
// questions would be of no use.
type Foreign struct{ Err error }

func (f Foreign) Error() string { return f.Err.Error() }
func (f Foreign) Unwrap() error { return f.Err }

// Await asks until the answer is nil, and returns nil if the process is still
// there then: on the port of one that has ended, another may answer. It gives up
// when the process ends (ErrEnded), when ctx does (its cause, with the last
// answer) or when another process answers (Foreign).
func (p *Process) Await(ctx context.Context, every time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.lives, cancel)()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if p.lives.Err() != nil {
			return fmt.Errorf("%w: %s", ErrEnded, p.Why())
		}
		foreign := Foreign{}
		if err == nil || errors.As(err, &foreign) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if p.lives.Err() != nil {
				return fmt.Errorf("%w: %s", ErrEnded, p.Why())
			}
			return fmt.Errorf("%w; last: %w", context.Cause(ctx), err)
		}
	}
}

// EndWithParent ends this process when its standard input does, that is, with the
// program that started it by an empty [Spec.Path].
func EndWithParent() {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
}
