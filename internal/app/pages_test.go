package app

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"example.com/berth/internal/vertex/fakevertex"
	"example.com/berth/internal/vertex/fakevertex/scenario"
)

// maxReadme is how long README may be, in bytes. A newcomer reads it in ten minutes, at 200
// words a minute, with time to look at the picture. It had 25.9 KB when the tables of events,
// codes, options and settings stood in it, and 12.7 KB with the measurements.
const maxReadme = 12000

func TestReadmeIsShort(t *testing.T) {
	if n := len(readPage(t, "README.md")); n > maxReadme {
		t.Errorf("README has %d bytes, more than the %d that a newcomer reads in ten minutes: move what is for one task to a page under deploy/", n, maxReadme)
	}
}

// readPage returns a file by its path from the module's root.
func readPage(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", path)) // #nosec G304 -- of this repository
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pages are README and the pages by task, by their paths from the module's root.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := fs.Glob(os.DirFS("../.."), "deploy/*.md")
	if err != nil || len(found) < 3 {
		t.Fatalf("%d pages under deploy, %v", len(found), err)
	}
	return append(found, "README.md")
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// Every link to a file leads to one, and to a heading that it has; every page can be
// reached from README.
func TestLinks(t *testing.T) {
	reached := map[string]bool{"README.md": true}
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(readPage(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			path, anchor, _ := strings.Cut(m[1], "#")
			file := page
			if path != "" {
				file = filepath.Join(filepath.Dir(page), path)
			}
			if page == "README.md" {
				reached[file] = true
			}
			if _, err := os.Stat(filepath.Join("../..", file)); err != nil {
				t.Errorf("%s links to %s, which is not there", page, m[1])
				continue
			}
			if anchor != "" && !slices.Contains(anchors(readPage(t, file)), anchor) {
				t.Errorf("%s links to %s, and %s has no such heading", page, m[1], file)
			}
		}
	}
	for _, page := range pages(t) {
		if !reached[page] {
			t.Errorf("README does not link to %s", page)
		}
	}
}

// The page of limits names settings, switches of the fake and questions of the probe that
// exist, and every question.
func TestLimitsPage(t *testing.T) {
	page := readPage(t, "deploy/limits.md")
	settings, fake, probe := readPage(t, "deploy/settings.md"), readPage(t, "deploy/fakevertex.md"), readPage(t, "internal/probe/questions.go")
	_, table, _ := strings.Cut(page, "| --- | --- | --- | --- | --- |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	name := regexp.MustCompile("`([A-Za-z_]+)`")
	asked := map[string]bool{}
	rows := 0
	for row := range strings.Lines(table) {
		rows++
		cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(row), "|"), "|"), "|")
		if len(cells) != 5 {
			t.Errorf("a row of %d cells: %s", len(cells), row)
			continue
		}
		for i, there := range map[int]func(string) bool{
			2: func(s string) bool { return strings.Contains(settings, "| `"+s+"` |") },
			3: func(s string) bool { return strings.Contains(fake, "| `"+s+"` |") },
			4: func(s string) bool { asked[s] = true; return strings.Contains(probe, `= "`+s+`"`) },
		} {
			for _, m := range name.FindAllStringSubmatch(cells[i], -1) {
				if !there(m[1]) {
					t.Errorf("%s is named in %q, and does not exist", m[1], strings.TrimSpace(cells[0]))
				}
			}
		}
	}
	questions := regexp.MustCompile(`(?m)^\tq[A-Z]\w+ += "(\w+)"`).FindAllStringSubmatch(probe, -1)
	for _, m := range questions {
		if !asked[m[1]] {
			t.Errorf("the probe asks for %s, and the page does not name it", m[1])
		}
	}
	if rows < 10 || len(questions) < 15 {
		t.Errorf("%d rows, %d questions", rows, len(questions))
	}
}

// anchors are the names by which the headings of a page can be linked to, as GitHub
// makes them.
func anchors(page string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return all
}

