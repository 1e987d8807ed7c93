package probe

import (
	"fmt"
	"strings"
	"time"
)

// starts judges the tiny job.
func (j *judgement) starts(p *Plan, o *Observation) {
	if o == nil {
		return
	}
	ray := p.Resource.GetResourceRuntimeSpec().GetRaySpec() != nil
	if ray && fate(o) != "" {
		j.find(qRay, fate(o), "%s", said(o))
		j.switches["refuseRay"] = fate(o) != runs
		j.set("BERTH_RAY_CLUSTERS", allowOrRefuse(fate(o) == runs), "a job on a Ray cluster: "+fate(o))
	}
	if o.Cut && !o.ran() {
		j.find(qTiny, unclear, "%s", said(o))
		return
	}
	if !o.Exists || !o.ran() {
		j.find(qTiny, "no", "a job that fits did not run: %s", said(o))
		return
	}
	begun := o.begun()
	var states []string
	for _, m := range o.States {
		states = append(states, fmt.Sprintf("%s %gs", m.State, m.After))
	}
	j.find(qTiny, begun.String(), "from the create until RUNNING")
	j.switches["runningAfter"] = begun.String()
	if begun > 30*time.Minute {
		j.set("BERTH_START_TIMEOUT", min(2*begun, 7*24*time.Hour).Round(time.Minute).String(), "a job took "+begun.String()+" to be RUNNING")
	}
	start := "start_time was not set"
	if o.Started != nil {
		start = fmt.Sprintf("start_time is %gs after create_time", *o.Started)
	}
	j.find(qStates, strings.Join(states, ", "), "%s", start)
	j.lists(o)
	if o.Again != "" {
		j.find(qAgain, o.Again, "the code of a cancel of a job that has ended")
	}
	j.equal(p, o)
	if o.Freed != nil {
		j.find(qUsed, o.Freed.duration().String(), "from the end of a job until used_replica_count left it out")
		j.switches["usedCountLag"] = o.Freed.duration().String()
	} else {
		j.find(qUsed, unclear, "used_replica_count did not show the job, or did not drop within %s", lagLimit)
	}
}

// lists judges how lists showed the tiny job.
func (j *judgement) lists(o *Observation) {
	if o.Listed == nil {
		j.find(qList, "more than "+lagLimit.String(), "a list by label did not show the job")
		j.set("BERTH_RETRY_AFTER", "10m0s", "a list did not show a new job in "+lagLimit.String())
		j.set("BERTH_UNCLEAR_TIMEOUT", "1h0m0s", "a list did not show a new job in "+lagLimit.String())
	} else {
		lag := o.Listed.duration()
		j.find(qList, lag.String(), "from the create until a list by label showed the job")
		j.switches["listLag"] = lag.String()
		j.set("BERTH_RETRY_AFTER", max(30*time.Second, min(2*lag, 10*time.Minute)).Round(time.Second).String(), "twice the time until a list shows a new job ("+lag.String()+"), at least 30s")
		if 10*lag > 15*time.Minute {
			j.set("BERTH_UNCLEAR_TIMEOUT", (10 * lag).Round(time.Minute).String(), "ten times the time until a list shows a new job")
		}
	}
	var works, fails []string
	for _, f := range o.Filters {
		if f.Finds {
			works = append(works, f.Form)
		} else {
			fails = append(fails, f.Form+" ("+f.Code+")")
		}
	}
	answer := "all found the job"
	if len(fails) > 0 {
		answer = "not found by " + strings.Join(fails, "; ")
	}
	j.find(qLabels, answer, "found by %s", strings.Join(works, "; "))
}
