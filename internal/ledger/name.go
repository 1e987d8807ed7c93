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
	Collection string // "resources", "records", "leases" or "budgets"
	Name       string // shortened
	Why        string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("ledger: %s cannot have a document named %q: %s", e.Collection, e.Name, e.Why)
}

// Check reports the first document named that cannot exist, as a [*NameError], and
// an error if none is named. A name may be at most [MaxName] bytes of valid UTF-8;
// it is not empty, not "." or "..", not of the form "__x__", and holds no "~", which
// stands for a slash in stored names. A record's key holds no slash either. These are Firestore's rules for document ids, which it applies to
// the whole read that names one: every ledger has to have them, or a name that
// passes in tests stops a resource in production.
func (n ReadSet) Check() error {
	if len(n.Resources)+len(n.Records)+len(n.Leases)+len(n.Budgets) == 0 {
		return fmt.Errorf("ledger: an update has to name documents")
	}
	var keys []string
	for _, key := range n.Records {
		keys = append(keys, string(key))
	}
	for _, c := range []struct {
		collection string
		names      []string
		slashes    bool
	}{{"resources", n.Resources, true}, {"records", keys, false}, {"leases", n.Leases, true}, {"budgets", n.Budgets, true}} {
		for _, name := range c.names {
			if why := unfit(name, c.slashes); why != "" {
				short := strings.ToValidUTF8(name[:min(len(name), 80)], "\ufffd")
				return &NameError{c.collection, short, why}
			}
		}
	}
	return nil
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
