package html_test

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/statuspage"
	status "example.com/berth/internal/statuspage/html"
	"example.com/berth/internal/visible"
)

// hostile is text that users may have put wherever they can put text.
const hostile = "</title></script><script>alert(1)</script><img src=x onerror=alert(1)>\"' style=x:y {{.}} \u202etxt\u2066.exe\u2069\u200b\x00\x1b[31m\r\nnext\x7f\u0085\u00a0"

// canned answers each route with a value.
type canned map[string]any

func (c canned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := statuspage.Path(r)
	if strings.HasPrefix(path, "/requests/") {
		path = "/requests/{id}"
	}
	w.Header().Set("Content-Type", "application/json")
	if e, failed := c[path].(*statuspage.Error); failed {
		w.WriteHeader(e.Status)
		json.NewEncoder(w).Encode(statuspage.Failure{Error: e}) //nolint:errcheck // a recorder takes everything
		return
	}
	json.NewEncoder(w).Encode(c[path]) //nolint:errcheck // the same
}

// fill puts a text into every string of a value, and something into the rest, so that
// every part of a page is there.
func fill(v reflect.Value, text string, depth int) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2026, 11, 27, 14, depth, 0, 0, time.UTC)))
		return
	case v.Type() == reflect.TypeFor[capacity.Shape]():
		v.Set(reflect.ValueOf(capacity.Spec{MachineType: "m<b>\u202e&", Accelerator: "A\"'\u200b", AcceleratorCount: 1, DiskType: "d\x1b<i>"}.Normal()))
		return
	case v.Kind() == reflect.Pointer:
		if depth < 12 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), text, depth+1)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i), text, depth+1)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), text, depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, text, depth+1)
		fill(value, text, depth+1)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(int64(3 + depth))
	case reflect.Float64:
		v.SetFloat(float64(depth))
	}
}

// answers are all of a deployment where every text is this one.
func answers(text string) canned {
	c := canned{
		"/": &statuspage.Index{}, "/health": &statuspage.Health{}, "/pools": &statuspage.Pools{}, "/queue": &statuspage.Queue{}, "/usage": &statuspage.Usages{},
		"/requests": &statuspage.Requests{}, "/recent": &statuspage.Requests{}, "/requests/{id}": &statuspage.Request{}, "/explain": &statuspage.Quote{},
	}
	for _, v := range c {
		fill(reflect.ValueOf(v).Elem(), text, 0)
	}
	return c
}

// No text of a user becomes markup, breaks out of an attribute, or hides what it is, on any
// page and in any field.
func TestHostileText(t *testing.T) {
	t.Parallel()
	c := answers(hostile)
	const query = "?resource=%22%3E%3Cscript%3E&state=%22%3E%3Cscript%3E&prefix=%22%3E%3Cscript%3E%E2%80%AE&since=%22&after=%22%3E%3Cscript%3E&tenant=%27%22&refresh=5"
	for _, path := range []string{"/", "/health", "/pools", "/queue", "/usage", "/requests", "/recent", "/requests/x", "/explain"} {
		h := canned{}
		for route, v := range c { // one in which every other route fails
			h[route] = v
			if route != path && (route != "/requests/{id}" || path != "/requests/x") {
				h[route] = &statuspage.Error{Status: http.StatusServiceUnavailable, Code: hostile, Detail: hostile, Fix: hostile}
			}
		}
		broken := canned{}
		for route := range c { // and one in which all do
			broken[route] = &statuspage.Error{Status: http.StatusServiceUnavailable, Code: hostile, Detail: hostile, Fix: hostile}
		}
		for where, world := range map[string]canned{path: c, path + query: c, path + " alone": h, path + " failed": broken} {
			address, _, _ := strings.Cut(where, " ")
			got := ask(status.New(world), "GET", address, browser)
			if !strings.HasPrefix(got.Header().Get("Content-Type"), "text/html") {
				t.Fatalf("%s: %d %v", where, got.Code, got.Header())
			}
			harmless(t, where, got.Body.String())
		}
	}
	page := ask(status.New(c), "GET", "/requests/x", browser).Body.String()
	if want := visible.Text(hostile); strings.Count(text(t, page), strings.TrimSpace(want)) < 20 {
		t.Errorf("the page of a request does not show the text of users as it is, %q", want)
	}
}

// harmless checks that a page has no markup and no hidden characters but its own.
func harmless(t *testing.T, where, page string) {
	t.Helper()
	for d := range root(t, page).Descendants() {
		switch d.Type {
		case html.ElementNode:
			switch n := (node{d}); {
			case d.Data == "script" && !strings.Contains(n.attribute("src"), "assets/page-"), d.Data == "img", d.Data == "b" && n.words() == "":
				t.Errorf("%s: <%s> of a user", where, d.Data)
			}
			for _, a := range d.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") || strings.ContainsFunc(a.Val, visible.Hidden) {
					t.Errorf("%s: <%s %s=%q>", where, d.Data, a.Key, a.Val)
				}
			}
		case html.TextNode:
			for _, part := range strings.FieldsFunc(d.Data, func(c rune) bool { return c == '\n' }) {
				if strings.ContainsFunc(part, visible.Hidden) {
					t.Errorf("%s: %q has hidden characters", where, part)
				}
			}
		}
	}
}

// Commands to copy do what they say, whatever the words in them are.
func TestCommandsAreQuoted(t *testing.T) {
	t.Parallel()
	c := answers("x")
	c["/requests/{id}"] = statuspage.Request{ID: `a; rm -rf "$HOME" 'b' --yes`, Kind: "request", Tenant: "$(id)", State: "WAITING"}
	page := ask(status.New(c), "GET", "/requests/x", browser).Body.String()
	says(t, "commands", text(t, page), `berth show --watch --tenant '$(id)' 'a; rm -rf "$HOME" '\''b'\'' --yes'`, `berth cancel 'a; rm -rf "$HOME" '\''b'\'' --yes'`)
}
