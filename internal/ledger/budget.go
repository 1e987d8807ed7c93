package ledger

import (
	"slices"
	"time"

	"example.com/berth/internal/pace"
)

// KindBudget is the kind of [Budget].
const KindBudget Kind = "budgets"

// A Budget is the document of one project and region: how many jobs may be
// submitted there in a minute, and who may. The rules are package pace's.
type Budget struct {
	Versioned
	Name string `json:"name"` // projects/P/locations/L
	pace.Budget
}

// BudgetRef names the document of a budget: projects/P/locations/L.
func BudgetRef(name string) Ref { return Ref{KindBudget, name} }

// Ref names the document.
func (b *Budget) Ref() Ref { return BudgetRef(b.Name) }

const grantWeight = 100 // bytes

// Weight is about how many bytes the budget takes in the ledger, rather more than
// less.
func (b *Budget) Weight() int {
	n := 1 << 10
	for _, g := range slices.Concat(b.Grants, b.Tenants) {
		n += grantWeight + len(g.To)
	}
	return n
}

// Clone returns a copy that shares no memory with the original.
func (b *Budget) Clone() *Budget { return copier{}.budget(b) }

func (b *Budget) copied(c copier) Document { return c.budget(b) }

func (c copier) budget(b *Budget) *Budget {
	if b == nil {
		return nil
	}
	n := *b
	grant := func(g pace.Grant) pace.Grant {
		g.Until = c.time(g.Until)
		return g
	}
	n.Grants, n.Tenants = list(c, b.Grants, grant), list(c, b.Tenants, grant)
	n.ResumedAt = c.time(b.ResumedAt)
	n.NotBefore, n.DeniedAt, n.FirstWaitingAt = c.time(b.NotBefore), c.time(b.DeniedAt), c.time(b.FirstWaitingAt)
	return &n
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
