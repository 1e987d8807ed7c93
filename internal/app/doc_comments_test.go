package app_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// A comment that begins with the name of what it describes has the present name. A
// renamed function whose comment still has the old name misleads a reader who searches.
func TestDocCommentsHaveThePresentName(t *testing.T) {
	t.Parallel()
	named := 0
	for _, p := range modulePackages(t) {
		paths, err := filepath.Glob(filepath.Join(p.Dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			files := token.NewFileSet()
			parsed, err := parser.ParseFile(files, path, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range parsed.Decls {
				f, ok := d.(*ast.FuncDecl)
				if !ok || f.Doc == nil {
					continue
				}
				first, _, _ := strings.Cut(f.Doc.Text(), " ")
				first = strings.TrimRight(first, ":,.;\n")
				switch {
				case first == f.Name.Name:
					named++
				case first == "" || f.Name.Name == "main":
				case strings.HasPrefix(first, "Test") && strings.HasPrefix(f.Name.Name, "Test"), first[0] >= 'a' && first[0] <= 'z':
					t.Errorf("%s: the comment of %s begins with %s", files.Position(f.Pos()), f.Name.Name, first)
				}
			}
		}
	}
	if named < 500 {
		t.Errorf("%d comments begin with the name of their function: the test reads the wrong files", named)
	}
}
