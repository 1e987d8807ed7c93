package message

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/spelling"
)

// attributePrefix begins the names of the attributes that Berth reads.
const attributePrefix = "berth-"

// cancelAttribute marks a message that has no data and asks for a cancel.
const cancelAttribute = attributePrefix + "cancel"

func attributeName(option string) string {
	return attributePrefix + strings.ReplaceAll(option, "_", "-")
}

// berthAttributes makes an object of the attributes that are Berth's, so that
// they are read as an envelope's fields are. Attribute values are text; those
// of options that are not are read into numbers, booleans and objects here.
func berthAttributes(all map[string]string, r *report) *node {
	root := &node{kind: object}
	n := &node{kind: object, parent: root, key: "attributes", pos: afterData}
	for i, key := range slices.Sorted(maps.Keys(all)) {
		if !strings.HasPrefix(strings.ToLower(key), attributePrefix) {
			continue
		}
		m := &node{parent: n, key: key, kind: text, text: all[key], pos: afterData + 1 + i}
		n.members = append(n.members, m)
		switch {
		case optionNames[key] == "" && cancelNames[key] == "" && key != cancelAttribute:
			r.at(m, reason.UnknownField, "No attribute of Berth has this name.", fixAttribute(key))
		case len(m.text) > maxAttribute:
			r.at(m, reason.TooLarge, fmt.Sprintf("The attribute is longer than %d bytes.", maxAttribute), "Shorten it, or publish an envelope, whose options have no such limit.")
			m.kind = broken
		case !utf8.ValidString(m.text):
			r.at(m, reason.InvalidValue, "The attribute is not UTF-8 text.", "Write it as UTF-8.")
			m.kind = broken
		case m.text == "":
			m.kind = null // as good as not there
		case key == cancelAttribute, key == attributeName("dry_run"):
			if m.text == "true" || m.text == "false" {
				m.kind = boolean
			} else {
				r.at(m, reason.InvalidValue, "Want true or false.", "Write true or false, in small letters.")
				m.kind = broken
			}
		case key == attributeName("priority") && jsonNumber.MatchString(m.text):
			m.kind = number
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
	return fixName(near, sure, known)
}

// labelList reads "team=vision,stage=dev" into an object.
func labelList(n *node, r *report) {
	n.kind = object
	for pair := range strings.SplitSeq(n.text, ",") {
		key, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok:
			r.at(n, reason.InvalidValue, "A label is not written as key=value.", "Write key=value,key=value.")
			n.kind, n.members = broken, nil
			return
		case n.member(key) != nil:
			r.at(n, reason.DuplicateField, "A label key comes twice.", "Keep one of them.")
		default:
			n.members = append(n.members, &node{parent: n, key: key, kind: text, text: value, pos: n.pos})
		}
	}
}
