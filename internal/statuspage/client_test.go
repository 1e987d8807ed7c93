package statuspage

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/reason"
)

// fussy is a ledger that refuses what Firestore refuses as a document id or as
// a value of a query: text that is not UTF-8, too long, or reserved.
type fussy struct{ ledger.Ledger }

var errFussy = errors.New("InvalidArgument: the ledger refuses this name")

func fine(texts ...string) error {
	for _, s := range texts {
		id := s[strings.LastIndexByte(s, '/')+1:]
		if !utf8.ValidString(s) || len(s) > 1500 || strings.Contains(s, "~") || strings.HasPrefix(id, "__") || strings.ContainsAny(s, "\x00 ") || id == "." || id == ".." {
			return errFussy
		}
	}
	return nil
}

func (f fussy) Update(ctx context.Context, reads ledger.ReadSet, fn func(ledger.Tx) error, hints ...ledger.Hints) error {
	if err := fine(reads.Names(ledger.KindResource)...); err != nil {
		return err
	}
	return f.Ledger.Update(ctx, reads, fn, hints...)
}

func (f fussy) Resources(ctx context.Context, after string, limit int) ([]*ledger.Resource, error) {
	if err := fine(after); err != nil {
		return nil, err
	}
	return f.Ledger.Resources(ctx, after, limit)
}

func (f fussy) InState(ctx context.Context, resource string, s lifecycle.State, after string, limit int) ([]*ledger.Record, error) {
	if err := fine(resource, string(s), after); err != nil {
		return nil, err
	}
	return f.Ledger.InState(ctx, resource, s, after, limit)
}

func fussyWorld(t *testing.T) *world {
	w := busy(t)
	w.handler = New(w.c, fussy{w.ledger}, Info{Project: "test-project", Regions: []string{"us-central1"}})
	return w
}

// TestClientErrors: a request that no ledger can answer is reported as the
// client's error.
func TestClientErrors(t *testing.T) {
	w := fussyWorld(t)
	bent := func(json string) string { return url.QueryEscape(base64.RawURLEncoding.EncodeToString([]byte(json))) }
	for _, path := range []string{
		"/pools?resource=a~b", "/queue?resource=a~b", "/requests?resource=a~b", "/pools?resource=%ff", "/requests?resource=A", "/queue?resource=__x__",
		"/pools?resource=..", "/pools?resource=a%2Fb", "/pools?resource=projects/p/locations/l/persistentResources/__x__",
		"/pools?resource=projects/p/locations/l/persistentResources/", "/pools?resource=projects/P%20Q/locations/l/persistentResources/x",
		"/pools?resource=" + strings.Repeat("a", 2000), "/pools?after=" + strings.Repeat("A", 12000), "/queue?after=%ff", "/queue?after=!",
		"/pools?after=" + bent(`{"r":"~"}`), "/queue?after=" + bent(`{"r":"x","o":"y"}`), "/requests?after=" + bent(`{"s":"DREAMING"}`),
		"/requests?after=" + bent(`{"r":"`+prName+`","s":"WAITING","o":"`+strings.Repeat("9", 2000)+`"}`),
		"/requests?after=" + bent(`{"r":"`+prName+`","s":"WAITING","o":"\u0000"}`), "/queue?after=" + bent(`{"p":-1}`), "/queue?after=" + bent(`[]`),
		"/requests/%ff", "/requests/a%E2%80%8Bb", "/requests/" + strings.Repeat("a", 2000), "/requests/wide?kind=dream", "/requests/wide?kind=%ff",
		"/requests/wide?tenant=%ff", "/requests/wide?tenant=" + strings.Repeat("t", 3000), "/requests/wide?tenant=a%E2%80%AEb", "/requests?state=DREAMING",
		"/requests?state=%00", "/pools?limit=0", "/pools?limit=-1", "/pools?limit=1e3", "/pools?limit=99999999999999999999", "/pools?limit=%ff", "/queue?limit=1&limit=2",
		"/pools?resource=%zz", "/pools?a;b",
	} {
		e := w.fails("GET", path, "", http.StatusBadRequest)
		if e.Code != string(reason.InvalidValue) || e.Detail == "" || e.Fix == "" || strings.ContainsFunc(e.Detail+e.Fix, func(r rune) bool { return r == utf8.RuneError || r == 0x202e }) {
			t.Errorf("GET %s: %+v", path, e)
		}
	}
}

// FuzzParameters asks with parameters of any kind. None is reported as an error
// of the ledger.
func FuzzParameters(f *testing.F) {
	for _, seed := range []string{"limit=5", "after=e30", "resource=pool", "state=WAITING&limit=1", "tenant=x", "kind=answer", "after=%ff", "resource=%ff&after=", "limit=%00"} {
		f.Add("/requests", seed, "wide")
		f.Add("/pools", seed, "")
		f.Add("/queue", seed, "")
	}
	f.Add("/requests", "", "..")
	f.Fuzz(func(t *testing.T, route, query, id string) {
		w := fussyWorld(t)
		for _, u := range []url.URL{{Path: route, RawQuery: query}, {Path: "/requests/" + id, RawQuery: query}} {
			r := httptest.NewRequest("GET", "/", nil)
			r.URL = &u
			rr := httptest.NewRecorder()
			w.handler.ServeHTTP(rr, r)
			if rr.Code >= 500 {
				t.Errorf("GET %q: %d %s", u.String(), rr.Code, rr.Body)
			}
		}
	})
}

// TestLedgerErrorsStay503: an error of the ledger is not reported as the
// client's.
func TestLedgerErrorsStay503(t *testing.T) {
	w := busy(t)
	w.handler = New(w.c, down{w.ledger}, Info{Project: "test-project", Regions: []string{"us-central1"}})
	for _, path := range []string{"/pools", "/queue", "/requests", "/requests/wide", "/health"} {
		if e := w.fails("GET", path, "", http.StatusServiceUnavailable); e.Code != Unavailable {
			t.Errorf("GET %s: %+v", path, e)
		}
	}
}

type down struct{ ledger.Ledger }

func (down) Update(context.Context, ledger.ReadSet, func(ledger.Tx) error, ...ledger.Hints) error {
	return fmt.Errorf("unavailable at %s", time.Unix(0, 0).UTC())
}

func (down) Resources(context.Context, string, int) ([]*ledger.Resource, error) {
	return nil, errors.New("unavailable")
}
