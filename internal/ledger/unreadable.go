package ledger

import (
	"errors"
	"fmt"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
)

// An UnreadableError says that a document is there and that this release cannot
// read it: it is damaged, or a newer release wrote it. Its content is not known, so
// Berth must not overwrite it, free what it may hold, or end the job that it may
// name.
type UnreadableError struct {
	Ref
	// Resource is the persistent resource that a record belongs to, as far as the
	// ledger knows without reading the record; "" if it does not.
	Resource string `json:"resource,omitempty"`
	// Why is about the form only. It quotes nothing of the document.
	Why string `json:"why"`
}

func (u *UnreadableError) Error() string {
	return fmt.Sprintf("ledger: document %s cannot be read: %s", u.Ref, u.Why)
}

// A SkippedError comes with the result of a query that left out documents which
// cannot be read. The result is complete but for these.
type SkippedError struct {
	Documents []*UnreadableError
}

func (s *SkippedError) Error() string {
	return fmt.Sprintf("ledger: %d documents cannot be read, among them %s: %s", len(s.Documents), s.Documents[0].Ref, s.Documents[0].Why)
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
// can. A word that this release does not know comes from a newer one, and may mean
// that the record must not be touched.
func (r *Record) Understood() error {
	if r.State != lifecycle.None && !r.State.Known() {
		return errors.New("its state is a word that this release does not know")
	}
	switch r.Kind {
	case message.KindRequest, message.KindMessage, message.KindAnswer, "":
		return nil
	}
	return errors.New("its kind is a word that this release does not know")
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
