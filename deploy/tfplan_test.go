package deploy

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// A plan evaluates the blocks of a Terraform configuration for given variables, as
// terraform plan does, without a provider. What the cloud alone can know is made up
// from the type of the attribute.
type plan struct {
	dir     string
	files   map[string]*hcl.File
	vars    map[string]*hclsyntax.Block
	locals  map[string]hclsyntax.Expression
	blocks  map[string]*hclsyntax.Block // resources and data, by address
	outputs map[string]*hclsyntax.Block
	modules map[string]*hclsyntax.Block
	given   map[string]cty.Value
	done    map[string]cty.Value // evaluated locals, resources and data
	under   map[string]bool      // being evaluated
	schema  schema
}

// configuration reads the configuration of a folder for some variables, as JSON.
func configuration(t *testing.T, dir, variables string) *plan {
	t.Helper()
	p, err := readConfiguration(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.set(variables); err != nil {
		t.Fatal(err)
	}
	return p
}

// readConfiguration reads the files of a folder. edit changes the text of one first, for
// tests that seed a mistake.
func readConfiguration(dir string, edit func(name, text string) string) (*plan, error) {
	p := &plan{dir: dir, files: map[string]*hcl.File{}, vars: map[string]*hclsyntax.Block{}, locals: map[string]hclsyntax.Expression{},
		blocks: map[string]*hclsyntax.Block{}, outputs: map[string]*hclsyntax.Block{}, modules: map[string]*hclsyntax.Block{},
		given: map[string]cty.Value{}, done: map[string]cty.Value{}, under: map[string]bool{}}
	var err error
	if p.schema, err = readSchema(); err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.tf"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("%s has no configuration: %w", dir, err)
	}
	parser := hclparse.NewParser()
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if edit != nil {
			text = []byte(edit(filepath.Base(name), string(text)))
		}
		f, bad := parser.ParseHCL(text, name)
		if bad.HasErrors() {
			return nil, bad
		}
		p.files[filepath.Base(name)] = f
		for _, b := range f.Body.(*hclsyntax.Body).Blocks {
			switch b.Type {
			case "variable":
				p.vars[b.Labels[0]] = b
			case "locals":
				for name, a := range b.Body.Attributes {
					p.locals[name] = a.Expr
				}
			case "resource":
				p.blocks[strings.Join(b.Labels, ".")] = b
			case "data":
				p.blocks["data."+strings.Join(b.Labels, ".")] = b
			case "output":
				p.outputs[b.Labels[0]] = b
			case "module":
				p.modules[b.Labels[0]] = b
			case "terraform", "provider":
			default:
				return nil, fmt.Errorf("%s: a block %s", name, b.Type)
			}
		}
	}
	return p, nil
}

// set gives the variables their values, or reports which one a validation refuses.
func (p *plan) set(variables string) error {
	var given map[string]json.RawMessage
	if err := json.Unmarshal([]byte(variables), &given); err != nil {
		return err
	}
	for name := range given {
		if p.vars[name] == nil {
			return fmt.Errorf("there is no variable %s", name)
		}
	}
	for name, b := range p.vars {
		typ, defaults, bad := typeexpr.TypeConstraintWithDefaults(b.Body.Attributes["type"].Expr)
		if bad.HasErrors() {
			return bad
		}
		var v cty.Value
		switch fallback := b.Body.Attributes["default"]; {
		case given[name] != nil:
			implied, err := ctyjson.ImpliedType(given[name])
			if err != nil {
				return err
			}
			if v, err = ctyjson.Unmarshal(given[name], implied); err != nil {
				return err
			}
		case fallback == nil:
			return fmt.Errorf("variable %s is needed", name)
		default:
			if v, bad = fallback.Expr.Value(&hcl.EvalContext{}); bad.HasErrors() {
				return bad
			}
		}
		if defaults != nil && !v.IsNull() {
			v = defaults.Apply(v)
		}
		var err error
		if p.given[name], err = convert.Convert(v, typ); err != nil {
			return fmt.Errorf("variable %s: %w", name, err)
		}
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(p.vars)) {
		for _, b := range p.vars[name].Body.Blocks {
			good, err := p.value(b.Body.Attributes["condition"].Expr, nil)
			if err != nil {
				return err
			}
			if good.False() {
				said, err := p.value(b.Body.Attributes["error_message"].Expr, nil)
				if err != nil {
					return err
				}
				errs = append(errs, fmt.Errorf("variable %s: %s", name, said.AsString()))
			}
		}
	}
	return errors.Join(errs...)
}

// An instance is an evaluated resource. Its JSON form has blocks as lists.
type instance map[string]any

// text returns a string attribute by its path, "" where it is not set: "push_config.0.push_endpoint".
func (i instance) text(path string) string {
	s, _ := i.at(path).(string)
	return s
}

