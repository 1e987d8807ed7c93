package ledger

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// A Dump is everything in a [Mem], in order of kinds and names.
type Dump []Document

func (d Dump) Resources() []*Resource { return Of[*Resource](d) }
func (d Dump) Records() []*Record     { return Of[*Record](d) }

// Dump returns copies of all documents as of one moment.
func (m *Mem) Dump() (d Dump) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ref := range m.sorted() {
		d = append(d, clone(m.slots[ref].doc))
	}
	return d
}

// Each shows every document as it is stored, in order of kinds and names, and how
// often it has been written. The documents are shared: they must not be changed, and
// never change; the same pointer is the same content.
func (m *Mem) Each(show func(ref Ref, doc Document, writes int)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, ref := range m.sorted() {
		show(ref, m.slots[ref].doc, m.slots[ref].writes)
	}
}

// Records returns copies of all records, in order of their keys.
func (m *Mem) Records() []*Record { return m.Dump().Records() }

// sorted returns the references of all slots in order. A simulated day asks for them
// thousands of times between two new documents. m.mu must be held.
func (m *Mem) sorted() []Ref {
	if len(m.refs) != len(m.slots) {
		m.refs = slices.SortedFunc(maps.Keys(m.slots), compareRefs)
	}
	return m.refs
}

func compareRefs(a, b Ref) int {
	return cmp.Or(strings.Compare(string(a.Kind), string(b.Kind)), strings.Compare(a.Name, b.Name))
}
