// Package invariant is Berth's promises as checks over the ledger's documents, the
// jobs at Vertex AI, and the published events.
// The simulator checks them after every step, the chaos run and the doctor at
// the end, and production a sample of them.
//
// There are four kinds:
//
//   - [Check] judges one moment. What it forbids is never true, not even between
//     two calls of one instance.
//   - [Commit] judges one commit by what it read and what it wrote. Only there can
//     it be known whether too much was taken: a pool may shrink afterwards.
//   - [Step] and [Order] judge what changed between two moments.
//   - [Settled] judges a moment of rest: nothing in flight, nothing failing, several
//     passes made. It finds what leaked, was lost, or waits for ever.
//
// The checks share with the code that they judge only the table of moves, the rules of
// fit and the decision. Each of these has a test against a model of its own.
package invariant

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// A Violation names a broken promise, the request or resource that it concerns, and the
// two facts that disagree.
type Violation struct {
	Rule     Rule        `json:"rule"`
	Request  message.Key `json:"request,omitempty"`
	Resource string      `json:"resource,omitempty"`
	This     string      `json:"this"`
	That     string      `json:"that"`
}

func (v Violation) String() string {
	who := string(v.Request)
	if v.Resource != "" {
		who += " on " + v.Resource
	}
	return fmt.Sprintf("%s: %s: %s, but %s", v.Rule, who, v.This, v.That)
}

// A Rule is the name of an invariant.
type Rule string

const (
	OverCommit   Rule = "over-commit"   // a taking commit leaves more in use than there is
	HoldMatches  Rule = "hold-matches"  // a hold exactly where a reservation holds
	OneJob       Rule = "one-job"       // at most one live job per run is named; others of ours end
	TerminalStay Rule = "terminal-stay" // a terminal state never changes
	EventPath    Rule = "event-path"    // a request's events are a path in the table, numbered without a gap, ending once
	EventKept    Rule = "event-kept"    // every outbox event is published or unpublished
	QueueMatches Rule = "queue-matches" // the queues are exactly the waiting requests
	QueueOrder   Rule = "queue-order"   // no request that starts delays a reservation of the same or a higher priority, but for one within its tenant's share
	PromiseKept  Rule = "promise-kept"  // a latest start never becomes later, and one that is not kept has its causes
	QuotaHeld    Rule = "quota-held"    // no tenant holds more than its cap, or by more requests than its quota allows
	PauseKept    Rule = "pause-kept"    // nothing is admitted on a resource that is paused, or gets a submission slot, nor of a tenant one tick after its pause; a resource that is called empty is
	NoStarvation Rule = "no-starvation" // at rest no request waits that fits
	NothingLeft  Rule = "nothing-left"  // at rest nothing is unpublished or in flight, and no job is an orphan
	LearnedOnce  Rule = "learned-once"  // a job that ends teaches how long it ran at most once
	OneActive    Rule = "one-active"    // at most one request of an exclusive concurrency key is active
	TimerIsSet   Rule = "timer-is-set"  // every request that has not ended and does not run has a timer
)

// Rules lists every rule, for the tests that prove that each can fail.
var Rules = []Rule{OverCommit, HoldMatches, OneJob, TerminalStay, EventPath, EventKept, QueueMatches, QueueOrder, PromiseKept, QuotaHeld, PauseKept, NoStarvation, NothingLeft, LearnedOnce, OneActive, TimerIsSet}

// A Picture is the state of the world at one moment.
type Picture struct {
	Now       time.Time
	Records   []*ledger.Record
	Resources []*ledger.Resource
	Histories []*ledger.History
	// Jobs are the jobs at Vertex AI, live and ended; nil if they were not
	// read.
	Jobs []vertex.Job
	// Published are the ids of the events that the outcome topic has; nil if that
	// is not known.
	Published map[string]bool
	// Complete says that Records are all there are. A sample is not.
	Complete bool
}

