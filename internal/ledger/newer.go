package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Layout is the layout of documents that this release writes. Releases of one
// deployment may differ: instances of the one before and of the one after write the
// same documents during a roll-out and after a roll-back. The rule for a change of what
// is stored:
//
//   - A field whose zero value means what its absence meant, and a word in a place
//     where [Record.Understood] or its like refuses words that it does not know, raise
//     Layout by one. The release says so in every document, together with the oldest
//     layout whose releases may read it ("since"), which stays as it was.
//   - A release reads a document of a later layout if its own is no older than since.
//     It keeps the fields that it does not know, at every depth, and writes them and
//     the later layout back. Otherwise the document is an [UnreadableError]: it is
//     skipped, never written, and no hold of it is freed.
//   - A change of meaning raises since as well. It needs a release in between that
//     reads both.
//
// A tested release reads every layout from OldestLayout on: testdata/stored has
// documents of each.
const (
	Layout       = 2
	OldestLayout = 2
)

// Readable says whether this release may read a document of a layout; since is the
// oldest layout whose releases may, 0 for the layout itself.
func Readable(layout, since int) bool {
	if since == 0 {
		since = layout
	}
	return layout >= OldestLayout && since <= Layout
}

// Versioned is a part of every document: what a newer release has written into it.
type Versioned struct {
	Newer *Newer `json:"-"` // nil for a document of this release or an older one; never changed in place
}

func (v *Versioned) versioned() *Versioned { return v }

// Newer is what a document has of a newer release.
type Newer struct {
	Layout, Since int
	Unknown       *Unknown // fields that this release does not know; nil for none
}

// Unknown are the members of a JSON object that its Go type has no field for.
type Unknown struct {
	Members map[string]json.RawMessage
	// Within are the unknown members further down: by the name of a member, by the key
	// of a map, or by the identity of an element of a list (see identity).
	Within map[string]*Unknown
}

// Marshal is the JSON text of a document, with the fields that a newer release has
// written into it.
func Marshal(doc Document) ([]byte, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // six bytes for one
	if err := e.Encode(doc); err != nil {
		return nil, err
	}
	own := bytes.TrimSuffix(text.Bytes(), []byte("\n"))
	if newer := doc.versioned().Newer; newer != nil && newer.Unknown != nil {
		return newer.Unknown.into(own)
	}
	return own, nil
}

// Unmarshal reads the JSON text of a document of a layout that is [Readable].
func Unmarshal(text []byte, layout, since int, doc Document) error {
	if err := json.Unmarshal(text, doc); err != nil {
		return err
	}
	if layout > Layout {
		doc.versioned().Newer = &Newer{Layout: layout, Since: since, Unknown: unknown(text, reflect.TypeOf(doc).Elem())}
	}
	return nil
}

// into adds the unknown members to the JSON text of what is known. What has gone from
// the document meanwhile, a hold for example, takes its unknown members along.
func (u *Unknown) into(text []byte) (json.RawMessage, error) {
	if list := []json.RawMessage(nil); json.Unmarshal(text, &list) == nil {
		for i, element := range list {
			if within := u.Within[identity(element)]; within != nil {
				merged, err := within.into(element)
				if err != nil {
					return nil, err
				}
				list[i] = merged
			}
		}
		return plain(list)
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, fmt.Errorf("add the fields of a newer release: %w", err)
	}
	for name, value := range u.Members {
		if _, known := members[name]; !known {
			members[name] = value
		}
	}
	for name, within := range u.Within {
		value, present := members[name]
		if !present {
			continue
		}
		merged, err := within.into(value)
		if err != nil {
			return nil, err
		}
		members[name] = merged
	}
	return plain(members)
}

// plain encodes without the escapes that only HTML needs.
func plain(v any) (json.RawMessage, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// unknown collects the members of a JSON value that a type has no field for; nil for
// none. A type with a decoder of its own knows its whole text.
func unknown(text []byte, t reflect.Type) *Unknown {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return nil
	}
	u := &Unknown{}
	within := func(name string, text []byte, t reflect.Type) {
		if inner := unknown(text, t); inner != nil {
			if u.Within == nil {
				u.Within = map[string]*Unknown{}
			}
			u.Within[name] = inner
		}
	}
	members := map[string]json.RawMessage{}
	switch t.Kind() {
	case reflect.Struct:
		if json.Unmarshal(text, &members) != nil {
			return nil
		}
		known := fields(t)
		for name, value := range members {
			if field, ok := known[strings.ToLower(name)]; ok { // encoding/json does not tell case apart
				within(name, value, field)
				continue
			}
			if u.Members == nil {
				u.Members = map[string]json.RawMessage{}
			}
			u.Members[name] = value
		}
	case reflect.Map:
		if json.Unmarshal(text, &members) != nil {
			return nil
		}
		for name, value := range members {
			within(name, value, t.Elem())
		}
	case reflect.Slice:
		var list []json.RawMessage
		if json.Unmarshal(text, &list) != nil {
			return nil
		}
		for _, element := range list {
			if id := identity(element); id != "" {
				within(id, element, t.Elem())
			}
		}
	}
	if u.Members == nil && u.Within == nil {
		return nil
	}
	return u
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// fields are the types of the fields of a struct by their names in JSON, in small
// letters.
func fields(t reflect.Type) map[string]reflect.Type {
	known := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "":
			maps.Copy(known, fields(f.Type))
		default:
			if name == "" {
				name = f.Name
			}
			known[strings.ToLower(name)] = f.Type
		}
	}
	return known
}

// identities are the members by which an element of a list is known again, the first
// that it has: the id of an event, the key of a head, the job of foreign use, the
// worker pool of a need, the receiver of a grant.
var identities = []string{"id", "key", "job", "workerPool", "to", "run"}

// identity names an element of a list, "" if nothing does; its unknown members are
// lost then when it is written.
func identity(element json.RawMessage) string {
	members := map[string]json.RawMessage{}
	if json.Unmarshal(element, &members) != nil {
		return ""
	}
	i := slices.IndexFunc(identities, func(name string) bool { return members[name] != nil })
	if i < 0 {
		return ""
	}
	return identities[i] + "=" + string(members[identities[i]])
}

// NewerOf is what a document has of a newer release, nil for nothing.
func NewerOf(doc Document) *Newer { return doc.versioned().Newer }
