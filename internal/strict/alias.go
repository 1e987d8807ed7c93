package strict

import (
	"strings"

	"go.yaml.in/yaml/v4"

	"example.com/berth/internal/reason"
)

// A yamlParser turns the nodes of the YAML loader into [Node]s. An alias becomes a
// copy of what it names, and a merge key the members that it brings, each at the
// place where it is used. A short document can so stand for any number of values:
// every copied value counts towards MaxValues, every copied byte towards MaxCopied.
type yamlParser struct {
	r      *Report
	d      Reader
	count  int                 // values so far
	copied int                 // bytes of keys and scalars within aliases
	within int                 // aliases around the value that is read now
	open   map[*yaml.Node]bool // objects and lists around it
	deep   bool
	other  bool // a plain text shows another language
}

// full says that a bound is reached. The document as a whole is then refused.
func (p *yamlParser) full() bool {
	return p.deep || p.count > p.d.MaxValues || p.copied > p.d.MaxCopied
}

// value reads y into n, which knows its place already.
func (p *yamlParser) value(y *yaml.Node, n *Node, depth int) *Node {
	p.enter(n, len(y.Value), depth)
	if n.Line == 0 { // the key of a member, or the alias that stands for the value, comes before it
		n.Line = y.Line
	}
	if p.full() {
		return n
	}
	switch y.Kind {
	case yaml.SequenceNode:
		n.Kind = List
		p.open[y] = true
		for _, c := range y.Content {
			n.Items = append(n.Items, p.value(c, &Node{Parent: n, Index: len(n.Items)}, depth+1))
		}
		delete(p.open, y)
	case yaml.MappingNode:
		n.Kind = Object
		p.members(y, n, map[string]bool{}, depth)
	case yaml.ScalarNode:
		n.Kind, n.Text = Text, y.Value
		if y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
			n.Kind, n.Text = resolve(y.Value)
			p.other = p.other || n.Kind == Text && notYAML(y.Value)
		}
	case yaml.AliasNode:
		if p.open[y.Alias] {
			n.Kind = Broken
			p.r.At(n, reason.Malformed, "This YAML alias stands within what it names.", "Write the value out.")
			return n
		}
		p.within++
		p.value(y.Alias, n, depth)
		p.within--
	}
	if y.Style&yaml.TaggedStyle != 0 && n.Kind != Broken {
		p.tagged(y, n)
	}
	return n
}

// tagged gives a value the type that its tag says. Tags of the core schema are read,
// as gcloud reads them; others stand for objects of a program.
func (p *yamlParser) tagged(y *yaml.Node, n *Node) {
	was := n.Kind
	plain, _ := resolve(y.Value)
	fits, known := false, true
	switch y.ShortTag() {
	case "!!str":
		fits = y.Kind == yaml.ScalarNode
		n.Kind, n.Text = Text, y.Value
	case "!!int", "!!float":
		fits = y.Kind == yaml.ScalarNode && plain == Number
		n.Kind = Number
	case "!!bool":
		fits = y.Kind == yaml.ScalarNode && plain == Boolean
		n.Kind, n.Text = Boolean, strings.ToLower(y.Value)
	case "!!null":
		fits = y.Kind == yaml.ScalarNode && plain == Null
		n.Kind = Null
	case "!!seq":
		fits = was == List
	case "!!map":
		fits = was == Object
	default:
		known = false
	}
	switch {
	case !known:
		p.r.At(n, reason.InvalidValue, "This YAML tag is not read.", "Leave the tag out. The tags !!str, !!int, !!float, !!bool, !!null, !!seq and !!map are read.")
	case !fits:
		p.r.At(n, reason.InvalidValue, "This YAML value is not what its tag says.", "Leave the tag out, or write a value of that type.")
	}
	if !fits {
		n.Kind = Broken
	}
}