func (i instance) number(path string) float64 {
	n, _ := i.at(path).(float64)
	return n
}

func (i instance) at(path string) any {
	var v any = map[string]any(i)
	for part := range strings.SplitSeq(path, ".") {
		switch of := v.(type) {
		case map[string]any:
			v = of[part]
		case []any:
			n := 0
			if _, err := fmt.Sscan(part, &n); err != nil || n >= len(of) {
				return nil
			}
			v = of[n]
		default:
			return nil
		}
	}
	return v
}

// all returns the instances of a type, by address and key.
func (p *plan) all(t *testing.T, kind string) map[string]instance {
	t.Helper()
	found := map[string]instance{}
	for addr, b := range p.blocks {
		if b.Type != "resource" || b.Labels[0] != kind {
			continue
		}
		v, err := p.block(addr)
		if err != nil {
			t.Fatalf("%s: %v", addr, err)
		}
		add := func(key string, v cty.Value) {
			text, err := ctyjson.Marshal(v, v.Type())
			if err != nil {
				t.Fatal(err)
			}
			var i instance
			if err := json.Unmarshal(text, &i); err != nil {
				t.Fatal(err)
			}
			found[addr+key] = i
		}
		switch {
		case b.Body.Attributes["for_each"] != nil:
			for key, each := range v.AsValueMap() {
				add("["+key+"]", each)
			}
		case b.Body.Attributes["count"] != nil:
			for n, each := range v.AsValueSlice() {
				add(fmt.Sprintf("[%d]", n), each)
			}
		default:
			add("", v)
		}
	}
	return found
}

// output returns an output as Go has JSON.
func (p *plan) output(t *testing.T, name string) any {
	t.Helper()
	if p.outputs[name] == nil {
		t.Fatalf("there is no output %s", name)
	}
	v, err := p.value(p.outputs[name].Body.Attributes["value"].Expr, nil)
	if err != nil {
		t.Fatalf("output %s: %v", name, err)
	}
	text, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		t.Fatal(err)
	}
	var out any
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// value evaluates an expression. own are the variables of its block: each, count and
// the iterators of dynamic blocks.
func (p *plan) value(expr hcl.Expression, own map[string]cty.Value) (cty.Value, error) {
	vars := maps.Clone(own)
	if vars == nil {
		vars = map[string]cty.Value{}
	}
	needed := map[string]map[string]cty.Value{} // by root, and for data by "data.TYPE"
	for _, traversal := range expr.Variables() {
		root := traversal.RootName()
		if _, known := own[root]; known {
			continue
		}
		name := func(n int) string {
			if len(traversal) > n {
				if a, ok := traversal[n].(hcl.TraverseAttr); ok {
					return a.Name
				}
			}
			return ""
		}
		var v cty.Value
		var err error
		of, attr := root, name(1)
		switch root {
		case "path":
			v = cty.StringVal(p.dir)
		case "var":
			var known bool
			if v, known = p.given[attr]; !known {
				return v, fmt.Errorf("%s: there is no variable %s", traversal.SourceRange(), attr)
			}
		case "local":
			v, err = p.local(attr)
		case "data":
			of, attr = "data."+name(1), name(2)
			v, err = p.block(of + "." + attr)
		default:
			v, err = p.block(root + "." + attr)
		}
		if err != nil {
			return v, fmt.Errorf("%s: %w", traversal.SourceRange(), err)
		}
		if needed[of] == nil {
			needed[of] = map[string]cty.Value{}
		}
		needed[of][attr] = v
	}
	data := map[string]cty.Value{}
	for of, values := range needed {
		if kind, is := strings.CutPrefix(of, "data."); is {
			data[kind] = cty.ObjectVal(values)
		} else {
			vars[of] = cty.ObjectVal(values)
		}
	}
	if len(data) > 0 {
		vars["data"] = cty.ObjectVal(data)
	}
	v, bad := expr.Value(&hcl.EvalContext{Variables: vars, Functions: p.functions()})
	if bad.HasErrors() {
		return v, bad
	}
	return v, nil
}

func (p *plan) local(name string) (cty.Value, error) {
	return p.once("local."+name, func() (cty.Value, error) {
		if p.locals[name] == nil {
			return cty.NilVal, fmt.Errorf("there is no local %s", name)
		}
		return p.value(p.locals[name], nil)
	})
}

func (p *plan) once(what string, do func() (cty.Value, error)) (cty.Value, error) {
	if v, ok := p.done[what]; ok {
		return v, nil
	}
	if p.under[what] {
		return cty.NilVal, fmt.Errorf("%s depends on itself", what)
	}
	p.under[what] = true
	defer delete(p.under, what)
	v, err := do()
	if err == nil {
		p.done[what] = v
	}
	return v, err
}

