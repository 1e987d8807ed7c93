package mutation

import (
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"
)

// The operators, by the bug that they stand for.
const (
	Always   = "condition always holds"
	Never    = "condition never holds"
	Error    = "error is ignored"
	Boundary = "bound is off by one"
	Equality = "== is !="
	Arith    = "other arithmetic"
	Drop     = "statement is missing"
	Element  = "element is missing"
	Case     = "case is missing"
	Once     = "loop ends after one round"
	Early    = "function returns at once"
	NoError  = "error is not returned"
	Number   = "other number"
	Bool     = "other truth"
	Text     = "empty text"
	Swap     = "other constant"
	Setting  = "setting is not read"
	Slice    = "slice is not cut"
)

// An operation walks one file.
type operation struct {
	fset     *token.FileSet
	source   source
	pkg      *types.Package
	info     *types.Info
	function string
	found    []Mutant
	// handled are comparisons that a mutant of a condition has inverted already, and what
	// is returned beside an error, which no caller reads.
	handled map[ast.Expr]bool
}

// operate returns all changes of a file, whether they compile or not.
func operate(fset *token.FileSet, s source, pkg *types.Package, info *types.Info) []Mutant {
	o := &operation{fset: fset, source: s, pkg: pkg, info: info, handled: map[ast.Expr]bool{}}
	for _, d := range s.tree.Decls {
		o.function = ""
		if f, ok := d.(*ast.FuncDecl); ok {
			o.function = nameOf(f)
			if f.Body != nil {
				o.early(f.Type, f.Body)
			}
		}
		ast.Inspect(d, o.visit)
	}
	return o.found
}

func nameOf(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return f.Name.Name
	}
	t := f.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.Ident:
			return x.Name + "." + f.Name.Name
		default:
			return f.Name.Name
		}
	}
}

func (o *operation) offset(p token.Pos) int { return o.fset.Position(p).Offset }

func (o *operation) text(n ast.Node) string {
	return string(o.source.text[o.offset(n.Pos()):o.offset(n.End())])
}

func (o *operation) replace(operator string, n ast.Node, with string) {
	o.edit(operator, n.Pos(), n.End(), with)
}

func (o *operation) edit(operator string, from, to token.Pos, with string) {
	o.found = append(o.found, Mutant{Function: o.function, Operator: operator, from: o.offset(from), to: o.offset(to), with: with})
}

func (o *operation) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok != token.IMPORT && n.Tok != token.TYPE
	case *ast.CallExpr:
		return o.call(n)
	case *ast.IfStmt:
		if b, ok := n.Cond.(*ast.BinaryExpr); ok && b.Op == token.NEQ && o.isError(b.X) {
			o.besideError(n.Body)
		}
		o.condition(n.Cond, true)
	case *ast.ForStmt:
		if n.Cond != nil {
			o.condition(n.Cond, false)
		}
		o.once(n.Body)
	case *ast.RangeStmt:
		o.once(n.Body)
	case *ast.SwitchStmt:
		o.cases(n)
	case *ast.TypeSwitchStmt:
		o.clauses(n.Body)
	case *ast.SelectStmt:
		return true
	case *ast.BinaryExpr:
		o.binary(n)
	case *ast.BlockStmt:
		o.statements(n.List)
	case *ast.CaseClause:
		o.statements(n.Body)
	case *ast.CommClause:
		o.statements(n.Body)
	case *ast.ReturnStmt:
		o.returned(n)
	case *ast.CompositeLit:
		o.elements(n.Elts, n.Rbrace)
	case *ast.SliceExpr:
		if n.High != nil && n.Low == nil && n.Max == nil {
			o.replace(Slice, n, o.text(n.X))
		}
	case *ast.BasicLit:
		if !o.handled[n] {
			o.literal(n)
		}
	case *ast.Ident:
		if !o.handled[n] {
			o.identifier(n, n)
		}
	case *ast.SelectorExpr:
		o.selector(n)
		ast.Inspect(n.X, o.visit)
		return false
	}
	return true
}

// condition makes a condition hold always or never. Both sides of && and || are
// conditions of their own.
func (o *operation) condition(e ast.Expr, always bool) {
	for {
		p, ok := e.(*ast.ParenExpr)
		if !ok {
			break
		}
		e = p.X
	}
	o.handled[e] = true
	if b, ok := e.(*ast.BinaryExpr); ok && (b.Op == token.LAND || b.Op == token.LOR) {
		o.condition(b.X, true)
		o.condition(b.Y, true)
		return
	}
	if u, ok := e.(*ast.UnaryExpr); ok && u.Op == token.NOT {
		o.handled[u.X] = true
	}
	never := Never
	if b, ok := e.(*ast.BinaryExpr); ok && b.Op == token.NEQ && o.isError(b.X) {
		never, always = Error, false // that every error is met shows at once
	}
	o.replace(never, e, "("+o.text(e)+" && false)")
	if always {
		o.replace(Always, e, "("+o.text(e)+" || true)")
	}
}

var errorType = types.Universe.Lookup("error").Type()

func (o *operation) isError(e ast.Expr) bool {
	t := o.info.Types[e].Type
	return t != nil && types.Identical(t, errorType)
}

