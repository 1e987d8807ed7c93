package policy

import (
	"slices"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
)

// Quotas returns what the tenants have of a persistent resource, given by its full name; nil
// if the policy gives and bounds nothing there.
func (p *Policy) Quotas(resource string) *admission.Quotas {
	if p == nil {
		return nil
	}
	all := &admission.Quotas{Tenants: map[string]admission.Quota{}, InOrder: p.inOrder}
	some := false
	quota := func(r *Rules) admission.Quota {
		q, bounds := r.quota(resource)
		some = some || bounds
		return q
	}
	for name, r := range p.tenants {
		all.Tenants[name] = quota(r)
	}
	if all.Others = quota(p.unnamed); !some {
		return nil
	}
	return all
}

// Pool returns what the tenants have of machines that stand for those of some shares, whose
// replicas add up; nil if the policy gives and bounds nothing there.
func (p *Policy) Pool(shape capacity.Shape, stands func(Share) bool) *admission.Quotas {
	all := &admission.Quotas{Tenants: map[string]admission.Quota{}, InOrder: p.inOrder}
	some := false
	quota := func(r *Rules) admission.Quota {
		q := admission.Quota{Weight: r.Weight, Running: r.MaxRunning, Share: capacity.Use{}, Cap: capacity.Use{}}
		capped := true
		for _, s := range r.Shares {
			if stands(s) {
				q.Share[shape] = q.Share[shape].Plus(s.Replicas)
				q.Cap[shape] = q.Cap[shape].Plus(s.Cap)
				capped = capped && s.Cap > 0
			}
		}
		if !capped || q.Cap[shape] == 0 {
			q.Cap = nil
		}
		if q.Share[shape] == 0 {
			q.Share = nil
		}
		some = some || q.Share != nil || q.Cap != nil || q.Running > 0
		return q
	}
	for name, r := range p.tenants {
		all.Tenants[name] = quota(r)
	}
	if all.Others = quota(p.unnamed); !some {
		return nil
	}
	return all
}

// SharesOf returns the shares that count on a persistent resource, given by its full name:
// one for each shape, in the order of the policy. A share by the full name of the resource
// replaces one by its id, with its cap.
func (r *Rules) SharesOf(resource string) (all []Share) {
	if r == nil {
		return nil
	}
	for _, s := range r.Shares {
		if s.Of(resource) && !slices.ContainsFunc(r.Shares, func(other Share) bool { return other.replaces(s) && other.Of(resource) }) {
			all = append(all, s)
		}
	}
	return all
}

// replaces reports whether a share is by full name of what another has by id.
func (s Share) replaces(other Share) bool {
	return s.Shape == other.Shape && s.Resource != other.Resource && sameResource(other.Resource, s.Resource)
}

// quota returns what the tenant has of a persistent resource, and whether that gives or
// bounds anything.
func (r *Rules) quota(resource string) (q admission.Quota, bounds bool) {
	q = admission.Quota{Weight: r.Weight, Running: r.MaxRunning, Waiting: r.MaxWaiting}
	for _, s := range r.SharesOf(resource) {
		if q.Share == nil {
			q.Share, q.Cap = capacity.Use{}, capacity.Use{}
		}
		if s.Replicas > 0 {
			q.Share[s.Shape] = s.Replicas
		}
		if s.Cap > 0 {
			q.Cap[s.Shape] = s.Cap
		}
	}
	return q, len(q.Share) > 0 || len(q.Cap) > 0 || q.Running > 0 || q.Waiting > 0
}
