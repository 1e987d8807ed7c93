//go:build unix

package child

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A trial is a service that works until its file is there: then each of its
// processes ends at once.
type trial struct {
	*Service
	file     string
	silent   chan struct{} // closed: nothing answers
	reported chan Restart
}

func serve(t *testing.T) *trial {
	t.Helper()
	x := &trial{file: filepath.Join(t.TempDir(), "end"), silent: make(chan struct{}), reported: make(chan Restart, 100)}
	var err error
	x.Service, err = Serve(t.Context(), Spec{Path: "sh", Args: []string{"-c", "test -e " + x.file + " && { echo it is the end; exit 3; }; exec sleep 1000"}},
		func(context.Context) error {
			select {
			case <-x.silent:
				return errors.New("silent")
			default:
				return nil
			}
		}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 {
			if err := x.Stop(); err != nil {
				t.Error(err)
			}
		}
		if _, err := x.start(); !errors.Is(err, errStopping) {
			t.Errorf("a start after Stop: %v", err)
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.process.lives.Err() == nil {
			t.Errorf("process %d is still there", x.process.PID())
		}
	})
	x.OnRestart(func(r Restart) { x.reported <- r })
	return x
}

func (x *trial) restart(t *testing.T) Restart {
	t.Helper()
	select {
	case r := <-x.reported:
		return r
	case <-time.After(20 * time.Second):
		t.Fatal("no restart was reported")
		return Restart{}
	}
}

// A killed process that had answered is replaced at once, and each restart is
// reported.
func TestServiceReplacesWhatDies(t *testing.T) {
	x := serve(t)
	for n := range 5 {
		old := x.PID()
		began := time.Now()
		if err := x.Kill(); err != nil {
			t.Fatal(err)
		}
		r := x.restart(t)
		if r.Ended != old || r.PID != x.PID() || r.PID == old || r.Why != "signal: killed" || x.Starts() != n+2 {
			t.Errorf("reported %+v at start %d; the killed process was %d, the present one is %d", r, x.Starts(), old, x.PID())
		}
		if took := time.Since(began); took > longestPause {
			t.Errorf("replaced after %s", took)
		}
	}
}

// A process that cannot work is not started again without a pause: the pauses
// double.
func TestServicePauses(t *testing.T) {
	x := serve(t)
	close(x.silent)
	if err := os.WriteFile(x.file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := x.Kill(); err != nil {
		t.Fatal(err)
	}
	x.restart(t)
	began := time.Now()
	for range 4 {
		if r := x.restart(t); r.Why != "exit status 3: it is the end" {
			t.Errorf("reported %q", r.Why)
		}
	}
	if took := time.Since(began); took < 15*firstPause {
		t.Errorf("4 restarts of a process that cannot work took %s, want pauses of 1, 2, 4 and 8 times %s", took, firstPause)
	}
}

// A service that does not start leaves nothing running, and says why.
func TestServeFails(t *testing.T) {
	no := errors.New("not yet")
	var giveUp context.CancelFunc
	never := func(context.Context) error { return no }
	last := func(context.Context) error { giveUp(); return no }
	always := func(context.Context) error { return nil }
	foreign := func(context.Context) error { return Foreign{errors.New("the port of another")} }
	for _, c := range []struct {
		name, script   string
		answers, ready func(context.Context) error
		want           string
	}{
		{"it ends", "echo no such setting; exit 1", never, nil, "it ended before it answered: exit status 1: no such setting"},
		{"it does not answer", "exec sleep 1000", last, nil, "context canceled; last: not yet"},
		{"it answers and is not ready", "exec sleep 1000", always, last, "context canceled; last: not yet"},
		{"another answers", "exec sleep 1000", foreign, nil, "the port of another"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var ctx context.Context
			ctx, giveUp = context.WithCancel(t.Context())
			defer giveUp()
			file := filepath.Join(t.TempDir(), "pid")
			pid := 0
			s, err := Serve(ctx, Spec{Path: "sh", Args: []string{"-c", "echo $$ >" + file + "; " + c.script}},
				func(ctx context.Context) error {
					if text, err := os.ReadFile(file); err != nil || !strings.HasSuffix(string(text), "\n") {
						return no
					} else if pid, err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil {
						t.Error(err)
					}
					return c.answers(ctx)
				}, c.ready)
			if s != nil || err == nil || err.Error() != c.want {
				t.Errorf("%v, %v; want the error %q", s, err, c.want)
			}
			if err := syscall.Kill(pid, 0); pid != 0 && !errors.Is(err, syscall.ESRCH) {
				t.Errorf("process %d is still there: %v", pid, err)
			}
		})
	}
}
