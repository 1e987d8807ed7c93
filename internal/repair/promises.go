package repair

import (
	"fmt"

	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
)

// A promise is an invariant in an operator's words.
type promise struct {
	rule  invariant.Rule
	fine  string
	means string
	// do says what to do; the record is nil where the violation names none.
	do func(r *ledger.Record) string
}

func always(text string) func(*ledger.Record) string {
	return func(*ledger.Record) string { return text }
}

// promises are those that one look can judge, in the order in which they are
// reported. The others of package invariant are about a commit, a change, or a
// moment of rest.
var promises = []promise{
	{invariant.HoldMatches, "every hold is that of a request that holds, and every such request has one",
		"Machines are kept from others for nothing, or used without being accounted for.", always("berth repair leaked-holds")},
	{invariant.QueueMatches, "the lines are exactly the waiting requests",
		"Somebody who waits may be passed over, or waited for who is not there.", always("berth repair queues")},
	{invariant.TimerIsSet, "whoever has not ended has a time to be looked at",
		"Nobody looks at it again, so it stays as it is for ever.", func(r *ledger.Record) string {
			if r == nil {
				return ""
			}
			return "berth repair run-timer " + name(r)
		}},
	{invariant.OneJob, "no two requests name one job, and no job differs from what its request says",
		"A request and what runs for it are two different things.",
		always("Look at both (berth show, gcloud ai custom-jobs describe), and cancel what is not to run. No bug of this kind is known: report it.")},
	{invariant.EventPath, "every history is a path of the state table, numbered without a gap",
		"Consumers were told a story that cannot be true. What was told cannot be taken back, so no tool fixes it.",
		always("Keep the document as it is and report it.")},
	{invariant.EventKept, "nothing that has still to be told may be deleted",
		"The document may be deleted before its last event is sent.", func(r *ledger.Record) string {
			if r == nil {
				return ""
			}
			return "berth repair events " + name(r)
		}},
}

// promises makes a check of each promise.
func (j *judge) promises() {
	broken := map[invariant.Rule][]invariant.Violation{}
	for _, v := range invariant.Check(j.Picture.Picture) {
		broken[v.Rule] = append(broken[v.Rule], v)
	}
	for _, p := range promises {
		list := broken[p.rule]
		delete(broken, p.rule)
		j.check(string(p.rule), p.fine, func() {
			for _, v := range list {
				j.violation(p, v)
			}
		})
	}
	for _, rule := range invariant.Rules { // one that was added there and is not yet here
		for _, v := range broken[rule] {
			j.violation(promise{rule: rule, do: always("Report it.")}, v)
			j.found[len(j.found)-1].Check = string(rule)
		}
	}
}

func (j *judge) violation(p promise, v invariant.Violation) {
	r := j.records[v.Request]
	f := Finding{Level: Fail, Request: v.Request, Resource: v.Resource, This: v.This, That: v.That, Means: p.means, Do: p.do(r)}
	about := v.Resource
	switch {
	case r != nil:
		f.RequestID, about = r.ID, who(r)
		if v.Resource != "" {
			about += " on " + v.Resource
		}
	case v.Request != "":
		about = fmt.Sprintf("request with key %s on %s", v.Request, v.Resource)
	}
	f.Text = fmt.Sprintf("%s: %s, but %s", about, v.This, v.That)
	j.add(f)
}
