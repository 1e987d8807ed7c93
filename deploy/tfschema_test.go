package deploy

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// schemaFile is what "terraform providers schema -json" prints for version 7.45.0 of
// the google provider, cut to the types that the configuration uses and with short
// keys: a attributes (f: R required, O optional, C computed; t type), b blocks.
const schemaFile = "testdata/google-7.45.0.schema.json.gz"

// otherSchemas has data sources that the cut has not, by the pages of their providers.
const otherSchemas = "testdata/other.schema.json"

type schema struct {
	Resources map[string]*blockSchema `json:"resources"`
	Data      map[string]*blockSchema `json:"data"`
}

type blockSchema struct {
	Attributes map[string]attributeSchema `json:"a"`
	Blocks     map[string]*struct {
		Block blockSchema `json:"b"`
		Min   int         `json:"min"`
		Max   int         `json:"max"`
	} `json:"b"`
}

type attributeSchema struct {
	Flags string          `json:"f"`
	Type  json.RawMessage `json:"t"`
}

func (a attributeSchema) cty() (cty.Type, error) { return ctyjson.UnmarshalType(a.Type) }

// readSchema reads it once.
var readSchema = sync.OnceValues(func() (schema, error) {
	var s, other schema
	f, err := os.Open(schemaFile)
	if err != nil {
		return s, err
	}
	defer f.Close()
	text, err := gzip.NewReader(f)
	if err != nil {
		return s, err
	}
	if err := json.NewDecoder(text).Decode(&s); err != nil {
		return s, err
	}
	rest, err := os.ReadFile(otherSchemas)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(rest, &other); err != nil {
		return s, err
	}
	maps.Copy(s.Data, other.Data)
	return s, nil
})

func (s schema) of(b *hclsyntax.Block) (*blockSchema, bool) {
	kinds := s.Resources
	if b.Type == "data" {
		kinds = s.Data
	}
	found, ok := kinds[b.Labels[0]]
	return found, ok
}

// madeUp is a value that the cloud would know.
func (a attributeSchema) madeUp(addr, name string, attrs map[string]cty.Value) (cty.Value, error) {
	text := func(attr string) string {
		if v, ok := attrs[attr]; ok && !v.IsNull() && v.Type() == cty.String {
			return v.AsString()
		}
		return ""
	}
	kind, _, _ := strings.Cut(strings.TrimPrefix(addr, "data."), ".")
	project, mail := text("project"), text("account_id")+"@"+text("project")+".iam.gserviceaccount.com"
	known := map[string]string{
		"google_service_account.email":                       mail,
		"google_service_account.member":                      "serviceAccount:" + mail,
		"google_service_account.name":                        "projects/" + project + "/serviceAccounts/" + mail,
		"google_service_account.id":                          "projects/" + project + "/serviceAccounts/" + mail,
		"google_project_iam_custom_role.id":                  "projects/" + project + "/roles/" + text("role_id"),
		"google_pubsub_topic.id":                             "projects/" + project + "/topics/" + text("name"),
		"google_pubsub_subscription.id":                      "projects/" + project + "/subscriptions/" + text("name"),
		"google_cloud_run_v2_service.uri":                    "https://" + text("name") + ".example.run.app",
		"google_artifact_registry_repository.name":           text("repository_id"),
		"google_logging_project_sink.writer_identity":        "serviceAccount:sink@example.iam.gserviceaccount.com",
		"google_project.number":                              "123456789",
		"google_monitoring_slo.name":                         "projects/" + project + "/services/" + text("service") + "/serviceLevelObjectives/" + text("slo_id"),
		"google_monitoring_alert_policy.name":                "projects/" + project + "/alertPolicies/1",
		"google_cloudfunctions2_function.id":                 "projects/" + project + "/locations/" + text("location") + "/functions/" + text("name"),
		"google_artifact_registry_repository.id":             "projects/" + project + "/locations/" + text("location") + "/repositories/" + text("repository_id"),
		"google_cloud_quotas_quota_infos.quota_display_name": "Job or LRO submission requests per minute per region",
	}
	if v, ok := known[kind+"."+name]; ok {
		return cty.StringVal(v), nil
	}
	typ, err := a.cty()
	if err != nil {
		return cty.NilVal, fmt.Errorf("%s.%s: %w", addr, name, err)
	}
	return madeUpOf(typ, addr+"."+name), nil
}

// madeUpOf makes a value of a type: lists have one element.
func madeUpOf(typ cty.Type, what string) cty.Value {
	switch {
	case typ == cty.String:
		return cty.StringVal(what)
	case typ == cty.Number:
		return cty.NumberIntVal(1)
	case typ == cty.Bool:
		return cty.False
	case typ.IsListType():
		return cty.ListVal([]cty.Value{madeUpOf(typ.ElementType(), what)})
	case typ.IsSetType():
		return cty.SetVal([]cty.Value{madeUpOf(typ.ElementType(), what)})
	case typ.IsMapType():
		return cty.MapValEmpty(typ.ElementType())
	case typ.IsObjectType():
		attrs := map[string]cty.Value{}
		for name, t := range typ.AttributeTypes() {
			attrs[name] = madeUpOf(t, what+"."+name)
		}
		return cty.ObjectVal(attrs)
	}
	return cty.NullVal(typ)
}

