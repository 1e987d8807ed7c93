package repair

import (
	"fmt"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/policy"
	"example.com/berth/internal/reason"
)

// policyInForce reports whether instances can read the policy in force. They decide nothing
// under one that they cannot read.
func (j *judge) policyInForce() {
	for _, u := range j.Unreadable {
		if u.Ref == ledger.PolicyRef(ledger.CurrentPolicy) {
			j.add(Finding{Level: None, Text: "not checked: its document cannot be read"})
			return
		}
	}
	var now *ledger.Policy
	for _, p := range j.Policies {
		if p.Name == ledger.CurrentPolicy {
			now = p
		}
	}
	if now == nil {
		j.add(Finding{Level: OK, Text: "there is no policy"})
		return
	}
	parsed, problems := policy.Parse([]byte(now.Text))
	if parsed != nil {
		j.add(Finding{Level: OK, Text: fmt.Sprintf("version %d is in force and can be read", now.Version)})
		return
	}
	first, rest := problems[0], ""
	if n := len(problems) - 1; n > 0 {
		rest = fmt.Sprintf(" (and %s)", reason.Count(n, "more problem"))
	}
	f := Finding{Level: Fail, Text: fmt.Sprintf("version %d, which is in force, cannot be read by this release: line %d: %s%s", now.Version, first.Line, first.Problem.String(), rest),
		Means: "No request is decided: messages are delivered again and again, and nothing that waits starts.",
		Do:    "Deploy the release that reads it, or put a policy in force that can be read: berth policy apply FILE --yes"}
	if v := j.readable(now.Version); v > 0 {
		f.Do = fmt.Sprintf("Deploy the release that reads it, or put the last version in force that can be read: berth policy rollback %d --yes", v)
	}
	j.add(f)
}

// readable is the latest version before another that this release can read, 0 if there is
// none.
func (j *judge) readable(before int64) (latest int64) {
	for _, p := range j.Policies {
		if p.Name == ledger.CurrentPolicy || p.Version >= before || p.Version <= latest {
			continue
		}
		if parsed, _ := policy.Parse([]byte(p.Text)); parsed != nil {
			latest = p.Version
		}
	}
	return latest
}
