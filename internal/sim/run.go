package sim

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/vertex"
)

// An Instance is one process with its own controller.
type Instance struct {
	*controller.Controller
}

// A decision is one point at which the scheduler could deviate.
type decision struct {
	op    string
	alone bool // no other actor could go first
}

// A run is one execution of a scenario under a schedule.
type run struct {
	shares   *admission.Quotas // of the tenants, by the policy of the world
	pauses   *ledger.Pauses    // of the tenants, as they are stored
	w        *World
	schedule Schedule
	choose   func(decision) Action // in place of a schedule
	known    func(uint64) bool     // cuts the run off
	seed     maphash.Seed
	hashes   map[any]uint64

	queue   []*process
	current *process
	events  chan event
	calm    bool
	again   []*process // deliveries that were not acknowledged as often as is tried

	ops        []decision
	cut        bool
	published  map[string]bool
	before     invariant.Picture
	violations []invariant.Violation
	trace      []string
}

// A process is a running actor.
type process struct {
	Actor
	index, tries int
	started      bool
	dead         bool
	op           string // the call it is about to make
	asked, began time.Time
	resume       chan Action
	results      *maphash.Hash
}

// An event is a process that stops before a call, or has ended.
type event struct {
	op    string
	ended bool
	err   error
}

// maxTries is how often a message is delivered again within the schedule; after
// that it is delivered when all is calm.
const maxTries = 2

func newRun(s Scenario, schedule Schedule, seed maphash.Seed) *run {
	r := &run{schedule: schedule, seed: seed, hashes: map[any]uint64{}, events: make(chan event), published: map[string]bool{}}
	r.w = New(quiet{r})
	r.w.Config.Policy.RefuseAfter = 30 * time.Minute // so that a settling of two hours sees its end
	r.w.Config.Submitters = 1                        // one call at a time per instance, so that a schedule is a list
	r.w.Config.SampleEvery = 0                       // everything is judged after every step
	if s.Setup != nil {
		s.Setup(r.w)
	}
	r.shares = r.quotas()
	r.w.Ledger.Fault = func(op string) ledger.Fault { return ledgerFault(r.yield(op), op) }
	r.w.Ledger.Saw = func(ref ledger.Ref, doc ledger.Document, writes int) {
		if p := r.current; p != nil && r.known != nil {
			fmt.Fprint(p.results, ref, writes, r.hashOf(doc))
		}
	}
	r.w.Ledger.Wrote = func(_ ledger.Ref, before, after ledger.Document) {
		if res, ok := after.(*ledger.Resource); ok {
			was, _ := before.(*ledger.Resource)
			r.violations = append(r.violations, invariant.Commit(was, res)...)
			r.violations = append(r.violations, invariant.Quotas(res, r.shares)...)
			if r.current != nil { // it has read pauses since it began
				r.violations = append(r.violations, invariant.TenantPauses(r.current.began, was, res, r.pauses, 0)...)
			}
		}
		if pauses, ok := after.(*ledger.Pauses); ok {
			r.pauses = pauses
		}
	}
	r.w.Vertex.Fault = func(op, _ string) vertex.Fault { return vertexFault(r.yield(op)) }
	r.w.Out.Fail = func() (before, after bool) {
		a := r.yield(opPublish)
		return a == DoNothing || a == Crash, a == DoAndFail
	}
	for i, a := range s.Actors {
		r.queue = append(r.queue, r.process(a, i, 0))
	}
	return r
}

func (r *run) process(a Actor, index, tries int) *process {
	results := &maphash.Hash{}
	results.SetSeed(r.seed)
	return &process{Actor: a, index: index, tries: tries, op: opStart, resume: make(chan Action), results: results}
}

// quiet is a TB that turns a bug reported by the controller into a violation.
type quiet struct{ r *run }

func (quiet) Helper()             {}
func (quiet) Logf(string, ...any) {}
func (q quiet) Errorf(format string, args ...any) {
	q.r.violations = append(q.r.violations, invariant.Violation{Rule: "bug", This: fmt.Sprintf(format, args...), That: "it was reported by the controller"})
}
func (q quiet) Fatalf(format string, args ...any) { q.Errorf(format, args...) }

func ledgerFault(a Action, op string) ledger.Fault {
	switch {
	case a == Go:
		return ledger.None
	case op != ledger.OpCommit:
		return ledger.FailRead
	case a == DoAndFail:
		return ledger.LoseAnswerAndCheck
	case a == DoAndRecheck:
		return ledger.LoseAnswer
	}
	return ledger.FailCommit
}

