package ledger

import (
	"slices"

	"example.com/berth/internal/message"
)

// A Kind is a kind of document, and the name of the collection that has them.
type Kind string

// kinds is the table of the kinds of documents. A new kind is a line here and a type
// ([Document]) in a file of its own. Everything that treats all kinds alike follows from
// the table; deploy.sh has to name the collection, and its test says so.
var kinds = []entry{
	{KindResource, func(name string) Document { return &Resource{Name: name} }},
	{KindRecord, func(name string) Document { return &Record{Key: message.Key(name)} }},
	{KindLease, func(name string) Document { return &Lease{Name: name} }},
	{KindBudget, func(name string) Document { return &Budget{Name: name} }},
	{KindHistory, func(name string) Document { return &History{Tenant: name} }},
	{KindConcurrency, func(name string) Document { return &Concurrency{Name: name} }},
	{KindUsage, func(name string) Document { return &Usage{Resource: name} }},
	{KindPolicy, func(name string) Document { return &Policy{Name: name} }},
	{KindPause, func(name string) Document { return &Pauses{Name: name} }},
}

// An entry is a kind and the constructor of a document that has nothing but its name.
type entry struct {
	kind Kind
	bare func(name string) Document
}

// AddKind adds a kind to the table. It is for tests of what holds for every kind, and
// is called before anything else, from an init function.
func AddKind(kind Kind, bare func(name string) Document) { kinds = append(kinds, entry{kind, bare}) }

// Kinds returns all kinds of documents.
func Kinds() []Kind {
	var all []Kind
	for _, e := range kinds {
		all = append(all, e.kind)
	}
	return all
}

// New returns a document that has nothing but its name, nil if there is no such kind.
func New(ref Ref) Document {
	i := slices.IndexFunc(kinds, func(e entry) bool { return e.kind == ref.Kind })
	if i < 0 {
		return nil
	}
	return kinds[i].bare(ref.Name)
}

// A Ref names one document: its kind, and the name or key by which a ledger
// knows it.
type Ref struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
}

func (r Ref) String() string { return string(r.Kind) + "/" + r.Name }

// A Document is what a ledger stores: a pointer to a struct that embeds [Versioned] and
// that encoding/json writes and reads without loss, but for the changes of [Normal]. Its
// maps have no pointers as keys. Fields that are not exported hold plain values.
//
// A document that is read or written often has in addition a copier written by hand
// (copied) and its Weight; others are copied by reflection and weighed by their size. A
// document with words that a later release may add to has an Understood
// ([Record.Understood]).
type Document interface {
	// Ref names the document.
	Ref() Ref
	versioned() *Versioned
}

// Of returns the documents of one type.
func Of[D Document](docs []Document) (all []D) {
	for _, doc := range docs {
		if d, is := doc.(D); is {
			all = append(all, d)
		}
	}
	return all
}

// Understood says why a document cannot be acted on although it decodes, nil if it can.
func Understood(doc Document) error {
	if d, has := doc.(interface{ Understood() error }); has {
		return d.Understood()
	}
	return nil
}

// Weight is about how many bytes a document takes in the ledger, rather more than less.
func Weight(doc Document) int {
	if d, has := doc.(interface{ Weight() int }); has {
		return d.Weight()
	}
	return Size(doc)
}
