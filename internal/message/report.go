package message

import (
	"slices"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

// A report collects what is wrong with one message.
type report struct {
	strict.Report
	claimed string // request id, as far as it was read
}

// lacks reports a field that is needed and not there. It is silent when the problem
// of an unknown member of the object names that field, or a part of it.
func lacks(r *strict.Report, n *strict.Node, name, detail, fix string) {
	if slices.ContainsFunc(n.Unknown, func(unknown *strict.Node) bool { return hints(unknown, name) }) {
		return
	}
	r.Add(n.Missing(name), reason.MissingField, detail, fix)
}

func (r *report) lacks(n *strict.Node, name, detail, fix string) {
	lacks(&r.Report, n, name, detail, fix)
}

// refusal is the error of everything found, or nil.
func (r *report) refusal() error {
	if r.OK() {
		return nil
	}
	return &Refusal{ClaimedID: strict.Clean(r.claimed, maxID+len("...")), Problems: r.Problems()}
}