func vertexFault(a Action) vertex.Fault {
	switch a {
	case Go:
		return vertex.NoFault
	case DoAndFail:
		return vertex.FailAfter
	case RateLimit:
		return vertex.FailRate
	}
	return vertex.FailBefore
}

// yield is called by the running actor before a call that leaves the instance. It
// returns when the scheduler resumes the actor, with the result of the call.
func (r *run) yield(op string) Action {
	p := r.current
	switch {
	case r.calm || p == nil:
		return Go
	case p.dead:
		return Crash // a dead process makes no calls
	}
	r.events <- event{op: op}
	a := <-p.resume
	if a == Go && op == "create" && r.w.Now.Sub(p.asked) > r.w.Config.SubmitTimeout-r.w.Config.Margin {
		a = DoAndFail // its deadline passed while it was under way
	}
	if r.known == nil {
		return a // known situations are not skipped in this run
	}
	fmt.Fprint(p.results, op, a)
	switch op {
	case ledger.OpQuery:
		r.w.Ledger.Each(func(ref ledger.Ref, doc ledger.Document, writes int) {
			fmt.Fprint(p.results, ref, writes, r.hashOf(doc))
		})
	case ledger.OpRead, ledger.OpCommit, opPublish:
	default:
		for _, j := range r.w.Vertex.Jobs() {
			fmt.Fprint(p.results, j.Name, j.State)
		}
		fmt.Fprint(p.results, r.w.Vertex.Lists())
	}
	return a
}

// play runs the schedule to its end, then calms down and checks what is left.
func (r *run) play() {
	last := -1
	if len(r.schedule) > 0 {
		last = r.schedule[len(r.schedule)-1].At
	}
	for len(r.queue) > 0 && len(r.violations) == 0 {
		p := r.queue[0]
		d := decision{p.op, len(r.queue) == 1}
		at := len(r.ops)
		if at > last && r.known != nil && r.known(r.situation()) {
			r.cut = true
			break
		}
		r.ops = append(r.ops, d)
		action := Go
		if r.choose != nil {
			if action = r.choose(d); action != Go {
				r.schedule = append(r.schedule, Deviation{at, action})
			}
		} else {
			for _, dev := range r.schedule {
				if dev.At == at && slices.Contains(actionsFor(p.op), dev.Action) {
					action = dev.Action
				}
			}
		}
		r.trace = append(r.trace, fmt.Sprintf("%3d %-12s %-8s %s", at, p.Name, p.op, action))
		if action == Delay {
			r.queue = append(r.queue[1:], p)
			continue
		}
		happens := p.Happen != nil
		r.step(p, action)
		if happens || slices.Contains(writes, d.op) {
			r.check()
		}
	}
	r.stop()
	if !r.cut && len(r.violations) == 0 {
		r.drain()
	}
}

// writes are the calls that change something.
var writes = []string{ledger.OpCommit, "create", "cancel", opPublish}

// step lets one process make its next call, up to the one after.
func (r *run) step(p *process, a Action) {
	if p.Happen != nil {
		p.Happen(r.w)
		r.queue = r.queue[1:]
		return
	}
	r.current = p
	switch {
	case !p.started:
		p.started, p.began = true, r.w.Now
		instance := &Instance{r.w.Instance(r.w.Config)}
		go func() {
			err := p.Run(context.Background(), r.w, instance)
			r.events <- event{ended: true, err: err}
		}()
	default:
		p.dead = p.dead || a == Crash
		p.resume <- a
	}
	e := <-r.events
	r.current = nil
	if !e.ended {
		p.op, p.asked = e.op, r.w.Now
		return
	}
	r.queue = r.queue[1:]
	if e.err == nil && !p.dead {
		return
	}
	// Not acknowledged: it comes again, behind the others.
	next := r.process(p.Actor, p.index, p.tries+1)
	if next.tries <= maxTries {
		r.queue = append(r.queue, next)
	} else {
		r.again = append(r.again, next)
	}
}

// stop ends the running actors, as a crash does.
func (r *run) stop() {
	for _, p := range r.queue {
		if p.Happen == nil && p.started {
			p.dead = true
			r.current = p
			p.resume <- Crash
			for e := <-r.events; !e.ended; e = <-r.events {
				p.resume <- Crash
			}
			r.current = nil
		}
		if p.Happen == nil && (p.started || r.violations == nil && !r.cut) {
			r.again = append(r.again, p)
		}
	}
	r.queue = nil
}