func (o *operation) binary(b *ast.BinaryExpr) {
	at := b.OpPos
	to := at + token.Pos(len(b.Op.String()))
	switch b.Op {
	case token.LAND, token.LOR:
		if !o.handled[b] {
			o.condition(b, true)
		}
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		o.edit(Boundary, at, to, map[token.Token]string{token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">"}[b.Op])
		if !o.handled[b] {
			o.edit(Equality, at, to, map[token.Token]string{token.LSS: ">=", token.LEQ: ">", token.GTR: "<=", token.GEQ: "<"}[b.Op])
		}
	case token.EQL, token.NEQ:
		if !o.handled[b] {
			o.edit(Equality, at, to, map[token.Token]string{token.EQL: "!=", token.NEQ: "=="}[b.Op])
		}
	case token.ADD, token.SUB, token.MUL, token.QUO, token.REM:
		if t, ok := o.info.Types[b].Type.Underlying().(*types.Basic); ok && t.Info()&types.IsNumeric != 0 {
			o.edit(Arith, at, to, map[token.Token]string{token.ADD: "-", token.SUB: "+", token.MUL: "/", token.QUO: "*", token.REM: "/"}[b.Op])
		}
	}
}

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

// returned hides a returned error.
func (o *operation) returned(r *ast.ReturnStmt) {
	if len(r.Results) == 0 {
		return
	}
	last := r.Results[len(r.Results)-1]
	if v := o.info.Types[last]; v.IsNil() {
		return
	}
	if call, ok := last.(*ast.CallExpr); ok && len(r.Results) == 1 && !o.isError(call) {
		return
	}
	if o.isError(last) || o.isErrorPointer(last) {
		o.replace(NoError, last, "nil")
	}
}

func (o *operation) isErrorPointer(e ast.Expr) bool {
	t := o.info.Types[e].Type
	if t == nil {
		return false
	}
	p, ok := t.(*types.Pointer)
	return ok && types.Implements(p, errorType.Underlying().(*types.Interface))
}

// literal changes numbers and short texts. Sentences are for people.
func (o *operation) literal(l *ast.BasicLit) {
	switch l.Kind {
	case token.INT:
		n, err := strconv.ParseInt(l.Value, 0, 64)
		switch {
		case err != nil:
		case n == 0:
			o.replace(Number, l, "1")
		case n == 1:
			o.replace(Number, l, "0")
			o.replace(Number, l, "2")
		default:
			o.replace(Number, l, strconv.FormatInt(n*2, 10))
			o.replace(Number, l, strconv.FormatInt(n/2, 10))
		}
	case token.STRING:
		if s, err := strconv.Unquote(l.Value); err == nil && s != "" && !strings.ContainsAny(s, " %") {
			o.replace(Text, l, `""`)
		}
	}
}

// identifier changes truths, and constants for others of their type.
func (o *operation) identifier(id *ast.Ident, whole ast.Expr) {
	switch id.Name {
	case "true", "false":
		if id == whole && o.info.Uses[id] == types.Universe.Lookup(id.Name) {
			o.replace(Bool, id, map[string]string{"true": "false", "false": "true"}[id.Name])
		}
		return
	case "min", "max":
		if _, builtin := o.info.Uses[id].(*types.Builtin); builtin {
			o.replace(Arith, id, map[string]string{"min": "max", "max": "min"}[id.Name])
		}
		return
	}
	c, ok := o.info.Uses[id].(*types.Const)
	if !ok || c.Pkg() == nil {
		return
	}
	named, ok := c.Type().(*types.Named)
	if !ok || named.Obj().Pkg() != c.Pkg() {
		return
	}
	var others []string
	for _, name := range c.Pkg().Scope().Names() {
		other, ok := c.Pkg().Scope().Lookup(name).(*types.Const)
		if ok && types.Identical(other.Type(), c.Type()) && (other.Exported() || c.Pkg() == o.pkg) && !constant.Compare(other.Val(), token.EQL, c.Val()) {
			others = append(others, name)
		}
	}
	if len(others) > 0 { // the next by name: any does, as long as it is always the same
		i, _ := slices.BinarySearch(others, id.Name)
		o.replace(Swap, id, others[i%len(others)])
	}
}

func (o *operation) selector(s *ast.SelectorExpr) {
	o.identifier(s.Sel, s)
	t := o.info.Types[s.X].Type
	if t == nil {
		return
	}
	if named, ok := t.(*types.Named); ok && named.Obj().Name() == "Config" && named.Obj().Pkg() == o.pkg && o.function != "Config.Validate" {
		if o.pkg.Scope().Lookup("DefaultConfig") != nil {
			o.replace(Setting, s, "DefaultConfig()."+s.Sel.Name)
		}
	}
}

// call skips log calls without an effect, and the texts of the others.
func (o *operation) call(c *ast.CallExpr) bool {
	return !o.logs(c)
}

// logs says whether a call writes to the log.
func (o *operation) logs(e ast.Expr) bool {
	c, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	s, ok := c.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	t := o.info.Types[s.X].Type
	return t != nil && t.String() == "*log/slog.Logger"
}
