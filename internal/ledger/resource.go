package ledger

import (
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/pace"
	"example.com/berth/internal/usage"
)

// KindResource is the kind of [Resource].
const KindResource Kind = "resources"

// ResourceRef names the document of a resource by its full name.
func ResourceRef(name string) Ref { return Ref{KindResource, name} }

// Ref names the document.
func (r *Resource) Ref() Ref { return ResourceRef(r.Name) }

// A Resource is the document of one persistent resource.
type Resource struct {
	Versioned
	Name string `json:"name"` // projects/P/locations/L/persistentResources/ID, with the configured project id

	// What Vertex AI said at the last observation.
	State         string          `json:"state"`               // PersistentResource.State in words; Absent when Vertex AI does not know it
	CreateTime    time.Time       `json:"createTime,omitzero"` // with the name, the resource's identity: a resource made anew has another
	Pools         []capacity.Pool `json:"pools"`
	Network       string          `json:"network,omitempty"`
	EncryptionKey string          `json:"encryptionKey,omitempty"`
	CustomAccount bool            `json:"customAccount,omitempty"` // jobs must bring a service account
	Ray           bool            `json:"ray,omitempty"`           // it is a Ray cluster
	ObservedAt    time.Time       `json:"observedAt"`              // when Vertex AI was asked, or earlier; by the ledger's clock

	// SteadySince is when it was first observed RUNNING and with the pools that it
	// has, as in every observation since; zero while it is not.
	SteadySince time.Time `json:"steadySince,omitzero"`

	// Holds are the replicas of our reservations, by request. A hold is there
	// exactly while its reservation is in a state that holds. It does not record the
	// state (except Pending), so most state changes do not write this document.
	Holds map[message.Key]Hold `json:"holds,omitempty"`
	// Foreign are live jobs on the resource that no reservation names, the first
	// [MaxForeign] of them. ForeignJobs counts all, and ForeignRest is what those
	// beyond the first take together.
	Foreign     []Foreign    `json:"foreign,omitempty"`
	ForeignJobs int          `json:"foreignJobs,omitempty"`
	ForeignRest capacity.Use `json:"foreignRest,omitempty"`
	// Unexplained are machines that Vertex AI reports as used beyond all listed
	// jobs. Suspected are those of one observation: they become Unexplained when the
	// next shows them with no move between.
	Unexplained  capacity.Use `json:"unexplained,omitempty"`
	Suspected    capacity.Use `json:"suspected,omitempty"`
	SuspectedFor int64        `json:"suspectedFor,omitempty"` // Version at which Suspected was seen
	// Overdrawn is by how much use exceeds the pools, for people to read; decisions
	// compute it anew.
	Overdrawn capacity.Use `json:"overdrawn,omitempty"`

	// Allowance is submissions that may be made without writing the [Budget].
	Allowance pace.Allowance `json:"allowance,omitzero"`

	// Notice is set while events to waiting requests are due: that the resource has
	// been deleted, is in error or is paused, or no longer is.
	Notice *Notice `json:"notice,omitempty"`

	// Paused is set while an operator lets nothing start.
	Paused *admission.Pause `json:"paused,omitempty"`
	// ToldPauses is the version of [Pauses] that the waiting requests were told of.
	ToldPauses int64 `json:"toldPauses,omitempty"`
	// PausedPools are the pools, by id, on whose machines operators let nothing start.
	PausedPools map[string]admission.Pause `json:"pausedPools,omitempty"`
	// NotBefore stops admissions for a while after Vertex AI declined a job.
	NotBefore time.Time `json:"notBefore,omitzero"`
	Declines  int       `json:"declines,omitempty"` // in a row
	// AcceptedAt is when Vertex AI created the youngest job of ours that was seen
	// here, by its clock.
	AcceptedAt time.Time `json:"acceptedAt,omitzero"`

	// Queue is the waiting requests by class.
	Queue admission.Queue `json:"queue,omitempty"`
	// Reserved are the waiting requests that have a latest start, in the order of
	// the plan that made them.
	Reserved []admission.Reservation `json:"reserved,omitempty"`

	// Reannounce are waiting requests whose publishers were told a latest start, and that
	// have no reservation any more.
	Reannounce map[message.Key]bool `json:"reannounce,omitempty"`

	// Skipped are waiting requests that are counted in their queues and whose record
	// could not be read. No request waits for them.
	Skipped map[message.Key]bool `json:"skipped,omitempty"`
	// Recheck are the parked requests to be decided again because what Vertex AI
	// says of the resource has changed since they were parked: by queue of parked
	// requests ([Parked], [ParkedIn]), the order key up to which that is done.
	Recheck map[string]string `json:"recheck,omitempty"`
	// Restarts counts how often a walk through the requests of the resource began anew
	// (Recheck, Notice). An instance that read requests for a walk before it began anew
	// must not say how far the new one has got: it knows nothing of requests that came
	// meanwhile.
	Restarts int64 `json:"restarts,omitempty"`
	// HasParked says that requests have been parked since there were last none.
	// Without it every pass would query for them.
	HasParked bool `json:"hasParked,omitempty"`

	// Ended are jobs that have ended and that no [History] has learned from yet, oldest
	// first: at most [MaxEnded]. The move that ends a job adds it here, and the update
	// that adds it to a history takes it out, so no job is learned twice.
	Ended []Ended `json:"ended,omitempty"`
	// LearnedAt is when jobs of this resource were last added to a history; zero for
	// never. Without it no request reads a history.
	LearnedAt time.Time `json:"learnedAt,omitzero"`

	// Used is what tenants have used of late, by tenant; nil without shares.
	Used map[string]admission.Used `json:"used,omitempty"`

	// Usage is what observations have found of the use of the machines and no [Usage]
	// document has yet.
	Usage usage.Recent `json:"usage,omitzero"`

	// use caches Use, nil when it is not known: summing a thousand holds for each of a
	// hundred decisions was most of a commit's time. It is never stored.
	use capacity.Use

	// Version counts the moves that queue, unqueue, take or give. A query result
	// is complete only if the version read before it still stands.
	Version int64 `json:"version"`
}

