package ledger

import (
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/usage"
)

// Clone returns a copy that shares no memory with the original.
func (r *Resource) Clone() *Resource { return copier{}.resource(r) }

// Clone returns a copy that shares no memory with the original.
func (r *Record) Clone() *Record { return copier{}.record(r) }

func clone(doc Document) Document { return copier{}.document(doc) }

// Normal returns a copy as it reads back from any ledger: times in UTC and cut
// to microseconds, an empty list or map nil, and the parts of an outbox event's
// outcome that the outbox event itself carries (event id, type, time) zero. Ledgers
// put documents through it, so that none of them keeps what another would lose.
func Normal[D Document](doc D) D { return copier{normal: true}.document(doc).(D) }

func (r *Resource) copied(c copier) Document { return c.resource(r) }
func (r *Record) copied(c copier) Document   { return c.record(r) }

// A copier copies documents deeply, and brings them into their normal form on
// the way if asked to. For documents that are read often it is written by hand; tests
// hold it equal to the copy by reflection ([deepCopy]), which serves all others.
type copier struct{ normal bool }

func (c copier) document(doc Document) Document {
	if d, has := doc.(interface{ copied(copier) Document }); has {
		return d.copied(c)
	}
	return deepCopy(doc, c.normal)
}

func (c copier) resource(r *Resource) *Resource {
	if r == nil {
		return nil
	}
	n := *r
	n.use = nil
	n.CreateTime = c.time(r.CreateTime)
	n.Pools = list(c, r.Pools, nil)
	n.ObservedAt = c.time(r.ObservedAt)
	n.SteadySince = c.time(r.SteadySince)
	n.Holds = dict(c, r.Holds, func(h Hold) Hold {
		h.Ask = list(c, h.Ask, nil)
		h.LatestEnd = c.time(h.LatestEnd)
		return h
	})
	n.Foreign = list(c, r.Foreign, func(f Foreign) Foreign {
		f.Ask, f.LatestEnd = list(c, f.Ask, nil), c.time(f.LatestEnd)
		return f
	})
	n.ForeignRest = dict(c, r.ForeignRest, nil)
	n.Unexplained = dict(c, r.Unexplained, nil)
	n.Suspected = dict(c, r.Suspected, nil)
	n.Overdrawn = dict(c, r.Overdrawn, nil)
	n.Allowance.Until = c.time(r.Allowance.Until)
	n.Notice = pointer(r.Notice, nil)
	n.Paused, n.PausedPools = pointer(r.Paused, c.pause), dict(c, r.PausedPools, c.pause)
	n.NotBefore, n.AcceptedAt = c.time(r.NotBefore), c.time(r.AcceptedAt)
	n.Skipped = dict(c, r.Skipped, nil)
	n.Recheck = dict(c, r.Recheck, nil)
	n.Reannounce = dict(c, r.Reannounce, nil)
	n.Queue = dict(c, r.Queue, func(class admission.Class) admission.Class {
		class.Heads = list(c, class.Heads, c.head)
		return class
	})
	n.Ended = list(c, r.Ended, func(e Ended) Ended {
		e.At = c.time(e.At)
		return e
	})
	n.LearnedAt = c.time(r.LearnedAt)
	n.Used = dict(c, r.Used, func(u admission.Used) admission.Used {
		u.At = c.time(u.At)
		return u
	})
	n.Usage.Observed = list(c, r.Usage.Observed, nil)
	n.Usage.Shapes = list(c, r.Usage.Shapes, func(s usage.Series) usage.Series {
		s.Buckets = list(c, s.Buckets, nil)
		return s
	})
	n.Reserved = list(c, r.Reserved, func(o admission.Reservation) admission.Reservation {
		o.Head, o.At, o.Since, o.Announced = c.head(o.Head), c.time(o.At), c.time(o.Since), c.time(o.Announced)
		o.Shapes, o.Delays = list(c, o.Shapes, nil), list(c, o.Delays, nil)
		return o
	})
	return &n
}

func operation(o message.Operation) message.Operation {
	o.Priority, o.FormerPriority = pointer(o.Priority, nil), pointer(o.FormerPriority, nil)
	return o
}

func (c copier) pause(p admission.Pause) admission.Pause {
	p.Since, p.EmptyAt = c.time(p.Since), c.time(p.EmptyAt)
	return p
}

func (c copier) head(h admission.Head) admission.Head {
	h.Key, h.Demand = c.time(h.Key), list(c, h.Demand, nil)
	return h
}

