package probe

import (
	"fmt"
	"slices"
	"strings"
)

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

// diskSize judges the job with a larger disk. That it waits says nothing, unless a job waits
// that fits nowhere.
func (j *judgement) diskSize(o, mismatch *Observation) {
	if o == nil {
		return
	}
	f := fate(o)
	if f == waits && (mismatch == nil || fate(mismatch) != waits) {
		f = ""
	}
	switch f {
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

// bundled judges the job that leaves out an accelerator that its machine type has.
func (j *judgement) bundled(o *Observation) {
	if o == nil {
		return
	}
	switch f := fate(o); f {
	case "", waits:
		j.find(qBundled, unclear, "%s", said(o))
	case runs:
		j.find(qBundled, "may be left out", "the job ran")
	default:
		j.find(qBundled, "must be named", "%s: %s", f, said(o))
	}
}

// equal judges which of several equal pools took the first job.
func (j *judgement) equal(p *Plan, o *Observation) {
	if o.Place == 0 || len(p.equal) < 2 {
		return
	}
	free := func(i int) int64 { return p.equal[i].GetReplicaCount() - p.equal[i].GetUsedReplicaCount() }
	first, least := -1, int64(0)
	for i := range p.equal {
		if free(i) > 0 && first < 0 {
			first = i
		}
		if free(i) > 0 && (least == 0 || free(i) < least) {
			least = free(i)
		}
	}
	chosen := o.Place - 1
	j.find(qEqual, fmt.Sprintf("number %d of %d", o.Place, len(p.equal)), "it had %d free replicas; the least that one had was %d", free(chosen), least)
	if isFirst, isLeast := chosen == first, free(chosen) == least; isFirst != isLeast {
		j.switches["firstPool"] = isFirst
	}
}

// order judges the order of a list.
func (j *judgement) order(seen []*Observation) {
	for _, o := range seen {
		if o.Order != "" {
			j.find(qOrder, o.Order, "of the jobs of the probe, by label")
		}
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
