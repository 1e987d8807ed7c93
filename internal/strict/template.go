package strict

import (
	"fmt"
	"regexp"
	"strings"
)

// Template warns of a text in which ${NAME} or {{name}} was to be filled in: neither
// Berth nor Vertex AI does that. $(NAME) is Vertex AI's own.
func (r *Report) Template(n *Node) {
	if hole := Hole(n.Text); hole != "" {
		r.Warn(n.Place(), fmt.Sprintf("The text has %s in it, which neither Berth nor Vertex AI fills in.", Excerpt(hole)), "Fill it in before the job is published, if a template was meant.")
	}
}

// FixHole says what to do about a text that is no value of its field: fill in what
// a template left open, else what fix says.
func (n *Node) FixHole(fix string) string {
	if hole := Hole(n.Text); hole != "" && n.Kind == Text {
		return fmt.Sprintf("Fill in %s before the job is published.", Excerpt(hole))
	}
	return fix
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
