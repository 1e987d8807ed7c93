package html_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// A tab is a page in a headless Chromium, as a person has it in front of them. Each
// of its calls ends the test on an error.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string // of the server
}

// chromium starts a Chromium for the test, or skips it with a sentence where none
// starts. BERTH_REQUIRE_CHROMIUM=1 makes that a failure.
func chromium(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome", "headless_shell"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	switch {
	case path != "":
	case os.Getenv("BERTH_REQUIRE_CHROMIUM") != "":
		t.Fatal("no Chromium is on the PATH, and BERTH_REQUIRE_CHROMIUM is set")
	default:
		t.Skip("The page is tried in a browser only where Chromium is on the PATH.")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // Chromium does not start as root with its sandbox
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	err := chromedp.Do(ctx)
	if err != nil && os.Getenv("BERTH_REQUIRE_CHROMIUM") == "" {
		t.Skipf("%s does not start here: %v", path, err)
	} else if err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// A look is how a person's browser is set up.
type look struct {
	dark     bool
	width    int64 // CSS pixels
	noScript bool
}

// openTab opens a tab on the handler.
func openTab(t *testing.T, b context.Context, h http.Handler, l look) *tab {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	ctx, cancel := chromedp.NewContext(b)
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx, url: server.URL}
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	p.do(
		chromedp.EmulateViewport(l.width, 900),
		call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}}),
		call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: l.noScript}),
	)
	return p
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// open goes to a path and checks that the answer is a page.
func (p *tab) open(path string) {
	p.t.Helper()
	answer, err := chromedp.Run(p.ctx, chromedp.NavigateResponse(p.url+path))
	if err != nil {
		p.t.Fatalf("open %s: %v", path, err)
	}
	if answer.MimeType != "text/html" {
		p.t.Fatalf("open %s: the answer is %s", path, answer.MimeType)
	}
}

// follow clicks what the selector finds, and waits for the page that it leads to.
func (p *tab) follow(selector string) {
	p.t.Helper()
	if _, err := chromedp.RunResponse(p.ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		p.t.Fatalf("follow %s: %v", selector, err)
	}
}

func (p *tab) text(selector string) string {
	p.t.Helper()
	text, err := chromedp.Run(p.ctx, chromedp.Text(chromedp.CSS(selector)))
	if err != nil {
		p.t.Fatalf("read %s: %v", selector, err)
	}
	return text
}

func (p *tab) path() string {
	p.t.Helper()
	at, err := chromedp.Run(p.ctx, chromedp.Location())
	if err != nil {
		p.t.Fatal(err)
	}
	return at[len(p.url):]
}

func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%.80s: %v", expression, err)
	}
	return v
}

// before runs a script in each page that the tab opens from now on, ahead of the
// page's own.
func (p *tab) before(script string) {
	p.t.Helper()
	p.do(call(page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script}))
}

// call is a command of the protocol as an action.
func call[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, command, params)
		return chromedp.Void{}, err
	}
}

// shot keeps pictures of the page, as it is seen at first and as a whole, in the folder that BERTH_SCREENSHOTS names.
func (p *tab) shot(name string) {
	p.t.Helper()
	folder := os.Getenv("BERTH_SCREENSHOTS")
	if folder == "" {
		return
	}
	for suffix, take := range map[string]chromedp.Action[[]byte]{"": chromedp.CaptureScreenshot(), "-whole": chromedp.FullScreenshot(100)} {
		png, err := chromedp.Run(p.ctx, take)
		if err == nil {
			err = os.WriteFile(filepath.Join(folder, name+suffix+".png"), png, 0o600)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
}

// axe returns what axe-core, of Deque Systems, finds wrong with the page for people who
// use it by a keyboard or a screen reader, one line each.
func (p *tab) axe() (violations []string) {
	p.t.Helper()
	packed, err := os.ReadFile("testdata/axe-4.14.1.min.js.gz")
	if err != nil {
		p.t.Fatal(err)
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		p.t.Fatal(err)
	}
	script, err := io.ReadAll(reader)
	if err != nil {
		p.t.Fatal(err)
	}
	eval[chromedp.Void](p, string(script))
	type element struct {
		HTML           string `json:"html"`
		FailureSummary string `json:"failureSummary"`
	}
	found := eval[struct {
		Violations []struct {
			ID    string    `json:"id"`
			Help  string    `json:"help"`
			Nodes []element `json:"nodes"`
		} `json:"violations"`
		Passes []struct{} `json:"passes"`
	}](p, `axe.run(document, {resultTypes: ["violations"]})`)
	if len(found.Passes) == 0 {
		p.t.Fatal("axe-core looked at nothing")
	}
	for _, v := range found.Violations {
		for _, n := range v.Nodes {
			violations = append(violations, fmt.Sprintf("%s: %s: %.200s: %s", v.ID, v.Help, n.HTML, strings.Join(strings.Fields(n.FailureSummary), " ")))
		}
	}
	return violations
}

// TestAxe shows that a page with faults is found to have them, in both themes.
func TestAxe(t *testing.T) {
	faulty := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><title>x</title><style>
			@media (prefers-color-scheme: dark) { body { background: #111 } p { color: #222 } }</style>
			<main><h1>x</h1><img src="x.png"><p>words</p></main>`)
	})
	b := chromium(t)
	for dark, want := range map[bool]string{false: "html-has-lang image-alt", true: "color-contrast html-has-lang image-alt"} {
		p := openTab(t, b, faulty, look{dark: dark, width: 800})
		p.open("/")
		var got []string
		for _, v := range p.axe() {
			id, _, _ := strings.Cut(v, ":")
			got = append(got, id)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("dark %v: %v, want %s", dark, got, want)
		}
	}
}
