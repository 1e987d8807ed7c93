package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

// A Reclaim says how long it may last until a tenant has its share back from others who
// borrow it: as long as the longest time limit of a job that may have its replicas, from
// that job's start on.
type Reclaim struct {
	Tenant string
	Share  Share
	// Within is that time limit; 0 if the policy sets none for one of the others. A job may
	// then have any limit that the deployment takes.
	Within time.Duration
	// InOrder says that the share comes back in the order of requests, so that its owner may
	// wait for more than the jobs that run. Within and By are then not set.
	InOrder bool
	// By is a tenant whose jobs may have that limit; "" means those that are not named.
	By string
}

// Reclaims returns one for every share, by tenant and in the order of its shares.
func (p *Policy) Reclaims() (all []Reclaim) {
	for _, name := range p.Tenants() {
		for _, s := range p.tenants[name].Shares {
			if s.Replicas > 0 {
				all = append(all, p.reclaim(name, s))
			}
		}
	}
	return all
}

func (p *Policy) reclaim(owner string, s Share) Reclaim {
	c := Reclaim{Tenant: owner, Share: s, InOrder: p.inOrder}
	if p.inOrder {
		return c
	}
	others := []*Rules{p.unnamed}
	for _, name := range p.Tenants() {
		if name != owner {
			others = append(others, p.tenants[name])
		}
	}
	for _, r := range others {
		if !r.borrows(s) {
			continue
		}
		if r.MaxTimeout == 0 {
			c.Within, c.By = 0, r.Tenant
			return c
		}
		if r.MaxTimeout > c.Within {
			c.Within, c.By = r.MaxTimeout, r.Tenant
		}
	}
	return c
}

// borrows reports whether jobs of the tenant can have replicas of a share of another.
func (r *Rules) borrows(s Share) bool {
	if r.locked != "" || !r.resources.any(func(name string) bool { return overlap(name, s.Resource) }) {
		return false
	}
	// A tenant borrows nothing where its cap is what it has anyway. An id means resources in
	// several regions, and some of them may have a share of their own by full name.
	everywhere := false
	for _, own := range r.Shares {
		if own.Shape != s.Shape || !overlap(own.Resource, s.Resource) || slices.ContainsFunc(r.Shares, func(other Share) bool { return other.replaces(own) && other.Resource == s.Resource }) {
			continue
		}
		if own.Cap == 0 || own.Cap > own.Replicas {
			return true
		}
		everywhere = everywhere || own.Of(s.Resource) || own.Resource == s.Resource
	}
	return !everywhere
}

// overlap reports whether two ids or full names can mean one persistent resource.
func overlap(a, b string) bool {
	return a == b || sameResource(a, b) || sameResource(b, a)
}

// warn reports what is allowed and rarely meant.
func (p parser) warn(policy *Policy, defaults, tenants *strict.Node) {
	if !p.OK() {
		return
	}
	if defaults == nil {
		p.Warn(tenants.Place(), "The policy has no defaults. A tenant that it does not name may run any job that names no service account, with a priority of 0 at most.", "Add defaults if such tenants are to have other rules.")
	}
	unbounded := map[string]bool{}
	for _, c := range policy.Reclaims() {
		if c.Within == 0 && !c.InOrder && !unbounded[c.By] {
			unbounded[c.By] = true
			who := "tenant " + c.By
			if c.By == "" {
				who = "a tenant that the policy does not name"
			}
			p.Warn(strict.Place{Path: "tenants." + c.Tenant + ".shares", Line: c.Share.line, Pos: 1}, fmt.Sprintf("To take back the share of %s may last for as long as a job of %s runs, and its time limit has no bound here. Vertex AI ends a job without a limit after 7 days.", c.Tenant, who),
				"Set timeouts.max for it, or bound the limits of all jobs by the deployment's BERTH_MAX_TIMEOUT.")
		}
	}
	wide := func(n *strict.Node, r *Rules) {
		for _, repository := range r.repositories.list {
			if strings.Count(repository, "/") == 1 {
				p.Warn(n.Place(), fmt.Sprintf("Every image of the registry %s may be run, whoever put it there.", strings.TrimSuffix(repository, "/")), "Name the project or the repository too.")
			}
		}
	}
	replaced := func(path string, r *Rules) {
		for _, s := range r.Shares {
			for _, other := range r.Shares {
				if other.replaces(s) {
					p.Warn(strict.Place{Path: path + ".shares", Line: s.line, Pos: 1}, fmt.Sprintf("The share of %s does not count on %s: the share by full name replaces it there, with its cap.", s.Resource, other.Resource),
						"Write everything that is to hold there into the share by full name, or keep one of the two.")
				}
			}
		}
	}
	if defaults != nil {
		wide(defaults, policy.unnamed)
		replaced("defaults", policy.unnamed)
	}
	for _, name := range policy.Tenants() {
		r, n := policy.tenants[name], tenants.Member(name)
		if !slices.Equal(r.Shares, policy.unnamed.Shares) {
			replaced("tenants."+name, r)
		}
		if !slices.Equal(r.repositories.list, policy.unnamed.repositories.list) {
			wide(n, r)
		}
		for _, s := range r.Shares {
			if !r.resources.any(func(resource string) bool { return overlap(resource, s.Resource) }) {
				p.Warn(n.Place(), fmt.Sprintf("The tenant has a share of %s, which its persistentResources do not allow.", s.Resource), "Add it there, or leave the share out.")
			}
		}
	}
}

// Of returns the sum of the tenants' shares of a persistent resource, given by its full
// name, and how many tenants have one, by shape.
func (p *Policy) Of(resource string) (sums map[capacity.Shape]capacity.Replicas, tenants map[capacity.Shape]int) {
	sums, tenants = map[capacity.Shape]capacity.Replicas{}, map[capacity.Shape]int{}
	for _, name := range p.Tenants() {
		for _, s := range p.tenants[name].SharesOf(resource) {
			sums[s.Shape] = sums[s.Shape].Plus(s.Replicas)
			tenants[s.Shape]++
		}
	}
	return sums, tenants
}

// Unknown returns a warning for each persistent resource that the policy names and that is
// none of these, given by their full names.
func (p *Policy) Unknown(names []string) (found []Problem) {
	if p == nil {
		return nil
	}
	said := map[string]bool{}
	check := func(written, path string, line int) {
		if said[written] || len(found) == strict.MaxProblems || slices.ContainsFunc(names, func(name string) bool { return sameResource(written, name) }) {
			return
		}
		said[written] = true
		found = append(found, Problem{line, reason.Problem{Code: reason.Warning, Path: path, Detail: fmt.Sprintf("The deployment knows no persistent resource %s.", written),
			Fix: "Compare the name with berth pools; leave it if requests will name it for the first time."}})
	}
	of := func(path string, r *Rules) {
		for _, s := range r.Shares {
			check(s.Resource, path+".shares", s.line)
		}
		for _, s := range r.resources.list {
			check(s, path+".persistentResources", 0)
		}
	}
	of("defaults", p.unnamed)
	for _, name := range p.Tenants() {
		of("tenants."+name, p.tenants[name])
	}
	return found
}
