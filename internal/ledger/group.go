package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"example.com/berth/internal/batch"
)

// ErrRefused means that the ledger would not take the documents of an update
// however often it was asked: they are too large. Nothing was written.
var ErrRefused = errors.New("ledger: refused for what it contains")

// Bounds of a group. A commit has 10 MiB, and what is stored of a request is up
// to twice its size.
const (
	groupUpdates  = 100
	groupBytes    = 4 << 20
	groupWaiting  = 2000
	groupMemory   = 64 << 20
	unknownWeight = 512 << 10 // bytes: a request of the largest size, stored
)

// A Group is a ledger that commits the updates of one process together (group
// commit): updates of one resource, and of requests on it, that arrive while another
// of them is under way go into one commit; so do updates that concern no resource. An
// update that finds none under way starts at once.
//
// The closures of a commit run one after the other, each on what those before it
// have put, so the result is that of one update after the other. None can harm
// another: one that fails, panics or needs an unreadable document is taken out and
// the others run again without it. If the documents of all together are refused, the
// group is split until the update that causes it is alone.
//
// A closure in a group may run after others have put a document that it also
// names. One that changes a [Resource] has to put it.
type Group struct {
	Ledger

	mu     sync.Mutex
	queues map[string]*groupQueue // by resource, "" for none
}

// A groupQueue has the updates of one resource.
type groupQueue struct {
	group *Group
	// withResource has the updates of the resource and of its requests' records.
	// While commits of the resource are lost to other processes, updates of records
	// only go by themselves, in recordOnly: they do not conflict.
	withResource, recordOnly *batch.Queue[*member]
	// conflicted is how many commits have to succeed at once until that is over.
	conflicted atomic.Int32
}

// quietCommits is how many commits in a row have to succeed at once until a resource
// counts as written by this process alone.
const quietCommits = 8

var _ Ledger = (*Group)(nil)

// NewGroup returns a group over a ledger, for the use of one process.
func NewGroup(l Ledger) *Group {
	return &Group{Ledger: l, queues: map[string]*groupQueue{}}
}

// A member is one update of a group.
type member struct {
	reads    ReadSet
	hints    Hints
	closure  func(Tx) error
	err      error
	panicked any
}

// Update implements [Ledger]. It adds to its errors that of a queue that is full,
// which is [ErrBusy].
func (g *Group) Update(ctx context.Context, reads ReadSet, closure func(Tx) error, hints ...Hints) error {
	if err := reads.Check(); err != nil {
		return err // else it would fail all others in its commit
	}
	m := &member{reads: reads, hints: HintsOf(hints), closure: closure}
	resource := m.hints.With
	switch named := reads.Names(KindResource); len(named) {
	case 0:
	case 1:
		resource = named[0]
	default:
		return g.Ledger.Update(ctx, reads, closure, hints...)
	}
	weight := cmp.Or(m.hints.Bytes, unknownWeight)
	err := g.queue(resource).do(ctx, m, weight)
	g.tidy(resource)
	switch {
	case errors.Is(err, batch.ErrFull):
		return fmt.Errorf("%w: %d updates wait for %s", ErrBusy, groupWaiting, cmp.Or(resource, "no resource"))
	case err != nil:
		return fmt.Errorf("ledger: update that waited for others: %w", err)
	case m.panicked != nil:
		panic(m.panicked)
	}
	return m.err
}

func (g *Group) queue(resource string) *groupQueue {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.queues[resource]
	if l == nil {
		limits := batch.Limits{Items: groupUpdates, Bytes: groupBytes, Waiting: groupWaiting, WaitingBytes: groupMemory}
		l = &groupQueue{group: g, withResource: batch.NewQueue[*member](limits), recordOnly: batch.NewQueue[*member](limits)}
		g.queues[resource] = l
	}
	return l
}

// tidy removes an idle queue, so that invented names of resources do not pile up. It
// may remove one that an update is about to use; then two commits run at the same
// time, which is safe.
func (g *Group) tidy(resource string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if l := g.queues[resource]; l != nil && l.conflicted.Load() == 0 && l.withResource.Idle() && l.recordOnly.Idle() {
		delete(g.queues, resource)
	}
}

// do waits until a member has been committed, alone or with others.
func (l *groupQueue) do(ctx context.Context, m *member, weight int) error {
	if l.conflicted.Load() > 0 && len(m.reads.Names(KindResource)) == 0 {
		return l.recordOnly.Do(ctx, m.hints.Tenant, weight, m, func(ctx context.Context, members []*member, more func() []*member) {
			l.group.commit(ctx, members, more)
		})
	}
	return l.withResource.Do(ctx, m.hints.Tenant, weight, m, func(ctx context.Context, members []*member, more func() []*member) {
		lost := false
		l.group.commit(ctx, members, func() []*member {
			lost = true
			return more()
		})
		if lost {
			l.conflicted.Store(quietCommits)
		} else if n := l.conflicted.Load(); n > 0 {
			l.conflicted.Store(n - 1) // no other goroutine stores: one commit runs at a time
		}
	})
}

// errAgain ends a run of which one member is to be left out.
var errAgain = errors.New("run again without the member that failed")

