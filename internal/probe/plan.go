package probe

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Labels of the jobs of a probe.
const (
	LabelProbe = "berth-probe"      // the probe's id
	LabelStep  = "berth-probe-step" // number of the job in the probe
)

// MostReplicas is how many free replicas a probe fills at most.
const MostReplicas = 8

// longSleep is how long jobs sleep that are cancelled as soon as they are seen RUNNING.
const longSleep = 10 * time.Minute

// timeLimited is the scheduling.timeout of the job that runs over it.
const timeLimited = time.Minute

// Options say what to probe.
type Options struct {
	ID      string // value of LabelProbe
	Parent  string // projects/P/locations/L
	Pool    string // id of the pool; "" for the first fixed one with a free replica
	Image   string // of a container that has sleep
	Account string // service account for the job that names one; "" leaves this out
	// Wait is how long a job on a full pool is watched, at most.
	Wait time.Duration
}

// A Step is one question and the job that asks it.
type Step struct {
	Name string
	Asks string // what the job is
	Job  *aiplatformpb.CustomJob
}

// Names of steps.
const (
	stepNotRunning = "not-running"
	stepTiny       = "tiny"
	stepDisk       = "default-disk"
	stepMismatch   = "mismatch"
	stepDiskSize   = "disk-size"
	stepTooMany    = "too-many"
	stepAbsent     = "absent"
	stepAccount    = "account"
	stepChiefs     = "two-replicas"
	stepShared     = "two-worker-pools"
	stepTimeout    = "timeout"
	stepFill       = "fill"
	stepFull       = "full"
	stepBundled    = "no-accelerator"
	stepSpot       = "spot"
	stepFlex       = "flex-start"
)

// A Plan is what a probe will do.
type Plan struct {
	Options  Options
	Resource *aiplatformpb.PersistentResource
	Pool     *aiplatformpb.ResourcePool
	Free     int64 // replicas of the pool that are not in use, and of the pools that equal it
	Steps    []Step
	LeftOut  []Finding // questions that will not be asked, and why

	equal []*aiplatformpb.ResourcePool // Pool and those on which its jobs may be placed as well
	inUse int64                        // replicas of them, at the time of the plan
}

