package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/tools/txtar"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("policy.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("policy.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plain is a document as encoding/json would return it.
func plain(n *strict.Node) any {
	switch n.Kind {
	case strict.Null:
		return nil
	case strict.Boolean:
		return n.Text == "true"
	case strict.Number:
		return json.Number(n.Text)
	case strict.List:
		all := []any{}
		for _, item := range n.Items {
			all = append(all, plain(item))
		}
		return all
	case strict.Object:
		all := map[string]any{}
		for _, m := range n.Members {
			all[m.Key] = plain(m)
		}
		return all
	}
	return n.Text
}

// TestSchemaTakesWhatParseTakes holds the schema against every policy of the test data. What
// Parse refuses by the form of one value, the schema refuses too.
func TestSchemaTakesWhatParseTakes(t *testing.T) {
	schema := compiledSchema(t)
	taken, refused := 0, 0
	for _, pattern := range []string{"testdata/problems/*.txtar", "testdata/check/*.txtar"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range archive.Files {
				if !strings.HasSuffix(f.Name, ".yaml") {
					continue
				}
				r := &strict.Report{}
				root := documents.YAML(f.Data, r)
				if root == nil || !r.OK() {
					continue
				}
				bySchema := schema.Validate(plain(root))
				p, problems := Parse(f.Data)
				formal := slices.ContainsFunc(problems, func(f Problem) bool {
					return f.Code == reason.UnknownField || strings.HasPrefix(f.Detail, "Want a whole")
				})
				switch {
				case p != nil && bySchema != nil:
					t.Errorf("%s: %s: Parse takes it, and the schema does not: %v", file, f.Name, bySchema)
				case formal && bySchema == nil:
					t.Errorf("%s: %s: the schema takes it, and Parse does not: %v", file, f.Name, problems)
				case p != nil:
					taken++
				case bySchema != nil:
					refused++
				}
			}
		}
	}
	if taken < 12 || refused < 10 {
		t.Errorf("only %d policies are taken and %d refused", taken, refused)
	}
}

// TestSchemaHasTheFieldsOfTheCode holds the names of the fields of each object against those
// that Parse knows there.
func TestSchemaHasTheFieldsOfTheCode(t *testing.T) {
	var doc struct {
		Properties map[string]any `json:"properties"`
		Defs       map[string]struct {
			Properties map[string]struct {
				Properties map[string]any                                  `json:"properties"`
				Items      struct{ Properties map[string]json.RawMessage } `json:"items"`
			} `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(Schema, &doc); err != nil {
		t.Fatal(err)
	}
	tenant, share := doc.Defs["tenant"].Properties, doc.Defs["share"].Properties
	for text, want := range map[string][]string{
		`{"zz": 0}`:                                             slices.Collect(maps.Keys(doc.Properties)),
		`{"defaults": {"zz": 0}}`:                               slices.Collect(maps.Keys(tenant)),
		`{"tenants": {"a": {"zz": 0}}}`:                         slices.Collect(maps.Keys(tenant)),
		`{"defaults": {"shares": [{"zz":0}]}}`:                  slices.Collect(maps.Keys(share)),
		`{"defaults": {"shares": [{"machineSpec": {"zz":0}}]}}`: slices.Collect(maps.Keys(share["machineSpec"].Properties)),
		`{"defaults": {"shares": [{"diskSpec": {"zz":0}}]}}`:    slices.Collect(maps.Keys(share["diskSpec"].Properties)),
		`{"defaults": {"priorities": {"zz":0}}}`:                slices.Collect(maps.Keys(tenant["priorities"].Properties)),
		`{"defaults": {"timeouts": {"zz":0}}}`:                  slices.Collect(maps.Keys(tenant["timeouts"].Properties)),
		`{"defaults": {"images": {"zz":0}}}`:                    slices.Collect(maps.Keys(tenant["images"].Properties)),
		`{"defaults": {"labels": {"zz":0}}}`:                    slices.Collect(maps.Keys(tenant["labels"].Properties)),
		`{"defaults": {"rules": [{"zz":0}]}}`:                   slices.Collect(maps.Keys(tenant["rules"].Items.Properties)),
	} {
		_, problems := Parse([]byte(text))
		i := slices.IndexFunc(problems, func(p Problem) bool { return p.Code == reason.UnknownField })
		if i < 0 {
			t.Fatalf("%s: %v", text, problems)
		}
		said, _ := strings.CutPrefix(problems[i].Fix, "The names are ")
		said = strings.TrimPrefix(strings.TrimSuffix(strings.TrimSuffix(said, "."), "?"), "Did you mean ")
		known := strings.Split(strings.ReplaceAll(said, " or ", ", "), ", ")
		slices.Sort(known)
		slices.Sort(want)
		if fmt.Sprint(known) != fmt.Sprint(want) {
			t.Errorf("%s: Parse knows %v, the schema %v", text, known, want)
		}
	}
}

func TestSchemaRefuses(t *testing.T) {
	schema := compiledSchema(t)
	for _, text := range []string{
		`[]`, `{}`, `{"tenants": {"A": {}}}`, `{"tenants": []}`, `{"defaults": {"serviceAccounts": "some"}}`, `{"defaults": {"serviceAccounts": ["any"]}}`,
		`{"defaults": {"serviceAccounts": [""]}}`, `{"defaults": {"timeouts": {"max": "1h"}}}`, `{"defaults": {"timeouts": {"max": 3600}}}`, `{"defaults": {"webAccess": "no"}}`,
		`{"defaults": {"submissions": 1.1}}`, `{"defaults": {"weight": 0}}`, `{"defaults": {"priorities": {"max": 1001}}}`, `{"defaults": {"maxReplicas": 0}}`,
		`{"defaults": {"rules": [{"name": "a"}]}}`, `{"defaults": {"rules": [{"name": "A", "expr": "true"}]}}`, `{"defaults": {"shares": [{"persistentResource": "p", "replicas": 1}]}}`,
		`{"defaults": {"shares": [{"persistentResource": "P", "replicas": 1, "shape": "m/d:100"}]}}`, `{"defaults": {"shares": [{"persistentResource": "p", "replicas": 1, "shape": "m/d:100", "cap": 0}]}}`,
		`{"defaults": {"labels": {"add": {"a": 1}}}}`, `{"defaults": {"serviceAccounts": ["a@b.iam.gserviceaccount.com", "a@b.iam.gserviceaccount.com"]}}`,
	} {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if schema.Validate(doc) == nil {
			t.Errorf("the schema takes %s", text)
		}
		if p, _ := Parse([]byte(text)); p != nil {
			t.Errorf("Parse takes %s", text)
		}
	}
}
