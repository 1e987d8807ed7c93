package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"

	"example.com/berth/internal/reason"
)

const byteOrderMark = "\ufeff"

// Data reads the data of a message: JSON when it begins like JSON, and YAML when it
// does not or is not JSON.
// It returns nil, and has reported why, when it cannot be read.
func (d Reader) Data(data []byte, r *Report) *Node {
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	start := bytes.TrimLeft(data, " \t\r\n")
	var root *Node
	switch {
	case bytes.HasPrefix(start, []byte(byteOrderMark)):
		r.Add(Place{}, reason.Malformed, "The data has more than one byte order mark.", "Send JSON or YAML as UTF-8, without any.")
		return nil
	case len(start) == 0:
		r.Add(Place{}, reason.MissingField, "The message has no data.", d.Missing)
		return nil
	case start[0] == '{' || start[0] == '[':
		root = d.json(data, r, func(why string) *Node { return d.flow(data, why, r) })
	default:
		root = d.yaml(data, r)
	}
	if root != nil && root.Kind != Object && root.Kind != List && root.Kind != Broken {
		r.At(root, reason.Malformed, "The data is neither a JSON or YAML object nor a list.", fixUnread(data, d.Scalar))
		return nil
	}
	return root
}

// YAML reads a document of YAML 1.2, of which strict JSON is a part. Its nodes know their
// lines. It returns nil, and has reported why, when the document cannot be read.
func (d Reader) YAML(data []byte, r *Report) *Node {
	return d.yaml(bytes.TrimPrefix(data, []byte(byteOrderMark)), r)
}

// flow reads data that begins like JSON and is not, for the reason why. It may
// be YAML in the flow style, as gcloud takes it: {workerPoolSpecs: [...]}. Data that
// is neither gets one problem.
func (d Reader) flow(data []byte, why string, r *Report) *Node {
	if strings.Contains(why, " in string ") || lineBreakInText(data) {
		r.Add(Place{}, reason.Malformed, "The text is not JSON: "+why+".", fixUnread(data, strictJSON))
		return nil
	}
	own := Report{Work: r.Work, Loaded: r.Loaded}
	root := d.yaml(data, &own)
	r.Work, r.Loaded = own.Work, own.Loaded
	switch {
	case own.other:
		r.Add(Place{}, reason.Malformed, "The text is not JSON: "+why+".", fixUnread(data, strictJSON))
		return nil
	case root == nil && own.problems[0].problem.Code == reason.Malformed:
		r.Add(Place{}, reason.Malformed, "The text is not JSON: "+why+". It is not YAML either: "+strings.TrimPrefix(own.problems[0].problem.Detail, notRead), fixUnread(data, strictJSON+" Or send YAML."))
		return nil
	}
	r.problems = append(r.problems, own.problems...)
	return root
}

// lineBreakInText says whether a text in double quotes goes on in the next line. YAML
// reads one space there; the author of JSON meant a line break.
func lineBreakInText(data []byte) bool {
	quoted := false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted && (c == '\n' || c == '\r'):
			return true
		}
	}
	return false
}

// notRead begins the problem of data that YAML does not read.
const notRead = "The data is neither JSON nor YAML: "

