package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/vertex"
)

// A newerLedger is the ledger of a release after this one: it puts a field that this
// one does not know into every document that it writes.
type newerLedger struct{ ledger.Ledger }

func (l newerLedger) Update(ctx context.Context, names ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) error {
	return l.Ledger.Update(ctx, names, func(tx ledger.Tx) error { return closure(ledger.Tx{Docs: newerDocs{tx.Docs}}) }, hints...)
}

type newerDocs struct{ ledger.Documents }

func (d newerDocs) Put(doc ledger.Document) *ledger.UnreadableError {
	text, err := ledger.Marshal(doc)
	if err != nil {
		panic(err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		panic(err)
	}
	members["later"] = json.RawMessage(`"` + doc.Ref().Name + `"`)
	if text, err = json.Marshal(members); err != nil {
		panic(err)
	}
	newer := ledger.New(ledger.Ref{Kind: doc.Ref().Kind})
	if err := ledger.Unmarshal(text, ledger.Layout+1, ledger.Layout, newer); err != nil {
		panic(err)
	}
	return d.Documents.Put(newer)
}

// A fleet of this release and the next one, in any mixture, ends every request as this
// release alone does, and no document loses what the next one has written into it:
// neither while both run nor after a roll-back.
func TestMixedFleet(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w, rng := New(t), rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- a draw that can be repeated
			this := w.Controller
			next := w.over(newerLedger{w.Ledger}, w.Config, func() time.Time { return w.Now })
			marked := map[ledger.Ref]bool{} // documents that the next release has written
			w.Ledger.Wrote = func(ref ledger.Ref, before, after ledger.Document) {
				has := ledger.NewerOf(after) != nil
				if before != nil && ledger.NewerOf(before) != nil && !has {
					t.Errorf("%s has lost what the next release wrote", ref)
				}
				marked[ref] = marked[ref] || has
			}
			choose := func(share float64) {
				if w.Controller = this; rng.Float64() < share {
					w.Controller = next
				}
			}
			var ids []string
			for i := range 60 {
				choose([]float64{0, 0.5, 1, 0.5, 0}[i/12]) // upgraded, and rolled back
				switch rng.IntN(6) {
				case 0, 1:
					ids = append(ids, fmt.Sprint("r", i))
					w.Ask(Job{ID: ids[len(ids)-1], CPU: rng.IntN(4), GPU: 1 + rng.IntN(2), Priority: rng.IntN(3)})
				case 2:
					if len(ids) > 0 {
						w.Cancel(ids[rng.IntN(len(ids))])
					}
				case 3:
					for _, j := range w.Vertex.Jobs() {
						if !j.State.Ended() && rng.IntN(2) == 0 {
							w.Vertex.SetJob(j.Name, []vertex.JobState{vertex.JobRunning, vertex.JobSucceeded, vertex.JobFailed}[rng.IntN(3)])
						}
					}
				default:
					w.After(time.Minute)
				}
			}
			w.Controller = this
			for range 40 {
				for _, j := range w.Vertex.Jobs() {
					if !j.State.Ended() {
						w.Vertex.SetJob(j.Name, vertex.JobSucceeded)
					}
				}
				w.After(time.Minute)
			}
			for _, id := range ids {
				if s := w.State(id); !s.Terminal() {
					t.Errorf("%s is %s", id, s)
				}
			}
			w.CheckHolds()
			if len(marked) < 3 {
				t.Errorf("the next release wrote %d documents", len(marked))
			}
		})
	}
}
