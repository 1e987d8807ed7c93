package ledger

import (
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/usage"
)

// KindUsage is the kind of [Usage].
const KindUsage Kind = "usage"

// A Usage is the document of one persistent resource: what became of its machines.
// Nothing is decided by it, so one that is lost or cannot be read costs people what it
// says, and no request anything.
type Usage struct {
	Versioned
	Resource string `json:"resource"` // full name
	usage.History
}

// UsageRef names the document of a resource's usage, by the resource's full name.
func UsageRef(resource string) Ref { return Ref{KindUsage, resource} }

// Usages names the documents of usage, by the full names of resources.
func Usages(resources ...string) ReadSet { return refsOf(KindUsage, resources) }

// Ref names the document.
func (u *Usage) Ref() Ref { return UsageRef(u.Resource) }

// AddUsage adds what the document says to what it has of its recent usage, as of the
// observation.
func (r *Resource) AddUsage() { r.Usage.Add(usage.Sample{At: r.ObservedAt, Levels: r.levels()}) }

// levels are what is true of each shape now. An absent resource has no machines.
func (r *Resource) levels() map[capacity.Shape]usage.Level {
	all := map[capacity.Shape]usage.Level{}
	set := func(use capacity.Use, field func(*usage.Level) *capacity.Replicas) {
		for shape, n := range use {
			l := all[shape]
			*field(&l) = field(&l).Plus(n)
			all[shape] = l
		}
	}
	if r.State != Absent {
		for _, p := range r.Pools {
			l := all[p.Shape]
			l.Machines, l.Limit = l.Machines.Plus(p.Count), l.Limit.Plus(p.Limit())
			all[p.Shape] = l
		}
	}
	held := capacity.Use{}
	for _, h := range r.Holds {
		held.Add(h.Ask)
	}
	set(held, func(l *usage.Level) *capacity.Replicas { return &l.Ours })
	set(r.ForeignUse(), func(l *usage.Level) *capacity.Replicas { return &l.Foreign })
	set(r.Unexplained, func(l *usage.Level) *capacity.Replicas { return &l.Unexplained })
	for shape, n := range r.Queue.ByShape() {
		l := all[shape]
		l.Waiting = int(n)
		all[shape] = l
	}
	return all
}
