package html

import (
	"net/http"
	"testing"
)

func TestNegotiation(t *testing.T) {
	t.Parallel()
	for accept, want := range map[string]bool{
		"":                            false,
		"*/*":                         false, // curl, and most programs
		"application/json":            false,
		"application/json, */*":       false,
		"text/html":                   true,
		"TEXT/HTML":                   true,
		"text/*":                      true,
		"text/html;level=1":           true,
		"text/html,application/json":  false, // a tie
		"application/*, text/*":       false,
		"text/html;q=0.9,*/*;q=0.8":   true,
		"text/html;q=0.8,*/*;q=0.9":   false,
		"text/html;q=0,*/*":           false,
		"*/*;q=0.1,text/html;q=0.2":   true,
		"application/json;q=0,*/*":    true, // everything but JSON
		"text/html;q=0.5,*/*;q=0.5":   false,
		"text/html;q=2":               false, // no quality
		"text/html;q=NaN":             false,
		"text/html;q=x, */*":          false,
		"application/xhtml+xml":       false,
		"image/avif,image/webp,*/*":   false,
		"text/html;,;;,application/x": true,
		"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8":                                                   true,
		"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7": true,
	} {
		if got := prefersHTML(http.Header{"Accept": {accept}}); got != want {
			t.Errorf("Accept: %s: HTML %v, want %v", accept, got, want)
		}
	}
	if prefersHTML(http.Header{}) {
		t.Error("no header: HTML")
	}
	if !prefersHTML(http.Header{"Accept": {"application/json;q=0.5", "text/html"}}) {
		t.Error("two headers are one list")
	}
}
