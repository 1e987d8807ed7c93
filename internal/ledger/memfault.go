package ledger

import (
	"errors"
)

// A Fault is something that goes wrong in a [Mem].
type Fault int

const (
	// None: nothing goes wrong.
	None Fault = iota
	// FailRead: the read, or query, fails. Nothing is done and the call returns
	// an error.
	FailRead
	// FailCommit: the commit is refused. Nothing is done and Update returns an
	// error.
	FailCommit
	// LoseAnswer: the commit lands, its answer is lost. Update reads again and
	// returns nil if it finds its own writes.
	LoseAnswer
	// LoseAnswerAndCheck: the commit lands, its answer is lost, and the read that
	// follows fails too. Update returns an error although everything was written.
	LoseAnswerAndCheck
	// Stale: another update was first. The closure runs again.
	Stale
)

// The operations that a [Mem] asks its fault hook about.
const (
	OpRead   = "read"   // the read of an update: None or FailRead
	OpCommit = "commit" // its commit: anything but FailRead
	OpQuery  = "query"  // None or FailRead
)

// ErrInjected is in every error that a [Fault] causes.
var ErrInjected = errors.New("injected fault")

// Stats counts what a [Mem] was asked to do. A stale commit counts as a commit.
type Stats struct {
	Reads, DocsRead      int // reads of updates, and the documents named in them
	Commits, DocsWritten int // commits tried, and the documents written by those that landed
	Stale                int // commits that found a document changed
	Queries              int
}

// Stats returns the counters.
func (m *Mem) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

func (m *Mem) fault(op string) Fault {
	if m.Fault == nil {
		return None
	}
	return m.Fault(op)
}

func (m *Mem) callBetween() {
	if m.Between != nil && m.between.CompareAndSwap(false, true) {
		defer m.between.Store(false)
		m.Between()
	}
}

// Spoil makes a document one that cannot be read, as damage or a newer release
// does. Indexes go on showing it as it was. [Mem.Heal] is the inverse.
func (m *Mem) Spoil(ref Ref, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.slots[ref]
	if s.doc == nil {
		panic("ledger: there is no document " + ref.String() + " to spoil")
	}
	s.bad = &UnreadableError{Ref: ref, Why: why}
	if r, ok := s.doc.(*Record); ok {
		s.bad.Resource = r.Resource
	}
	m.count++
	s.commit = m.count
	m.slots[ref] = s
}

// Heal makes a spoiled document readable again, as it was.
func (m *Mem) Heal(ref Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.slots[ref]
	m.count++
	s.bad, s.commit = nil, m.count
	m.slots[ref] = s
}
