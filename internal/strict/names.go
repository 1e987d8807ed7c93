package strict

import (
	"strings"
	"unicode"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// FieldOf finds a field by its camelCase or snake_case name.
func FieldOf(md protoreflect.MessageDescriptor, key string) protoreflect.FieldDescriptor {
	if fd := md.Fields().ByJSONName(key); fd != nil {
		return fd
	}
	return md.Fields().ByName(protoreflect.Name(key))
}

// fieldList says that an object is wanted, with its fields if they are few.
func (n *Node) fieldList(md protoreflect.MessageDescriptor) string {
	if md.Fields().Len() > 4 {
		return "an object"
	}
	var names []string
	for i := range md.Fields().Len() {
		names = append(names, n.Spell(string(md.Fields().Get(i).Name())))
	}
	return "an object {" + strings.Join(names, ", ") + "}"
}

// onlyText is the name of the only field of a message where that is a text, else
// empty: users write the text alone.
func onlyText(md protoreflect.MessageDescriptor) string {
	if fd := md.Fields().Get(0); md.Fields().Len() == 1 && fd.Kind() == protoreflect.StringKind && !fd.IsList() {
		return string(fd.Name())
	}
	return ""
}

// Spell writes a proto field name as the nearest names around it are written:
// snake_case where they show it, else camelCase.
func (n *Node) Spell(name string) string {
	if n.Snakes() {
		return name
	}
	return Camel(name)
}

// Camel turns snake_case into camelCase, as protojson does.
func Camel(name string) string {
	var b strings.Builder
	up := false
	for _, c := range name {
		switch {
		case c == '_':
			up = true
		case up:
			b.WriteRune(unicode.ToUpper(c))
			up = false
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// Snake turns camelCase into snake_case, path by path.
func Snake(path string) string {
	var b strings.Builder
	for _, c := range path {
		if unicode.IsUpper(c) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// Snakes says whether the nearest names of two words around a node are written
// in snake_case.
func (n *Node) Snakes() bool {
	for m := n; m != nil; m = m.Parent {
		for _, c := range m.Members {
			if strings.Contains(c.Key, "_") {
				return true
			}
			if strings.IndexFunc(c.Key, unicode.IsUpper) > 0 {
				return false
			}
		}
		if m == n && len(n.Items) > 0 {
			return n.Items[0].Snakes()
		}
	}
	return false
}

// FixName proposes what an unknown name may mean. near are the names
// that come close; when none does, all are listed.
func FixName(near []string, sure bool, all []string) string {
	switch {
	case sure:
		return "Write " + near[0] + "."
	case len(near) > 0:
		return "Did you mean " + Either(near) + "?"
	}
	if list := strings.Join(all, ", "); len(list) <= MaxText-40 {
		return "The names are " + list + "."
	}
	return "Look the name up in the reference of the API."
}

// Either joins names as alternatives.
func Either(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}