// block evaluates a resource or a data source: an object, a map or a list of objects.
func (p *plan) block(addr string) (cty.Value, error) {
	return p.once(addr, func() (cty.Value, error) {
		b := p.blocks[addr]
		if b == nil {
			return cty.NilVal, fmt.Errorf("there is no %s", addr)
		}
		s, ok := p.schema.of(b)
		if !ok {
			return cty.NilVal, fmt.Errorf("the schema has no %s", addr)
		}
		if a := b.Body.Attributes["count"]; a != nil {
			n, err := p.value(a.Expr, nil)
			if err != nil {
				return n, err
			}
			count, _ := n.AsBigFloat().Int64()
			var all []cty.Value
			for i := range count {
				v, err := p.body(b.Body, s, addr, map[string]cty.Value{"count": cty.ObjectVal(map[string]cty.Value{"index": cty.NumberIntVal(i)})})
				if err != nil {
					return v, err
				}
				all = append(all, v)
			}
			return cty.TupleVal(all), nil
		}
		a := b.Body.Attributes["for_each"]
		if a == nil {
			return p.body(b.Body, s, addr, nil)
		}
		of, err := p.value(a.Expr, nil)
		if err != nil {
			return of, err
		}
		all := map[string]cty.Value{}
		for it := of.ElementIterator(); it.Next(); {
			key, value := it.Element()
			if of.Type().IsSetType() {
				key = value
			}
			v, err := p.body(b.Body, s, addr+"["+key.AsString()+"]", map[string]cty.Value{"each": cty.ObjectVal(map[string]cty.Value{"key": key, "value": value})})
			if err != nil {
				return v, err
			}
			all[key.AsString()] = v
		}
		return cty.ObjectVal(all), nil
	})
}

// meta are the arguments that every block takes.
var meta = []string{"count", "for_each", "depends_on", "provider"}

func (p *plan) body(body *hclsyntax.Body, s *blockSchema, addr string, own map[string]cty.Value) (cty.Value, error) {
	attrs := map[string]cty.Value{}
	for name, a := range body.Attributes {
		if slices.Contains(meta, name) {
			continue
		}
		v, err := p.value(a.Expr, own)
		if err != nil {
			return v, err
		}
		if as, known := s.Attributes[name]; known {
			typ, err := as.cty()
			if err != nil {
				return v, err
			}
			if v, err = convert.Convert(v, typ); err != nil {
				return v, fmt.Errorf("%s.%s: %w", addr, name, err)
			}
		}
		attrs[name] = v
	}
	nested := map[string][]cty.Value{}
	for _, b := range body.Blocks {
		if b.Type != "dynamic" {
			if b.Type == "lifecycle" || s.Blocks[b.Type] == nil {
				continue
			}
			v, err := p.body(b.Body, &s.Blocks[b.Type].Block, addr+"."+b.Type, own)
			if err != nil {
				return v, err
			}
			nested[b.Type] = append(nested[b.Type], v)
			continue
		}
		name := b.Labels[0]
		of, err := p.value(b.Body.Attributes["for_each"].Expr, own)
		if err != nil {
			return of, err
		}
		for it := of.ElementIterator(); it.Next(); {
			key, value := it.Element()
			inner := maps.Clone(own)
			if inner == nil {
				inner = map[string]cty.Value{}
			}
			inner[name] = cty.ObjectVal(map[string]cty.Value{"key": key, "value": value})
			v, err := p.body(b.Body.Blocks[0].Body, &s.Blocks[name].Block, addr+"."+name, inner)
			if err != nil {
				return v, err
			}
			nested[name] = append(nested[name], v)
		}
	}
	for name, list := range nested {
		attrs[name] = cty.TupleVal(list)
	}
	for name, a := range s.Attributes {
		if v, set := attrs[name]; set && !v.IsNull() || !strings.Contains(a.Flags, "C") {
			continue
		}
		v, err := a.madeUp(addr, name, attrs)
		if err != nil {
			return v, err
		}
		attrs[name] = v
	}
	return cty.ObjectVal(attrs), nil
}

