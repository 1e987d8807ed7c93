package policy

import (
	"fmt"
	"maps"
	"strconv"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/strict"
)

// Bounds of the numbers of a policy.
const (
	maxCount   = 1_000_000
	maxWeight  = 1000
	maxShares  = 100                 // of one tenant
	maxTimeout = 90 * 24 * time.Hour // as of a deployment
)

// rules reads what one tenant may do into rules that are those of the defaults so far.
func (p parser) rules(n *strict.Node, r *Rules) {
	if n.Kind == strict.Null {
		return // a tenant that has the defaults: "vision:"
	}
	var priorities, timeouts *strict.Node
	p.object(n, []field{
		{"shares", func(n *strict.Node) { p.shares(n, r) }},
		{"weight", p.fraction(&r.Weight, maxWeight)},
		{"maxRunning", number(p, &r.MaxRunning, 1, maxCount)},
		{"maxWaiting", number(p, &r.MaxWaiting, 1, maxCount)},
		{"submissions", p.fraction(&r.Submissions, 1)},
		{"priorities", func(n *strict.Node) { priorities = n; p.priorities(n, r) }},
		{"timeouts", func(n *strict.Node) {
			timeouts = n
			p.object(n, []field{{"default", p.duration(&r.DefaultTimeout, maxTimeout)}, {"max", p.duration(&r.MaxTimeout, maxTimeout)}})
		}},
		{"maxReplicas", number(p, &r.MaxReplicas, 1, int64(capacity.MaxReplicas))},
		{"maxWait", p.duration(&r.MaxWait, message.LongestWait)},
		{"persistentResources", p.allow(&r.resources, resourceForm)},
		{"serviceAccounts", p.allow(&r.accounts, accountForm)},
		{"images", func(n *strict.Node) {
			p.object(n, []field{{"repositories", p.allow(&r.repositories, repositoryForm)}, {"digestOnly", p.boolean(&r.digestOnly)}})
		}},
		{"networks", p.allow(&r.networks, networkForm)},
		{"outputs", p.allow(&r.outputs, bucketForm)},
		{"packageUris", p.allow(&r.packages, bucketForm)},
		{"env", p.allow(&r.env, envForm)},
		{"webAccess", func(n *strict.Node) {
			allowed := !r.noWebAccess
			p.boolean(&allowed)(n)
			r.noWebAccess = !allowed
		}},
		{"labels", func(n *strict.Node) { p.labels(n, r) }},
		{"rules", func(n *strict.Node) { p.expressions(n, r) }},
	})
	if r.MinPriority > r.MaxPriority {
		p.Add(at(priorities, n), reason.Conflict, fmt.Sprintf("The least priority is %d, above the greatest, %d.", r.MinPriority, r.MaxPriority), "Write min and max so that min is not above max.")
	} else if !p.given(priorities, "default") { // 0 is the priority of a request that names none, as far as it is allowed
		r.Priority = min(max(r.Priority, r.MinPriority), r.MaxPriority)
	} else if r.Priority < r.MinPriority || r.Priority > r.MaxPriority {
		p.Add(priorities.Member("default").Place(), reason.Conflict, fmt.Sprintf("The priority %d of requests that name none is not from %d to %d, which are allowed.", r.Priority, r.MinPriority, r.MaxPriority), "Write one that is allowed.")
	}
	if r.MaxTimeout > 0 && r.DefaultTimeout > r.MaxTimeout {
		p.Add(at(timeouts, n), reason.Conflict, fmt.Sprintf("The time limit of jobs that set none, %s, is above the greatest, %s.", seconds(r.DefaultTimeout), seconds(r.MaxTimeout)), "Write a default that is not above max.")
	}
}

// seconds writes a time as a message does, with its fractions.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s" }

// at is the place of a node, or of what stands around it if there is none.
func at(n, around *strict.Node) strict.Place {
	if n == nil {
		n = around
	}
	return n.Place()
}

func (p parser) given(n *strict.Node, name string) bool {
	return n != nil && n.Kind == strict.Object && n.Member(name) != nil && !n.Member(name).Blank()
}

func (p parser) priorities(n *strict.Node, r *Rules) {
	p.object(n, []field{
		{"min", number(p, &r.MinPriority, -message.MaxPriority, message.MaxPriority)},
		{"max", number(p, &r.MaxPriority, -message.MaxPriority, message.MaxPriority)},
		{"default", number(p, &r.Priority, -message.MaxPriority, message.MaxPriority)},
	})
}

func (p parser) labels(n *strict.Node, r *Rules) {
	key := func(at *strict.Node, key, value string) bool {
		detail, fix := message.LabelProblem(key, value)
		if detail != "" {
			p.At(at, reason.InvalidValue, detail, at.FixHole(fix))
		}
		return detail == ""
	}
	p.object(n, []field{
		{"require", func(n *strict.Node) {
			r.require = nil
			p.list(n, "a list of keys", func(item *strict.Node) {
				if s, ok := p.text(item); ok && key(item, s, "") {
					r.require = append(r.require, s)
				}
			})
			if len(r.require) > message.MaxLabels {
				p.At(n, reason.TooLarge, fmt.Sprintf("A job has at most %d labels.", message.MaxLabels), "Require fewer.")
			}
		}},
		{"add", func(n *strict.Node) {
			if n.Kind != strict.Object {
				p.mistyped(n, "an object of text values")
				return
			}
			add := map[string]string{}
			for _, m := range n.Members {
				if s, ok := p.text(m); ok && key(m, m.Key, s) {
					add[m.Key] = s
				}
			}
			if len(add) > message.MaxLabels {
				p.At(n, reason.TooLarge, fmt.Sprintf("A job has at most %d labels.", message.MaxLabels), "Add fewer.")
			}
			r.add = maps.Clone(add)
		}},
	})
}

