package app_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Every record is logged with its context, which says what it is about: a call
// without one cannot be found by the id of its message. What the context carries is
// not repeated at the call.
func TestLogCallsCarryTheirContext(t *testing.T) {
	t.Parallel()
	calls := 0
	for _, p := range modulePackages(t) {
		for _, name := range p.GoFiles {
			files := token.NewFileSet()
			parsed, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				s, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || !isLogger(s.X) {
					return true
				}
				switch s.Sel.Name {
				case "Debug", "Info", "Warn", "Error":
					t.Errorf("%s: %s without a context; call %[2]sContext", files.Position(call.Pos()), s.Sel.Name)
				case "DebugContext", "InfoContext", "WarnContext", "ErrorContext", "Log", "LogAttrs":
					calls++
					for _, arg := range call.Args {
						if lit, ok := arg.(*ast.BasicLit); ok && (lit.Value == `"message_id"` || lit.Value == `"tenant"`) {
							t.Errorf("%s: the context carries %s", files.Position(lit.Pos()), lit.Value)
						}
					}
				}
				return true
			})
		}
	}
	if calls < 30 {
		t.Errorf("%d calls were found: the test looks for other names than the code has", calls)
	}
}

// isLogger decides by the name: log, x.log, logger, newLogger(...).
func isLogger(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "slog" || strings.HasPrefix(strings.ToLower(x.Name), "log")
	case *ast.SelectorExpr:
		return strings.HasPrefix(strings.ToLower(x.Sel.Name), "log")
	case *ast.CallExpr:
		if f, ok := x.Fun.(*ast.Ident); ok {
			return strings.HasSuffix(f.Name, "Logger")
		}
		if f, ok := x.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "With" {
			return isLogger(f.X)
		}
	}
	return false
}
