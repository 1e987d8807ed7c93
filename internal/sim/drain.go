package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/controller"
	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/policy"
	"example.com/berth/internal/vertex"
)

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
