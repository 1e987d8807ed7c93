package localstack

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A child is one function process.
type child struct {
	cmd    *exec.Cmd
	nonce  string
	stdin  io.Closer
	last   *lastLine
	exited <-chan struct{} // closed when it has been reaped
	err    error           // how it ended; read it after exited
	lives  context.Context // until then
}

// startChild starts this program as a function process on a port.
func startChild(port int, env []string, log io.Writer) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	c := &child{cmd: exec.Command(self), nonce: rand.Text(), last: &lastLine{out: log}}
	c.cmd.Env = append(append(os.Environ(), env...), roleEnv+"="+strconv.Itoa(port), nonceEnv+"="+c.nonce)
	c.cmd.Stdout, c.cmd.Stderr = c.last, c.last
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start function process: %w", err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start function process: %w", err)
	}
	lives, gone := context.WithCancel(context.Background())
	c.lives, c.exited = lives, lives.Done()
	go func() {
		c.err = c.cmd.Wait()
		gone()
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// end kills the process and waits for it.
func (c *child) end() {
	_ = c.stdin.Close()
	_ = c.cmd.Process.Kill()
	<-c.exited
}

// why says how a process that has exited ended, with the last line that it wrote
// unless it was killed.
func (c *child) why() string {
	if c.err == nil {
		return "exit status 0"
	}
	if text := c.last.String(); text != "" && c.cmd.ProcessState.Exited() {
		return c.err.Error() + ": " + text
	}
	return c.err.Error()
}

// answers waits until the process answers on its port, and returns false if it
// exits before that.
func (c *child) answers(port int) bool {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		if nonce, err := ask(c.lives, port, noncePath); err == nil && nonce == c.nonce {
			return true
		}
		select {
		case <-tick.C:
		case <-c.exited:
			return false
		}
	}
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

// lastLine passes output on and remembers the end of it.
type lastLine struct {
	out io.Writer

	mu  sync.Mutex
	end string
}

func (l *lastLine) Write(p []byte) (int, error) {
	l.mu.Lock()
	l.end += string(p[max(0, len(p)-1<<10):])
	l.end = l.end[max(0, len(l.end)-1<<10):]
	l.mu.Unlock()
	return l.out.Write(p)
}

// String is the last line that is not empty.
func (l *lastLine) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(l.end)
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}
