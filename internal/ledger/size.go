package ledger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
)

// Limits of Firestore (firebase.google.com/docs/firestore/quotas), in bytes. A
// ledger refuses what is larger, with [ErrRefused].
const (
	MaxDocument = 1 << 20
	MaxCommit   = 10 << 20
)

// besideText is about how many bytes a document takes beside its text: its name, and
// the fields that queries use.
const besideText = 1 << 10

// Size is how many bytes a document takes in a ledger.
func Size(doc any) int {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // as documents are stored
	if err := e.Encode(doc); err != nil {
		panic(fmt.Sprintf("ledger: a document does not encode: %v", err))
	}
	return text.Len() + besideText
}

// Weights of small parts, in bytes.
const (
	needWeight        = 110 // field names, numbers, the disk
	problemWeight     = 60
	eventWeight       = 1 << 10
	poolWeight        = 250
	holdWeight        = 320 // with the job's name, which is added later
	foreignWeight     = 170
	usedWeight        = 80
	headWeight        = 420 // of a gang over two shapes
	reservationWeight = 600
	endedWeight       = 170
	pauseWeight       = 160
	usageWeight       = 250 // of a bucket, with its share of the shape
)

// Weight is about how many bytes the record takes in the ledger, rather more
// than less.
func (r *Record) Weight() int {
	n := 2*len(r.Spec) + 4<<10 + weightOfFit(r.Fit) + weightOfProblems(r.Warnings...) + weightOfLabels(r.Labels) + weightOfAsk(r.Ask)
	for _, l := range r.Outbox {
		n += l.weight()
	}
	return n
}

// UnpublishedWeight is about how many bytes the unpublished events take.
func (r *Record) UnpublishedWeight() (n int) {
	for _, l := range r.Outbox {
		if !l.Published {
			n += l.weight()
		}
	}
	return n
}

func (l OutboxEvent) weight() int {
	o := l.Outcome
	n := eventWeight + weightOfFit(o.Fit) + weightOfProblems(o.Warnings...) + weightOfProblems(o.Problems...) + weightOfLabels(o.Labels)
	if o.Reason != nil {
		n += weightOfProblems(*o.Reason)
	}
	if o.JobError != nil {
		n += 2 * len(o.JobError.Message)
	}
	if p := o.Operator; p != nil {
		n += pauseWeight + 2*(len(p.Who)+len(p.Reason))
	}
	return n
}

func weightOfProblems(problems ...reason.Problem) (n int) {
	for _, p := range problems {
		n += problemWeight + 2*(len(p.Code)+len(p.Path)+len(p.Detail)+len(p.Fix))
	}
	return n
}

func weightOfLabels(labels map[string]string) (n int) {
	for k, v := range labels {
		n += 2*(len(k)+len(v)) + 8
	}
	return n
}

func weightOfFit(fit []capacity.Finding) (n int) {
	for _, f := range fit {
		n += 200 + weightOfShape(f.Shape)
		for _, id := range f.Pools {
			n += len(id) + 4
		}
		for _, d := range f.Nearest {
			n += 40 + len(d.Pool)
			for _, x := range d.Fields {
				n += 40 + 2*(len(x.Field)+len(x.Asked)+len(x.Pool))
			}
		}
		for _, e := range f.Edits {
			n += 40 + 2*(len(e.Path)+len(e.From)+len(e.To))
		}
	}
	return n
}

func weightOfShape(shape capacity.Shape) int {
	s := shape.Spec()
	return 2*(len(s.MachineType)+len(s.Accelerator)+len(s.TPUTopology)+len(s.GPUPartition)+len(s.DiskType)) + 30
}

func weightOfAsk(a capacity.Ask) (n int) {
	for _, need := range a {
		s := need.Shape.Spec()
		n += needWeight + len(s.MachineType) + len(s.Accelerator) + len(s.TPUTopology) + len(s.GPUPartition)
	}
	return n
}

// Weight is about how many bytes the document takes in the ledger, rather more
// than less, with all its foreign jobs and the names of the jobs of its holds.
func (r *Resource) Weight() int { return r.weight(admission.MaxHeads) }

// weight is the weight with at most so many heads a class.
func (r *Resource) weight(heads int) int {
	n := 4<<10 + len(r.Pools)*poolWeight + min(len(r.Holds), 1)*MaxForeign*(foreignWeight+needWeight)
	for _, h := range r.Holds {
		n += holdWeight + len(h.Tenant) + len(h.Run) + weightOfAsk(h.Ask)
	}
	for id, class := range r.Queue {
		n += len(id) + 40 + min(heads, len(class.Heads))*headWeight
	}
	for _, e := range r.Ended {
		n += endedWeight + len(e.Tenant)
	}
	if p := r.Paused; p != nil {
		n += pauseWeight + 2*(len(p.Who)+len(p.Reason)) + len(p.Message)
	}
	for id, p := range r.PausedPools {
		n += pauseWeight + 2*(len(id)+len(p.Who)+len(p.Reason))
	}
	n += r.Usage.Rows() * usageWeight
	for tenant := range r.Used {
		n += usedWeight + len(tenant)
	}
	return n + (len(r.Skipped)+len(r.Reannounce))*48 + len(r.Reserved)*reservationWeight
}

// roomNeeded is what a resource document keeps free for what is not admitted:
// foreign jobs, one head of every class, and unexplained use.
const roomNeeded = 160 << 10

// fewClasses is how many classes, with all their heads, always have room.
const fewClasses = 32

// HasRoom reports whether the document has room for the hold of another request.
func (r *Resource) HasRoom() bool {
	if len(r.Holds) < MaxHolds/8 && len(r.Queue) < MaxHolds/8 {
		return true // far from full, so nothing has to be counted
	}
	return r.weight(1) <= MaxDocument-roomNeeded
}

// MaxForeign is how many foreign jobs a resource document lists. Of the others it
// has only the sums.
const MaxForeign = 100

// ClearForeign forgets all foreign jobs.
func (r *Resource) ClearForeign() { r.Foreign, r.ForeignJobs, r.ForeignRest = nil, 0, nil }

// AddForeign adds a live job that no reservation names. Call Recompute after the
// last.
func (r *Resource) AddForeign(job string, ask capacity.Ask, latestEnd time.Time) {
	r.ForeignJobs++
	if len(r.Foreign) < MaxForeign {
		r.Foreign = append(r.Foreign, Foreign{Job: job, Ask: ask, LatestEnd: latestEnd})
		return
	}
	if r.ForeignRest == nil {
		r.ForeignRest = capacity.Use{}
	}
	r.ForeignRest.Add(ask)
}

// ForeignUse is what all foreign jobs take.
func (r *Resource) ForeignUse() capacity.Use {
	use := capacity.Use{}
	for s, n := range r.ForeignRest {
		use[s] = n
	}
	for _, f := range r.Foreign {
		use.Add(f.Ask)
	}
	return use
}
