package sim

import (
	"encoding/json"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/tools/txtar"

	"example.com/berth/internal/invariant"
)

// A mutant is a bug put into the source on purpose. The quick tests must catch
// it. One that passes them is a promise without a test.
type mutant struct {
	name     string
	file     string // from the module's root
	old, new string
	run      string         // tests of which at least one must fail
	rule     invariant.Rule // the invariant that must report it; "" for a test of its own
}

// mutants reads the seeded bugs of testdata/bugs.txtar.
func mutants(t *testing.T) (all []mutant) {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/bugs.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		at := strings.LastIndex(f.Name, "/")
		name, part, text := f.Name[:max(at, 0)], f.Name[at+1:], strings.TrimSuffix(string(f.Data), "\n")
		if part == "bug" {
			all = append(all, mutant{name: name})
		}
		if len(all) == 0 || all[len(all)-1].name != name {
			t.Fatalf("%s does not follow the file of its bug", f.Name)
		}
		m := &all[len(all)-1]
		switch part {
		case "bug":
			for line := range strings.Lines(text) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
				switch key {
				case "file":
					m.file = value
				case "tests":
					m.run = value
				case "rule":
					m.rule = invariant.Rule(value)
				default:
					t.Fatalf("%s: what is %q?", f.Name, line)
				}
			}
		case "old":
			m.old = text
		case "new":
			m.new = text
		default:
			t.Fatalf("what is %s?", f.Name)
		}
	}
	return all
}

// TestSeededBugsApply holds the list to the source: each bug has one place there, and
// names tests. It is quick; whether a test catches the bug is TestMutants' question.
func TestSeededBugsApply(t *testing.T) {
	all := mutants(t)
	if len(all) < 100 {
		t.Errorf("there are %d seeded bugs, want 100 at least", len(all))
	}
	names := map[string]bool{}
	for _, m := range all {
		source, err := os.ReadFile(filepath.Join("../..", m.file))
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), m.old); n != 1 || m.old == m.new || m.run == "" || names[m.name] {
			t.Errorf("%s: %d places in %s, tests %q; want one place, a change, tests and a name of its own", m.name, n, m.file, m.run)
		}
		if m.rule != "" && !slices.Contains(invariant.Rules, m.rule) {
			t.Errorf("%s: there is no invariant %s", m.name, m.rule)
		}
		names[m.name] = true
		packagesWith(t, "../..", m.run)
	}
}

// packagesWith returns the packages of the quick tests that have a test which the
// pattern names. Each of the others would be built and linked for nothing.
func packagesWith(t *testing.T, root, pattern string) (packages []string) {
	t.Helper()
	named := regexp.MustCompile(pattern)
	for _, p := range quickTests(t, root) {
		if slices.ContainsFunc(p.tests, named.MatchString) {
			packages = append(packages, "./"+p.folder)
		}
	}
	if packages == nil {
		t.Fatalf("no quick test is named by %s", pattern)
	}
	return packages
}

var (
	testName = regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	readOnce sync.Once
	tested   []testedPackage
)

// A testedPackage is a folder with its tests by name.
type testedPackage struct {
	folder string
	tests  []string
}

// quickTests returns the packages of the quick tests. They are read once.
func quickTests(t *testing.T, root string) []testedPackage {
	t.Helper()
	readOnce.Do(func() {
		for _, folder := range []string{"internal/sim", "internal/lifecycle", "internal/ledger", "internal/ledger/ledgertest", "internal/admission", "internal/controller", "internal/pace", "internal/batch", "internal/repair"} {
			p := testedPackage{folder: folder}
			files, err := filepath.Glob(filepath.Join(root, folder, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				source, err := os.ReadFile(file) // #nosec G304 -- of this repository
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range testName.FindAllStringSubmatch(string(source), -1) {
					p.tests = append(p.tests, m[1])
				}
			}
			tested = append(tested, p)
		}
	})
	return tested
}

// drawn reports whether a mutant is run: each, or for eighth:WORD one of eight by chance,
// and always those that prove that an invariant can fail.
func drawn(which string, m mutant) bool {
	word, part := strings.CutPrefix(which, "eighth:")
	if !part || m.rule != "" {
		return true
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(word + m.name))
	return h.Sum32()%8 == 0
}

// TestEighthOfTheMutants: two words draw others, and each draws about an eighth.
func TestEighthOfTheMutants(t *testing.T) {
	var all, one, other, both int
	for _, m := range mutants(t) {
		if m.rule != "" && !(drawn("eighth:a", m) && drawn("eighth:b", m)) {
			t.Errorf("%s proves an invariant, and is not drawn", m.name)
		}
		if !drawn("1", m) {
			t.Errorf("%s is not among all", m.name)
		}
		if m.rule != "" {
			continue
		}
		all++
		a, b := drawn("eighth:a", m), drawn("eighth:b", m)
		if a {
			one++
		}
		if b {
			other++
		}
		if a && b {
			both++
		}
	}
	if one < all/16 || one > all*3/16 || other < all/16 || other > all*3/16 || both > all/12 {
		t.Errorf("of %d are drawn %d and %d, %d by both", all, one, other, both)
	}
}

// TestMutants puts each mutant into the source, by an overlay, and runs the
// quick tests. It takes minutes of compiling, so it runs where it is asked for.
func TestMutants(t *testing.T) {
	which := os.Getenv("BERTH_MUTANTS")
	if which == "" {
		t.Skip("set BERTH_MUTANTS=1 to run the seeded bugs, or eighth:WORD for those that a word draws")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	proved := map[invariant.Rule]bool{}
	t.Cleanup(func() { // after the last of them
		for _, r := range invariant.Rules {
			if !proved[r] {
				t.Errorf("no mutant proves that %s can fail", r)
			}
		}
	})
	for _, m := range mutants(t) {
		if !drawn(which, m) {
			continue
		}
		t.Run(strings.ReplaceAll(m.name, " ", "_"), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(root, m.file)
			source, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(source), m.old); n != 1 {
				t.Fatalf("the source has %d places like %q, want 1: bring the mutant up to date", n, m.old)
			}
			dir := t.TempDir()
			bad := filepath.Join(dir, "mutant.go")
			if err := os.WriteFile(bad, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{path: bad}})
			if err != nil {
				t.Fatal(err)
			}
			list := filepath.Join(dir, "overlay.json")
			if err := os.WriteFile(list, overlay, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("go", append([]string{"test", "-vet=off", "-failfast", "-count=1", "-timeout=120s", "-overlay", list, "-run", m.run}, packagesWith(t, root, m.run)...)...) // #nosec G204 -- of this file
			// A property that catches it would leave a file of its draws in the source.
			cmd.Dir, cmd.Env = root, append(os.Environ(), "RAPID_NOFAILFILE=true")
			out, err := cmd.CombinedOutput()
			text := string(out)
			switch {
			case strings.Contains(text, "[build failed]"):
				t.Fatalf("the mutant does not compile:\n%s", text)
			case err == nil:
				t.Errorf("not caught: %s passed", m.run)
			case m.rule != "" && !strings.Contains(text, string(m.rule)+":"):
				t.Errorf("it was caught, but not by %s:\n%s", m.rule, text[:min(len(text), 2000)])
			case m.rule != "":
				mu.Lock()
				proved[m.rule] = true
				mu.Unlock()
			}
		})
	}
}
