package ledger

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxName is how long the name of a document can be, in bytes: Firestore's limit on
// a document id.
const MaxName = 1500

// A NameError says that an update names a document that no ledger can have. The
// update did nothing. It is the caller's fault and stays so however often the
// update is tried.
type NameError struct {
	Kind Kind
	Name string // shortened
	Why  string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("ledger: %s cannot have a document named %q: %s", e.Kind, e.Name, e.Why)
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

// Refs returns the distinct documents named, in the order of the fields, and the
// error of [ReadSet.Check].
func (s ReadSet) Refs() ([]Ref, error) {
	var all []Ref
	for _, name := range s.Resources {
		all = append(all, ResourceRef(name))
	}
	for _, key := range s.Records {
		all = append(all, RecordRef(key))
	}
	for _, name := range s.Leases {
		all = append(all, LeaseRef(name))
	}
	for _, name := range s.Budgets {
		all = append(all, BudgetRef(name))
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("ledger: an update has to name documents")
	}
	for _, ref := range all {
		if why := unfit(ref.Name, ref.Kind != KindRecord); why != "" {
			short := strings.ToValidUTF8(ref.Name[:min(len(ref.Name), 80)], "\ufffd")
			return nil, &NameError{ref.Kind, short, why}
		}
	}
	known := make(map[Ref]bool, len(all))
	return slices.DeleteFunc(all, func(ref Ref) bool {
		again := known[ref]
		known[ref] = true
		return again
	}), nil
}

// unfit says why a document cannot have a name, "" if it can.
func unfit(name string, slashes bool) string {
	switch {
	case name == "":
		return "it is empty"
	case len(name) > MaxName:
		return fmt.Sprintf("it has %d bytes, at most %d are allowed", len(name), MaxName)
	case !utf8.ValidString(name):
		return "it is not UTF-8"
	case slices.Contains([]string{".", ".."}, name):
		return "it would name a folder"
	case len(name) >= 4 && strings.HasPrefix(name, "__") && strings.HasSuffix(name, "__"):
		return "names of this form are Firestore's own"
	case strings.Contains(name, "~"):
		return "~ stands for a slash"
	case !slashes && strings.Contains(name, "/"):
		return "it holds a slash"
	}
	return ""
}
