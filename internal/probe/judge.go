package probe

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
)

// A Finding is the answer to one question.
type Finding struct {
	Question string `json:"question"`
	Answer   string `json:"answer"`
	Detail   string `json:"detail,omitempty"`
}

// A Setting is a setting of Berth that follows.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Why   string `json:"why"`
}

// A judgement is built question by question.
type judgement struct {
	findings []Finding
	settings []Setting
	switches map[string]any // of the fake Vertex AI, by their names in a scenario
}

func (j *judgement) find(question, answer, format string, args ...any) {
	j.findings = append(j.findings, Finding{question, answer, fmt.Sprintf(format, args...)})
}

func (j *judgement) set(name, value, why string) {
	j.settings = append(j.settings, Setting{name, value, why})
}

// Words of the fake's switches for what becomes of a job that is not wanted.
const (
	acceptThenFail = "accept-then-fail"
	queueThenFail  = "queue-then-fail"
	queueForEver   = "queue-for-ever"
	runs           = "runs"
	waits          = "waits"
)

// quickly is how soon a job has failed that did not wait for anything.
const quickly = time.Minute

// fate is what became of a job: the code of its refusal, or one of the words above. A fate of
// "" may not be about the job: the caller's rate or rights, no answer, or other jobs.
func fate(o *Observation) string {
	switch {
	case o.Exists && o.ran():
		return runs
	case o.Others, o.Cut:
		return "" // for want of room or of time, perhaps
	case o.Exists && o.End != nil && o.End.State == "FAILED":
		return acceptThenFail
	case o.Exists:
		return waits
	}
	switch o.Code {
	case "INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND", "ALREADY_EXISTS", "OUT_OF_RANGE", "UNIMPLEMENTED":
	case "RESOURCE_EXHAUSTED":
		if strings.Contains(o.Message, "uota") {
			return ""
		}
	default:
		return ""
	}
	return strings.ToLower(strings.ReplaceAll(o.Code, "_", "-"))
}

// refusals are the words that the fake's switches know.
var refusals = []string{"invalid-argument", "failed-precondition", "not-found", acceptThenFail}

// Judge says what observations mean. It knows of the plan the resource and what was left out.
func Judge(p *Plan, seen []*Observation) (findings []Finding, settings []Setting, switches map[string]any) {
	j := &judgement{switches: map[string]any{}}
	by := map[string]*Observation{}
	for _, o := range seen {
		if by[o.Step] == nil {
			by[o.Step] = o
		}
	}
	j.starts(p, by[stepTiny])
	j.disk(p, by[stepDisk])
	j.refused(qMismatch, "mismatch", by[stepMismatch])
	j.diskSize(by[stepDiskSize], by[stepMismatch])
	j.refused(qTooMany, "", by[stepTooMany])
	j.refused(qAbsent, "resourceAbsent", by[stepAbsent])
	j.refused(qNotRunning, "resourceNotRunning", by[stepNotRunning])
	j.account(by[stepAccount])
	j.allowed(qChiefs, "rejectManyChiefs", by[stepChiefs])
	j.allowed(qShared, "rejectSharedPool", by[stepShared])
	j.bundled(by[stepBundled])
	j.refused(qSpot, "", by[stepSpot])
	j.refused(qFlex, "", by[stepFlex])
	j.timeout(by[stepTimeout])
	if by[stepFill] != nil && by[stepFull] == nil {
		j.find(qFull, unclear, "the pool could not be filled: other jobs use it, or the probe was stopped")
	}
	j.full(by[stepFull])
	j.cancel(seen)
	j.lost(seen)
	j.order(seen)
	for _, f := range p.LeftOut {
		if !slices.ContainsFunc(j.findings, func(g Finding) bool { return g.Question == f.Question }) {
			j.findings = append(j.findings, f)
		}
	}
	for _, q := range []string{qTiny, qStates, qList, qLabels, qDisk, qMismatch, qDiskSize, qTooMany, qAbsent, qNotRunning, qAccount, qChiefs, qShared,
		qBundled, qSpot, qFlex, qTimeout, qFull, qCancel, qAgain, qUsed, qRelease, qEqual, qOrder} {
		if !slices.ContainsFunc(j.findings, func(g Finding) bool { return g.Question == q }) {
			j.find(q, notProbed, "the probe did not come to it, or did not see it in the time that it waits")
		}
	}
	return j.findings, j.settings, j.switches
}

func (s Seconds) duration() time.Duration {
	return time.Duration(float64(s) * float64(time.Second)).Round(100 * time.Millisecond)
}

// said is the service's answer or the job's error.
func said(o *Observation) string {
	switch {
	case o.End != nil && o.End.Message != "":
		return fmt.Sprintf("%s after %gs: %s", o.End.State, o.End.After, o.End.Message)
	case o.End != nil:
		return fmt.Sprintf("%s after %gs", o.End.State, o.End.After)
	case o.Cut && o.Exists:
		return "the probe stopped while it watched the job: " + o.state()
	case o.Exists:
		return fmt.Sprintf("%s for %gs", o.state(), o.Watched)
	}
	return strings.TrimSuffix(o.Code+": "+o.Message, ": ")
}

func allowOrRefuse(allow bool) string {
	if allow {
		return "allow"
	}
	return "refuse"
}

// Pools describes the pools of a resource without its name.
func Pools(r *aiplatformpb.PersistentResource) []string {
	var out []string
	for _, p := range r.GetResourcePools() {
		text := p.GetMachineSpec().GetMachineType()
		if m := p.GetMachineSpec(); m.GetAcceleratorCount() > 0 {
			text += fmt.Sprintf(" with %d %s", m.GetAcceleratorCount(), m.GetAcceleratorType())
		}
		text += fmt.Sprintf(", %s %d GB, replicas %d, in use %d", p.GetDiskSpec().GetBootDiskType(), p.GetDiskSpec().GetBootDiskSizeGb(), p.GetReplicaCount(), p.GetUsedReplicaCount())
		if a := p.GetAutoscalingSpec(); a != nil {
			text += fmt.Sprintf(", autoscaling %d to %d", a.GetMinReplicaCount(), a.GetMaxReplicaCount())
		}
		out = append(out, text)
	}
	return out
}
