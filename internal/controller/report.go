package controller

import (
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// A Report says what one reconcile did. Counts, for logs and tests.
type Report struct {
	Passes    int  `json:"passes"`
	Resources int  `json:"resources"`
	Learned   int  `json:"learned"`   // moves made because of an observation
	Timers    int  `json:"timers"`    // records whose timers ran
	Started   int  `json:"started"`   // waiting requests admitted
	Orphans   int  `json:"orphans"`   // jobs of ours cancelled because no reservation names them
	Unheld    int  `json:"unheld"`    // live jobs whose requests have lost their holds
	Published int  `json:"published"` // records whose events were published late
	Waiting   int  `json:"waiting"`   // requests in the queue at the end
	Pending   int  `json:"pending"`   // requests admitted and waiting for a submission slot, at the end
	Skipped   bool `json:"skipped"`   // another instance holds the lease
	// Unreadable are documents that were left alone because this release cannot
	// read them.
	Unreadable int `json:"unreadable"`
}

// progress is the working state of one part of a pass, and what it counts.
type progress struct {
	Report
	unreadable map[ledger.Ref]bool
	pending    map[string]bool // resources on which admitted requests wait for submission slots
	calls      map[string]int  // of Vertex AI in the present pass, by region
	more       bool            // the present pass left something to the next
	tasks      *tasks          // where it starts further parts
}

// wait records that an admitted request may wait for submission slots.
func (p *progress) wait(rec *ledger.Record) {
	if rec.State == lifecycle.Reserved {
		p.pend(rec.Resource)
	}
}

func (p *progress) pend(resource string) {
	if p.pending == nil {
		p.pending = map[string]bool{}
	}
	p.pending[resource] = true
}

func (p *progress) unread(d ledger.Ref) {
	if p.unreadable == nil {
		p.unreadable = map[ledger.Ref]bool{}
	}
	p.unreadable[d] = true
	p.Unreadable = len(p.unreadable)
}

// called counts calls of Vertex AI about something under a region.
func (p *progress) called(parent string, n int) {
	if p.calls == nil {
		p.calls = map[string]int{}
	}
	p.calls[parent] += n
}

// add adds what a part did.
func (p *progress) add(o progress) {
	p.Resources += o.Resources
	p.Learned += o.Learned
	p.Timers += o.Timers
	p.Started += o.Started
	p.Orphans += o.Orphans
	p.Unheld += o.Unheld
	p.Published += o.Published
	p.Waiting += o.Waiting
	p.Pending += o.Pending
	p.more = p.more || o.more
	for d := range o.unreadable {
		p.unread(d)
	}
	for name := range o.pending {
		p.pend(name)
	}
	for parent, n := range o.calls {
		p.called(parent, n)
	}
}