// Check returns the violations at a moment, in a stable order.
func Check(p Picture) []Violation {
	c := checker{Picture: p, records: map[message.Key]*ledger.Record{}}
	for _, r := range p.Records {
		c.records[r.Key] = r
	}
	for _, r := range p.Records {
		c.record(r)
	}
	for _, res := range p.Resources {
		c.resource(res)
	}
	c.jobs()
	c.concurrency()
	return c.sorted()
}

// concurrency checks that no two active requests have one concurrency key.
func (c *checker) concurrency() {
	active := map[string]*ledger.Record{}
	for _, r := range c.Records {
		if !r.Concurrency.Exclusive() || !r.Active() {
			continue
		}
		name := ledger.ConcurrencyName(r.Tenant, r.Concurrency.Key)
		if other := active[name]; other != nil {
			c.add(OneActive, r, nil, fmt.Sprintf("it is %s", r.State), "request %s of the same concurrency key is %s", other.ID, other.State)
		}
		active[name] = r
	}
}

type checker struct {
	Picture
	records map[message.Key]*ledger.Record
	found   []Violation
}

func (c *checker) sorted() []Violation {
	slices.SortFunc(c.found, func(a, b Violation) int { return cmp.Compare(a.String(), b.String()) })
	return c.found
}

func (c *checker) add(rule Rule, r *ledger.Record, res *ledger.Resource, this, that string, args ...any) {
	v := Violation{Rule: rule, This: this, That: fmt.Sprintf(that, args...)}
	if r != nil {
		v.Request, v.Resource = r.Key, r.Resource
	}
	if res != nil {
		v.Resource = res.Name
	}
	c.found = append(c.found, v)
}

func (c *checker) record(r *ledger.Record) {
	if r.Tombstone() {
		if len(r.Cancels) == 0 || r.ExpireAt.IsZero() || r.Resource != "" {
			c.add(EventPath, r, nil, "the record is that of a request and has no state", "it is no tombstone")
		}
	} else if r.Kind != message.KindAnswer && !r.State.Terminal() && r.State != lifecycle.Running && r.TimerAt.IsZero() {
		c.add(TimerIsSet, r, nil, "it is "+string(r.State), "it has no timer")
	}
	c.events(r)
	c.outbox(r)
}

// resource checks holds and queues against the records.
func (c *checker) resource(res *ledger.Resource) {
	held := func(r *ledger.Record) bool { return r.Resource == res.Name && r.State.Holds() }
	for _, key := range slices.Sorted(maps.Keys(res.Holds)) {
		h, r := res.Holds[key], c.records[key]
		switch {
		case r == nil && c.Complete:
			c.add(HoldMatches, &ledger.Record{Key: key}, res, "there is a hold of it", "there is no such request")
		case r == nil:
		case !held(r):
			c.add(HoldMatches, r, res, "there is a hold of it", "it is %s", r.State)
		case h.Run != r.Run:
			c.add(HoldMatches, r, res, "its hold is for run "+h.Run, "its run is %s", r.Run)
		case !slices.Equal(h.Ask, r.Ask):
			c.add(HoldMatches, r, res, fmt.Sprintf("its hold is for %v", h.Ask), "it asks for %v", r.Ask)
		case h.Pending != (r.State == lifecycle.Reserved):
			c.add(HoldMatches, r, res, fmt.Sprintf("its hold says pending: %v", h.Pending), "it is %s", r.State)
		}
	}
	want := map[admission.ClassID][]admission.Head{}
	for _, r := range c.Records {
		if held(r) {
			if _, ok := res.Holds[r.Key]; !ok {
				c.add(HoldMatches, r, res, "it is "+string(r.State), "it has no hold")
			}
		}
		if r.Resource == res.Name {
			if waits := r.State == lifecycle.Waiting && !r.Parked; waits != (r.Class != "") {
				c.add(QueueMatches, r, res, fmt.Sprintf("it is %s, parked: %v", r.State, r.Parked), "its class is %q", r.Class)
			} else if waits {
				want[r.Class] = append(want[r.Class], r.Head())
			}
		}
	}
	if !c.Complete {
		return
	}
	for _, class := range slices.Sorted(maps.Keys(res.Queue)) {
		got, exact := res.Queue[class], want[class]
		slices.SortFunc(exact, func(a, b admission.Head) int { return ledger.CompareOrder(a.Order, b.Order) })
		if got.Count != len(exact) {
			c.add(QueueMatches, nil, res, waitIn(len(exact), class), "it counts %d", got.Count)
		} else if !slices.EqualFunc(got.Heads, exact[:min(len(got.Heads), len(exact))], admission.Head.Same) {
			c.add(QueueMatches, nil, res, fmt.Sprintf("class %s begins %v", class, exact), "its heads are %v", got.Heads)
		}
		delete(want, class)
	}
	for _, class := range slices.Sorted(maps.Keys(want)) {
		c.add(QueueMatches, nil, res, waitIn(len(want[class]), class), "there is no such class")
	}
	for _, o := range res.Reserved {
		if r := c.records[o.ID]; r == nil || r.Class == "" || r.Resource != res.Name || !o.Head.Same(r.Head()) {
			c.add(QueueMatches, &ledger.Record{Key: o.ID}, res, "it has a reservation", "no such request waits")
		}
	}
}

