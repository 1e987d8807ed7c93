package main

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"example.com/berth/internal/localstack"
	"example.com/berth/internal/localstack/statefile"
)

func TestMain(m *testing.M) {
	if localstack.FunctionMain() {
		return
	}
	os.Exit(m.Run())
}

// TestStartFailures: a stack that cannot start prints one line on stderr,
// without usage, a panic, or anything on stdout.
func TestStartFailures(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct {
		args string
		says string
		code int
	}{
		{"-nonsense", "flag provided but not defined: -nonsense; see -help", 2},
		{"-port=many", `invalid value "many" for flag -port: parse error; see -help`, 2},
		{"-limit=0s", "-limit 0s: want more than 0; see -help", 2},
		{"-project=", "-project is empty; see -help", 2},
		{"-once now", `unexpected argument "now"; see -help`, 2},
		{"-embedded -project=Bad_Project", `start: configuration: BERTH_PROJECT "Bad_Project" is not a project id (a project number is not accepted)`, 2},
		{"-embedded -port=" + port, "start: -port " + port + " cannot be used: listen on port " + port + " of 127.0.0.1: listen tcp4 127.0.0.1:" + port + ": bind: address already in use", 2},
		{"-embedded -vertex-port=70000", "start: -vertex-port 70000: want 1 to 65535, or 0 for any free port", 2},
		{"-requests=/nowhere", "", 1},
	} {
		t.Setenv(statefile.Variable, filepath.Join(t.TempDir(), "stack.json"))
		var out, errs bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), &out, &errs)
		if code != c.code {
			t.Errorf("%s: exit %d, want %d", c.args, code, c.code)
		}
		if got := errs.String(); c.says != "" && got != "localstack: "+c.says+"\n" || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: stderr %q, want %q", c.args, got, c.says)
		}
		if got := out.String(); got != "" && got != "Starting the local stack.\n" {
			t.Errorf("%s: stdout %q", c.args, got)
		}
	}
}

// The help is not an error, and goes to stdout once.
func TestHelp(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"-help"}, &out, &errs); code != 0 || errs.Len() != 0 || strings.Count(out.String(), "Usage of") != 1 {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out.String(), errs.String())
	}
}

// A file that was named and belongs to a running stack stays that stack's, and
// the second one does not start.
func TestNamedFileOfARunningStack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stack.json")
	t.Setenv(statefile.Variable, path)
	if err := statefile.Write(statefile.State{PID: os.Getppid(), Project: "first"}); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"-embedded"}, &out, &errs); code != 2 || !strings.Contains(errs.String(), path) || out.Len() != 0 {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out.String(), errs.String())
	}
	if s, err := statefile.Read(); err != nil || s.Project != "first" {
		t.Errorf("the file says %+v, %v", s, err)
	}
}

func TestInterruptedBeforeItIsUp(t *testing.T) {
	t.Setenv(statefile.Variable, filepath.Join(t.TempDir(), "stack.json"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if code := run(ctx, []string{"-embedded"}, &out, &errs); code != 130 || errs.String() != "localstack: interrupted\n" {
		t.Errorf("exit %d, stderr %q", code, errs.String())
	}
}
