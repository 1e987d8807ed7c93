package ledger

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// memTries is how often an update of a [Mem] tries before it gives up with
// [ErrBusy].
const memTries = 12

// Mem is a [Ledger] in memory. It is the reference for the contract and enforces it.
// It runs every closure twice, on copies of its own, and keeps the second run;
// it copies whatever goes in or comes out and brings it into normal form; it
// takes no lock while a closure runs, so updates interleave as they would
// between processes. It never sleeps.
//
// The hooks are set before the Mem is used.
type Mem struct {
	// Fault, if set, is asked before every operation what goes wrong with it. A
	// fault that the operation cannot have does nothing.
	Fault func(op string) Fault
	// Between, if set, runs after a closure has put something and before the
	// commit, so that a test can make another update in between. It is not called for
	// updates that are made while it runs.
	Between func()
	// Saw, if set, is called with every document that an update reads, as [Mem.Each]
	// calls show. It must not call the Mem.
	Saw func(ref Ref, doc Document, writes int)
	// Wrote, if set, is called with every document that a commit writes: as it was
	// (nil if it was not there) and as it becomes. It must not call the Mem.
	Wrote func(ref Ref, before, after Document)
	// AfterLost, if set, runs after a commit whose answer is lost and before the
	// read that finds out whether it landed.
	AfterLost func()

	now     func() time.Time
	between atomic.Bool

	mu    sync.Mutex
	slots map[Ref]slot // none is ever taken out
	refs  []Ref        // of slots, as sorted and as many as when they were last asked for
	count int64        // commits so far
	stats Stats
}

// A slot holds one document in normal form that is never changed in place.
type slot struct {
	doc    Document
	bad    *UnreadableError // why it cannot be read, nil if it can
	commit int64            // number of the commit that wrote it, 0 for an absent document
	writes int              // commits that wrote it so far
}

// NewMem returns an empty ledger. now is its clock, nil for the system's.
func NewMem(now func() time.Time) *Mem {
	if now == nil {
		now = time.Now
	}
	return &Mem{now: now, slots: map[Ref]slot{}}
}

// Update implements [Ledger].
func (m *Mem) Update(ctx context.Context, reads ReadSet, closure func(Tx) error, hints ...Hints) error {
	more := HintsOf(hints).More
	refs, err := reads.sorted()
	if err != nil {
		return err
	}
	lost := false
	for try := range memTries {
		if try > 0 && more != nil {
			reads = reads.And(more())
			if refs, err = reads.sorted(); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("ledger: update of %s: %w", refs[0], err)
		}
		now, read, err := m.read(refs)
		if err != nil {
			return fmt.Errorf("ledger: read of %s: %w", refs[0], err)
		}
		_ = RunClosure(closure, newMemDocs(now, read)) // a closure may run again
		docs := newMemDocs(now, read)
		if err := RunClosure(closure, docs); err != nil {
			return err
		}
		if len(docs.puts) == 0 {
			return nil
		}
		if err := tooLarge(docs.puts); err != nil {
			return err
		}
		m.callBetween()
		fault := m.fault(OpCommit)
		if fault == FailCommit {
			return fmt.Errorf("ledger: commit of %s: %w", refs[0], ErrInjected)
		}
		number, ok := m.commit(read, docs.puts, fault == Stale)
		if !ok {
			runtime.Gosched()
			continue
		}
		if fault != LoseAnswer && fault != LoseAnswerAndCheck {
			return nil
		}
		if m.AfterLost != nil {
			m.AfterLost()
		}
		if fault == LoseAnswerAndCheck {
			return fmt.Errorf("ledger: whether the commit of %s landed is not known: %w", refs[0], ErrInjected)
		}
		if m.landed(number, docs.puts) {
			return nil
		}
		lost = true
	}
	if lost {
		return fmt.Errorf("ledger: whether a commit of %s landed is not known, and later ones found it changed", refs[0])
	}
	return ErrBusy
}

// tooLarge refuses documents and commits beyond Firestore's limits. It measures only
// documents whose weight is not small.
func tooLarge(puts map[Ref]Document) error {
	const small = 128 << 10
	all := 0
	for ref, doc := range puts {
		n := Weight(doc)
		if n > small {
			if n = Size(doc); n > MaxDocument {
				return fmt.Errorf("%w: document %s has %d bytes", ErrRefused, ref, n)
			}
		}
		all += n
	}
	if all > MaxCommit {
		return fmt.Errorf("%w: a commit of %d bytes", ErrRefused, all)
	}
	return nil
}

func (m *Mem) read(refs []Ref) (time.Time, map[Ref]slot, error) {
	if m.fault(OpRead) == FailRead {
		return time.Time{}, nil, ErrInjected
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Reads++
	m.stats.DocsRead += len(refs)
	read := make(map[Ref]slot, len(refs))
	for _, ref := range refs {
		read[ref] = m.slots[ref]
		if m.Saw != nil {
			m.Saw(ref, m.slots[ref].doc, m.slots[ref].writes)
		}
	}
	return m.now().UTC().Truncate(time.Microsecond), read, nil
}

// commit writes the puts if nothing read has changed, and returns the commit's
// number.
func (m *Mem) commit(read map[Ref]slot, puts map[Ref]Document, stale bool) (int64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Commits++
	for ref, s := range read {
		stale = stale || m.slots[ref].commit != s.commit
	}
	if stale {
		m.stats.Stale++
		return 0, false
	}
	m.count++
	for ref, doc := range puts {
		if m.Wrote != nil {
			m.Wrote(ref, m.slots[ref].doc, doc)
		}
		m.slots[ref] = slot{doc: doc, commit: m.count, writes: m.slots[ref].writes + 1}
	}
	m.stats.DocsWritten += len(puts)
	return m.count, true
}

func (m *Mem) landed(number int64, puts map[Ref]Document) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for ref := range puts {
		if m.slots[ref].commit == number {
			return true
		}
	}
	return false
}

// sorted returns the distinct documents named in order, and the error of
// [ReadSet.Check].
func (s ReadSet) sorted() ([]Ref, error) {
	refs, err := s.Refs()
	slices.SortFunc(refs, compareRefs)
	return refs, err
}

// memDocs are the documents of one run of a closure.
type memDocs struct {
	now  time.Time
	read map[Ref]slot
	own  map[Ref]Document // what the closure was given, or has put
	puts map[Ref]Document // as it was when it was put
}

func newMemDocs(now time.Time, read map[Ref]slot) *memDocs {
	return &memDocs{now: now, read: read, own: map[Ref]Document{}, puts: map[Ref]Document{}}
}

func (d *memDocs) Now() time.Time { return d.now }

func (d *memDocs) Get(ref Ref) (Document, *UnreadableError) {
	s, named := d.read[ref]
	if !named {
		panic("ledger: update reads " + ref.String() + ", which it does not name")
	}
	own, given := d.own[ref]
	if s.bad != nil || given || s.doc == nil {
		return own, s.bad
	}
	d.own[ref] = clone(s.doc)
	return d.own[ref], nil
}

func (d *memDocs) Put(doc Document) *UnreadableError {
	ref := doc.Ref()
	s, named := d.read[ref]
	if !named {
		panic("ledger: update puts " + ref.String() + ", which it does not name")
	}
	if s.bad == nil {
		d.own[ref], d.puts[ref] = doc, Normal(doc)
	}
	return s.bad
}
