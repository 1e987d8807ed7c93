package mutation

import (
	"go/ast"
	"go/token"
	"slices"
	"strings"
)

// cases removes cases, and each of the values that share one.
func (o *operation) cases(s *ast.SwitchStmt) {
	o.clauses(s.Body)
	for _, c := range s.Body.List {
		c := c.(*ast.CaseClause)
		if s.Tag == nil {
			for _, e := range c.List {
				o.condition(e, false)
			}
		}
		if len(c.List) > 1 {
			o.elements(c.List, c.Colon)
		}
	}
}

func (o *operation) clauses(body *ast.BlockStmt) {
	for _, c := range body.List {
		if c := c.(*ast.CaseClause); c.List != nil {
			o.replace(Case, c, "")
		}
	}
}

// elements removes one element of a list. end is the position after the last.
func (o *operation) elements(list []ast.Expr, end token.Pos) {
	for i, e := range list {
		switch {
		case i+1 < len(list):
			o.edit(Element, e.Pos(), list[i+1].Pos(), "")
		case i > 0:
			o.edit(Element, list[i-1].End(), e.End(), "")
		default:
			o.edit(Element, e.Pos(), end, "")
		}
	}
}

// statements removes one statement at a time.
func (o *operation) statements(list []ast.Stmt) {
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ExprStmt:
			if !o.logs(s.X) {
				o.replace(Drop, s, "")
			}
		case *ast.IncDecStmt, *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt, *ast.BranchStmt:
			o.replace(Drop, s, "")
		case *ast.AssignStmt:
			o.assignment(s)
		}
	}
}

func (o *operation) assignment(s *ast.AssignStmt) {
	if s.Tok == token.DEFINE {
		return
	}
	if len(s.Lhs) == 1 || len(s.Lhs) != len(s.Rhs) {
		o.replace(Drop, s, "")
		return
	}
	for skip := range s.Lhs {
		var left, right []string
		for i := range s.Lhs {
			if i != skip {
				left, right = append(left, o.text(s.Lhs[i])), append(right, o.text(s.Rhs[i]))
			}
		}
		o.replace(Drop, s, strings.Join(left, ", ")+" = "+strings.Join(right, ", "))
	}
}

// once ends a loop after its first round.
func (o *operation) once(body *ast.BlockStmt) {
	if len(body.List) == 0 {
		return
	}
	switch body.List[len(body.List)-1].(type) {
	case *ast.ReturnStmt, *ast.BranchStmt:
		return // it ends by itself
	}
	o.edit(Once, body.Rbrace, body.Rbrace, "\nbreak\n")
}

// early lets a function return zero values at once.
func (o *operation) early(t *ast.FuncType, body *ast.BlockStmt) {
	if len(body.List) == 0 {
		return
	}
	var zero []string
	if t.Results != nil {
		for _, r := range t.Results.List {
			for range max(1, len(r.Names)) {
				zero = append(zero, "*new("+o.text(r.Type)+")")
			}
		}
	}
	if len(body.List) == 1 && (t.Results == nil || returnsZero(body.List[0])) {
		return // the same as its only statement missing, or as it is
	}
	o.edit(Early, body.Lbrace+1, body.Lbrace+1, "\nif true { return "+strings.Join(zero, ", ")+" }\n")
}

func returnsZero(s ast.Stmt) bool {
	r, ok := s.(*ast.ReturnStmt)
	return ok && !slices.ContainsFunc(r.Results, func(e ast.Expr) bool {
		id, named := e.(*ast.Ident)
		return !named || id.Name != "nil" && id.Name != "false"
	})
}

// besideError marks the literals that a block returns beside an error: where it is the
// block of an error that was met, no caller reads them.
func (o *operation) besideError(body *ast.BlockStmt) {
	for _, s := range body.List {
		r, ok := s.(*ast.ReturnStmt)
		if !ok || len(r.Results) < 2 || o.info.Types[r.Results[len(r.Results)-1]].IsNil() || !o.isError(r.Results[len(r.Results)-1]) {
			continue
		}
		for _, e := range r.Results[:len(r.Results)-1] {
			o.handled[e] = true
		}
	}
}
