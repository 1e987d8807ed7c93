package statuspage

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"example.com/berth/internal/ledger"
)

// A Scope is what a caller may see: everything of some tenants, and of the others sums.
type Scope struct {
	// All is for operators: every tenant, and jobs that Berth did not admit.
	All bool
	// Tenants are the tenants of which the caller may see everything.
	Tenants []string
	// Sole says that the deployment has no other tenant. Then jobs that Berth did not
	// admit are shown one by one, and so are the names of documents that cannot be read.
	Sole bool
	// Anonymous is set for a caller without a verified identity, who may read / and
	// /health, and Fix says how to become another.
	Anonymous bool
	Fix       string
	only      string // the tenant that the parameter tenant= names; "" for all of them
}

// Access decides what the caller of a request may see. An error is an *Error.
type Access func(*http.Request) (Scope, error)

// everybody is the access without identities: everything of the default tenant, or of
// all.
func everybody(all bool) Access {
	return func(*http.Request) (Scope, error) {
		return Scope{All: all, Tenants: []string{defaultTenant}, Sole: true,
			Fix: "Leave the parameter tenant out, or set BERTH_STATUS_ALL_TENANTS=true if every caller may see all requests."}, nil
	}
}

// shows reports whether requests of a tenant are shown.
func (s Scope) shows(tenant string) bool {
	return (s.All || slices.Contains(s.Tenants, tenant)) && (s.only == "" || s.only == tenant)
}

// readable leaves out the unreadable records where not all tenants are shown: a record
// that cannot be read may be another tenant's, and its name is a hash by which that
// tenant's ids could be guessed.
func (s Scope) readable(all []*ledger.UnreadableError) []*ledger.UnreadableError {
	if s.All || s.Sole {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(u *ledger.UnreadableError) bool { return u.Kind == ledger.KindRecord })
}

const (
	// maxScan bounds the records that are read for one page of a list, because few of
	// many may be shown to the caller.
	maxScan = 1000
	// scanChunk is how many of them are read at once. Each can hold a specification of
	// 256 KiB.
	scanChunk = 100
)

// chunk is how many records to read at once for a page with room for some more: one more
// than it shows, to know whether another page follows.
func (s Scope) chunk(room int) int {
	if s.All && s.only == "" {
		return room + 1
	}
	return max(room+1, scanChunk)
}

// place is the position of a cursor behind a record with this sort key. Where the record
// is not shown the place is behind all records of that moment, because a record's name is
// a hash by which another tenant's ids could be guessed.
func (s Scope) place(key, tenant string) string {
	if cut := strings.LastIndexByte(key, '-'); cut > 0 && !s.shows(tenant) {
		return key[:cut] + "-~"
	}
	return key
}

// tenant is the tenant of a route that needs one: that of the parameter, the caller's
// only one, or the default one.
func (s Scope) tenant() (string, error) {
	switch {
	case s.only != "":
		return s.only, nil
	case s.All || slices.Contains(s.Tenants, defaultTenant):
		return defaultTenant, nil
	case len(s.Tenants) == 1:
		return s.Tenants[0], nil
	}
	return "", invalid("tenant", "Name one of the tenants "+strings.Join(s.Tenants, ", ")+".")
}

// tenants are those in which a request is searched for by its id.
func (s Scope) tenants() []string {
	switch {
	case s.only != "":
		return []string{s.only}
	case s.All:
		return []string{defaultTenant}
	}
	return s.Tenants
}

// scopeKey is the key of the scope in the context of a request.
type scopeKey struct{}

// scopeOf returns what the caller may see, narrowed by the parameter tenant=.
func scopeOf(r *http.Request) Scope {
	s, _ := r.Context().Value(scopeKey{}).(Scope) // without one nothing is shown
	return s
}

// What a route shows.
const (
	showsNothing = iota // of the requests; it answers everybody
	showsSums
	showsTenants // requests of tenants
)

// admitted adds the scope of the caller to a request, or says why the route is closed to
// the caller. The answer does not depend on what is stored.
func (d *handler) admitted(r *http.Request, shows int) (*http.Request, error) {
	if shows == showsNothing {
		return r, nil
	}
	s, err := d.info.Access(r)
	switch {
	case err != nil:
		return r, err
	case s.Anonymous:
		return r, &Error{http.StatusUnauthorized, Unauthenticated, "This deployment shows requests by the identity of the caller, and there is none.", s.Fix}
	case shows == showsTenants && !s.All && len(s.Tenants) == 0:
		return r, &Error{http.StatusForbidden, Forbidden, "No requests are shown to you: sums are, by /pools and /usage.", s.Fix}
	}
	if only := r.URL.Query().Get("tenant"); only != "" {
		if !s.shows(only) {
			return r, &Error{http.StatusForbidden, Forbidden, fmt.Sprintf("Requests of the tenant %s are not shown to you, only those of %s.", excerpt(only), strings.Join(s.Tenants, ", ")), s.Fix}
		}
		s.only = only
	}
	return r.WithContext(context.WithValue(r.Context(), scopeKey{}, s)), nil
}
