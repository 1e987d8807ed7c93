package admission

import (
	"fmt"
	"slices"
	"strings"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// address writes the paths of edits and differences as the message does.
func address(findings []capacity.Finding, paths message.Paths) {
	for i := range findings {
		f := &findings[i]
		for j := range f.Edits {
			f.Edits[j].Path = paths.At(f.Edits[j].Path)
		}
		written := map[string]string{} // many pools differ in the same few fields
		for _, n := range f.Nearest {
			for j := range n.Fields {
				field := n.Fields[j].Field
				if written[field] == "" {
					written[field] = within(paths, f.WorkerPools[0], field)
				}
				n.Fields[j].Field = written[field]
			}
		}
	}
}

// within is the path of a field in its worker pool, as the message writes it.
func within(paths message.Paths, pool int, field string) string {
	at := fmt.Sprintf("jobSpec.workerPoolSpecs[%d]", pool)
	return strings.TrimPrefix(strings.TrimPrefix(paths.At(at+"."+field), paths.At(at)), ".")
}

func diskField(paths message.Paths, pool int) string {
	return within(paths, pool, "diskSpec.bootDiskType")
}

// differs reports whether the nearest pool has another value of a field.
func differs(f capacity.Finding, field string) bool {
	return len(f.Nearest) > 0 && slices.ContainsFunc(f.Nearest[0].Fields, func(d capacity.FieldDiff) bool { return d.Field == field })
}

// contradiction returns the first cause for which the request can never run on
// the present resource, with the fix of every cause. A job with a fix for one
// cause only would be refused for the next.
func contradiction(s Snapshot, a Ask, policy Policy, fit capacity.Result) *reason.Problem {
	all := contradictions(s, a, policy)
	if fit.Verdict == capacity.Never {
		all = append(all, misfit(s, a, fit))
	}
	if len(all) == 0 {
		return nil
	}
	first := all[0]
	for _, p := range all[1:] {
		first.Fix += " " + p.Fix
	}
	return first
}

// contradictions returns those between the job and the resource itself, not its
// pools. For a Ray cluster it returns only that, because its other settings are
// for another use.
func contradictions(s Snapshot, a Ask, policy Policy) (all []*reason.Problem) {
	account := a.Paths.At("jobSpec.serviceAccount")
	if s.Ray && !policy.AllowRay {
		return append(all, &reason.Problem{Code: reason.RayCluster, Path: a.Paths.At("persistentResource"),
			Detail: "The persistent resource is a Ray cluster (it has a raySpec): its machines run Ray's own work, and it is not documented whether they also run custom jobs.",
			Fix:    "Name a persistent resource without a raySpec, or let the deployment allow Ray clusters (BERTH_RAY_CLUSTERS=allow)."})
	}
	if !SameNetwork(a.Network, s.Network) {
		all = append(all, mismatch(a.Paths, reason.NetworkMismatch, "jobSpec.network", "network", s.Network))
	}
	if a.EncryptionKey != s.EncryptionKey {
		all = append(all, mismatch(a.Paths, reason.KeyMismatch, "encryptionSpec.kmsKeyName", "encryption key", s.EncryptionKey))
	}
	switch {
	case s.CustomAccount && a.ServiceAccount == "":
		all = append(all, &reason.Problem{Code: reason.AccountMismatch, Path: account,
			Detail: "The persistent resource runs only jobs that name a service account.",
			Fix:    set(a.Paths, "jobSpec.serviceAccount", "NAME@PROJECT.iam.gserviceaccount.com")})
	case !s.CustomAccount && a.ServiceAccount != "" && !policy.AllowAccounts:
		all = append(all, &reason.Problem{Code: reason.AccountMismatch, Path: account,
			Detail: "The persistent resource was made without enableCustomServiceAccount, so the job may not run under the account it names.",
			Fix:    "Leave out " + account + ", or make the persistent resource with enableCustomServiceAccount, or let the deployment allow it (BERTH_SERVICE_ACCOUNTS=allow)."})
	}
	return all
}

// misfit says why the pools can never fit the job.
func misfit(s Snapshot, a Ask, fit capacity.Result) *reason.Problem {
	p := &reason.Problem{Code: reason.TooManyReplicas}
	var edits []string
	for _, f := range fit.Findings {
		if f.Verdict != capacity.Never {
			continue
		}
		if p.Path == "" {
			p.Path = a.Paths.At(fmt.Sprintf("jobSpec.workerPoolSpecs[%d]", f.WorkerPools[0]))
			switch {
			case len(f.Pools) == 0:
				p.Code = reason.SpecMismatch
				p.Detail = fmt.Sprintf("No pool has the machine and disk spec %s.", f.Shape)
				if disk := diskField(a.Paths, f.WorkerPools[0]); slices.ContainsFunc(f.WorkerPools, func(i int) bool { return slices.Contains(a.UnsetDisks, i) }) && differs(f, disk) {
					p.Detail += fmt.Sprintf(" The job sets no %s, for which this deployment takes %s.", disk, f.Shape.Spec().DiskType)
				}
			case f.Asked <= f.Limit: // there are enough, but not in one pool
				p.Detail = fmt.Sprintf("%s, and the replicas of one worker pool must fit into one pool; pools %s have room for %d only together, when nothing else runs.",
					asked(f.Asked, f.Shape), strings.Join(f.Pools, ", "), f.Limit)
			default:
				p.Detail = fmt.Sprintf("%s; %s %s %s room for %d when nothing else runs.",
					asked(f.Asked, f.Shape), reason.Agree(len(f.Pools), "pool", "pools"), strings.Join(f.Pools, ", "), reason.Agree(len(f.Pools), "has", "have"), f.Limit)
			}
		}
		for _, e := range f.Edits {
			edits = append(edits, e.String())
		}
	}
	if len(edits) > 0 {
		p.Fix = "To fit: " + strings.Join(edits, "; ") + "."
	} else {
		p.Fix = "No small edit makes the job fit. " + has(s.Pools) + " Send a job for these machines, or name another persistent resource."
	}
	return p
}

// unsetDisks marks a disk type as not set in edits and differences, if the job
// sets none.
func unsetDisks(findings []capacity.Finding, pools []int) {
	const field = "diskSpec.bootDiskType"
	unset := func(i int) bool { return slices.Contains(pools, i) }
	for i := range findings {
		f := &findings[i]
		for j, e := range f.Edits {
			if slices.ContainsFunc(pools, func(i int) bool { return e.Path == fmt.Sprintf("jobSpec.workerPoolSpecs[%d].%s", i, field) }) {
				f.Edits[j].From = ""
			}
		}
		if slices.ContainsFunc(f.WorkerPools, func(i int) bool { return !unset(i) }) {
			continue
		}
		for _, d := range f.Nearest {
			for k := range d.Fields {
				if d.Fields[k].Field == field {
					d.Fields[k].Asked = ""
				}
			}
		}
	}
}

// has names the machines of the pools in one sentence.
func has(pools []capacity.Pool) string {
	const most = 6
	var list []string
	for _, p := range pools[:min(len(pools), most)] {
		list = append(list, fmt.Sprintf("%d x %s", p.Limit(), p.Shape))
	}
	if n := len(pools) - most; n > 0 {
		list = append(list, fmt.Sprintf("and %s more", reason.Count(n, "pool")))
	}
	if len(list) == 0 {
		return "The persistent resource has no pool."
	}
	return "The persistent resource has " + strings.Join(list, ", ") + "."
}

func mismatch(paths message.Paths, code reason.Code, path, what, want string) *reason.Problem {
	p := &reason.Problem{Code: code, Path: paths.At(path),
		Detail: fmt.Sprintf("The job's %s is not the persistent resource's, and Vertex AI rejects such a job.", what)}
	if want == "" {
		p.Fix = fmt.Sprintf("Leave out %s; the persistent resource has none.", p.Path)
	} else {
		p.Fix = set(paths, path, want)
	}
	return p
}

// set returns the fix that sets a field, also if the message has no place for
// it.
func set(paths message.Paths, path, value string) string {
	switch {
	case paths.Has(path):
		return fmt.Sprintf("Set %s to %q.", paths.At(path), value)
	case path == "encryptionSpec.kmsKeyName":
		return fmt.Sprintf("Send a CustomJob: {\"jobSpec\": {...}, \"encryptionSpec\": {\"kmsKeyName\": %q}}.", value)
	}
	return fmt.Sprintf("Send a CustomJobSpec: {\"workerPoolSpecs\": [...], %q: %q}.", strings.TrimPrefix(path, "jobSpec."), value)
}

// SameNetwork compares two VPC names. Vertex AI writes a project's number where
// users write its id, and only a call could tell whether they are the same. So
// names that differ only in number and id count as the same, and Vertex AI
// decides.
func SameNetwork(a, b string) bool {
	if a == b {
		return true
	}
	p, q := strings.Split(a, "/"), strings.Split(b, "/")
	if len(p) != 5 || len(q) != 5 || p[0] != "projects" || q[0] != "projects" || isNumber(p[1]) == isNumber(q[1]) {
		return false
	}
	return slices.Equal(p[2:], q[2:])
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
