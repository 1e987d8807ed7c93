package app_test

import (
	"bytes"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	moduleRoot = "../.."
	modulePath = "example.com/berth"
)

// The cloud build gets the upload set and nothing else, so that is what the
// rehearsal below works on. A file too few breaks the deployed build only; a
// file too many may break it, or takes a secret along.
func TestUploadSet(t *testing.T) {
	t.Parallel()
	files := uploadSet(t)
	for _, want := range []string{"function.go", "go.mod", "go.sum", "internal/app/app.go", "internal/gcp/layout.go", "internal/message/request.schema.json"} {
		if !slices.Contains(files, want) {
			t.Errorf("%s would not be uploaded", want)
		}
	}
	for _, f := range files {
		switch {
		case strings.HasSuffix(f, "_test.go"):
			t.Errorf("%s: tests are not to be uploaded", f)
		case slices.ContainsFunc(strings.Split(f, "/"), func(part string) bool { return part == "testdata" || strings.HasPrefix(part, ".") }):
			t.Errorf("%s: neither test data nor files with a dot are to be uploaded", f)
		case !strings.HasPrefix(f, "internal/") && !slices.Contains([]string{"function.go", "go.mod", "go.sum"}, f):
			t.Errorf("%s: only the function, its module files and internal/ are to be uploaded", f)
		}
	}
}

// The set is computed here, because go test needs nothing but Go. Where gcloud
// is installed its own answer, which needs neither account nor network, has to
// be the same.
func TestUploadSetIsGcloudsOwn(t *testing.T) {
	t.Parallel()
	gcloud, err := exec.LookPath("gcloud")
	if err != nil {
		t.Skip("gcloud is not installed: ", err)
	}
	cmd := exec.Command(gcloud, "meta", "list-files-for-upload", ".")
	cmd.Dir = moduleRoot
	cmd.Env = append(os.Environ(), "CLOUDSDK_CONFIG="+t.TempDir(), "CLOUDSDK_CORE_DISABLE_PROMPTS=1")
	out := output(t, cmd)
	theirs := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(theirs)
	if diff := cmp.Diff(theirs, uploadSet(t)); diff != "" {
		t.Errorf("upload set (-gcloud's +ours):\n%s", diff)
	}
}

// The Go buildpack for functions, acted out: it parses the top folder without a
// filter and wants one package there, writes a main into functions.local/app that
// imports it, and builds that. Each step fails here as it would there, minutes
// earlier and without a project.
func TestBuildpackRehearsal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := uploadSet(t)
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(moduleRoot, f))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, f), data)
	}
	moduleBefore := readFile(t, filepath.Join(dir, "go.mod"))

	module := strings.TrimSpace(output(t, goTool(dir, "list", "-m")))
	if first, _, _ := strings.Cut(module, "/"); !strings.Contains(first, ".") {
		t.Errorf("module path %s: without a dot in its first element the buildpack refuses it", module)
	}

	packages := map[string][]string{}
	for _, f := range files {
		if path.Dir(f) != "." || path.Ext(f) != ".go" {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, f), nil, parser.PackageClauseOnly)
		if err != nil {
			t.Fatal(err)
		}
		packages[parsed.Name.Name] = append(packages[parsed.Name.Name], f)
	}
	if len(packages) != 1 || len(packages["berth"]) == 0 {
		t.Fatalf("packages in the top folder: %v; want berth alone", packages)
	}

	writeFile(t, filepath.Join(dir, "functions.local", "app", "main.go"), fmt.Appendf(nil, `package main

import (
	"log"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	_ %q
)

func main() {
	if err := funcframework.Start("0"); err != nil {
		log.Fatal(err)
	}
}
`, module))
	const main = "./functions.local/app"
	output(t, goTool(dir, "build", "-mod=readonly", "-o", filepath.Join(t.TempDir(), "app"), main))
	if got := readFile(t, filepath.Join(dir, "go.mod")); !bytes.Equal(got, moduleBefore) {
		t.Error("the build changed go.mod")
	}

	deps := strings.Fields(output(t, goTool(dir, "list", "-mod=readonly", "-deps", main)))
	checkDeployed(t, deps)
}

// uploadSet returns the files under the module root that .gcloudignore lets
// through, sorted. Of its language this knows what ours uses: "*", a leading "/"
// for the top folder only, a trailing "/" for folders; nothing is taken back by "!".
func uploadSet(t *testing.T) []string {
	t.Helper()
	type rule struct {
		pattern         string
		top, folderOnly bool
	}
	var rules []rule
	for line := range strings.Lines(string(readFile(t, filepath.Join(moduleRoot, ".gcloudignore")))) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		r := rule{pattern: strings.Trim(line, "/"), top: line[0] == '/', folderOnly: strings.HasSuffix(line, "/")}
		if line[0] == '!' || strings.Contains(r.pattern, "/") || strings.Contains(r.pattern, "**") {
			t.Fatalf(".gcloudignore: %q is beyond what this test reads", line)
		}
		rules = append(rules, r)
	}
	var files []string
	err := fs.WalkDir(os.DirFS(moduleRoot), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		for _, r := range rules {
			if hit, err := path.Match(r.pattern, d.Name()); err != nil {
				return err
			} else if !hit || r.top && strings.Contains(name, "/") || r.folderOnly && !d.IsDir() {
				continue
			}
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.IsDir() {
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

// goTool runs the go command in a folder. GOWORK is off: a workspace above the
// checkout would decide the build, and the cloud has none.
func goTool(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	return cmd
}

// output runs a command and returns what it prints; if it fails, so does the test.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		said := ""
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			said = string(exit.Stderr)
		}
		t.Fatalf("%s: %v\n%s", cmd, err, said)
	}
	return string(out)
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}
