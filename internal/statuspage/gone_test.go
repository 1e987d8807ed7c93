package statuspage

import (
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/capacity"
	"example.com/berth/internal/reason"
	"example.com/berth/internal/vertex"
)

// TestQueueShowsParked: a request that no pool can ever fit is in no queue, and
// is listed as waiting.
func TestQueueShowsParked(t *testing.T) {
	w := newWorld(t)
	w.send(job("first", cpu, 4, 0))
	w.send(job("wide", cpu, 3, 0))
	r, _ := w.vertex.Peek(prName)
	r.Pools = []capacity.Pool{{ID: "cpu", Shape: cpu, Count: 2}}
	w.vertex.SetResource(prName, r)
	w.reconcile()
	q := get[Queue](w, "/queue")
	if len(q.Waiting) != 1 || q.Waiting[0].ID != "wide" || !q.Waiting[0].Parked || q.Waiting[0].Position != 0 {
		t.Fatalf("%+v", q.Waiting)
	}
	if why := q.Waiting[0].Reason; why == nil || why.Code != reason.TooManyReplicas {
		t.Errorf("its reason is %+v", why)
	}
	w.send(job("narrow", cpu, 1, -5))
	if q = get[Queue](w, "/queue?limit=1"); len(q.Waiting) != 1 || q.Next == "" {
		t.Fatalf("the first page of two: %+v", q)
	}
	if q = get[Queue](w, "/queue?limit=1&after="+q.Next); len(q.Waiting) != 1 || q.Waiting[0].ID != "narrow" || q.Waiting[0].Parked || q.Waiting[0].Position != 1 {
		t.Errorf("the second page: %+v", q.Waiting)
	}
}

// TestAbsentResourceHasNoMachines: the pools of the last observation are not
// shown as present.
func TestAbsentResourceHasNoMachines(t *testing.T) {
	w := busy(t)
	w.vertex.SetResource(prName, vertex.Resource{})
	w.reconcile()
	res := get[Pools](w, "/pools").Resources[0]
	if res.State != "ABSENT" || len(res.Pools) != 2 {
		t.Fatalf("%+v", res)
	}
	for _, p := range res.Pools {
		if p.Count != 0 || p.Max != 0 || p.Used != 0 || p.Limit != 0 {
			t.Errorf("pool %+v", p)
		}
	}
	for _, s := range res.Shapes {
		if s.Limit != 0 || s.Free != 0 || s.Overdrawn != 0 {
			t.Errorf("shape %+v", s)
		}
	}
	for _, e := range get[Queue](w, "/queue").Waiting {
		if e.Verdict != admission.Wait || e.Reason.Code != reason.ResourceGone || e.Fit != nil {
			t.Errorf("%s: %s %+v, fit %v", e.ID, e.Verdict, e.Reason, e.Fit)
		}
	}
}

// reconcile moves the clock by a minute and makes a pass.
func (w *world) reconcile() {
	w.t.Helper()
	w.now = w.now.Add(time.Minute)
	if _, err := w.c.Reconcile(w.t.Context(), "tick", time.Second); err != nil {
		w.t.Fatal(err)
	}
}
