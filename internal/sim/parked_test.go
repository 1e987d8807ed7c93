package sim

import (
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/invariant"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// A parked request is in no queue, because the pools as they were last seen can
// never take it.

func gpus(n capacity.Replicas) capacity.Pool {
	return capacity.Pool{ID: "gpu", Shape: GPU, Count: n}
}

// judged holds every commit against the order from now on.
func judged(w *World) {
	picture := func() (p invariant.Picture) {
		p.Records, p.Resources = stored(w.Ledger)
		p.Now = w.Now
		return p
	}
	before := picture()
	judge := func(fault ledger.Fault) ledger.Fault {
		now := picture()
		for _, v := range invariant.Order(before, now) {
			w.Errorf("%s", v)
		}
		before = now
		return fault
	}
	w.Ledger.Fault = func(string) ledger.Fault { return judge(ledger.None) }
}

// ticks reconciles once a minute.
func ticks(w *World, n int) {
	w.Helper()
	for range n {
		w.After(time.Minute)
	}
}

// A wide request comes first. Three gangs come while the resource reboots and
// need a shape that no pool has. Then the pools grow. None of the gangs may start
// before the wide request, and all start after it, in order.
func TestParkedDoesNotPassTheQueue(t *testing.T) {
	w := New(t)
	w.Config.Policy.Plan.StartIn = w.Config.StartTimeout // no job passes another in the hour that it has to start
	w.Controller = w.Instance(w.Config)
	w.SetPools(vertex.Running, cpus(4))
	w.Ask(Job{ID: "busy", CPU: 2})
	w.Ask(Job{ID: "wide", CPU: 4})
	w.Expect("wide", lifecycle.Waiting, "queued")
	w.SetPools("REBOOTING", cpus(4))
	ticks(w, 1)
	gangs := []string{"g1", "g2", "g3"}
	for _, id := range gangs {
		w.Ask(Job{ID: id, CPU: 1, GPU: 1})
		if !w.Record(id).Parked {
			t.Fatalf("%s is not parked", id)
		}
	}
	judged(w)
	w.SetPools(vertex.Running, cpus(4), gpus(3))
	ticks(w, 12)
	for i, id := range gangs {
		w.Expect(id, lifecycle.Waiting, "queued", "queued") // an event says that it is in the queue now
		if rec := w.Record(id); rec.Parked || rec.Why.Code != reason.Behind || rec.Ahead != i+1 {
			t.Errorf("%s: parked %v, reason %v, %d ahead; want it in the queue behind %d", id, rec.Parked, rec.Why, rec.Ahead, i+1)
		}
	}
	w.Vertex.SetJob(w.JobOf("busy"), vertex.JobSucceeded)
	ticks(w, 1)
	w.Expect("wide", lifecycle.Submitted, "queued", "reserved", "submitted")
	w.Vertex.SetJob(w.JobOf("wide"), vertex.JobSucceeded)
	ticks(w, 1)
	for i, id := range gangs {
		events := []string{"queued", "queued", "reserved", "submitted"}
		if i == 0 { // it had the reservation for a minute
			events = append([]string{"queued"}, events...)
		}
		w.Expect(id, lifecycle.Submitted, events...)
	}
}

// A parked request that is first in order delays no other request, and starts
// first when its machines exist.
func TestParkedKeepsItsPlace(t *testing.T) {
	w := New(t)
	w.SetPools(vertex.Running, cpus(4))
	w.Ask(Job{ID: "busy", CPU: 4})
	w.SetPools("REBOOTING", cpus(4))
	ticks(w, 1)
	w.Ask(Job{ID: "gang", CPU: 1, GPU: 1})
	w.Ask(Job{ID: "later", CPU: 4})
	judged(w)
	w.SetPools(vertex.Running, cpus(4), gpus(1))
	ticks(w, 8)
	w.Vertex.SetJob(w.JobOf("busy"), vertex.JobSucceeded)
	ticks(w, 1)
	w.Expect("gang", lifecycle.Submitted, "queued", "queued", "reserved", "submitted")
	w.Expect("later", lifecycle.Waiting, "queued")
}

// A parked request that is cancelled or has waited too long leaves no queue, since
// it is in none: those who are in the queue stay counted.
func TestParkedLeavesNoLine(t *testing.T) {
	w := New(t)
	w.SetPools(vertex.Running, cpus(4))
	w.Ask(Job{ID: "busy", CPU: 4})
	w.SetPools("REBOOTING", cpus(4))
	ticks(w, 1)
	w.Ask(Job{ID: "cancelled", CPU: 1, GPU: 1})
	w.Ask(Job{ID: "expired", CPU: 1, GPU: 1, MaxWait: "90s"})
	w.Ask(Job{ID: "waits", CPU: 1})
	w.Cancel("cancelled")
	ticks(w, 3)
	w.Expect("cancelled", lifecycle.Cancelled, "queued", "cancelled")
	w.Expect("expired", lifecycle.Expired, "queued", "expired")
	if n := w.Document().Queue.Waiting(); n != 1 {
		t.Errorf("%d wait in the queue, want 1", n)
	}
	w.SetPools(vertex.Running, cpus(5))
	ticks(w, 1)
	w.Expect("waits", lifecycle.Submitted, "queued", "reserved", "submitted")
}

// The resource is deleted and only a parked request waits for it. When the
// resource is recreated with the machines that the request needs, a pass must
// start it.
func TestParkedOnADeletedResource(t *testing.T) {
	w := New(t)
	w.SetPools(vertex.Running, cpus(4))
	w.Ask(Job{ID: "first", CPU: 1})
	w.Vertex.SetJob(w.JobOf("first"), vertex.JobSucceeded)
	w.Vertex.SetResource(Resource, vertex.Resource{})
	ticks(w, 1)
	w.Ask(Job{ID: "gang", CPU: 1, GPU: 1})
	if !w.Record("gang").Parked {
		t.Fatal("it is not parked")
	}
	ticks(w, 20)
	if calls := w.Vertex.Calls()["resource"]; calls > 10 {
		t.Errorf("a deleted resource was asked about %d times in 20 minutes", calls)
	}
	w.SetPools(vertex.Running, cpus(4), gpus(1))
	ticks(w, 6)
	w.Expect("gang", lifecycle.Submitted, "queued", "reserved", "submitted")
}
