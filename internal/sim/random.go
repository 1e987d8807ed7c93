package sim

import (
	"context"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"time"

	"cloud.google.com/go/aiplatform/apiv1/aiplatformpb"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// Rates say how often a random run goes wrong, per decision.
type Rates struct {
	Delay float64 // of all decisions
	Fault float64 // of calls
}

// DefaultRates make a run of a hundred messages see some dozens of faults.
var DefaultRates = Rates{Delay: 0.15, Fault: 0.03}

// RandomScenario draws a workload: requests of all sorts with duplicates,
// reorderings and cancels, in every fourth world operators' messages, in every eighth pauses of a tenant, in every fifth a policy with quotas, ticks, and a restless outside world, with every
// switch of what is unknown about Vertex AI thrown one way or the other.
func RandomScenario(seed uint64, messages int) Scenario {
	rnd := rand.New(rand.NewPCG(seed, 1))       // #nosec G404 -- a seed makes a run again
	operators := rand.New(rand.NewPCG(seed, 4)) // #nosec G404 -- a seed makes a run again
	var list []Actor
	var ids []string
	for i := range messages {
		switch n := rnd.IntN(100); {
		case n < 50 || len(ids) == 0:
			j := Job{ID: fmt.Sprintf("r%d", i), Priority: rnd.IntN(3) - 1}
			switch rnd.IntN(5) {
			case 0:
				j.CPU, j.GPU = 1+rnd.IntN(2), 1+rnd.IntN(2)
			case 1:
				j.GPU = 1 + rnd.IntN(4)
			default:
				j.CPU = 1 + rnd.IntN(4)
			}
			if rnd.IntN(10) == 0 {
				j.CPU = 5 // never
			}
			if rnd.IntN(10) == 0 {
				j.OnFull = "reject"
			}
			if rnd.IntN(10) == 0 {
				j.MaxWait = fmt.Sprintf("%ds", 60+rnd.IntN(600))
			}
			if limit := []int{0, 0, 180, 600, 1800}[rnd.IntN(5)]; limit > 0 {
				j.Spec = map[string]any{"scheduling": map[string]any{"timeout": fmt.Sprintf("%ds", limit)}}
			}
			ids = append(ids, j.ID)
			if shared := seed%5 == 2; shared && i%2 == 1 {
				list = append(list, Message("request "+j.ID, "m-"+j.ID, "other", j.Body()))
				continue
			}
			list = append(list, Request(j))
			for range rnd.IntN(3) {
				list = append(list, Twice(j))
			}
		case n < 62:
			list = append(list, CancelOf(ids[rnd.IntN(len(ids))]))
		case n < 65:
			list = append(list, Message("reuse", fmt.Sprintf("x%d", i), Tenant, Job{ID: ids[rnd.IntN(len(ids))], CPU: 3, GPU: 2}.Body()))
		case n < 68:
			list = append(list, CancelOf(fmt.Sprintf("r%d", i+1+rnd.IntN(3)))) // perhaps before its request
		case n < 70:
			list = append(list, Message("malformed", fmt.Sprintf("x%d", i), Tenant, []byte(`{"requestId":"`+ids[rnd.IntN(len(ids))]+`","job":{}}`)))
		case n < 74:
			list = append(list, ForeignJob(capacity.Replicas(1+rnd.IntN(2))))
		case n < 76:
			list = append(list, Pools(vertex.Running, capacity.Replicas(2+rnd.IntN(4)), capacity.Replicas(1+rnd.IntN(4))))
		case n < 77:
			list = append(list, Recreate())
		case n < 78:
			list = append(list, Pools([]string{"REBOOTING", "STOPPING", "ERROR", "UPDATING"}[rnd.IntN(4)], 4, 2))
		case n < 80:
			list = append(list, deleteOne(rnd.IntN(10)))
		default:
			list = append(list, Jobs(vertex.JobPending, []vertex.JobState{vertex.JobRunning, vertex.JobQueued, vertex.JobRunning}[rnd.IntN(3)]),
				someEnd(rnd.Uint64()))
		}
		if seed%4 == 3 && operators.IntN(6) == 0 {
			list = append(list, someOperation(fmt.Sprintf("o%d", i), ids, operators))
		}
		if seed%8 == 1 && operators.IntN(8) == 0 {
			list = append(list, Operates(fmt.Sprintf("o%d", i), []message.Action{message.Pause, message.Resume}[operators.IntN(2)], `"tenant":"`+Tenant+`"`))
		}
		if rnd.IntN(3) == 0 {
			list = append(list, TickAfter(time.Duration(1+rnd.IntN(240))*time.Second)...)
		}
	}
	lag, full, ignores := rnd.IntN(4), rnd.IntN(4), rnd.IntN(2) == 0
	counts, usedLag := rnd.IntN(2) == 0, time.Duration(rnd.IntN(3))*time.Minute
	perMinute := []int{60, 6, 2, 1}[rnd.IntN(4)]
	startTimeout := []time.Duration{time.Hour, 5 * time.Minute}[rnd.IntN(2)]
	return Scenario{Name: fmt.Sprintf("seed %d", seed), Actors: list, Setup: func(w *World) {
		w.Config.Submissions = perMinute
		w.Config.StartTimeout = startTimeout
		p := &w.Config.Policy.Plan
		p.StartTimeout, p.StartIn, p.Margin, p.Patience = startTimeout, time.Minute, time.Minute, 20*time.Minute
		w.Vertex.Lag = lag
		w.Vertex.Admit = w.fullAnswer(full)
		if full == 3 {
			w.Vertex.Doom = func(job *aiplatformpb.CustomJob) bool { return !w.fits(job) }
		}
		w.Vertex.IgnoreCancel = ignores
		w.Vertex.CountUsed, w.Vertex.UsedLag = counts, usedLag
		if seed%5 == 2 {
			w.Policy = sharedPolicy
			if seed%2 == 1 {
				w.Policy = "reclaim: inOrder\n" + sharedPolicy
			}
		}
	}}
}

// sharedPolicy is that of every fifth random world, in which two tenants share the pools.
const sharedPolicy = `
defaults: {serviceAccounts: any, maxRunning: 3, maxWaiting: 6}
tenants:
  default:
    shares:
      - {persistentResource: pool, shape: n1-standard-4/pd-ssd:100, replicas: 1, cap: 3}
      - {persistentResource: pool, shape: "g2-standard-12/NVIDIA_L4:1/pd-ssd:100", replicas: 0, cap: 2}
  other:
    shares:
      - {persistentResource: pool, shape: n1-standard-4/pd-ssd:100, replicas: 2}
`

// someOperation is any message of an operator, about one of these requests or the
// persistent resource.
func someOperation(id string, requests []string, rnd *rand.Rand) Actor {
	if rnd.IntN(3) == 0 || len(requests) == 0 {
		pool := [][]string{nil, nil, {`"pool":"cpu"`}, {`"pool":"gpu"`}}[rnd.IntN(4)]
		if pool != nil {
			return Operates(id, []message.Action{message.Pause, message.Resume}[rnd.IntN(2)], pool...)
		}
		return Operates(id, []message.Action{message.Pause, message.Drain, message.Resume, message.Resume}[rnd.IntN(4)])
	}
	recent := requests[max(0, len(requests)-8):] // most of the others have ended
	fields := []string{`"requestId":"` + recent[rnd.IntN(len(recent))] + `"`}
	action := []message.Action{message.CancelRequest, message.Requeue, message.Requeue, message.Requeue, message.Prioritise, message.Prioritise}[rnd.IntN(6)]
	if action == message.Prioritise {
		fields = append(fields, []string{`"front":true`, `"priority":1`, `"priority":-1`}[rnd.IntN(3)])
	}
	return Operates(id, action, fields...)
}

// fullAnswer is what Vertex AI says to a job that does not fit beside the live
// ones, which happens when foreign jobs and we start at the same time: take it and
// let it wait, refuse it in either of two ways, or take it and have it fail.
func (w *World) fullAnswer(kind int) func(string, *aiplatformpb.CustomJob) error {
	return func(_ string, job *aiplatformpb.CustomJob) error {
		switch {
		case kind == 1 && !w.fits(job):
			return &vertex.Error{Op: "create", Kind: vertex.Transient, Code: 9, Message: "full"}
		case kind == 2 && !w.fits(job):
			return &vertex.Error{Op: "create", Kind: vertex.Permanent, Code: 3, Message: "does not fit"}
		}
		return nil
	}
}

// fits says whether a job fits beside the live ones at Vertex AI.
func (w *World) fits(job *aiplatformpb.CustomJob) bool {
	use := capacity.Use{}
	for _, j := range w.Vertex.Jobs() {
		if !j.State.Ended() {
			use.Add(j.Ask)
		}
	}
	res, ok := w.Vertex.Peek(Resource)
	return ok && capacity.Check(res.Pools, use, message.AskOf(job, w.Vertex.DiskType)).Verdict == capacity.Fits
}

// deleteOne deletes a job at Vertex AI.
func deleteOne(n int) Actor {
	return Actor{Name: "delete job", Happen: func(w *World) {
		if jobs := w.Vertex.Jobs(); len(jobs) > 0 {
			w.Vertex.Delete(jobs[n%len(jobs)].Name)
		}
	}}
}

// someEnd ends about half of the running jobs, one way or the other.
func someEnd(seed uint64) Actor {
	return Actor{Name: "some jobs end", Happen: func(w *World) {
		rnd := rand.New(rand.NewPCG(seed, 2)) // #nosec G404 -- a seed makes a run again
		for _, j := range w.Vertex.Jobs() {
			end := []vertex.JobState{vertex.JobSucceeded, vertex.JobFailed, vertex.JobExpired, vertex.JobPartiallySucceeded, vertex.JobCancelled}[rnd.IntN(5)]
			switch {
			case j.State == vertex.JobCancelling && rnd.IntN(2) == 0:
				w.Vertex.SetJob(j.Name, vertex.JobCancelled)
			case j.State == vertex.JobRunning && rnd.IntN(2) == 0:
				w.Vertex.SetJob(j.Name, end)
			}
		}
	}}
}

// Random makes one random run of a scenario. The schedule that it drew is in
// the finding, if there is one: [Replay] makes it again, [Shrink] shortens it.
func Random(s Scenario, seed uint64, rates Rates) (Counts, *Finding) {
	rnd := rand.New(rand.NewPCG(seed, 3)) // #nosec G404 -- a seed makes a run again
	counts := Counts{Schedules: 1, Faults: map[Action]int{}}
	r := newRun(s, nil, maphash.MakeSeed())
	r.choose = func(d decision) Action {
		if !d.alone && rnd.Float64() < rates.Delay {
			return Delay
		}
		if d.op == opStart || rnd.Float64() >= rates.Fault {
			return Go
		}
		actions := slices.DeleteFunc(actionsFor(d.op), func(a Action) bool { return a == Delay })
		return actions[rnd.IntN(len(actions))]
	}
	r.play()
	counts.Steps, counts.Rows = len(r.ops), r.w.Rows
	for _, d := range r.schedule {
		counts.Faults[d.Action]++
	}
	if len(r.violations) == 0 {
		return counts, nil
	}
	return counts, &Finding{s.Name, r.schedule, r.violations, r.trace}
}

// Storm makes random runs with consecutive seeds until ctx ends or one breaks a
// promise. report, if set, gets the counts from time to time.
func Storm(ctx context.Context, from, step uint64, messages int, rates Rates, report func(Counts)) (counts Counts, seed uint64, f *Finding) {
	counts.Faults = map[Action]int{}
	for seed = from; ctx.Err() == nil; seed += step {
		c, finding := Random(RandomScenario(seed, messages), seed, rates)
		counts.Add(c)
		if report != nil {
			report(c)
		}
		if finding != nil {
			return counts, seed, finding
		}
	}
	return counts, seed, nil
}
