package ledger

import (
	"time"

	"example.com/berth/internal/message"
)

// Documents are what a ledger implements of a transaction: the documents that one
// run of an update's closure reads and puts.
type Documents interface {
	// Now is described at [Tx.Now].
	Now() time.Time
	// Get returns a document as it was read, or as the run has put it: nil when there
	// is none, an error when it cannot be read. The document is the run's own; a
	// second call returns the same one. Get panics for a document that the update does
	// not name.
	Get(Ref) (Document, *UnreadableError)
	// Put has a document written as it is now. It returns an error, and writes
	// nothing, when the stored one cannot be read. It panics for a document that the
	// update does not name.
	Put(Document) *UnreadableError
}

// A Tx is one run of an update's closure. The documents it returns are the
// closure's own to change; a change counts once it is put.
//
// The functions for one kind of document, and [Get] for any, return nil when there is
// none. They and Put panic for a document that the update does not name. For one that
// cannot be read they end the run, and [RunClosure] returns why.
type Tx struct{ Docs Documents }

// Now is when the documents were read, by the ledger's one clock. Instances'
// own clocks disagree; whatever is compared across instances uses this one.
func (t Tx) Now() time.Time { return t.Docs.Now() }

// Unreadable returns why a document that the update names cannot be read, nil if
// it can or is absent.
func (t Tx) Unreadable(ref Ref) *UnreadableError {
	_, bad := t.Docs.Get(ref)
	return bad
}

func (t Tx) Resource(name string) *Resource { return Get[*Resource](t, ResourceRef(name)) }
func (t Tx) Record(key message.Key) *Record { return Get[*Record](t, RecordRef(key)) }
func (t Tx) Lease(name string) *Lease       { return Get[*Lease](t, LeaseRef(name)) }
func (t Tx) Budget(name string) *Budget     { return Get[*Budget](t, BudgetRef(name)) }

// Get returns a document of any kind, as the functions of a Tx for one kind do.
func Get[D Document](t Tx, ref Ref) (doc D) {
	found, bad := t.Docs.Get(ref)
	if bad != nil {
		panic(bad)
	}
	if found != nil {
		doc = found.(D)
	}
	return doc
}

// Put has a document written as it is now: a resource with as many heads of its queue
// as it has room for.
func (t Tx) Put(doc Document) {
	if r, is := doc.(*Resource); is {
		r.Trim()
	}
	// A document that the closure has made anew takes the place of one that a newer
	// release has written into: without this its fields are lost.
	if v := doc.versioned(); v.Newer == nil {
		if stored, _ := t.Docs.Get(doc.Ref()); stored != nil {
			v.Newer = stored.versioned().Newer
		}
	}
	if bad := t.Docs.Put(doc); bad != nil {
		panic(bad)
	}
}

// RunClosure runs the closure of an update. It returns the closure's error, or the
// [UnreadableError] of a document that the closure used and that cannot be read.
func RunClosure(closure func(Tx) error, docs Documents) (err error) {
	defer func() {
		if p := recover(); p != nil {
			u, unreadable := p.(*UnreadableError)
			if !unreadable {
				panic(p)
			}
			err = u
		}
	}()
	return closure(Tx{docs})
}
