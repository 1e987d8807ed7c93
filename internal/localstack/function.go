package localstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	_ "example.com/berth" // registers the doors, as the deployed build does
	"example.com/berth/internal/app"
	"example.com/berth/internal/localstack/emulator"
)

const (
	// roleEnv makes a process of this program a function process.
	roleEnv = "BERTH_LOCALSTACK_FUNCTION_PORT"
	// nonceEnv is a random text that a function process tells at noncePath. By it
	// the stack knows its own process from that of another stack, which answers on
	// the same port and looks the same.
	nonceEnv  = "BERTH_LOCALSTACK_NONCE"
	noncePath = "/localstack-nonce"

	readyWithin = 30 * time.Second
	askEvery    = 50 * time.Millisecond
	// Pauses before a process that never answered is replaced.
	firstPause, longestPause = 100 * time.Millisecond, 5 * time.Second
)

// FunctionMain is the main of a function process: the three doors under the
// real functions framework, at /Admit, /Reconcile and /Status. It returns false
// at once in any other process. main functions, and the TestMain of tests that
// start a stack, call it first.
//
// The process ends when its standard input does, that is, with its parent.
func FunctionMain() bool {
	port := os.Getenv(roleEnv)
	if port == "" {
		return false
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	// The framework serves each function at exactly its name; Status has paths of
	// its own below that, which a deployment serves at the root of its service.
	for path, serve := range map[string]http.HandlerFunc{"/Status/": app.Status, noncePath: tellNonce} {
		if err := funcframework.RegisterHTTPFunctionContext(context.Background(), path, serve); err != nil {
			fmt.Fprintf(os.Stderr, "register %s: %v\n", path, err)
			os.Exit(1)
		}
	}
	if err := funcframework.StartHostPort("127.0.0.1", port); err != nil {
		fmt.Fprintln(os.Stderr, "functions framework:", err)
		os.Exit(1)
	}
	os.Exit(0)
	return true
}

func tellNonce(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, os.Getenv(nonceEnv))
}

// A Function is a supervised function process: when it dies, another takes its
// place, as on a serverless platform. One that dies before it ever answered is
// replaced after a pause, which doubles up to five seconds.
type Function struct {
	port int
	env  []string
	log  io.Writer

	mu       sync.Mutex
	child    *child
	starts   int
	restarts func(Restart) // nil: nobody is told

	stopping chan struct{}
	stopOnce sync.Once
	done     chan struct{} // closed when no process is left
}

// A Restart is one function process in the place of another.
type Restart struct {
	Ended, PID int    // process ids of the old and of the new one
	Why        string // how the old one ended: "signal: killed"
}

// StartFunction starts a function process with the given environment on a port
// (0 for any free one) and waits until it answers. Its log goes to log. It fails
// if the process ends before that, or if another process answers on the port.
func StartFunction(ctx context.Context, port int, env []string, log io.Writer) (*Function, error) {
	if port == 0 {
		var err error
		if port, err = emulator.FreePort(); err != nil {
			return nil, fmt.Errorf("find a port for the function: %w", err)
		}
	}
	f := &Function{port: port, env: env, log: log, stopping: make(chan struct{}), done: make(chan struct{})}
	if _, err := f.spawn(); err != nil {
		return nil, err
	}
	if err := f.ready(ctx); err != nil {
		f.child.end()
		return nil, err
	}
	go f.supervise()
	return f, nil
}

// OnRestart has a function called after each restart, with one call at a time.
func (f *Function) OnRestart(tell func(Restart)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.restarts = tell
}

// URL is where a door is.
func (f *Function) URL(door string) string {
	return fmt.Sprintf("http://127.0.0.1:%d/%s", f.port, door)
}

// PID is the process id of the present process, Starts how many there have been.
func (f *Function) PID() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.child.pid()
}

func (f *Function) Starts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.starts
}

// Kill ends the present process at once, as kill -9 does. Another takes its place.
func (f *Function) Kill() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.child.cmd.Process.Kill()
}

func (f *Function) spawn() (*child, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.stopping: // Stop ends the child that it sees, so none may follow
		return nil, errors.New("the function is being stopped")
	default:
	}
	c, err := startChild(f.port, f.env, f.log)
	if err != nil {
		return nil, err
	}
	f.child = c
	f.starts++
	return c, nil
}

// supervise replaces each process that ends.
func (f *Function) supervise() {
	defer close(f.done)
	var pause time.Duration
	for c := f.child; ; {
		if c.answers(f.port) {
			pause = 0
		}
		<-c.exited
		if pause > 0 {
			select {
			case <-time.After(pause):
			case <-f.stopping:
			}
		}
		pause = min(max(2*pause, firstPause), longestPause)
		next, err := f.spawn()
		if err != nil {
			return
		}
		f.mu.Lock()
		tell := f.restarts
		f.mu.Unlock()
		if tell != nil {
			tell(Restart{Ended: c.pid(), PID: next.pid(), Why: c.why()})
		}
		c = next
	}
}

// ready waits until the process of this function answers, and its Status door
// says that it can work.
func (f *Function) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	defer context.AfterFunc(f.child.lives, cancel)()
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		nonce, err := ask(ctx, f.port, noncePath)
		if err == nil && nonce != f.child.nonce {
			return fmt.Errorf("port %d of 127.0.0.1 belongs to another process; choose another port for the function", f.port)
		}
		if err == nil {
			_, err = ask(ctx, f.port, "/Status/health")
		}
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if f.child.lives.Err() != nil {
				return fmt.Errorf("the function process ended before it answered: %s", f.child.why())
			}
			return fmt.Errorf("the function at %s is not ready: %w", f.URL("Status/health"), err)
		}
	}
}

// Stop ends the process and waits for it. It may be called again.
func (f *Function) Stop() error {
	f.mu.Lock()
	f.stopOnce.Do(func() { close(f.stopping) })
	c := f.child
	f.mu.Unlock()
	c.end() // nothing is lost: that is what it is built for
	<-f.done
	return nil
}
