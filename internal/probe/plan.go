package probe

import (
	"cmp"
	"errors"
	"fmt"
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

// jobLimit is the scheduling.timeout of the jobs: what is left behind when the prober dies
// ends by itself after that.
const jobLimit = 30 * time.Minute

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
)

// A Plan is what a probe will do.
type Plan struct {
	Options  Options
	Resource *aiplatformpb.PersistentResource
	Pool     *aiplatformpb.ResourcePool
	Free     int64 // replicas of the pool that are not in use
	Steps    []Step
	LeftOut  []Finding // questions that will not be asked, and why
}

// NewPlan plans a probe of a resource as it is now. An error says why it cannot be probed.
func NewPlan(r *aiplatformpb.PersistentResource, o Options) (*Plan, error) {
	p := &Plan{Options: o, Resource: r}
	if p.Pool = choose(r.GetResourcePools(), o.Pool); p.Pool == nil {
		return nil, fmt.Errorf("the persistent resource has no pool %q", o.Pool)
	}
	p.Free = p.Pool.GetReplicaCount() - p.Pool.GetUsedReplicaCount()
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
	disk := p.Pool.GetDiskSpec()
	add(stepTiny, "a job of one replica that sleeps for 20 s, found again by its label", one)
	switch {
	case p.Pool.GetAutoscalingSpec() != nil:
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
		first(j).DiskSpec.BootDiskType = otherDisk(disk.GetBootDiskType())
	})
	add(stepDiskSize, "a job whose disk is 1 GB larger than the pool's", func(j *aiplatformpb.CustomJob) { first(j).DiskSpec.BootDiskSizeGb++ })
	limit := max(p.Pool.GetReplicaCount(), p.Pool.GetAutoscalingSpec().GetMaxReplicaCount())
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

// choose is the pool of that id, or the first fixed one with a free replica, or else the
// first.
func choose(pools []*aiplatformpb.ResourcePool, id string) *aiplatformpb.ResourcePool {
	var best *aiplatformpb.ResourcePool
	for _, p := range pools {
		free := p.GetReplicaCount() > p.GetUsedReplicaCount()
		switch {
		case id != "" && p.GetId() == id:
			return p
		case id != "":
		case best == nil, free && p.GetAutoscalingSpec() == nil && (best.GetAutoscalingSpec() != nil || best.GetReplicaCount() <= best.GetUsedReplicaCount()):
			best = p
		}
	}
	return best
}

func otherDisk(is string) string {
	if is == "pd-standard" {
		return "pd-ssd"
	}
	return "pd-standard"
}

func first(j *aiplatformpb.CustomJob) *aiplatformpb.WorkerPoolSpec {
	return j.JobSpec.WorkerPoolSpecs[0]
}

// job is a job of one replica that fits the pool, changed.
func (p *Plan) job(step string, change func(*aiplatformpb.CustomJob)) *aiplatformpb.CustomJob {
	sleep := "600"
	if step == stepTiny {
		sleep = "20"
	}
	account := p.Resource.GetResourceRuntimeSpec().GetServiceAccountSpec()
	j := &aiplatformpb.CustomJob{
		DisplayName:    "berth-probe-" + step,
		Labels:         map[string]string{LabelProbe: p.Options.ID, LabelStep: strconv.Itoa(len(p.Steps) + 1)},
		EncryptionSpec: proto.CloneOf(p.Resource.GetEncryptionSpec()),
		JobSpec: &aiplatformpb.CustomJobSpec{
			PersistentResourceId: p.Resource.GetName()[strings.LastIndex(p.Resource.GetName(), "/")+1:],
			Network:              p.Resource.GetNetwork(),
			Scheduling:           &aiplatformpb.Scheduling{Timeout: durationpb.New(jobLimit), DisableRetries: true},
			WorkerPoolSpecs: []*aiplatformpb.WorkerPoolSpec{{
				MachineSpec:  proto.CloneOf(p.Pool.GetMachineSpec()),
				DiskSpec:     proto.CloneOf(cmp.Or(p.Pool.GetDiskSpec(), &aiplatformpb.DiskSpec{BootDiskType: "pd-ssd", BootDiskSizeGb: 100})),
				ReplicaCount: 1,
				Task: &aiplatformpb.WorkerPoolSpec_ContainerSpec{ContainerSpec: &aiplatformpb.ContainerSpec{
					ImageUri: p.Options.Image, Command: []string{"sleep", sleep}}},
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
			full = lagLimit + startLimit + p.Options.Wait + 2*endLimit + lagLimit
		case stepFull:
		default:
			all += refusalWait + endLimit + usualSettle
		}
	}
	return all + full, full
}
