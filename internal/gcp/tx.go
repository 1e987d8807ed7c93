package gcp

import (
	"time"

	"example.com/berth/internal/ledger"
)

// documents are those of one run of an update's closure. A snapshot's are used by no
// other run, so the closure gets them as they are.
type documents struct {
	snap snapshot
	own  map[ledger.Ref]ledger.Document // what the closure has put, to go on with
	puts map[ledger.Ref]ledger.Document // the same as it was when it was put, in normal form
}

func newDocuments(snap snapshot) *documents {
	return &documents{snap, map[ledger.Ref]ledger.Document{}, map[ledger.Ref]ledger.Document{}}
}

func (d *documents) Now() time.Time { return d.snap.at }

func (d *documents) Get(ref ledger.Ref) (ledger.Document, *ledger.UnreadableError) {
	v, named := d.snap.docs[ref]
	if !named {
		panic("gcp: update reads " + ref.String() + ", which it does not name")
	}
	if own, ok := d.own[ref]; ok {
		return own, nil
	}
	return v.doc, v.bad
}

func (d *documents) Put(doc ledger.Document) *ledger.UnreadableError {
	ref := doc.Ref()
	v, named := d.snap.docs[ref]
	if !named {
		panic("gcp: update puts " + ref.String() + ", which it does not name")
	}
	if v.bad == nil {
		d.own[ref], d.puts[ref] = doc, ledger.Normal(doc)
	}
	return v.bad
}
