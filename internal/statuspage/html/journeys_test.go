package html_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"

	status "example.com/berth/internal/statuspage/html"
	"example.com/berth/internal/statuspage/statuspagetest"
)

// What a person does with the pages, in a real browser. TestAxe shows that the judge of
// accessibility finds faults.

// watch keeps what a page must not do: break the content security policy, throw, or ask
// another server.
const watch = `window.faults = [];
addEventListener("securitypolicyviolation", e => faults.push("policy: " + e.violatedDirective + " " + e.blockedURI));
addEventListener("error", e => faults.push("error: " + (e.message || e.target.src || e.target.href)), true);
addEventListener("unhandledrejection", e => faults.push("rejected: " + e.reason));`

// manifold are the pages that have all kinds of parts. They are tried at both widths in both
// themes. The others are tried wide and light.
var manifold = []string{"/", "/pools", "/queue", "/recent", "/usage", "/requests/" + statuspagetest.WaitingID, "/requests/" + statuspagetest.FailedID, "/nothing"}

// TestEveryPage goes through the routes in both themes and at both widths: nothing that
// axe-core finds, no scrolling sideways, no fault.
func TestEveryPage(t *testing.T) {
	b := chromium(t)
	h := status.New(busy(t).Handler())
	for _, l := range []look{{width: 1280}, {width: 320}, {width: 1280, dark: true}, {width: 320, dark: true}} {
		name := map[bool]string{false: "light", true: "dark"}[l.dark] + fmt.Sprintf("-%d", l.width)
		t.Run(name, func(t *testing.T) {
			p := openTab(t, b, h, l)
			p.before(watch)
			for i, path := range routes {
				if l != (look{width: 1280}) && !slices.Contains(manifold, path) {
					continue
				}
				p.open(path)
				// What is folded is judged too.
				eval[chromedp.Void](p, `document.querySelectorAll("details").forEach(d => d.open = true)`)
				for _, v := range p.axe() {
					t.Errorf("%s: %s", path, v)
				}
				if wide := eval[int64](p, `document.documentElement.scrollWidth`); wide > l.width {
					t.Errorf("%s: the page is %d px wide", path, wide)
				}
				for _, fault := range eval[[]string](p, `window.faults`) {
					t.Errorf("%s: %s", path, fault)
				}
				for _, from := range eval[[]string](p, `performance.getEntriesByType("resource").map(e => new URL(e.name).origin).filter(o => o !== location.origin)`) {
					t.Errorf("%s: something is loaded from %s", path, from)
				}
				p.shot(fmt.Sprintf("%s-%02d%s", name, i, strings.NewReplacer("/", "_", "?", "_", "=", "-", ",", "+", "&", "_").Replace(path)))
			}
		})
	}
}

// TestWidths: between the widths of a phone and of a desk no page scrolls sideways either,
// on both sides of the width at which lists become stacks.
func TestWidths(t *testing.T) {
	b := chromium(t)
	h := status.New(busy(t).Handler())
	for _, width := range []int64{600, 800, 1056, 1060} {
		p := openTab(t, b, h, look{width: width})
		for _, path := range manifold {
			p.open(path)
			eval[chromedp.Void](p, `document.querySelectorAll("details").forEach(d => d.open = true)`)
			if wide := eval[int64](p, `document.documentElement.scrollWidth`); wide > width {
				t.Errorf("%s: the page is %d px wide, of %d", path, wide, width)
			}
		}
	}
}

// TestWithoutScript: a page says the same words without its script, and shows no control
// that needs it. Filters and the refresh are links.
func TestWithoutScript(t *testing.T) {
	b := chromium(t)
	h := status.New(busy(t).Handler())
	with, without := openTab(t, b, h, look{width: 1280}), openTab(t, b, h, look{width: 1280, noScript: true})
	for _, path := range []string{"/", "/queue", "/recent", "/usage", "/requests/" + statuspagetest.FailedID} {
		with.open(path)
		without.open(path)
		eval[chromedp.Void](with, `document.querySelectorAll("main button[type=button]").forEach(b => b.remove())`)
		if a, b := with.text("main"), without.text("main"); a != b || len(a) < 200 {
			t.Errorf("%s: without the script there are other words: %s", path, cmp.Diff(strings.Split(a, "\n"), strings.Split(b, "\n")))
		}
		if n := eval[int](without, `document.querySelectorAll("button[type=button]").length`); n > 0 {
			t.Errorf("%s: %d buttons do nothing", path, n)
		}
	}
	without.open("/recent")
	without.follow(`.filters a[href*="FAILED"]`)
	if !strings.Contains(without.path(), "FAILED") || !strings.Contains(without.text("main"), statuspagetest.FailedID) {
		t.Errorf("the filter leads to %s", without.path())
	}
	without.follow(`#refresh a[href*="refresh=15"]`)
	if !strings.Contains(without.path(), "FAILED") || !strings.Contains(without.path(), "refresh=15") {
		t.Errorf("the refresh leads to %s", without.path())
	}
}

