package localstack

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	_ "example.com/berth" // registers the entry points, as the deployed build does
	"example.com/berth/internal/app"
	"example.com/berth/internal/localstack/child"
	"example.com/berth/internal/localstack/emulator"
)

const (
	// roleEnv makes a process of this program a function process.
	roleEnv = "BERTH_LOCALSTACK_FUNCTION_PORT"
	// nonceEnv is a random text that a function process serves at noncePath. By it
	// the stack knows its own process from that of another stack, which answers on
	// the same port and answers alike.
	nonceEnv  = "BERTH_LOCALSTACK_NONCE"
	noncePath = "/localstack-nonce"
	// healthPath answers 200 once the function can work.
	healthPath = "/Status/health"

	readyWithin = 30 * time.Second
)

// FunctionMain is the main of a function process: the three entry points under the
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
	child.EndWithParent()
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
// place, as on a serverless platform.
type Function struct {
	*child.Service
	port int
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
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	f, nonce := &Function{port: port}, rand.Text()
	// It is this process that answers, and its Status function says that it can work.
	ours := func(ctx context.Context) error {
		answer, err := ask(ctx, port, noncePath)
		if err == nil && answer != nonce {
			err = child.Foreign{Err: fmt.Errorf("port %d of 127.0.0.1 belongs to another process; choose another port for the function", port)}
		}
		return err
	}
	healthy := func(ctx context.Context) error {
		_, err := ask(ctx, port, healthPath)
		return err
	}
	env = append(slices.Clip(env), roleEnv+"="+strconv.Itoa(port), nonceEnv+"="+nonce)
	var err error
	if f.Service, err = child.Serve(ctx, child.Spec{Env: env, Log: log}, ours, healthy); err != nil {
		return nil, fmt.Errorf("start the function at %s: %w", f.URL(""), err)
	}
	return f, nil
}

// URL is the URL of an entry point.
func (f *Function) URL(entry string) string {
	return fmt.Sprintf("http://127.0.0.1:%d/%s", f.port, entry)
}

// asker keeps no connections: one to a process that has ended is of no use.
var asker = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}

// ask returns what a function process answers with 200, shortened.
func ask(ctx context.Context, port int, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d%s", port, path), nil)
	if err != nil {
		return "", err
	}
	resp, err := asker.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil {
		return "", err
	}
	if resp.StatusCode == http.StatusNotFound && path == noncePath {
		return "", nil // a server of another kind
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("it answers %s", resp.Status)
	}
	return string(text), nil
}
