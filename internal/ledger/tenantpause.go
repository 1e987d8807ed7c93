package ledger

import (
	"maps"
	"time"

	"example.com/berth/internal/admission"
)

// KindPause is the kind of [Pauses].
const KindPause Kind = "pauses"

// TenantPauses is the name of the one document of the kind.
const TenantPauses = "tenants"

// MaxPausedTenants bounds the tenants that are paused at a time, so that the document stays
// far below the size that a ledger stores.
const MaxPausedTenants = 500

// A Pauses is the document of the tenants of which operators let nothing start. Instances
// read it with the policy in force, so a pause holds everywhere one tick later. Without it
// no tenant is paused.
type Pauses struct {
	Versioned
	Name    string                     `json:"name"`    // TenantPauses
	Version int64                      `json:"version"` // grows with every pause and resume, also after the document was deleted
	Tenants map[string]admission.Pause `json:"tenants,omitempty"`
}

// PauseRef names the document of pauses: TenantPauses.
func PauseRef(name string) Ref { return Ref{KindPause, name} }

// AllPauses names the document.
func AllPauses() ReadSet { return refsOf(KindPause, []string{TenantPauses}) }

// Ref names the document.
func (p *Pauses) Ref() Ref { return PauseRef(p.Name) }

// Set pauses a tenant, or with nil resumes it. A second pause keeps since when it is paused.
func (p *Pauses) Set(now time.Time, tenant string, pause *admission.Pause) {
	tenants := maps.Clone(p.Tenants)
	switch {
	case pause == nil:
		delete(tenants, tenant)
	case tenants == nil:
		tenants = map[string]admission.Pause{tenant: *pause}
	default:
		if before, was := tenants[tenant]; was {
			pause.Since = before.Since
		}
		tenants[tenant] = *pause
	}
	p.Tenants = tenants
	p.Version = max(p.Version+1, now.UnixMilli())
}
