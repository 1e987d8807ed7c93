package sim

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// askAs sends a request of a tenant.
func (w *World) askAs(tenant string, j Job) {
	w.Helper()
	w.messages++
	w.Now = w.Now.Add(time.Millisecond)
	if err := w.Controller.Handle(context.Background(), tenant, message.Delivery{ID: fmt.Sprintf("m%d", w.messages), PublishTime: w.Now, Data: j.Body()}); err != nil {
		w.Fatalf("request %s was not taken: %v", j.ID, err)
	}
}

// within is a job with a time limit.
func within(id string, cpu int, limit string) Job {
	return Job{ID: id, CPU: cpu, Spec: map[string]any{"scheduling": map[string]any{"timeout": limit}}}
}

// runAll has all jobs run that are submitted.
func (w *World) runAll() {
	w.Helper()
	for _, j := range w.Vertex.Jobs() {
		if j.State == vertex.JobPending || j.State == vertex.JobQueued {
			w.Vertex.SetJob(j.Name, vertex.JobRunning)
		}
	}
	w.After(time.Minute)
}

const quotasOfTwo = `
defaults: {serviceAccounts: any}
tenants:
  owner:
    shares: [{persistentResource: pool, shape: n1-standard-4/pd-ssd:100, replicas: 2}]
  guest:
    maxWaiting: 3
    shares: [{persistentResource: pool, shape: n1-standard-4/pd-ssd:100, replicas: 1, cap: 3}]
  busy:
    maxRunning: 1
`

