package sim

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/berth/internal/controller"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// Versions are applied and rolled back while four instances take in requests. Every request
// goes by one version as a whole, none by one that was replaced before it came, and of those
// who apply at once none writes over another.
func TestPoliciesAreAppliedUnderLoad(t *testing.T) {
	w := New(t)
	w.Config.Tick = time.Nanosecond // each request reads the policy
	w.Config.Policy.MaxAge = time.Hour
	instances := make([]*controller.Controller, 4)
	for i := range instances {
		now := w.Now
		var reads atomic.Int64
		instances[i] = w.instance(w.Config, func() time.Time { return now.Add(time.Duration(reads.Add(1))) })
	}
	// Version n sets a limit of n seconds and the label v to n.
	text := func(n int64) string {
		return fmt.Sprintf(`defaults: {serviceAccounts: any, timeouts: {default: %ds}, labels: {add: {v: "%d"}}}`, n, n)
	}
	if _, err := ledger.WritePolicy(t.Context(), w.Ledger, 0, ledger.Policy{Text: text(1)}); err != nil {
		t.Fatal(err)
	}
	var latest atomic.Int64 // a version that has been written
	latest.Store(1)
	var writers, readers sync.WaitGroup
	var conflicts, taken atomic.Int64
	done := make(chan struct{})
	for range 3 {
		writers.Go(func() {
			for latest.Load() < 40 {
				from := latest.Load()
				for mark := taken.Load(); taken.Load() < mark+8; { // requests come between two versions
					runtime.Gosched()
				}
				p, err := ledger.WritePolicy(context.Background(), w.Ledger, from, ledger.Policy{Text: text(from + 1)})
				if conflict := (*ledger.PolicyConflictError)(nil); errors.As(err, &conflict) {
					conflicts.Add(1)
					latest.CompareAndSwap(from, conflict.Current)
					continue
				} else if err != nil {
					continue // busy
				}
				latest.CompareAndSwap(from, p.Version)
			}
		})
	}
	var least sync.Map // by request id: the version in force before it came
	for i, c := range instances {
		readers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				id := fmt.Sprintf("r%d-%d", i, n)
				least.Store(id, latest.Load())
				d := message.Delivery{ID: "m" + id, PublishTime: w.Now, Data: Job{ID: id, CPU: 4, OnFull: "reject"}.Body()}
				for c.Handle(context.Background(), Tenant, d) != nil { //nolint:revive // delivered until it is taken
				}
				taken.Add(1)
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	seen := map[int64]bool{}
	records, _ := stored(w.Ledger)
	for _, r := range records {
		if r.Kind != message.KindRequest {
			continue
		}
		seen[r.PolicyVersion] = true
		before, _ := least.Load(r.ID)
		if r.PolicyVersion < before.(int64) {
			t.Errorf("%s goes by version %d, after version %v was written", r.ID, r.PolicyVersion, before)
		}
		if want := fmt.Sprint(r.PolicyVersion); r.Labels["v"] != want || r.Timeout != time.Duration(r.PolicyVersion)*time.Second {
			t.Errorf("%s of version %d has the label %q and the limit %s", r.ID, r.PolicyVersion, r.Labels["v"], r.Timeout)
		}
	}
	if conflicts.Load() == 0 {
		t.Log("no two were written at once")
	}
	if len(seen) < 10 {
		t.Errorf("requests met only %d versions", len(seen))
	}
	for v := int64(1); v <= latest.Load(); v++ {
		err := ledger.Read(t.Context(), w.Ledger, ledger.Policies(ledger.PolicyName(v)), func(tx ledger.Tx) {
			if p := ledger.Get[*ledger.Policy](tx, ledger.PolicyRef(ledger.PolicyName(v))); p == nil || p.Text != text(v) {
				t.Errorf("version %d is %+v", v, p)
			}
		})
		if err != nil {
			t.Error(err)
		}
	}
}
