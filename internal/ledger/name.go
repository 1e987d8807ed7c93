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
