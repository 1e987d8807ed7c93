package statuspage

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
	"example.com/berth/internal/visible"
)

const (
	defaultLimit = 50
	maxLimit     = 200
	// maxQueries bounds the queries for one page: states without requests
	// and resources with empty queues cost a query each and show nothing.
	maxQueries = 64
	maxCursor  = 8 << 10 // bytes
)

// A cursor is the place at which the next page begins. Clients get it as opaque
// text. It is checked, and used as a place only.
type cursor struct {
	Resource string          `json:"r,omitempty"` // the page begins in it, or with Done after it
	State    lifecycle.State `json:"s,omitempty"`
	Order    string          `json:"o,omitempty"` // after this one
	Done     bool            `json:"d,omitempty"` // the resource (and state) is finished
	Position int             `json:"p,omitempty"` // of the last one shown
	Shapes   map[string]int  `json:"l,omitempty"` // requests shown per set of shapes, divided by "+"
}

// valid reports whether this package can have made the cursor. Its parts go
// into queries of the ledger, which made-up text must not reach.
func (c cursor) valid() bool {
	_, named := message.ResourceID(c.Resource)
	return (c.Resource == "" || named && strings.Contains(c.Resource, "/")) &&
		(c.State == lifecycle.None || slices.Contains(lifecycle.States, c.State)) &&
		plain(c.Order, maxOrder) && c.Position >= 0
}

// maxOrder is longer than any order key, in bytes.
const maxOrder = 128

func (c cursor) text() string {
	b, _ := json.Marshal(c) // strings and numbers always encode
	return base64.RawURLEncoding.EncodeToString(b)
}

// page reads after= and limit=.
func page(r *http.Request) (c cursor, limit int, err error) {
	q := r.URL.Query()
	limit = defaultLimit
	if s := q.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 {
			return c, 0, invalid("limit", fmt.Sprintf("Want a number from 1 to %d.", maxLimit))
		}
		limit = min(limit, maxLimit)
	}
	s := q.Get("after")
	if s == "" {
		return c, limit, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) > maxCursor || json.Unmarshal(b, &c) != nil || !c.valid() {
		return c, 0, invalid("after", "This is not a cursor of this deployment. Leave it out to start with the first page.")
	}
	return c, limit, nil
}

func invalid(parameter, fix string) *Error {
	return &Error{http.StatusBadRequest, string(reason.InvalidValue), "The parameter " + excerpt(parameter) + " is invalid.", fix}
}

// resources returns the full names that the parameter resource= may mean: the
// given full name, or a bare id in every region served. Without the parameter
// it is empty.
func (d *handler) resources(r *http.Request) ([]string, error) {
	named := r.URL.Query().Get("resource")
	switch _, ok := message.ResourceID(named); {
	case named == "":
		return nil, nil
	case !ok:
		return nil, invalid("resource", "Want an id, or projects/P/locations/L/persistentResources/ID.")
	case strings.Contains(named, "/"):
		return []string{named}, nil
	}
	var names []string
	for _, region := range d.info.Regions {
		names = append(names, vertex.InRegion(d.info.Project, region).Resource(named).String())
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// checked refuses a request whose path or parameters cannot name anything in
// the ledger. Such text must not reach a query.
func checked(r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return &Error{http.StatusBadRequest, string(reason.InvalidValue), "The query of the URL is invalid.", "Escape special characters with % and two hex digits."}
	}
	for name, values := range query {
		switch {
		case len(values) > 1 && name != "state":
			return invalid(name, "Give it once.")
		case slices.ContainsFunc(values, func(v string) bool { return !plain(v, 2*maxCursor) }):
			return invalid(name, "Want printable text in UTF-8.")
		case name == "tenant" && !plain(values[0], maxKey):
			return invalid(name, fmt.Sprintf("A tenant has at most %d bytes.", maxKey))
		}
	}
	if id := r.PathValue("id"); !plain(id, 2*maxKey) {
		return invalid("id", "Want the id of a request or a message, or the name of a job.")
	}
	return nil
}

// maxKey bounds tenants, in bytes.
const maxKey = 256

func plain(s string, most int) bool {
	return len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, visible.Hidden)
}

func unknownResource(named string) *Error {
	return &Error{http.StatusNotFound, NotFound, "No persistent resource " + excerpt(named) + " is known here.",
		"GET /pools lists the known ones. Berth observes a resource from the first request that names it."}
}
