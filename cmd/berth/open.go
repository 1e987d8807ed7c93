package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

type openCmd struct {
	What    string `arg:"" optional:"" known:"pages" help:"A request id, or what berth show takes, or a page: queue, pools, usage, recent, health; by default the overview."`
	Request bool   `help:"It is a request id, even if a page has that name."`
	Print   bool   `help:"Print the address, and open nothing."`
}

// Help is shown below the flags.
func (openCmd) Help() string {
	return `Opens a page of the Status function in the browser that $BROWSER names, or in that of the desktop. Where there is none it prints the address.

A service that IAM guards answers no browser by itself. Then it prints how to reach it, and ends with 1.`
}

// statusPages are the pages that have a name.
var statusPages = []string{"queue", "pools", "usage", "recent", "health"}

// A desktop is what opens pages on a machine.
type desktop struct {
	system string // as GOOS
	getenv func(string) string
	look   func(program string) (string, error)
	run    func(ctx context.Context, args ...string) error
}

func thisDesktop(g *globals) desktop {
	return desktop{runtime.GOOS, os.Getenv, exec.LookPath, func(ctx context.Context, args ...string) error {
		c := exec.CommandContext(ctx, args[0], args[1:]...) // the browser that the user names, or the desktop's
		c.Stdin, c.Stdout, c.Stderr = g.in, g.out, g.err
		return c.Run()
	}}
}

func (c *openCmd) Run(g *globals) error { return c.run(g, thisDesktop(g)) }

func (c *openCmd) run(g *globals, on desktop) error {
	if err := g.readable(); err != nil {
		return err
	}
	base, err := g.statusBase()
	if err != nil {
		return err
	}
	page := base.JoinPath(c.path()...)
	page.RawQuery = g.inTenant(url.Values{}).Encode()
	if !c.Print {
		if err := c.reach(g, page); err != nil {
			return err
		}
	}
	browser := on.browser(page.String())
	switch {
	case g.JSON:
		if err := printJSON(g.out, map[string]string{"url": page.String()}); err != nil || c.Print {
			return err
		}
	case c.Print || browser == nil:
		say(g.out, "%s", page)
	}
	if c.Print || browser == nil {
		return nil
	}
	if err := on.run(g.ctx, browser...); err != nil {
		return fmt.Errorf("open %s with %s: %w", page, browser[0], err)
	}
	return nil
}

func (c *openCmd) path() []string {
	switch {
	case c.What == "":
		return []string{"/"}
	case !c.Request && slices.Contains(statusPages, c.What):
		return []string{c.What}
	}
	return []string{"requests", url.PathEscape(c.What)}
}

// browser is the command that opens an address; nil if there is none here.
func (d desktop) browser(address string) []string {
	for _, command := range strings.Split(d.getenv("BROWSER"), ":") {
		args := strings.Fields(command)
		if len(args) == 0 {
			continue
		}
		if _, err := d.look(args[0]); err != nil {
			continue
		}
		if !strings.Contains(command, "%s") {
			return append(args, address)
		}
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "%s", address)
		}
		return args
	}
	switch d.system {
	case "darwin":
		return []string{"open", address}
	case "windows":
		return []string{"rundll32", "url.dll,FileProtocolHandler", address}
	}
	if cmp.Or(d.getenv("DISPLAY"), d.getenv("WAYLAND_DISPLAY")) == "" {
		return nil
	}
	if _, err := d.look("xdg-open"); err != nil {
		return nil
	}
	return []string{"xdg-open", address}
}

// reach asks for the page as a browser does, without a token, and returns an error if that
// cannot show it.
func (c *openCmd) reach(g *globals, page *url.URL) error {
	ctx, cancel := context.WithTimeout(g.ctx, g.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page.String(), nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", page, err)
	}
	req.Header.Set("Accept", "application/json, text/html;q=0.5")                                                       // Identity-Aware Proxy lets browsers sign in
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }} // to a page that signs the user in
	text, status, err := readAnswer(&client, req)
	switch {
	case err != nil:
		return fmt.Errorf("ask the Status function of %s: %w", &g.target, err)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return guarded(page, g.Project)
	case status >= http.StatusBadRequest:
		err := failure(page, status, text)
		if q := (*quit)(nil); errors.As(err, &q) {
			return err
		}
		return &quit{exitError, err}
	}
	return nil
}

// Hosts of Cloud Run: SERVICE-NUMBER.REGION.run.app, and SERVICE-HASH-CODE.a.run.app.
var (
	regionalHost = regexp.MustCompile(`^(.+)-[0-9]+\.([a-z0-9-]+)\.run\.app$`)
	hashedHost   = regexp.MustCompile(`^(.+)-[a-z0-9]{10}-[a-z0-9]+\.a\.run\.app$`)
)

// guarded says how to open a page of a service that wants an identity token of each caller.
func guarded(page *url.URL, project string) error {
	service, region := "berth-status", "REGION"
	if m := regionalHost.FindStringSubmatch(page.Host); m != nil {
		service, region = m[1], m[2]
	} else if m := hashedHost.FindStringSubmatch(page.Host); m != nil {
		service = m[1]
	}
	local := *page
	local.Scheme, local.Host = "http", "127.0.0.1:8081"
	return fmt.Errorf("%s wants an identity token of each caller, which a browser does not send. Let a proxy add yours: "+
		"gcloud run services proxy %s --project=%s --region=%s --port=8081. Then open %s. For all people of a company put Identity-Aware Proxy before it (deploy/statuspage.md)",
		page.Host, service, cmp.Or(project, "PROJECT"), region, &local)
}
