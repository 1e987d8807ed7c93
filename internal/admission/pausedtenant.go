package admission

import (
	"maps"
	"slices"

	"example.com/berth/internal/message"
)

// withoutPaused is the queue and the reservations without the requests of tenants that are
// paused. Of a class that several tenants share, those behind the known heads may be of any
// tenant: if all heads are of paused tenants, the plan asks for more of them, and other
// classes do not wait for that.
func (pl *planner) withoutPaused() (Queue, []Reservation) {
	paused := func(tenant string) bool { _, is := pl.p.Paused[tenant]; return is }
	queue := maps.Clone(pl.s.Queue)
	for id, c := range pl.s.Queue {
		switch tenant := id.tenant(); {
		case paused(tenant):
			delete(queue, id)
		case tenant == "" && slices.ContainsFunc(c.Heads, func(h Head) bool { return paused(h.Tenant) }):
			kept := slices.DeleteFunc(slices.Clone(c.Heads), func(h Head) bool { return paused(h.Tenant) })
			c.Count -= len(c.Heads) - len(kept)
			if c.Heads = kept; len(kept) > 0 {
				queue[id] = c
				continue
			}
			delete(queue, id)
			if c.Count > 0 {
				pl.plan.Want = append(pl.plan.Want, id)
			}
		}
	}
	reserved := slices.DeleteFunc(slices.Clone(pl.s.Reserved), func(r Reservation) bool {
		if r.Tenant == "" {
			return paused(pl.queuedTenant(r.ID)) // it was made while there was no policy
		}
		return paused(r.Tenant)
	})
	return queue, reserved
}

// queuedTenant is the tenant of a request by the class that it waits in, "" if it is not
// among the known heads.
func (pl *planner) queuedTenant(id message.Key) string {
	for class, c := range pl.s.Queue {
		if i := slices.IndexFunc(c.Heads, func(h Head) bool { return h.ID == id }); i >= 0 {
			if tenant := class.tenant(); tenant != "" {
				return tenant
			}
			return c.Heads[i].Tenant
		}
	}
	return ""
}
