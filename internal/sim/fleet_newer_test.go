package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// A newerLedger is the ledger of a release after this one: it puts a field that this
// one does not know into every document that it writes, which releases since a layout may
// read.
type newerLedger struct {
	ledger.Ledger
	since int
}

func (l newerLedger) Update(ctx context.Context, names ledger.ReadSet, closure func(ledger.Tx) error, hints ...ledger.Hints) error {
	return l.Ledger.Update(ctx, names, func(tx ledger.Tx) error { return closure(ledger.Tx{Docs: newerDocs{tx.Docs, l.since}}) }, hints...)
}

type newerDocs struct {
	ledger.Documents
	since int
}

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
	if err := ledger.Unmarshal(text, ledger.Layout+1, d.since, newer); err != nil {
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
			next := w.over(newerLedger{w.Ledger, ledger.Since}, w.Config, func() time.Time { return w.Now })
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

// After a roll-back from a release whose documents this one may not read, it leaves all of
// them alone, says which they are, and starts, cancels and frees nothing of theirs. When the
// newer release is deployed again it finishes every request with the one job that it has.
func TestRollbackFromWhatCannotBeRead(t *testing.T) {
	w := newListening(t)
	this, next := w.Controller, w.over(newerLedger{w.Ledger, ledger.Layout + 1}, w.Config, func() time.Time { return w.Now })
	newer := func() (refs []ledger.Ref) {
		w.Ledger.Each(func(ref ledger.Ref, doc ledger.Document, _ int) {
			if n := ledger.NewerOf(doc); n != nil && !ledger.Readable(n.Layout, n.Since) {
				refs = append(refs, ref)
			}
		})
		return refs
	}
	w.Ask(Job{ID: "early", CPU: 1})
	w.Controller = next
	w.After(time.Minute)
	w.Ask(Job{ID: "ends", CPU: 2})
	w.Ask(Job{ID: "runs", CPU: 1})
	w.Ask(Job{ID: "waits", CPU: 2})
	w.Vertex.SetJob(w.JobOf("runs"), vertex.JobRunning)
	w.After(time.Minute)
	w.Expect("waits", lifecycle.Waiting, "queued")

	w.Controller = this
	left := newer()
	for _, ref := range left {
		w.Ledger.Spoil(ref, "it has a later layout")
	}
	if !slices.Contains(left, ledger.ResourceRef(Resource)) || len(left) < 5 {
		t.Fatalf("the newer release has written %v", left)
	}
	w.Ledger.Wrote = func(ref ledger.Ref, _, _ ledger.Document) {
		if slices.Contains(left, ref) {
			t.Errorf("%s was written by a release that cannot read it", ref)
		}
	}
	calls := w.Vertex.Calls()
	w.Vertex.SetJob(w.JobOf("ends"), vertex.JobSucceeded)
	later := Job{ID: "later", GPU: 1}.Body()
	id, err := w.Try(later)
	if err == nil {
		t.Error("a request for the persistent resource was taken") // it is to be delivered again
	}
	for range 15 {
		w.After(time.Minute)
	}
	for _, op := range []string{"create", "cancel"} {
		if n := w.Vertex.Calls()[op] - calls[op]; n != 0 {
			t.Errorf("%d calls of %s", n, op)
		}
	}
	if n := w.logged[ledger.ResourceRef(Resource).String()]; n == 0 {
		t.Errorf("the log does not name the persistent resource: %v", w.logged)
	}

	w.Ledger.Wrote = nil
	for _, ref := range left {
		w.Ledger.Heal(ref)
	}
	w.Controller = next
	w.Again(id, later)
	w.After(10 * time.Minute)
	w.Expect("ends", lifecycle.Succeeded, "reserved", "submitted", "succeeded")
	w.Expect("runs", lifecycle.Running, "reserved", "submitted", "started")
	w.Expect("waits", lifecycle.Submitted, "queued", "reserved", "submitted")
	w.Expect("later", lifecycle.Submitted, "reserved", "submitted")
	jobs := map[message.Key]int{}
	for _, j := range w.Vertex.Jobs() {
		if jobs[j.Request]++; jobs[j.Request] > 1 {
			t.Errorf("request %s has %d jobs", j.Request, jobs[j.Request])
		}
	}
	if len(jobs) != 5 {
		t.Errorf("%d requests have jobs, want 5", len(jobs))
	}
}
