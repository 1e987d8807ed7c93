package message

import (
	"bytes"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"example.com/berth/internal/strict"
)

var (
	schema      = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile(Schema) })
	eventSchema = sync.OnceValues(func() (*jsonschema.Schema, error) { return compile(EventSchema) })
)

func compile(text []byte) (*jsonschema.Schema, error) {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("schema.json", doc); err != nil {
		return nil, err
	}
	return c.Compile("schema.json")
}

func validate(t testing.TB, data []byte) error {
	t.Helper()
	return validateBy(t, schema, data)
}

func validateBy(t testing.TB, schema func() (*jsonschema.Schema, error), data []byte) error {
	t.Helper()
	s, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return s.Validate(doc)
}

// enveloped says whether JSON data is what the schema is about.
func enveloped(data []byte) bool {
	root := documents.JSON(data, &strict.Report{})
	return root != nil && (root.Member("job") != nil || root.Member("cancel") != nil)
}

func TestSchemaTakesWhatDecodeTakes(t *testing.T) {
	tried := 0
	corpus(t, "testdata/accept/*.txtar", func(t *testing.T, s sample) string {
		if s.json && enveloped(s.delivery.Data) {
			tried++
			if err := validate(t, s.delivery.Data); err != nil {
				t.Error(err)
			}
		}
		return s.want
	})
	if tried < 4 {
		t.Errorf("only %d envelopes in the corpus", tried)
	}
}

func TestSchemaRefuses(t *testing.T) {
	for _, data := range []string{
		`[]`,
		`{}`,
		`{"requestId": "a"}`,
		`{"job": "text"}`,
		`{"job": null}`,
		`{"job": {}}`,
		`{"job": []}`,
		`{"job": [null]}`,
		`{"job": [{},{},{},{},{}]}`,
		`{"job": ` + plainJob + `, "cancel": {"requestId": "a"}}`,
		`{"job": ` + plainJob + `, "unknown": 1}`,
		`{"job": ` + plainJob + `, "request-id": "a"}`,
		`{"job": ` + plainJob + `, "requestId": "a/b"}`,
		`{"job": ` + plainJob + `, "requestId": 7}`,
		`{"job": ` + plainJob + `, "requestId": "a", "request_id": "a"}`,
		`{"job": ` + plainJob + `, "onFull": "queue", "on_full": "queue"}`,
		`{"job": ` + plainJob + `, "persistentResource": "Gpu"}`,
		`{"job": ` + plainJob + `, "persistentResource": "projects/p/persistentResources/x"}`,
		`{"job": ` + plainJob + `, "displayName": "a\u0001"}`,
		`{"job": ` + plainJob + `, "priority": 1001}`,
		`{"job": ` + plainJob + `, "priority": 1.5}`,
		`{"job": ` + plainJob + `, "priority": "1"}`,
		`{"job": ` + plainJob + `, "onFull": "wait"}`,
		`{"job": ` + plainJob + `, "maxWait": 3600}`,
		`{"job": ` + plainJob + `, "max_wait": "1h"}`,
		`{"job": ` + plainJob + `, "dryRun": "true"}`,
		`{"job": ` + plainJob + `, "labels": {"berth-run": "x"}}`,
		`{"job": ` + plainJob + `, "labels": {"Berth": "x"}}`,
		`{"job": ` + plainJob + `, "labels": {"a": 1}}`,
		`{"job": ` + plainJob + `, "labels": {"a": "B"}}`,
		`{"job": ` + plainJob + `, "labels": {"a b": "c"}}`,
		`{"job": ` + plainJob + `, "labels": {"": "c"}}`,
		`{"cancel": {}}`,
		`{"cancel": "a"}`,
		`{"cancel": {"reason": "x"}}`,
		`{"cancel": {"requestId": "a", "messageId": "b"}}`,
		`{"cancel": {"requestId": "a", "why": "b"}}`,
		`{"cancel": {"requestId": "a"}, "priority": 1}`,
		`{"cancel": {"requestId": "a", "reason": "\u0007"}}`,
	} {
		if validate(t, []byte(data)) == nil {
			t.Errorf("the schema takes %s", data)
		}
		if m, err := Decode(Delivery{ID: "1", Data: []byte(data)}); err == nil {
			t.Errorf("the decoder takes %s: %v", data, m)
		}
	}
}
