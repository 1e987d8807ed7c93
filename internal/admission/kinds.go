package admission

import (
	"fmt"
	"strings"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
)

// HasRoomFor reports whether a request may make a class of its own, if it needs one.
// Every set of shapes needs a class, however coarse, so the classes of a resource with
// many pools are bounded only by refusing requests. A tenant that has used up its own
// classes gets no more beyond MaxClasses; so it takes several tenants together to leave
// another one without a class.
func (q Queue) HasRoomFor(a Ask) bool {
	if len(q) < MaxClasses {
		return true
	}
	if _, known := q[q.ClassFor(a.Head)]; known {
		return true
	}
	return len(q) < 2*MaxClasses && q.ownClasses(a.Tenant) < coarsest*tenantClasses/4
}

// coarsest, in quarters of tenantClasses, is how many classes a tenant has when it gets
// no more of its own.
const coarsest = 6

// ownClasses counts the classes of one tenant.
func (q Queue) ownClasses(tenant string) (n int) {
	for id := range q {
		if t, _, _ := strings.Cut(string(id), "|"); t == tenant {
			n++
		}
	}
	return n
}

// tooManyKinds is the reason of a request that cannot wait because no class is left.
func tooManyKinds(demand capacity.Ask) *reason.Problem {
	return &reason.Problem{Code: reason.HoldLimit,
		Detail: fmt.Sprintf("Requests for too many different sets of machines wait on this persistent resource; another set, of %d shapes, cannot wait with them.", len(demand.Shapes())),
		Fix:    "Send it again under a new id when fewer wait, or ask for a set of machines that others wait for."}
}
