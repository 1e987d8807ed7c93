package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"example.com/berth/internal/identity"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/statuspage"
)

// mailAddress is the address of an identity of Google. It has no plus sign of its own in
// a service account, and may have one in a user's.
var mailAddress = regexp.MustCompile(`^[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)

// mostTenants bounds the tenants of one caller: each costs a read when a request is asked
// for by its id.
const mostTenants = 20

// checkCallers validates the settings of callers.
func (c Config) checkCallers() (errs []error) {
	bad := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for _, address := range c.StatusOperators {
		bad(mailAddress.MatchString(address), "BERTH_STATUS_OPERATORS: %q is not an e-mail address", address)
	}
	for _, address := range slices.Sorted(maps.Keys(c.StatusCallers)) {
		bad(mailAddress.MatchString(address), "BERTH_STATUS_CALLERS: %q is not an e-mail address", address)
		tenants := strings.Split(c.StatusCallers[address], "+")
		bad(len(tenants) <= mostTenants, "BERTH_STATUS_CALLERS: %q has %d tenants; want at most %d, or make it an operator", address, len(tenants), mostTenants)
		for _, tenant := range tenants {
			bad(labelText.MatchString(tenant), "BERTH_STATUS_CALLERS: tenant %q of %q: want lowercase letters, digits and dashes", tenant, address)
		}
	}
	named := map[string]string{}
	for _, address := range slices.Concat(c.StatusOperators, slices.Sorted(maps.Keys(c.StatusCallers))) {
		before, twice := named[identity.Lower(address)]
		bad(!twice, "BERTH_STATUS_OPERATORS and BERTH_STATUS_CALLERS name %q and %q, which is one address", before, address)
		named[identity.Lower(address)] = address
	}
	bad(!c.identified() || !c.StatusAllTenants, "BERTH_STATUS_ALL_TENANTS shows everything to every caller, so BERTH_STATUS_OPERATORS and BERTH_STATUS_CALLERS have no effect with it: set one of them")
	bad(!c.identified() || c.RunIAM || len(c.StatusAudiences)+len(c.StatusIAP) > 0,
		"BERTH_STATUS_OPERATORS or BERTH_STATUS_CALLERS is set, and no identity can be verified: set BERTH_STATUS_AUDIENCES, BERTH_STATUS_IAP, or BERTH_RUN_IAM")
	for _, audience := range c.StatusIAP {
		bad(strings.HasPrefix(audience, "/projects/"), "BERTH_STATUS_IAP: %q does not begin with /projects/", audience)
	}
	for name, audiences := range map[string][]string{"BERTH_STATUS_AUDIENCES": c.StatusAudiences, "BERTH_STATUS_IAP": c.StatusIAP, "BERTH_PUSH_AUDIENCES": c.PushAudiences} {
		bad(!slices.Contains(audiences, ""), "%s has an empty audience", name)
	}
	bad(c.PushAccount == "" || mailAddress.MatchString(c.PushAccount), "BERTH_PUSH_ACCOUNT: %q is not an e-mail address", c.PushAccount)
	bad(c.PushAccount == "" || c.RunIAM || len(c.PushAudiences) > 0, "BERTH_PUSH_ACCOUNT is set, and no push token can be verified: set BERTH_RUN_IAM or BERTH_PUSH_AUDIENCES")
	bad(c.PushAccount != "" || len(c.PushAudiences) == 0, "BERTH_PUSH_AUDIENCES is set without BERTH_PUSH_ACCOUNT")
	return errs
}

// identified reports whether Status decides by the identity of the caller.
func (c Config) identified() bool { return len(c.StatusOperators)+len(c.StatusCallers) > 0 }

// callers verifies those of Status, pushers those of the other entry points.
func (c Config) callers() identity.Settings {
	return identity.Settings{Audiences: c.StatusAudiences, IAP: c.StatusIAP, RunIAM: c.RunIAM}
}

func (c Config) pushers() identity.Settings {
	return identity.Settings{Audiences: c.PushAudiences, RunIAM: c.RunIAM}
}

// scope is what Status shows to a verified address.
func (c Config) scope(address string) statuspage.Scope {
	s := statuspage.Scope{Fix: "Ask for your address to be added to BERTH_STATUS_CALLERS with a tenant, or to BERTH_STATUS_OPERATORS."}
	same := func(a string) bool { return identity.Lower(a) == address }
	s.All = slices.ContainsFunc(c.StatusOperators, same)
	for a, tenants := range c.StatusCallers {
		if same(a) {
			s.Tenants = strings.Split(tenants, "+")
		}
	}
	slices.Sort(s.Tenants)
	return s
}

// access decides what a caller of Status may see; nil if callers have no identities, and
// the deployment has one tenant or shows all.
func (a *App) access() statuspage.Access {
	switch {
	case a.cfg.identified():
		return func(r *http.Request) (statuspage.Scope, error) {
			address, err := a.callers.Caller(r)
			if e := (*identity.Error)(nil); errors.As(err, &e) {
				return statuspage.Scope{}, refusedCaller(e)
			} else if err != nil {
				return statuspage.Scope{}, err
			}
			return a.cfg.scope(address), nil
		}
	case len(a.cfg.Tenants) > 0 && !a.cfg.StatusAllTenants:
		return func(*http.Request) (statuspage.Scope, error) {
			return statuspage.Scope{Fix: "The deployment has several tenants: say in BERTH_STATUS_OPERATORS and BERTH_STATUS_CALLERS who may see which."}, nil
		}
	}
	return nil
}

func refusedCaller(e *identity.Error) *statuspage.Error {
	if e.Transient {
		return &statuspage.Error{Status: http.StatusServiceUnavailable, Code: statuspage.Unavailable, Detail: e.Detail, Fix: e.Fix}
	}
	return &statuspage.Error{Status: http.StatusUnauthorized, Code: statuspage.Unauthenticated, Detail: e.Detail, Fix: e.Fix}
}

// pushed reports whether a delivery comes from the account with which Pub/Sub pushes, and
// answers it if not. IAM keeps other callers out; but its policy may let others in, who
// could name any subscription. A refused delivery of Pub/Sub itself is a wrong setting, so
// it is delivered again until the setting is right.
func (a *App) pushed(ctx context.Context, w http.ResponseWriter, r *http.Request) bool {
	if a.cfg.PushAccount == "" {
		return true
	}
	address, err := a.pushers.Caller(r)
	if err == nil && address == identity.Lower(a.cfg.PushAccount) {
		return true
	}
	status, p := http.StatusForbidden, reason.Problem{Code: statuspage.Forbidden, Detail: "This entry point accepts deliveries of Pub/Sub with the token of its push account.",
		Fix: "Publish to the topic. If Pub/Sub itself is refused, compare BERTH_PUSH_ACCOUNT with the account of the push subscription."}
	if e := (*identity.Error)(nil); errors.As(err, &e) && e.Transient {
		status, p = http.StatusServiceUnavailable, reason.Problem{Code: statuspage.Unavailable, Detail: e.Detail, Fix: e.Fix}
	}
	a.log.WarnContext(ctx, "delivery by another caller than the push account", "event", "foreign_delivery", "error", err)
	refuse(w, status, p)
	return false
}
