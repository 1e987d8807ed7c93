package sim

import (
	"context"
	"encoding/json"
	"example.com/berth/internal/admission"
	"example.com/berth/internal/policy"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
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

// picture takes a picture without copying, because stored documents never change.
func (r *run) picture() invariant.Picture {
	p := invariant.Picture{Now: r.w.Now, Jobs: r.w.Vertex.Jobs(), Complete: true}
	r.w.Ledger.Each(func(_ ledger.Ref, doc ledger.Document, _ int) {
		switch d := doc.(type) {
		case *ledger.Record:
			p.Records = append(p.Records, d)
		case *ledger.Resource:
			p.Resources = append(p.Resources, d)
		case *ledger.History:
			p.Histories = append(p.Histories, d)
		}
	})
	for _, e := range r.w.Out.All() {
		r.published[e.EventID] = true
	}
	p.Published = r.published
	return p
}

// check judges the moment after a step.
func (r *run) check() {
	now := r.picture()
	r.violations = append(r.violations, invariant.Check(now)...)
	r.violations = append(r.violations, invariant.Step(r.before, now)...)
	if !r.calm { // then there is one commit between two checks
		r.violations = append(r.violations, invariant.Order(r.before, now)...)
	}
	r.before = now
}

// drain ends all faults, delivers every undelivered message, moves jobs to their
// ends and time forward until everything is at rest, and checks that nothing was
// lost, leaked or left waiting.
func (r *run) drain() {
	r.calm = true
	w := r.w
	c := w.Instance(w.Config)
	ctx := context.Background()
	// Requests may have to run one after the other, and a job takes a few rounds.
	for round := range calmRounds + 4*len(r.before.Records) {
		w.SetPools(vertex.Running, capacity.Pool{ID: "cpu", Shape: CPU, Count: 4}, capacity.Pool{ID: "gpu", Shape: GPU, Count: 2, Max: 4})
		undelivered := r.again
		r.again = nil
		for _, p := range undelivered {
			if err := p.Run(ctx, w, &Instance{c}); err != nil {
				r.again = append(r.again, p)
			}
		}
		r.violations = append(r.violations, resumeAll(ctx, w, c, round)...)
		if round > 0 {
			for _, j := range w.Vertex.Jobs() {
				switch j.State {
				case vertex.JobCancelling:
					w.Vertex.SetJob(j.Name, vertex.JobCancelled)
				case vertex.JobRunning:
					w.Vertex.SetJob(j.Name, vertex.JobSucceeded)
				case vertex.JobPending, vertex.JobQueued:
					w.Vertex.SetJob(j.Name, vertex.JobRunning)
				}
			}
		}
		w.Now = w.Now.Add(calmStep)
		if _, err := c.Reconcile(ctx, "calm", 0); err != nil {
			r.violations = append(r.violations, invariant.Violation{Rule: invariant.NothingLeft, This: "nothing fails any more", That: err.Error()})
			return
		}
		r.check()
		if len(r.violations) > 0 || r.atRest() {
			break
		}
	}
	rules := w.Config.Policy
	rules.Plan.Quotas = r.shares
	r.violations = append(r.violations, invariant.Settled(r.before, rules)...)
	for _, rec := range r.before.Records {
		if rec.Kind != message.KindAnswer && !rec.Tombstone() && !rec.State.Terminal() {
			r.violations = append(r.violations, invariant.Violation{Rule: invariant.NothingLeft, Request: rec.Key, Resource: rec.Resource,
				This: "every job has ended and hours have passed", That: "it is " + string(rec.State)})
		}
		for _, l := range rec.Outbox {
			if !r.published[l.ID] {
				r.violations = append(r.violations, invariant.Violation{Rule: invariant.EventKept, Request: rec.Key,
					This: "event " + l.ID + " was written", That: "it was never published"})
			}
		}
	}
	for _, res := range r.before.Resources {
		if len(res.Holds) > 0 {
			r.violations = append(r.violations, invariant.Violation{Rule: invariant.HoldMatches, Resource: res.Name,
				This: "every request has ended", That: fmt.Sprintf("%d holds are left", len(res.Holds))})
		}
	}
}

// quotas makes the policy of the world the one in force, and returns what it gives the
// tenants.
func (r *run) quotas() *admission.Quotas {
	if r.w.Policy == "" {
		return nil
	}
	p, problems := policy.Parse([]byte(r.w.Policy))
	if p == nil {
		r.w.Fatalf("the policy of the run: %v", problems)
	}
	if _, err := ledger.WritePolicy(context.Background(), r.w.Ledger, 0, ledger.Policy{Text: r.w.Policy, Who: "run"}); err != nil {
		r.w.Fatalf("write the policy of the run: %v", err)
	}
	return p.Quotas(Resource)
}

// resumeAll undoes what operators have paused.
func resumeAll(ctx context.Context, w *World, c *controller.Controller, round int) (found []invariant.Violation) {
	_, resources := stored(w.Ledger)
	for i, tenant := range pausedTenants(w.Ledger) {
		d := message.Delivery{ID: fmt.Sprintf("calm%d-tenant%d", round, i), Data: Operation(message.Resume, `"tenant":"`+tenant+`"`)}
		if err := c.Operate(ctx, d); err != nil {
			found = append(found, invariant.Violation{Rule: invariant.NothingLeft, This: "nothing fails any more", That: err.Error()})
		}
	}
	for _, res := range resources {
		var all []string
		if res.Paused != nil {
			all = append(all, "")
		}
		for _, pool := range slices.Sorted(maps.Keys(res.PausedPools)) {
			all = append(all, `"pool":"`+pool+`"`)
		}
		for i, field := range all {
			d := message.Delivery{ID: fmt.Sprintf("calm%d-%d", round, i), Data: Operation(message.Resume, strings.Fields(field)...)}
			if err := c.Operate(ctx, d); err != nil {
				found = append(found, invariant.Violation{Rule: invariant.NothingLeft, Resource: res.Name, This: "nothing fails any more", That: err.Error()})
			}
		}
	}
	return found
}

// pausedTenants are the tenants that are paused, in order.
func pausedTenants(m *ledger.Mem) (tenants []string) {
	m.Each(func(_ ledger.Ref, doc ledger.Document, _ int) {
		if pauses, ok := doc.(*ledger.Pauses); ok {
			tenants = slices.Sorted(maps.Keys(pauses.Tenants))
		}
	})
	return tenants
}

// atRest says whether nothing is to come any more.
func (r *run) atRest() bool {
	if len(r.again) > 0 || slices.ContainsFunc(r.w.Vertex.Jobs(), func(j vertex.Job) bool { return !j.State.Ended() }) {
		return false
	}
	return !slices.ContainsFunc(r.before.Records, func(rec *ledger.Record) bool {
		return len(rec.Unpublished()) > 0 || rec.Kind != message.KindAnswer && rec.State != lifecycle.None && !rec.State.Terminal()
	})
}

func encode(doc any) []byte {
	data, err := json.Marshal(doc)
	if err != nil {
		panic(err) // a document that cannot be stored
	}
	return data
}
