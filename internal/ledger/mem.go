package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/lifecycle"
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

// Stats counts what a [Mem] was asked to do. A stale commit counts as a commit.
type Stats struct {
	Reads, DocsRead      int // reads of updates, and the documents named in them
	Commits, DocsWritten int // commits tried, and the documents written by those that landed
	Stale                int // commits that found a document changed
	Queries              int
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

// Queue implements [Ledger].
func (m *Mem) Queue(ctx context.Context, resource, queue, after string, limit int) ([]admission.Head, error) {
	records, _, err := m.query(ctx, "queue", limit, func(r *Record) bool {
		return r.Resource == resource && slices.Contains(r.Indexed(), queue) && r.Order > after
	}, byOrder, false)
	var heads []admission.Head
	for _, r := range records {
		heads = append(heads, r.Head())
	}
	return heads, err
}

// Due implements [Ledger].
func (m *Mem) Due(ctx context.Context, states []lifecycle.State, now time.Time, after Timed, limit int) ([]Timed, error) {
	return m.timed(ctx, "due", after, limit, func(r *Record) (time.Time, bool) {
		return r.TimerAt, slices.Contains(states, r.State) && !r.TimerAt.IsZero() && !r.TimerAt.After(now)
	})
}

// Unpublished implements [Ledger].
func (m *Mem) Unpublished(ctx context.Context, after Timed, limit int) ([]Timed, error) {
	return m.timed(ctx, "unpublished", after, limit, func(r *Record) (time.Time, bool) {
		if unpublished := r.Unpublished(); len(unpublished) > 0 {
			return unpublished[0].Time, true
		}
		return time.Time{}, false
	})
}

// timed is a query for records that go by the time that when returns; its second
// value says whether the record is among them.
func (m *Mem) timed(ctx context.Context, name string, after Timed, limit int, when func(*Record) (time.Time, bool)) ([]Timed, error) {
	place := func(r *Record) Timed {
		at, _ := when(r)
		return Timed{at, r.Key}
	}
	records, _, err := m.query(ctx, name, limit, func(r *Record) bool {
		_, is := when(r)
		return is && (after == (Timed{}) || place(r).Compare(after) > 0)
	}, func(a, b *Record) int { return place(a).Compare(place(b)) }, false)
	var places []Timed
	for _, r := range records {
		places = append(places, place(r))
	}
	return places, err
}

// InState implements [Ledger].
func (m *Mem) InState(ctx context.Context, resource string, state lifecycle.State, after string, limit int) ([]*Record, error) {
	records, skipped, err := m.query(ctx, "state", limit, func(r *Record) bool {
		return r.Resource == resource && r.State == state && state != lifecycle.None && (after == "" || r.Order > after)
	}, byOrder, true)
	for i, r := range records {
		records[i] = r.Clone()
	}
	return records, cmp.Or(err, SkippedOf(skipped))
}

// Resources implements [Ledger].
func (m *Mem) Resources(ctx context.Context, after string, limit int) ([]*Resource, error) {
	docs, err := m.scan(ctx, "resources", KindResource, after, limit)
	return Of[*Resource](docs), err
}

// query returns the first records, by order and then by key, not copied. With
// whole, those that cannot be read are left out and returned apart; a query for
// what the indexes hold shows them like any others.
func (m *Mem) query(ctx context.Context, name string, limit int, want func(*Record) bool, order func(a, b *Record) int, whole bool) ([]*Record, []*UnreadableError, error) {
	if err := m.startQuery(ctx, name); err != nil {
		return nil, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var all, found []*Record
	for _, s := range m.slots {
		if r, ok := s.doc.(*Record); ok && want(r) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *Record) int { return cmp.Or(order(a, b), cmp.Compare(a.Key, b.Key)) })
	var skipped []*UnreadableError
	for _, r := range all {
		if len(found) >= limit {
			break
		}
		if bad := m.slots[r.Ref()].bad; whole && bad != nil {
			skipped = append(skipped, bad)
			continue
		}
		found = append(found, r)
	}
	return found, skipped, nil
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

func (m *Mem) startQuery(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("ledger: query %s: %w", name, err)
	}
	if m.fault(OpQuery) == FailRead {
		return fmt.Errorf("ledger: query %s: %w", name, ErrInjected)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Queries++
	return nil
}

func byOrder(a, b *Record) int { return cmp.Compare(a.Order, b.Order) }

// A Dump is everything in a [Mem], in order of kinds and names.
type Dump []Document

func (d Dump) Resources() []*Resource { return Of[*Resource](d) }
func (d Dump) Records() []*Record     { return Of[*Record](d) }

// Dump returns copies of all documents as of one moment.
func (m *Mem) Dump() (d Dump) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ref := range m.sorted() {
		d = append(d, clone(m.slots[ref].doc))
	}
	return d
}

// Each shows every document as it is stored, in order of kinds and names, and how
// often it has been written. The documents are shared: they must not be changed, and
// never change; the same pointer is the same content.
func (m *Mem) Each(show func(ref Ref, doc Document, writes int)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ref := range m.sorted() {
		show(ref, m.slots[ref].doc, m.slots[ref].writes)
	}
}

// sorted returns the references of all slots in order. A simulated day asks for them
// thousands of times between two new documents. m.mu must be held.
func (m *Mem) sorted() []Ref {
	if len(m.refs) != len(m.slots) {
		m.refs = slices.SortedFunc(maps.Keys(m.slots), compareRefs)
	}
	return m.refs
}

func compareRefs(a, b Ref) int {
	return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Name, b.Name))
}

// Records returns copies of all records, in order of their keys.
func (m *Mem) Records() []*Record { return m.Dump().Records() }

// Stats returns the counters.
func (m *Mem) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
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
