package policy

import (
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// Bounds of a policy, checked as it is read. A text within them takes well under a second
// to read.
const (
	MaxText    = 256 << 10 // bytes of the document, which is stored in one document of the ledger
	MaxTenants = 1000
	MaxRules   = 100 // expressions that hold for one tenant
)

// A Policy says what every tenant may do. It does not change, so any number of goroutines
// may use it.
type Policy struct {
	// Warnings are what is allowed and rarely meant.
	Warnings []Problem
	tenants  map[string]*Rules
	unnamed  *Rules
	inOrder  bool // see [admission.Quotas]
}

// A Problem is what is wrong with a policy, and in which line of its text; 0 if that is not
// known.
type Problem struct {
	Line int `json:"line,omitempty"`
	reason.Problem
}

// Tenant returns the rules of a tenant: its own, or those of every tenant that the policy
// does not name. Without a policy there are none, and they allow everything.
func (p *Policy) Tenant(name string) *Rules {
	if p == nil {
		return nil
	}
	if r := p.tenants[name]; r != nil {
		return r
	}
	r := *p.unnamed
	r.Tenant = name
	return &r
}

// Tenants returns the names of the tenants that the policy names, sorted.
func (p *Policy) Tenants() []string {
	if p == nil {
		return nil
	}
	return slices.Sorted(maps.Keys(p.tenants))
}

// Unnamed returns the rules of the tenants that the policy does not name.
func (p *Policy) Unnamed() *Rules {
	if p == nil {
		return nil
	}
	return p.unnamed
}

// SharesSubmissions reports whether some tenant may use a share of the submissions only.
func (p *Policy) SharesSubmissions() bool {
	if p == nil {
		return false
	}
	for _, r := range p.tenants {
		if r.Submissions > 0 {
			return true
		}
	}
	return p.unnamed.Submissions > 0
}

// Rules are what one tenant may do. Nil Rules allow everything and set nothing.
type Rules struct {
	Tenant string // "" for those that the policy does not name

	Shares      []Share
	Weight      float64 // in the fair share of what is free; 1 unless the policy says otherwise
	MaxRunning  int     // requests with replicas; 0 for no bound
	MaxWaiting  int     // requests that wait; 0 for no bound
	Submissions float64 // share of the submissions of a minute, above 0 and at most 1; 0 for no bound

	MinPriority, MaxPriority int
	Priority                 int           // of a request that names none
	DefaultTimeout           time.Duration // of a job that sets none; 0 for the deployment's
	MaxTimeout               time.Duration // 0 for the deployment's
	MaxReplicas              int64         // of one request; 0 for no bound
	MaxWait                  time.Duration // longest wait in the queue; 0 for no bound

	resources, accounts, repositories, networks, outputs, packages, env allowed

	digestOnly  bool
	noWebAccess bool
	require     []string          // keys of labels
	add         map[string]string // labels
	rules       []rule

	locked string // why the tenant can run nothing, "" if it can run something
}

// A Share is what one tenant has of one shape of machine of a persistent resource.
type Share struct {
	Resource string // id, which means this resource in every region, or full name
	Shape    capacity.Shape
	Replicas capacity.Replicas // its nominal share: lent while the tenant does not use it
	Cap      capacity.Replicas // the most that it may have, lent replicas included; 0 for no bound
	line     int
}

// Of reports whether the share is of a persistent resource, given by its full name.
func (s Share) Of(resource string) bool { return sameResource(s.Resource, resource) }

// An allowed list is what a field may have. Not set, it allows everything; empty, nothing.
type allowed struct {
	set  bool
	list []string
}

func (a allowed) nothing() bool { return a.set && len(a.list) == 0 }

func (a allowed) any(fits func(string) bool) bool {
	return !a.set || slices.ContainsFunc(a.list, fits)
}

// ServiceAgent stands in a list of service accounts for a job that names none. Vertex AI
// runs it as its Custom Code Service Agent (field comment of CustomJobSpec.service_account).
const ServiceAgent = "service-agent"

// newRules returns rules that allow everything.
func newRules(tenant string) *Rules {
	return &Rules{Tenant: tenant, Weight: 1, MinPriority: -message.MaxPriority, MaxPriority: message.MaxPriority}
}

// Unnamed are the rules of a tenant that a policy without defaults does not name. Such a
// tenant was not thought of, so it may not go ahead of the others nor run as a service
// account.
func Unnamed() *Rules {
	r := newRules("")
	r.MaxPriority = 0
	r.accounts = allowed{true, []string{ServiceAgent}}
	return r
}

// copyFor returns the rules as those that another tenant begins with.
func (r *Rules) copyFor(tenant string) *Rules {
	c := *r
	c.Tenant = tenant
	c.rules = slices.Clip(c.rules)
	return &c
}
