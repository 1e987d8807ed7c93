package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"
)

// opened runs berth open on a desktop, against a Status function that answers so, and returns
// the browser's command with the address of the function left out.
func opened(t *testing.T, c openCmd, answer int, env map[string]string, system string, programs ...string) (ran, out string, err error) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("a browser sends no token")
		}
		if answer == http.StatusFound {
			w.Header().Set("Location", "https://accounts.google.com/")
		}
		w.WriteHeader(answer)
	}))
	defer srv.Close()
	var o, e bytes.Buffer
	g := &globals{ctx: t.Context(), out: &o, err: &e, target: target{Project: "my-project", StatusURL: srv.URL + "/Status/", Timeout: 10 * time.Second, Token: "t", Tenant: env["tenant"]}}
	on := desktop{system, func(name string) string { return env[name] }, func(p string) (string, error) {
		if !slices.Contains(programs, p) {
			return "", exec.ErrNotFound
		}
		return p, nil
	}, func(_ context.Context, args ...string) error {
		if ran = strings.ReplaceAll(fmt.Sprint(args), srv.URL, ""); args[0] == "broken" {
			return errors.New("exit status 3")
		}
		return nil
	}}
	err = c.run(g, on)
	return ran, strings.ReplaceAll(o.String(), srv.URL, ""), err
}

func TestOpen(t *testing.T) {
	display := map[string]string{"DISPLAY": ":0"}
	for name, test := range map[string]struct {
		c        openCmd
		env      map[string]string
		system   string
		programs []string
		ran, out string
	}{
		"linux":        {openCmd{}, display, "linux", []string{"xdg-open"}, "[xdg-open /Status/]", ""},
		"wayland":      {openCmd{What: "a"}, map[string]string{"WAYLAND_DISPLAY": "w"}, "linux", []string{"xdg-open"}, "[xdg-open /Status/requests/a]", ""},
		"no display":   {openCmd{What: "queue"}, nil, "linux", []string{"xdg-open"}, "", "/Status/queue\n"},
		"no xdg-open":  {openCmd{What: "pools"}, display, "linux", nil, "", "/Status/pools\n"},
		"mac":          {openCmd{What: "queue", Request: true}, nil, "darwin", nil, "[open /Status/requests/queue]", ""},
		"windows":      {openCmd{}, nil, "windows", nil, "[rundll32 url.dll,FileProtocolHandler /Status/]", ""},
		"tenant":       {openCmd{What: "recent"}, map[string]string{"tenant": "red"}, "darwin", nil, "[open /Status/recent?tenant=red]", ""},
		"BROWSER":      {openCmd{}, map[string]string{"BROWSER": "none:w3m -dump"}, "linux", []string{"w3m"}, "[w3m -dump /Status/]", ""},
		"BROWSER %s":   {openCmd{}, map[string]string{"BROWSER": "lynx %s -x", "DISPLAY": ":0"}, "linux", []string{"lynx", "xdg-open"}, "[lynx /Status/ -x]", ""},
		"print":        {openCmd{What: "usage", Print: true}, display, "linux", []string{"xdg-open"}, "", "/Status/usage\n"},
		"a job's name": {openCmd{What: "projects/1/locations/l/customJobs/2"}, nil, "linux", nil, "", "/Status/requests/projects%2F1%2Flocations%2Fl%2FcustomJobs%2F2\n"},
	} {
		ran, out, err := opened(t, test.c, http.StatusOK, test.env, test.system, test.programs...)
		if err != nil || ran != test.ran || out != test.out {
			t.Errorf("%s: %v, it runs %q and prints %q", name, err, ran, out)
		}
	}
	// Identity-Aware Proxy sends a browser to a page where people sign in.
	if ran, _, err := opened(t, openCmd{}, http.StatusFound, nil, "darwin"); err != nil || ran == "" {
		t.Error(err)
	}
	if _, _, err := opened(t, openCmd{}, 200, map[string]string{"BROWSER": "broken"}, "linux", "broken"); err == nil || !strings.Contains(err.Error(), "/Status/ with broken: exit status 3") {
		t.Error(err)
	}
}

// What a browser could not show is not opened, and the error says how to reach it.
func TestOpenWhatABrowserCannotShow(t *testing.T) {
	for _, answer := range []int{401, 403} {
		ran, out, err := opened(t, openCmd{What: "a"}, answer, nil, "darwin")
		want := "gcloud run services proxy berth-status --project=my-project --region=REGION --port=8081. Then open http://127.0.0.1:8081/Status/requests/a."
		if exitCode(err) != exitError || ran+out != "" || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%d: it runs %q, prints %q: %v", answer, ran, out, err)
		}
		if _, out, err := opened(t, openCmd{What: "a", Print: true}, answer, nil, "darwin"); err != nil || out != "/Status/requests/a\n" {
			t.Errorf("it prints %q, %v", out, err)
		}
	}
	if ran, _, err := opened(t, openCmd{What: "a"}, 404, nil, "darwin"); exitCode(err) != exitError || ran != "" {
		t.Errorf("%q, %v", ran, err)
	}
	for host, want := range map[string]string{
		"my-status-123456789012.europe-west4.run.app": "proxy my-status --project=p --region=europe-west4 ",
		"my-status-abcdefghij-uc.a.run.app":           "proxy my-status --project=p --region=REGION ",
		"example.com":                                 "proxy berth-status --project=p --region=REGION ",
	} {
		g := &target{StatusURL: "https://" + host}
		page, err := g.statusBase()
		if err != nil {
			t.Fatal(err)
		}
		if err := guarded(page, "p"); !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if err := (&openCmd{}).run(&globals{ctx: t.Context(), target: target{StatusURL: "ftp://x", Timeout: time.Second}}, desktop{}); exitCode(err) != exitUsage {
		t.Error(err)
	}
}

func TestVersionOfABuild(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Settings: []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-03-01T12:00:00Z"},
		{Key: "vcs.modified", Value: "true"}, {Key: "GOOS", Value: "linux"}, {Key: "GOARCH", Value: "arm64"}}}
	b := thisBuild(info, "v1.2.0")
	if want := (build{"v1.2.0", "abc", "2026-03-01T12:00:00Z", true, "go1.26.8", "linux/arm64"}); b != want {
		t.Errorf("%+v", b)
	}
	if got := b.String(); got != "berth v1.2.0 commit abc modified go1.26.8 linux/arm64" {
		t.Error(got)
	}
	if b.Version, b.Modified = "abc", false; b.String() != "berth abc go1.26.8 linux/arm64" {
		t.Error(b.String())
	}
}
