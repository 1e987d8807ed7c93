package statuspage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/visible"
)

// A Quoter returns the outcome that a delivery would have now, and writes
// nothing. The controller implements it.
type Quoter interface {
	Quote(ctx context.Context, tenant string, d message.Delivery) (controller.Quoted, error)
	// PolicyOf returns the settings for decisions on a persistent resource.
	PolicyOf(ctx context.Context, resource string) (admission.Policy, error)
}

// Info describes the deployment, and holds the settings for live reasons.
type Info struct {
	Project         string
	Regions         []string // a bare id of a persistent resource means one in each of these
	Deployment      string
	Version         string
	Policy          admission.Policy
	DefaultResource string
	RequestTopic    string
	OutcomeTopic    string
	Keep            time.Duration // how long an ended request is kept
	AllTenants      bool          // without Access: everybody sees all tenants, not only the default one
	Access          Access        // what a caller may see; nil if callers have no identities
}

// defaultTenant is the tenant of requests whose subscription names none.
const defaultTenant = "default"

// prefix may come before every path.
const prefix = "/Status"

// routes lists the paths, in the order in which they are shown.
var routes = []Route{
	{"GET", "/", "what this deployment is, and its routes"},
	{"GET", "/health", "whether the ledger can be read, and how old its observations are"},
	{"GET", "/pools", "persistent resources: pools, use per shape, foreign jobs (resource, after, limit)"},
	{"GET", "/usage", "what became of the machines since a time: replica-hours per shape, used, idle, and idle while requests waited (resource, since, buckets, after, limit)"},
	{"GET", "/queue", "waiting requests in order, each with its reason as of now (resource, tenant, after, limit)"},
	{"GET", "/requests", "requests in some states, all live ones without (resource, state, tenant, after, limit)"},
	{"GET", "/recent", "requests and refused messages, the latest first (resource, state, since, prefix, tenant, after, limit)"},
	{"GET", "/requests/{id}", "one request and its history, by its id or by its job (kind, tenant)"},
	{"POST", "/explain", `what would happen to a message {"data": base64, "attributes": {}} now (tenant)`},
}

// handler answers the requests.
type handler struct {
	quoter Quoter
	ledger ledger.Ledger
	info   Info
}

// New returns the handler of the Status function.
func New(q Quoter, l ledger.Ledger, info Info) http.Handler {
	if info.Access == nil {
		info.Access = everybody(info.AllTenants)
	}
	d := &handler{quoter: q, ledger: l, info: info}
	shows := map[string]int{"/": showsNothing, "/health": showsNothing, "/pools": showsSums, "/usage": showsSums} // the others show requests
	answers := map[string]func(*http.Request) (any, error){
		"/": d.index, "/health": d.health, "/pools": d.pools, "/usage": d.usage, "/queue": d.queue,
		"/requests": d.requests, "/recent": d.recent, "/requests/{id}": d.request, "/explain": d.explain,
	}
	mux := http.NewServeMux()
	for _, r := range routes {
		pattern := r.Path
		if pattern == "/" {
			pattern = "/{$}"
		}
		level, sums := shows[r.Path]
		if !sums {
			level = showsTenants
		}
		mux.Handle(pattern, d.only(r.Method, level, answers[r.Path]))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		reply(w, nil, &Error{http.StatusNotFound, NotFound, "There is no route " + excerpt(r.URL.Path) + ".", "GET / lists the routes."})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, trim(r))
	})
}

// Path is that of the route of a request: without the optional prefix and a trailing
// slash.
func Path(r *http.Request) string { return trim(r).URL.Path }

// trim removes the optional prefix and a trailing slash from the path.
func trim(r *http.Request) *http.Request {
	cut := func(path string) string {
		if rest, ok := strings.CutPrefix(path, prefix); ok && (rest == "" || rest[0] == '/') {
			path = rest
		}
		return "/" + strings.Trim(path, "/")
	}
	u := *r.URL
	u.Path = cut(u.Path)
	if u.RawPath != "" {
		u.RawPath = cut(u.RawPath)
	}
	trimmed := *r
	trimmed.URL = &u
	return &trimmed
}

// only allows requests of one method. A HEAD counts as a GET.
func (d *handler) only(method string, shows int, answer func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method && (r.Method != http.MethodHead || method != http.MethodGet) {
			w.Header().Set("Allow", method)
			reply(w, nil, &Error{http.StatusMethodNotAllowed, MethodNotAllowed, "This route does not accept " + excerpt(r.Method) + ".", "Use " + method + "."})
			return
		}
		if err := checked(r); err != nil {
			reply(w, nil, err)
			return
		}
		r, err := d.admitted(r, shows)
		if err != nil {
			reply(w, nil, err)
			return
		}
		body, err := answer(r)
		reply(w, body, err)
	})
}

// reply writes an answer or an error. An error that is not an *Error is
// transient: it comes from the ledger or from Vertex AI.
func reply(w http.ResponseWriter, body any, err error) {
	status := http.StatusOK
	if err != nil {
		e := (*Error)(nil)
		if bad := (*ledger.UnreadableError)(nil); errors.As(err, &bad) {
			e = &Error{http.StatusInternalServerError, Unreadable, fmt.Sprintf("Document %s cannot be read: %s.", bad.Ref, bad.Why),
				"It is left as it is. berth doctor says what depends on it; a newer release may read it."}
		} else if text := (*controller.PolicyError)(nil); errors.As(err, &text) {
			e = &Error{http.StatusInternalServerError, Unreadable, fmt.Sprintf("Version %d of the policy, which is in force, cannot be read by this release: line %d: %s.", text.Version, text.Problem.Line, text.Problem.Code),
				"Nothing is decided until it can be read. berth doctor says what is wrong; berth policy rollback puts an earlier version in force."}
		} else if !errors.As(err, &e) {
			e = &Error{http.StatusServiceUnavailable, Unavailable, err.Error(), "Try again in a moment."}
		}
		status, body = e.Status, Failure{e}
	}
	write(w, status, body)
}

func write(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error":{"code":"INTERNAL","detail":"The answer cannot be encoded."}}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(text, '\n')) //nolint:errcheck // the client has left
}

// excerpt shortens a client's text for a quotation.
func excerpt(s string) string {
	if s = visible.Text(s); len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "..."
	}
	return s
}
