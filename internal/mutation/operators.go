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
