package html

import (
	"net/url"
	"slices"
	"strings"
)

// A place is where a page is: the address that the browser asked for, as the function
// saw it. Its links are relative, because a proxy may have cut off a prefix.
type place struct {
	path  string // of the route, without the prefix and a trailing slash
	root  string // relative address of the overview
	query url.Values
}

// prefix may come before every path, as package statuspage allows.
const prefix = "/Status"

func placeOf(u *url.URL) place {
	p := place{query: u.Query()}
	escaped := u.EscapedPath()
	rest, cut := strings.CutPrefix(escaped, prefix)
	switch {
	case cut && rest == "":
		p.root = "." + prefix + "/" // the browser is one level above
		return p
	case !cut || rest[0] != '/':
		rest = escaped
	}
	rest = strings.TrimPrefix(rest, "/")
	p.path = strings.Trim(rest, "/")
	p.root = "./"
	if above := strings.Count(rest, "/"); above > 0 {
		p.root = strings.Repeat("../", above)
	}
	return p
}

// kept are the parameters that go along from page to page. On the page of a request the
// tenant is a part of its name, and goes nowhere.
func (p place) kept() []string {
	if strings.HasPrefix(p.path, "requests/") {
		return []string{"refresh"}
	}
	return []string{"refresh", "tenant"}
}

// to is a link to a route with parameters, pairs of name and value of which empty ones are
// left out. path is escaped.
func (p place) to(path string, parameters ...string) string {
	q := url.Values{}
	for _, name := range p.kept() {
		if v := p.query.Get(name); v != "" {
			q.Set(name, v)
		}
	}
	for i := 0; i+1 < len(parameters); i += 2 {
		if parameters[i+1] == "" {
			q.Del(parameters[i])
		} else {
			q.Set(parameters[i], parameters[i+1])
		}
	}
	return p.address(path, q)
}

// with is a link to the same page with a parameter changed, "" to leave it out. A list
// then begins at its first page.
func (p place) with(name, value string) string {
	q := url.Values{}
	for n, v := range p.query {
		if n != "after" && len(v) > 0 && v[0] != "" {
			q[n] = slices.Clone(v)
		}
	}
	if q.Del(name); value != "" {
		q.Set(name, value)
	}
	return p.address(p.path, q)
}

func (p place) address(path string, q url.Values) string {
	if len(q) == 0 {
		return p.root + path
	}
	return p.root + path + "?" + q.Encode()
}

// asset is the link to a file of [assets].
func (p place) asset(file string) string { return p.root + assetRoute + named[file] }

// Root is the relative address of the overview.
func (p place) Root() string { return p.root }
