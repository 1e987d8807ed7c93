package message

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEveryProblemSaysHowToFixIt reads the source: no call that reports a problem
// gives an empty text for how to fix it.
func TestEveryProblemSaysHowToFixIt(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	below, err := filepath.Glob("../strict/*.go")
	if err != nil || len(below) == 0 {
		t.Fatal("no reader:", err)
	}
	files = append(files, below...)
	calls := 0
	set := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 3 {
				return true
			}
			f, ok := call.Fun.(*ast.SelectorExpr)
			if !ok || !slices.Contains([]string{"Add", "At", "lacks", "Warn"}, f.Sel.Name) {
				return true
			}
			calls++
			if last, ok := call.Args[len(call.Args)-1].(*ast.BasicLit); ok && last.Value == `""` {
				t.Errorf("%s: a problem without a way to fix it", set.Position(call.Pos()))
			}
			return true
		})
	}
	if calls < 100 {
		t.Errorf("only %d calls are found", calls)
	}
}
