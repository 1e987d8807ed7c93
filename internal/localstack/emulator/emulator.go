// Package emulator finds and starts Google's official Firestore and Pub/Sub
// emulators on this machine.
//
// An emulator is *given* when its environment variable
// (FIRESTORE_EMULATOR_HOST, PUBSUB_EMULATOR_HOST) names a host: it is used as
// it is and never started or stopped here. Otherwise it is *ours*: a java
// process started from the jar of the installed Google Cloud SDK, on a free
// port of 127.0.0.1. gcloud's own start command is not used, because a signal
// to it leaves the java process running.
//
// An emulator that cannot be had (no SDK, no jar, no java or one too old) is
// *not installed*: errors.Is(err, ErrNotInstalled), with the reason in words.
// A caller should not fail because of it: embedded replacements exist, and tests
// can be skipped. Any other error means that something which should have worked did not.
//
// What is ours ends with us: see package child.
package emulator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"example.com/berth/internal/localstack/child"
)

// ErrNotInstalled is matched by every error that means "cannot be had on this
// machine", as opposed to "was tried and broke".
var ErrNotInstalled = errors.New("not installed here")

const (
	// FirestoreHostEnv and PubSubHostEnv name the variables that Google's
	// clients read, and that make an emulator a given one.
	FirestoreHostEnv = "FIRESTORE_EMULATOR_HOST"
	PubSubHostEnv    = "PUBSUB_EMULATOR_HOST"

	defaultStartTimeout = 30 * time.Second
	probeTimeout        = 5 * time.Second
	pollEvery           = 50 * time.Millisecond
	stopGrace           = 5 * time.Second // from SIGTERM to SIGKILL
	defaultHeap         = 512             // MiB
	startAttempts       = 3               // a free port can be taken before java binds it
)

// Options say how to start an emulator. The zero value is usable.
type Options struct {
	// Port to listen on, 1 to 65535. 0 means any free port; a given port is
	// tried once only.
	Port int

	// Output receives what the process writes to stdout and stderr. Whether
	// it is set or not, error messages quote the last lines.
	Output io.Writer

	// StartTimeout bounds the wait until the emulator answers, per attempt.
	// 0 means 30 s; an idle machine needs 2 s.
	StartTimeout time.Duration

	// Heap is the most that Java may use for its heap, in MiB; 0 means 512. The
	// emulators keep everything there: one with 100,000 requests needs more.
	Heap int
}

// An Emulator is one running emulator, given or ours.
type Emulator struct {
	name, host string
	proc       *child.Process // nil when given
	stop       func() error
}

// Name says what it is, in words: "Firestore emulator".
func (e *Emulator) Name() string { return e.name }

// Host is host:port, in the form that the environment variable takes.
func (e *Emulator) Host() string { return e.host }

// Started reports whether the emulator is ours, so that Stop ends it.
func (e *Emulator) Started() bool { return e.proc != nil }

// PID is the process id of an emulator that is ours, else 0.
func (e *Emulator) PID() int {
	if e.proc == nil {
		return 0
	}
	return e.proc.PID()
}

// Exited is closed when a process of ours has ended, for any reason. It
// is nil (blocks for ever) for a given emulator.
func (e *Emulator) Exited() <-chan struct{} {
	if e.proc == nil {
		return nil
	}
	return e.proc.Exited()
}

// Stop ends an emulator that is ours and waits until its process is gone, for
// some seconds at most. It may be called again, from anywhere, and does nothing
// to a given emulator.
func (e *Emulator) Stop() error { return e.stop() }

func (e *Emulator) String() string {
	if e.Started() {
		return fmt.Sprintf("%s on %s (started here, pid %d)", e.name, e.host, e.PID())
	}
	return fmt.Sprintf("%s on %s (was running)", e.name, e.host)
}

// StartFirestore returns the Firestore emulator: the given one, else a new one
// of ours. ctx bounds the start only.
func StartFirestore(ctx context.Context, opts Options) (*Emulator, error) {
	return firestore.start(ctx, opts)
}

// StartPubSub returns the Pub/Sub emulator: the given one, else a new one of
// ours. ctx bounds the start only.
func StartPubSub(ctx context.Context, opts Options) (*Emulator, error) {
	return pubsub.start(ctx, opts)
}

// start is the one way in for both kinds.
func (k kind) start(ctx context.Context, opts Options) (*Emulator, error) {
	if host := os.Getenv(k.env); host != "" {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		if err := probe(ctx, host); err != nil {
			return nil, fmt.Errorf("%s: %s is set to %q, which does not answer: %w", k.name, k.env, host, err)
		}
		return &Emulator{name: k.name, host: host, stop: func() error { return nil }}, nil
	}
	cmd, err := k.find(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.name, err)
	}
	attempts := startAttempts
	if opts.Port != 0 {
		attempts = 1
	}
	var failed error
	for range attempts {
		e, retry, err := k.launch(ctx, cmd, opts)
		if err == nil {
			return e, nil
		}
		failed = errors.Join(failed, err)
		if !retry {
			break
		}
	}
	return nil, fmt.Errorf("%s: %w", k.name, failed)
}

// launch starts the process once and waits until it answers. retry reports that
// the failure looks like a port which another process took first.
func (k kind) launch(ctx context.Context, c command, opts Options) (_ *Emulator, retry bool, _ error) {
	port := opts.Port
	if port == 0 {
		var err error
		if port, err = FreePort(); err != nil {
			return nil, false, err
		}
	}
	host := fmt.Sprintf("127.0.0.1:%d", port)
	proc, err := child.Start(child.Spec{
		Path: c.java, Args: c.args(port, cmp.Or(opts.Heap, defaultHeap)), Dir: os.TempDir(), Log: opts.Output})
	if err != nil {
		return nil, false, err
	}
	wait := cmp.Or(opts.StartTimeout, defaultStartTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("no answer within %v", wait))
	defer cancel()
	err = proc.Await(ctx, pollEvery, func(ctx context.Context) error { return probe(ctx, host) })
	if err != nil {
		retry = errors.Is(err, child.ErrEnded) && proc.ExitCode() == 1 && ctx.Err() == nil
		err = errors.Join(err, proc.Stop(stopGrace))
		return nil, retry, fmt.Errorf("start %s on %s: %w%s", c, host, err, proc.Quote())
	}
	return &Emulator{
		name: k.name,
		host: host,
		proc: proc,
		stop: sync.OnceValue(func() error { return proc.Stop(stopGrace) }),
	}, false, nil
}

// probeClient keeps no connections, so that a probe leaves nothing behind.
var probeClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: probeTimeout}

// probe asks for GET /, which both emulators answer with 200 once they serve.
func probe(ctx context.Context, host string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/", nil)
	if err != nil {
		return err
	}
	resp, err := probeClient.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET http://%s/ answers %s", host, resp.Status)
	}
	return nil
}
