package ledger

import (
	"context"
	"fmt"
	"time"
)

// KindPolicy is the kind of [Policy].
const KindPolicy Kind = "policies"

// CurrentPolicy is the name of the document that has the policy in force.
const CurrentPolicy = "current"

// A Policy is one version of the policy of a deployment. Each version has a document of its
// own, which never changes, and the latest has the document [CurrentPolicy] as well. Both
// are written by one update, so an instance that reads the current one reads all of a
// version. A deployment without the document has no policy.
type Policy struct {
	Versioned
	Name    string    `json:"name"`    // CurrentPolicy, or that of the version
	Version int64     `json:"version"` // counted from 1, without a gap
	Text    string    `json:"text"`    // YAML, as package policy reads it
	At      time.Time `json:"at"`      // when it was written, by the ledger's time
	Who     string    `json:"who,omitempty"`
	Note    string    `json:"note,omitempty"`
	// Restores is the version whose text this one has again; 0 for a new text.
	Restores int64 `json:"restores,omitempty"`
}

// PolicyRef names the document of a policy: CurrentPolicy or [PolicyName].
func PolicyRef(name string) Ref { return Ref{KindPolicy, name} }

// PolicyName is the name of the document of a version.
func PolicyName(version int64) string { return fmt.Sprintf("v%08d", version) }

// Policies names the documents of policies.
func Policies(names ...string) ReadSet { return refsOf(KindPolicy, names) }

// Ref names the document.
func (p *Policy) Ref() Ref { return PolicyRef(p.Name) }

// A PolicyConflictError says that a policy was not written, because it was made from another
// version than the one in force.
type PolicyConflictError struct {
	Base    int64 // what it was made from; 0 for no policy
	Current int64 // what is in force
}

func (e *PolicyConflictError) Error() string {
	return fmt.Sprintf("ledger: version %d of the policy is in force, not %d", e.Current, e.Base)
}

// WritePolicy makes a policy the one in force, if the version in force is still base, 0 for
// none; else it returns a [PolicyConflictError]. Of the policy it takes the text, who, the
// note, and what it restores. It returns the policy as it is written.
func WritePolicy(ctx context.Context, l Ledger, base int64, p Policy) (written *Policy, err error) {
	next := base + 1
	err = l.Update(ctx, Policies(CurrentPolicy, PolicyName(next)), func(tx Tx) error {
		written = nil
		version := int64(0)
		if now := Get[*Policy](tx, PolicyRef(CurrentPolicy)); now != nil {
			version = now.Version
		}
		if version != base {
			return &PolicyConflictError{Base: base, Current: version}
		}
		if Get[*Policy](tx, PolicyRef(PolicyName(next))) != nil { // a version is never written over
			return fmt.Errorf("ledger: document %s is there although version %d is in force", PolicyRef(PolicyName(next)), version)
		}
		one := Policy{Name: PolicyName(next), Version: next, Text: p.Text, At: tx.Now(), Who: p.Who, Note: p.Note, Restores: p.Restores}
		current := one
		current.Name = CurrentPolicy
		tx.Put(&one)
		tx.Put(&current)
		written = &current
		return nil
	})
	if err != nil {
		return nil, err
	}
	return written, nil
}