var specWord = lazily(`^[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}$`)

func (p parser) shares(n *strict.Node, r *Rules) {
	r.Shares = nil
	type machine struct {
		resource string
		shape    capacity.Shape
	}
	seen := map[machine]bool{}
	p.list(n, "a list of shares", func(item *strict.Node) {
		s := Share{line: item.Line}
		var spec capacity.Spec
		var byName, machineSpec, diskSpec *strict.Node
		word := func(to *string) func(n *strict.Node) {
			return func(n *strict.Node) {
				if s, ok := p.text(n); ok {
					if *to = s; !specWord.MatchString(s) {
						p.At(n, reason.InvalidValue, "Want a short word of letters, digits and . + _ -.", "Write it as the pool of the persistent resource has it.")
					}
				}
			}
		}
		p.object(item, []field{
			{"persistentResource", func(n *strict.Node) {
				if t, ok := p.text(n); ok {
					normal, detail, fix := resourceForm(t)
					if s.Resource = normal; detail != "" {
						p.At(n, reason.InvalidValue, detail, fix)
					}
				}
			}},
			{"shape", func(n *strict.Node) {
				byName = n
				if t, ok := p.text(n); ok {
					shape, err := capacity.ParseShape(t)
					if s.Shape = shape; err != nil || !specWord.MatchString(shape.Spec().MachineType) {
						p.At(n, reason.InvalidValue, "This is not a shape of machine.", "Write it as berth pools prints it, for example \"n1-standard-4/NVIDIA_TESLA_T4:1/pd-ssd:100\".")
					}
				}
			}},
			{"machineSpec", func(n *strict.Node) {
				machineSpec = n
				p.object(n, []field{
					{"machineType", word(&spec.MachineType)},
					{"acceleratorType", func(n *strict.Node) { p.accelerator(n, &spec.Accelerator) }},
					{"acceleratorCount", func(n *strict.Node) {
						var i int
						number(p, &i, 1, 1024)(n)
						spec.AcceleratorCount = int32(i) // #nosec G115 -- at most 1024
					}},
					{"tpuTopology", word(&spec.TPUTopology)},
					{"gpuPartitionSize", word(&spec.GPUPartition)},
				})
			}},
			{"diskSpec", func(n *strict.Node) {
				diskSpec = n
				p.object(n, []field{
					{"bootDiskType", word(&spec.DiskType)},
					{"bootDiskSizeGb", func(n *strict.Node) {
						var i int
						number(p, &i, 100, 64000)(n)
						spec.DiskSizeGB = int32(i) // #nosec G115 -- at most 64000
					}},
				})
			}},
			{"replicas", number(p, &s.Replicas, 0, int64(capacity.MaxReplicas))},
			{"cap", number(p, &s.Cap, 1, int64(capacity.MaxReplicas))},
		})
		if item.Kind != strict.Object || item.Bad {
			return
		}
		for _, name := range []string{"persistentResource", "replicas"} {
			if !p.given(item, name) {
				p.Add(item.Missing(name), reason.MissingField, "The share needs "+name+".", "Add it.")
			}
		}
		switch {
		case byName != nil && (machineSpec != nil || diskSpec != nil):
			p.At(byName, reason.Conflict, "A share has a shape or a machineSpec, not both.", "Leave one of them out.")
		case byName == nil && (machineSpec == nil || spec.MachineType == ""):
			p.Add(item.Missing("shape"), reason.MissingField, "The share does not say of which machines it is.", "Add shape as berth pools prints it, or machineSpec and diskSpec as a job has them.")
		case byName == nil:
			s.Shape = spec.Normal()
		}
		if s.Cap > 0 && s.Cap < s.Replicas {
			p.Add(item.Member("cap").Place(), reason.Conflict, fmt.Sprintf("The cap of %s is below the share of %d.", reason.Count(s.Cap, "replica"), s.Replicas), "Write a cap that is not below replicas.")
		}
		if m := (machine{s.Resource, s.Shape}); !seen[m] {
			seen[m] = s.Resource != "" && s.Shape != capacity.Shape{}
		} else {
			p.At(item, reason.DuplicateField, "The tenant has another share of the same machines.", "Keep one of them.")
		}
		r.Shares = append(r.Shares, s)
	})
	if len(r.Shares) > maxShares {
		p.At(n, reason.TooLarge, fmt.Sprintf("A tenant has at most %d shares.", maxShares), "Leave some of them out.")
	}
}

func (p parser) accelerator(n *strict.Node, to *string) {
	s, ok := p.text(n)
	if !ok {
		return
	}
	if aiplatformpb.AcceleratorType_value[s] == 0 {
		p.At(n, reason.InvalidValue, "Vertex AI has no accelerator of this name.", "Write the name as a job has it, for example NVIDIA_TESLA_T4.")
	}
	*to = s
}