// notYAML says whether the author of a plain text meant another language: it is a
// value of Python or JavaScript, or JSON with a comma missing or with typographic quotes.
func notYAML(s string) bool {
	switch strings.TrimPrefix(s, "-") {
	case "None", "NaN", "nan", "Infinity", "inf", "undefined":
		return true
	}
	return strings.ContainsAny(s, "\"“”")
}

// enter counts one value at its place.
func (p *yamlParser) enter(n *Node, bytes, depth int) {
	p.count++
	n.Pos = p.count
	p.deep = p.deep || depth > p.d.MaxDepth+1
	if p.within > 0 {
		p.copied += bytes
	}
}

// members reads the members of a mapping into n, except those in seen, and then those
// that its merge key brings. An object's own members win over merged ones, and the
// first of several merged objects over the others.
func (p *yamlParser) members(y *yaml.Node, n *Node, seen map[string]bool, depth int) {
	p.open[y] = true
	defer delete(p.open, y)
	own := map[string]bool{}
	var merge *yaml.Node
	for i := 0; i+1 < len(y.Content) && !p.full(); i += 2 {
		k := y.Content[i]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
			p.copied += len(k.Value)
		}
		key := p.value(k, &Node{Parent: n, Key: k.Value}, depth+1)
		switch {
		case key.Kind == Text && k.Value == "<<" && k.Style == 0:
			if merge != nil {
				p.r.At(&Node{Parent: n, Key: k.Value, Pos: p.count}, reason.DuplicateField, "This key comes twice in one object.", "Merge a list of objects.")
			}
			merge = y.Content[i+1]
			continue
		case key.Kind == Text && seen[k.Value] && !own[k.Value]:
			p.count++ // skipping it is work as well
			continue
		}
		m := p.value(y.Content[i+1], &Node{Parent: n, Key: k.Value, Line: y.Content[i].Line}, depth+1)
		switch {
		case p.full():
			return
		case key.Kind == Object || key.Kind == List || key.Kind == Broken:
			if !n.Bad {
				p.r.At(n, reason.InvalidValue, "A key is not text.", "Quote the key. If it is a {{name}} of a template, fill it in before the job is published.")
			}
			continue
		case key.Kind != Text:
			p.r.At(m, reason.InvalidValue, "The key is not text to YAML.", "Quote the key.")
			m.Kind = Broken
		}
		if own[m.Key] {
			p.r.At(m, reason.DuplicateField, "This key comes twice in one object.", "Keep one of them.")
			continue
		}
		own[m.Key], seen[m.Key] = true, true
		n.Members = append(n.Members, m)
	}
	if merge != nil {
		p.merge(merge, n, seen, depth+1)
	}
}

// merge reads what a merge key names: an object, an alias of one, or a list of
// such.
func (p *yamlParser) merge(y *yaml.Node, n *Node, seen map[string]bool, depth int) {
	at := &Node{Parent: n, Key: "<<"}
	p.enter(at, 0, depth)
	if p.full() {
		return
	}
	if y.Kind == yaml.AliasNode {
		y = y.Alias
		p.within++
		defer func() { p.within-- }()
	}
	switch {
	case p.open[y]:
		n.Bad = true // what it lacks is not reported
		p.r.At(at, reason.Malformed, "This YAML alias stands within what it names.", "Write the fields out.")
	case y.Style&yaml.TaggedStyle != 0 && y.ShortTag() != "!!map" && y.ShortTag() != "!!seq":
		n.Bad = true
		p.r.At(at, reason.InvalidValue, "What a merge key names has a tag.", "Leave the tag out.")
	case y.Kind == yaml.MappingNode:
		p.members(y, n, seen, depth)
	case y.Kind == yaml.SequenceNode:
		p.open[y] = true
		for _, c := range y.Content {
			p.merge(c, n, seen, depth+1)
		}
		delete(p.open, y)
	default:
		n.Bad = true
		p.r.At(at, reason.Malformed, "A merge key does not name an object.", "Write an alias of an object, or a list of such.")
	}
}
