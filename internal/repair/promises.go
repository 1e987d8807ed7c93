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
	// do returns what to do; the record is nil if the violation names none.
	do func(r *ledger.Record) string
}

func always(text string) func(*ledger.Record) string {
	return func(*ledger.Record) string { return text }
}

// promises are the invariants that one reading can judge, in the order of the
// report. The others of package invariant are about a commit, a change, or a
// moment of rest.
var promises = []promise{
	{invariant.HoldMatches, "every hold belongs to a request that holds, and every such request has one",
		"Replicas are held by no request, or used without a hold.", always("berth repair leaked-holds")},
	{invariant.QueueMatches, "the queues are exactly the waiting requests",
		"A waiting request may be passed over, or others may wait behind one that does not exist.", always("berth repair queues")},
	{invariant.TimerIsSet, "every request that has not ended has a timer",
		"No pass handles it again, so it never moves.", func(r *ledger.Record) string {
			if r == nil {
				return ""
			}
			return "berth repair run-timer " + name(r)
		}},
	{invariant.OneJob, "no two requests name one job, and every job is as its request says",
		"A request and its job differ.",
		always("Compare both (berth show, gcloud ai custom-jobs describe), and cancel the wrong job. No bug of this kind is known: report it.")},
	{invariant.EventPath, "every history is a path of the state table, numbered without a gap",
		"Subscribers received events that contradict each other. Published events cannot be withdrawn, so no tool fixes it.",
		always("Keep the document as it is and report it.")},
	{invariant.EventKept, "no document with an unpublished event may be deleted",
		"The document may be deleted before its last event is published.", func(r *ledger.Record) string {
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
	for _, rule := range invariant.Rules { // a rule without a promise above
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
