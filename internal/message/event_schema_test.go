package message

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
)

// TestEventSchemaTakesEvents holds the published schema against the golden events,
// and shows that it would notice others.
func TestEventSchemaTakesEvents(t *testing.T) {
	files, err := filepath.Glob("testdata/outcomes/*.json")
	if err != nil || len(files) != len(Types()) {
		t.Fatalf("%d golden events for %d types: %v", len(files), len(Types()), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var golden struct{ Data json.RawMessage }
		if err := json.Unmarshal(text, &golden); err != nil {
			t.Fatal(err)
		}
		if err := validateBy(t, eventSchema, golden.Data); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	const good = `{"tenant": "t", "messageId": "1", "sequence": 1, "times": {}, "added": [1]}`
	if err := validateBy(t, eventSchema, []byte(good)); err != nil {
		t.Errorf("an event with a field of a later release: %v", err)
	}
	for _, bad := range []string{
		`[]`, `{}`,
		`{"messageId": "1", "sequence": 1, "times": {}}`,
		`{"tenant": "t", "sequence": 1, "times": {}}`,
		`{"tenant": "t", "requestId": "", "sequence": 1, "times": {}}`,
		`{"tenant": "t", "messageId": "", "sequence": 1, "times": {}}`,
		`{"tenant": "t", "messageId": "1", "sequence": 0, "times": {}}`,
		`{"tenant": "t", "messageId": "1", "sequence": 1, "times": {"ended": "noon"}}`,
		`{"tenant": "t", "messageId": "1", "sequence": 1, "times": {}, "state": "LOST"}`,
		`{"tenant": "t", "messageId": "1", "sequence": 1, "times": {}, "verdict": "MAYBE"}`,
		`{"tenant": "t", "messageId": "1", "sequence": 1, "times": {}, "reason": {"code": "FULL"}}`,
		`{"tenant": "t", "messageId": "1", "sequence": 1, "times": {}, "reason": {"code": "full", "detail": "a"}}`,
		`{"tenant": "t", "messageId": "1", "sequence": 1, "times": {}, "fit": [{"verdict": "FITS"}]}`,
	} {
		if validateBy(t, eventSchema, []byte(bad)) == nil {
			t.Errorf("the schema takes %s", bad)
		}
	}
}

// TestEventSchemaNamesEveryField compares the schema's properties with the fields
// that the code writes, in both directions and at every depth.
func TestEventSchemaNamesEveryField(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(EventSchema, &root); err != nil {
		t.Fatal(err)
	}
	compareFields(t, root, root, reflect.TypeFor[Outcome](), "data")
	enum := func(of map[string]any, name string) (words []string) {
		for _, v := range of["properties"].(map[string]any)[name].(map[string]any)["enum"].([]any) {
			words = append(words, v.(string))
		}
		return words
	}
	finding := root["$defs"].(map[string]any)["finding"].(map[string]any)
	want := []string{string(capacity.Fits), string(capacity.Full), string(capacity.Never)}
	if got := enum(finding, "verdict"); !slices.Equal(got, want) {
		t.Errorf("verdicts of a finding: %q in the schema, %q in the code", got, want)
	}
}

func compareFields(t *testing.T, root, schema map[string]any, typ reflect.Type, at string) {
	t.Helper()
	if ref, ok := schema["$ref"].(string); ok {
		schema = root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch {
	case typ == reflect.TypeFor[time.Time]() || typ == reflect.TypeFor[capacity.Shape]():
		if schema["type"] != "string" {
			t.Errorf("%s is text in the code and %v in the schema", at, schema["type"])
		}
	case typ.Kind() == reflect.Slice:
		items, ok := schema["items"].(map[string]any)
		if !ok {
			t.Fatalf("%s is a list in the code and has no items in the schema", at)
		}
		compareFields(t, root, items, typ.Elem(), at+"[]")
	case typ.Kind() == reflect.Struct:
		properties, _ := schema["properties"].(map[string]any)
		var written []string
		for _, f := range reflect.VisibleFields(typ) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name == "-" || !f.IsExported() {
				continue
			}
			written = append(written, name)
			if of, ok := properties[name].(map[string]any); ok {
				compareFields(t, root, of, f.Type, at+"."+name)
			} else {
				t.Errorf("the schema does not name %s.%s", at, name)
			}
		}
		for name := range properties {
			if !slices.Contains(written, name) {
				t.Errorf("the schema names %s.%s, which the code does not write", at, name)
			}
		}
	}
}
