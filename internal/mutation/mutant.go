package mutation

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A Mutant is one change of one file.
type Mutant struct {
	Package  string `json:"package"`  // import path
	File     string `json:"file"`     // from the module's root
	Function string `json:"function"` // "Name" or "Type.Name"; "" outside functions
	Operator string `json:"operator"`
	Line     int    `json:"line"`   // of the change, for people
	Before   string `json:"before"` // the lines that change, in one line
	After    string `json:"after"`

	path     string // absolute
	from, to int    // bytes that are replaced
	with     string
	check    func(Mutant) bool // whether it compiles
}

// Key is what an accepted survivor is known by.
type Key struct{ File, Function, Before, After string }

// Key returns the mutant's own. Two equal changes of one function share it.
func (m Mutant) Key() Key { return Key{m.File, m.Function, m.Before, m.After} }

func (m Mutant) String() string {
	return fmt.Sprintf("%s:%d %s: %s\n    - %s\n    + %s", m.File, m.Line, m.Function, m.Operator, m.Before, m.After)
}

// apply returns the changed source.
func (m Mutant) apply(source []byte) []byte {
	out := make([]byte, 0, len(source)+len(m.with))
	out = append(out, source[:m.from]...)
	out = append(out, m.with...)
	return append(out, source[m.to:]...)
}

// describe sets Before and After from the whole lines that the change touches.
func (m *Mutant) describe(source []byte) {
	first, last := m.from, m.to
	for first > 0 && source[first-1] != '\n' {
		first--
	}
	for last < len(source) && source[last] != '\n' {
		last++
	}
	m.Line = 1 + strings.Count(string(source[:m.from]), "\n")
	m.Before = oneLine(string(source[first:last]))
	m.After = oneLine(string(source[first:m.from]) + m.with + string(source[m.to:last]))
}

// longest is how much of a changed statement is shown, in bytes.
const longest = 240

// oneLine puts source text into one line. Of a long text the middle is left out
// and its size given, so that two long texts rarely have the same form.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) <= longest {
		return s
	}
	head, tail := longest*2/3, len(s)-longest/3
	for !utf8.RuneStart(s[head]) {
		head--
	}
	for !utf8.RuneStart(s[tail]) {
		tail++
	}
	return fmt.Sprintf("%s ...%d... %s", s[:head], len(s), s[tail:])
}