// functions are those of Terraform that the configuration calls.
func (p *plan) functions() map[string]function.Function {
	texts := func(do func(...string) (cty.Value, error), result cty.Type, names ...string) function.Function {
		var params []function.Parameter
		for _, name := range names {
			params = append(params, function.Parameter{Name: name, Type: cty.String})
		}
		return function.New(&function.Spec{Params: params, Type: function.StaticReturnType(result), Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			var all []string
			for _, a := range args {
				all = append(all, a.AsString())
			}
			return do(all...)
		}})
	}
	flag := func(do func(string, string) bool) function.Function {
		return texts(func(a ...string) (cty.Value, error) { return cty.BoolVal(do(a[0], a[1])), nil }, cty.Bool, "text", "part")
	}
	return map[string]function.Function{
		"base64encode": texts(func(a ...string) (cty.Value, error) {
			return cty.StringVal(base64.StdEncoding.EncodeToString([]byte(a[0]))), nil
		}, cty.String, "text"),
		"alltrue": function.New(&function.Spec{Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}}, Type: function.StaticReturnType(cty.Bool),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				return cty.BoolVal(!slices.ContainsFunc(args[0].AsValueSlice(), cty.Value.False)), nil
			}}),
		"file": texts(func(a ...string) (cty.Value, error) {
			text, err := os.ReadFile(a[0])
			return cty.StringVal(string(text)), err
		}, cty.String, "path"),
		"fileset": texts(func(a ...string) (cty.Value, error) {
			found, err := fileset(a[0], a[1])
			return cty.SetVal(found), err
		}, cty.Set(cty.String), "path", "pattern"),
		// That of Terraform also counts the attributes of an object.
		"length": function.New(&function.Spec{Params: []function.Parameter{{Name: "of", Type: cty.DynamicPseudoType}}, Type: function.StaticReturnType(cty.Number),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				if t := args[0].Type(); t.IsObjectType() {
					return cty.NumberIntVal(int64(len(t.AttributeTypes()))), nil
				}
				return args[0].Length(), nil
			}}),
		// A pattern between slashes is a regular expression.
		"replace": texts(func(a ...string) (cty.Value, error) {
			pattern := regexp.QuoteMeta(a[1])
			if len(a[1]) > 2 && strings.HasPrefix(a[1], "/") && strings.HasSuffix(a[1], "/") {
				pattern = strings.Trim(a[1], "/")
			}
			compiled, err := regexp.Compile(pattern)
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(compiled.ReplaceAllLiteralString(a[0], a[2])), nil
		}, cty.String, "text", "pattern", "by"),
		"templatefile": function.New(&function.Spec{
			Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "vars", Type: cty.DynamicPseudoType}},
			Type:   function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				text, err := os.ReadFile(args[0].AsString())
				if err != nil {
					return cty.NilVal, err
				}
				expr, bad := hclsyntax.ParseTemplate(text, args[0].AsString(), hcl.InitialPos)
				if bad.HasErrors() {
					return cty.NilVal, bad
				}
				v, bad := expr.Value(&hcl.EvalContext{Variables: args[1].AsValueMap(), Functions: map[string]function.Function{"jsonencode": stdlib.JSONEncodeFunc}})
				if bad.HasErrors() {
					return cty.NilVal, bad
				}
				return v, nil
			},
		}),
		"endswith": flag(strings.HasSuffix), "startswith": flag(strings.HasPrefix), "strcontains": flag(strings.Contains),
		"tostring": stdlib.MakeToFunc(cty.String), "tonumber": stdlib.MakeToFunc(cty.Number), "toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
		"can": tryfunc.CanFunc, "try": tryfunc.TryFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc, "distinct": stdlib.DistinctFunc,
		"flatten": stdlib.FlattenFunc, "floor": stdlib.FloorFunc, "join": stdlib.JoinFunc, "jsondecode": stdlib.JSONDecodeFunc, "jsonencode": stdlib.JSONEncodeFunc,
		"keys": stdlib.KeysFunc, "lookup": stdlib.LookupFunc, "lower": stdlib.LowerFunc, "max": stdlib.MaxFunc, "merge": stdlib.MergeFunc, "min": stdlib.MinFunc,
		"regex": stdlib.RegexFunc, "regexall": stdlib.RegexAllFunc, "reverse": stdlib.ReverseListFunc,
		"setintersection": stdlib.SetIntersectionFunc, "setunion": stdlib.SetUnionFunc, "sort": stdlib.SortFunc, "split": stdlib.SplitFunc, "title": stdlib.TitleFunc,
		"trimprefix": stdlib.TrimPrefixFunc, "trimsuffix": stdlib.TrimSuffixFunc, "values": stdlib.ValuesFunc,
	}
}

// fileset knows of Terraform's patterns what ours use: a last ** for all files below. In
// its library "{a,b/**}" is no pattern, because a "/" ends one before a brace is read.
func fileset(dir, pattern string) (found []cty.Value, err error) {
	under, deep := strings.CutSuffix(pattern, "/**")
	if !deep || strings.ContainsAny(under, "*?[]{}\\") {
		return nil, fmt.Errorf("fileset: %q is not of the form that this test knows", pattern)
	}
	err = filepath.WalkDir(filepath.Join(dir, under), func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, name)
			found = append(found, cty.StringVal(path.Clean(filepath.ToSlash(rel))))
		}
		return err
	})
	return found, err
}
