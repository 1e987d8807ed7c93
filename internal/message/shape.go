package message

import (
	"cmp"

	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

// A jobShape is a job in one of the shapes that users have, after the walk.
type jobShape struct {
	job   *strict.Node   // the CustomJob, or nil where only its spec was sent
	spec  *strict.Node   // the CustomJobSpec, or nil where only the pools were sent
	list  *strict.Node   // the worker pool specs, or nil where there are none
	pools []*strict.Node // its entries, unless it was refused as a whole
	value map[string]any
}

// walkJob finds out which shape a job has, and walks it:
//
//   - a list is the worker pool specs, as the Python SDK takes them;
//   - an object with worker pool specs at its top is a CustomJobSpec, as gcloud
//     takes it with --config;
//   - any other object is a CustomJob, as the REST API takes it.
func walkJob(n *strict.Node, r *report) jobShape {
	w := walker(r)
	switch {
	case n.Kind == strict.List:
		fd := specType.Fields().ByName("worker_pool_specs")
		w.List(n, fd)
		return jobShape{list: n, value: map[string]any{"jobSpec": map[string]any{fd.JSONName(): n.Value}}}.withPools()
	case n.Kind == strict.Object && hasPools(n):
		w.Message(n, specType, nil)
		return jobShape{spec: n, list: n.Field("worker_pool_specs"), value: map[string]any{"jobSpec": n.Value}}.withPools()
	case n.Kind == strict.Object && notAJob(n, r):
		return jobShape{}
	case n.Kind == strict.Object && onePool(n):
		r.At(n, reason.Malformed, "This is one worker pool spec.", "Put it into a list: [{...}].")
		return jobShape{}
	}
	w.Message(n, jobType, outputOnly)
	s := jobShape{job: n, spec: n.Field("job_spec")}
	if n.Kind != strict.Object {
		return s
	}
	s.value, _ = n.Value.(map[string]any)
	s.list = s.spec.Field("worker_pool_specs")
	if s.spec == nil {
		r.lacks(n, "job_spec", "The job has no job spec.", "Send a CustomJob, a CustomJobSpec or a list of worker pool specs.")
	}
	return s.withPools()
}

// hasPools says whether worker pool specs stand at the top of an object. Empty ones
// beside a job spec are what a program printed that prints every field.
func hasPools(n *strict.Node) bool {
	spec := cmp.Or(n.Member("jobSpec"), n.Member("job_spec"))
	pools := cmp.Or(n.Member("workerPoolSpecs"), n.Member("worker_pool_specs"))
	return pools != nil && (spec == nil || !pools.Blank())
}

// notAJob refuses a document of another kind by its name.
func notAJob(n *strict.Node, r *report) bool {
	m, kind, fix := foreignKind(n)
	if m != nil {
		r.At(m, reason.UnknownField, "This is "+kind+"; Berth takes a CustomJob.", fix)
	}
	return m != nil
}

// onePool says whether every member of an object belongs to a worker pool spec.
func onePool(n *strict.Node) bool {
	for _, m := range n.Members {
		if strict.FieldOf(poolType, m.Key) == nil {
			return false
		}
	}
	return len(n.Members) > 0
}

func (s jobShape) withPools() jobShape {
	if s.list != nil && !s.list.Bad {
		s.pools = s.list.List()
	}
	return s
}
