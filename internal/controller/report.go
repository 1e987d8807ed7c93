package controller

import (
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// A Report says what one reconcile did. Counts, for logs and tests.
type Report struct {
	Passes    int  `json:"passes"`
	Resources int  `json:"resources"`
	Learned   int  `json:"learned"` // moves made because of what Vertex AI said
	Timers    int  `json:"timers"`  // records looked at because it was time
	Started   int  `json:"started"` // waiting requests admitted
	Orphans   int  `json:"orphans"` // jobs of ours cancelled because no reservation names them
	Unheld    int  `json:"unheld"`  // live jobs whose requests have lost their holds
	Published int  `json:"outbox"`  // records whose outcomes were sent
	Waiting   int  `json:"waiting"` // requests in the queue at the end
	Pending   int  `json:"pending"` // requests admitted and waiting for a submission slot, at the end
	Skipped   bool `json:"skipped"` // another instance holds the lease
	// Unreadable are documents that were left alone because this release cannot
	// read them.
	Unreadable int `json:"unreadable"`

	unreadable map[ledger.Doc]bool
	pending    map[string]bool // resources with such requests
	calls      map[string]int  // of Vertex AI in the present pass, by region
	more       bool            // the present pass left something to the next
	tasks      *tasks
}

// wait notes that an admitted request may wait for submission slots.
func (r *Report) wait(rec *ledger.Record) {
	if rec.State == lifecycle.Reserved {
		r.pend(rec.Resource)
	}
}

func (r *Report) pend(resource string) {
	if r.pending == nil {
		r.pending = map[string]bool{}
	}
	r.pending[resource] = true
}

func (r *Report) unread(d ledger.Doc) {
	if r.unreadable == nil {
		r.unreadable = map[ledger.Doc]bool{}
	}
	r.unreadable[d] = true
	r.Unreadable = len(r.unreadable)
}

// called notes calls of Vertex AI about something under a region.
func (r *Report) called(parent string, n int) {
	if r.calls == nil {
		r.calls = map[string]int{}
	}
	r.calls[parent] += n
}

// add adds what a part did.
func (r *Report) add(o Report) {
	r.Resources += o.Resources
	r.Learned += o.Learned
	r.Timers += o.Timers
	r.Started += o.Started
	r.Orphans += o.Orphans
	r.Unheld += o.Unheld
	r.Published += o.Published
	r.Waiting += o.Waiting
	r.Pending += o.Pending
	r.more = r.more || o.more
	for d := range o.unreadable {
		r.unread(d)
	}
	for name := range o.pending {
		r.pend(name)
	}
	for parent, n := range o.calls {
		r.called(parent, n)
	}
}
