package ledgertest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"example.com/berth/internal/ledger"
)

// A Scanner is a ledger that an operator's tools read as a whole. Every ledger under
// test is one.
type Scanner interface {
	Scan(ctx context.Context, kind ledger.Kind, after string, limit int) ([]ledger.Document, error)
}

// bare returns a document of each kind with one name and nothing else.
func bare(name string) (docs []ledger.Document) {
	for _, kind := range ledger.Kinds() {
		docs = append(docs, ledger.New(ledger.Ref{Kind: kind, Name: name}))
	}
	return docs
}

func testAbsent(t *testing.T, l ledger.Ledger) {
	docs := bare("n")
	same(t, make([]ledger.Document, len(docs)), read(t, l, docs...))
}

// A field that is added to a document and forgotten by a ledger fails here.
func testEveryField(t *testing.T, l ledger.Ledger) {
	docs := Filled()
	write(t, l, docs...)
	same(t, docs, read(t, l, docs...))

	// A document replaces the one before as a whole.
	var bare []ledger.Document
	for _, doc := range docs {
		bare = append(bare, ledger.New(doc.Ref()))
	}
	write(t, l, bare...)
	same(t, bare, read(t, l, bare...))
}

// Documents of different kinds and one name are different documents.
func testKindsApart(t *testing.T, l ledger.Ledger) {
	docs := bare("n")
	for i := range docs {
		write(t, l, docs[i])
		same(t, slices.Concat(docs[:i+1], make([]ledger.Document, len(docs)-i-1)), read(t, l, docs...))
	}
}

// An update that reads a document of any kind is made again when another update has
// written or made it meanwhile, and nothing else of it is kept.
func testKindsAreVerified(t *testing.T, l ledger.Ledger) {
	for _, filled := range Filled() {
		for _, before := range []ledger.Document{nil, ledger.New(filled.Ref())} {
			ref := ledger.ReadSet{filled.Ref()}
			if before != nil {
				write(t, l, before)
			}
			other := &ledger.Lease{Name: "saw/" + string(filled.Ref().Kind)}
			meanwhile := once(func() { write(t, l, filled) })
			update(t, l, named(other).And(ref), func(tx ledger.Tx) error {
				found := ledger.Get[ledger.Document](tx, filled.Ref())
				saw := *other
				if found != nil && ledger.Size(found) == ledger.Size(filled) {
					saw.Holder = "what was written meanwhile"
				}
				tx.Put(&saw)
				meanwhile()
				return nil
			})
			if got := read(t, l, other)[0].(*ledger.Lease); got.Holder == "" {
				t.Errorf("%s: an update was committed that rests on what is no longer there", filled.Ref())
			}
			same(t, []ledger.Document{filled}, read(t, l, filled))
		}
	}
}

func testUnnamed(t *testing.T, l ledger.Ledger) {
	for _, doc := range bare("other") {
		for name, use := range map[string]func(ledger.Tx){
			"read": func(tx ledger.Tx) { get(tx, doc.Ref()) },
			"put":  func(tx ledger.Tx) { tx.Put(doc) },
		} {
			func() {
				defer func() {
					if text, _ := recover().(string); !strings.Contains(text, doc.Ref().String()) || !strings.Contains(text, "does not name") {
						t.Errorf("%s of %s, which the update does not name, panics with %q", name, doc.Ref(), text)
					}
				}()
				err := l.Update(t.Context(), named(bare("n")...), func(tx ledger.Tx) error { use(tx); return nil })
				t.Errorf("%s of %s, which the update does not name: error %v, want a panic", name, doc.Ref(), err)
			}()
		}
	}
	write(t, l, &ledger.Record{Key: "other"}) // and the ledger still works
}

// Every ledger refuses a name that Firestore refuses, with a NameError and before
// anything is done.
func testImpossibleNames(t *testing.T, l ledger.Ledger) {
	for _, name := range []string{"", ".", "..", "__x__", "____", "__é__", "a~b", "a\xffb", "\xff", strings.Repeat("a", ledger.MaxName+1)} {
		for _, kind := range ledger.Kinds() {
			ran := false
			err := l.Update(t.Context(), ledger.ReadSet{{Kind: kind, Name: "n"}, {Kind: kind, Name: name}}, func(ledger.Tx) error { ran = true; return nil })
			if bad := (*ledger.NameError)(nil); !errors.As(err, &bad) || bad.Kind != kind || ran {
				t.Errorf("update of %s %.40q: error %v, closure ran: %v; want a NameError", kind, name, err, ran)
			}
		}
	}
	for _, reads := range []ledger.ReadSet{nil, {{Kind: "others", Name: "n"}}} {
		ran := false
		if err := l.Update(t.Context(), reads, func(ledger.Tx) error { ran = true; return nil }); err == nil || ran {
			t.Errorf("update of %v: error %v, closure ran: %v", reads, err, ran)
		}
	}
}

// A scan returns all documents of one kind, by pages, and reports those that cannot be
// read. Those that it returns are the caller's own.
func testScan(t *testing.T, l ledger.Ledger) {
	names := []string{"d", "a", "c", "e", "b"}
	for _, name := range names {
		write(t, l, bare(name)...)
	}
	for _, doc := range bare("b") {
		l.(Spoiler).Spoil(doc.Ref(), "layout")
	}
	for _, kind := range ledger.Kinds() {
		want := []string{"a", "c", "d", "e"}
		for _, limit := range []int{1, 2, 9} {
			var got []string
			skipped := map[ledger.Ref]bool{}
			for after := ""; ; {
				found, err := l.(Scanner).Scan(t.Context(), kind, after, limit)
				addSkipped(t, skipped, err)
				for _, doc := range found {
					after = doc.Ref().Name
					got = append(got, after)
					same(t, ledger.New(ledger.Ref{Kind: kind, Name: after}), doc)
				}
				if len(found) < limit {
					break
				}
			}
			if !slices.Equal(got, want) || len(skipped) != 1 || !skipped[ledger.Ref{Kind: kind, Name: "b"}] {
				t.Errorf("scan of %s by %d: %q, skipped %v; want %q and one", kind, limit, got, skipped, want)
			}
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.(Scanner).Scan(cancelled, KindToy, "", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}
