package policy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"example.com/berth/internal/message"
)

const region = "projects/p/locations/europe-west4/persistentResources/"

func requestOf(t interface {
	Helper()
	Fatalf(string, ...any)
}, data []byte) *message.Request {
	t.Helper()
	m, err := message.Decode(message.Delivery{ID: "1", Data: data})
	if refusal := (*message.Refusal)(nil); errors.As(err, &refusal) {
		t.Fatalf("%s: %v", data, refusal.Problems)
	}
	return m.Request
}

func policyOf(t testing.TB, text string) *Policy {
	t.Helper()
	p, problems := Parse([]byte(text))
	if problems != nil {
		t.Fatalf("%s: %v", text, problems)
	}
	return p
}

// answer is what the rules say of a request.
func answer(r *Rules, q *message.Request) string {
	resource := q.PersistentResource
	if !strings.Contains(resource, "/") {
		resource = region + resource
	}
	found := r.Check(q, resource)
	if found == nil {
		return "allowed\n"
	}
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintln(&b, f.String())
	}
	return b.String()
}

// TestCheck holds what a policy says of requests. Each file of testdata/check has a
// policy.yaml, and for each TENANT:NAME.json (or .yaml) a file of the answer.
func TestCheck(t *testing.T) {
	files, err := filepath.Glob("testdata/check/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no policies: %v", err)
	}
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]string{}
		for _, f := range archive.Files {
			want[f.Name] = string(f.Data)
		}
		policy := policyOf(t, want["policy.yaml"])
		out := &txtar.Archive{Comment: archive.Comment, Files: archive.Files[:1:1]}
		for _, f := range archive.Files[1:] {
			name, is := strings.CutSuffix(f.Name, ".json")
			if !is {
				continue
			}
			tenant, _, _ := strings.Cut(name, ":")
			got := answer(policy.Tenant(tenant), requestOf(t, f.Data))
			out.Files = append(out.Files, f, txtar.File{Name: name + ".want", Data: []byte(got)})
			if diff := cmp.Diff(want[name+".want"], got); diff != "" && !*update {
				t.Errorf("%s: %s (-want +got):\n%s", file, name, diff)
			}
		}
		if *update {
			if err := os.WriteFile(file, txtar.Format(out), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}
