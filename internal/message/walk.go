package message

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/spelling"
)

// A walker goes through a document along a proto descriptor. It reports every
// place that protojson would refuse, as the author wrote it, and leaves in each
// node the value to give protojson, which then has nothing to refuse.
type walker struct{ r *report }

// Bounds on lists, by field name, as Vertex AI documents them. Other lists are
// bounded by maxNodes alone.
var maxItems = map[protoreflect.Name]int{
	"worker_pool_specs": 4,
	"env":               100,
	"package_uris":      100,
}

// message walks an object as a message. Fields in skip are passed over.
func (w walker) message(n *node, md protoreflect.MessageDescriptor, skip map[string]bool) {
	if n.kind != object {
		if name := onlyText(md); name != "" && n.kind == text {
			w.r.at(n, reason.InvalidValue, "Want "+n.fieldList(md)+", found text.", exactly(fmt.Sprintf("Write {%q: %%q}.", n.spell(name)), n.text, fmt.Sprintf("Write it as {%q: ...}.", n.spell(name))))
			return
		}
		w.mistyped(n, n.fieldList(md))
		return
	}
	n.fields = fieldSet{}
	value := map[string]any{}
	for _, m := range n.members {
		if w.r.full() {
			return
		}
		w.r.work++
		fd := fieldOf(md, m.key)
		if fd == nil {
			n.unknown = append(n.unknown, m)
			if !m.bad {
				w.r.at(m, reason.UnknownField, "No field has this name here.", fixUnknown(md, m))
			}
			continue
		}
		name := string(fd.Name())
		if twin := n.fields[name]; twin != nil {
			w.r.at(m, reason.DuplicateField, fmt.Sprintf("This is another spelling of %s.", twin.key), "Keep one of them.")
			continue
		}
		n.fields[name] = m
		if skip[name] || unset(m, fd) {
			if m.kind == text && fd.IsList() && fd.Message() == nil { // gcloud sends one empty text for it
				w.r.warn(m.place(), "This empty text is read as an empty list.", `Write [""] for a list of one empty text.`)
			}
			continue // what is not set is forgotten below, when its other spelling was looked for
		}
		w.field(m, fd)
		if !zero(m.value) {
			value[fd.JSONName()] = m.value
		}
	}
	for name, m := range n.fields {
		if !skip[name] && unset(m, fieldOf(md, m.key)) {
			delete(n.fields, name)
		}
	}
	w.oneofs(n, md, value)
	n.value = value
	if len(value) > 0 || n.parent != nil && n.parent.kind == list {
		w.required(n, md)
	}
}

// oneofs holds that of the fields that exclude each other one is set. A message
// without content is not set where another is.
func (w walker) oneofs(n *node, md protoreflect.MessageDescriptor, value map[string]any) {
	for i := range md.Oneofs().Len() {
		o := md.Oneofs().Get(i)
		if o.IsSynthetic() {
			continue
		}
		var first *node
		for _, m := range n.members {
			fd := fieldOf(md, m.key)
			if fd == nil || fd.ContainingOneof() != o || n.fields[string(fd.Name())] != m {
				continue
			}
			_, set := value[fd.JSONName()]
			switch {
			case set && first != nil:
				w.r.at(m, reason.Conflict, fmt.Sprintf("A worker pool has %s or %s, not both.", first.key, m.key), "Leave one of them out.")
			case set:
				first = m
			}
		}
		for name, m := range n.fields {
			fd := fieldOf(md, m.key)
			if _, set := value[fd.JSONName()]; first != nil && !set && fd.ContainingOneof() == o {
				delete(n.fields, name)
			}
		}
	}
}

// unset says whether a value means that its field is not set. Programs that print
// every field write "", [] or {} for one that has no value, whatever its type;
// gcloud takes [] so as well.
func unset(n *node, fd protoreflect.FieldDescriptor) bool {
	return n.blank() && (n.kind != object || fd.IsList() || fd.IsMap())
}

