package controller

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The package comment lists the files in the order in which they are read: each uses
// functions, types and values of those after it only. So a reader goes one way.
func TestFilesCallDownwards(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	place := map[string]int{}
	for _, line := range strings.Split(string(doc), "\n") {
		if list, _, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(line, "//   - ") {
			for _, name := range regexp.MustCompile(`[a-z]+\.go`).FindAllString(list, -1) {
				place[name] = len(place)
			}
		}
	}
	paths, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	files, parsed := token.NewFileSet(), map[string]*ast.File{}
	names, methods := map[string]string{}, map[string]string{} // where each is declared
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") || path == "doc.go" {
			continue
		}
		if _, listed := place[path]; !listed {
			t.Errorf("the package comment does not list %s", path)
		}
		f, err := parser.ParseFile(files, path, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		parsed[path] = f
		for _, d := range f.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					names[d.Name.Name] = path
				} else if star, ok := d.Recv.List[0].Type.(*ast.StarExpr); ok && star.X.(*ast.Ident).Name == "Controller" {
					methods[d.Name.Name] = path
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.ValueSpec:
						for _, name := range s.Names {
							names[name.Name] = path
						}
					case *ast.TypeSpec:
						if path != "controller.go" { // each file has methods of Controller
							names[s.Name.Name] = path
						}
					}
				}
			}
		}
	}
	if len(parsed) != len(place) {
		t.Errorf("the package comment lists %d files, there are %d", len(place), len(parsed))
	}
	down := 0
	for path, f := range parsed {
		check := func(at token.Pos, what, to string) {
			if to != path && place[to] < place[path] {
				t.Errorf("%s: %s is in %s, which comes before it in the package comment", files.Position(at), what, to)
			} else if to != path {
				down++
			}
		}
		for _, name := range f.Unresolved { // declared in another file
			if to, ours := names[name.Name]; ours {
				check(name.Pos(), name.Name, to)
			}
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "c" && methods[s.Sel.Name] != "" {
					check(s.Pos(), s.Sel.Name, methods[s.Sel.Name])
				}
			}
			return true
		})
	}
	if down < 100 {
		t.Errorf("%d calls between files were found: the test looks for other names than the code has", down)
	}
}
