package mutation

import (
	"context"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const example = `package p

import "errors"

type Word string

const (
	A Word = "a"
	B Word = "b"
)

type Config struct{ Most int }

func DefaultConfig() Config { return Config{Most: 9} }

var live = []Word{A, B}

func do(c Config, list []int, w Word) (n int, err error) {
	for _, x := range list {
		if x < c.Most && w == A {
			n += x
		}
	}
	switch w {
	case A, B:
		note(n)
	}
	if err = note(n); err != nil {
		return 0, err
	}
	return min(n, 50), errors.New("two words")
}

func note(int) error { return nil }
`

// TestOperators lists every change of a small file.
func TestOperators(t *testing.T) {
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, "p.go", example, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Types: map[ast.Expr]types.TypeAndValue{}}
	pkg, err := (&types.Config{Importer: importer.Default()}).Check("p", fset, []*ast.File{tree}, info)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range operate(fset, source{text: []byte(example), tree: tree}, pkg, info) {
		m.describe([]byte(example))
		if _, err := parser.ParseFile(fset, "changed.go", m.apply([]byte(example)), 0); err != nil {
			t.Errorf("%s does not parse: %v", m, err)
		}
		if m.Function == "do" {
			got = append(got, m.Operator+": "+m.After)
		}
	}
	want := []string{
		"function returns at once: func do(c Config, list []int, w Word) (n int, err error) { if true { return *new(int), *new(error) }",
		"loop ends after one round: break }",
		"condition never holds: if (x < c.Most && false) && w == A {",
		"condition always holds: if (x < c.Most || true) && w == A {",
		"condition never holds: if x < c.Most && (w == A && false) {",
		"condition always holds: if x < c.Most && (w == A || true) {",
		"bound is off by one: if x <= c.Most && w == A {",
		"setting is not read: if x < DefaultConfig().Most && w == A {",
		"other constant: if x < c.Most && w == B {",
		"statement is missing: ",
		"case is missing: ",
		"element is missing: case B:",
		"element is missing: case A:",
		"other constant: case B, B:",
		"other constant: case A, A:",
		"statement is missing: ",
		"error is ignored: if err = note(n); (err != nil && false) {",
		"error is not returned: return 0, nil",
		"error is not returned: return min(n, 50), nil",
		"other arithmetic: return max(n, 50), errors.New(\"two words\")",
		"other number: return min(n, 100), errors.New(\"two words\")",
		"other number: return min(n, 25), errors.New(\"two words\")",
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("there is no change %q", w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("unexpected change %q", g)
		}
	}
}

