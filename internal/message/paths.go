package message

import (
	"strconv"
	"strings"
	"unicode"
)

// Paths says how a message writes the fields of its job, so that what is said of
// the job later has the paths of the message too. A path in the API's own words,
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
	if option := optionNames[path]; option != "" && p.Job == "" {
		return join("attributes", attributeName(option)) // a job that is sent as it is has its options there
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
		return snake(path)
	}
	return path
}

// snake turns camelCase into snake_case, path by path.
func snake(path string) string {
	var b strings.Builder
	for _, c := range path {
		if unicode.IsUpper(c) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
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
// the job has is looked at and not searched for: this is done for every request.
func pathsOf(n *node, s jobShape, opts options) Paths {
	p := Paths{Snake: n.snakes()}
	dot := func(n *node) string {
		if path := n.path(); path != "" {
			return path + "."
		}
		return ""
	}
	p.Job = dot(n)
	switch {
	case n.kind == list:
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
	odd := func(n *node, name string) bool { return n.key != name == p.Snake && strings.Contains(name, "_") }
	for _, name := range []string{"network", "service_account"} {
		if f := s.spec.field(name); f != nil && odd(f, name) {
			note("jobSpec."+camel(name), f.path())
		}
	}
	if key := s.job.field("encryption_spec").field("kms_key_name"); key != nil && (odd(key, "kms_key_name") || odd(key.parent, "encryption_spec")) {
		note("encryptionSpec.kmsKeyName", key.path())
	}
	for i, pool := range s.pools {
		p.Pools = append(p.Pools, dot(pool))
		for _, group := range poolFields {
			in := pool
			if group.in != "" {
				in = pool.field(group.in)
			}
			if in == nil {
				continue
			}
			oddGroup, oddHere := group.in != "" && odd(in, group.in), in.snakes() != p.Snake
			for _, name := range group.fields {
				f := in.field(name)
				if !oddGroup && (f == nil && !oddHere || f != nil && !odd(f, name)) {
					continue
				}
				path := "jobSpec.workerPoolSpecs[" + strconv.Itoa(i) + "]."
				if group.in != "" {
					path += camel(group.in) + "."
				}
				if f == nil {
					note(path+camel(name), join(in.path(), in.spell(name)))
				} else {
					note(path+camel(name), f.path())
				}
			}
		}
	}
	for _, o := range []struct {
		path string
		at   place
	}{{"requestId", opts.requestID.at}, {"persistentResource", opts.resource.at}, {"maxWait", opts.maxWait.at}, {"onFull", opts.onFull.at}} {
		if o.at.path != "" && o.at.path != p.At(o.path) {
			note(o.path, o.at.path)
		}
	}
	if own := s.spec.field("persistent_resource_id"); opts.resource.at.path == "" && own.str() != "" {
		note("persistentResource", own.path())
	}
	return p
}

// snakes says whether the nearest names of two words around a node are written
// in snake_case.
func (n *node) snakes() bool {
	for m := n; m != nil; m = m.parent {
		for _, c := range m.members {
			if strings.Contains(c.key, "_") {
				return true
			}
			if strings.IndexFunc(c.key, unicode.IsUpper) > 0 {
				return false
			}
		}
		if m == n && len(n.items) > 0 {
			return n.items[0].snakes()
		}
	}
	return false
}

// writtenAll returns the paths of several fields.
func (n *node) writtenAll(paths []string) (all []string) {
	for _, path := range paths {
		all = append(all, n.written(path))
	}
	return all
}

// written returns the path of a field of a CustomJob as the message of this node
// writes it, or would: in the shape that the job came in, and in the words of
// its neighbours. An empty index is that of the worker pool in which the node
// stands, else 0.
func (n *node) written(path string) string {
	job := n.job()
	at, cur := job.path(), job
	names := strings.Split(path, ".")
	switch {
	case job.kind == list && len(names) > 1 && strings.HasPrefix(names[1], "workerPoolSpecs["):
		_, index, _ := strings.Cut(names[1], "[")
		at, cur = job.entry(at, strings.TrimSuffix(index, "]"), n)
		names = names[2:]
	case job.kind == list && path != "jobSpec": // it has no place for the field
		if job.snakes() {
			path = snake(path)
		}
		return strings.ReplaceAll(path, "[]", "[0]") + " of a CustomJob"
	case names[0] == "jobSpec" && (job.kind == list || job.kind == object && hasPools(job)):
		names = names[1:]
	}
	for _, name := range names {
		name, index, indexed := strings.Cut(name, "[")
		var m *node
		key := job.spell(snake(name))
		if cur != nil {
			key = cur.spell(snake(name))
			for _, c := range cur.members {
				if c.key == name || c.key == snake(name) {
					m, key = c, c.key
					break
				}
			}
		}
		at, cur = join(at, key), m
		if indexed {
			at, cur = cur.entry(at, strings.TrimSuffix(index, "]"), n)
		}
	}
	return at
}

// entry is an entry of a list, which may be written as one value alone. from is
// the node that asks.
func (n *node) entry(at, index string, from *node) (string, *node) {
	i, err := strconv.Atoi(index)
	for m := from; err != nil && m != nil; m = m.parent {
		if m.parent == n && n != nil && n.kind == list {
			i, err = m.index, nil
		}
	}
	switch {
	case n != nil && n.kind == object:
		return at, n
	case n != nil && i < len(n.items):
		return at + "[" + strconv.Itoa(i) + "]", n.items[i]
	}
	return at + "[" + strconv.Itoa(i) + "]", nil
}

// job is the job in the message of which the node is a part.
func (n *node) job() *node {
	root := n
	for root.parent != nil {
		root = root.parent
	}
	if m := root.member("job"); root.kind == object && m != nil {
		return m
	}
	return root
}
