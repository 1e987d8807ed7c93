package strict

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"example.com/berth/internal/reason"
)

// documents has the limits of messages, and texts that show which of them was used.
var documents = Reader{MaxDepth: 32, MaxValues: 20_000, MaxCopied: 1 << 18,
	Deep: "Deep.", Large: "Large.", Missing: "Missing.", Many: "Many.", Scalar: "Scalar.", Language: "Language."}

// The tree of a JSON text says what encoding/json says.
func FuzzParseJSON(f *testing.F) {
	for _, seed := range []string{
		`[{"machineSpec": {"machineType": "n1-standard-4"}, "replicaCount": 1, "containerSpec": {"imageUri": "i"}}]`,
		`{"message": {"attributes": {"a": "b"}, "data": "e30=", "messageId": "1"}, "subscription": "projects/p/subscriptions/s"}`, `0`, `"a"`, ` null `, "[]", "{}", `[ 1 , -2.5e+3,"\\\"]}",{ "a" :true,"b":false , "c" : null}]`,
		`{"":{"a\u00e9":"\ud83d\ude00\/","é":["\n,:"]}}`, "[" + strings.Repeat(`{"a":[0,`, 3) + "1" + strings.Repeat(`]}`, 3) + "]",
		"[" + strings.Repeat("0,", documents.MaxValues) + "0]", strings.Repeat(`{"a":[0,`, 3) + strings.Repeat("0,", documents.MaxValues) + "0" + strings.Repeat(`]}`, 3),
	} {
		f.Add([]byte(seed))
	}
	files, err := filepath.Glob("../../testdata/hostile/*.txtar")
	if err != nil || len(files) == 0 {
		f.Fatalf("no corpus: %v", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, a := range archive.Files {
			f.Add(a.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &Report{}
		root := documents.JSON(data, r)
		if root == nil && r.OK() {
			t.Error("neither a tree nor a problem")
		}
		if !r.OK() {
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
func plain(n *Node) any {
	switch n.Kind {
	case Null:
		return nil
	case Boolean:
		return n.Text == "true"
	case Number:
		return json.Number(n.Text)
	case List:
		all := make([]any, 0, len(n.Items))
		for _, item := range n.Items {
			all = append(all, plain(item))
		}
		return all
	case Object:
		all := map[string]any{}
		for _, m := range n.Members {
			all[m.Key] = plain(m)
		}
		return all
	}
	return n.Text
}

// A problem of JSON is at the line of its value, and one of a text that cannot be read at the
// line that its text names.
func TestLinesOfJSON(t *testing.T) {
	root := documents.JSON([]byte("\n{\"a\": [1,\n 2,\n\n\"x\\ny\"],\r\n \"b\":\n{}, \"c\": null}"), &Report{})
	a, b, c := root.Members[0], root.Members[1], root.Members[2]
	var got []int
	for _, n := range []*Node{root, a, a.Items[0], a.Items[1], a.Items[2], b, c} {
		got = append(got, n.Place().Line)
	}
	if want := []int{2, 2, 2, 3, 5, 7, 7}; !slices.Equal(got, want) {
		t.Errorf("lines %v, want %v", got, want)
	}
	r := &Report{}
	if documents.JSON([]byte("{\n\"a\": 1,\n}"), r) != nil {
		t.Error("it is read")
	}
	r.Add(Place{Path: "x", Pos: 1}, reason.InvalidValue, "It says line 7.", "")
	if p, _ := r.Located(); len(p) != 2 || p[0].Line != 3 || p[1].Line != 0 {
		t.Errorf("problems %+v", p)
	}
}