func TestReadAccepted(t *testing.T) {
	all, err := ReadAccepted(strings.NewReader(`# A comment.
a.go: F
    - x < 1
    + x <= 1
    why: one
    and two

b.go: T.G
    - note()
    +
    why: three
`))
	if err != nil {
		t.Fatal(err)
	}
	want := Accepted{
		{"a.go", "F", "x < 1", "x <= 1"}: "one and two",
		{"b.go", "T.G", "note()", ""}:    "three",
	}
	if len(all) != len(want) {
		t.Errorf("%d entries, want %d: %v", len(all), len(want), all)
	}
	for k, why := range want {
		if all[k] != why {
			t.Errorf("%v is accepted because of %q, want %q", k, all[k], why)
		}
	}
	for _, bad := range []string{"a.go: F\n    - x\n    + y\n", "a.go: F\n    why: no change\n", "nothing\n"} {
		if _, err := ReadAccepted(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// TestAccepted reads the file of accepted survivors as it is.
func TestAccepted(t *testing.T) {
	f, err := os.Open("../../testdata/mutation/survivors.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := ReadAccepted(f)
	if err != nil {
		t.Fatal(err)
	}
	for k := range all {
		if _, err := os.Stat(filepath.Join("../..", k.File)); err != nil {
			t.Errorf("a survivor is accepted in a file that is not there: %v", err)
		}
	}
}

// TestSurvey runs a whole survey of a module with one package, whose tests notice
// some of the bugs.
func TestSurvey(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.com/p\n\ngo 1.26\n")
	write("p/p.go", "package p\n\nfunc Big(n int) bool {\n\treturn n > 9\n}\n\nfunc Spin(n int) {\n\tfor n > 0 {\n\t\tn--\n\t}\n}\n")
	write("p/p_test.go", "package p\n\nimport \"testing\"\n\nfunc TestBig(t *testing.T) {\n\tSpin(3)\n\tif Big(0) || !Big(90) {\n\t\tt.Fail()\n\t}\n}\n")
	if out, err := exec.Command("go", "-C", root, "build", "./...").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	accepted := Accepted{
		{"p/p.go", "Big", "return n > 9", "return n > 18"}:     "so that it is not run",
		{"p/p.go", "Gone", "return n > 9", "return n >= 9"}:    "so that it is stale",
		{"other/o.go", "Gone", "return n > 9", "return n < 9"}: "of a package that is not surveyed",
	}
	s := &Survey{
		Runner:  &Runner{Root: root, Limit: 3 * time.Second},
		Targets: []Target{{"p", []Step{own("p")}}},
		Seed:    1, Accepted: accepted, Progress: t.Output(),
	}
	r, err := s.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, v := range r.Verdicts {
		got[v.After] = v.Result
	}
	for after, want := range map[string]string{
		"return n >= 9": Lived, "return n <= 9": Killed, "return n > 4": Lived, "": TimeOut,
	} {
		if got[after] != want {
			t.Errorf("%q %s, want %s", after, got[after], want)
		}
	}
	if _, run := got["return n > 18"]; run {
		t.Error("an accepted survivor was run")
	}
	c := r.Packages["p"]
	if c != r.Total || c.Accepted != 1 || c.TimedOut != 1 || c.Run != len(r.Verdicts) || c.Run != c.Killed+c.Lived || c.Score != 100*float64(c.Killed)/float64(c.Run) {
		t.Errorf("the counts are %+v of %d verdicts", c, len(r.Verdicts))
	}
	if len(r.Stale) != 1 || !strings.Contains(r.Stale[0], "Gone") {
		t.Errorf("stale: %q, want the one of Gone", r.Stale)
	}
}

// TestExitCode: a survey fails below the score, and on an accepted survivor that
// the source does not have.
func TestExitCode(t *testing.T) {
	for _, test := range []struct {
		score float64
		stale []string
		want  int
	}{{90, nil, 0}, {89.9, nil, 1}, {100, []string{"a.go: F: x < 1"}, 1}} {
		r := &Report{Total: Counts{Score: test.score}, Stale: test.stale}
		if got := r.code(90); got != test.want {
			t.Errorf("score %v, stale %q: exit code %d, want %d", test.score, test.stale, got, test.want)
		}
		var out strings.Builder
		r.print(&out)
		for _, s := range test.stale {
			if !strings.Contains(out.String(), "stale, ") || !strings.Contains(out.String(), s) {
				t.Errorf("the report does not name the stale entry:\n%s", out.String())
			}
		}
	}
}

// TestSurveyNeedsGreen does not blame mutants for a test that fails anyway.
func TestSurveyNeedsGreen(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":    "module example.com/p\n\ngo 1.26\n",
		"p.go":      "package p\n\nfunc One() int { return 1 }\n",
		"p_test.go": "package p\n\nimport \"testing\"\n\nfunc TestNo(t *testing.T) { t.Fatal(\"it is red\") }\n",
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := &Survey{Runner: &Runner{Root: root, Limit: time.Minute}, Targets: []Target{{".", []Step{own(".")}}}, Progress: t.Output()}
	if _, err := s.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "it is red") {
		t.Errorf("the error is %v, want the failing test", err)
	}
}

func TestUsage(t *testing.T) {
	for args, want := range map[string]int{"-help": 0, "-no-such-flag": 2, "internal/nothing": 2, "-only ( app": 2, "-accepted no/such/file": 2} {
		var out, errs strings.Builder
		if code := Main(t.Context(), strings.Fields(args), &out, &errs); code != want || errs.Len() == 0 {
			t.Errorf("%s exits with %d and says %q, want %d and why", args, code, errs.String(), want)
		}
	}
}

// TestScoreFile: the row of a surveyed package replaces its old one, those of others stay,
// and a sample that was not run to its end leaves the file as it is.
func TestScoreFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "score.txt")
	report := func(name string, run, killed int) *Report {
		c := Counts{Mutants: 300, Run: run, Killed: killed, Lived: run - killed, Accepted: 7}
		c.score()
		return &Report{Seed: 5, Packages: map[string]Counts{name: c, "internal/undrawn": {Mutants: 9}}}
	}
	write := func(r *Report, steps int, want bool) {
		t.Helper()
		if err := WriteScore(path, r, steps, "go run it"); (err == nil) != want {
			t.Fatal(err)
		}
	}
	write(report("internal/b", 40, 30), 1, true)
	write(report("internal/a", 10, 10), 0, true)
	write(report("internal/b", 40, 37), 2, true)
	cut := report("internal/b", 1, 0)
	cut.Cut = true
	write(cut, 0, false)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			got = append(got, strings.Join(strings.Fields(line), " "))
		}
	}
	want := []string{"package mutants drawn killed lived accepted score seed steps command",
		"internal/a 300 10 10 0 7 100.0 5 all go run it", "internal/b 300 40 37 3 7 92.5 5 2 go run it"}
	if !slices.Equal(got, want) {
		t.Errorf("the file has\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
