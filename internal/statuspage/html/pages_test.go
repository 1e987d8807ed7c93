package html_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/html"

	status "example.com/berth/internal/statuspage/html"
	"example.com/berth/internal/statuspage/statuspagetest"
)

// browser is what a browser accepts.
const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

func ask(h http.Handler, method, path, accept string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	return serve(h, r)
}

// request is one of a browser, with a body.
func request(t *testing.T, method, path, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Accept", browser)
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	rr := httptest.NewRecorder()
	h.ServeHTTP(rr, r)
	return rr
}

var (
	once   sync.Once
	shared *statuspagetest.World
)

// busy is the world that tests only look at.
func busy(t *testing.T) *statuspagetest.World {
	t.Helper()
	once.Do(func() { shared = statuspagetest.Busy(t) })
	return shared
}

// A node is an element of a page.
type node struct{ *html.Node }

func (n node) attribute(name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// elements are those of a page in order.
func elements(t *testing.T, page string) (all []node) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			all = append(all, node{n})
		}
	}
	return all
}

// text is what a page says, without markup.
func text(t *testing.T, page string) string {
	t.Helper()
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for n := range root.Descendants() {
		if n.Type == html.TextNode {
			b.WriteString(n.Data + " ")
		}
	}
	return b.String()
}

// routes are pages of the busy world, and what cannot be shown.
var routes = []string{
	"/", "/Status", "/pools", "/queue", "/requests", "/requests?state=WAITING", "/recent", "/recent?state=FAILED,REJECTED", "/usage", "/health",
	"/requests/" + statuspagetest.RunningID, "/requests/" + statuspagetest.WaitingID, "/requests/" + statuspagetest.FailedID, "/requests/" + statuspagetest.RejectedID,
	"/requests/" + statuspagetest.ResearchID + "?tenant=" + statuspagetest.Research, "/?resource=batch", "/?refresh=15", "/queue?limit=2",
	"/nothing", "/requests/unknown", "/requests?state=DREAMING", "/pools?resource=a~b", "/usage?buckets=perhaps", "/explain", "/recent?since=yesterday",
}

// A browser gets a page with the status of the answer that a program gets, and headers
// that let nothing else be loaded.
func TestPagesHaveTheStatusOfTheAnswer(t *testing.T) {
	t.Parallel()
	w := busy(t)
	h, plain := status.New(w.Handler()), w.Handler()
	for _, path := range routes {
		page, program, bare := ask(h, "GET", path, browser), ask(h, "GET", path, "*/*"), ask(plain, "GET", path, "")
		if page.Code != bare.Code || program.Code != bare.Code || program.Body.String() != bare.Body.String() {
			t.Errorf("%s: a browser gets %d, a program %d, without pages %d", path, page.Code, program.Code, bare.Code)
		}
		for header, want := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Cache-Control": "no-store", "Vary": "Accept", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
		} {
			if got := page.Header().Get(header); got != want {
				t.Errorf("%s: %s is %q, want %q", path, header, got, want)
			}
		}
		if program.Header().Get("Content-Type") != "application/json" || program.Header().Get("Vary") != "Accept" {
			t.Errorf("%s: a program gets %v", path, program.Header())
		}
		if page.Code != http.StatusOK {
			var f struct {
				Error struct{ Code, Detail, Fix string }
			}
			if err := json.Unmarshal(bare.Body.Bytes(), &f); err != nil {
				t.Fatal(err)
			}
			words := text(t, page.Body.String())
			for _, want := range []string{f.Error.Code, f.Error.Detail, f.Error.Fix} {
				if !strings.Contains(words, want) {
					t.Errorf("%s: the page does not say %q", path, want)
				}
			}
			if page.Header().Get("Allow") != bare.Header().Get("Allow") {
				t.Errorf("%s: Allow is %q", path, page.Header().Get("Allow"))
			}
		}
		if head := ask(h, "HEAD", path, browser); head.Code != page.Code {
			t.Errorf("HEAD %s: %d", path, head.Code)
		}
	}
}

// Nothing on a page breaks the content security policy, and its structure is what screen
// readers go by.
func TestMarkup(t *testing.T) {
	t.Parallel()
	w := busy(t)
	h := status.New(w.Handler())
	for _, path := range routes {
		page := ask(h, "GET", path, browser).Body.String()
		if !strings.HasPrefix(page, "<!doctype html>") {
			t.Errorf("%s: the page begins with %.40q", path, page)
		}
		ids, level := map[string]bool{}, 0
		all := elements(t, page)
		for _, n := range all {
			for _, a := range n.Attr {
				switch {
				case a.Key == "style" || strings.HasPrefix(a.Key, "on") || strings.HasPrefix(strings.ToLower(strings.TrimSpace(a.Val)), "javascript:"):
					t.Errorf("%s: <%s %s=%q>", path, n.Data, a.Key, a.Val)
				case a.Key == "id" && ids[a.Val]:
					t.Errorf("%s: the id %s is there twice", path, a.Val)
				case a.Key == "id":
					ids[a.Val] = true
				}
			}
			switch n.Data {
			case "style", "iframe", "object", "embed", "base":
				t.Errorf("%s: <%s>", path, n.Data)
			case "script":
				if n.attribute("src") == "" || n.FirstChild != nil {
					t.Errorf("%s: a script without an address", path)
				}
			case "h1", "h2", "h3", "h4":
				next := int(n.Data[1] - '0')
				if next > level+1 {
					t.Errorf("%s: after a heading of level %d comes one of level %d", path, level, next)
				}
				level = next
			case "th":
				if n.attribute("scope") == "" {
					t.Errorf("%s: a heading of a table without a scope", path)
				}
			case "table":
				if !slices.ContainsFunc(slices.Collect(n.ChildNodes()), func(c *html.Node) bool { return c.Data == "caption" }) {
					t.Errorf("%s: a table without a caption", path)
				}
			case "time":
				if n.attribute("datetime") == "" || !strings.HasSuffix(n.FirstChild.Data, " UTC") {
					t.Errorf("%s: the time %q of %q", path, n.FirstChild.Data, n.attribute("datetime"))
				}
			}
		}
		for _, n := range all {
			for _, name := range []string{"aria-labelledby", "aria-describedby"} {
				if id := n.attribute(name); id != "" && !ids[id] {
					t.Errorf("%s: <%s %s=%q>, and no element has this id", path, n.Data, name, id)
				}
			}
		}
		for _, want := range []string{"h1", "main", "header", "footer", "title"} {
			if n := len(slices.DeleteFunc(slices.Clone(all), func(n node) bool { return n.Data != want || want == "header" && n.attribute("class") != "top" })); n != 1 {
				t.Errorf("%s: %d elements <%s>", path, n, want)
			}
		}
	}
}

