package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// A Problem is one thing that is wrong with a scenario.
type Problem struct {
	Line int    `json:"line"` // from 1; 0 if it is not known
	Path string `json:"path"` // such as faults[0].rate; "" for the whole
	Text string `json:"text"`
}

// An Error is everything that is wrong with a scenario.
type Error struct {
	File     string
	Problems []Problem
}

func (e *Error) Error() string {
	var lines []string
	for _, p := range e.Problems {
		line := e.File
		if p.Line > 0 {
			line += ":" + strconv.Itoa(p.Line)
		}
		if p.Path != "" {
			line += ": " + p.Path
		}
		lines = append(lines, line+": "+p.Text)
	}
	return strings.Join(lines, "\n")
}

// maxNesting bounds objects within objects, aliases included, which may name what they
// stand in.
const maxNesting = 40

// A reader walks over a document and collects its problems.
type reader struct {
	problems []Problem
	depth    int
}

func (r *reader) bad(n *yaml.Node, path, format string, args ...any) {
	r.problems = append(r.problems, Problem{n.Line, path, fmt.Sprintf(format, args...)})
}

// document reads the one document of data; nil if there is none or it is no YAML.
func (r *reader) document(data []byte) *yaml.Node {
	d := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := d.Decode(&doc); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		r.problems = append(r.problems, Problem{lineOf(err), "", "This is neither YAML nor JSON: " + strings.Join(strings.Fields(err.Error()), " ")})
		return nil
	}
	if err := d.Decode(&more); !errors.Is(err, io.EOF) {
		r.bad(&more, "", "There is a second document; a scenario is one.")
	}
	if doc.Kind == yaml.DocumentNode {
		return doc.Content[0]
	}
	return &doc
}

var lineText = regexp.MustCompile(`line (\d+)`)

func lineOf(err error) int {
	if m := lineText.FindStringSubmatch(err.Error()); m != nil {
		n, _ := strconv.Atoi(m[1])
		return n
	}
	return 0
}

// A field reads the value of a member.
type field func(n *yaml.Node, path string)

// object reads a mapping whose members fields names, and no others.
func (r *reader) object(n *yaml.Node, path string, fields map[string]field) {
	r.members(n, path, func(key, value *yaml.Node, at string) {
		f := fields[key.Value]
		if f == nil {
			names := make([]string, 0, len(fields))
			for name := range fields {
				names = append(names, name)
			}
			slices.Sort(names)
			r.bad(key, at, "There is no such field. The fields are %s.", strings.Join(names, ", "))
			return
		}
		f(value, at)
	})
}

func (r *reader) members(n *yaml.Node, path string, each func(key, value *yaml.Node, at string)) {
	n, leave := r.enter(n, path)
	defer leave()
	if n.Kind != yaml.MappingNode {
		if n.Kind != 0 {
			r.bad(n, path, "Want an object.")
		}
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		at := strings.TrimPrefix(path+"."+key.Value, ".")
		if seen[key.Value] {
			r.bad(key, at, "This field comes twice.")
			continue
		}
		seen[key.Value] = true
		each(key, n.Content[i+1], at)
	}
}

// list reads a sequence.
func (r *reader) list(n *yaml.Node, path string, each field) {
	n, leave := r.enter(n, path)
	defer leave()
	if n.Kind != yaml.SequenceNode {
		if n.Kind != 0 {
			r.bad(n, path, "Want a list.")
		}
		return
	}
	for i, item := range n.Content {
		each(item, fmt.Sprintf("%s[%d]", path, i))
	}
}

// enter follows an alias. Beyond maxNesting the node is empty, and reported.
func (r *reader) enter(n *yaml.Node, path string) (*yaml.Node, func()) {
	r.depth++
	leave := func() { r.depth-- }
	if r.depth > maxNesting {
		r.bad(n, path, "Objects and lists are nested more than %d deep.", maxNesting)
		return &yaml.Node{}, leave
	}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n, leave
}

// scalar is the text of a value that is neither an object nor a list, and its kind as
// YAML sees it: !!str, !!int, !!float, !!bool or !!null.
func (r *reader) scalar(n *yaml.Node, path, want string) (text, kind string, ok bool) {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		r.bad(n, path, "Want %s.", want)
		return "", "", false
	}
	return n.Value, n.ShortTag(), true
}

func (r *reader) text(n *yaml.Node, path string) string {
	text, kind, ok := r.scalar(n, path, "a text")
	if ok && kind != "!!str" {
		r.bad(n, path, "Want a text; put %q in quotes if it is one.", text)
	}
	return text
}

