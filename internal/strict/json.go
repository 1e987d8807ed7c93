package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"example.com/berth/internal/reason"
)

const strictJSON = "Send strict JSON: double quotes, no comments, no trailing comma."

// JSON reads strict JSON. It returns nil, and has reported why, when the text cannot
// be read as a whole. A key that comes twice is reported, and the first one is kept.
func (d Reader) JSON(data []byte, r *Report) *Node {
	return d.json(data, r, func(why string) *Node {
		r.Add(Place{}, reason.Malformed, "The text is not JSON: "+why+".", fixUnread(data, strictJSON))
		return nil
	})
}

// json is JSON, with another answer to a text that is not JSON.
func (d Reader) json(data []byte, r *Report, otherwise func(why string) *Node) *Node {
	r.Work += len(data)
	if !utf8.Valid(data) {
		r.Add(Place{}, reason.Malformed, "The text is not UTF-8.", "Send JSON as UTF-8.")
		return nil
	}
	if !shallow(data, d.MaxDepth) {
		r.Add(Place{}, reason.TooLarge, fmt.Sprintf("Objects and lists are nested more than %d deep.", d.MaxDepth), d.Deep)
		return nil
	}
	if !json.Valid(data) { // which reads it once, and does not say why
		var raw json.RawMessage
		return otherwise(syntax(data, json.Unmarshal(data, &raw)))
	}
	if at := loneSurrogate(data); at >= 0 {
		r.Add(Place{}, reason.Malformed, "A \\u escape is half of a surrogate pair, at "+position(data, at)+".", "Send JSON as UTF-8.")
		return nil
	}
	p := jsonParser{all: data, rest: data, line: 1, r: r, most: d.MaxValues}
	root := p.value(&Node{})
	r.Work += p.count
	if p.count > d.MaxValues {
		r.Add(Place{}, reason.TooLarge, fmt.Sprintf("The document has more than %d values.", d.MaxValues), d.Large)
		return nil
	}
	return root
}

// A jsonParser reads text that is known to be valid, so it has nothing to check: the
// first byte of a value says what it is.
type jsonParser struct {
	all   []byte
	rest  []byte // of all
	at    int    // up to where lines are counted
	line  int    // there
	r     *Report
	count int // values so far
	most  int // values that are read
}

// value reads the next value into n, which knows its place already.
func (p *jsonParser) value(n *Node) *Node {
	p.count++
	n.Pos = p.count
	if p.count > p.most {
		return n
	}
	c := p.next()
	n.Line = p.lineHere()
	switch c {
	case '[':
		n.Kind = List
		for p.rest = p.rest[1:]; p.count <= p.most && p.next() != ']'; {
			n.Items = append(n.Items, p.value(&Node{Parent: n, Index: len(n.Items)}))
		}
		p.rest = p.rest[1:]
	case '{':
		n.Kind = Object
		p.members(n)
	case '"':
		n.Kind, n.Text = Text, p.text()
	default:
		n.Text = p.word()
		switch c {
		case 't', 'f':
			n.Kind = Boolean
		case 'n':
			n.Text = "" // the zero kind is null
		default:
			n.Kind = Number
		}
	}
	return n
}

func (p *jsonParser) members(n *Node) {
	seen := map[string]bool{}
	for p.rest = p.rest[1:]; p.count <= p.most && p.next() != '}'; {
		key := p.text()
		m := p.value(&Node{Parent: n, Key: key})
		if seen[key] {
			p.r.At(m, reason.DuplicateField, "This key comes twice in one object.", "Keep one of them.")
			continue
		}
		seen[key] = true
		n.Members = append(n.Members, m)
	}
	p.rest = p.rest[1:]
}

// lineHere is the line of the next byte, from 1.
func (p *jsonParser) lineHere() int {
	here := len(p.all) - len(p.rest)
	p.line += bytes.Count(p.all[p.at:here], []byte("\n"))
	p.at = here
	return p.line
}

// next goes to the next value, key or closing bracket, and returns its first
// byte.
func (p *jsonParser) next() byte {
	p.rest = bytes.TrimLeft(p.rest, " \t\r\n,:")
	return p.rest[0]
}

// text reads a string.
func (p *jsonParser) text() string {
	end, escaped := 1, false
	for ; p.rest[end] != '"'; end++ {
		if p.rest[end] == '\\' {
			escaped = true
			end++
		}
	}
	quoted := p.rest[:end+1]
	p.rest = p.rest[end+1:]
	if !escaped {
		return string(quoted[1:end])
	}
	var s string
	_ = json.Unmarshal(quoted, &s) // it is valid
	return s
}

// word reads a number or a literal.
func (p *jsonParser) word() string {
	end := bytes.IndexAny(p.rest, " \t\r\n,]}")
	if end < 0 {
		end = len(p.rest)
	}
	word := p.rest[:end]
	p.rest = p.rest[end:]
	return string(word)
}

// shallow says whether no bracket is nested deeper than most.
func shallow(data []byte, most int) bool {
	depth, quoted := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > most {
				return false
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return true
}

// loneSurrogate finds a \u escape that no character belongs to, in valid JSON;
// the standard decoder would put another character in its place.
func loneSurrogate(data []byte) int {
	high := -2 // where a high surrogate ended
	start := 0
	for i := 0; i+1 < len(data); i++ {
		next := bytes.IndexByte(data[i:], '\\')
		if next < 0 {
			break
		}
		if i += next; data[i+1] != 'u' {
			i++
			continue
		}
		unit, _ := strconv.ParseUint(string(data[i+2:i+6]), 16, 32)
		switch {
		case high == i && unit&0xfc00 == 0xdc00:
			high = -2
		case high >= 0:
			return start
		case unit&0xfc00 == 0xdc00:
			return i
		case unit&0xfc00 == 0xd800:
			start, high = i, i+6
		}
		i += 5
	}
	if high >= 0 {
		return start
	}
	return -1
}

func syntax(data []byte, err error) string {
	var bad *json.SyntaxError
	if !errors.As(err, &bad) {
		return "it cannot be read"
	}
	at := max(0, int(bad.Offset)-1)
	hint := ""
	switch rest := data[min(at, len(data)):]; {
	case at >= len(data):
	case bytes.HasPrefix(rest, []byte("NaN")), bytes.HasPrefix(rest, []byte("Infinity")):
		hint = " (NaN and Infinity are no JSON numbers)"
	case rest[0] == '\'', rest[0] == 'T', rest[0] == 'F', rest[0] == 'N', at > 0 && data[at-1] == 'N':
		hint = " (a Python value is written with json.dumps)"
	}
	return bad.Error() + hint + " at " + position(data, at)
}

func position(data []byte, at int) string {
	at = min(at, len(data))
	line := 1 + bytes.Count(data[:at], []byte("\n"))
	return fmt.Sprintf("line %d, column %d", line, at-bytes.LastIndexByte(data[:at], '\n'))
}