// Every link on a page leads to a page, an asset, or the Google Cloud console, wherever the
// function is. A page that shows an error leads away from it.
func TestLinks(t *testing.T) {
	t.Parallel()
	h := status.New(busy(t).Handler())
	followed := map[string]int{}
	for _, prefix := range []string{"", "/Status"} {
		all := routes
		if prefix != "" {
			all = routes[2:11] // links are made in one way
		}
		for _, path := range all {
			at, err := url.Parse("https://host" + prefix + path)
			if err != nil {
				t.Fatal(err)
			}
			page := ask(h, "GET", at.RequestURI(), browser)
			for _, n := range elements(t, page.Body.String()) {
				address := n.attribute("href") + n.attribute("src")
				to, err := at.Parse(address)
				if err != nil {
					t.Errorf("%s: %q: %v", at, address, err)
					continue
				}
				query := to.Query()
				query.Del("refresh")
				to.RawQuery = query.Encode()
				switch {
				case address == "" || strings.HasPrefix(address, "#"):
				case to.Host == "console.cloud.google.com" && to.Scheme == "https":
				case to.Host != "host" || strings.HasPrefix(address, "/") || !strings.HasPrefix(to.Path, prefix+"/"):
					t.Errorf("%s: %q leads elsewhere", at, address)
				case page.Code != http.StatusOK && to.Path == at.Path: // refreshes
				default:
					route := to.RequestURI()
					if prefix != "" || at.Path == "/Status" {
						route = strings.TrimPrefix(route, "/Status")
					}
					like := kindOfLink(to)
					if followed[like] > 1 {
						continue // two of a kind tell
					}
					followed[like]++
					if got := ask(h, "GET", route, browser); got.Code != http.StatusOK {
						t.Errorf("%s: %q: %d", at, route, got.Code)
					}
				}
			}
		}
	}
	if len(followed) < 25 {
		t.Errorf("%d kinds of links only: %v", len(followed), followed)
	}
}

// kindOfLink is the route of a link with the names of its parameters, and the states that
// it asks for.
func kindOfLink(u *url.URL) string {
	path := u.Path
	if i := strings.Index(path, "/requests/"); i >= 0 {
		path = path[:i] + "/requests/*"
	}
	return fmt.Sprint(path, slices.Sorted(maps.Keys(u.Query())), u.Query()["state"], u.Query()["kind"])
}

// Assets are kept by browsers for as long as they like, and a page names them by their
// content.
func TestAssets(t *testing.T) {
	t.Parallel()
	h := status.New(statuspagetest.Empty(t).Handler())
	found := map[string]bool{}
	for _, n := range elements(t, ask(h, "GET", "/", browser).Body.String()) {
		address := n.attribute("src")
		if n.Data == "link" {
			address = n.attribute("href")
		}
		if address == "" {
			continue
		}
		path := strings.TrimLeft(address, ".")
		got := ask(h, "GET", path, "*/*")
		found[got.Header().Get("Content-Type")] = true
		if got.Code != http.StatusOK || got.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" || got.Header().Get("X-Content-Type-Options") != "nosniff" || got.Body.Len() == 0 {
			t.Errorf("%s: %d %v", path, got.Code, got.Header())
		}
		if again := ask(h, "GET", "/Status"+path, browser); again.Body.String() != got.Body.String() {
			t.Errorf("/Status%s: %d", path, again.Code)
		}
		if head := ask(h, "HEAD", path, ""); head.Code != http.StatusOK || head.Body.Len() != 0 {
			t.Errorf("HEAD %s: %d, %d bytes", path, head.Code, head.Body.Len())
		}
		if post := ask(h, "POST", path, ""); post.Code == http.StatusOK {
			t.Errorf("POST %s: %d", path, post.Code)
		}
	}
	if len(found) != 3 || !found["text/css; charset=utf-8"] || !found["text/javascript; charset=utf-8"] || !found["image/svg+xml"] {
		t.Errorf("assets of the types %v", found)
	}
	for _, path := range []string{"/assets/", "/assets/page.css", "/assets/page-0000000000000000.css", "/assets/../handler.go"} {
		if got := ask(h, "GET", path, browser); got.Code == http.StatusOK || strings.HasPrefix(got.Header().Get("Cache-Control"), "public") {
			t.Errorf("%s: %d %v", path, got.Code, got.Header())
		}
	}
}
