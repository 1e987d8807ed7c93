package sim

import (
	"context"
	"fmt"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// Message is an actor that delivers a message to an instance of its own, again
// and again until it is acknowledged.
func Message(name, id, tenant string, data []byte) Actor {
	return Actor{Name: name, Run: func(ctx context.Context, w *World, i *Instance) error {
		return i.Handle(ctx, tenant, message.Delivery{ID: id, Data: data})
	}}
}

// Request delivers a job under its own id; Twice is a second delivery of it.
func Request(j Job) Actor { return Message("request "+j.ID, "m-"+j.ID, Tenant, j.Body()) }

// Twice is a second delivery of a request's message.
func Twice(j Job) Actor { return Message("again "+j.ID, "m-"+j.ID, Tenant, j.Body()) }

// CancelOf delivers a cancel.
func CancelOf(id string) Actor {
	return Message("cancel "+id, "c-"+id, Tenant, []byte(`{"cancel":{"requestId":"`+id+`"}}`))
}

// Operates delivers an operator's message about the persistent resource.
func Operates(id string, action message.Action, fields ...string) Actor {
	return Actor{Name: "operator: " + string(action), Run: func(ctx context.Context, w *World, i *Instance) error {
		return i.Operate(ctx, message.Delivery{ID: id, Data: Operation(action, fields...)})
	}}
}

// TickAfter lets time pass and then reconciles once.
func TickAfter(d time.Duration) []Actor {
	return []Actor{Pass(d), {Name: "reconcile", Run: func(ctx context.Context, _ *World, i *Instance) error {
		_, _ = i.Reconcile(ctx, "tick", 0) // a tick is acknowledged even after an error
		return nil
	}}}
}

// Pass lets time pass.
func Pass(d time.Duration) Actor {
	return Actor{Name: "time", Happen: func(w *World) { w.Now = w.Now.Add(d) }}
}

// Jobs moves every job at Vertex AI that is in one state to another.
func Jobs(from, to vertex.JobState) Actor {
	return Actor{Name: "jobs " + string(to), Happen: func(w *World) {
		for _, j := range w.Vertex.Jobs() {
			if j.State == from {
				w.Vertex.SetJob(j.Name, to)
			}
		}
	}}
}

// Pools makes the persistent resource have other pools, or be in another state.
func Pools(state string, cpus, gpus capacity.Replicas) Actor {
	return Actor{Name: "resize", Happen: func(w *World) {
		w.SetPools(state, capacity.Pool{ID: "cpu", Shape: CPU, Count: cpus}, capacity.Pool{ID: "gpu", Shape: GPU, Count: gpus})
	}}
}

// Recreate deletes the persistent resource with the jobs on it and makes it
// anew under the same name.
func Recreate() Actor {
	return Actor{Name: "recreate", Happen: func(w *World) {
		for _, j := range w.Vertex.Jobs() {
			if !j.State.Ended() {
				w.Vertex.SetJob(j.Name, vertex.JobCancelled)
			}
		}
		w.Vertex.SetResource(Resource, vertex.Resource{State: vertex.Running, CreateTime: w.Now, Pools: []capacity.Pool{
			{ID: "cpu-2", Shape: CPU, Count: 4}, {ID: "gpu-2", Shape: GPU, Count: 2, Max: 4}}})
	}}
}

// Foreign job starts a job that is not ours.
func ForeignJob(cpus capacity.Replicas) Actor {
	return Actor{Name: "foreign job", Happen: func(w *World) {
		w.Vertex.AddForeign(Parent, "pool", capacity.Ask{{Shape: CPU, Replicas: cpus}})
	}}
}

func actors(parts ...any) (list []Actor) {
	for _, p := range parts {
		switch p := p.(type) {
		case Actor:
			list = append(list, p)
		case []Actor:
			list = append(list, p...)
		}
	}
	return list
}

// Scenarios are the small worlds that are explored exhaustively. Each is two
// pools with a few requests and everything that can come between them.
func Scenarios() []Scenario {
	single, gang, wide := Job{ID: "a", CPU: 1}, Job{ID: "g", CPU: 2, GPU: 1}, Job{ID: "w", CPU: 4}
	lag := func(n int) func(*World) { return func(w *World) { w.Vertex.Lag = n } }
	limited := func(id string, cpus, seconds int) Job {
		return Job{ID: id, CPU: cpus, Spec: map[string]any{"scheduling": map[string]any{"timeout": fmt.Sprintf("%ds", seconds)}}}
	}
	run := func(id, policy string) Job { return Job{ID: id, CPU: 3, Key: "nightly", Policy: policy} }
	// The first job has five minutes to start and ten to run, so the wide request has
	// its machines reserved from minute 15 on. The last passes it, and has to be running
	// in minute 3.
	passing := actors(Request(limited("a", 3, 600)), Jobs(vertex.JobPending, vertex.JobRunning), Request(wide), Request(limited("p", 1, 660)))
	quickStart := func(w *World) {
		w.Config.StartTimeout = 5 * time.Minute
		p := &w.Config.Policy.Plan
		p.StartTimeout, p.StartIn, p.Margin = 5*time.Minute, time.Minute, time.Minute
	}
	return []Scenario{
		{Name: "a job that passed another never starts", Setup: quickStart, Actors: actors(passing, TickAfter(4*time.Minute),
			Jobs(vertex.JobCancelling, vertex.JobCancelled), TickAfter(time.Minute), Jobs(vertex.JobRunning, vertex.JobSucceeded), TickAfter(time.Minute))},
		{Name: "a job that passed another starts at the last moment", Setup: quickStart, Actors: actors(passing, Pass(3*time.Minute-2*time.Second),
			Jobs(vertex.JobPending, vertex.JobRunning), TickAfter(time.Second), TickAfter(time.Minute))},
		{Name: "one message twice", Actors: actors(Request(single), Twice(single), TickAfter(2*time.Minute), TickAfter(2*time.Minute))},
		{Name: "unclear create, list lags", Setup: lag(3), Actors: actors(Request(single), TickAfter(2*time.Minute), TickAfter(2*time.Minute), TickAfter(time.Minute))},
		{Name: "cancel during create", Actors: actors(Request(single), CancelOf("a"), TickAfter(2*time.Minute), TickAfter(2*time.Minute))},
		{Name: "cancel before request", Actors: actors(CancelOf("a"), Request(single), TickAfter(2*time.Minute))},
		{Name: "hand over", Actors: actors(Request(wide), Request(single), Jobs(vertex.JobPending, vertex.JobSucceeded), TickAfter(time.Minute), TickAfter(0), TickAfter(time.Minute))},
		{Name: "deferred while the last holder ends", Actors: actors(Request(wide), Jobs(vertex.JobPending, vertex.JobSucceeded), TickAfter(time.Minute), Request(gang), TickAfter(time.Minute))},
		{Name: "cancelled waiter at the head", Actors: actors(Request(wide), Request(gang), Request(single), CancelOf("g"), Jobs(vertex.JobPending, vertex.JobFailed), TickAfter(time.Minute), TickAfter(time.Minute))},
		{Name: "foreign job between hold and start", Actors: actors(Request(gang), ForeignJob(3), TickAfter(time.Minute), Request(single), TickAfter(time.Minute))},
		{Name: "resource shrinks", Actors: actors(Request(gang), Pools(vertex.Running, 1, 1), TickAfter(time.Minute), Request(single), TickAfter(time.Minute))},
		{Name: "resource made anew with holds on it", Actors: actors(Request(gang), Request(wide), Recreate(), TickAfter(time.Minute), TickAfter(time.Minute))},
		{Name: "one id, two tenants", Actors: actors(Request(single), Message("other tenant", "m-b", "other", single.Body()), CancelOf("a"), TickAfter(time.Minute))},
		{Name: "id reused", Actors: actors(Request(single), Message("reuse", "m-x", Tenant, Job{ID: "a", CPU: 2}.Body()), TickAfter(time.Minute))},
		{Name: "one submission slot", Setup: func(w *World) { w.Config.Submissions = 1 }, Actors: actors(
			Request(Job{ID: "a", CPU: 1}), Request(Job{ID: "b", CPU: 1}), Request(Job{ID: "u", GPU: 1, Priority: 5}), CancelOf("b"), TickAfter(time.Minute), TickAfter(time.Minute), TickAfter(time.Minute))},
		{Name: "pause", Actors: actors(Request(gang), Operates("o1", message.Pause), Request(single), Jobs(vertex.JobPending, vertex.JobSucceeded), TickAfter(2*time.Minute), Operates("o2", message.Resume), TickAfter(time.Minute))},
		{Name: "pause before a submission slot", Setup: func(w *World) { w.Config.Submissions = 1 }, Actors: actors(
			Request(Job{ID: "a", CPU: 1}), Request(Job{ID: "b", CPU: 1}), Operates("o1", message.Pause), TickAfter(2*time.Minute), Operates("o2", message.Resume))},
		{Name: "drain", Setup: func(w *World) { w.Config.Submissions = 1 }, Actors: actors(
			Request(Job{ID: "a", CPU: 1}), Request(Job{ID: "b", CPU: 1}), Operates("o1", message.Drain), TickAfter(2*time.Minute), Jobs(vertex.JobPending, vertex.JobSucceeded), TickAfter(time.Minute), TickAfter(time.Minute))},
		{Name: "a request is put first", Setup: quickStart, Actors: actors(Request(limited("a", 3, 600)), Jobs(vertex.JobPending, vertex.JobRunning), Request(wide), Request(limited("p", 4, 660)),
			Operates("o1", message.Prioritise, `"requestId":"p"`, `"front":true`), Jobs(vertex.JobRunning, vertex.JobSucceeded), TickAfter(time.Minute), TickAfter(time.Minute))},
		{Name: "a running request waits again", Actors: actors(Request(wide), Jobs(vertex.JobPending, vertex.JobRunning), TickAfter(time.Minute), Operates("o1", message.Requeue, `"requestId":"w"`), CancelOf("w"),
			Request(single), Jobs(vertex.JobCancelling, vertex.JobCancelled), TickAfter(time.Minute))},
		{Name: "a run replaces the one before", Actors: actors(Request(run("a", "replace")), Request(run("b", "replace")), Jobs(vertex.JobCancelling, vertex.JobCancelled), TickAfter(2*time.Minute))},
		{Name: "a run is forbidden by the one before", Actors: actors(Request(run("a", "forbid")), Request(run("b", "forbid")), Jobs(vertex.JobPending, vertex.JobSucceeded), TickAfter(2*time.Minute))},
		{Name: "a pool is paused", Actors: actors(Request(single), Operates("o1", message.Pause, `"pool":"cpu"`), Request(gang), Jobs(vertex.JobPending, vertex.JobSucceeded), TickAfter(time.Minute), Operates("o2", message.Resume, `"pool":"cpu"`))},
		{Name: "a tenant is paused", Setup: func(w *World) { w.Config.Submissions = 1 }, Actors: actors(Request(gang), Operates("o1", message.Pause, `"tenant":"default"`), Request(single),
			Message("other tenant", "m-b", "other", single.Body()), TickAfter(2*time.Minute), Operates("o2", message.Resume, `"tenant":"default"`), TickAfter(time.Minute))},
		{Name: "all together", Setup: lag(1), Actors: actors(
			Request(gang), Twice(gang), Request(wide), ForeignJob(1), Request(single), CancelOf("g"), TickAfter(2*time.Minute),
			Pools(vertex.Running, 5, 2), Jobs(vertex.JobPending, vertex.JobRunning), TickAfter(time.Minute), Recreate(), TickAfter(time.Minute))},
	}
}
