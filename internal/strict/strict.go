// Package strict reads a JSON or YAML document into a tree, walks the tree along a
// proto descriptor, and reports everything that is wrong, each problem at its path
// as the author wrote it. It is pure, and knows no job and no message: what only
// one kind of document has is in the [Reader] and the [Rules] that the caller gives.
//
// [Reader.JSON] and [Reader.Data] make the tree of [Node]s. Its size and depth, the
// bytes scanned and the values that YAML aliases stand for are bounded, so that the
// work grows with the bytes that came and no faster. [Walker.Message] compares the
// tree with a descriptor and leaves in each node the value to give protojson, which
// then has nothing to refuse. A [Report] collects the problems in document order.
//
// Reading is strict, because a field that is lost on the way can start a job on the
// wrong machines: repeated keys, two spellings of one field, and YAML that versions
// of YAML read differently are refused.
//
// encoding/json checks that a text is JSON and reads escapes; the reader's own code
// cuts valid text into values. The tokens of encoding/json's Decoder would do that
// too, but each is an allocation or two: 1550 in place of 918 for a request of
// 2 KiB, 126 in place of 34 for its push envelope, outside the bands of
// testdata/bench/allocs.json. encoding/json/jsontext is an experiment of the
// toolchain. YAML is loaded by go.yaml.in/yaml.
package strict

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"example.com/berth/internal/spelling"
)

// A Reader reads documents within limits, each of which is checked before the part
// that it bounds is parsed. Its texts end the problems of a document that cannot be
// read at all, because only the caller knows what was to be sent.
type Reader struct {
	MaxDepth  int // nesting of objects and lists
	MaxValues int // values of one document, those of its keys and aliases included
	MaxCopied int // bytes that YAML aliases stand for

	Deep     string // how to fix a document that is nested too deep
	Large    string // how to fix one that is too large
	Missing  string // how to fix one that is empty
	Many     string // how to fix several documents in one
	Scalar   string // how to fix one that is neither an object nor a list
	Language string // how to fix one that is neither JSON nor YAML
}

// Rules are what a [Walker] needs beyond the descriptors of the documents that it
// walks. Fields are keyed by their proto names.
type Rules struct {
	MaxItems  map[protoreflect.Name]int    // bounds on lists; the reader bounds others
	FreeText  map[protoreflect.Name]bool   // texts in which line breaks are usual
	NullEntry map[protoreflect.Name]string // how to fix a null in a list, where leaving it out is wrong
	OneOf     string                       // format of the problem of two fields that exclude each other
	EnumWords spelling.Vocabulary          // what users call the values of enums
	// Private are the fields that may hold secrets, by full name: no reason quotes their
	// values, because reasons go to events and to everybody who reads them.
	Private map[protoreflect.FullName]bool

	// Unknown says how to fix a member of unknown name.
	Unknown func(md protoreflect.MessageDescriptor, m *Node) string
	// Enum says how to fix an unknown name of an enum, or returns otherwise.
	Enum func(ed protoreflect.EnumDescriptor, n *Node, otherwise string) string
	// Walked is called with every message that has content, or that is an entry of
	// a list, after the walk.
	Walked func(r *Report, n *Node, md protoreflect.MessageDescriptor)
}
