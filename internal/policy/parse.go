package policy

import (
	"fmt"
	"slices"

	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

// documents reads policies.
var documents = strict.Reader{
	MaxDepth:  16,
	MaxValues: 64 << 10,
	MaxCopied: 1 << 20,

	Deep:     "Compare the policy with policy.schema.json.",
	Large:    "Write what several tenants have in common into defaults.",
	Missing:  "Write defaults, tenants or both.",
	Many:     "Write one policy in one document.",
	Scalar:   "Write defaults, tenants or both.",
	Language: "Write the policy in YAML.",
}

// tenantName is the form of a tenant that a deployment gives a subscription.
var tenantName = lazily(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Parse reads a policy. It returns either a policy, or everything that is wrong with the
// text in its order, at most 20 problems.
func Parse(text []byte) (*Policy, []Problem) {
	r := &strict.Report{}
	p := parser{r, map[string]compiled{}}
	policy := p.document(text)
	problems, warnings := r.Located()
	if len(problems) > 0 {
		return nil, withLines(problems)
	}
	policy.Warnings = withLines(warnings)
	return policy, nil
}

func withLines(found []strict.Located) (all []Problem) {
	for _, f := range found {
		all = append(all, Problem{f.Line, f.Problem})
	}
	return all
}

// A parser reads one policy and collects its problems.
type parser struct {
	*strict.Report
	compiled map[string]compiled // expressions that were read, by their text
}

func (p parser) document(text []byte) *Policy {
	if len(text) > MaxText {
		p.Add(strict.Place{}, reason.TooLarge, fmt.Sprintf("The policy has %d bytes; at most %d are allowed.", len(text), MaxText), documents.Large)
		return nil
	}
	root := documents.YAML(text, p.Report)
	if root == nil || !p.OK() {
		return nil // what cannot be read may be what makes the rest wrong
	}
	policy := &Policy{tenants: map[string]*Rules{}}
	var defaults, tenants *strict.Node
	p.object(root, []field{
		{"defaults", func(n *strict.Node) { defaults = n }},
		{"tenants", func(n *strict.Node) { tenants = n }},
		{"reclaim", func(n *strict.Node) { p.reclaim(n, policy) }},
	})
	if root.Kind != strict.Object {
		return nil
	}
	if defaults == nil && tenants == nil && p.OK() {
		p.Add(root.Place(), reason.MissingField, "The policy has no rules.", documents.Missing)
	}
	base := newRules("")
	if policy.unnamed = Unnamed(); defaults != nil {
		policy.unnamed = base
		p.rules(defaults, base)
	}
	if tenants != nil {
		p.tenants(tenants, base, policy)
	}
	if !p.OK() {
		return nil
	}
	p.accountsAreListed(policy, defaults, tenants)
	p.lockedOut(policy, defaults, tenants)
	p.warn(policy, defaults, tenants)
	return policy
}

// Words for how a tenant gets its share back.
const (
	ownersFirst = "ownersFirst"
	inOrder     = "inOrder"
)

func (p parser) reclaim(n *strict.Node, policy *Policy) {
	switch s, ok := p.text(n); {
	case !ok:
	case s != ownersFirst && s != inOrder:
		p.At(n, reason.InvalidValue, "Want "+ownersFirst+" or "+inOrder+".", "Write one of them, or leave the field out for "+ownersFirst+".")
	default:
		policy.inOrder = s == inOrder
	}
}

func (p parser) tenants(n *strict.Node, base *Rules, policy *Policy) {
	if n.Kind != strict.Object {
		p.mistyped(n, "an object of tenants by name")
		return
	}
	if len(n.Members) > MaxTenants {
		p.At(n, reason.TooLarge, fmt.Sprintf("The policy names %d tenants; at most %d are allowed.", len(n.Members), MaxTenants), documents.Large)
		return
	}
	for _, m := range n.Members {
		if p.Full() {
			return
		}
		if !tenantName.MatchString(m.Key) {
			p.At(m, reason.InvalidValue, "The name of a tenant has 1 to 63 lowercase letters, digits and dashes, no dash first.", "Write it as BERTH_TENANTS has it.")
			continue
		}
		rules := base.copyFor(m.Key)
		p.rules(m, rules)
		policy.tenants[m.Key] = rules
	}
}

// accountsAreListed reports tenants of whose service accounts nothing is said. An account
// is the right to act as it, so leaving the list out must not mean any account.
func (p parser) accountsAreListed(policy *Policy, defaults, tenants *strict.Node) {
	const detail = "The policy does not say as which service accounts the tenant may run jobs."
	const fix = "Write serviceAccounts: [NAME@PROJECT.iam.gserviceaccount.com]; service-agent in the list allows jobs that name none, and the word any in place of the list allows every account."
	if defaults != nil && !policy.unnamed.accounts.set && policy.unnamed.accounts.list == nil {
		p.Add(defaults.Missing("serviceAccounts"), reason.MissingField, detail, fix)
		return // the tenants that say nothing have the same cause
	}
	if tenants == nil {
		return
	}
	for _, m := range tenants.Members {
		if a := policy.tenants[m.Key].accounts; !a.set && a.list == nil {
			p.Add(m.Missing("serviceAccounts"), reason.MissingField, detail, fix)
		}
	}
}

// lockedOut reports a policy under which no tenant can run anything, which can only be a
// mistake.
func (p parser) lockedOut(policy *Policy, defaults, tenants *strict.Node) {
	if !p.OK() {
		return
	}
	policy.unnamed.locked = policy.unnamed.lockedBy()
	why, at := policy.unnamed.locked, defaults
	all := why != ""
	for _, name := range policy.Tenants() {
		r := policy.tenants[name]
		if r.locked = r.lockedBy(); r.locked == "" {
			all = false
		} else {
			why, at = r.locked, tenants.Member(name)
			p.Warn(at.Place(), fmt.Sprintf("The tenant can run nothing under this policy: %s.", why), "Allow it something, unless it is to be shut out.")
		}
	}
	if !all {
		return
	}
	p.Add(at.Place(), reason.Conflict, "No tenant could run anything under this policy: "+why+".", "Allow at least one tenant to run jobs. To stop all submissions for a while, pause the persistent resources.")
}

// lockedBy says why a tenant can run nothing, "" if it can run something.
func (r *Rules) lockedBy() string {
	for _, list := range []struct {
		name string
		allowed
	}{{"persistentResources", r.resources}, {"serviceAccounts", r.accounts}, {"images.repositories", r.repositories}} {
		if list.nothing() {
			return list.name + " is empty"
		}
	}
	for _, key := range r.require {
		if value, added := r.add[key]; added && value == "" {
			return fmt.Sprintf("every job gets the label %q without a value, and must have it with one", key)
		}
	}
	if n := len(r.ownLabels()); n > message.MaxLabels {
		return fmt.Sprintf("with the labels that it must have and those that it gets, every job has %d; at most %d are possible", n, message.MaxLabels)
	}
	if i := slices.IndexFunc(r.rules, func(e rule) bool { return e.never != "" }); i >= 0 {
		return fmt.Sprintf("the rule %q %s", r.rules[i].name, r.rules[i].never)
	}
	return ""
}
