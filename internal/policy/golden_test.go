package policy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write the answers of today into the files")

// report is everything that Parse says of a text.
func report(text []byte) string {
	var b strings.Builder
	p, problems := Parse(text)
	for _, f := range problems {
		fmt.Fprintf(&b, "%d: %s\n", f.Line, f.Problem.String())
	}
	if p == nil {
		return b.String()
	}
	for _, f := range p.Warnings {
		fmt.Fprintf(&b, "%d: %s\n", f.Line, f.Problem.String())
	}
	return b.String() + "ok\n"
}

// TestProblems holds what Parse says of each policy in testdata/problems: NAME.yaml is the
// policy, and NAME.want what is said.
func TestProblems(t *testing.T) {
	files, err := filepath.Glob("testdata/problems/*.txtar")
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
		out := &txtar.Archive{Comment: archive.Comment}
		for _, f := range archive.Files {
			name, is := strings.CutSuffix(f.Name, ".yaml")
			if !is {
				continue
			}
			got := report(f.Data)
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
