package ledger

import (
	"fmt"
	"slices"
	"strings"

	"example.com/berth/internal/message"
)

// A ReadSet says which documents an update reads. An update may put only what it
// names.
type ReadSet []Ref

// Resources names the documents of resources, by full names:
// projects/P/locations/L/persistentResources/ID.
func Resources(names ...string) ReadSet { return refsOf(KindResource, names) }

// Records names the documents of records.
func Records(keys ...message.Key) ReadSet { return refsOf(KindRecord, keys) }

// Leases names the documents of leases.
func Leases(names ...string) ReadSet { return refsOf(KindLease, names) }

// Budgets names the documents of budgets, by region: projects/P/locations/L.
func Budgets(names ...string) ReadSet { return refsOf(KindBudget, names) }

func refsOf[N ~string](kind Kind, names []N) ReadSet {
	refs := make(ReadSet, len(names))
	for i, name := range names {
		refs[i] = Ref{kind, string(name)}
	}
	return refs
}

// ReadSetOf names documents by their references.
func ReadSetOf[D Document](docs ...D) ReadSet {
	refs := make(ReadSet, len(docs))
	for i, doc := range docs {
		refs[i] = doc.Ref()
	}
	return refs
}

// And returns the documents of all, in memory of its own.
func (s ReadSet) And(more ...ReadSet) ReadSet { return slices.Concat(append([]ReadSet{s}, more...)...) }

// Names returns the names of the documents of a kind, in the order named, as often as
// they are named.
func (s ReadSet) Names(kind Kind) (names []string) {
	for _, ref := range s {
		if ref.Kind == kind {
			names = append(names, ref.Name)
		}
	}
	return names
}

// Check reports the first document named that cannot exist, as a [*NameError], and
// an error if none is named. A name is at most [MaxName] bytes of valid UTF-8. It is
// not empty, not "." or "..", not of the form "__x__", and holds no "~", which stands
// for a slash in stored names. A record's key holds no slash either. These are
// Firestore's rules for document ids. Firestore refuses the whole read that breaks
// one, so a ledger without them would let a name pass in tests that stops a resource
// in production.
func (s ReadSet) Check() error {
	_, err := s.Refs()
	return err
}

// Refs returns the distinct documents named, in the order named and in memory of its
// own, and the error of [ReadSet.Check].
func (s ReadSet) Refs() ([]Ref, error) {
	if len(s) == 0 {
		return nil, fmt.Errorf("ledger: an update has to name documents")
	}
	known := make(map[Ref]bool, len(s))
	all := make([]Ref, 0, len(s))
	for _, ref := range s {
		if why := unfit(ref.Name, ref.Kind != KindRecord); why != "" {
			short := strings.ToValidUTF8(ref.Name[:min(len(ref.Name), 80)], "\ufffd")
			return nil, &NameError{ref.Kind, short, why}
		}
		if New(Ref{Kind: ref.Kind}) == nil {
			return nil, fmt.Errorf("ledger: %q is no kind of document", ref.Kind)
		}
		if !known[ref] {
			known[ref] = true
			all = append(all, ref)
		}
	}
	return all, nil
}
