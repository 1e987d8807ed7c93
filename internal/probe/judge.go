package probe

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
)

// Questions of a probe.
const (
	qTiny       = "starts"           // does a job that fits run, and how soon
	qStates     = "states"           // which states it shows, and when start_time is set
	qList       = "listLag"          // when a list shows a new job
	qLabels     = "filters"          // which filters find a job
	qDisk       = "defaultDisk"      // the disk of a job that names none
	qMismatch   = "mismatch"         // a job that fits no pool
	qDiskSize   = "diskSize"         // is the size of the disk compared
	qTooMany    = "tooManyReplicas"  // more replicas than the pool can have
	qAbsent     = "resourceAbsent"   // a job on a resource that does not exist
	qNotRunning = "resourceNotReady" // a job on a resource that is not RUNNING
	qAccount    = "serviceAccount"   // a job with an account where the resource enables none
	qRay        = "rayCluster"       // a job on a Ray cluster
	qChiefs     = "firstWorkerPool"  // several replicas in the first worker pool
	qShared     = "sharedPool"       // several worker pools on one pool
	qTimeout    = "timeout"          // the end of a job over its scheduling.timeout
	qFull       = "fullPool"         // a job on a full pool
	qWaitState  = "waitState"        // the state of a job that waits
	qCancel     = "cancel"           // how a cancelled job ends, and how soon
	qUsed       = "usedCountLag"     // when used_replica_count leaves an ended job out
	qRelease    = "reuse"            // when the next job runs on a machine that was freed
	qLost       = "lostAnswers"      // creates that failed and yet created
)

// notProbed is the answer to a question that was left out, and unclear to one that the
// observations do not answer.
const (
	notProbed = "not probed"
	unclear   = "unclear"
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
	case o.Others:
		return "" // for want of room, perhaps
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
	j.diskSize(by[stepDiskSize])
	j.refused(qTooMany, "", by[stepTooMany])
	j.refused(qAbsent, "resourceAbsent", by[stepAbsent])
	j.refused(qNotRunning, "resourceNotRunning", by[stepNotRunning])
	j.account(by[stepAccount])
	j.allowed(qChiefs, "rejectManyChiefs", by[stepChiefs])
	j.allowed(qShared, "rejectSharedPool", by[stepShared])
	j.timeout(by[stepTimeout])
	if by[stepFill] != nil && by[stepFull] == nil {
		j.find(qFull, unclear, "the pool could not be filled: other jobs use it, or the probe was stopped")
	}
	j.full(by[stepFull])
	j.cancel(seen)
	j.lost(seen)
	for _, f := range p.LeftOut {
		if !slices.ContainsFunc(j.findings, func(g Finding) bool { return g.Question == f.Question }) {
			j.findings = append(j.findings, f)
		}
	}
	for _, q := range []string{qTiny, qStates, qList, qLabels, qDisk, qMismatch, qDiskSize, qTooMany, qAbsent, qNotRunning, qAccount, qChiefs, qShared, qTimeout, qFull, qCancel, qUsed, qRelease} {
		if !slices.ContainsFunc(j.findings, func(g Finding) bool { return g.Question == q }) {
			j.find(q, notProbed, "the probe did not come to it")
		}
	}
	return j.findings, j.settings, j.switches
}

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
	if !o.Exists || !o.ran() {
		j.find(qTiny, "no", "a job that fits did not run: %s", said(o))
		return
	}
	begun := time.Duration(0)
	var states []string
	for _, m := range o.States {
		states = append(states, fmt.Sprintf("%s %gs", m.State, m.After))
		if begun == 0 && (m.State == "RUNNING" || ended[m.State]) {
			begun = m.After.duration()
		}
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
	case o.Exists:
		return o.state()
	}
	return strings.TrimSuffix(o.Code+": "+o.Message, ": ")
}

func allowOrRefuse(allow bool) string {
	if allow {
		return "allow"
	}
	return "refuse"
}

// disk judges the job that names no disk.
func (j *judgement) disk(p *Plan, o *Observation) {
	if o == nil {
		return
	}
	pool := p.Pool.GetDiskSpec()
	kind, why := "", "a job without a disk was created with "+o.Disk
	switch {
	case o.Exists && o.Disk != "":
		kind, _, _ = strings.Cut(o.Disk, " ")
		j.find(qDisk, o.Disk, "as the created job shows it: %s", fate(o))
	case fate(o) == "" || o.Exists:
		j.find(qDisk, unclear, "%s", said(o))
	case pool.GetBootDiskType() == "pd-ssd" && pool.GetBootDiskSizeGb() == 100:
		kind, why = "pd-standard", "a job without a disk does not fit a pool with pd-ssd 100"
		j.find(qDisk, "not pd-ssd 100", "%s", said(o))
	default:
		j.find(qDisk, fmt.Sprintf("not %s %d", pool.GetBootDiskType(), pool.GetBootDiskSizeGb()), "%s", said(o))
	}
	if slices.Contains([]string{"pd-ssd", "pd-standard", "hyperdisk-balanced"}, kind) {
		j.switches["jobDisk"] = kind
		j.set("BERTH_DISK_TYPE", kind, why)
	}
}

// refused judges a job that was expected to be refused.
func (j *judgement) refused(question, knob string, o *Observation) {
	if o == nil {
		return
	}
	f := fate(o)
	if f == "" {
		j.find(question, unclear, "%s", said(o))
		return
	}
	j.find(question, f, "%s", said(o))
	if knob != "" && slices.Contains(refusals, f) {
		j.switches[knob] = f
	}
}

func (j *judgement) diskSize(o *Observation) {
	if o == nil {
		return
	}
	switch f := fate(o); f {
	case "":
		j.find(qDiskSize, unclear, "%s", said(o))
	case runs:
		j.find(qDiskSize, "not compared", "a job with a larger disk ran")
		j.switches["ignoreDiskSize"] = true
	default:
		j.find(qDiskSize, "compared", "%s: %s", f, said(o))
		j.switches["ignoreDiskSize"] = false
	}
}

func (j *judgement) account(o *Observation) {
	if o == nil {
		return
	}
	f := fate(o)
	if f == "" || f == waits || strings.Contains(o.Message, "permission to act as") {
		j.find(qAccount, unclear, "%s", said(o))
		return
	}
	j.find(qAccount, f, "%s", said(o))
	j.switches["refuseAccounts"] = f != runs
	j.set("BERTH_SERVICE_ACCOUNTS", allowOrRefuse(f == runs), "a job that names a service account: "+f)
}

// allowed judges a job that is allowed or refused for its form.
func (j *judgement) allowed(question, knob string, o *Observation) {
	if o == nil {
		return
	}
	switch f := fate(o); f {
	case "", waits:
		j.find(question, unclear, "%s", said(o))
	case runs:
		j.find(question, "allowed", "the job ran")
		j.switches[knob] = false
	default:
		j.find(question, "refused", "%s: %s", f, said(o))
		j.switches[knob] = true
	}
}

func (j *judgement) timeout(o *Observation) {
	if o == nil {
		return
	}
	if o.End == nil || o.Cancel != nil || !o.ran() {
		j.find(qTimeout, unclear, "%s", said(o))
		return
	}
	j.find(qTimeout, o.End.State, "%s", said(o))
	j.switches["timeoutFails"] = o.End.State == "FAILED"
}

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
