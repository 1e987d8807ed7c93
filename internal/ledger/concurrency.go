package ledger

import (
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// KindConcurrency is the kind of [Concurrency].
const KindConcurrency Kind = "concurrency"

// A Concurrency is the document of one concurrency key of a tenant: which request took it
// last. Two requests of one key write it, so of two that are decided at the same moment
// one sees the other.
type Concurrency struct {
	Versioned
	Name   string      `json:"name"` // see [ConcurrencyName]
	Tenant string      `json:"tenant"`
	Key    string      `json:"key"`
	Last   message.Key `json:"last"` // the request that took the key last
}

// ConcurrencyName is the name of the document of a tenant's concurrency key: a hash, so that
// no key is another tenant's.
func ConcurrencyName(tenant, key string) string {
	return string(message.KeyOf(tenant, "concurrency", key))
}

// ConcurrencyRef names a document by [ConcurrencyName].
func ConcurrencyRef(name string) Ref { return Ref{KindConcurrency, name} }

// Concurrencies names such documents.
func Concurrencies(names ...string) ReadSet { return refsOf(KindConcurrency, names) }

// Ref names the document.
func (c *Concurrency) Ref() Ref { return ConcurrencyRef(c.Name) }

// Active reports whether a request has not ended and is not being cancelled for good: at
// most one such request of a concurrency key may take the place of an earlier one.
func (r *Record) Active() bool {
	return r.State != lifecycle.None && !r.State.Terminal() && (r.State != lifecycle.Cancelling || r.Again)
}
