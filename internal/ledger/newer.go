package ledger

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// Layout is the layout of the documents that this release writes. During a roll-out,
// and after a roll-back, instances of neighbouring releases write the same documents.
// So what is stored changes by these rules:
//
//   - A new field raises Layout by one if its zero value means what its absence meant.
//     So does a new word in a place where [Record.Understood] refuses unknown words.
//     Every document then names the new layout and, as "since", the oldest layout whose
//     releases may read it, which stays as it was.
//   - A release reads a document of a later layout if its own layout is since or later.
//     It writes the later layout back, and with it the fields that it does not know. It
//     cannot read any other document of a later layout ([UnreadableError]): it skips the
//     document, does not write it, and frees no hold of it.
//   - A change of meaning raises since too. The release before that change must read
//     both meanings.
//
// A release keeps a field that it does not know for as long as it keeps the object that
// has the field, at every depth. It knows an element of a list again by its identity
// ([identities]), or else by its content: if it changes an element without identity,
// the element's unknown fields are lost. A reason, an error of a job, and the hold of
// another run are new objects, so they inherit nothing.
//
// A ledger stores some fields a second time, next to the document's text, for queries.
// It writes back those that it does not know, as they were, although the document may
// have changed. So a query by a new field must check what it finds.
//
// An event in the outbox is published by the release that finds it, with the fields that
// this release knows, whatever its type.
//
// testdata/stored has documents of every layout that this release reads, and a document
// of each kind with a value in every field of its own layout. A test reads them, and so
// notices a change that has not raised Layout.
const (
	Layout       = 4
	OldestLayout = 2 // the oldest that this release reads
	Since        = 2 // the oldest layout whose releases may read what this release writes
)

// Readable reports whether this release may read a document of a layout. since is the
// oldest layout whose releases may read it, 0 for the layout itself.
func Readable(layout, since int) bool {
	if since == 0 {
		since = layout
	}
	return layout >= OldestLayout && since <= Layout
}

// Versioned is the part of a document that holds what a newer release has written into
// it.
type Versioned struct {
	Newer *Newer `json:"-"` // nil for a document of this release or an older one; never changed in place
}

func (v *Versioned) versioned() *Versioned { return v }

// Newer is what a newer release has written into a document.
type Newer struct {
	Layout, Since int
	Unknown       *Unknown // fields of the document that this release does not know; nil for none
	// Stored are fields that a ledger stores next to the document's text and does not
	// know. Only that ledger reads them.
	Stored any
}

// Unknown are the members of a JSON object that its Go type has no field for, and those
// of the objects in it.
type Unknown struct {
	Members map[string]json.RawMessage
	// Within are the objects further down that have unknown members: by the name of a
	// member, by the key of a map, or by the name of an element of a list
	// ([elementNames]).
	Within map[string]*Unknown
	// of names the object if another can take its place under the same name: the
	// members must not go to that one. "" if none can.
	of string
}

// Marshal returns the JSON text of a document, with the fields that a newer release has
// written into it.
func Marshal(doc Document) ([]byte, error) {
	own, err := plain(doc)
	if err != nil {
		return nil, err
	}
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

// into adds the unknown members to the JSON text of what this release knows. Members of
// an object that is no longer in the document, a hold for example, are dropped.
func (u *Unknown) into(text []byte) (json.RawMessage, error) {
	if list := []json.RawMessage(nil); json.Unmarshal(text, &list) == nil {
		for i, name := range elementNames(list, list) {
			if within := u.Within[name]; within != nil {
				merged, err := within.into(list[i])
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
		if !present || within.of != "" && within.of != identity(value) && within.of != string(value) {
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

// plain encodes a value as one line of JSON, without the escapes that only HTML needs:
// they take six bytes in the place of one.
func plain(v any) (json.RawMessage, error) {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n")), nil
}

// replaced are the types of values that a release never changes in place: another value
// is another object.
var replaced = []reflect.Type{reflect.TypeFor[reason.Problem](), reflect.TypeFor[message.JobError]()}

// unknown collects the members of a JSON value that its Go type has no field for; nil
// for none. A type with a decoder of its own has no unknown members.
func unknown(text []byte, t reflect.Type) *Unknown {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return nil
	}
	u := &Unknown{}
	within := func(name string, text []byte, t reflect.Type, of string) {
		if inner := unknown(text, t); inner != nil {
			if u.Within == nil {
				u.Within = map[string]*Unknown{}
			}
			inner.of = of
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
			if field, ok := known[strings.ToLower(name)]; ok { // encoding/json ignores case
				of := ""
				if field.Kind() == reflect.Pointer && slices.Contains(replaced, field.Elem()) {
					of = string(knownText(value, field))
				}
				within(name, value, field, of)
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
			within(name, value, t.Elem(), identity(value))
		}
	case reflect.Slice:
		var list, known []json.RawMessage
		if json.Unmarshal(text, &list) != nil {
			return nil
		}
		for _, element := range list {
			known = append(known, knownText(element, t.Elem()))
		}
		for i, name := range elementNames(list, known) {
			within(name, list[i], t.Elem(), "")
		}
	}
	if u.Members == nil && u.Within == nil {
		return nil
	}
	return u
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// knownText is what this release writes of a JSON value that it reads as a type.
func knownText(text []byte, t reflect.Type) json.RawMessage {
	v := reflect.New(t)
	if json.Unmarshal(text, v.Interface()) != nil {
		return text
	}
	known, err := plain(v.Interface())
	if err != nil {
		return text
	}
	return known
}

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

// identities are the members that identify an object, the first that it has: the id of
// an event or a pool, the key of a head, the job of foreign use, the worker pool of a
// need, the receiver of a grant, the run of a hold.
var identities = []string{"id", "key", "job", "workerPool", "to", "run"}

// identity names an object by one of its members, "" if it has none of [identities].
func identity(object json.RawMessage) string {
	members := map[string]json.RawMessage{}
	if json.Unmarshal(object, &members) != nil {
		return ""
	}
	i := slices.IndexFunc(identities, func(name string) bool { return members[name] != nil })
	if i < 0 {
		return ""
	}
	return identities[i] + "=" + string(members[identities[i]])
}

// elementNames names the elements of a list: by their identity, or else by what this
// release knows of their content. Those of the same name are numbered.
func elementNames(list, known []json.RawMessage) []string {
	var names []string
	times := map[string]int{}
	for i, element := range list {
		name := cmp.Or(identity(element), string(known[i]))
		if times[name]++; times[name] > 1 {
			name = fmt.Sprintf("%s #%d", name, times[name])
		}
		names = append(names, name)
	}
	return names
}

// NewerOf returns what a newer release has written into a document, nil for nothing.
func NewerOf(doc Document) *Newer { return doc.versioned().Newer }