// A Notice is how far events about a resource's state have been written to its
// waiting requests: up to an order key.
type Notice struct {
	After string `json:"after,omitempty"`
}

// Absent is the State of a resource that Vertex AI does not know (any more).
const Absent = "ABSENT"

// MaxHolds is how many holds one resource can have: the document is limited to
// 1 MiB. [Resource.HasRoom] bounds it by bytes.
const MaxHolds = 2000

// A Hold is what one reservation has taken.
type Hold struct {
	Ask    capacity.Ask `json:"ask"`
	Tenant string       `json:"tenant"`
	Run    string       `json:"run"` // label of the job at Vertex AI
	// Job is the job that the reservation names, once an observation has found it
	// live. A late create or a forger can put a run label on a second job, so a listed
	// job counts as the hold's only by its name.
	Job string `json:"job,omitempty"`
	// Ran says that the job has been observed running. Its record need not be read
	// again until the job is no longer listed.
	Ran bool `json:"ran,omitempty"`
	// Pending says that the reservation waits for a submission slot.
	Pending   bool      `json:"pending,omitempty"`
	LatestEnd time.Time `json:"latestEnd,omitzero"` // start at the latest plus the job's own time limit; zero when it has none
	// Overstays says that the job was observed live well after its LatestEnd.
	Overstays bool `json:"overstays,omitempty"`
}

// A Foreign is a live job that no reservation of ours names.
type Foreign struct {
	Job string       `json:"job"` // full name
	Ask capacity.Ask `json:"ask"`
	// LatestEnd is its start plus its own time limit; zero if that is not known.
	LatestEnd time.Time `json:"latestEnd,omitzero"`
}

// Use is everything that is taken: holds, foreign use and unexplained use. Call
// Recompute after a change of one of these by other means than Hold and Release.
func (r *Resource) Use() capacity.Use {
	if r.use == nil {
		return r.sum() // not cached: readers may share the document
	}
	return maps.Clone(r.use)
}

