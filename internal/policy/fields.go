package policy

import (
	"fmt"
	"strconv"
	"time"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/spelling"
	"example.com/berth/internal/strict"
)

// A field is one member of an object, and what reads it.
type field struct {
	name string
	read func(n *strict.Node)
}

// words is what people call the fields of a policy.
var words = spelling.Vocabulary{
	Generic: []string{"max", "min"},
	Alias: map[string]string{
		"quota": "shares", "share": "shares", "quotas": "shares", "default": "defaults", "limit": "cap", "nominal": "replicas", "sa": "service account", "container": "image",
		"bucket": "outputs", "buckets": "outputs", "environment": "env", "variables": "env", "deadline": "timeouts", "timeout": "timeouts", "max limit": "max", "pools": "persistent resources",
		"expression": "expr", "cel": "expr", "registry": "repositories", "registries": "repositories", "vpc": "networks", "pace": "submissions", "rate": "submissions",
	},
}

// object reads the members of an object. A member that is null is not set, as in a message.
func (p parser) object(n *strict.Node, fields []field) {
	if n.Kind != strict.Object {
		p.mistyped(n, "an object")
		return
	}
	var names []string
	for _, f := range fields {
		names = append(names, f.name)
	}
	for _, m := range n.Members {
		if p.Full() {
			return
		}
		known := false
		for _, f := range fields {
			if f.name == m.Key {
				known = true
				if m.Kind != strict.Null && m.Kind != strict.Broken {
					f.read(m)
				}
			}
		}
		if !known && !m.Bad {
			near, sure := spelling.Nearest(m.Key, names, words)
			p.At(m, reason.UnknownField, "A policy has no field of this name here.", strict.FixName(near, sure, names))
		}
	}
}

func (p parser) mistyped(n *strict.Node, want string) {
	strict.Walker{R: p.Report}.Mistyped(n, want)
}

// list reads the entries of a list.
func (p parser) list(n *strict.Node, want string, read func(n *strict.Node)) {
	if n.Kind != strict.List {
		p.mistyped(n, want)
		return
	}
	for _, item := range n.Items {
		if p.Full() {
			return
		}
		read(item)
	}
}

func (p parser) text(n *strict.Node) (string, bool) {
	if n.Kind != strict.Text || n.Bad {
		p.mistyped(n, "text")
		return "", false
	}
	return n.Text, true
}

func (p parser) boolean(to *bool) func(n *strict.Node) {
	return func(n *strict.Node) {
		if n.Kind != strict.Boolean {
			p.mistyped(n, "true or false")
			return
		}
		*to = n.Text == "true"
	}
}

// number reads a whole number within bounds.
func number[T ~int | ~int64](p parser, to *T, low, high int64) func(n *strict.Node) {
	return func(n *strict.Node) {
		i, ok := strict.WholeNumber(n, 64)
		switch {
		case n.Kind != strict.Number:
			p.mistyped(n, "a whole number")
		case !ok || i < low || i > high:
			p.At(n, reason.InvalidValue, fmt.Sprintf("Want a whole number from %d to %d.", low, high), "Write one, or leave the field out.")
		default:
			*to = T(i)
		}
	}
}

// fraction reads a number above 0 and at most high.
func (p parser) fraction(to *float64, high float64) func(n *strict.Node) {
	return func(n *strict.Node) {
		if n.Kind != strict.Number {
			p.mistyped(n, "a number")
			return
		}
		f, err := strconv.ParseFloat(n.Text, 64)
		if err != nil || f < 1e-6 || f > high {
			p.At(n, reason.InvalidValue, fmt.Sprintf("Want a number above 0 and at most %g.", high), "Write one, or leave the field out.")
			return
		}
		*to = f
	}
}

// duration reads a number of seconds with an s, above 0 and at most high.
func (p parser) duration(to *time.Duration, high time.Duration) func(n *strict.Node) {
	return func(n *strict.Node) {
		strict.Walker{R: p.Report}.Duration(n)
		if n.Bad {
			return
		}
		d, _ := strict.Seconds(n.Text)
		if d < time.Second || d > high {
			p.At(n, reason.InvalidValue, fmt.Sprintf("Want a time from 1s to %.0fs.", high.Seconds()), "Write such a time, or leave the field out.")
			return
		}
		*to = d
	}
}

// A form is how an entry of a list is written.
type form func(s string) (normal, detail, fix string)

// allow reads a list of what is allowed, or the word any.
func (p parser) allow(to *allowed, f form) func(n *strict.Node) {
	return func(n *strict.Node) {
		if n.Kind == strict.Text && n.Text == anyWord {
			*to = allowed{list: []string{}} // said so, and so not the same as left out
			return
		}
		a := allowed{set: true, list: []string{}}
		seen := map[string]bool{}
		p.list(n, "a list of text, or the word any", func(item *strict.Node) {
			s, ok := p.text(item)
			if !ok {
				return
			}
			normal, detail, fix := f(s)
			switch {
			case s == anyWord:
				p.At(item, reason.InvalidValue, "The word any stands in place of the list, and not in it.", "Write any without the list.")
			case detail != "":
				p.At(item, reason.InvalidValue, detail, item.FixHole(fix))
			case seen[normal]:
				p.At(item, reason.DuplicateField, "This entry comes twice.", "Keep one of them.")
			default:
				seen[normal] = true
				a.list = append(a.list, normal)
			}
		})
		*to = a
	}
}

const anyWord = "any"
