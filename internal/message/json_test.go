package message

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// The tree of a JSON text says what encoding/json says.
func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{
		plainJob, pushEnvelope, `0`, `"a"`, ` null `, "[]", "{}", `[ 1 , -2.5e+3,"\\\"]}",{ "a" :true,"b":false , "c" : null}]`,
		`{"":{"a\u00e9":"\ud83d\ude00\/","é":["\n,:"]}}`, "[" + strings.Repeat(`{"a":[0,`, 3) + "1" + strings.Repeat(`]}`, 3) + "]",
		"[" + strings.Repeat("0,", maxNodes) + "0]", strings.Repeat(`{"a":[0,`, 3) + strings.Repeat("0,", maxNodes) + "0" + strings.Repeat(`]}`, 3),
	} {
		f.Add([]byte(seed))
	}
	for _, data := range hostile(f, "data.") {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &report{}
		root := parseJSON(data, r)
		if root == nil && r.ok() {
			t.Error("neither a tree nor a problem")
		}
		if !r.ok() {
			return
		}
		var want any
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		if err := d.Decode(&want); err != nil {
			t.Fatalf("read, though encoding/json says %v", err)
		}
		if got := plain(root); !reflect.DeepEqual(got, want) {
			t.Errorf("read %v, want %v", got, want)
		}
	})
}

// plain is a tree as encoding/json would return it.
func plain(n *node) any {
	switch n.kind {
	case null:
		return nil
	case boolean:
		return n.text == "true"
	case number:
		return json.Number(n.text)
	case list:
		all := make([]any, 0, len(n.items))
		for _, item := range n.items {
			all = append(all, plain(item))
		}
		return all
	case object:
		all := map[string]any{}
		for _, m := range n.members {
			all[m.key] = plain(m)
		}
		return all
	}
	return n.text
}