// yaml reads one document of YAML 1.2 with the core schema. Aliases and merge
// keys are written out, within bounds. A value that versions of YAML read differently
// is refused at its place: words like yes, numbers like 0777 or 1_000.
func (d Reader) yaml(data []byte, r *Report) *Node {
	r.Work += len(data)
	if !utf8.Valid(data) {
		r.Add(Place{}, reason.Malformed, "The data is not UTF-8 text.", "Send JSON or YAML as UTF-8.")
		return nil
	}
	if line := directiveLine(data); line > 0 {
		r.Add(Place{}, reason.Malformed, fmt.Sprintf("Line %d is a YAML directive, which is not read.", line), "Leave out lines that begin with %; YAML 1.2 is read.")
		return nil
	}
	top := d.load(data, r)
	if top == nil {
		return nil
	}
	p := yamlParser{r: r, d: d, open: map[*yaml.Node]bool{}}
	root := p.value(top, &Node{}, 1)
	r.other = p.other
	r.Work += p.count
	switch {
	case p.deep:
		r.Add(Place{}, reason.TooLarge, fmt.Sprintf("Objects and lists are nested more than %d deep.", d.MaxDepth), d.Deep)
		return nil
	case p.count > d.MaxValues:
		r.Add(Place{}, reason.TooLarge, fmt.Sprintf("The document has more than %d values.", d.MaxValues), d.Large)
		return nil
	case p.copied > d.MaxCopied:
		r.Add(Place{}, reason.TooLarge, fmt.Sprintf("The aliases of the document stand for more than %d bytes.", d.MaxCopied), d.Large)
		return nil
	}
	return root
}

// directiveLine is the number of the first line that begins with a percent sign,
// counted from 1, or 0. Such a line is a directive wherever YAML looks for a
// token; the loader compares each %TAG with all before it, so that the work grows
// with the square of their number. Lines end where YAML 1.1 ends them.
func directiveLine(data []byte) int {
	line := 1
	start := true
	for i, c := range string(data) {
		switch {
		case c == '%' && start:
			return line
		case c == '\n' && i > 0 && data[i-1] == '\r': // the second half of one line break
		case c == '\n', c == '\r', c == '\u0085', c == '\u2028', c == '\u2029':
			line, start = line+1, true
			continue
		}
		start = start && (c == '\ufeff' || c == '\n')
	}
	return 0
}

// load returns the root of the only document in the data, or nil when it has
// reported why there is none.
func (d Reader) load(data []byte, r *Report) *yaml.Node {
	r.Loaded += len(data)
	loader, err := yaml.NewLoader(bytes.NewReader(data),
		yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(2*d.MaxDepth))))
	if err != nil {
		r.Add(Place{}, reason.Malformed, "The data is not YAML.", fixUnread(data, d.Language))
		return nil
	}
	var doc yaml.Node
	if err := loader.Load(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			r.Add(Place{}, reason.MissingField, "The YAML document is empty.", d.Missing)
		} else {
			r.Add(Place{}, reason.Malformed, notRead+ExcerptError(err)+".", fixUnread(data, d.Language))
		}
		return nil
	}
	var second yaml.Node
	if err := loader.Load(&second); !errors.Is(err, io.EOF) {
		r.Add(Place{}, reason.Malformed, "The data holds more than one YAML document.", d.Many)
		return nil
	}
	top := &doc
	if top.Kind == yaml.DocumentNode {
		if len(top.Content) == 0 {
			r.Add(Place{}, reason.MissingField, "The YAML document is empty.", d.Missing)
			return nil
		}
		top = top.Content[0]
	}
	return top
}

// ExcerptError keeps the first line of a reader's error, which names line and
// column, and no more: later lines can quote the document.
func ExcerptError(err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	first = loadError.ReplaceAllString(first, "line $1, column $2: ")
	return Clean(strings.TrimRight(first, ".:"), 160)
}

// loadError begins an error of the YAML loader.
var loadError = regexp.MustCompile(`^go-yaml load error .* at L([0-9]+)\.C([0-9]+)[^:]*: `)

// oddNumber is what some version of YAML reads as a number: octal, hex,
// binary, underscores, base 60, bare dots, infinity.
var oddNumber = regexp.MustCompile(`^([-+]?(0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?` +
	`|\.[0-9_]+([eE][-+]?[0-9]+)?|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN))$`)

// resolve says what a plain YAML scalar is.
func resolve(s string) (Kind, string) {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return Null, s
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return Boolean, strings.ToLower(s)
	case "yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF":
		return Unclear, s
	}
	switch {
	case jsonNumber.MatchString(s):
		return Number, s
	case oddNumber.MatchString(s):
		return Unclear, s
	}
	return Text, s
}
