package gcp

import (
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// A tx is one run of an update's closure. The documents of a snapshot are used
// by no other run, so the closure gets them as they are.
type tx struct {
	snap snapshot
	own  map[id]any // what the closure has put, to go on with
	puts map[id]any // the same as it was when it was put, in normal form
}

func newTx(snap snapshot) *tx { return &tx{snap, map[id]any{}, map[id]any{}} }

func (t *tx) Now() time.Time { return t.snap.at }

func (t *tx) Resource(name string) *ledger.Resource {
	return get[ledger.Resource](t, id{Resources, name})
}
func (t *tx) Record(key message.Key) *ledger.Record {
	return get[ledger.Record](t, id{Requests, string(key)})
}
func (t *tx) Lease(name string) *ledger.Lease { return get[ledger.Lease](t, id{Leases, name}) }

func (t *tx) PutResource(r *ledger.Resource) { t.put(id{Resources, r.Name}, r, r.Normal()) }
func (t *tx) PutRecord(r *ledger.Record)     { t.put(id{Requests, string(r.Key)}, r, r.Normal()) }
func (t *tx) PutLease(l *ledger.Lease)       { t.put(id{Leases, l.Name}, l, l.Normal()) }

func (t *tx) Budget(name string) *ledger.Budget { return get[ledger.Budget](t, id{Budgets, name}) }
func (t *tx) PutBudget(b *ledger.Budget)        { t.put(id{Budgets, b.Name}, b, b.Normal()) }

func (t *tx) Unreadable(d ledger.Doc) *ledger.UnreadableError {
	v, named := t.snap.docs[id{string(d.Kind), d.Name}]
	if !named {
		panic("gcp: update reads " + d.String() + ", which it does not name")
	}
	bad, _ := v.doc.(*ledger.UnreadableError)
	return bad
}

func get[T any](t *tx, i id) *T {
	v, named := t.snap.docs[i]
	if !named {
		panic("gcp: update reads " + i.String() + ", which it does not name")
	}
	if own, ok := t.own[i]; ok {
		return own.(*T)
	}
	if bad, unreadable := v.doc.(*ledger.UnreadableError); unreadable {
		panic(bad)
	}
	doc, _ := v.doc.(*T) // nil for an absent document
	return doc
}

func (t *tx) put(i id, doc, normal any) {
	v, named := t.snap.docs[i]
	if !named {
		panic("gcp: update puts " + i.String() + ", which it does not name")
	}
	if bad, unreadable := v.doc.(*ledger.UnreadableError); unreadable {
		panic(bad)
	}
	t.own[i], t.puts[i] = doc, normal
}
