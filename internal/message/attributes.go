package message

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/spelling"
	"example.com/berth/internal/strict"
)

// attributePrefix begins the names of the attributes that Berth reads.
const attributePrefix = "berth-"

// cancelAttribute marks a message that has no data and asks for a cancel.
const cancelAttribute = attributePrefix + "cancel"

// afterData is the position of the attributes, which follow the data.
const afterData = 1 << 30

func attributeName(option string) string {
	return attributePrefix + strings.ReplaceAll(option, "_", "-")
}

// berthAttributes makes an object of the attributes that are Berth's, so that
// they are read as an envelope's fields are. Attribute values are text; those
// of options that are not are read into numbers, booleans and objects here.
func berthAttributes(all map[string]string, r *report) *strict.Node {
	root := &strict.Node{Kind: strict.Object}
	n := &strict.Node{Kind: strict.Object, Parent: root, Key: "attributes", Pos: afterData}
	for i, key := range slices.Sorted(maps.Keys(all)) {
		if !strings.HasPrefix(strings.ToLower(key), attributePrefix) {
			continue
		}
		m := &strict.Node{Parent: n, Key: key, Kind: strict.Text, Text: all[key], Pos: afterData + 1 + i}
		n.Members = append(n.Members, m)
		switch {
		case optionNames[key] == "" && cancelNames[key] == "" && key != cancelAttribute:
			r.At(m, reason.UnknownField, "No attribute of Berth has this name.", fixAttribute(key))
		case len(m.Text) > maxAttribute:
			r.At(m, reason.TooLarge, fmt.Sprintf("The attribute is longer than %d bytes.", maxAttribute), "Shorten it, or publish an envelope, whose options have no such limit.")
			m.Kind = strict.Broken
		case !utf8.ValidString(m.Text):
			r.At(m, reason.InvalidValue, "The attribute is not UTF-8 text.", "Write it as UTF-8.")
			m.Kind = strict.Broken
		case m.Text == "":
			m.Kind = strict.Null // the same as one that is not sent
		case key == cancelAttribute, key == attributeName("dry_run"):
			if m.Text == "true" || m.Text == "false" {
				m.Kind = strict.Boolean
			} else {
				r.At(m, reason.InvalidValue, "Want true or false.", "Write true or false, in small letters.")
				m.Kind = strict.Broken
			}
		case key == attributeName("priority") && strict.IsNumber(m.Text):
			m.Kind = strict.Number
		case key == attributeName("labels"):
			labelList(m, r)
		}
	}
	return n
}

func fixAttribute(key string) string {
	known := slices.Sorted(maps.Keys(optionNames))
	known = append(known, slices.Sorted(maps.Keys(cancelNames))...)
	known = append(slices.DeleteFunc(known, func(name string) bool { return !strings.HasPrefix(name, attributePrefix) }), cancelAttribute)
	slices.Sort(known)
	words := optionWords
	words.Noise = []string{strings.TrimSuffix(attributePrefix, "-")}
	near, sure := spelling.Nearest(key, known, words)
	if len(near) == 0 {
		return "Berth's attributes are " + strings.Join(slices.Compact(known), ", ") + "; call an attribute of your own something else."
	}
	return strict.FixName(near, sure, known)
}

// labelList reads "team=vision,stage=dev" into an object.
func labelList(n *strict.Node, r *report) {
	n.Kind = strict.Object
	for pair := range strings.SplitSeq(n.Text, ",") {
		key, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok:
			r.At(n, reason.InvalidValue, "A label is not written as key=value.", "Write key=value,key=value.")
			n.Kind, n.Members = strict.Broken, nil
			return
		case n.Member(key) != nil:
			r.At(n, reason.DuplicateField, "A label key comes twice.", "Keep one of them.")
		default:
			n.Members = append(n.Members, &strict.Node{Parent: n, Key: key, Kind: strict.Text, Text: value, Pos: n.Pos})
		}
	}
}