// TestFiltersAndLinks: a filter shows what it says and can be taken back, and a request is
// reached from where it is named.
func TestFiltersAndLinks(t *testing.T) {
	p := openTab(t, chromium(t), status.New(busy(t).Handler()), look{width: 1280})
	p.open("/recent")
	rows := func() int { return eval[int](p, `document.querySelectorAll("main tbody tr").length`) }
	all := rows()
	p.follow(`.filters a[href*="FAILED"]`)
	few := rows()
	states := eval[[]string](p, `[...document.querySelectorAll("main tbody tr .badge")].map(e => e.textContent)`)
	if few == 0 || few >= all || len(states) < few {
		t.Errorf("of %d rows the filter leaves %d, with the states %v", all, few, states)
	}
	if current := p.text(`.filters a[aria-current="true"]`); current == "" {
		t.Error("the filter is not marked")
	}
	p.follow(`main tbody a[href*="requests/"]`)
	if !strings.Contains(p.path(), "/requests/") || p.text("h1") == "" {
		t.Errorf("the row leads to %s", p.path())
	}
	p.follow(`header nav a[href*="queue"]`)
	if !strings.HasPrefix(strings.TrimPrefix(p.path(), "/Status"), "/queue") || !strings.Contains(p.text("main"), statuspagetest.WaitingID) {
		t.Errorf("the header leads to %s", p.path())
	}
	p.follow(fmt.Sprintf(`main a[href*=%q]`, statuspagetest.WaitingID))
	if !strings.Contains(p.path(), "/requests/"+statuspagetest.WaitingID) {
		t.Errorf("the queue leads to %s", p.path())
	}
}

