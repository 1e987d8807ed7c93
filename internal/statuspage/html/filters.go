package html

import (
	"slices"
	"strings"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/visible"
)

// A filter narrows a list by links. One of them is current.
type filter struct {
	Label string
	Links []link
}

// Filters are those of the page.
func (p *page) Filters() (all []filter) {
	switch p.Main() {
	case "recent":
		all = append(all, p.states([]choice{{"All", ""}, {"Failures", failing}, {"Succeeded", "SUCCEEDED"}, {"Cancelled", "CANCELLED"}, {"Waiting", "WAITING"}, {"Holding replicas", holding}, {"Operators' messages", "DONE"}}))
	case "requests":
		choices := []choice{{"Live", ""}, {"Holding replicas", holding}}
		for _, s := range lifecycle.States {
			choices = append(choices, choice{word(string(s)), string(s)})
		}
		all = append(all, p.states(choices))
	case "overview", "pools", "queue", "usage":
	default:
		return nil
	}
	if f := p.resources(); len(f.Links) > 2 || len(f.Links) > 0 && p.query.Get("resource") != "" {
		all = append(all, f)
	}
	if tenant := p.query.Get("tenant"); tenant != "" {
		all = append(all, filter{"Tenant", []link{{"All", p.with("tenant", ""), false}, {visible.Text(tenant), p.with("tenant", tenant), true}}})
	}
	return all
}

type choice struct{ text, value string }

func (p *page) states(choices []choice) filter {
	f := filter{Label: "State"}
	now := strings.ToUpper(strings.Join(p.query["state"], ","))
	for _, c := range choices {
		f.Links = append(f.Links, link{c.text, p.with("state", c.value), now == c.value})
	}
	return f
}

// resources are the persistent resources to choose from.
func (p *page) resources() filter {
	known := p.filtered.Value.Resources
	if !p.filtered.Asked {
		known = p.pools.Value.Resources
	}
	now := p.query.Get("resource")
	f := filter{Label: "Resource", Links: []link{{"All", p.with("resource", ""), now == ""}}}
	found := false
	regions := map[string]bool{}
	for _, r := range known {
		regions[region(r.Name)] = true
	}
	for _, r := range known {
		text := short(r.Name)
		if len(regions) > 1 {
			text += " (" + region(r.Name) + ")"
		}
		current := now == r.Name || now == short(r.Name)
		found = found || current
		f.Links = append(f.Links, link{text, p.with("resource", r.Name), current})
	}
	if now != "" && !found {
		f.Links = append(f.Links, link{visible.Text(short(now)), p.with("resource", now), true})
	}
	return f
}

// word writes a state as prose has it.
func word(state string) string {
	if state == "" {
		return ""
	}
	return state[:1] + strings.ToLower(state[1:])
}

// A field is one of a form that narrows a list.
type field struct{ Name, Label, Value, Hint string }

// Fields are those of the form of the page of outcomes.
func (p *page) Fields() []field {
	return []field{
		{"prefix", "Id begins with", visible.Text(p.query.Get("prefix")), ""},
		{"since", "Received since", visible.Text(p.query.Get("since")), "2026-01-31T15:04:05Z"},
	}
}

// Hidden are the parameters that the form keeps.
func (p *page) Hidden() (kept []field) {
	for _, name := range []string{"refresh", "resource", "state", "tenant"} {
		if values := slices.DeleteFunc(slices.Clone(p.query[name]), func(v string) bool { return v == "" }); len(values) > 0 {
			kept = append(kept, field{Name: name, Value: visible.Text(strings.Join(values, ","))})
		}
	}
	return kept
}

// Action is where the form leads.
func (p *page) Action() string { return p.root + p.path }