// NewPlan plans a probe of a resource as it is now. An error says why it cannot be probed.
func NewPlan(r *aiplatformpb.PersistentResource, o Options) (*Plan, error) {
	p := &Plan{Options: o, Resource: r}
	if p.Pool = choose(r.GetResourcePools(), o.Pool); p.Pool == nil {
		return nil, fmt.Errorf("the persistent resource has no pool %q", o.Pool)
	}
	p.LeftOut = slices.Clone(neverAsked)
	limit, scales := int64(0), false
	for _, pool := range r.GetResourcePools() {
		if sameShape(pool, p.Pool) {
			p.equal = append(p.equal, pool)
			p.Free += pool.GetReplicaCount() - pool.GetUsedReplicaCount()
			limit = max(limit, pool.GetReplicaCount(), pool.GetAutoscalingSpec().GetMaxReplicaCount())
			scales = scales || pool.GetAutoscalingSpec() != nil
		}
	}
	p.inUse = p.usedOf(r)
	running := r.GetState() == aiplatformpb.PersistentResource_RUNNING
	if running && p.Free < 1 {
		return nil, errors.New("no replica of the pool is free; name another pool, or wait")
	}
	if r.GetResourceRuntimeSpec().GetServiceAccountSpec().GetEnableCustomServiceAccount() && o.Account == "" {
		return nil, errors.New("the resource takes only jobs that name a service account; name one with --probe-account")
	}
	add := func(name, asks string, change func(*aiplatformpb.CustomJob)) {
		p.Steps = append(p.Steps, Step{name, asks, p.job(name, change)})
	}
	one := func(*aiplatformpb.CustomJob) {}
	if !running {
		add(stepNotRunning, "a job on a resource that is "+r.GetState().String(), one)
		p.leaveOut("the resource is not RUNNING", qTiny, qList, qLabels, qFull, qMismatch, qAbsent, qDisk, qCancel, qTimeout)
		return p, nil
	}
	p.leaveOut("it needs a resource that is not RUNNING; probe one that reboots", qNotRunning)
	if len(p.equal) == 1 {
		p.leaveOut("no other pool of the resource equals it", qEqual)
	}
	add(stepTiny, "a job of one replica that sleeps for 20 s, found again by its label", one)
	switch {
	case scales:
		p.leaveOut("the pool has autoscaling, and would grow", qFull, qRelease)
	case p.Free > MostReplicas:
		p.leaveOut(fmt.Sprintf("the pool has %d free replicas; a probe fills at most %d", p.Free, MostReplicas), qFull, qRelease)
	default:
		for range p.Free {
			add(stepFill, "a job of one replica that fills the pool, and is cancelled", one)
		}
		add(stepFull, "one more job of one replica on the full pool", one)
	}
	add(stepDisk, "a job that names no disk", func(j *aiplatformpb.CustomJob) { first(j).DiskSpec = nil })
	add(stepMismatch, "a job with another disk type, which fits no pool", func(j *aiplatformpb.CustomJob) {
		first(j).DiskSpec.BootDiskType = p.otherDisk()
		p.leave(first(j))
	})
	add(stepDiskSize, "a job whose disk is 1 GB larger than the pool's", func(j *aiplatformpb.CustomJob) {
		first(j).DiskSpec.BootDiskSizeGb++
		p.leave(first(j))
	})
	add(stepTooMany, fmt.Sprintf("a job of %d replicas on a pool of %d", limit+1, limit), func(j *aiplatformpb.CustomJob) { first(j).ReplicaCount = limit + 1 })
	add(stepAbsent, "a job on a persistent resource that does not exist", func(j *aiplatformpb.CustomJob) { j.JobSpec.PersistentResourceId = "berth-probe-none" })
	switch {
	case r.GetResourceRuntimeSpec().GetServiceAccountSpec().GetEnableCustomServiceAccount():
		p.leaveOut("the resource enables custom service accounts", qAccount)
	case o.Account == "":
		p.leaveOut("no service account was named", qAccount)
	default:
		add(stepAccount, "a job that names a service account", func(j *aiplatformpb.CustomJob) { j.JobSpec.ServiceAccount = o.Account })
	}
	if p.Free >= 2 {
		add(stepChiefs, "a job of two replicas in one worker pool", func(j *aiplatformpb.CustomJob) { first(j).ReplicaCount = 2 })
		add(stepShared, "a job of two worker pools of one replica", func(j *aiplatformpb.CustomJob) {
			j.JobSpec.WorkerPoolSpecs = append(j.JobSpec.WorkerPoolSpecs, proto.CloneOf(first(j)))
		})
	} else {
		p.leaveOut("only one replica of the pool is free", qChiefs, qShared)
	}
	if m := p.Pool.GetMachineSpec(); m.GetAcceleratorCount() > 0 && bundled.MatchString(m.GetMachineType()) {
		add(stepBundled, "a job that leaves out the accelerator of a machine type that has it built in", func(j *aiplatformpb.CustomJob) {
			first(j).MachineSpec.AcceleratorType, first(j).MachineSpec.AcceleratorCount = 0, 0
		})
	} else {
		p.leaveOut("the machine type of the pool has no accelerator built in", qBundled)
	}
	add(stepSpot, "a job with the scheduling strategy SPOT", func(j *aiplatformpb.CustomJob) { j.JobSpec.Scheduling.Strategy = aiplatformpb.Scheduling_SPOT })
	add(stepFlex, "a job with the scheduling strategy FLEX_START", func(j *aiplatformpb.CustomJob) {
		j.JobSpec.Scheduling.Strategy = aiplatformpb.Scheduling_FLEX_START
	})
	add(stepTimeout, fmt.Sprintf("a job that sleeps longer than its scheduling.timeout of %s", timeLimited), func(j *aiplatformpb.CustomJob) {
		j.JobSpec.Scheduling.Timeout = durationpb.New(timeLimited)
	})
	return p, nil
}

func (p *Plan) leaveOut(why string, questions ...string) {
	for _, q := range questions {
		p.LeftOut = append(p.LeftOut, Finding{Question: q, Answer: notProbed, Detail: why})
	}
}