func waitIn(n int, class admission.ClassID) string {
	return fmt.Sprintf("%s %s in class %s", reason.Count(n, "request"), reason.Agree(n, "waits", "wait"), class)
}

// jobs checks that no run has two jobs that both count as the run's.
func (c *checker) jobs() {
	named := map[string]*ledger.Record{}
	for _, r := range c.Records {
		if r.Reservation.Job == "" {
			continue
		}
		if other := named[r.Reservation.Job]; other != nil {
			c.add(OneJob, r, nil, "it names job "+r.Reservation.Job, "so does request %s", other.Key)
		}
		named[r.Reservation.Job] = r
	}
	for _, j := range c.Jobs {
		r := named[j.Name]
		if r == nil {
			continue
		}
		switch {
		case j.Request != r.Key || j.Run != r.Run && !slices.Contains(r.PastRuns, j.Run):
			c.add(OneJob, r, nil, "it names job "+j.Name, "that job carries request %s and run %s", j.Request, j.Run)
		case r.State.Terminal() && !j.State.Ended():
			c.add(OneJob, r, nil, "it is "+string(r.State), "its job %s is %s", j.Name, j.State)
		case !slices.Equal(j.Ask, r.Ask):
			c.add(OneJob, r, nil, fmt.Sprintf("it asks for %v", r.Ask), "its job %s uses %v", j.Name, j.Ask)
		}
	}
}

