package ledger_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/ledger/ledgertest"
	"example.com/berth/internal/message"
	"example.com/berth/internal/reason"
)

// A ledger in memory refuses what Firestore does: a document beyond 1 MiB, a
// commit beyond 10 MiB. Nothing is written then.
func TestMemRefusesWhatIsTooLarge(t *testing.T) {
	put := func(m *ledger.Mem, n, bytes int) error {
		var keys []message.Key
		for i := range n {
			keys = append(keys, message.Key(fmt.Sprint("k", i)))
		}
		return m.Update(t.Context(), ledger.Records(keys...), func(tx ledger.Tx) error {
			for _, key := range keys {
				tx.Put(&ledger.Record{Key: key, Spec: strings.Repeat("x", bytes)})
			}
			return nil
		})
	}
	for _, test := range []struct {
		n, bytes int
		refused  bool
	}{
		{1, 1000 << 10, false}, {1, 1<<20 + 1, true}, {20, 500 << 10, false}, {21, 500 << 10, true}, {1000, 100, false},
	} {
		m := ledger.NewMem(nil)
		err := put(m, test.n, test.bytes)
		if refused := errors.Is(err, ledger.ErrRefused); refused != test.refused || !refused && err != nil {
			t.Errorf("%d documents of %d bytes: %v", test.n, test.bytes, err)
		}
		want := test.n
		if test.refused {
			want = 0
		}
		if got := len(m.Records()); got != want {
			t.Errorf("%d documents of %d bytes: %d are there", test.n, test.bytes, got)
		}
	}
}

// Weights are not below what is stored, and not several times of it.
func TestWeights(t *testing.T) {
	long := strings.Repeat("a long text with \"quotes\" ", 100)
	finding := capacity.Finding{Shape: capacity.Spec{MachineType: "n1-standard-4"}.Normal(), Pools: []string{"pool-0"},
		Nearest: []capacity.PoolDiff{{Pool: "pool-0", Fields: []capacity.FieldDiff{{Field: "machineSpec.machineType", Asked: long, Pool: "b"}}}},
		Edits:   []capacity.Edit{{Path: "workerPoolSpecs[0].machineSpec.machineType", From: long, To: "b"}}}
	many := ledgertest.BigRecord()
	many.Spec, many.Labels = "", map[string]string{}
	for i := range 64 {
		many.Labels[fmt.Sprintf("label-%057d", i)] = strings.Repeat("v", 63)
	}
	for range 30 {
		many.Append(message.Outcome{Type: message.Queued, Reason: &reason.Problem{Detail: long}, Fit: []capacity.Finding{finding}}, time.Unix(1, 0))
	}
	for name, r := range map[string]*ledger.Record{"large job": ledgertest.BigRecord(), "many events": many} {
		if w, n := r.Weight(), ledger.Size(r); w < n || w > 2*n {
			t.Errorf("%s: weight %d, %d bytes are stored", name, w, n)
		}
	}
	for pools := range 5 {
		r := ledgertest.BigResource(pools)
		for key, h := range r.Holds {
			h.Job = "projects/123456789012/locations/northamerica-northeast1/customJobs/1234567890123456789"
			r.Holds[key] = h
		}
		for i := range ledger.MaxForeign {
			r.AddForeign(fmt.Sprint("projects/123456789012/locations/northamerica-northeast1/customJobs/12345678901234", i), r.Holds[message.KeyOf("some-team", message.KindRequest, "request-1")].Ask, time.Unix(1, 0))
		}
		if w, n := r.Weight(), ledger.Size(r); w < n || w > 2*n {
			t.Errorf("resource with holds of %d worker pools: weight %d, %d bytes are stored", pools, w, n)
		}
	}
}

// A resource document never outgrows the limit: holds stop before, and foreign
// jobs are summed up beyond the first.
func TestResourceStaysWithinADocument(t *testing.T) {
	big := ledgertest.BigResource(4)
	r := &ledger.Resource{Name: big.Name, Pools: big.Pools}
	for key, h := range big.Holds {
		if !r.HasRoom() {
			break
		}
		h.Job = "projects/123456789012/locations/northamerica-northeast1/customJobs/1234567890123456789"
		if r.Holds == nil {
			r.Holds = map[message.Key]ledger.Hold{}
		}
		r.Holds[key] = h
	}
	if n := len(r.Holds); n < 900 || n == ledger.MaxHolds {
		t.Errorf("room for %d holds of four worker pools each", n)
	}
	use := r.Use()
	ask := capacity.Ask{{Shape: big.Pools[0].Shape, Replicas: 2}}
	const foreign = 6000
	for i := range foreign {
		r.AddForeign(fmt.Sprint("projects/123456789012/locations/northamerica-northeast1/customJobs/12345678901234", i), ask, time.Unix(1, 0))
	}
	r.Recompute()
	if n := ledger.Size(r); n > ledger.MaxDocument {
		t.Errorf("the document has %d bytes", n)
	}
	shape := big.Pools[0].Shape
	if got := r.Use()[shape] - use[shape]; got != 2*foreign || r.ForeignJobs != foreign || len(r.Foreign) != ledger.MaxForeign || r.ForeignUse()[shape] != 2*foreign {
		t.Errorf("foreign use %d of %d jobs, %d listed, want %d of %d", got, r.ForeignJobs, len(r.Foreign), 2*foreign, foreign)
	}
	r.ClearForeign()
	r.Recompute()
	if got := r.Use()[shape]; got != use[shape] || r.ForeignJobs != 0 {
		t.Errorf("without them %d replicas are in use, want %d", got, use[shape])
	}
}

// The story of a request stays within bounds of bytes, and nothing unpublished is
// dropped.
func TestOutboxIsBoundedByBytes(t *testing.T) {
	r := &ledger.Record{Key: "k"}
	for i := range 200 {
		r.Append(message.Outcome{Type: message.Queued, Reason: &reason.Problem{Detail: strings.Repeat("x", 8<<10)}}, time.Unix(int64(i), 0))
		if i > 2 {
			r.Outbox[len(r.Outbox)-2].Published = true
		}
	}
	if n := ledger.Size(r); n > 160<<10 {
		t.Errorf("%d bytes of %d outbox events", n, len(r.Outbox))
	}
	if first := r.Outbox[0]; first.Published || first.Outcome.Sequence != 1 {
		t.Errorf("the first outbox event, which is unpublished, is gone: %+v", first.Outcome.Sequence)
	}
}
