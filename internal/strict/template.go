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
		return fmt.Sprintf("Fill in %s before the job is published.", hole)
	}
	return fix
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
