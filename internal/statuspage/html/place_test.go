package html

import (
	"net/url"
	"testing"
)

// Wherever the function is, a link leads to its route: the browser resolves it against the
// address that it has.
func TestLinksFromAnyPlace(t *testing.T) {
	t.Parallel()
	for path, root := range map[string]string{
		"/": "/", "/pools": "/", "/pools/": "/", "/requests/a": "/", "/requests/a%2Fb": "/", "/requests/a/": "/", "//pools": "/",
		"/Status": "/Status/", "/Status/": "/Status/", "/Status/pools": "/Status/", "/Status/requests/a:b": "/Status/", "/Status/requests/a%2Fb/": "/Status/",
		"/Statuspools": "/",
	} {
		u, err := url.Parse("https://host" + path + "?refresh=5&after=x&limit=7")
		if err != nil {
			t.Fatal(err)
		}
		p := placeOf(u)
		for link, want := range map[string]string{
			p.to("queue", "resource", "a b"):                           root + "queue?refresh=5&resource=a+b",
			p.to("requests/x", "tenant", ""):                           root + "requests/x?refresh=5",
			p.to("", "refresh", ""):                                    root + "?tenant=red",
			p.asset("page.css"):                                        root + "assets/" + named["page.css"],
			placeOf(&url.URL{Path: u.Path, RawPath: u.RawPath}).to(""): root,
		} {
			to, err := u.Parse(link)
			if err != nil {
				t.Errorf("%s: %s: %v", path, link, err)
			} else if got := to.RequestURI(); to.Host != "host" || got != want && got != "/"+want[1:] {
				t.Errorf("%s: %s leads to %s, want %s", path, link, got, want)
			}
		}
	}
}

// The tenant to which a list is narrowed goes along; that of a request is a part of its
// name.
func TestTenantGoesAlong(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"/queue": "./recent?tenant=red", "/requests/x": "../recent"} {
		u, _ := url.Parse("https://host" + path + "?tenant=red")
		if got := placeOf(u).to("recent"); got != want {
			t.Errorf("from %s: %s, want %s", path, got, want)
		}
	}
}

// A changed filter begins a list anew, and leads to the same route.
func TestFilterLinks(t *testing.T) {
	t.Parallel()
	u, _ := url.Parse("https://host/Status/recent?state=FAILED&after=x&refresh=15&prefix=")
	p := placeOf(u)
	for link, want := range map[string]string{
		p.with("state", "SUCCEEDED"): "/Status/recent?refresh=15&state=SUCCEEDED",
		p.with("state", ""):          "/Status/recent?refresh=15",
		p.with("refresh", ""):        "/Status/recent?state=FAILED",
	} {
		if to, err := u.Parse(link); err != nil || to.RequestURI() != want {
			t.Errorf("%s leads to %v, want %s", link, to, want)
		}
	}
}