func (c copier) record(r *Record) *Record {
	if r == nil {
		return nil
	}
	n := *r
	n.Labels = dict(c, r.Labels, nil)
	n.Ask = list(c, r.Ask, nil)
	n.UnsetDisks = list(c, r.UnsetDisks, nil)
	n.Warnings = list(c, r.Warnings, nil)
	n.Paths.Pools = list(c, r.Paths.Pools, nil)
	n.Paths.Names = dict(c, r.Paths.Names, nil)
	n.ActUntil = c.time(r.ActUntil)
	n.UnclearUntil = c.time(r.UnclearUntil)
	n.LeasedAt, n.DeniedAt = c.time(r.LeasedAt), c.time(r.DeniedAt)
	n.PastRuns = list(c, r.PastRuns, nil)
	n.Cancels = list(c, r.Cancels, nil)
	n.Why = pointer(r.Why, nil)
	n.Fit = list(c, r.Fit, c.finding)
	n.ContradictedSince, n.RetryAt = c.time(r.ContradictedSince), c.time(r.RetryAt)
	n.Declined.Last = c.time(r.Declined.Last)
	n.JobError = pointer(r.JobError, nil)
	n.Times = c.times(r.Times)
	n.TimerAt, n.StartsBy, n.StartBy = c.time(r.TimerAt), c.time(r.StartsBy), c.time(r.StartBy)
	n.Outbox = list(c, r.Outbox, func(l OutboxEvent) OutboxEvent {
		l.Time = c.time(l.Time)
		l.Outcome = c.outcome(l.Outcome)
		return l
	})
	n.ExpireAt = c.time(r.ExpireAt)
	return &n
}

func (c copier) outcome(o message.Outcome) message.Outcome {
	if c.normal {
		o.EventID, o.Type, o.Time, o.Trace = "", "", time.Time{}, ""
	}
	o.Labels = dict(c, o.Labels, nil)
	o.Reason = pointer(o.Reason, nil)
	o.Problems = list(c, o.Problems, nil)
	o.Warnings = list(c, o.Warnings, nil)
	o.Fit = list(c, o.Fit, c.finding)
	o.Ahead, o.StartsBy = pointer(o.Ahead, nil), c.time(o.StartsBy)
	o.Bound = c.time(o.Bound)
	o.ObservedAt = pointer(o.ObservedAt, c.time)
	o.JobError, o.Operator = pointer(o.JobError, nil), pointer(o.Operator, operation)
	o.CancelUntil = c.time(o.CancelUntil)
	o.Times = c.times(o.Times)
	return o
}

func (c copier) finding(f capacity.Finding) capacity.Finding {
	f.WorkerPools = list(c, f.WorkerPools, nil)
	f.Pools = list(c, f.Pools, nil)
	f.Nearest = list(c, f.Nearest, func(d capacity.PoolDiff) capacity.PoolDiff {
		d.Fields = list(c, d.Fields, nil)
		return d
	})
	f.Edits = list(c, f.Edits, nil)
	return f
}

func (c copier) times(t message.Times) message.Times {
	t.Published = c.time(t.Published)
	t.Received = c.time(t.Received)
	t.Queued = c.time(t.Queued)
	t.Reserved = c.time(t.Reserved)
	t.Submitted = c.time(t.Submitted)
	t.Started = c.time(t.Started)
	t.Ended = c.time(t.Ended)
	t.JobStarted = c.time(t.JobStarted)
	t.JobEnded = c.time(t.JobEnded)
	return t
}

func (c copier) time(t time.Time) time.Time {
	switch {
	case !c.normal:
		return t
	case t.IsZero():
		return time.Time{}
	}
	return t.UTC().Truncate(time.Microsecond)
}

// list copies a slice; element copies what an element points to, nil for
// nothing.
func list[S ~[]E, E any](c copier, s S, element func(E) E) S {
	if c.normal && len(s) == 0 {
		return nil
	}
	n := slices.Clone(s)
	if element != nil {
		for i := range n {
			n[i] = element(n[i])
		}
	}
	return n
}

func dict[M ~map[K]V, K comparable, V any](c copier, m M, value func(V) V) M {
	if c.normal && len(m) == 0 {
		return nil
	}
	n := maps.Clone(m)
	if value != nil {
		for k, v := range n {
			n[k] = value(v)
		}
	}
	return n
}

func pointer[T any](p *T, value func(T) T) *T {
	if p == nil {
		return nil
	}
	n := *p
	if value != nil {
		n = value(n)
	}
	return &n
}
