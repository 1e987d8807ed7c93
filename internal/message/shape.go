package message

import (
	"cmp"

	"example.com/berth/internal/reason"
)

// A jobShape is a job in one of the shapes that users have, after the walk.
type jobShape struct {
	job   *node   // the CustomJob, or nil where only its spec was sent
	spec  *node   // the CustomJobSpec, or nil where only the pools were sent
	list  *node   // the worker pool specs, or nil where there are none
	pools []*node // its entries, unless it was refused as a whole
	value map[string]any
}

// walkJob finds out which shape a job has, and walks it:
//
//   - a list is the worker pool specs, as the Python SDK takes them;
//   - an object with worker pool specs at its top is a CustomJobSpec, as gcloud
//     takes it with --config;
//   - any other object is a CustomJob, as the REST API takes it.
func walkJob(n *node, r *report) jobShape {
	w := walker{r}
	switch {
	case n.kind == list:
		fd := specType.Fields().ByName("worker_pool_specs")
		w.list(n, fd)
		return jobShape{list: n, value: map[string]any{"jobSpec": map[string]any{fd.JSONName(): n.value}}}.withPools()
	case n.kind == object && hasPools(n):
		w.message(n, specType, nil)
		return jobShape{spec: n, list: n.field("worker_pool_specs"), value: map[string]any{"jobSpec": n.value}}.withPools()
	case n.kind == object && notAJob(n, r):
		return jobShape{}
	case n.kind == object && onePool(n):
		r.at(n, reason.Malformed, "This is one worker pool spec.", "Put it into a list: [{...}].")
		return jobShape{}
	}
	w.message(n, jobType, outputOnly)
	s := jobShape{job: n, spec: n.field("job_spec")}
	if n.kind != object {
		return s
	}
	s.value, _ = n.value.(map[string]any)
	s.list = s.spec.field("worker_pool_specs")
	if s.spec == nil {
		r.lacks(n, "job_spec", "The job has no job spec.", "Send a CustomJob, a CustomJobSpec or a list of worker pool specs.")
	}
	return s.withPools()
}

// hasPools says whether worker pool specs stand at the top of an object. Empty ones
// beside a job spec are what a program printed that prints every field.
func hasPools(n *node) bool {
	spec := cmp.Or(n.member("jobSpec"), n.member("job_spec"))
	pools := cmp.Or(n.member("workerPoolSpecs"), n.member("worker_pool_specs"))
	return pools != nil && (spec == nil || !pools.blank())
}

// notAJob refuses a document of another kind by its name.
func notAJob(n *node, r *report) bool {
	m, kind, fix := foreignKind(n)
	if m != nil {
		r.at(m, reason.UnknownField, "This is "+kind+"; Berth takes a CustomJob.", fix)
	}
	return m != nil
}

// onePool says whether every member of an object belongs to a worker pool spec.
func onePool(n *node) bool {
	for _, m := range n.members {
		if fieldOf(poolType, m.key) == nil {
			return false
		}
	}
	return len(n.members) > 0
}

func (s jobShape) withPools() jobShape {
	if s.list != nil && !s.list.bad {
		s.pools = s.list.list()
	}
	return s
}
