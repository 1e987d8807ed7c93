package strict

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"example.com/berth/internal/reason"
)

const (
	MaxProblems = 20              // problems that a refusal shows
	maxFound    = 8 * MaxProblems // problems collected before the search stops
)

// A Report collects the problems and warnings of one document. The zero value is
// empty and ready.
type Report struct {
	Work   int // bytes scanned and values visited, counted where input decides how often
	Loaded int // bytes given to the YAML loader, whose work cannot be counted

	problems, warnings []finding
	other              bool // of data that was read as YAML: a plain text shows another language
}

type finding struct {
	pos, line int
	problem   reason.Problem
}

// A Located is a problem and its line in the document, from 1; 0 if that is not known, or
// the problem is none of the document.
type Located struct {
	Line    int
	Problem reason.Problem
}

// Add reports a problem at a place. A report that is full drops it.
func (r *Report) Add(at Place, code reason.Code, detail, fix string) {
	if !r.Full() {
		r.problems = append(r.problems, found(at, code, detail, fix))
	}
}

// At reports a problem of a node and marks it. A text that is no value of its field and in
// which a template left something open is to be filled in first.
func (r *Report) At(n *Node, code reason.Code, detail, fix string) {
	n.Bad = true
	if code == reason.InvalidValue {
		if first := n.FixHole(fix); !strings.HasPrefix(fix, first) {
			fix = strings.TrimSpace(first + " " + fix)
		}
	}
	r.Add(n.Place(), code, detail, fix)
}

// Warn reports what does not stop the document from being read.
func (r *Report) Warn(at Place, detail, fix string) {
	if len(r.warnings) < MaxProblems {
		r.warnings = append(r.warnings, found(at, reason.Warning, detail, fix))
	}
}

func found(at Place, code reason.Code, detail, fix string) finding {
	return finding{at.Pos, at.Line, reason.Problem{
		Code: code, Path: Clean(at.Path, MaxText), Detail: Clean(detail, MaxText), Fix: Clean(fix, MaxText),
	}}
}

// Full says that enough has been found: a longer search would only take time.
func (r *Report) Full() bool { return len(r.problems) >= maxFound }

// OK says that no problem was found.
func (r *Report) OK() bool { return len(r.problems) == 0 }

// Problems returns the first MaxProblems problems in document order.
func (r *Report) Problems() []reason.Problem { return inOrder(r.problems) }

// Located returns the problems and the warnings, each in document order, with their lines.
func (r *Report) Located() (problems, warnings []Located) {
	return located(r.problems), located(r.warnings)
}

func located(found []finding) (all []Located) {
	for i, p := range inOrder(found) {
		line := found[i].line
		if said := lineInText.FindStringSubmatch(p.Detail); line == 0 && p.Code == reason.Malformed && said != nil {
			line, _ = strconv.Atoi(said[1])
		}
		all = append(all, Located{line, p})
	}
	return all
}

// lineInText is how the problem of a text that cannot be read as a whole names its line.
var lineInText = regexp.MustCompile(`(?i)\bline ([0-9]{1,6})\b`)

// Warnings returns the warnings in document order.
func (r *Report) Warnings() []reason.Problem { return inOrder(r.warnings) }

func inOrder(found []finding) []reason.Problem {
	slices.SortStableFunc(found, func(a, b finding) int { return cmp.Compare(a.pos, b.pos) })
	var problems []reason.Problem
	for _, f := range found[:min(len(found), MaxProblems)] {
		problems = append(problems, f.problem)
	}
	return problems
}
