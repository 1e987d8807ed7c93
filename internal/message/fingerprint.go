package message

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"
)

// fingerprint hashes what was received: the document with sorted keys, which
// is nil for a cancel by attributes, and Berth's attributes. White space, the
// order of keys, and whether it came as JSON or YAML make no difference; how a
// number is written does.
func fingerprint(root *node, attributes map[string]string) string {
	h := sha256.New()
	io.WriteString(h, "data ")
	if root != nil {
		canonical(h, root)
	}
	for _, key := range slices.Sorted(maps.Keys(attributes)) {
		if strings.HasPrefix(key, attributePrefix) {
			fmt.Fprintf(h, "\nattribute %s %s", quoted(key), quoted(attributes[key]))
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// canonical writes a document as JSON, keys sorted, without white space.
func canonical(h hash.Hash, n *node) {
	switch n.kind {
	case object:
		members := slices.SortedFunc(slices.Values(n.members), func(a, b *node) int { return strings.Compare(a.key, b.key) })
		io.WriteString(h, "{")
		for _, m := range members {
			io.WriteString(h, quoted(m.key)+":")
			canonical(h, m)
			io.WriteString(h, ",")
		}
		io.WriteString(h, "}")
	case list:
		io.WriteString(h, "[")
		for _, item := range n.items {
			canonical(h, item)
			io.WriteString(h, ",")
		}
		io.WriteString(h, "]")
	case text:
		io.WriteString(h, quoted(n.text))
	case null:
		io.WriteString(h, "null")
	default:
		io.WriteString(h, n.text)
	}
}

func quoted(s string) string {
	b, _ := json.Marshal(s) // a string always encodes
	return string(b)
}