// bundled are machine types that have accelerators built in.
var bundled = regexp.MustCompile(`^(a2|a3|a4|a4x|g2|g4)-`)

// neverAsked are questions that no probe asks, and why.
var neverAsked = []Finding{
	{qScale, notProbed, "it takes machines that cost money while they stay; watch replica_count of a full pool with autoscaling"},
	{qPageSize, notProbed, "it takes more jobs than a page has"},
	{qLogLabel, notProbed, "a probe reads no logs; look for the label ml.googleapis.com/job_state in log entries of its jobs"},
	{qReboot, notProbed, "a probe interrupts no resource; reboot one of your own on which a job runs"},
	{qRates, notProbed, "a probe does not use up the rate of calls; the quotas page of the project shows it"},
}

// hold is how long jobs sleep that fill the pool: longer than the job on the full pool is
// watched, and the next one is waited for that gets a machine of theirs.
func (p *Plan) hold() time.Duration {
	return time.Duration(p.Free)*usualSettle + startLimit + p.Options.Wait + endLimit + reuseLimit
}

// jobLimit is the scheduling.timeout of the jobs: what is left behind when the prober dies
// ends by itself after that.
func (p *Plan) jobLimit() time.Duration { return p.hold() + startLimit }

// refusalLimit is how long a job is watched that neither is refused nor runs.
func (p *Plan) refusalLimit() time.Duration { return max(refusalWait, p.Options.Wait) }

func first(j *aiplatformpb.CustomJob) *aiplatformpb.WorkerPoolSpec {
	return j.JobSpec.WorkerPoolSpecs[0]
}

// job is a job of one replica that fits the pool, changed.
func (p *Plan) job(step string, change func(*aiplatformpb.CustomJob)) *aiplatformpb.CustomJob {
	sleep := longSleep
	switch step {
	case stepTiny:
		sleep = 20 * time.Second
	case stepFill:
		sleep = p.hold()
	}
	account := p.Resource.GetResourceRuntimeSpec().GetServiceAccountSpec()
	j := &aiplatformpb.CustomJob{
		DisplayName:    "berth-probe-" + step,
		Labels:         map[string]string{LabelProbe: p.Options.ID, LabelStep: strconv.Itoa(len(p.Steps) + 1)},
		EncryptionSpec: proto.CloneOf(p.Resource.GetEncryptionSpec()),
		JobSpec: &aiplatformpb.CustomJobSpec{
			PersistentResourceId: p.Resource.GetName()[strings.LastIndex(p.Resource.GetName(), "/")+1:],
			Network:              p.Resource.GetNetwork(),
			Scheduling:           &aiplatformpb.Scheduling{Timeout: durationpb.New(p.jobLimit()), DisableRetries: true},
			WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{{
				MachineSpec:  proto.CloneOf(p.Pool.GetMachineSpec()),
				DiskSpec:     proto.CloneOf(cmp.Or(p.Pool.GetDiskSpec(), &aiplatformpb.DiskSpec{BootDiskType: "pd-ssd", BootDiskSizeGb: 100})),
				ReplicaCount: 1,
				Task: &aiplatformpb.WorkerPoolSpec_ContainerSpec{ContainerSpec: &aiplatformpb.ContainerSpec{
					ImageUri: p.Options.Image, Command: []string{"sleep", strconv.Itoa(int(sleep.Seconds()))}}},
			}},
		},
	}
	if account.GetEnableCustomServiceAccount() {
		j.JobSpec.ServiceAccount = p.Options.Account
	}
	change(j)
	return j
}

// Longest is how long the probe may take, and how long it may keep the free replicas.
func (p *Plan) Longest() (all, full time.Duration) {
	for _, s := range p.Steps {
		switch s.Name {
		case stepTiny, stepTimeout:
			all += startLimit + endLimit + lagLimit + usualSettle
		case stepFill:
			full = lagLimit + startLimit + p.Options.Wait + 2*endLimit + reuseLimit
		case stepFull:
		default:
			all += p.refusalLimit() + endLimit + usualSettle
		}
	}
	return all + full, full
}
