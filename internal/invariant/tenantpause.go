package invariant

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/ledger"
)

// TenantPauses judges one commit on a resource, as [Commit] does: nothing of a tenant that has
// been paused for longer than a grace is admitted or gets a submission slot. The grace is a
// tick, because instances read pauses once a tick.
func TenantPauses(now time.Time, before, after *ledger.Resource, pauses *ledger.Pauses, grace time.Duration) (found []Violation) {
	if pauses == nil {
		return nil
	}
	for _, key := range slices.Sorted(maps.Keys(after.Holds)) {
		h := after.Holds[key]
		pause, paused := pauses.Tenants[h.Tenant]
		if !paused || now.Sub(pause.Since) <= grace {
			continue
		}
		if before != nil {
			if was, had := before.Holds[key]; had && was.Run == h.Run && (!was.Pending || h.Pending) {
				continue
			}
		}
		found = append(found, Violation{Rule: PauseKept, Request: key, Resource: after.Name,
			This: fmt.Sprintf("tenant %s has been paused since %s", h.Tenant, pause.Since), That: fmt.Sprintf("at %s it was admitted or got a submission slot", now)})
	}
	return found
}