// commit makes one update of many, and sets the error of each member. Members that
// arrive while it loses to other processes join it.
func (g *Group) commit(ctx context.Context, members []*member, more func() []*member) {
	for len(members) > 0 {
		var failed *member
		reads, hints := union(members)
		hints.More = func() ReadSet {
			var all ReadSet
			for _, m := range members {
				if m.hints.More != nil {
					its := m.hints.More()
					m.reads, all = m.reads.And(its), all.And(its)
				}
			}
			late := more()
			members = append(members, late...)
			lateReads, _ := union(late)
			return all.And(lateReads)
		}
		err := g.Ledger.Update(ctx, reads, func(tx Tx) error {
			failed = nil
			var res *Resource
			for _, m := range members {
				put := m.run(passedOn{tx.Docs, res})
				if m.err != nil || m.panicked != nil {
					failed = m
					return errAgain
				}
				if put != nil {
					res = put
				}
			}
			if res != nil {
				tx.Put(res)
			}
			return nil
		}, hints)
		switch {
		case failed != nil && errors.Is(err, errAgain):
			members = slices.DeleteFunc(slices.Clone(members), func(m *member) bool { return m == failed })
			continue
		case err != nil && errors.Is(err, ErrRefused) && len(members) > 1:
			half := len(members) / 2
			none := func() []*member { return nil }
			g.commit(ctx, slices.Clip(members[:half]), none)
			g.commit(ctx, members[half:], none)
		case err != nil:
			for _, m := range members {
				m.err = err
			}
		}
		return
	}
}

// run runs a member's closure. It returns the resource if the member has put it.
func (m *member) run(docs Documents) (put *Resource) {
	m.err, m.panicked = nil, nil
	defer func() {
		p := recover()
		if u, unreadable := p.(*UnreadableError); unreadable {
			m.err = u
			return
		}
		m.panicked = p
	}()
	named, err := m.reads.Refs()
	if err != nil {
		m.err = err
		return nil
	}
	own := &memberDocs{Documents: docs, named: named, own: map[Ref]Document{}}
	if m.err = m.closure(Tx{own}); m.err == nil {
		own.unchanged()
	}
	return own.put
}

// passedOn are the documents of a group's update: the resource is passed on from
// member to member, and put once, because a put copies it.
type passedOn struct {
	Documents
	res *Resource // as the last member put it, nil if none has
}

func (d passedOn) Get(ref Ref) (Document, *UnreadableError) {
	if d.res != nil && ref == d.res.Ref() {
		return d.res, nil
	}
	return d.Documents.Get(ref)
}

// union returns what any member reads, and the hints that fit all of them.
func union(members []*member) (reads ReadSet, hints Hints) {
	if len(members) == 1 {
		return members[0].reads, members[0].hints
	}
	var sets []ReadSet
	for _, m := range members {
		sets = append(sets, m.reads)
		if m.hints.Recent {
			hints.Recent = true
		} else {
			hints.Fresh = append(hints.Fresh, m.reads...)
		}
		hints.Bytes += m.hints.Bytes
	}
	return reads.And(sets...), hints
}

// memberDocs are what one member sees of its group's run: the documents that it
// named, as those before it left them.
type memberDocs struct {
	Documents
	named   []Ref
	own     map[Ref]Document // but for the resource
	res     *Resource        // as the closure got it
	version int64
	put     *Resource
}

func (d *memberDocs) Get(ref Ref) (Document, *UnreadableError) {
	d.check(ref)
	if ref.Kind == KindResource {
		return d.resource(ref)
	}
	if own, ok := d.own[ref]; ok {
		return own, nil
	}
	doc, bad := d.Documents.Get(ref)
	if doc == nil {
		return nil, bad
	}
	d.own[ref] = clone(doc)
	return d.own[ref], nil
}

// resource returns the group's one copy: with a thousand holds it is too large
// to be copied for each of a hundred members. unchanged finds out if it is changed
// and not put.
func (d *memberDocs) resource(ref Ref) (Document, *UnreadableError) {
	if d.put != nil {
		return d.put, nil
	}
	doc, bad := d.Documents.Get(ref)
	if r, _ := doc.(*Resource); r != nil && d.res == nil {
		d.res, d.version = r, r.Version
	}
	return doc, bad
}

func (d *memberDocs) Put(doc Document) *UnreadableError {
	ref := doc.Ref()
	d.check(ref)
	if r, ok := doc.(*Resource); ok {
		d.put = r
		return nil
	}
	bad := d.Documents.Put(doc)
	if bad == nil {
		d.own[ref] = doc
	}
	return bad
}

func (d *memberDocs) check(ref Ref) {
	if !slices.Contains(d.named, ref) {
		panic("ledger: update uses " + ref.String() + ", which it does not name")
	}
}

// unchanged panics if the closure changed the resource and did not put it: what the
// next member decided would rest on a move that is not written. Every such move
// counts up the version.
func (d *memberDocs) unchanged() {
	if d.res != nil && d.put == nil && d.res.Version != d.version {
		panic("ledger: an update in a group changed " + d.res.Name + " and did not put it")
	}
}
