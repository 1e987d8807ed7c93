package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
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
	// LoseAnswer: the commit lands, its answer is lost. Update looks again and
	// returns nil if it finds its own writes.
	LoseAnswer
	// LoseAnswerAndCheck: the commit lands, its answer is lost, and the look
	// fails too. Update returns an error although everything was written.
	LoseAnswerAndCheck
	// Stale: somebody else was first. The closure runs again.
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

// Mem is a [Ledger] in memory: the reference for the contract, and its police.
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
	// commit, so that a test can let another update through in between. It is
	// not called for updates that are made while it runs.
	Between func()
	// Saw, if set, hears of every document that an update reads, as [Mem.Each]
	// shows it. It must not call the Mem.
	Saw func(path string, doc any, writes int)
	// Wrote, if set, hears of every document that a commit writes: what it was
	// (nil if it was not there) and what it becomes. It must not call the Mem.
	Wrote func(path string, before, after any)
	// AfterLost, if set, runs after a commit whose answer is lost and before the
	// look whether it landed.
	AfterLost func()

	now     func() time.Time
	between atomic.Bool

	mu    sync.Mutex
	slots map[string]slot // by path; none is ever taken out
	paths []string        // of slots, as sorted and as many as when they were last asked for
	count int64           // commits so far
	stats Stats
}

// Stats counts what a [Mem] was asked to do. A stale commit counts as a commit.
type Stats struct {
	Reads, DocsRead      int // reads of updates, and the documents named in them
	Commits, DocsWritten int // commits tried, and the documents written by those that landed
	Stale                int // commits that found a document changed
	Queries              int
}

// A slot holds one document: a *Resource, *Record, *Lease or *Budget in normal form that
// is never changed in place.
type slot struct {
	doc    any
	bad    *UnreadableError // why it cannot be read, nil if it can
	commit int64            // number of the commit that wrote it, 0 for an absent document
	writes int              // commits that wrote it so far
}

// NewMem returns an empty ledger. now is its clock, nil for the system's.
func NewMem(now func() time.Time) *Mem {
	if now == nil {
		now = time.Now
	}
	return &Mem{now: now, slots: map[string]slot{}}
}

// Update implements [Ledger].
func (m *Mem) Update(ctx context.Context, names ReadSet, closure func(Tx) error) error {
	paths, err := names.paths()
	if err != nil {
		return err
	}
	lost := false
	for try := range memTries {
		if try > 0 && names.More != nil {
			names = names.And(names.More())
			if paths, err = names.paths(); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("ledger: update of %s: %w", paths[0], err)
		}
		now, read, err := m.read(paths)
		if err != nil {
			return fmt.Errorf("ledger: read of %s: %w", paths[0], err)
		}
		_ = RunClosure(closure, newMemTx(now, read)) // a closure may run again
		tx := newMemTx(now, read)
		if err := RunClosure(closure, tx); err != nil {
			return err
		}
		if len(tx.puts) == 0 {
			return nil
		}
		if err := tooLarge(tx.puts); err != nil {
			return err
		}
		m.callBetween()
		fault := m.fault(OpCommit)
		if fault == FailCommit {
			return fmt.Errorf("ledger: commit of %s: %w", paths[0], ErrInjected)
		}
		number, ok := m.commit(read, tx.puts, fault == Stale)
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
			return fmt.Errorf("ledger: whether the commit of %s landed is not known: %w", paths[0], ErrInjected)
		}
		if m.landed(number, tx.puts) {
			return nil
		}
		lost = true
	}
	if lost {
		return fmt.Errorf("ledger: whether a commit of %s landed is not known, and later ones found it changed", paths[0])
	}
	return ErrBusy
}

// tooLarge refuses documents and commits beyond Firestore's limits. What is small
// for sure is not measured.
func tooLarge(puts map[string]any) error {
	const small = 128 << 10
	all := 0
	for path, doc := range puts {
		n := 0
		switch doc := doc.(type) {
		case *Record:
			n = doc.Weight()
		case *Resource:
			n = doc.Weight()
		}
		if n > small {
			if n = Size(doc); n > MaxDocument {
				return fmt.Errorf("%w: document %s has %d bytes", ErrRefused, path, n)
			}
		}
		all += n
	}
	if all > MaxCommit {
		return fmt.Errorf("%w: a commit of %d bytes", ErrRefused, all)
	}
	return nil
}

