package ledger

import "example.com/berth/internal/message"

// A Kind is a kind of document, and the name of the collection that has them.
type Kind string

const (
	KindResource Kind = "resources"
	KindRecord   Kind = "requests"
	KindLease    Kind = "leases"
	KindBudget   Kind = "budgets"
)

// empty makes an empty document of each kind.
var empty = map[Kind]func() Document{
	KindResource: func() Document { return &Resource{} },
	KindRecord:   func() Document { return &Record{} },
	KindLease:    func() Document { return &Lease{} },
	KindBudget:   func() Document { return &Budget{} },
}

// New returns an empty document of a kind.
func New(kind Kind) Document { return empty[kind]() }

// A Ref names one document: its kind, and the name or key by which a ledger
// knows it.
type Ref struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
}

func (r Ref) String() string { return string(r.Kind) + "/" + r.Name }

// ResourceRef names the document of a resource by its full name.
func ResourceRef(name string) Ref { return Ref{KindResource, name} }

// RecordRef names the document of a record.
func RecordRef(key message.Key) Ref { return Ref{KindRecord, string(key)} }

// LeaseRef names the document of a lease.
func LeaseRef(name string) Ref { return Ref{KindLease, name} }

// BudgetRef names the document of a budget: projects/P/locations/L.
func BudgetRef(name string) Ref { return Ref{KindBudget, name} }

// A Document is what a ledger stores: a *[Resource], *[Record], *[Lease] or
// *[Budget].
type Document interface {
	// Ref names the document.
	Ref() Ref
	// Weight is about how many bytes the document takes in the ledger, rather more
	// than less.
	Weight() int

	copied(copier) Document
	versioned() *Versioned
}

// Ref names the document.
func (r *Resource) Ref() Ref { return ResourceRef(r.Name) }

// Ref names the document.
func (r *Record) Ref() Ref { return RecordRef(r.Key) }

// Ref names the document.
func (l *Lease) Ref() Ref { return LeaseRef(l.Name) }

// Ref names the document.
func (b *Budget) Ref() Ref { return BudgetRef(b.Name) }