// zero says whether a walked value is what proto3 reads when nothing is set. A
// value that was refused is not.
func zero(value any) bool {
	switch v := value.(type) {
	case string:
		return v == ""
	case int64:
		return v == 0
	case bool:
		return !v
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

func (w walker) field(n *node, fd protoreflect.FieldDescriptor) {
	switch {
	case fd.IsMap():
		w.texts(n)
	case fd.IsList():
		w.list(n, fd)
	default:
		w.single(n, fd)
	}
}

func (w walker) list(n *node, fd protoreflect.FieldDescriptor) {
	if n.kind != list {
		w.only(n, fd)
		return
	}
	if limit, ok := maxItems[fd.Name()]; ok && len(n.items) > limit {
		w.r.at(n, reason.TooLarge, fmt.Sprintf("The list has %d entries; at most %d are allowed.", len(n.items), limit), "Leave some of them out.")
		return
	}
	values := []any{}
	for _, item := range n.items {
		w.r.work++
		if item.kind == null {
			fix := "Leave the entry out."
			if fd.Name() == "worker_pool_specs" {
				fix = "Write {} for a worker pool that is not used."
			}
			w.r.at(item, reason.InvalidValue, "A list entry is null.", fix)
			continue
		}
		w.single(item, fd)
		values = append(values, item.value)
	}
	n.value = values
}

// only walks a value that stands for a list with this one entry, as gcloud takes
// any repeated field.
func (w walker) only(n *node, fd protoreflect.FieldDescriptor) {
	md := fd.Message()
	switch {
	case md == nil && n.kind == object, md != nil && n.kind != object:
		w.mistyped(n, "a list")
	case md != nil && md.Fields().ByName("value") != nil && !names(n, md):
		w.mistyped(n, "a list of {name, value}")
	default:
		w.single(n, fd)
		switch {
		case n.bad:
		case zero(n.value):
			n.value = []any{}
		default:
			n.value = []any{n.value}
		}
	}
}

// names says whether an object has a member that is a field of the message.
func names(n *node, md protoreflect.MessageDescriptor) bool {
	for _, m := range n.members {
		if fieldOf(md, m.key) != nil {
			return true
		}
	}
	return false
}

// texts walks a map of text to text.
func (w walker) texts(n *node) {
	if n.kind != object {
		w.mistyped(n, "an object of text values")
		return
	}
	values := map[string]any{}
	for _, m := range n.members {
		w.r.work++
		if m.kind != text {
			w.mistyped(m, "text")
			continue
		}
		m.value = m.text
		values[m.key] = m.text
	}
	n.value = values
}

func (w walker) single(n *node, fd protoreflect.FieldDescriptor) {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		if fd.Message().FullName() == "google.protobuf.Duration" {
			w.duration(n)
		} else {
			w.message(n, fd.Message(), nil)
		}
	case protoreflect.StringKind:
		w.text(n, fd)
	case protoreflect.BoolKind:
		if n.kind != boolean {
			w.mistyped(n, "true or false")
			return
		}
		n.value = n.text == "true"
	case protoreflect.EnumKind:
		w.enum(n, fd.Enum())
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		bits := 64
		if fd.Kind() == protoreflect.Int32Kind {
			bits = 32
		}
		i, ok := wholeNumber(n, bits)
		switch {
		case ok:
			n.value = i
		case n.kind == number:
			w.r.at(n, reason.InvalidValue, fmt.Sprintf("Want a whole number of %d bits.", bits), "Write a whole number in plain decimals.")
		default:
			w.mistyped(n, "a whole number")
		}
	default: // no other kind is in a CustomJob; a newer one is refused, not guessed at
		w.r.at(n, reason.Unsupported, "A field of this type is not supported.", "Leave it out, or use a newer release of Berth.")
	}
}

// freeText are the fields that programs read, where line breaks are usual.
var freeText = map[protoreflect.Name]bool{"args": true, "command": true, "value": true}

func (w walker) text(n *node, fd protoreflect.FieldDescriptor) {
	if n.kind != text {
		w.mistyped(n, "text")
		return
	}
	bad := control
	if freeText[fd.Name()] {
		bad = func(c rune) bool { return c == 0 }
	}
	if strings.ContainsFunc(n.text, bad) {
		w.r.at(n, reason.InvalidValue, "The text has control characters.", "Leave them out; a line break at the end of a YAML block is one.")
		return
	}
	n.value = n.text
	w.r.template(n)
}

func (w walker) duration(n *node) {
	if n.kind == unclear || n.kind == broken {
		w.mistyped(n, "a duration")
		return
	}
	if _, ok := seconds(n.text); !ok || n.kind != text {
		w.r.at(n, reason.InvalidValue, "Want a duration in seconds.", fixSeconds(n))
		return
	}
	n.value = n.text
}

// enum takes a name, or the number of a name that is known.
func (w walker) enum(n *node, ed protoreflect.EnumDescriptor) {
	if i, ok := wholeNumber(n, 32); ok && n.kind == number {
		if v := ed.Values().ByNumber(protoreflect.EnumNumber(i)); v != nil {
			n.value = enumText(v)
			return
		}
		w.r.at(n, reason.InvalidValue, "No value has this number.", "Write the name.")
		return
	}
	if n.kind != text {
		w.mistyped(n, "a name")
		return
	}
	if v := ed.Values().ByName(protoreflect.Name(n.text)); v != nil {
		n.value = enumText(v)
		return
	}
	var names []string
	for i := range ed.Values().Len() {
		names = append(names, string(ed.Values().Get(i).Name()))
	}
	near, sure := spelling.Nearest(n.text, names[1:], enumWords)
	w.r.at(n, reason.InvalidValue, fmt.Sprintf("No %s has the name \"%s\".", ed.Name(), excerpt(n.text)), mendEnum(n, ed, fixName(near, sure, names[1:])))
}

// mendEnum says how to write that there is no accelerator, where that is meant.
func mendEnum(n *node, ed protoreflect.EnumDescriptor, fix string) string {
	switch strings.ToLower(n.text) {
	case "none", "null", "no", "cpu":
		if ed.Name() == "AcceleratorType" {
			return "Leave it out, and its count, for a machine without accelerators."
		}
	}
	return fix
}

// enumText is the name of an enum's value; "" of the one that says nothing.
func enumText(v protoreflect.EnumValueDescriptor) string {
	if v.Number() == 0 {
		return ""
	}
	return string(v.Name())
}

// mistyped reports a value of the wrong kind.
func (w walker) mistyped(n *node, want string) {
	if n.bad {
		return // said already, for example of an object with a key that is not text
	}
	switch n.kind {
	case broken:
	case unclear:
		w.r.at(n, reason.InvalidValue, "Readers of YAML differ on this value.", fixUnclear(want))
	default:
		w.r.at(n, reason.InvalidValue, fmt.Sprintf("Want %s, found %s.", want, n.kind), n.mendHole(mendType(n, want)))
	}
}

// mendType says how to write what was meant, where the value is of the wrong kind.
func mendType(n *node, want string) string {
	switch {
	case want == "text" && (n.kind == number || n.kind == boolean):
		return exactly("Quote it: %q.", n.text, "Quote it.")
	case strings.HasPrefix(want, "a list of {name"):
		return "Write [{\"name\": ..., \"value\": ...}]."
	case want == "true or false":
		return mendPlain(n, boolean, "Write true or false.")
	}
	return "Write " + want + "."
}

// mendPlain says that a number, true or false stands in quotes, where it does.
func mendPlain(n *node, want kind, fix string) string {
	s := n.text
	if want == boolean {
		s = strings.ToLower(s)
	}
	if k, _ := resolve(s); n.kind == text && k == want && len(s) < 12 {
		return fmt.Sprintf("Write %s, without quotes.", s)
	}
	return fix
}

func fixUnclear(want string) string {
	switch want {
	case "text":
		return "Quote it."
	case "true or false":
		return "Write true or false."
	}
	return "Write it in plain decimals, or quote it if it is text."
}
