package strict

import (
	"fmt"
	"strconv"
	"strings"

	"example.com/berth/internal/visible"
)

// A kind is what a node of a document is.
type Kind uint8

const (
	Null Kind = iota
	Boolean
	Number
	Text
	List
	Object
	Unclear // a YAML word or number that versions of YAML read differently
	Broken  // refused already; no further problem is reported
)

var kindNames = [...]string{"null", "true or false", "a number", "text", "a list", "an object", "an unclear value", "a broken value"}

func (k Kind) String() string { return kindNames[k] }

// A node is one value of a JSON or YAML document, with its place in it. Both
// languages are read into nodes, so that every later step is written once.
type Node struct {
	Kind    Kind
	Text    string    // of text, its value; of a scalar, how it was written
	Members []*Node   // of an object, in document order, keys unique
	Items   []*Node   // of a list
	Parent  *Node     // nil at the root
	Key     string    // in an object
	Index   int       // in a list
	Pos     int       // number in document order
	Line    int       // where it stands, from 1
	fields  fieldSet  // of an object that was walked as a message: its members by proto name
	Value   any       // once walked: what protojson is given
	Bad     bool      // a problem was reported here
	Private bool      // its text is not quoted, see [Rules.Private]
	Unknown []*Node   // of an object that was walked: members of unknown name
	_       [0]func() // not comparable
}

type fieldSet map[string]*Node

// Member returns the member of that key, spelled exactly so, or nil.
func (n *Node) Member(key string) *Node {
	for _, m := range n.Members {
		if m.Key == key {
			return m
		}
	}
	return nil
}

// Field returns a set field of a walked message by its proto name, or nil.
func (n *Node) Field(name string) *Node {
	if n == nil {
		return nil
	}
	return n.fields[name]
}

// Str is the value of a text field that was walked; empty when it is not set.
func (n *Node) Str() string {
	if n == nil {
		return ""
	}
	s, _ := n.Value.(string)
	return s
}

// Int is the value of a number field that was walked; 0 when it is not set.
func (n *Node) Int() int64 {
	if n == nil {
		return 0
	}
	i, _ := n.Value.(int64)
	return i
}

// Bool is the value of a field of true or false that was walked; false when it is
// not set.
func (n *Node) Bool() bool {
	if n == nil {
		return false
	}
	b, _ := n.Value.(bool)
	return b
}

// List is the value of a list field that was walked; nothing of one that was
// refused as a whole, since its entries were not walked.
func (n *Node) List() []*Node {
	if n == nil || n.Bad {
		return nil
	}
	if _, wrapped := n.Value.([]any); wrapped && n.Kind != List { // a single one standing for a list of one
		return []*Node{n}
	}
	return n.Items
}

// Blank says whether a value means that nothing is set: null, "", [] or {}.
func (n *Node) Blank() bool {
	switch n.Kind {
	case Null:
		return true
	case Text:
		return n.Text == ""
	case List:
		return len(n.Items) == 0
	case Object:
		return len(n.Members) == 0
	}
	return false
}

// Hollow says whether a walked message has no content: every field that it names
// has the value of one that is not set.
func (n *Node) Hollow() bool {
	return n.Kind == Object && n.Value != nil && Zero(n.Value) && !n.Bad && len(n.Unknown) == 0
}

// A place is where something stands in a message: its path, and its number in
// the order in which problems are reported.
type Place struct {
	Path string
	Pos  int
	Line int // from 1; 0 if it is not known
}

func (n *Node) Place() Place {
	if n == nil {
		return Place{}
	}
	return Place{n.Path(), n.Pos, n.Line}
}

// Missing is the place of a field that is not there, spelled as its
// neighbours are.
func (n *Node) Missing(name string) Place {
	return Place{Join(n.Path(), n.Spell(name)), n.Pos, n.Line}
}

// Path is the JSON path of the node as its author wrote it.
func (n *Node) Path() string {
	switch {
	case n.Parent == nil:
		return ""
	case n.Parent.Kind == List || len(n.Parent.Items) > 0: // a refused list is a broken value, and had entries
		return n.Parent.Path() + "[" + strconv.Itoa(n.Index) + "]"
	}
	return Join(n.Parent.Path(), n.Key)
}

func Join(path, key string) string {
	if !PlainKey(key) {
		return path + `["` + strings.ReplaceAll(Excerpt(key), `"`, `\"`) + `"]`
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func PlainKey(key string) bool {
	for _, c := range key {
		if c != '_' && c != '-' && !('a' <= c && c <= 'z') && !('A' <= c && c <= 'Z') && !('0' <= c && c <= '9') {
			return false
		}
	}
	return key != "" && len(key) <= maxExcerpt
}

const (
	maxExcerpt = 60  // characters of a value or key shown in a problem
	MaxText    = 400 // bytes of any string of a problem
)

// Excerpt shortens a string from a message and makes its hidden characters visible,
// so that it can be shown.
func Excerpt(s string) string { return Clean(s, maxExcerpt) }

// Exactly puts a value into a sentence that tells the user to write it. It returns the
// other sentence if the value must be shortened, or has hidden characters: the user
// cannot copy such a value.
func Exactly(sentence, value, other string) string {
	if Excerpt(value) != value {
		return other
	}
	return fmt.Sprintf(sentence, value)
}

// Exactly is the function, but for the value of a field that may hold a secret, which
// gets the other sentence.
func (n *Node) Exactly(sentence, value, other string) string {
	if n.Private {
		return other
	}
	return Exactly(sentence, value, other)
}

// Clean makes the hidden characters of a string visible and cuts it to a number of
// bytes, the dots at the end of a cut one included.
func Clean(s string, limit int) string {
	s = visible.Text(s)
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit-len("...")], "") + "..."
}