// The table of settings is the comments of [Config]; -update writes it.
func TestSettingsPage(t *testing.T) {
	variables := map[string]string{} // by field
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		variables[f.Name], _, _ = strings.Cut(f.Tag.Get("env"), ",")
	}
	camel := regexp.MustCompile(`\b[A-Z][a-z]+[A-Z]\w+\b`)
	var rows []string
	for _, field := range fieldsOf(t, "config.go", "Config") {
		name := field.Names[0].Name
		tag, err := parser.ParseExpr(field.Tag.Value)
		if err != nil {
			t.Fatal(err)
		}
		env := reflect.StructTag(strings.Trim(tag.(*ast.BasicLit).Value, "`")).Get("env")
		_, option, _ := strings.Cut(env, ", ")
		of := strings.TrimPrefix(option, "default=")
		switch typ, _ := field.Type.(*ast.Ident); {
		case of == "" && typ != nil && typ.Name == "bool":
			of = "off"
		case of != "" && of != "required":
			of = "`" + of + "`"
		}
		text, is := strings.CutPrefix(sentence(field.Doc), name+" ")
		if !is {
			t.Errorf("the comment of %s does not begin with its name", name)
		}
		text = strings.TrimPrefix(strings.TrimPrefix(text, "is "), "are ")
		text = camel.ReplaceAllStringFunc(text, func(word string) string {
			if v := variables[word]; v != "" {
				return "`" + v + "`"
			}
			return word
		})
		rows = append(rows, "| `"+variables[name]+"` | "+of+" | "+text+" |")
	}
	holdTable(t, "deploy/settings.md", "variable", rows)
}

// The table of reason codes is the comments of package reason; -update writes it.
func TestCodesPage(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../reason/reason.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, is := n.(*ast.ValueSpec); is {
			if typ, is := spec.Type.(*ast.Ident); is && typ.Name == "Code" {
				rows = append(rows, "| "+strings.Trim(spec.Values[0].(*ast.BasicLit).Value, `"`)+" | "+sentence(spec.Comment)+" |")
			}
		}
		return true
	})
	if len(rows) < 30 {
		t.Fatalf("only %d codes were found in the source", len(rows))
	}
	holdTable(t, "deploy/events.md", "code", rows)
}

// The table of the fake's switches is the comments of fakevertex.Behaviour, and its
// defaults; -update writes it.
func TestFakePage(t *testing.T) {
	defaults := reflect.ValueOf(fakevertex.DefaultBehaviour())
	var rows []string
	for _, field := range fieldsOf(t, "../vertex/fakevertex/behaviour.go", "Behaviour") {
		name, text := field.Names[0].Name, ""
		if field.Comment != nil {
			text = sentence(field.Comment)
		}
		if len(field.Names) != 1 || text == "" {
			t.Errorf("%s has no comment of its own", name)
		}
		value := defaults.FieldByName(name).Interface()
		of := fmt.Sprintf("`%v`", value)
		if of == "``" {
			of = ""
		}
		if words, is := value.(interface{ Words() []string }); is {
			text += ": " + strings.Join(words.Words(), ", ")
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |", scenario.KnobName(name), of, text))
	}
	holdTable(t, "deploy/fakevertex.md", "switch", rows)
}

// sentence is a comment as one line.
func sentence(c *ast.CommentGroup) string { return strings.Join(strings.Fields(c.Text()), " ") }

// fieldsOf returns the fields of a struct as they stand in a file.
func fieldsOf(t *testing.T, path, name string) []*ast.Field {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var fields []*ast.Field
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, is := n.(*ast.TypeSpec); is && spec.Name.Name == name {
			fields = spec.Type.(*ast.StructType).Fields.List
		}
		return true
	})
	if len(fields) == 0 {
		t.Fatalf("%s has no struct %s", path, name)
	}
	return fields
}

// holdTable holds the rows of the one table of a page whose first column has this head.
func holdTable(t *testing.T, page, head string, rows []string) {
	t.Helper()
	lines := strings.Split(readPage(t, page), "\n")
	from := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "| "+head+" |") }) + 2
	if from < 2 {
		t.Fatalf("%s has no table with the head %q", page, head)
	}
	to := from
	for lines[to] != "" {
		to++
	}
	if slices.Equal(lines[from:to], rows) {
		return
	}
	if !*update {
		i := 0
		for i < min(to-from, len(rows)) && lines[from+i] == rows[i] {
			i++
		}
		t.Errorf("%s differs from the comments in the source at line %d; go test ./internal/app -run Page -update writes it", page, from+i+1)
		return
	}
	text := strings.Join(slices.Concat(lines[:from], rows, lines[to:]), "\n")
	if err := os.WriteFile(filepath.Join("../..", page), []byte(text), 0o600); err != nil { // #nosec G703 -- of this repository
		t.Fatal(err)
	}
}
