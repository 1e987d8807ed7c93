package message

import (
	"cmp"
	"slices"

	"example.com/berth/internal/reason"
)

const (
	maxProblems = 20              // told in one refusal
	maxFound    = 8 * maxProblems // collected before the search stops
	afterData   = 1 << 30         // positions of attributes, which follow the data
)

// A report collects what is wrong with one message, and remarks about it.
type report struct {
	problems, warnings []finding
	claimed            string // request id, as far as it was read
	work               int    // bytes scanned and values visited, counted where input decides how often
	other              bool   // of data that was read as YAML: a plain text shows another language
	loaded             int    // bytes given to the YAML loader, whose work cannot be counted
}

type finding struct {
	pos     int
	problem reason.Problem
}

func (r *report) add(at place, code reason.Code, detail, fix string) {
	if !r.full() {
		r.problems = append(r.problems, found(at, code, detail, fix))
	}
}

// at reports a problem of a node and marks it.
func (r *report) at(n *node, code reason.Code, detail, fix string) {
	n.bad = true
	r.add(n.place(), code, detail, fix)
}

// lacks reports a field that is needed and not there. It is silent when an
// unknown member of the object was told to be that field, or a part of it.
func (r *report) lacks(n *node, name, detail, fix string) {
	if slices.ContainsFunc(n.unknown, func(unknown *node) bool { return hints(unknown, name) }) {
		return
	}
	r.add(n.missing(name), reason.MissingField, detail, fix)
}

func (r *report) warn(at place, detail, fix string) {
	if len(r.warnings) < maxProblems {
		r.warnings = append(r.warnings, found(at, reason.Warning, detail, fix))
	}
}

func found(at place, code reason.Code, detail, fix string) finding {
	return finding{at.pos, reason.Problem{
		Code: code, Path: clean(at.path, maxText), Detail: clean(detail, maxText), Fix: clean(fix, maxText),
	}}
}

// full says that enough has been found: looking on would only take time.
func (r *report) full() bool { return len(r.problems) >= maxFound }

func (r *report) ok() bool { return len(r.problems) == 0 }

// refusal is the error of everything found, or nil.
func (r *report) refusal() error {
	if r.ok() {
		return nil
	}
	return &Refusal{ClaimedID: clean(r.claimed, maxID+len("...")), Problems: inOrder(r.problems)}
}

func inOrder(found []finding) []reason.Problem {
	slices.SortStableFunc(found, func(a, b finding) int { return cmp.Compare(a.pos, b.pos) })
	var problems []reason.Problem
	for _, f := range found[:min(len(found), maxProblems)] {
		problems = append(problems, f.problem)
	}
	return problems
}
