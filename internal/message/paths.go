package message

import (
	"strconv"
	"strings"

	"example.com/berth/internal/strict"
)

// Paths says how a message writes the fields of its job, so that reasons that
// are found later have the paths of the message too. A path in the API's own words,
// such as jobSpec.workerPoolSpecs[0].replicaCount, is translated by [Paths.At].
// The zero value is a CustomJob in camelCase.
type Paths struct {
	Form  Form     `json:"form,omitempty"`
	Job   string   `json:"job,omitempty"`   // what stands before the fields of the CustomJob: "" or "job."
	Spec  string   `json:"spec,omitempty"`  // before those of the CustomJobSpec: "jobSpec.", "job.job_spec.", ""
	Pools []string `json:"pools,omitempty"` // before those of each worker pool: "[0]."
	Snake bool     `json:"snake,omitempty"` // names are written in snake_case
	// Names are paths that the rest does not give: fields spelled otherwise than
	// their neighbours, and options.
	Names map[string]string `json:"names,omitempty"`
}

// A Form is the part of a CustomJob that a message has.
type Form string

const (
	FormJob  Form = ""     // a CustomJob
	FormSpec Form = "spec" // a CustomJobSpec: there is no place for a display name or an encryption key
	FormList Form = "list" // worker pool specs: there is no place for anything else
)

// At returns the path of a field as the message writes it, or would.
func (p Paths) At(path string) string {
	if name, ok := p.Names[path]; ok || len(p.Pools) == 0 {
		if ok {
			return name
		}
		return path
	}
	const pools = "jobSpec.workerPoolSpecs["
	if rest, ok := strings.CutPrefix(path, pools); ok {
		index, field, _ := strings.Cut(rest, "]")
		if i, err := strconv.Atoi(index); err == nil && i < len(p.Pools) {
			return strings.TrimSuffix(p.Pools[i]+p.style(strings.TrimPrefix(field, ".")), ".")
		}
	}
	if (path == "labels" || path == "displayName") && p.Job == "" && p.Form == FormJob {
		return p.style(path) // the job has a place of its own for them
	}
	if option := optionNames[path]; option != "" && p.Job == "" {
		return strict.Join("attributes", attributeName(option)) // a job that is sent as it is has its options there
	} else if option != "" {
		return path
	}
	if rest, ok := strings.CutPrefix(path, "jobSpec."); ok {
		return p.Spec + p.style(rest)
	}
	return p.Job + p.style(path)
}

// Has says whether the message has the object in which the field stands, so
// that the field can be added to it as it is.
func (p Paths) Has(path string) bool {
	switch p.Form {
	case FormList:
		return strings.HasPrefix(path, "jobSpec.workerPoolSpecs[")
	case FormSpec:
		return strings.HasPrefix(path, "jobSpec.")
	}
	return true
}

func (p Paths) style(path string) string {
	if p.Snake {
		return strict.Snake(path)
	}
	return path
}

// poolFields are the fields of a worker pool that reasons speak of, by the proto
// name of the object in which they stand; "" is the worker pool itself.
var poolFields = []struct {
	in     string
	fields []string
}{
	{"", []string{"replica_count"}},
	{"machine_spec", []string{"machine_type", "accelerator_type", "accelerator_count", "tpu_topology", "gpu_partition_size"}},
	{"disk_spec", []string{"boot_disk_type", "boot_disk_size_gb"}},
}

