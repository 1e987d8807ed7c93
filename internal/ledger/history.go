package ledger

import (
	"slices"
	"time"

	"example.com/berth/internal/estimate"
)

// KindHistory is the kind of [History].
const KindHistory Kind = "histories"

// A History is the document of one tenant: what its jobs that have ended teach of the
// run times of others. It orders requests and decides nothing else, so a history that is
// lost or cannot be read costs order alone.
type History struct {
	Versioned
	Tenant string `json:"tenant"`
	estimate.History
}

// HistoryRef names the document of a tenant's history.
func HistoryRef(tenant string) Ref { return Ref{KindHistory, tenant} }

// Histories names the documents of histories, by tenant.
func Histories(tenants ...string) ReadSet { return refsOf(KindHistory, tenants) }

// Ref names the document.
func (h *History) Ref() Ref { return HistoryRef(h.Tenant) }

// An Ended is a job of a tenant that has ended.
type Ended struct {
	Tenant string    `json:"tenant"`
	At     time.Time `json:"at"` // when that was learned
	estimate.End
}

// MaxEnded bounds the ended jobs of a resource document. Of more than so many at once
// the first are lost to the estimates.
const MaxEnded = 128

// The ended jobs of a resource go into histories together, when the first has waited
// for so long or there are so many: every resource of a tenant writes the same
// document, and a history is read no more often.
const (
	endedFor  = 5 * time.Minute
	manyEnded = MaxEnded / 2
)

// AddEnded adds a job that has ended.
func (r *Resource) AddEnded(e Ended) {
	r.Ended = append(r.Ended, e)
	r.Ended = r.Ended[max(0, len(r.Ended)-MaxEnded):]
}

// DueEnded returns the tenants whose ended jobs are to go into their histories now, at
// most so many.
func (r *Resource) DueEnded(now time.Time, most int) (tenants []string) {
	if len(r.Ended) == 0 || len(r.Ended) < manyEnded && now.Sub(r.Ended[0].At) < endedFor {
		return nil
	}
	for _, e := range r.Ended {
		if len(tenants) < most && !slices.Contains(tenants, e.Tenant) {
			tenants = append(tenants, e.Tenant)
		}
	}
	return tenants
}

// TakeEnded takes out the ended jobs of a tenant.
func (r *Resource) TakeEnded(tenant string) (ends []estimate.End) {
	var others []Ended
	for _, e := range r.Ended {
		if e.Tenant == tenant {
			ends = append(ends, e.End)
		} else {
			others = append(others, e)
		}
	}
	r.Ended = others
	return ends
}
