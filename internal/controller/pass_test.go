package controller

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/message"
	"example.com/berth/internal/vertex"
)

// slowToList is a ledger whose list of resources takes longer than a pass waits.
type slowToList struct {
	*ledger.Mem
	takes time.Duration
}

func (l slowToList) Resources(ctx context.Context, after string, limit int) ([]*ledger.Resource, error) {
	time.Sleep(l.takes) // virtual
	return l.Mem.Resources(ctx, after, limit)
}

type noOutcomes struct{}

func (noOutcomes) Publish(context.Context, ...message.Outcome) error { return nil }

// A part that outlasts its pass goes by what it was started with. Reconcile writes
// down when regions have rested as soon as the pass is over: with one map for both,
// the part reads while that is written, which ends the process.
func TestPartOutlastsItsPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const parent = "projects/p/locations/us-central1"
		name := parent + "/persistentResources/pool"
		mem, ai := ledger.NewMem(time.Now), vertex.NewMem(time.Now)
		ai.SetResource(name, vertex.Resource{State: vertex.Running, CreateTime: time.Unix(1, 0)})
		err := mem.Update(t.Context(), ledger.Resources(name), func(tx ledger.Tx) error {
			tx.Put(&ledger.Resource{Name: name, State: vertex.Running, CreateTime: time.Unix(1, 0)})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		cfg := DefaultConfig()
		cfg.Project, cfg.Regions = "p", []string{"us-central1"}
		c := New(cfg, slowToList{mem, 3 * cfg.Poll}, ai, noOutcomes{}, slog.New(slog.DiscardHandler), RealEnv())
		parts, next := newTasks(false), map[string]time.Time{}
		c.pass(t.Context(), time.Now, parts, next)
		if _, under := parts.progress(); !under {
			t.Fatal("the pass has waited for the list of resources")
		}
		next[parent] = time.Now().Add(time.Hour) // what Reconcile does after a pass
		parts.all.Wait()
		if n := ai.Calls()["live"]; n != 1 {
			t.Errorf("the region was listed %d times by a part that started before it was to rest, want once", n)
		}
	})
}