// mistakes returns what the schema says against a configuration, as terraform validate
// would: arguments that are unknown, read-only or missing, and blocks likewise.
func (p *plan) mistakes() (all []string) {
	for _, addr := range slices.Sorted(maps.Keys(p.blocks)) {
		b := p.blocks[addr]
		s, ok := p.schema.of(b)
		if !ok {
			all = append(all, addr+": the schema has no such type; add it to "+schemaFile)
			continue
		}
		all = append(all, s.mistakes(addr, b.Body, true)...)
	}
	return all
}

func (s *blockSchema) mistakes(at string, body *hclsyntax.Body, top bool) (all []string) {
	bad := func(format string, args ...any) { all = append(all, at+": "+fmt.Sprintf(format, args...)) }
	for _, name := range slices.Sorted(maps.Keys(body.Attributes)) {
		switch a, known := s.Attributes[name]; {
		case top && slices.Contains(meta, name):
		case !known:
			bad("there is no argument %s", name)
		case a.Flags == "C":
			bad("%s is read-only", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.Attributes)) {
		if s.Attributes[name].Flags == "R" && body.Attributes[name] == nil {
			bad("%s is missing", name)
		}
	}
	count := map[string]int{}
	dynamic := map[string]bool{}
	for _, b := range body.Blocks {
		name, content := b.Type, b.Body
		if name == "lifecycle" && top {
			continue
		}
		if name == "dynamic" {
			name, content = b.Labels[0], b.Body.Blocks[0].Body
			dynamic[name] = true
		}
		inner := s.Blocks[name]
		if inner == nil {
			bad("there is no block %s", name)
			continue
		}
		count[name]++
		all = append(all, inner.Block.mistakes(at+"."+name, content, false)...)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Blocks)) {
		if b := s.Blocks[name]; count[name] < b.Min {
			bad("block %s is missing", name)
		} else if b.Max > 0 && count[name] > b.Max && !dynamic[name] {
			bad("block %s stands %d times, at most %d", name, count[name], b.Max)
		}
	}
	return all
}

var configurations = []string{"terraform", "terraform/persistent-resource"}

func TestTerraformFollowsTheSchema(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, dir := range configurations {
		p, err := readConfiguration(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range p.mistakes() {
			t.Error(m)
		}
		for _, b := range p.blocks {
			used[b.Type+" "+b.Labels[0]] = true
		}
	}
	s, err := readSchema()
	if err != nil {
		t.Fatal(err)
	}
	for kind := range s.Resources {
		if !used["resource "+kind] {
			t.Errorf("%s has %s, which no configuration uses", schemaFile, kind)
		}
	}
}

// Each kind of mistake that the check is for is found.
func TestTerraformMistakesAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, old, new, want string }{
		{"pubsub.tf", "ack_deadline_seconds       = 60\n", "ack_deadline_secs = 60\n", "google_pubsub_subscription.dead_letters: there is no argument ack_deadline_secs"},
		{"iam.tf", "  role_id = ", "  name = ", "google_project_iam_custom_role.jobs: name is read-only"},
		{"iam.tf", "  role_id = ", "  description = ", "google_project_iam_custom_role.jobs: role_id is missing"},
		{"functions.tf", "cpu_idle  ", "cpu_idel  ", "google_cloud_run_v2_service.function.template.containers.resources: there is no argument cpu_idel"},
		{"functions.tf", "startup_probe {", "start_probe {", "google_cloud_run_v2_service.function.template.containers: there is no block start_probe"},
		{"functions.tf", `dynamic "env"`, `dynamic "environment"`, "google_cloud_run_v2_service.function.template.containers: there is no block environment"},
		{"firestore.tf", "  daily_recurrence {}\n", "  daily_recurrence {}\n  daily_recurrence {}\n", "google_firestore_backup_schedule.daily: block daily_recurrence stands 2 times, at most 1"},
		{"logging.tf", `"google_logging_project_sink"`, `"google_logging_sink"`, "google_logging_sink.job_logs: the schema has no such type; add it to " + schemaFile},
	} {
		applied := false
		p, err := readConfiguration("terraform", func(name, text string) string {
			if name == c.file {
				changed := strings.Replace(text, c.old, c.new, 1)
				applied = changed != text
				return changed
			}
			return text
		})
		if err != nil {
			t.Fatal(err)
		}
		if !applied {
			t.Fatalf("%s has no %q", c.file, c.old)
		}
		if got := p.mistakes(); !slices.Contains(got, c.want) {
			t.Errorf("%s: %q for %q is not found: %q", c.file, c.new, c.old, got)
		}
	}
}

// The schema is that of one version. The oldest version that is allowed has to know the
// youngest type that is used.
func TestTerraformProviderVersions(t *testing.T) {
	t.Parallel()
	for _, dir := range configurations {
		text, err := os.ReadFile(dir + "/versions.tf")
		if err != nil {
			t.Fatal(err)
		}
		// google_vertex_ai_persistent_resource came with 7.42.0.
		if !strings.Contains(string(text), `version = ">= 7.42, < 8"`) {
			t.Errorf("%s allows a version of the google provider that lacks google_vertex_ai_persistent_resource", dir)
		}
	}
}
