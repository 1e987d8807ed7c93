package localstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	_ "example.com/berth" // registers the doors, as the deployed build does
	"example.com/berth/internal/app"
	"example.com/berth/internal/localstack/emulator"
)

// roleEnv makes a process of this program a function process.
const roleEnv = "BERTH_LOCALSTACK_FUNCTION_PORT"

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
	if err := funcframework.RegisterHTTPFunctionContext(context.Background(), "/Status/", app.Status); err != nil {
		fmt.Fprintln(os.Stderr, "register /Status/:", err)
		os.Exit(1)
	}
	if err := funcframework.StartHostPort("127.0.0.1", port); err != nil {
		fmt.Fprintln(os.Stderr, "functions framework:", err)
		os.Exit(1)
	}
	os.Exit(0)
	return true
}

// A Function is a supervised function process: when it dies, another takes its
// place, as on a serverless platform.
type Function struct {
	port int
	env  []string
	log  io.Writer

	mu       sync.Mutex
	cmd      *exec.Cmd
	stdin    io.Closer
	stopping bool
	starts   int
	done     chan struct{}
}

// StartFunction starts a function process with the given environment on a port
// (0 for any free one) and waits until it answers. Its log goes to log.
func StartFunction(ctx context.Context, port int, env []string, log io.Writer) (*Function, error) {
	if port == 0 {
		var err error
		if port, err = emulator.FreePort(); err != nil {
			return nil, fmt.Errorf("find a port for the function: %w", err)
		}
	}
	f := &Function{port: port, env: env, log: log, done: make(chan struct{})}
	if err := f.spawn(); err != nil {
		return nil, err
	}
	go f.supervise()
	if err := f.ready(ctx); err != nil {
		return nil, errors.Join(err, f.Stop())
	}
	return f, nil
}

// URL is where a door is.
func (f *Function) URL(door string) string {
	return fmt.Sprintf("http://127.0.0.1:%d/%s", f.port, door)
}

// PID is the process id of the present process, Starts how many there have been.
func (f *Function) PID() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cmd.Process.Pid
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
	return f.cmd.Process.Kill()
}

func (f *Function) spawn() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopping {
		return errStopping
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), f.env...), roleEnv+"="+strconv.Itoa(f.port))
	cmd.Stdout, cmd.Stderr = f.log, f.log
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start function process: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start function process: %w", err)
	}
	f.cmd, f.stdin = cmd, in
	f.starts++
	return nil
}

var errStopping = errors.New("the function is being stopped")

func (f *Function) supervise() {
	defer close(f.done)
	for {
		f.mu.Lock()
		cmd := f.cmd
		f.mu.Unlock()
		_ = cmd.Wait() // killed on purpose or not: start another
		if err := f.spawn(); err != nil {
			return
		}
	}
}

func (f *Function) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.URL("Status/health"), nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("it answers %s", resp.Status)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("function at %s is not ready: %w", f.URL("Status/health"), err)
		}
	}
}

// Stop ends the process and waits for it. It may be called again.
func (f *Function) Stop() error {
	f.mu.Lock()
	first := !f.stopping
	f.stopping = true
	if first {
		_ = f.stdin.Close()
		_ = f.cmd.Process.Kill() // nothing is lost: that is what it is built for
	}
	f.mu.Unlock()
	<-f.done
	return nil
}
