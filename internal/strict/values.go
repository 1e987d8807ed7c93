package strict

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/spelling"
)

func (w Walker) single(n *Node, fd protoreflect.FieldDescriptor) {
	n.Private = w.Rules.Private[fd.FullName()]
	switch fd.Kind() {
	case protoreflect.MessageKind:
		if fd.Message().FullName() == "google.protobuf.Duration" {
			w.Duration(n)
		} else {
			w.Message(n, fd.Message(), nil)
		}
	case protoreflect.StringKind:
		w.text(n, fd)
	case protoreflect.BoolKind:
		if n.Kind != Boolean {
			w.Mistyped(n, "true or false")
			return
		}
		n.Value = n.Text == "true"
	case protoreflect.EnumKind:
		w.enum(n, fd.Enum())
	case protoreflect.Int32Kind, protoreflect.Int64Kind:
		bits := 64
		if fd.Kind() == protoreflect.Int32Kind {
			bits = 32
		}
		i, ok := WholeNumber(n, bits)
		switch {
		case ok:
			n.Value = i
		case n.Kind == Number:
			w.R.At(n, reason.InvalidValue, fmt.Sprintf("Want a whole number of %d bits.", bits), "Write a whole number in plain decimals.")
		default:
			w.Mistyped(n, "a whole number")
		}
	default: // a CustomJob has no other kind; a newer one is refused, because a guess could lose it
		w.R.At(n, reason.Unsupported, "A field of this type is not supported.", "Leave it out, or use a newer release of Berth.")
	}
}

func (w Walker) text(n *Node, fd protoreflect.FieldDescriptor) {
	if n.Kind != Text {
		w.Mistyped(n, "text")
		return
	}
	bad := Control
	if w.Rules.FreeText[fd.Name()] {
		bad = func(c rune) bool { return c == 0 }
	}
	if strings.ContainsFunc(n.Text, bad) {
		w.R.At(n, reason.InvalidValue, "The text has control characters.", "Leave them out; a line break at the end of a YAML block is one.")
		return
	}
	n.Value = n.Text
	w.R.Template(n)
}

func (w Walker) Duration(n *Node) {
	if n.Kind == Unclear || n.Kind == Broken {
		w.Mistyped(n, "a duration")
		return
	}
	if _, ok := Seconds(n.Text); !ok || n.Kind != Text {
		w.R.At(n, reason.InvalidValue, "Want a duration in seconds.", fixSeconds(n))
		return
	}
	n.Value = n.Text
}

// enum takes a name, or the number of a name that is known.
func (w Walker) enum(n *Node, ed protoreflect.EnumDescriptor) {
	if i, ok := WholeNumber(n, 32); ok && n.Kind == Number {
		if v := ed.Values().ByNumber(protoreflect.EnumNumber(i)); v != nil {
			n.Value = enumText(v)
			return
		}
		w.R.At(n, reason.InvalidValue, "No value has this number.", "Write the name.")
		return
	}
	if n.Kind != Text {
		w.Mistyped(n, "a name")
		return
	}
	if v := ed.Values().ByName(protoreflect.Name(n.Text)); v != nil {
		n.Value = enumText(v)
		return
	}
	var names []string
	for i := range ed.Values().Len() {
		names = append(names, string(ed.Values().Get(i).Name()))
	}
	near, sure := spelling.Nearest(n.Text, names[1:], w.Rules.EnumWords)
	w.R.At(n, reason.InvalidValue, fmt.Sprintf("No %s has the name \"%s\".", ed.Name(), Excerpt(n.Text)), w.Rules.Enum(ed, n, FixName(near, sure, names[1:])))
}

// enumText is the name of an enum's value, "" of the unspecified one.
func enumText(v protoreflect.EnumValueDescriptor) string {
	if v.Number() == 0 {
		return ""
	}
	return string(v.Name())
}

// Mistyped reports a value of the wrong kind.
func (w Walker) Mistyped(n *Node, want string) {
	if n.Bad {
		return // reported already, for example an object with a key that is not text
	}
	switch n.Kind {
	case Broken:
	case Unclear:
		w.R.At(n, reason.InvalidValue, "Readers of YAML differ on this value.", fixUnclear(want))
	default:
		w.R.At(n, reason.InvalidValue, fmt.Sprintf("Want %s, found %s.", want, n.Kind), n.FixHole(fixType(n, want)))
	}
}

// fixType says how to write what was meant, where the value is of the wrong kind.
func fixType(n *Node, want string) string {
	switch {
	case want == "text" && (n.Kind == Number || n.Kind == Boolean):
		return n.Exactly("Quote it: %q.", n.Text, "Quote it.")
	case strings.HasPrefix(want, "a list of {name"):
		return "Write [{\"name\": ..., \"value\": ...}]."
	case want == "true or false":
		return FixPlain(n, Boolean, "Write true or false.")
	}
	return "Write " + want + "."
}

// FixPlain says that a number, true or false stands in quotes, where it does.
func FixPlain(n *Node, want Kind, fix string) string {
	s := n.Text
	if want == Boolean {
		s = strings.ToLower(s)
	}
	if k, _ := resolve(s); n.Kind == Text && k == want && len(s) < 12 {
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
