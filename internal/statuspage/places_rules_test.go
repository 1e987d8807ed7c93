package statuspage

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"example.com/berth/internal/admission"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
)

// TestAheadByEachShape: a request for several shapes is ahead of those that ask for any of
// them, and behind those.
func TestAheadByEachShape(t *testing.T) {
	w := newWorld(t)
	w.send(job("fills-cpu", cpu, 4, 0))
	w.send(job("fills-gpu", gpu, 4, 0))
	both := job("both", cpu, 2, 0)
	var envelope map[string]any
	if err := json.Unmarshal(both, &envelope); err != nil {
		t.Fatal(err)
	}
	spec := envelope["job"].(map[string]any)["jobSpec"].(map[string]any)
	spec["workerPoolSpecs"] = append(spec["workerPoolSpecs"].([]any), map[string]any{"machineSpec": map[string]any{"machineType": gpu.Spec().MachineType,
		"acceleratorType": "NVIDIA_L4", "acceleratorCount": 1}, "replicaCount": 1, "containerSpec": map[string]any{"imageUri": "i"}})
	both, _ = json.Marshal(envelope)
	w.send(both)
	w.send(job("cpu-after", cpu, 2, 0))
	w.send(job("gpu-after", gpu, 2, 0))
	w.send(job("gpu-last", gpu, 2, 0))
	want := map[string]int{"both": 0, "cpu-after": 1, "gpu-after": 1, "gpu-last": 2}
	q := get[Queue](w, "/queue")
	if len(q.Waiting) != len(want) {
		t.Fatalf("%d wait", len(q.Waiting))
	}
	for _, e := range q.Waiting {
		if one := get[Request](w, "/requests/"+e.ID); *e.Ahead != want[e.ID] || *one.Ahead != want[e.ID] {
			t.Errorf("%s has %d ahead in the queue, and %d by itself, want %d", e.ID, *e.Ahead, *one.Ahead, want[e.ID])
		}
	}
}

// TestPagesOverNamedResources: pages of requests go on within the resource where the one
// before ended, also if the client names the resources.
func TestPagesOverNamedResources(t *testing.T) {
	w := newWorld(t)
	for i := range 5 {
		w.send(job(fmt.Sprintf("r%d", i), cpu, 2, 0))
	}
	for _, path := range []string{"/requests?limit=2", "/requests?limit=2&resource=pool", "/requests?limit=2&resource=pool&state=WAITING"} {
		var seen []string
		for after := ""; ; {
			list := get[Requests](w, path+"&after="+after)
			for _, r := range list.Requests {
				seen = append(seen, r.ID)
			}
			if after = list.Next; after == "" || len(seen) > 9 {
				break
			}
		}
		want := 5
		if path != "/requests?limit=2" && path != "/requests?limit=2&resource=pool" {
			want = 3
		}
		if len(seen) != want {
			t.Errorf("%s shows %v, want %d", path, seen, want)
		}
	}
}

// TestPoolsBesideAnUnreadablePause: pools are shown while the document of the tenants'
// pauses cannot be read, and name none of them.
func TestPoolsBesideAnUnreadablePause(t *testing.T) {
	w := newWorld(t)
	w.send(job("a", cpu, 1, 0))
	ref := ledger.PauseRef(ledger.TenantPauses)
	if err := w.ledger.Update(t.Context(), ledger.AllPauses(), func(tx ledger.Tx) error {
		tx.Put(&ledger.Pauses{Name: ledger.TenantPauses, Tenants: map[string]admission.Pause{"default": {Since: w.now, Who: "ann", Reason: "r"}}})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if p := get[Pools](w, "/pools"); len(p.PausedTenants) != 1 {
		t.Errorf("%v are paused", p.PausedTenants)
	}
	w.ledger.Spoil(ref, "it has layout 9")
	if p := get[Pools](w, "/pools"); len(p.PausedTenants) != 0 || len(p.Resources) != 1 {
		t.Errorf("%v are paused, %d resources", p.PausedTenants, len(p.Resources))
	}
}

// TestAheadOfAWaitingRequestWithoutItsResource: what is stored is shown.
func TestAheadOfAWaitingRequestWithoutItsResource(t *testing.T) {
	for _, state := range []lifecycle.State{lifecycle.Waiting, lifecycle.Running} {
		d := &handler{}
		rec := &ledger.Record{Ahead: 7}
		rec.State = state
		l, err := d.reasons(t.Context(), rec, nil, time.Time{})
		if err != nil || (l.Ahead != nil) != (state == lifecycle.Waiting) || l.Ahead != nil && *l.Ahead != 7 {
			t.Errorf("%s: %+v, %v", state, l, err)
		}
	}
}
