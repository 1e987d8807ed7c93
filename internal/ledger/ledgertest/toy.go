package ledgertest

import (
	"time"

	"example.com/berth/internal/ledger"
)

// KindToy is a kind of document that only tests have. It is all that a new kind needs,
// so a test that runs over [ledger.Kinds] shows with it what holds for a new kind.
const KindToy ledger.Kind = "toys"

func init() {
	ledger.AddKind(KindToy, func(name string) ledger.Document { return &Toy{Name: name} })
}

// A Toy has what a document can have.
type Toy struct {
	ledger.Versioned
	Name  string          `json:"name"`
	Since time.Time       `json:"since,omitzero"`
	Parts map[string]Part `json:"parts,omitempty"`
	Spare *Part           `json:"spare,omitempty"`
}

// A Part is a part of a toy.
type Part struct {
	ID   string      `json:"id"`
	Size int         `json:"size,omitempty"`
	Seen []time.Time `json:"seen,omitempty"`
}

// Ref names the document.
func (y *Toy) Ref() ledger.Ref { return ledger.Ref{Kind: KindToy, Name: y.Name} }
