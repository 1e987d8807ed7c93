package strict

import (
	"strings"
	"testing"

	"example.com/berth/internal/reason"
)

// TestReader gives documents that are not read, each with its first problem.
func TestReader(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		data string
		want reason.Problem
	}{
		"empty":         {" \n", reason.Problem{Code: reason.MissingField, Detail: "The message has no data.", Fix: "Missing."}},
		"empty YAML":    {"# nothing\n", reason.Problem{Code: reason.MissingField, Detail: "The YAML document is empty.", Fix: "Missing."}},
		"two documents": {"a: 1\n---\nb: 2\n", reason.Problem{Code: reason.Malformed, Detail: "The data holds more than one YAML document.", Fix: "Many."}},
		"scalar":        {"7", reason.Problem{Code: reason.Malformed, Detail: "The data is neither a JSON or YAML object nor a list.", Fix: "Scalar."}},
		"not YAML":      {"a: 'b", reason.Problem{Code: reason.Malformed, Detail: "The data is neither JSON nor YAML: line 1, column 4: found unexpected end of stream.", Fix: "Language."}},
		"deep JSON":     {strings.Repeat("[", 33) + strings.Repeat("]", 33), reason.Problem{Code: reason.TooLarge, Detail: "Objects and lists are nested more than 32 deep.", Fix: "Deep."}},
		"deep YAML":     {strings.Repeat("- ", 34) + "a", reason.Problem{Code: reason.TooLarge, Detail: "Objects and lists are nested more than 32 deep.", Fix: "Deep."}},
		"many values":   {"[" + strings.Repeat("0,", 20_000) + "0]", reason.Problem{Code: reason.TooLarge, Detail: "The document has more than 20000 values.", Fix: "Large."}},
		"aliases":       {"a: &a " + strings.Repeat("x", 1<<10) + "\nb: [" + strings.Repeat("*a,", 300) + "]", reason.Problem{Code: reason.TooLarge, Detail: "The aliases of the document stand for more than 262144 bytes.", Fix: "Large."}},
		"half a string": {`{"a": "b`, reason.Problem{Code: reason.Malformed, Detail: "The text is not JSON: unexpected end of JSON input at line 1, column 8. It is not YAML either: line 1, column 7: found unexpected end of stream.", Fix: strictJSON + " Or send YAML."}},
		"twice":         {`{"a": {"b": 1, "b": 2}}`, reason.Problem{Code: reason.DuplicateField, Path: "a.b", Detail: "This key comes twice in one object.", Fix: "Keep one of them."}},
	} {
		r := &Report{}
		documents.Data([]byte(c.data), r)
		if got := r.Problems(); len(got) == 0 || got[0] != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
