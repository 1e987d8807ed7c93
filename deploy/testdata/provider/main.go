// Command provider is a Terraform provider that has the schema of another and no cloud:
// what it is to make, it says it has made. With it, terraform itself evaluates the
// configuration where the real providers cannot be had. It knows no value that a
// provider refuses. PROVIDER_SCHEMAS names its schema files, separated by commas.
package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

func main() {
	// terraform-provider-google_v7.45.0
	name, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(os.Args[0]), "terraform-provider-"), "_")
	p, err := read(name, strings.Split(os.Getenv("PROVIDER_SCHEMAS"), ","))
	if err != nil {
		log.Fatal(err)
	}
	if err := tf5server.Serve("registry.terraform.io/hashicorp/"+name, func() tfprotov5.ProviderServer { return p }); err != nil {
		log.Fatal(err)
	}
}

type block struct {
	Attributes map[string]struct {
		Flags string          `json:"f"` // R required, O optional, C computed
		Type  json.RawMessage `json:"t"`
	} `json:"a"`
	Blocks map[string]struct {
		Nesting string `json:"n"`
		Min     int64  `json:"min"`
		Max     int64  `json:"max"`
		Block   block  `json:"b"`
	} `json:"b"`
}

type provider struct {
	tfprotov5.ProviderServer // calls that terraform validate, plan, apply and test do not make
	resources, data          map[string]block
}

// read returns a provider with the types of the files that begin with its name.
func read(name string, files []string) (*provider, error) {
	p := &provider{resources: map[string]block{}, data: map[string]block{}}
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		var in io.Reader = f
		if strings.HasSuffix(file, ".gz") {
			if in, err = gzip.NewReader(f); err != nil {
				return nil, err
			}
		}
		var all struct{ Resources, Data map[string]block }
		if err := json.NewDecoder(in).Decode(&all); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		other := func(kind string, _ block) bool { return !strings.HasPrefix(kind, name+"_") }
		maps.DeleteFunc(all.Resources, other)
		maps.DeleteFunc(all.Data, other)
		maps.Copy(p.resources, all.Resources)
		maps.Copy(p.data, all.Data)
	}
	return p, nil
}

func typeOf(text json.RawMessage) tftypes.Type {
	t, err := tftypes.ParseJSONType(text) //nolint:staticcheck // the form of schemas that terraform prints
	if err != nil {
		log.Fatal(err)
	}
	return t
}

func (b block) schema() *tfprotov5.Schema { return &tfprotov5.Schema{Block: b.inner()} }

func (b block) inner() *tfprotov5.SchemaBlock {
	out := &tfprotov5.SchemaBlock{}
	for name, a := range b.Attributes {
		out.Attributes = append(out.Attributes, &tfprotov5.SchemaAttribute{Name: name, Type: typeOf(a.Type), Required: a.Flags == "R",
			Optional: strings.Contains(a.Flags, "O"), Computed: strings.Contains(a.Flags, "C")})
	}
	for name, nested := range b.Blocks {
		n := &tfprotov5.SchemaNestedBlock{TypeName: name, Block: nested.Block.inner(), Nesting: tfprotov5.SchemaNestedBlockNestingModeList, MinItems: nested.Min, MaxItems: nested.Max}
		switch nested.Nesting {
		case "set":
			n.Nesting = tfprotov5.SchemaNestedBlockNestingModeSet
		case "single":
			n.Nesting, n.MinItems, n.MaxItems = tfprotov5.SchemaNestedBlockNestingModeSingle, 0, 0
		}
		out.BlockTypes = append(out.BlockTypes, n)
	}
	return out
}

// fill gives the computed attributes that the configuration leaves open a value: one that
// is not known yet, or made up from its type.
func (b block) fill(v tftypes.Value, known bool) (tftypes.Value, error) {
	if v.IsNull() || !v.IsKnown() {
		return v, nil
	}
	attrs := map[string]tftypes.Value{}
	if err := v.As(&attrs); err != nil {
		return v, err
	}
	for name, a := range b.Attributes {
		if of := attrs[name]; strings.Contains(a.Flags, "C") && (of.IsNull() || !of.IsKnown()) {
			if attrs[name] = tftypes.NewValue(typeOf(a.Type), tftypes.UnknownValue); known {
				attrs[name] = madeUp(typeOf(a.Type), name)
			}
		}
	}
	for name, nested := range b.Blocks {
		of := attrs[name]
		var list []tftypes.Value
		switch {
		case of.IsNull() || !of.IsKnown():
			continue
		case nested.Nesting == "single":
			var err error
			if attrs[name], err = nested.Block.fill(of, known); err != nil {
				return v, err
			}
			continue
		}
		if err := of.As(&list); err != nil {
			return v, err
		}
		for i := range list {
			var err error
			if list[i], err = nested.Block.fill(list[i], known); err != nil {
				return v, err
			}
		}
		attrs[name] = tftypes.NewValue(of.Type(), list)
	}
	return tftypes.NewValue(v.Type(), attrs), nil
}