func (r *Resource) sum() capacity.Use {
	use := capacity.Use{}
	for _, h := range r.Holds {
		use.Add(h.Ask)
	}
	for _, f := range r.Foreign {
		use.Add(f.Ask)
	}
	for s, n := range r.ForeignRest {
		use[s] = use[s].Plus(n)
	}
	for s, n := range r.Unexplained {
		use[s] = use[s].Plus(n)
	}
	return use
}

// Recompute computes anew what follows from the rest. Call it after any change to
// pools, holds or foreign use.
func (r *Resource) Recompute() {
	r.use = r.sum()
	r.Overdrawn = capacity.Overdrawn(r.Pools, r.use)
}

// Join puts a record into the queue. The record has to be Waiting; one that is
// parked is in no class, so only Version changes.
func (r *Resource) Join(rec *Record) {
	if r.use == nil {
		r.use = r.sum() // others will be decided on this very document
	}
	rec.Class = ""
	if !rec.Parked {
		if r.Queue == nil {
			r.Queue = admission.Queue{}
		}
		rec.Class = r.Queue.ClassFor(rec.Head())
		r.Queue[rec.Class] = r.Queue[rec.Class].With(rec.Class.Stored([]admission.Head{rec.Head()})[0], admission.MaxHeads)
	}
	r.Version++
}

// Leave takes a record out of the queue, and out of the reservations. Call it while
// the record is still Waiting.
func (r *Resource) Leave(rec *Record) {
	delete(r.Skipped, rec.Key)
	delete(r.Reannounce, rec.Key)
	r.unreserve(rec.Key)
	if class, ok := r.Queue[rec.Class]; ok {
		if class, ok = class.Without(rec.Order); ok {
			r.setClass(rec.Class, class)
		}
	}
	rec.Class = ""
	r.Version++
}

func (r *Resource) setClass(id admission.ClassID, class admission.Class) {
	if class.Count <= 0 {
		delete(r.Queue, id)
		return
	}
	r.Queue[id] = class
}

// Reserve replaces the reservations by those of a plan, after the requests that the plan
// starts have left. One that was told a latest start and loses its reservation has to be
// told.
func (r *Resource) Reserve(list []admission.Reservation) {
	for _, o := range r.Reserved {
		if !o.Announced.IsZero() && !slices.ContainsFunc(list, func(n admission.Reservation) bool { return n.ID == o.ID }) {
			if r.Reannounce == nil {
				r.Reannounce = map[message.Key]bool{}
			}
			r.Reannounce[o.ID] = true
		}
	}
	r.Reserved = list
}

// Announced records the latest start that the publisher of a waiting request was told, zero
// for none.
func (r *Resource) Announced(key message.Key, at time.Time) {
	delete(r.Reannounce, key)
	if i := slices.IndexFunc(r.Reserved, func(o admission.Reservation) bool { return o.ID == key }); i >= 0 {
		r.Reserved = slices.Clone(r.Reserved)
		r.Reserved[i].Announced = at
	}
}

func (r *Resource) unreserve(key message.Key) {
	if slices.ContainsFunc(r.Reserved, func(o admission.Reservation) bool { return o.ID == key }) {
		r.Reserved = slices.DeleteFunc(slices.Clone(r.Reserved), func(o admission.Reservation) bool { return o.ID == key })
	}
}

// Strike takes a key out of the known heads of every class and out of the
// reservations, whatever its record says: the fix for a queue that disagrees with
// the records.
func (r *Resource) Strike(key message.Key) {
	r.unreserve(key)
	delete(r.Reannounce, key)
	for id, class := range r.Queue {
		kept := slices.DeleteFunc(slices.Clone(class.Heads), func(h admission.Head) bool { return h.ID == key })
		class.Count -= len(class.Heads) - len(kept)
		class.Heads = kept
		r.setClass(id, class)
	}
	r.Version++
}

// Skip records that the record of a waiting request cannot be read.
func (r *Resource) Skip(key message.Key) {
	if r.Skipped == nil {
		r.Skipped = map[message.Key]bool{}
	}
	r.Skipped[key] = true
	r.unreserve(key)
	r.Version++
}