// pathsOf records how a job is written. n is the job within its message. What
// the job has is read directly and not searched for, because every request does this.
func pathsOf(n *strict.Node, s jobShape, opts options) Paths {
	p := Paths{Snake: n.Snakes()}
	dot := func(n *strict.Node) string {
		if path := n.Path(); path != "" {
			return path + "."
		}
		return ""
	}
	p.Job = dot(n)
	switch {
	case n.Kind == strict.List:
		p.Form, p.Spec = FormList, p.Job
	case s.job == nil:
		p.Form, p.Spec = FormSpec, p.Job
	default:
		p.Spec = dot(s.spec)
	}
	note := func(path, at string) {
		if p.Names == nil {
			p.Names = map[string]string{}
		}
		p.Names[path] = at
	}
	odd := func(n *strict.Node, name string) bool { return n.Key != name == p.Snake && strings.Contains(name, "_") }
	for _, name := range []string{"network", "service_account"} {
		if f := s.spec.Field(name); f != nil && odd(f, name) {
			note("jobSpec."+strict.Camel(name), f.Path())
		}
	}
	if key := s.job.Field("encryption_spec").Field("kms_key_name"); key != nil && (odd(key, "kms_key_name") || odd(key.Parent, "encryption_spec")) {
		note("encryptionSpec.kmsKeyName", key.Path())
	}
	for i, pool := range s.pools {
		p.Pools = append(p.Pools, dot(pool))
		for _, group := range poolFields {
			in := pool
			if group.in != "" {
				in = pool.Field(group.in)
			}
			if in == nil {
				continue
			}
			oddGroup, oddHere := group.in != "" && odd(in, group.in), in.Snakes() != p.Snake
			for _, name := range group.fields {
				f := in.Field(name)
				if !oddGroup && (f == nil && !oddHere || f != nil && !odd(f, name)) {
					continue
				}
				path := "jobSpec.workerPoolSpecs[" + strconv.Itoa(i) + "]."
				if group.in != "" {
					path += strict.Camel(group.in) + "."
				}
				if f == nil {
					note(path+strict.Camel(name), strict.Join(in.Path(), in.Spell(name)))
				} else {
					note(path+strict.Camel(name), f.Path())
				}
			}
		}
	}
	for _, o := range []struct {
		path string
		at   strict.Place
	}{{"requestId", opts.requestID.at}, {"persistentResource", opts.resource.at}, {"maxWait", opts.maxWait.at}, {"onFull", opts.onFull.at}} {
		if o.at.Path != "" && o.at.Path != p.At(o.path) {
			note(o.path, o.at.Path)
		}
	}
	labels := s.job.Field("labels")
	if labels == nil || len(labels.Members) == 0 {
		labels = nil
		if len(opts.labels) > 0 {
			labels = opts.labels[0].Parent
		}
	}
	if labels != nil && labels.Path() != p.At("labels") {
		note("labels", labels.Path())
	}
	if own := s.spec.Field("persistent_resource_id"); opts.resource.at.Path == "" && own.Str() != "" {
		note("persistentResource", own.Path())
	}
	return p
}

// writtenAll returns the paths of several fields.
func writtenAll(n *strict.Node, paths []string) (all []string) {
	for _, path := range paths {
		all = append(all, written(n, path))
	}
	return all
}

// written returns the path of a field of a CustomJob as the message of this node
// writes it, or would: in the shape that the job came in, and in the words of
// its neighbours. An empty index is that of the worker pool in which the node
// stands, else 0.
func written(n *strict.Node, path string) string {
	job := jobOf(n)
	at, cur := job.Path(), job
	names := strings.Split(path, ".")
	switch {
	case job.Kind == strict.List && len(names) > 1 && strings.HasPrefix(names[1], "workerPoolSpecs["):
		_, index, _ := strings.Cut(names[1], "[")
		at, cur = entry(job, at, strings.TrimSuffix(index, "]"), n)
		names = names[2:]
	case job.Kind == strict.List && path != "jobSpec": // it has no place for the field
		if job.Snakes() {
			path = strict.Snake(path)
		}
		return strings.ReplaceAll(path, "[]", "[0]") + " of a CustomJob"
	case names[0] == "jobSpec" && (job.Kind == strict.List || job.Kind == strict.Object && hasPools(job)):
		names = names[1:]
	}
	for _, name := range names {
		name, index, indexed := strings.Cut(name, "[")
		var m *strict.Node
		key := job.Spell(strict.Snake(name))
		if cur != nil {
			key = cur.Spell(strict.Snake(name))
			for _, c := range cur.Members {
				if c.Key == name || c.Key == strict.Snake(name) {
					m, key = c, c.Key
					break
				}
			}
		}
		at, cur = strict.Join(at, key), m
		if indexed {
			at, cur = entry(cur, at, strings.TrimSuffix(index, "]"), n)
		}
	}
	return at
}

// entry is an entry of a list, which may be written as one value alone. from is
// the node that asks.
func entry(n *strict.Node, at, index string, from *strict.Node) (string, *strict.Node) {
	i, err := strconv.Atoi(index)
	for m := from; err != nil && m != nil; m = m.Parent {
		if m.Parent == n && n != nil && n.Kind == strict.List {
			i, err = m.Index, nil
		}
	}
	switch {
	case n != nil && n.Kind == strict.Object:
		return at, n
	case n != nil && i < len(n.Items):
		return at + "[" + strconv.Itoa(i) + "]", n.Items[i]
	}
	return at + "[" + strconv.Itoa(i) + "]", nil
}

// jobOf is the job in the message of which the node is a part.
func jobOf(n *strict.Node) *strict.Node {
	root := n
	for root.Parent != nil {
		root = root.Parent
	}
	if m := root.Member("job"); root.Kind == strict.Object && m != nil {
		return m
	}
	return root
}
