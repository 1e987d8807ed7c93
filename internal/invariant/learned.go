package invariant

import (
	"fmt"
	"maps"
	"slices"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// learned checks that no more ends of jobs are learned, or noted to be, than requests
// have ended. Some may be lost.
func (c *checker) learned(before, after Picture, was map[message.Key]*ledger.Record) {
	ended := map[string]int64{} // by tenant
	for _, r := range after.Records {
		if old := was[r.Key]; r.State.Terminal() && (old == nil || !old.State.Terminal()) {
			ended[r.Tenant]++
		}
	}
	had, has := taught(before), taught(after)
	for _, tenant := range slices.Sorted(maps.Keys(has)) {
		if more := has[tenant] - had[tenant]; more > ended[tenant] {
			c.add(LearnedOnce, nil, nil, fmt.Sprintf("%d requests of %s have ended", ended[tenant], tenant), "%d more ends are learned or noted", more)
		}
	}
}

// taught is how many ends of each tenant's jobs are learned, or noted to be.
func taught(p Picture) map[string]int64 {
	n := map[string]int64{}
	for _, h := range p.Histories {
		n[h.Tenant] += h.Ends
	}
	for _, res := range p.Resources {
		for _, e := range res.Ended {
			n[e.Tenant]++
		}
	}
	return n
}