// Commit judges one commit on a resource: before is what it read, nil if there
// was nothing; after is what it wrote.
func Commit(before, after *ledger.Resource) []Violation {
	c := checker{}
	if before == nil {
		before = &ledger.Resource{Name: after.Name}
	}
	use := before.Use()
	for _, key := range slices.Sorted(maps.Keys(before.Holds)) {
		if h, stays := after.Holds[key]; !stays || h.Run != before.Holds[key].Run {
			for _, n := range before.Holds[key].Ask { // given back by this very commit
				use[n.Shape] -= n.Replicas
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(after.Holds)) {
		h := after.Holds[key]
		was, had := before.Holds[key]
		had = had && was.Run == h.Run
		r := &ledger.Record{Key: key}
		if before.Paused != nil && after.Paused != nil && (!had || was.Pending && !h.Pending) {
			c.add(PauseKept, r, after, "the resource is paused", "it was admitted or got a submission slot")
		}
		if had {
			continue
		}
		if after.State != vertex.Running {
			c.add(OverCommit, r, after, "it was admitted", "the resource is %s", after.State)
		}
		for _, n := range h.Ask {
			if paused := admission.PausedUse(after.Pools, after.PausedPools)[n.Shape]; paused > 0 && len(before.PausedPools) > 0 && use[n.Shape]+paused+n.Replicas > capacity.Limits(after.Pools)[n.Shape] {
				c.add(PauseKept, r, after, fmt.Sprintf("it took %v", h.Ask), "%d machines of %s are paused and %d are in use", paused, n.Shape, use[n.Shape])
			}
		}
		if fit := capacity.Check(after.Pools, use, h.Ask); fit.Verdict != capacity.Fits {
			c.add(OverCommit, r, after, fmt.Sprintf("it took %v", h.Ask), "of %v with %v in use it is %s", after.Pools, use, fit.Verdict)
		}
		use.Add(h.Ask)
	}
	if before.Paused.Draining() && after.Paused != nil && !after.Paused.EmptyAt.IsZero() && len(after.Holds)+after.ForeignJobs > 0 {
		c.add(PauseKept, nil, after, "it is called empty", "it has %d holds and %d foreign jobs", len(after.Holds), after.ForeignJobs)
	}
	return c.sorted()
}

// Step judges what changed between two moments.
func Step(before, after Picture) []Violation {
	c := checker{}
	was := map[message.Key]*ledger.Record{}
	for _, r := range before.Records {
		was[r.Key] = r
	}
	for _, r := range after.Records {
		old := was[r.Key]
		if old == nil {
			continue
		}
		if old.State.Terminal() && old.State != r.State {
			c.add(TerminalStay, r, nil, "it was "+string(old.State), "it is %s", r.State)
		}
		if r.Sequence < old.Sequence {
			c.add(EventPath, r, nil, fmt.Sprintf("it had %d events", old.Sequence), "it has %d", r.Sequence)
		}
	}
	c.learned(before, after, was)
	return c.sorted()
}

// Settled judges a moment of rest. policy is the deployment's.
func Settled(p Picture, policy admission.Policy) []Violation {
	c := checker{Picture: p, records: map[message.Key]*ledger.Record{}}
	holdsRun := map[string]string{} // run to the job that its reservation names
	for _, r := range p.Records {
		c.records[r.Key] = r
		if r.State.Holds() {
			holdsRun[r.Run] = r.Reservation.Job
		}
		if len(r.Unpublished()) > 0 {
			c.add(NothingLeft, r, nil, "everything is at rest", "it has %d unpublished events", len(r.Unpublished()))
		}
		switch r.State {
		case lifecycle.Reserved, lifecycle.Submitting:
			c.add(NothingLeft, r, nil, "everything is at rest", "it is %s", r.State)
		case lifecycle.Cancelling:
			c.add(NothingLeft, r, nil, "everything is at rest", "it is still CANCELLING")
		}
	}
	for _, j := range p.Jobs {
		if j.State.Ended() || j.Request == "" {
			continue
		}
		r := c.records[j.Request]
		if r == nil || j.Run != r.Run && !slices.Contains(r.PastRuns, j.Run) {
			continue // not ours
		}
		if name, holds := holdsRun[j.Run]; !holds || name != j.Name {
			c.add(NothingLeft, r, nil, "its job is "+name, "job %s of its run %s is %s as well", j.Name, j.Run, j.State)
		}
	}
	for _, res := range p.Resources {
		s := res.Snapshot(p.Now)
		for _, o := range res.Reserved {
			if !o.At.IsZero() && !o.At.After(p.Now) && len(o.Delays) == 0 && s.Starts(policy) {
				c.add(PromiseKept, &ledger.Record{Key: o.ID}, res, fmt.Sprintf("it starts by %s", o.At), "it waits at %s, and no cause is told", p.Now)
			}
		}
	}
	for _, r := range p.Records {
		if r.State != lifecycle.Waiting {
			continue
		}
		i := slices.IndexFunc(p.Resources, func(res *ledger.Resource) bool { return res.Name == r.Resource })
		if i < 0 {
			c.add(NoStarvation, r, nil, "it waits", "there is no document of its resource")
			continue
		}
		res := p.Resources[i]
		d := admission.Decide(res.Snapshot(p.Now), r.Request(), policy)
		if d.Verdict == admission.Admit {
			c.add(NoStarvation, r, nil, "it waits", "it fits: %v", d.Fit)
		}
	}
	return c.sorted()
}