func (m *Mem) read(paths []string) (time.Time, map[string]slot, error) {
	if m.fault(OpRead) == FailRead {
		return time.Time{}, nil, ErrInjected
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Reads++
	m.stats.DocsRead += len(paths)
	read := make(map[string]slot, len(paths))
	for _, p := range paths {
		read[p] = m.slots[p]
		if m.Saw != nil {
			m.Saw(p, m.slots[p].doc, m.slots[p].writes)
		}
	}
	return m.now().UTC().Truncate(time.Microsecond), read, nil
}

// commit writes the puts if nothing read has changed, and returns the commit's
// number.
func (m *Mem) commit(read map[string]slot, puts map[string]any, stale bool) (int64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stats.Commits++
	for path, s := range read {
		stale = stale || m.slots[path].commit != s.commit
	}
	if stale {
		m.stats.Stale++
		return 0, false
	}
	m.count++
	for path, doc := range puts {
		if m.Wrote != nil {
			m.Wrote(path, m.slots[path].doc, doc)
		}
		m.slots[path] = slot{doc: doc, commit: m.count, writes: m.slots[path].writes + 1}
	}
	m.stats.DocsWritten += len(puts)
	return m.count, true
}

func (m *Mem) landed(number int64, puts map[string]any) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for path := range puts {
		if m.slots[path].commit == number {
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

// Line implements [Ledger].
func (m *Mem) Queue(ctx context.Context, resource, shape, after string, limit int) ([]Head, error) {
	records, _, err := m.query(ctx, "line", limit, func(r *Record) bool {
		return r.Resource == resource && slices.Contains(r.Indexed(), shape) && r.Order > after
	}, byOrder, false)
	var heads []Head
	for _, r := range records {
		heads = append(heads, r.HeadIn(shape))
	}
	return heads, err
}

// Due implements [Ledger].
func (m *Mem) Due(ctx context.Context, states []lifecycle.State, now time.Time, after Timed, limit int) ([]Timed, error) {
	return m.timed(ctx, "due", after, limit, func(r *Record) (time.Time, bool) {
		return r.TimerAt, slices.Contains(states, r.State) && !r.TimerAt.IsZero() && !r.TimerAt.After(now)
	})
}

// Unsent implements [Ledger].
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
	if err := m.startQuery(ctx, "resources"); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*Resource
	var skipped []*UnreadableError
	for _, path := range m.sorted() {
		s := m.slots[path]
		r, ok := s.doc.(*Resource)
		switch {
		case !ok || r.Name <= after || len(all) >= limit:
		case s.bad != nil:
			skipped = append(skipped, s.bad)
		default:
			all = append(all, r.Clone())
		}
	}
	return all, SkippedOf(skipped)
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
		if bad := m.slots[recordPath(r.Key)].bad; whole && bad != nil {
			skipped = append(skipped, bad)
			continue
		}
		found = append(found, r)
	}
	return found, skipped, nil
}

// Spoil makes a document one that cannot be read, as damage or a newer release
// does. Indexes go on showing it as it was. [Mem.Heal] is the inverse.
func (m *Mem) Spoil(d Doc, why string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	path := pathOf(d)
	s := m.slots[path]
	if s.doc == nil {
		panic("ledger: there is no document " + d.String() + " to spoil")
	}
	s.bad = &UnreadableError{Doc: d, Why: why}
	if r, ok := s.doc.(*Record); ok {
		s.bad.Resource = r.Resource
	}
	m.count++
	s.commit = m.count
	m.slots[path] = s
}

// Heal makes a spoiled document readable again, as it was.
func (m *Mem) Heal(d Doc) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.slots[pathOf(d)]
	m.count++
	s.bad, s.commit = nil, m.count
	m.slots[pathOf(d)] = s
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

// A Dump is everything in a [Mem], each list in order of names or keys.
type Dump struct {
	Resources []*Resource
	Records   []*Record
	Leases    []*Lease
	Budgets   []*Budget
}

// Dump returns copies of all documents as of one moment.
func (m *Mem) Dump() Dump {
	m.mu.Lock()
	defer m.mu.Unlock()
	var d Dump
	for _, path := range m.sorted() {
		switch doc := m.slots[path].doc.(type) {
		case *Resource:
			d.Resources = append(d.Resources, doc.Clone())
		case *Record:
			d.Records = append(d.Records, doc.Clone())
		case *Lease:
			d.Leases = append(d.Leases, doc.Clone())
		case *Budget:
			d.Budgets = append(d.Budgets, doc.Clone())
		}
	}
	return d
}

// Each shows every document as it is stored, in order of paths, and how often it
// has been written. The documents are shared: they must not be changed, and
// never change; the same pointer is the same content.
func (m *Mem) Each(show func(path string, doc any, writes int)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, path := range m.sorted() {
		show(path, m.slots[path].doc, m.slots[path].writes)
	}
}

// sorted returns the paths of all slots in order. A simulated day asks for them
// thousands of times between two new documents. m.mu must be held.
func (m *Mem) sorted() []string {
	if len(m.paths) != len(m.slots) {
		m.paths = slices.Sorted(maps.Keys(m.slots))
	}
	return m.paths
}

// Records returns copies of all records, in order of their keys.
func (m *Mem) Records() []*Record { return m.Dump().Records }

// Stats returns the counters.
func (m *Mem) Stats() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

// paths returns the distinct documents named, and the error of [Names.Check].
func (n ReadSet) paths() ([]string, error) {
	if err := n.Check(); err != nil {
		return nil, err
	}
	var paths []string
	for _, name := range n.Resources {
		paths = append(paths, resourcePath(name))
	}
	for _, key := range n.Records {
		paths = append(paths, recordPath(key))
	}
	for _, name := range n.Leases {
		paths = append(paths, leasePath(name))
	}
	for _, name := range n.Budgets {
		paths = append(paths, budgetPath(name))
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

func resourcePath(name string) string   { return "resources/" + name }
func recordPath(key message.Key) string { return "records/" + string(key) }
func leasePath(name string) string      { return "leases/" + name }
func budgetPath(name string) string     { return "budgets/" + name }

// A memTx is one run of a closure.
type memTx struct {
	now  time.Time
	read map[string]slot
	own  map[string]any // what the closure was given, or has put
	puts map[string]any // as it was when it was put
}

func newMemTx(now time.Time, read map[string]slot) *memTx {
	return &memTx{now: now, read: read, own: map[string]any{}, puts: map[string]any{}}
}

func (t *memTx) Now() time.Time { return t.now }

func (t *memTx) Resource(name string) *Resource {
	return memGet(t, resourcePath(name), (*Resource).Clone)
}
func (t *memTx) Record(key message.Key) *Record { return memGet(t, recordPath(key), (*Record).Clone) }
func (t *memTx) Lease(name string) *Lease       { return memGet(t, leasePath(name), (*Lease).Clone) }
func (t *memTx) PutResource(r *Resource)        { t.put(resourcePath(r.Name), r, r.Normal()) }
func (t *memTx) PutRecord(r *Record)            { t.put(recordPath(r.Key), r, r.Normal()) }
func (t *memTx) PutLease(l *Lease)              { t.put(leasePath(l.Name), l, l.Normal()) }
func (t *memTx) Budget(name string) *Budget     { return memGet(t, budgetPath(name), (*Budget).Clone) }
func (t *memTx) PutBudget(b *Budget)            { t.put(budgetPath(b.Name), b, b.Normal()) }

func (t *memTx) Unreadable(d Doc) *UnreadableError {
	s, named := t.read[pathOf(d)]
	if !named {
		panic("ledger: update reads " + d.String() + ", which it does not name")
	}
	return s.bad
}

func pathOf(d Doc) string {
	switch d.Kind {
	case KindResource:
		return resourcePath(d.Name)
	case KindRecord:
		return recordPath(message.Key(d.Name))
	case KindLease:
		return leasePath(d.Name)
	}
	return budgetPath(d.Name)
}

func memGet[T any](t *memTx, path string, clone func(*T) *T) *T {
	s, named := t.read[path]
	if !named {
		panic("ledger: update reads " + path + ", which it does not name")
	}
	if s.bad != nil {
		panic(s.bad)
	}
	if own, ok := t.own[path]; ok {
		return own.(*T)
	}
	if s.doc == nil {
		return nil
	}
	own := clone(s.doc.(*T))
	t.own[path] = own
	return own
}

func (t *memTx) put(path string, doc, normal any) {
	s, named := t.read[path]
	if !named {
		panic("ledger: update puts " + path + ", which it does not name")
	}
	if s.bad != nil {
		panic(s.bad)
	}
	t.own[path], t.puts[path] = doc, normal
}
