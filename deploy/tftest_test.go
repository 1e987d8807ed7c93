package deploy

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// The tests that "terraform test" runs where the providers can be had hold here too, and
// their mocks are of types and attributes that the schema has.
func TestTerraformTests(t *testing.T) {
	t.Parallel()
	f, bad := hclparse.NewParser().ParseHCLFile("terraform/tests/deployment.tftest.hcl")
	if bad.HasErrors() {
		t.Fatal(bad)
	}
	s, err := readSchema()
	if err != nil {
		t.Fatal(err)
	}
	variables := func(b *hclsyntax.Block) map[string]cty.Value {
		all := map[string]cty.Value{}
		for name, a := range b.Body.Attributes {
			v, bad := a.Expr.Value(&hcl.EvalContext{})
			if bad.HasErrors() {
				t.Fatal(bad)
			}
			all[name] = v
		}
		return all
	}
	shared, runs := map[string]cty.Value{}, 0
	for _, b := range f.Body.(*hclsyntax.Body).Blocks {
		switch b.Type {
		case "mock_provider":
			for _, mock := range b.Body.Blocks {
				kind := s.Resources[mock.Labels[0]]
				if mock.Type == "mock_data" {
					kind = s.Data[mock.Labels[0]]
				}
				if kind == nil {
					t.Errorf("%s %s: the schema has no such type", mock.Type, mock.Labels[0])
					continue
				}
				for it := variables(mock)["defaults"].ElementIterator(); it.Next(); {
					name, _ := it.Element()
					if a, known := kind.Attributes[name.AsString()]; !known || !strings.Contains(a.Flags, "C") {
						t.Errorf("%s %s: %s is not computed", mock.Type, mock.Labels[0], name.AsString())
					}
				}
			}
		case "variables":
			shared = variables(b)
		case "run":
			runs++
			testRun(t, b, shared, variables)
		}
	}
	if runs < 5 {
		t.Errorf("only %d runs", runs)
	}
}

func testRun(t *testing.T, run *hclsyntax.Block, shared map[string]cty.Value, variables func(*hclsyntax.Block) map[string]cty.Value) {
	t.Helper()
	name, given, asserts := run.Labels[0], maps.Clone(shared), 0
	for _, b := range run.Body.Blocks {
		if b.Type == "variables" {
			maps.Copy(given, variables(b))
		}
	}
	text, err := ctyjson.Marshal(cty.ObjectVal(given), cty.ObjectVal(given).Type())
	if err != nil {
		t.Fatal(err)
	}
	p, err := readConfiguration("terraform", nil)
	if err != nil {
		t.Fatal(err)
	}
	err = p.set(string(text))
	if fails := run.Body.Attributes["expect_failures"]; fails != nil {
		for _, of := range fails.Expr.Variables() {
			variable := of[1].(hcl.TraverseAttr).Name
			if err == nil || !strings.Contains(err.Error(), "variable "+variable+":") {
				t.Errorf("%s: %v, want a failure of variable %s", name, err, variable)
			}
		}
		return
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, b := range run.Body.Blocks {
		if b.Type != "assert" {
			continue
		}
		asserts++
		v, err := p.value(b.Body.Attributes["condition"].Expr, nil)
		if err != nil || v.False() {
			t.Errorf("%s: assertion at %s: %v", name, b.Range(), err)
		}
	}
	if asserts == 0 || slices.Contains(slices.Sorted(maps.Keys(run.Body.Attributes)), "command") {
		t.Errorf("%s asserts nothing, or asserts on a plan, in which most values are not known", name)
	}
}