// A tenant that borrows gives the share of another back as its jobs end, before its own
// requests that wait longer; its cap keeps it below the pool, and others are not kept
// waiting by that.
func TestSharesInTheLedger(t *testing.T) {
	w := New(t)
	w.SetPools(vertex.Running, cpus(4))
	w.apply(quotasOfTwo)
	for i := range 4 {
		w.askAs("guest", within(fmt.Sprint("g", i), 1, "3600s"))
	}
	w.Expect("g2", lifecycle.Submitted, "reserved", "submitted")
	w.Expect("g3", lifecycle.Waiting, "queued")
	if why := w.Record("g3").Why; why == nil || why.Code != reason.OverQuota || !strings.Contains(why.Detail, "holds 3 of the 3") {
		t.Errorf("g3 waits because of %v", why)
	}
	w.askAs("owner", within("o0", 1, "3600s")) // the cap of the guest leaves it a machine
	w.Expect("o0", lifecycle.Submitted, "reserved", "submitted")
	w.askAs("busy", within("b0", 1, "3600s"))
	w.Expect("b0", lifecycle.Waiting, "queued")
	w.askAs("owner", within("o1", 1, "36000s")) // comes last, for long, and is the owner's own
	w.Expect("o1", lifecycle.Waiting, "queued")
	if rec := w.Record("o1"); !rec.Place.Within || rec.Place.Offset != 0 {
		t.Errorf("o1 has the place %+v, want one within the share", rec.Place)
	}
	if rec := w.Record("b0"); rec.Place.Within || rec.Place.Offset < 6*time.Hour || rec.Place.Offset > 12*time.Hour {
		t.Errorf("b0 has the place %+v, want an offset of 6 to 12 hours", rec.Place)
	}
	w.runAll()
	w.Vertex.SetJob(w.JobOf("g0"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("o1", lifecycle.Submitted, "queued", "reserved", "submitted")
	if s := w.State("b0"); s != lifecycle.Waiting {
		t.Errorf("b0 is %s while the owner's share comes back", s)
	}
	w.Vertex.SetJob(w.JobOf("g1"), vertex.JobSucceeded)
	w.After(time.Minute)
	if a, b := w.State("b0"), w.State("g3"); a.Holds() == b.Holds() {
		t.Errorf("one machine is free: b0 is %s and g3 %s", a, b)
	}
	if used := w.Document().Used; used["guest"].Replicas <= 0 || used["owner"].Replicas <= 0 {
		t.Errorf("what tenants have used of late is %v", used)
	}
}

// As many requests of a tenant wait, and hold machines, as its quota allows; others are
// refused, and wait.
func TestBoundsOfATenant(t *testing.T) {
	w := New(t)
	w.SetPools(vertex.Running, cpus(4))
	w.apply(quotasOfTwo)
	w.askAs("busy", Job{ID: "b0", CPU: 1})
	w.askAs("busy", Job{ID: "b1", CPU: 1})
	w.Expect("b1", lifecycle.Waiting, "queued")
	if why := w.Record("b1").Why; why == nil || why.Code != reason.OverQuota || !strings.Contains(why.Detail, "1 request of the tenant holds machines, of 1") {
		t.Errorf("b1 waits because of %v", why)
	}
	for i := range 7 {
		w.askAs("guest", Job{ID: fmt.Sprint("g", i), CPU: 1})
	}
	w.Expect("g5", lifecycle.Waiting, "queued")
	w.Expect("g6", lifecycle.Rejected, "rejected")
	if why := w.Record("g6").Why; why.Code != reason.QueueFull || !strings.Contains(why.Detail, "3 requests of the tenant wait") || why.Fix == "" {
		t.Errorf("g6 was refused for %v", why)
	}
	w.askAs("guest", Job{ID: "large", CPU: 4})
	w.Expect("large", lifecycle.Rejected, "rejected")
	if why := w.Record("large").Why; why.Code != reason.OverQuota || why.Path != "job.jobSpec.workerPoolSpecs[0].replicaCount" || !strings.Contains(why.Fix, "at most 3") {
		t.Errorf("large was refused for %v", why)
	}
	w.runAll()
	w.Vertex.SetJob(w.JobOf("b0"), vertex.JobSucceeded)
	w.After(time.Minute)
	w.Expect("b1", lifecycle.Submitted, "queued", "reserved", "submitted")
}

// A quota that is lowered holds for what waits, a tick later; what runs goes on.
func TestAQuotaIsLowered(t *testing.T) {
	w := New(t)
	w.SetPools(vertex.Running, cpus(4))
	w.askAs("guest", within("g0", 3, "3600s"))
	w.askAs("guest", within("g1", 4, "3600s"))
	w.Expect("g1", lifecycle.Waiting, "queued")
	w.apply(quotasOfTwo) // a cap of 3
	w.askAs("owner", within("o0", 1, "3600s"))
	w.runAll()
	w.After(w.Config.Tick)
	w.Vertex.SetJob(w.JobOf("g0"), vertex.JobSucceeded)
	ticks(w, 3)
	if s := w.State("g1"); s != lifecycle.Waiting {
		t.Fatalf("g1 is %s, beyond the cap of its tenant", s)
	}
	w.askAs("owner", within("o1", 3, "3600s"))
	w.Expect("o1", lifecycle.Submitted, "reserved", "submitted")
	w.apply(strings.ReplaceAll(quotasOfTwo, "cap: 3", "cap: 4"))
	w.Vertex.SetJob(w.JobOf("o0"), vertex.JobSucceeded)
	w.runAll()
	w.Vertex.SetJob(w.JobOf("o1"), vertex.JobSucceeded)
	ticks(w, 3)
	if s := w.State("g1"); !s.Holds() {
		t.Errorf("g1 is %s with the cap raised", s)
	}
}

// An instance that has not read the policy yet reads it before it decides parked requests.
func TestParkedUnderThePolicy(t *testing.T) {
	w := New(t)
	w.SetPools(vertex.Running, cpus(4))
	w.apply("defaults: {serviceAccounts: any, maxRunning: 1}")
	w.Ask(Job{ID: "cpu", CPU: 1})
	w.SetPools("REBOOTING", cpus(4))
	w.After(time.Minute)
	w.Ask(Job{ID: "gpu", GPU: 1})
	w.SetPools(vertex.Running, cpus(4))
	w.After(time.Minute)
	if !w.Record("gpu").Parked {
		t.Fatalf("gpu is not parked: %+v", w.Record("gpu").Why)
	}
	w.SetPools(vertex.Running, cpus(4), gpus(4))
	w.Controller = w.Instance(w.Config)
	w.After(time.Minute)
	if rec := w.Record("gpu"); rec.State != lifecycle.Waiting || rec.Parked || rec.Why == nil || rec.Why.Code != reason.OverQuota {
		t.Errorf("gpu is %s, parked %t, because of %v", rec.State, rec.Parked, rec.Why)
	}
}
