// Package policy reads the policy of a deployment: who may use how much of which
// persistent resource, and what may run there. It is pure. [Parse] turns a text into a
// [Policy], [Policy.Tenant] returns the [Rules] of one tenant, and [Rules.Check] says what
// of a request they do not allow.
//
// # The document
//
// A policy is one YAML document, read strictly. [Schema] describes it as JSON Schema, and
// deploy/policies.md explains it by task.
//
//	defaults:            # of every tenant, as far as the tenant does not say otherwise
//	  serviceAccounts: [trainer@p.iam.gserviceaccount.com]
//	  timeouts: {default: 3600s, max: 86400s}
//	tenants:
//	  vision:
//	    shares:
//	    - {persistentResource: gpu-pool, shape: "n1-standard-4/NVIDIA_TESLA_T4:1/pd-ssd:100", replicas: 4}
//
// A tenant begins as a copy of the defaults. Each field that it has replaces that of the
// defaults, except the rules in CEL: those of the defaults hold for every tenant, and the
// tenant's hold as well. A tenant that the policy does not name has the defaults. Without
// defaults it has [Unnamed] rules, which bound what cannot be taken back: a priority above
// others, and a service account.
//
// # What a refusal says
//
// A refusal names the rule, the field of the request that it does not allow, and what this
// tenant may write there. It says nothing of other tenants. An error of an expression is a
// refusal too, because a rule that cannot be evaluated has not allowed the job.
package policy
