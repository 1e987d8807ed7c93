package ledger

import (
	"errors"
	"fmt"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// A Kind is a kind of document.
type Kind string

const (
	KindResource Kind = "resources"
	KindRecord   Kind = "requests"
	KindLease    Kind = "leases"
	KindBudget   Kind = "budgets"
)

// A Doc names one document: its kind, and the name or key by which a ledger
// knows it.
type Doc struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
}

func (d Doc) String() string { return string(d.Kind) + "/" + d.Name }

// RecordDoc names the document of a record.
func RecordDoc(key message.Key) Doc { return Doc{KindRecord, string(key)} }

// An UnreadableError says that a document is there and that this release cannot
// read it: it is damaged, or a newer release wrote it. What it says is not known,
// so nobody may write over it, free what it may hold, or end the job that it may
// name.
type UnreadableError struct {
	Doc
	// Resource is the persistent resource that a record belongs to, as far as the
	// ledger knows without reading the record; "" if it does not.
	Resource string `json:"resource,omitempty"`
	// Why is about the form only. It quotes nothing of the document.
	Why string `json:"why"`
}

func (u *UnreadableError) Error() string {
	return fmt.Sprintf("ledger: document %s cannot be read: %s", u.Doc, u.Why)
}

// A SkippedError comes with the result of a query that left out documents which
// cannot be read. The result is complete but for these.
type SkippedError struct {
	Documents []*UnreadableError
}

func (s *SkippedError) Error() string {
	return fmt.Sprintf("ledger: %d documents cannot be read, among them %s: %s", len(s.Documents), s.Documents[0].Doc, s.Documents[0].Why)
}

// Skipped returns the documents that a query left out, and the error of a query
// that failed.
func Skipped(err error) ([]*UnreadableError, error) {
	if s := (*SkippedError)(nil); errors.As(err, &s) {
		return s.Documents, nil
	}
	return nil, err
}

// SkippedOf is the error of a query that left out some documents, nil for none.
func SkippedOf(documents []*UnreadableError) error {
	if len(documents) == 0 {
		return nil
	}
	return &SkippedError{documents}
}

// Understood says why a record cannot be acted on although it decodes, nil if it
// can. Words that this release does not know come from a newer one, which may
// have given them to something that must not be touched.
func (r *Record) Understood(key message.Key) error {
	switch {
	case r.Key != key:
		return errors.New("it is the document of another request")
	case r.State != lifecycle.None && !r.State.Known():
		return errors.New("its state is a word that this release does not know")
	}
	switch r.Kind {
	case message.KindRequest, message.KindMessage, message.KindAnswer, "":
		return nil
	}
	return errors.New("its kind is a word that this release does not know")
}

// RunClosure runs the closure of an update. The use of a document that cannot be
// read ends the run with its [UnreadableError]. It is for implementations.
func RunClosure(closure func(Tx) error, tx Tx) (err error) {
	defer func() {
		if p := recover(); p != nil {
			u, unreadable := p.(*UnreadableError)
			if !unreadable {
				panic(p)
			}
			err = u
		}
	}()
	return closure(tx)
}

// Timed is the place of a record in a query that goes by time.
type Timed struct {
	Time time.Time
	Key  message.Key
}

// Compare orders by time, then by key.
func (t Timed) Compare(other Timed) int {
	if c := t.Time.Compare(other.Time); c != 0 {
		return c
	}
	return CompareOrder(string(t.Key), string(other.Key))
}

// KeysOf returns the keys of some places.
func KeysOf(places []Timed) []message.Key {
	var keys []message.Key
	for _, t := range places {
		keys = append(keys, t.Key)
	}
	return keys
}
