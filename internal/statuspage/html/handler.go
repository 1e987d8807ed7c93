package html

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"

	"example.com/berth/internal/statuspage"
)

// New returns the Status function for browsers and for programs: pages where HTML is
// preferred, and the answers of status to everybody else.
func New(status http.Handler) http.Handler {
	return &handler{status}
}

type handler struct{ status http.Handler }

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Accept") // also of JSON: a cache must not give it to a browser
	path := statuspage.Path(r)
	if name, ok := strings.CutPrefix(path, "/"+assetRoute); ok && (r.Method == http.MethodGet || r.Method == http.MethodHead) && serveAsset(w, r, name) {
		return
	}
	if !prefersHTML(r.Header) {
		h.status.ServeHTTP(w, r)
		return
	}
	main := h.serve(w, detailed(r, path))
	if main.status/100 == 3 {
		main.replay(w)
		return
	}
	p := &page{place: placeOf(r.URL), Status: main.status}
	if main.status != http.StatusOK {
		p.Failed = failure(main)
	}
	h.gather(p, r, main)
	text, err := render(p)
	if err != nil {
		main.replay(w) // a fault of a template must not hide the answer
		return
	}
	maps.Copy(w.Header(), main.header)
	w.Header().Set("Vary", "Accept")
	w.Header().Del("Content-Length")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	secure(w.Header())
	w.WriteHeader(main.status)
	w.Write(text) //nolint:errcheck // the client has left
}

// secure sets the headers that bound what a page may do.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer") // ids stand in addresses
}

// An answer is what the Status function says to a program.
type answer struct {
	status     int
	header     http.Header
	body       bytes.Buffer
	connection http.ResponseWriter // of the browser; nil if the request is none of its own
}

// Unwrap lets the Status function bound how long the body of a request may take.
func (a *answer) Unwrap() http.ResponseWriter { return a.connection }

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// replay gives the answer to a caller as it is.
func (a *answer) replay(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	w.Write(a.body.Bytes()) //nolint:errcheck // the client has left
}

// serve asks the Status function, in this process.
func (h *handler) serve(connection http.ResponseWriter, r *http.Request) *answer {
	a := &answer{header: http.Header{}, connection: connection}
	h.status.ServeHTTP(a, r)
	if a.status == 0 {
		a.status = http.StatusOK
	}
	return a
}

// detailed returns the request as a program would send it for what the page shows: the
// page of the usage shows its buckets.
func detailed(r *http.Request, path string) *http.Request {
	if path != "/usage" || r.URL.Query().Has("buckets") {
		return r
	}
	u := *r.URL
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "buckets=true"
	with := r.Clone(r.Context())
	with.URL = &u
	return with
}

// A part is one answer on a page, or why there is none.
type part[T any] struct {
	Value T
	Err   *statuspage.Error
	Asked bool // whether the page has such a part at all
}

// OK reports whether there is an answer.
func (p part[T]) OK() bool { return p.Asked && p.Err == nil }

// ask adds to the tasks one that asks for a route with the caller's headers.
func ask[T any](h *handler, tasks *tasks, r *http.Request, into *part[T], path string, query url.Values) {
	into.Asked = true
	tasks.add(func() {
		with := r.Clone(r.Context())
		with.Method, with.Body, with.ContentLength = http.MethodGet, http.NoBody, 0
		with.URL = &url.URL{Path: path, RawQuery: query.Encode()}
		with.RequestURI = with.URL.RequestURI()
		decode(h.serve(nil, with), into)
	})
}

// decode reads an answer into a part.
func decode[T any](a *answer, into *part[T]) {
	into.Asked = true
	if a.status != http.StatusOK {
		into.Err = failure(a)
		return
	}
	if err := json.Unmarshal(a.body.Bytes(), &into.Value); err != nil {
		into.Err = &statuspage.Error{Status: http.StatusInternalServerError, Code: "INTERNAL", Detail: "The answer cannot be decoded."}
		return
	}
	reveal(reflect.ValueOf(&into.Value))
}

// failure is what an answer says is wrong.
func failure(a *answer) *statuspage.Error {
	f := statuspage.Failure{}
	if err := json.Unmarshal(a.body.Bytes(), &f); err != nil || f.Error == nil {
		f.Error = &statuspage.Error{Code: "INTERNAL", Detail: fmt.Sprintf("The answer has the status %d and no words.", a.status)}
	}
	f.Error.Status = a.status
	reveal(reflect.ValueOf(f.Error))
	return f.Error
}

// tasks are asked at once: a page waits for the slowest answer and not for the sum. A
// panic of one is that of the caller, whose server ends one request for it and not the
// process.
type tasks struct {
	all []func()
}

func (t *tasks) add(f func()) { t.all = append(t.all, f) }

func (t *tasks) run() {
	var all sync.WaitGroup
	panics := make(chan any, len(t.all))
	for _, f := range t.all {
		all.Go(func() {
			defer func() {
				if found := recover(); found != nil {
					panics <- found
				}
			}()
			f()
		})
	}
	all.Wait()
	select {
	case found := <-panics:
		panic(found)
	default:
	}
}
