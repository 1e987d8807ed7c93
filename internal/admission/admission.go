// Package admission decides. [Decide] takes a [Snapshot] of one persistent
// resource, an [Ask], a [Policy] and the time, and returns a [Decision] with
// its reasons. [MakePlan] does the same for all waiting requests at once. No
// other code admits, queues or refuses a request. Nothing here reads a clock or
// makes a call.
//
// # Order
//
// Waiting requests are ordered by priority, then by a [Key] that is set once, at
// submission. The first request of a shape of machine that does not fit gets a
// [Reservation]: a latest start, computed from the time limits of the jobs that
// run. It never becomes later because of requests that come later. Other requests
// for that shape may start before it only if that does not delay it (backfill).
// Requests that share no shape never wait for each other.
//
// [Decide] joins its request to the queue and makes the same plan. So an arrival
// and the next pass never disagree.
//
// # Bound on waiting
//
// Let N replicas of one shape stay in one pool, all priorities be equal, all limits (with the time
// to start) be at most L, and let no job run that Berth did not admit. T is a request's
// key plus [PlanPolicy.Patience], and A the replicas at T of the requests before it in
// order, of the standing reservation, and its own. Then it starts by T + L (1 + 4 A/N).
//
// From T on the gates of its shape are shut, so no more replicas pass a reservation than
// it has itself. At u + L every job that ran at u has ended. So a reservation that stands
// at u starts by u + L, and with it all that follow in order and fit: a group. The first
// request after a group did not fit beside it and what had passed, so two groups that
// follow each other have more than N/2 replicas. Hence at most 4 A/N groups start before
// the request, L apart.
//
// A shrunk pool, foreign jobs, jobs that run beyond their limits, and requests of a
// higher priority are the exceptions. TestWaitIsBounded of package replay holds random
// streams to it, and fails under first fit.
//
// # Classes
//
// The queue of a resource is stored as classes of similar requests ([Queue]), of
// which only the first few are known. So a plan costs the same, however many
// requests wait.
//
// # Never and not now
//
// "Can never fit" is a final refusal, so only a RUNNING resource with a recent
// observation gives it. Persistent resources are often deleted and recreated
// under the same name, so a request waits for anything that may differ after
// that.
package admission

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// States of a persistent resource that the decision tells apart: jobs start
// only in RUNNING; ABSENT is the ledger's word for a resource that Vertex AI
// does not have.
const (
	running = "RUNNING"
	absent  = "ABSENT"
)

// Unknown is the reason to refuse a request for a persistent resource that
// Vertex AI does not have and that was never observed.
func Unknown(paths message.Paths) *reason.Problem {
	return &reason.Problem{Code: reason.UnknownResource, Path: paths.At("persistentResource"),
		Detail: "Vertex AI has no persistent resource of this name, and Berth never observed one.",
		Fix:    "Check the name, the project and the region."}
}

// A Snapshot is what one ledger update read of a persistent resource.
type Snapshot struct {
	Now        time.Time
	State      string    // "RUNNING", "REBOOTING", ...; "ABSENT" if it was deleted; empty before the first observation
	ObservedAt time.Time // when Vertex AI was asked
	Known      bool      // it exists, or existed at an earlier observation

	Pools         []capacity.Pool
	Network       string
	EncryptionKey string
	CustomAccount bool // jobs must bring a service account
	Ray           bool // it is a Ray cluster

	Use       capacity.Use // holds, foreign use, unexplained use
	Holds     int
	NoRoom    bool      // the resource document has no room for another hold
	NotBefore time.Time // after a decline by Vertex AI

	// Held returns the jobs that have replicas. It is called only where the
	// decision needs a plan: there may be thousands.
	Held     func() []Held
	Queue    Queue
	Reserved []Reservation
}

func (s *Snapshot) plan() PlanSnapshot {
	p := PlanSnapshot{Now: s.Now, Pools: s.Pools, Use: s.Use, Queue: s.Queue, Reserved: s.Reserved}
	if s.Held != nil {
		p.Held = s.Held()
	}
	return p
}

// Starts reports whether anything may start on the resource now, whatever fits. It
// is false also while Vertex AI has just declined a job.
func (s *Snapshot) Starts(p Policy) bool {
	return s.State == running && s.fresh(p) && !s.Now.Before(s.NotBefore) && s.Holds < p.MaxHolds && !s.NoRoom
}

func (s *Snapshot) fresh(p Policy) bool { return !s.ObservedAt.Before(s.Now.Add(-p.MaxAge)) }

// An Ask is the part of a request that the decision depends on.
type Ask struct {
	Head           // its place in the order, and what it needs
	Tenant         string
	Class          ClassID // the class that it waits in; "" if it is in no queue
	Network        string
	EncryptionKey  string
	ServiceAccount string
	UnsetDisks     []int // worker pools with the deployment's default disk type
	OnFull         message.OnFull
	// Waiting says that the request is in the queue already. ContradictedSince
	// is since when no pool could ever fit it; zero if one can.
	Waiting           bool
	ContradictedSince time.Time
	// Paths says how the request's message writes the fields that reasons name.
	Paths message.Paths
}

// A Policy holds the settings of a deployment for decisions.
type Policy struct {
	MaxAge      time.Duration // an older observation admits nothing
	MaxHolds    int           // holds per persistent resource
	RefuseAfter time.Duration // how long a waiting request must be contradicted before it is refused
	// AllowAccounts lets jobs name a service account on a persistent resource
	// made without enableCustomServiceAccount. It is not documented whether
	// Vertex AI refuses them, or runs them under that account or its own agent.
	AllowAccounts bool
	// AllowRay lets jobs start on a persistent resource that is a Ray cluster.
	AllowRay bool
	// MaxLimit is the longest time limit that the deployment takes; 0 if there is none.
	MaxLimit time.Duration
	Plan     PlanPolicy
}

