package message

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// fingerprint hashes what was received: the document with sorted keys, which
// is nil for a cancel by attributes, and Berth's attributes. White space, the
// order of keys, and whether it came as JSON or YAML make no difference; how a
// number is written does.
func fingerprint(root *node, attributes map[string]string) string {
	b := []byte("data ")
	if root != nil {
		b = appendCanonical(b, root)
	}
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		if strings.HasPrefix(key, attributePrefix) {
			b = appendQuoted(append(b, "\nattribute "...), key)
			b = appendQuoted(append(b, ' '), attributes[key])
		}
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// appendCanonical writes a document as JSON, keys sorted, without white space.
func appendCanonical(b []byte, n *node) []byte {
	switch n.kind {
	case object:
		members := slices.Clone(n.members)
		slices.SortFunc(members, func(a, b *node) int { return strings.Compare(a.key, b.key) })
		b = append(b, '{')
		for _, m := range members {
			b = append(appendQuoted(b, m.key), ':')
			b = append(appendCanonical(b, m), ',')
		}
		return append(b, '}')
	case list:
		b = append(b, '[')
		for _, item := range n.items {
			b = append(appendCanonical(b, item), ',')
		}
		return append(b, ']')
	case text:
		return appendQuoted(b, n.text)
	case null:
		return append(b, "null"...)
	}
	return append(b, n.text...)
}

// appendQuoted writes a string as encoding/json does.
func appendQuoted(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || strings.IndexByte(`"\<>&`, c) >= 0 {
			quoted, _ := json.Marshal(s) // a string always encodes
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
