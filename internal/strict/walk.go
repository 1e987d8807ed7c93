package strict

import (
	"cmp"
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"

	"example.com/berth/internal/reason"
)

// A walker goes through a document along a proto descriptor. It reports every
// place that protojson would refuse, as the author wrote it, and leaves in each
// node the value to give protojson, which then has nothing to refuse.
type Walker struct {
	R     *Report
	Rules *Rules
}

// Message walks an object as a message. Fields in skip are passed over.
func (w Walker) Message(n *Node, md protoreflect.MessageDescriptor, skip map[string]bool) {
	if n.Kind != Object {
		if name := onlyText(md); name != "" && n.Kind == Text {
			n.Private = w.Rules.Private[md.Fields().ByName(protoreflect.Name(name)).FullName()]
			w.R.At(n, reason.InvalidValue, "Want "+n.fieldList(md)+", found text.", n.Exactly(fmt.Sprintf("Write {%q: %%q}.", n.Spell(name)), n.Text, fmt.Sprintf("Write it as {%q: ...}.", n.Spell(name))))
			return
		}
		w.Mistyped(n, n.fieldList(md))
		return
	}
	n.fields = fieldSet{}
	value := map[string]any{}
	for _, m := range n.Members {
		if w.R.Full() {
			return
		}
		w.R.Work++
		fd := FieldOf(md, m.Key)
		if fd == nil {
			n.Unknown = append(n.Unknown, m)
			if !m.Bad {
				w.R.At(m, reason.UnknownField, "No field has this name here.", FixKey(m.Key, w.Rules.Unknown(md, m)))
			}
			continue
		}
		name := string(fd.Name())
		if twin := n.fields[name]; twin != nil {
			w.R.At(m, reason.DuplicateField, fmt.Sprintf("This is another spelling of %s.", twin.Key), "Keep one of them.")
			continue
		}
		n.fields[name] = m
		if skip[name] || unset(m, fd) {
			if m.Kind == Text && fd.IsList() && fd.Message() == nil { // gcloud sends one empty text for it
				w.R.Warn(m.Place(), "This empty text is read as an empty list.", `Write [""] for a list of one empty text.`)
			}
			continue // it is removed below, once its other spelling was looked for
		}
		w.field(m, fd)
		if !Zero(m.Value) {
			value[fd.JSONName()] = m.Value
		}
	}
	for name, m := range n.fields {
		if !skip[name] && unset(m, FieldOf(md, m.Key)) {
			delete(n.fields, name)
		}
	}
	w.oneofs(n, md, value)
	n.Value = value
	if len(value) > 0 || n.Parent != nil && n.Parent.Kind == List {
		w.Rules.Walked(w.R, n, md)
	}
}

// oneofs holds that of the fields that exclude each other one is set. A message
// without content is not set where another is.
func (w Walker) oneofs(n *Node, md protoreflect.MessageDescriptor, value map[string]any) {
	for i := range md.Oneofs().Len() {
		o := md.Oneofs().Get(i)
		if o.IsSynthetic() {
			continue
		}
		var first *Node
		for _, m := range n.Members {
			fd := FieldOf(md, m.Key)
			if fd == nil || fd.ContainingOneof() != o || n.fields[string(fd.Name())] != m {
				continue
			}
			_, set := value[fd.JSONName()]
			switch {
			case set && first != nil:
				w.R.At(m, reason.Conflict, fmt.Sprintf(w.Rules.OneOf, first.Key, m.Key), "Leave one of them out.")
			case set:
				first = m
			}
		}
		for name, m := range n.fields {
			fd := FieldOf(md, m.Key)
			if _, set := value[fd.JSONName()]; first != nil && !set && fd.ContainingOneof() == o {
				delete(n.fields, name)
			}
		}
	}
}

// unset says whether a value means that its field is not set. Programs that print
// every field write "", [] or {} for a field of any type that has no value; gcloud
// reads [] so as well.
func unset(n *Node, fd protoreflect.FieldDescriptor) bool {
	return n.Blank() && (n.Kind != Object || fd.IsList() || fd.IsMap())
}

// Zero says whether a walked value is what proto3 reads when nothing is set. A
// value that was refused is not.
func Zero(value any) bool {
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

func (w Walker) field(n *Node, fd protoreflect.FieldDescriptor) {
	switch {
	case fd.IsMap():
		w.Texts(n)
	case fd.IsList():
		w.List(n, fd)
	default:
		w.single(n, fd)
	}
}

func (w Walker) List(n *Node, fd protoreflect.FieldDescriptor) {
	if n.Kind != List {
		w.only(n, fd)
		return
	}
	if limit, ok := w.Rules.MaxItems[fd.Name()]; ok && len(n.Items) > limit {
		w.R.At(n, reason.TooLarge, fmt.Sprintf("The list has %d entries; at most %d are allowed.", len(n.Items), limit), "Leave some of them out.")
		return
	}
	values := []any{}
	for _, item := range n.Items {
		w.R.Work++
		if item.Kind == Null {
			w.R.At(item, reason.InvalidValue, "A list entry is null.", cmp.Or(w.Rules.NullEntry[fd.Name()], "Leave the entry out."))
			continue
		}
		w.single(item, fd)
		values = append(values, item.Value)
	}
	n.Value = values
}

// only walks a value that stands for a list with this one entry, as gcloud takes
// any repeated field.
func (w Walker) only(n *Node, fd protoreflect.FieldDescriptor) {
	md := fd.Message()
	switch {
	case md == nil && n.Kind == Object, md != nil && n.Kind != Object:
		w.Mistyped(n, "a list")
	case md != nil && md.Fields().ByName("value") != nil && !names(n, md):
		w.Mistyped(n, "a list of {name, value}")
	default:
		w.single(n, fd)
		switch {
		case n.Bad:
		case Zero(n.Value):
			n.Value = []any{}
		default:
			n.Value = []any{n.Value}
		}
	}
}

// names says whether an object has a member that is a field of the message.
func names(n *Node, md protoreflect.MessageDescriptor) bool {
	for _, m := range n.Members {
		if FieldOf(md, m.Key) != nil {
			return true
		}
	}
	return false
}

// Texts walks a map of text to text.
func (w Walker) Texts(n *Node) {
	if n.Kind != Object {
		w.Mistyped(n, "an object of text values")
		return
	}
	values := map[string]any{}
	for _, m := range n.Members {
		w.R.Work++
		if m.Kind != Text {
			w.Mistyped(m, "text")
			continue
		}
		m.Value = m.Text
		values[m.Key] = m.Text
	}
	n.Value = values
}
