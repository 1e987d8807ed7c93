package message

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
)

const byteOrderMark = "\ufeff"

// parse reads the data of a message: JSON when it begins like JSON, else YAML.
// It returns nil, and has reported why, when it cannot be read.
func parse(data []byte, r *report) *node {
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	start := bytes.TrimLeft(data, " \t\r\n")
	var root *node
	switch {
	case bytes.HasPrefix(start, []byte(byteOrderMark)):
		r.add(place{}, Malformed, "The data has more than one byte order mark.", "Send JSON or YAML as UTF-8, without any.")
		return nil
	case len(start) == 0:
		r.add(place{}, MissingField, "The message has no data.", "Publish a job as the data.")
		return nil
	case start[0] == '{' || start[0] == '[':
		root = parseJSON(data, r)
	default:
		root = parseYAML(data, r)
	}
	if root != nil && root.kind != object && root.kind != list && root.kind != broken {
		r.at(root, Malformed, "The data is neither a JSON or YAML object nor a list.", "Publish a CustomJob, a CustomJobSpec or a list of worker pool specs.")
		return nil
	}
	return root
}

// parseYAML reads one document of YAML 1.2 with the core schema. Whatever an
// older reader would understand differently is refused at its place: aliases
// and merge keys, tags, words like yes, numbers like 0777 or 1_000.
func parseYAML(data []byte, r *report) *node {
	if !utf8.Valid(data) {
		r.add(place{}, Malformed, "The data is not UTF-8 text.", "Send JSON or YAML as UTF-8.")
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data),
		yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(2*MaxDepth))))
	if err != nil {
		r.add(place{}, Malformed, "The data is not YAML.", "")
		return nil
	}
	var doc yaml.Node
	if err := loader.Load(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			r.add(place{}, MissingField, "The YAML document is empty.", "Publish a job as the data.")
		} else {
			r.add(place{}, Malformed, "The data is neither JSON nor YAML: "+excerptError(err)+".", "Send JSON, or YAML as gcloud --config takes it.")
		}
		return nil
	}
	var second yaml.Node
	if err := loader.Load(&second); !errors.Is(err, io.EOF) {
		r.add(place{}, Malformed, "The data holds more than one YAML document.", "Publish one job per message.")
		return nil
	}
	top := &doc
	if top.Kind == yaml.DocumentNode {
		if len(top.Content) == 0 {
			r.add(place{}, MissingField, "The YAML document is empty.", "Publish a job as the data.")
			return nil
		}
		top = top.Content[0]
	}
	p := yamlParser{r: r}
	root := p.value(top, &node{}, 1)
	switch {
	case p.deep:
		r.add(place{}, TooLarge, fmt.Sprintf("Objects and lists are nested more than %d deep.", MaxDepth), "")
		return nil
	case p.count > maxNodes:
		r.add(place{}, TooLarge, fmt.Sprintf("The document has more than %d values.", maxNodes), "")
		return nil
	}
	p.aliases(root)
	return root
}

// aliases reports the aliases, which could make a small document endless.
func (p *yamlParser) aliases(n *node) {
	if n.kind == broken {
		if !n.bad {
			p.r.at(n, Malformed, "YAML aliases are not read.", "Write the value out.")
		}
		return
	}
	for _, m := range n.members {
		p.aliases(m)
	}
	for _, item := range n.items {
		p.aliases(item)
	}
}

// excerptError keeps the first line of a reader's error, which names line and
// column, and no more: later lines can quote the document.
func excerptError(err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return clean(strings.TrimRight(first, ".:"), 160)
}

type yamlParser struct {
	r     *report
	count int
	deep  bool
}

// value reads y into n, which knows its place already.
func (p *yamlParser) value(y *yaml.Node, n *node, depth int) *node {
	p.count++
	n.pos = p.count
	if p.deep = p.deep || depth > MaxDepth+1; p.deep || p.count > maxNodes {
		return n
	}
	if y.Style&yaml.TaggedStyle != 0 {
		n.kind, n.text = unclear, y.Value
		return n
	}
	switch y.Kind {
	case yaml.SequenceNode:
		n.kind = list
		for _, c := range y.Content {
			n.items = append(n.items, p.value(c, &node{parent: n, index: len(n.items)}, depth+1))
		}
	case yaml.MappingNode:
		n.kind = object
		p.members(y, n, depth)
	case yaml.ScalarNode:
		n.kind, n.text = text, y.Value
		if y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			n.kind, n.text = resolve(y.Value)
		}
	default:
		n.kind = broken // an alias; told when its place is known
	}
	return n
}

func (p *yamlParser) members(y *yaml.Node, n *node, depth int) {
	seen := map[string]bool{}
	for i := 0; i+1 < len(y.Content) && p.count <= maxNodes; i += 2 {
		k := y.Content[i]
		key := p.value(k, &node{parent: n, key: k.Value}, depth+1)
		m := p.value(y.Content[i+1], &node{parent: n, key: k.Value}, depth+1)
		if p.deep || p.count > maxNodes {
			return // told for the document as a whole
		}
		if key.kind == object || key.kind == list || key.kind == broken {
			p.r.at(n, InvalidValue, "A key is not text.", "")
			continue
		}
		switch {
		case key.kind != text:
			p.r.at(m, InvalidValue, "The key is not text to YAML.", "Quote the key.")
			m.kind = broken
		case key.text == "<<" && k.Style == 0:
			p.r.at(m, Malformed, "Merge keys are not read.", "Write the fields out.")
			m.kind = broken
		}
		if seen[m.key] {
			p.r.at(m, DuplicateField, "This key comes twice in one object.", "Keep one of them.")
			continue
		}
		seen[m.key] = true
		n.members = append(n.members, m)
	}
}

var (
	// jsonNumber is what every version of YAML, and JSON, reads as one number.
	jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)
	// oddNumber is what some version of YAML reads as a number: octal, hex,
	// binary, underscores, base 60, bare dots, infinity.
	oddNumber = regexp.MustCompile(`^([-+]?(0x[0-9a-fA-F_]+|0o[0-7_]+|0b[01_]+|[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?` +
		`|\.[0-9_]+([eE][-+]?[0-9]+)?|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN))$`)
)

// resolve says what a plain YAML scalar is.
func resolve(s string) (kind, string) {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return null, s
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return boolean, strings.ToLower(s)
	case "yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF":
		return unclear, s
	}
	switch {
	case jsonNumber.MatchString(s):
		return number, s
	case oddNumber.MatchString(s):
		return unclear, s
	}
	return text, s
}