// A Verdict says what happens to the request.
type Verdict string

const (
	Admit  Verdict = "ADMIT"
	Wait   Verdict = "WAIT"
	Refuse Verdict = "REFUSE"
)

// A Decision is a verdict with everything that explains it.
type Decision struct {
	Verdict Verdict
	// Reason is the reason for a wait or a refusal; nil for Admit.
	Reason *reason.Problem
	// Fit is the arithmetic per shape, for every verdict.
	Fit     []capacity.Finding
	ScaleUp bool // the autoscaler has to add machines first
	Ahead   int  // waiting requests for one of its shapes that may come before it in order
	// StartsBy is the latest start of a request that has a reservation; zero
	// without one, or while it is not known.
	StartsBy time.Time
	// Late says that StartsBy is later than promised. The reason says why.
	Late bool
	// By is when an admitted request's job must be running at the latest; zero
	// for the ordinary timeout. See [Start].
	By time.Time
	// Plan is the plan that the verdict comes from; nil if the verdict needs none.
	Plan *Plan
	// Contradicted says that a RUNNING resource shows that the request can never
	// fit. A waiting request is refused if that lasts for [Policy.RefuseAfter].
	Contradicted bool
}

// Decide returns the verdict for one request.
func Decide(s Snapshot, a Ask, p Policy) Decision { return decide(s, a, p, nil) }

// DecideStart returns the verdict for a request that a plan of this snapshot, or
// of one before other starts of the plan, starts now. The verdict is not Admit if
// the request has an obstacle that the plan does not know.
func DecideStart(s Snapshot, a Ask, p Policy, start Start) Decision { return decide(s, a, p, &start) }

func decide(s Snapshot, a Ask, p Policy, start *Start) Decision {
	fit := capacity.Check(s.Pools, s.Use, a.Demand)
	unsetDisks(fit.Findings, a.UnsetDisks)
	address(fit.Findings, a.Paths)
	d := Decision{Verdict: Admit, Fit: fit.Findings, ScaleUp: fit.ScaleUp}
	d.Ahead = s.Queue.Ahead(a.Order, shapesOf(a.Demand), a.Class)
	fresh := s.fresh(p)

	if s.State == absent && !s.Known {
		d.Verdict, d.Reason = Refuse, Unknown(a.Paths)
		return d
	}
	if s.State == running && fresh {
		if never := contradiction(s, a, p, fit); never != nil {
			d.Contradicted, d.Reason = true, never
			if a.Waiting && (a.ContradictedSince.IsZero() || s.Now.Before(a.ContradictedSince.Add(p.RefuseAfter))) {
				d.Verdict = Wait
			} else {
				d.Verdict = Refuse
			}
			return d
		}
	}
	d.Reason = obstacle(s, p, fresh)
	switch {
	case d.Reason != nil:
	case start != nil && fit.Verdict == capacity.Fits:
		d.By = start.By
	default:
		d.planned(s, a, p, fit)
	}
	if d.Reason != nil {
		d.Verdict = Wait
		if a.OnFull == message.Reject && !a.Waiting {
			d.Verdict = Refuse
			d.Plan = nil // it does not wait, so it reserves nothing
			d.Reason.Fix = fmt.Sprintf("Send it again later under a new id, or without %s, so that it waits.", a.Paths.At("onFull"))
		}
	}
	return d
}

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
	if !sameName(a.Network, s.Network) {
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
				p.Detail = fmt.Sprintf("%d replicas of %s are asked for, and the replicas of one worker pool must fit into one pool; pools %s have room for %d only together, when nothing else runs.",
					f.Asked, f.Shape, strings.Join(f.Pools, ", "), f.Limit)
			default:
				p.Detail = fmt.Sprintf("%d replicas of %s are asked for; pool %s has room for %d when nothing else runs.",
					f.Asked, f.Shape, strings.Join(f.Pools, ", "), f.Limit)
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
		list = append(list, fmt.Sprintf("and %d pools more", n))
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

// sameName compares two VPC names. Vertex AI writes a project's number where
// users write its id, and only a call could tell whether they are the same. So
// names that differ only in number and id count as the same, and Vertex AI
// decides.
func sameName(a, b string) bool {
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

// obstacle returns the reason why no request starts on the resource now, the most
// lasting one first; nil if there is none.
func obstacle(s Snapshot, p Policy, fresh bool) *reason.Problem {
	wait := func(code reason.Code, format string, args ...any) *reason.Problem {
		return &reason.Problem{Code: code, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case s.State == absent:
		return wait(reason.ResourceGone, "The persistent resource has been deleted; the request waits for one of the same name.")
	case s.State == "":
		return wait(reason.ObservationTooOld, "Vertex AI could not be asked about the persistent resource yet.")
	case s.State != running:
		return wait(reason.ResourceNotReady, "The persistent resource is %s; jobs start only while it is RUNNING.", s.State)
	case !fresh:
		return wait(reason.ObservationTooOld, "Vertex AI was last asked about the persistent resource %s ago; the limit is %s.",
			s.Now.Sub(s.ObservedAt).Round(time.Second), p.MaxAge)
	case s.Now.Before(s.NotBefore):
		return wait(reason.BackingOff, "Vertex AI declined a job here; nothing is submitted before %s.", s.NotBefore.UTC().Format(time.RFC3339))
	case s.Holds >= p.MaxHolds || s.NoRoom:
		return wait(reason.HoldLimit, "%d jobs hold machines of this persistent resource, the most that Berth can record.", s.Holds)
	}
	return nil
}
