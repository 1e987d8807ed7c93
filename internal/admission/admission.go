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

	Use    capacity.Use // holds, foreign use, unexplained use
	Holds  int
	Paused *Pause // by an operator; nil if it is not
	// PausedPools are the pools that operators have paused, by id.
	PausedPools map[string]Pause
	NoRoom      bool      // the resource document has no room for another hold
	NotBefore   time.Time // after a decline by Vertex AI

	// Held returns the jobs that have replicas. It is called only where the
	// decision needs a plan: there may be thousands.
	Held     func() []Held
	Queue    Queue
	Reserved []Reservation
}

func (s *Snapshot) plan() PlanSnapshot {
	p := PlanSnapshot{Now: s.Now, Pools: s.Pools, Use: s.Use, Paused: PausedUse(s.Pools, s.PausedPools), Queue: s.Queue, Reserved: s.Reserved}
	if s.Held != nil {
		p.Held = s.Held()
	}
	return p
}

// Starts reports whether anything may start on the resource now, whatever fits. It
// is false also while Vertex AI has just declined a job, and while it is paused.
func (s *Snapshot) Starts(p Policy) bool {
	return s.Paused == nil && s.State == running && s.fresh(p) && !s.Now.Before(s.NotBefore) && s.Holds < p.MaxHolds && !s.NoRoom
}

func (s *Snapshot) fresh(p Policy) bool { return !s.ObservedAt.Before(s.Now.Add(-p.MaxAge)) }

// An Ask is the part of a request that the decision depends on.
type Ask struct {
	Head                   // its place in the order, and what it needs
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
	fit := capacity.Check(s.Pools, s.taken(), a.Demand)
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
	quota := p.Plan.Quotas.Of(a.Tenant)
	if why := quota.never(a); why != nil {
		d.Verdict, d.Reason = Refuse, why
		if a.Waiting { // the policy is another one since it came, and may be another one again
			d.Verdict = Wait
		}
		return d
	}
	if d.Reason = p.Plan.tenantPaused(a.Tenant); d.Reason == nil {
		d.Reason = obstacle(s, p, fresh)
	}
	switch {
	case d.Reason != nil:
	case start != nil && fit.Verdict == capacity.Fits:
		d.By = start.By
	default:
		d.planned(s, a, p, fit)
	}
	if d.Reason != nil {
		d.Verdict = Wait
		if !a.Waiting {
			d.mayWait(s, a, &quota)
		}
	}
	return d
}

// mayWait refuses a new request that may not wait. Such a request reserves nothing.
func (d *Decision) mayWait(s Snapshot, a Ask, quota *Quota) {
	why := quota.queueFull(s.Queue, a)
	switch {
	case a.OnFull == message.Reject:
		why = d.Reason
		why.Fix = fmt.Sprintf("Send it again later under a new id, or without %s, so that it waits.", a.Paths.At("onFull"))
	case why == nil && !s.Queue.HasRoomFor(a):
		why = tooManyKinds(a.Demand)
	}
	if why != nil {
		d.Verdict, d.Plan, d.Reason = Refuse, nil, why
	}
}

// obstacle returns the reason why no request starts on the resource now, the most
// lasting one first; nil if there is none.
func obstacle(s Snapshot, p Policy, fresh bool) *reason.Problem {
	wait := func(code reason.Code, format string, args ...any) *reason.Problem {
		return &reason.Problem{Code: code, Detail: fmt.Sprintf(format, args...)}
	}
	switch {
	case s.Paused != nil:
		return s.Paused.Problem()
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
		return wait(reason.HoldLimit, "%s %s machines of this persistent resource, the most that Berth can record.",
			reason.Count(s.Holds, "job"), reason.Agree(s.Holds, "holds", "hold"))
	}
	return nil
}