// checked reads a text that check accepts.
func (r *reader) checked(n *yaml.Node, path string, check func(string) error) string {
	before := len(r.problems)
	text := r.text(n, path)
	if err := check(text); err != nil && len(r.problems) == before {
		r.bad(n, path, "%v.", err)
	}
	return text
}

// word reads one of some words.
func (r *reader) word(n *yaml.Node, path string, words []string) string {
	want := "one of " + strings.Join(words, ", ")
	text, _, ok := r.scalar(n, path, want)
	if ok && !slices.Contains(words, text) {
		r.bad(n, path, "%q is not %s.", text, want)
		return ""
	}
	return text
}

func (r *reader) boolean(n *yaml.Node, path string) bool {
	text, kind, ok := r.scalar(n, path, "true or false")
	if ok && kind != "!!bool" {
		r.bad(n, path, "%q is neither true nor false.", text)
	}
	return strings.EqualFold(text, "true")
}

// integer reads a whole number from least to most.
func (r *reader) integer(n *yaml.Node, path string, least, most int64) int64 {
	want := fmt.Sprintf("a whole number from %d to %d", least, most)
	text, kind, ok := r.scalar(n, path, want)
	v, err := strconv.ParseInt(text, 10, 64)
	if ok && (kind != "!!int" || err != nil || v < least || v > most) {
		r.bad(n, path, "%q is not %s.", text, want)
		return least
	}
	return v
}

func (r *reader) number(n *yaml.Node, path string, least, most float64) float64 {
	want := fmt.Sprintf("a number from %g to %g", least, most)
	text, kind, ok := r.scalar(n, path, want)
	v, err := strconv.ParseFloat(text, 64)
	if ok && (kind != "!!int" && kind != "!!float" || err != nil || !(v >= least && v <= most)) {
		r.bad(n, path, "%q is not %s.", text, want)
		return least
	}
	return v
}

// forever is the word for a time without end.
const forever = "forever"

// duration reads a time such as 90s or 1h30m; with endless also the word forever, which
// is negative.
func (r *reader) duration(n *yaml.Node, path string, endless bool) time.Duration {
	want := "a time such as 500ms, 90s or 1h30m"
	if endless {
		want += ", or " + forever
	}
	text, _, ok := r.scalar(n, path, want)
	if !ok {
		return 0
	}
	if text == forever && endless {
		return -1
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		r.bad(n, path, "%q is not %s.", text, want)
		return 0
	}
	return d
}

// message reads a message in its JSON form into m.
func (r *reader) message(n *yaml.Node, path string, m proto.Message) {
	w := jsonWriter{reader: r}
	before := len(r.problems)
	w.value(n, path)
	if len(r.problems) > before {
		return
	}
	err := protojson.Unmarshal(w.Bytes(), m)
	if err == nil {
		return
	}
	text := strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\u00a0", " ")), " ")
	at := place{0, n, path}
	if found := columnText.FindStringSubmatch(text); found != nil {
		column, _ := strconv.Atoi(found[1])
		for _, p := range w.places {
			if p.offset < column {
				at = p
			}
		}
		text = found[2]
	}
	r.bad(at.node, at.path, "%s.", strings.ToUpper(text[:1])+text[1:])
}

var columnText = regexp.MustCompile(`\(line \d+:(\d+)\): (.+)$`)

// A jsonWriter writes a YAML value as JSON in one line, and keeps where each part of it
// came from.
type jsonWriter struct {
	bytes.Buffer
	*reader
	places []place // by offset
}

type place struct {
	offset int
	node   *yaml.Node
	path   string
}

func (w *jsonWriter) value(n *yaml.Node, path string) {
	w.places = append(w.places, place{w.Len(), n, path})
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		w.WriteByte('{')
		first := true
		w.members(n, path, func(key, value *yaml.Node, at string) {
			if !first {
				w.WriteByte(',')
			}
			first = false
			w.places = append(w.places, place{w.Len(), key, at})
			w.quote(key.Value)
			w.WriteByte(':')
			w.value(value, at)
		})
		w.WriteByte('}')
	case yaml.SequenceNode:
		w.WriteByte('[')
		w.list(n, path, func(item *yaml.Node, at string) {
			if w.Bytes()[w.Len()-1] != '[' {
				w.WriteByte(',')
			}
			w.value(item, at)
		})
		w.WriteByte(']')
	default:
		switch kind := n.ShortTag(); {
		case kind == "!!null":
			w.WriteString("null")
		case kind == "!!bool":
			w.WriteString(strings.ToLower(n.Value))
		case kind != "!!str" && json.Valid([]byte(n.Value)):
			w.WriteString(n.Value)
		default:
			w.quote(n.Value)
		}
	}
}

func (w *jsonWriter) quote(text string) {
	quoted, _ := json.Marshal(text) // a text always has a form
	w.Write(quoted)
}
