package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// serve runs the program until the test ends and returns its URL.
func serve(t *testing.T, args ...string) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	in, out := io.Pipe()
	var errs bytes.Buffer
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, append([]string{"--listen=127.0.0.1:0"}, args...), nil, out, &errs)
		out.Close()
	}()
	lines := bufio.NewReader(in)
	first, err := lines.ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(first), "Listening at ")
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	t.Cleanup(func() {
		stop()
		if c := <-code; c != 0 || errs.Len() > 0 {
			t.Errorf("exit %d: %s", c, errs.String())
		}
	})
	if err != nil || !ok {
		t.Fatalf("first line %q, %v", first, err)
	}
	return url
}

func TestRun(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file := filepath.Join(t.TempDir(), "s.yaml")
	if err := os.WriteFile(file, []byte("behaviour: {runFor: 10}\nresource: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args, in  string
		code      int
		out, errs string // beginnings
	}{
		{"--help", "", 0, "Usage: fakevertex [flags]\n", ""},
		{"--behaviour", "", 0, "behaviour:\n  acceptFailAfter: 1s\n", ""},
		{"--check", "", 0, "", ""},
		{"--check --scenario=-", `{"seed": 3}`, 0, "", ""},
		{"--check --scenario=../../testdata/fakevertex/scenario.yaml", "", 0, "", ""},
		{"--check --scenario=-", "seed: x", 2, "", "fakevertex: the scenario is wrong:\n-:1: seed: \"x\" is not a whole number"},
		{"--scenario=" + file, "", 2, "", "fakevertex: the scenario is wrong:\n" + file + ":1: behaviour.runFor: \"10\" is not a time such as 500ms, 90s or 1h30m, or forever.\n" +
			file + ":2: resource: There is no such field. The fields are behaviour, faults, jobs, project, region, resources, seed.\n"},
		{"--scenario=/nowhere.yaml", "", 2, "", "fakevertex: read scenario: open /nowhere.yaml: no such file"},
		{"--nonsense", "", 2, "", "fakevertex: unknown flag --nonsense"},
		{"--clock=sun", "", 2, "", "fakevertex: --clock must be one of"},
		{"--start=noon", "", 2, "", "fakevertex: --start: "},
		{"--start=2026-05-01T00:00:00Z", "", 2, "", "fakevertex: --start is for --clock=virtual: the real clock begins now"},
		{"--start=2200-01-01T00:00:00Z --clock=virtual", "", 2, "", "fakevertex: --start: want a time before the year 2200"},
		{"--project=", "", 2, "", `fakevertex: --project: "" is not the id or number of a project`},
		{"--project=A/B --check", "", 2, "", `fakevertex: --project: "A/B" is not the id or number of a project`},
		{"--region=mars --check", "", 2, "", `fakevertex: --region: "mars" is not the name of a region`},
		{"--listen=8095", "", 2, "", "fakevertex: --listen: address 8095: missing port in address; want HOST:PORT"},
		{"--behaviour --scenario=-", "behaviour: {acceptFailAfter: 5m}", 0, "behaviour:\n  acceptFailAfter: 5m0s\n", ""},
		{"now", "", 2, "", "fakevertex: unexpected argument now"},
		{"--listen=" + l.Addr().String(), "", 1, "", "fakevertex: listen tcp " + l.Addr().String()},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), strings.Fields(c.args), strings.NewReader(c.in), &out, &errs)
		if code != c.code || !strings.HasPrefix(out.String(), c.out) || !strings.HasPrefix(errs.String(), c.errs) || (c.errs == "") != (errs.Len() == 0) {
			t.Errorf("%s: exit %d, out %.60q, errors %q", c.args, code, out.String(), errs.String())
		}
	}
}

// What --behaviour prints is a scenario.
func TestBehaviourIsAScenario(t *testing.T) {
	var printed, out, errs bytes.Buffer
	if code := run(t.Context(), []string{"--behaviour"}, nil, &printed, &errs); code != 0 {
		t.Fatal(errs.String())
	}
	if code := run(t.Context(), []string{"--check", "--scenario=-"}, &printed, &out, &errs); code != 0 {
		t.Error(errs.String())
	}
}

func TestServes(t *testing.T) {
	url := serve(t, "--clock=virtual", "--start=2026-05-01T00:00:00Z")
	for path, want := range map[string]string{
		"/admin/clock": `"now": "2026-05-01T00:00:00Z"`,
		"/v1/projects/fake-project/locations/us-central1/customJobs": `{}`,
	} {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %s, %v", path, resp.StatusCode, body, err)
		}
	}
}
