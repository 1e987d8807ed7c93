package gcp

import (
	"fmt"
	"testing"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
)

// Updates on the official emulator: alone, with each writer on a record of its
// own, and with all on one record.
func BenchmarkUpdate(b *testing.B) {
	add := func(key message.Key) func(ledger.Tx) error {
		return func(tx ledger.Tx) error {
			r := tx.Record(key)
			if r == nil {
				r = &ledger.Record{Key: key}
			}
			r.Sequence++
			tx.Put(r)
			return nil
		}
	}
	b.Run("read", func(b *testing.B) {
		l := openEmulator(b, &proxy{})
		for b.Loop() {
			if err := ledger.Read(b.Context(), l, justK, func(ledger.Tx) {}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("alone", func(b *testing.B) {
		l := openEmulator(b, &proxy{})
		for b.Loop() {
			if err := l.Update(b.Context(), justK, add("k")); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, shared := range []bool{false, true} {
		b.Run(fmt.Sprintf("16 writers, one record %v", shared), func(b *testing.B) {
			l := openEmulator(b, &proxy{})
			b.SetParallelism(8) // times 2 processors
			next := make(chan message.Key, 64)
			for i := range cap(next) {
				next <- message.Key(fmt.Sprint("k", i))
			}
			b.RunParallel(func(pb *testing.PB) {
				key := <-next
				if shared {
					key = "k"
				}
				for pb.Next() {
					for err := ledger.ErrBusy; err != nil; {
						if err = l.Update(b.Context(), ledger.Records(key), add(key)); err != nil && err != ledger.ErrBusy {
							b.Error(err)
							return
						}
					}
				}
			})
			b.ReportMetric(float64(l.RPCs()["Commit"])/float64(b.N), "commits/op")
		})
	}
}