// Unskip undoes Skip.
func (r *Resource) Unskip(key message.Key) {
	delete(r.Skipped, key)
	r.Version++
}

// Readable returns the heads without those that are skipped.
func (r *Resource) Readable(heads []admission.Head) []admission.Head {
	if len(r.Skipped) == 0 {
		return heads
	}
	return slices.DeleteFunc(slices.Clone(heads), func(h admission.Head) bool { return r.Skipped[h.ID] })
}

// Refill replaces the heads of a class by the result of a query that was
// complete at version. They may be more than are kept: a put cuts them down.
func (r *Resource) Refill(id admission.ClassID, heads []admission.Head, version int64) bool {
	class, ok := r.Queue[id]
	if !ok || r.Version != version {
		return false
	}
	class.Heads = id.Stored(slices.Clone(heads))
	r.Queue[id] = class
	return true
}

// Trim cuts the heads down to those that are kept: fewer in a document that is
// nearly full.
func (r *Resource) Trim() {
	keep := admission.MaxHeads
	if n := len(r.Queue); n > 0 && (n > fewClasses || len(r.Holds) >= MaxHolds/8) {
		keep = max(1, min(keep, (MaxDocument-roomNeeded-r.weight(0))/(headWeight*n)))
	}
	for id, class := range r.Queue {
		if len(class.Heads) > keep {
			class.Heads = class.Heads[:keep]
			r.Queue[id] = class
		}
	}
}

// Hold takes the replicas of a record whose reservation now holds them.
func (r *Resource) Hold(rec *Record, latestEnd time.Time) {
	if r.Holds == nil {
		r.Holds = map[message.Key]Hold{}
	}
	if _, again := r.Holds[rec.Key]; again || r.use == nil {
		delete(r.Holds, rec.Key)
		r.use = r.sum()
	}
	r.Holds[rec.Key] = Hold{Ask: rec.Ask, Tenant: rec.Tenant, Run: rec.Run, Pending: rec.State == lifecycle.Reserved, LatestEnd: latestEnd}
	r.Version++
	r.use.Add(rec.Ask)
	r.Overdrawn = capacity.Overdrawn(r.Pools, r.use)
}

// SetPending records whether a reservation waits for a submission slot.
func (r *Resource) SetPending(key message.Key, pending bool, latestEnd time.Time) {
	if h, ok := r.Holds[key]; ok && h.Pending != pending {
		h.Pending, h.LatestEnd = pending, latestEnd
		r.Holds[key] = h
		r.Version++
	}
}

// SawRun records that the job of a run was observed running, and when it ends at the
// latest by that; zero if its time limit is not known. No reservation counts with a
// later end from then on.
func (r *Resource) SawRun(key message.Key, run string, latestEnd time.Time) {
	if h, ok := r.Holds[key]; ok && h.Run == run && !h.Ran {
		h.Ran = true
		if !latestEnd.IsZero() && latestEnd.Before(h.LatestEnd) {
			h.LatestEnd = latestEnd
		}
		r.Holds[key] = h
		r.Version++
	}
}

// overstayGrace is how long after its latest end a job is not yet said to overstay:
// Vertex AI takes some time to end a job, and Berth to observe it.
const overstayGrace = 5 * time.Minute

// Overstay marks the hold of a job that is live at a moment well after its latest end. It
// reports whether the hold was not marked yet.
func (r *Resource) Overstay(key message.Key, now time.Time) bool {
	h, ok := r.Holds[key]
	if !ok || h.Overstays || h.LatestEnd.IsZero() || !now.After(h.LatestEnd.Add(overstayGrace)) {
		return false
	}
	h.Overstays = true
	r.Holds[key] = h
	return true
}

// Pending is how many reservations wait for a submission slot.
func (r *Resource) Pending() (n int) {
	for _, h := range r.Holds {
		if h.Pending {
			n++
		}
	}
	return n
}

// Release gives the replicas of a request back.
func (r *Resource) Release(key message.Key) {
	delete(r.Holds, key)
	r.Version++
	r.Recompute()
}
