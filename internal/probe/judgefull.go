package probe

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// full judges the job on the full pool.
func (j *judgement) full(o *Observation) {
	if o == nil {
		return
	}
	f := fate(o)
	switch {
	case o.Others:
		j.find(qFull, unclear, "other jobs had come onto the pool: %s", said(o))
		return
	case f == "" || f == runs:
		j.find(qFull, unclear, "%s", said(o))
		return
	case f == waits:
		f = queueForEver
	case f == acceptThenFail && o.End.After.duration() > quickly:
		f = queueThenFail
		j.switches["queueFailAfter"] = o.End.After.duration().String()
	}
	detail := said(o)
	if f == queueForEver {
		detail = fmt.Sprintf("it still waited when the pool was freed, after %s", o.Watched.duration())
	}
	j.find(qFull, f, "%s", detail)
	if slices.Contains([]string{queueForEver, queueThenFail, acceptThenFail, "failed-precondition", "resource-exhausted"}, f) {
		j.switches["fullPool"] = f
	}
	if f == queueForEver || f == queueThenFail {
		state := ""
		for _, m := range o.States {
			if m.After <= o.Watched && (m.State == "QUEUED" || m.State == "PENDING") {
				state = m.State
			}
		}
		j.find(qWaitState, state, "the state of the job while it waited")
		j.switches["queueState"] = strings.ToLower(state)
	}
	if f == "failed-precondition" {
		j.set("BERTH_DECLINE_TIMEOUT", "24h0m0s", "a full pool answers FAILED_PRECONDITION, which Berth takes as transient for so long")
	}
}

// cancel judges the jobs that were cancelled while they ran.
func (j *judgement) cancel(seen []*Observation) {
	for _, o := range seen {
		if o.Step != stepFill || o.Cancel == nil || o.End == nil || !o.ran() {
			continue
		}
		took := (o.End.After - *o.Cancel).duration()
		j.find(qCancel, o.End.State, "%s after the cancel; error code %d %s", took, o.End.Code, o.End.Message)
		j.switches["cancelIsIgnored"] = o.End.State == "SUCCEEDED"
		break
	}
	for _, o := range seen {
		if o.Reused != nil {
			d := o.Reused.duration()
			j.find(qRelease, d.String(), "from the end of a job until the next one ran on its machine")
			j.set("BERTH_BACKOFF", max(15*time.Second, min(d, 5*time.Minute)).Round(time.Second).String(), "a freed machine is used again after "+d.String())
		}
	}
}

// lost judges creates that failed and yet created.
func (j *judgement) lost(seen []*Observation) {
	n, code := 0, ""
	for _, o := range seen {
		if o.Exists && o.Code != "OK" {
			n, code = n+1, o.Code
		}
	}
	if n == 0 {
		j.find(qLost, "none", "of %d creates", len(seen))
		return
	}
	j.find(qLost, fmt.Sprint(n), "of %d creates; the last was answered %s", len(seen), code)
}
