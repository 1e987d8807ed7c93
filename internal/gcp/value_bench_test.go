package gcp

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"example.com/berth/internal/allocation"
	"example.com/berth/internal/ledger"
	"example.com/berth/internal/ledger/ledgertest"
	"example.com/berth/internal/message"
)

// A sized document is one as a busy deployment has it.
type sized struct {
	name string
	doc  ledger.Document
}

// sizedDocs are resources from empty to as full as a day of bursts makes them,
// and records with a job of the usual size and with one near the limit of
// [message.MaxData].
func sizedDocs() (all []sized) {
	for _, holds := range []int{0, 50, 1000} {
		for _, workerPools := range []int{1, 4} {
			if holds == 0 && workerPools > 1 {
				continue // no holds, so no worker pools
			}
			r := ledgertest.BigResource(workerPools)
			some := map[message.Key]ledger.Hold{} // a map that held more would be as slow as a large one
			for key, h := range r.Holds {
				if len(some) < holds {
					some[key] = h
				}
			}
			r.Holds = some
			all = append(all, sized{fmt.Sprintf("resource/holds=%d/pools=%d", holds, workerPools), ledger.Normal(r)})
		}
	}
	for _, kib := range []int{2, 200} {
		r := ledgertest.BigRecord()
		r.Spec = strings.Repeat(`{"text":"\n"}...`, kib<<10/16)
		all = append(all, sized{fmt.Sprintf("record/spec=%dKiB", kib), ledger.Normal(r)})
	}
	return all
}

func BenchmarkOperations(b *testing.B) { allocation.Bench(b, operations(b)) }

func operations(t testing.TB) (all []allocation.Operation) {
	t.Helper()
	for _, d := range sizedDocs() {
		stored, err := ledger.Marshal(d.doc)
		if err != nil {
			t.Fatal(err)
		}
		empty := reflect.TypeOf(d.doc).Elem()
		all = append(all,
			allocation.Operation{Name: "encode/" + d.name, Do: func() { _, _ = ledger.Marshal(d.doc) }},
			allocation.Operation{Name: "decode/" + d.name, Do: func() {
				_ = ledger.Unmarshal(stored, ledger.Layout, 0, reflect.New(empty).Interface().(ledger.Document))
			}},
		)
	}
	return all
}

func TestAllocations(t *testing.T) { allocation.Hold(t, "internal/gcp", operations(t)) }
