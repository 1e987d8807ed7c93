package strict

import (
	"fmt"
	"regexp"
	"strings"
)

// Template warns of a text in which ${NAME} or {{name}} was to be filled in: neither
// Berth nor Vertex AI does that. $(NAME) is Vertex AI's own.
func (r *Report) Template(n *Node) {
	if hole := n.hole(); hole != "" {
		r.Warn(n.Place(), fmt.Sprintf("The text has %s in it, which neither Berth nor Vertex AI fills in.", hole), "Fill it in before the job is published, if a template was meant.")
	}
}

// FixHole says what to do about a text that is no value of its field: fill in what
// a template left open, else what fix says.
func (n *Node) FixHole(fix string) string {
	if hole := n.hole(); hole != "" && n.Kind == Text {
		return fillIn(hole)
	}
	return fix
}

func fillIn(hole string) string {
	return fmt.Sprintf("Fill in %s before the job is published.", hole)
}

// FixKey is as for a text that is a key of an object, such as a name that no field has.
func FixKey(key, fix string) string {
	if hole := Hole(key); hole != "" {
		return fillIn(Excerpt(hole))
	}
	return fix
}

// fixUnread adds to how to fix data that cannot be read at all: it may be a template. What
// was left open may stand in a secret, so it is not quoted.
func fixUnread(data []byte, fix string) string {
	switch hole := Hole(string(data)); {
	case hole == "":
		return fix
	case hole[0] == '$':
		return fix + " If this is a template, fill in each ${...} first."
	}
	return fix + " If this is a template, fill in each {{...}} first."
}

// hole is the first part of the text that a template left open, as a reason may quote it;
// "" if there is none.
func (n *Node) hole() string {
	switch hole := Hole(n.Text); {
	case hole == "" || !n.Private:
		return Excerpt(hole)
	case hole[0] == '$':
		return "${...}"
	}
	return "{{...}}"
}

// Hole is the first part of a text that a template left open, "" if there is none.
// A text may be a megabyte long, which the expression alone reads slowly.
func Hole(text string) string {
	if !strings.Contains(text, "${") && !strings.Contains(text, "{{") {
		return ""
	}
	return TemplateHole.FindString(text)
}

var TemplateHole = regexp.MustCompile(`\$\{[^{}]+\}|\{\{[^{}]+\}\}`)