// TestKeyboard: Tab reaches every link and control in the order of the page, each shows
// that it has the focus, and the first one skips to the content.
func TestKeyboard(t *testing.T) {
	b := chromium(t)
	h := status.New(busy(t).Handler())
	for _, width := range []int64{1280, 320} {
		p := openTab(t, b, h, look{width: width})
		for _, path := range []string{"/", "/requests/" + statuspagetest.FailedID} {
			p.open(path)
			want := eval[int](p, `window.order = [...document.querySelectorAll("a[href], button, summary, input, select, [tabindex='0']")].filter(e => e.checkVisibility()); order.length`)
			for i := range want {
				p.do(chromedp.KeyEvent(kb.Tab))
				at := eval[int](p, `order.indexOf(document.activeElement)`)
				if at != i {
					t.Fatalf("%s at %d px: Tab %d reaches %d: %.120s", path, width, i+1, at, eval[string](p, `document.activeElement.outerHTML`))
				}
				if !eval[bool](p, `(s => s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 1 || s.boxShadow !== "none")(getComputedStyle(document.activeElement))`) {
					t.Errorf("%s at %d px: nothing shows that the focus is on %.120s", path, width, eval[string](p, `document.activeElement.outerHTML`))
				}
				if !eval[bool](p, `(r => r.width > 0 && r.top < innerHeight && r.bottom > 0 && r.left < innerWidth && r.right > 0)(document.activeElement.getBoundingClientRect())`) {
					t.Errorf("%s at %d px: the focus is out of sight on %.120s", path, width, eval[string](p, `document.activeElement.outerHTML`))
				}
			}
		}
		p.open("/")
		p.do(chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
		if at := eval[string](p, `document.activeElement.id`); at != "main" {
			t.Errorf("the first link leads to %q", at)
		}
	}
}

// still puts the timers of a page into the test's hand: run() runs those that are due.
const still = `window.timers = new Map(); let last = 0;
window.setTimeout = (f, ms) => { timers.set(++last, {f, ms}); return last; };
window.clearTimeout = n => timers.delete(n);
window.due = () => [...timers.values()].map(t => t.ms);
window.run = async () => { const all = [...timers]; timers.clear(); for (const [, t] of all) await t.f(); };
let hide = false;
Object.defineProperty(document, "hidden", {get: () => hide});
window.setHidden = v => { hide = v; document.dispatchEvent(new Event("visibilitychange")); };`

// TestRefresh: the page comes anew as often as was chosen, keeps the focus, pauses while
// it is hidden, and does nothing when it is off.
func TestRefresh(t *testing.T) {
	w := statuspagetest.Busy(t)
	p := openTab(t, chromium(t), status.New(w.Handler()), look{width: 1280})
	p.before(still)
	p.open("/queue?refresh=off")
	if due := eval[[]int](p, `due()`); len(due) > 0 {
		t.Errorf("off: timers of %v ms", due)
	}
	for _, seconds := range []int{5, 15, 60} {
		p.open(fmt.Sprintf("/queue?refresh=%d", seconds))
		if due := eval[[]int](p, `due()`); !slices.Equal(due, []int{seconds * 1000}) {
			t.Errorf("every %d s: timers of %v ms", seconds, due)
		}
	}
	eval[chromedp.Void](p, fmt.Sprintf(`document.querySelector('main a[href*=%q]').focus()`, statuspagetest.WaitingID))
	before := p.text("main")
	w.Send(statuspagetest.Job{ID: "came-later", Shape: statuspagetest.CPU, Replicas: 7})
	eval[chromedp.Void](p, `run()`)
	if after := p.text("main"); !strings.Contains(after, "came-later") || strings.Contains(before, "came-later") {
		t.Errorf("the page says\n%s\nafter its refresh", after)
	}
	if at := eval[string](p, `document.activeElement.getAttribute("href") || ""`); !strings.Contains(at, statuspagetest.WaitingID) {
		t.Errorf("the focus is on %q", at)
	}
	if due := eval[[]int](p, `due()`); !slices.Equal(due, []int{60000}) {
		t.Errorf("after a refresh: timers of %v ms", due)
	}
	eval[chromedp.Void](p, `setHidden(true)`)
	if due := eval[[]int](p, `due()`); len(due) > 0 {
		t.Errorf("hidden: timers of %v ms", due)
	}
	w.Send(statuspagetest.Job{ID: "came-last", Shape: statuspagetest.CPU, Replicas: 7})
	eval[chromedp.Void](p, `setHidden(false)`)
	if _, err := chromedp.Run(p.ctx, chromedp.Poll[bool](`document.querySelector("main").textContent.includes("came-last")`)); err != nil {
		t.Errorf("seen again, it is not brought up to date: %v", err)
	}
}

// TestCopy: a command is copied as it stands.
func TestCopy(t *testing.T) {
	p := openTab(t, chromium(t), status.New(busy(t).Handler()), look{width: 1280})
	p.do(func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		var err error
		for _, name := range []string{"clipboard-read", "clipboard-write"} {
			_, one := chromedp.CallBrowser(ctx, cdpbrowser.SetPermission, cdpbrowser.SetPermissionParams{
				Origin: p.url, Permission: &cdpbrowser.PermissionDescriptor{Name: name}, Setting: cdpbrowser.PermissionSettingGranted})
			err = errors.Join(err, one)
		}
		return chromedp.Void{}, err
	})
	p.open("/requests/" + statuspagetest.RunningID)
	commands := eval[[]string](p, `[...document.querySelectorAll("code.copy")].map(e => e.textContent)`)
	if len(commands) < 3 || !slices.ContainsFunc(commands, func(c string) bool { return strings.Contains(c, "berth cancel "+statuspagetest.RunningID) }) {
		t.Errorf("the commands are %q", commands)
	}
	p.do(chromedp.Click(chromedp.CSS("code.copy + button")))
	if got, err := chromedp.Run(p.ctx, chromedp.Poll[string](`navigator.clipboard.readText()`)); err != nil || got != commands[0] {
		t.Errorf("%q, %v is copied, want %q", got, err, commands[0])
	}
}
