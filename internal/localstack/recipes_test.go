package localstack

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

// The client for Python and the recipes that use it, against a stack: Python's own tests
// say what is held. Nothing but Python is needed, and the libraries of the recipes are
// stood in for.
func TestRecipes(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed: ", err)
	}
	if err := exec.Command(python, "-c", "import sys; sys.exit(sys.version_info < (3, 9))").Run(); err != nil {
		t.Skip("python3 is older than 3.9, which the recipes ask for: ", err)
	}
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), Options{Embedded: true, Project: "berth-recipes", Log: &logs{t: t}, Tick: time.Second})
	if err != nil {
		t.Fatalf("start the stack: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Errorf("stop the stack: %v", err)
		}
	})
	definitions := workflows(t, filepath.Join(root, "deploy", "recipes"))
	for _, class := range []string{"Client", "Files", "Tokens", "Recipes", "Workflows"} { // each waits more than it works
		t.Run(class, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), python, "-W", "error", "test_recipes.py", class)
			cmd.Dir = filepath.Join(root, "deploy", "testdata", "recipes")
			cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "BERTH_PROJECT="+s.Project, "BERTH_TENANT=", "BERTH_REQUEST_TOPIC=",
				"TEST_PUBSUB="+s.PubSub, "TEST_STATUS="+s.Function.URL("Status"), "TEST_VERTEX="+s.Vertex, "TEST_WORKFLOWS="+definitions)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// workflows returns the definitions of Workflows in a folder as JSON, by file name, since
// Python's own library does not read YAML.
func workflows(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "workflow_*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d definitions in %s, %v", len(files), dir, err)
	}
	all := map[string]any{}
	for _, file := range files {
		text, err := os.ReadFile(file) // #nosec G304 -- of this repository
		if err != nil {
			t.Fatal(err)
		}
		var definition any
		if err := yaml.Unmarshal(text, &definition); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[filepath.Base(file)] = definition
	}
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