// madeUp is a value of a type: lists have one element.
func madeUp(t tftypes.Type, text string) tftypes.Value {
	switch t := t.(type) {
	case tftypes.List:
		return tftypes.NewValue(t, []tftypes.Value{madeUp(t.ElementType, text)})
	case tftypes.Set:
		return tftypes.NewValue(t, []tftypes.Value{madeUp(t.ElementType, text)})
	case tftypes.Object:
		attrs := map[string]tftypes.Value{}
		for name, of := range t.AttributeTypes {
			attrs[name] = madeUp(of, text+"-"+name)
		}
		return tftypes.NewValue(t, attrs)
	}
	switch {
	case t.Is(tftypes.String):
		return tftypes.NewValue(t, text)
	case t.Is(tftypes.Number):
		return tftypes.NewValue(t, 7)
	case t.Is(tftypes.Bool):
		return tftypes.NewValue(t, false)
	}
	return tftypes.NewValue(t, nil)
}

// change reads a value of a type, fills it, and writes it.
func (b block) change(in *tfprotov5.DynamicValue, known bool) (*tfprotov5.DynamicValue, error) {
	t := b.schema().ValueType()
	v, err := in.Unmarshal(t)
	if err != nil {
		return nil, err
	}
	if v, err = b.fill(v, known); err != nil {
		return nil, err
	}
	out, err := tfprotov5.NewDynamicValue(t, v)
	return &out, err
}

func schemas(of map[string]block) map[string]*tfprotov5.Schema {
	all := map[string]*tfprotov5.Schema{}
	for name, b := range of {
		all[name] = b.schema()
	}
	return all
}

func (p *provider) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	r := &tfprotov5.GetMetadataResponse{}
	for name := range p.resources {
		r.Resources = append(r.Resources, tfprotov5.ResourceMetadata{TypeName: name})
	}
	for name := range p.data {
		r.DataSources = append(r.DataSources, tfprotov5.DataSourceMetadata{TypeName: name})
	}
	return r, nil
}

func (p *provider) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	own := &tfprotov5.SchemaBlock{}
	for name, t := range map[string]tftypes.Type{"project": tftypes.String, "region": tftypes.String, "billing_project": tftypes.String, "user_project_override": tftypes.Bool} {
		own.Attributes = append(own.Attributes, &tfprotov5.SchemaAttribute{Name: name, Type: t, Optional: true})
	}
	return &tfprotov5.GetProviderSchemaResponse{Provider: &tfprotov5.Schema{Block: own}, ResourceSchemas: schemas(p.resources), DataSourceSchemas: schemas(p.data)}, nil
}

func (p *provider) GetResourceIdentitySchemas(context.Context, *tfprotov5.GetResourceIdentitySchemasRequest) (*tfprotov5.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov5.GetResourceIdentitySchemasResponse{}, nil
}

func (p *provider) GetFunctions(context.Context, *tfprotov5.GetFunctionsRequest) (*tfprotov5.GetFunctionsResponse, error) {
	return &tfprotov5.GetFunctionsResponse{}, nil
}

func (p *provider) PrepareProviderConfig(_ context.Context, r *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: r.Config}, nil
}

func (p *provider) ConfigureProvider(context.Context, *tfprotov5.ConfigureProviderRequest) (*tfprotov5.ConfigureProviderResponse, error) {
	return &tfprotov5.ConfigureProviderResponse{}, nil
}

func (p *provider) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func (p *provider) ValidateResourceTypeConfig(context.Context, *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

func (p *provider) ValidateDataSourceConfig(context.Context, *tfprotov5.ValidateDataSourceConfigRequest) (*tfprotov5.ValidateDataSourceConfigResponse, error) {
	return &tfprotov5.ValidateDataSourceConfigResponse{}, nil
}

func (p *provider) UpgradeResourceState(_ context.Context, r *tfprotov5.UpgradeResourceStateRequest) (*tfprotov5.UpgradeResourceStateResponse, error) {
	t := p.resources[r.TypeName].schema().ValueType()
	v, err := r.RawState.Unmarshal(t)
	if err != nil {
		return nil, err
	}
	out, err := tfprotov5.NewDynamicValue(t, v)
	return &tfprotov5.UpgradeResourceStateResponse{UpgradedState: &out}, err
}

func (p *provider) ReadResource(_ context.Context, r *tfprotov5.ReadResourceRequest) (*tfprotov5.ReadResourceResponse, error) {
	return &tfprotov5.ReadResourceResponse{NewState: r.CurrentState}, nil
}

func (p *provider) PlanResourceChange(_ context.Context, r *tfprotov5.PlanResourceChangeRequest) (*tfprotov5.PlanResourceChangeResponse, error) {
	b := p.resources[r.TypeName]
	prior, err := r.PriorState.Unmarshal(b.schema().ValueType())
	if err != nil {
		return nil, err
	}
	planned := r.ProposedNewState
	if prior.IsNull() {
		planned, err = b.change(planned, false)
	}
	return &tfprotov5.PlanResourceChangeResponse{PlannedState: planned, UnsafeToUseLegacyTypeSystem: true}, err
}

func (p *provider) ApplyResourceChange(_ context.Context, r *tfprotov5.ApplyResourceChangeRequest) (*tfprotov5.ApplyResourceChangeResponse, error) {
	made, err := p.resources[r.TypeName].change(r.PlannedState, true)
	return &tfprotov5.ApplyResourceChangeResponse{NewState: made, UnsafeToUseLegacyTypeSystem: true}, err
}

func (p *provider) ReadDataSource(_ context.Context, r *tfprotov5.ReadDataSourceRequest) (*tfprotov5.ReadDataSourceResponse, error) {
	state, err := p.data[r.TypeName].change(r.Config, true)
	return &tfprotov5.ReadDataSourceResponse{State: state}, err
}
