package message

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"example.com/berth/internal/visible"
)

// A kind is what a node of a document is.
type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	list
	object
	unclear // a YAML word or number that versions of YAML read differently
	broken  // refused already; nothing more is said about it
)

var kindNames = [...]string{"null", "true or false", "a number", "text", "a list", "an object", "an unclear value", "a broken value"}

func (k kind) String() string { return kindNames[k] }

// A node is one value of a JSON or YAML document, with its place in it. Both
// languages are read into nodes, so that everything behind is written once.
type node struct {
	kind    kind
	text    string    // of text, its value; of a scalar, how it was written
	members []*node   // of an object, in document order, keys unique
	items   []*node   // of a list
	parent  *node     // nil at the root
	key     string    // in an object
	index   int       // in a list
	pos     int       // number in document order
	fields  fieldSet  // of an object that was walked as a message: its members by proto name
	value   any       // once walked: what protojson is given
	bad     bool      // a problem was reported here
	unknown []*node   // of an object that was walked: members of unknown name
	_       [0]func() // not comparable
}

type fieldSet map[string]*node

// member returns the member of that key, spelled exactly so, or nil.
func (n *node) member(key string) *node {
	for _, m := range n.members {
		if m.key == key {
			return m
		}
	}
	return nil
}

// field returns a set field of a walked message by its proto name, or nil.
func (n *node) field(name string) *node {
	if n == nil {
		return nil
	}
	return n.fields[name]
}

// str is the value of a text field that was walked; empty when it is not set.
func (n *node) str() string {
	if n == nil {
		return ""
	}
	s, _ := n.value.(string)
	return s
}

// int is the value of a number field that was walked; 0 when it is not set.
func (n *node) int() int64 {
	if n == nil {
		return 0
	}
	i, _ := n.value.(int64)
	return i
}

// bool is the value of a field of true or false that was walked; false when it is
// not set.
func (n *node) bool() bool {
	if n == nil {
		return false
	}
	b, _ := n.value.(bool)
	return b
}

// list is the value of a list field that was walked; nothing of one that was
// refused as a whole, since its entries were not walked.
func (n *node) list() []*node {
	if n == nil || n.bad {
		return nil
	}
	if _, wrapped := n.value.([]any); wrapped && n.kind != list { // a single one standing for a list of one
		return []*node{n}
	}
	return n.items
}

// blank says whether a value is one of those that say nothing: null, "", [], {}.
func (n *node) blank() bool {
	switch n.kind {
	case null:
		return true
	case text:
		return n.text == ""
	case list:
		return len(n.items) == 0
	case object:
		return len(n.members) == 0
	}
	return false
}

// hollow says whether a walked message has no content: every field that it names
// has the value of one that is not set.
func (n *node) hollow() bool {
	return n.kind == object && n.value != nil && zero(n.value) && !n.bad && len(n.unknown) == 0
}

// A place is where something stands in a message: its path, and its number in
// the order in which problems are told.
type place struct {
	path string
	pos  int
}

func (n *node) place() place {
	if n == nil {
		return place{}
	}
	return place{n.path(), n.pos}
}

// missing is the place of a field that is not there, spelled as its
// neighbours are.
func (n *node) missing(name string) place {
	return place{join(n.path(), n.spell(name)), n.pos}
}

// path is the JSON path of the node as its author wrote it.
func (n *node) path() string {
	switch {
	case n.parent == nil:
		return ""
	case n.parent.kind == list || len(n.parent.items) > 0: // a refused list is a broken value, and had entries
		return n.parent.path() + "[" + strconv.Itoa(n.index) + "]"
	}
	return join(n.parent.path(), n.key)
}

func join(path, key string) string {
	if !plainKey(key) {
		return path + `["` + strings.ReplaceAll(excerpt(key), `"`, `\"`) + `"]`
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func plainKey(key string) bool {
	for _, c := range key {
		if c != '_' && c != '-' && !('a' <= c && c <= 'z') && !('A' <= c && c <= 'Z') && !('0' <= c && c <= '9') {
			return false
		}
	}
	return key != "" && len(key) <= maxExcerpt
}

// spell writes a proto field name as the nearest names around are written:
// snake_case where they show it, else camelCase.
func (n *node) spell(name string) string {
	if n.snakes() {
		return name
	}
	return camel(name)
}

// camel turns snake_case into camelCase, as protojson does.
func camel(name string) string {
	var b strings.Builder
	up := false
	for _, c := range name {
		switch {
		case c == '_':
			up = true
		case up:
			b.WriteRune(unicode.ToUpper(c))
			up = false
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

const (
	maxExcerpt = 60  // characters of a value or key shown in a problem
	maxText    = 400 // bytes of any string of a problem
)

// excerpt shortens a string from a message and makes visible what a reader could
// not see of it, so that it can be shown.
func excerpt(s string) string { return clean(s, maxExcerpt) }

// exactly puts a value into a sentence that tells to write it, where it can be shown
// as it is; else it returns the other sentence. A value that was shortened, or whose
// hidden characters are spelled out, is not what is to be written.
func exactly(sentence, value, other string) string {
	if excerpt(value) != value {
		return other
	}
	return fmt.Sprintf(sentence, value)
}

func clean(s string, limit int) string {
	s = visible.Text(s)
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-len("...")], "") + "..."
}
