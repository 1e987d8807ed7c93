package ledger

import (
	"time"

	"example.com/berth/internal/pace"
)

// A Budget is the document of one project and region: how many jobs may be
// submitted there in a minute, and who may. The rules are package pace's.
type Budget struct {
	Versioned
	Name string `json:"name"` // projects/P/locations/L
	pace.Budget
}

// BackOff pauses admissions after Vertex AI found a resource full that the ledger
// holds to have room, from first to most, doubling, so that a lasting difference
// does not turn into a loop of submissions.
func (r *Resource) BackOff(now time.Time, first, most time.Duration) {
	b := pace.Backoff{NotBefore: r.NotBefore, Refusals: r.Declines}
	b.Refuse(now, first, most, most)
	r.NotBefore, r.Declines = b.NotBefore, b.Refusals
	r.Version++
}
