package controller_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"example.com/berth/internal/ledger"
	"example.com/berth/internal/lifecycle"
	"example.com/berth/internal/sim"
)

// spy is a TB that keeps the bugs that a controller reports.
type spy struct {
	testing.TB
	bugs []string
}

func (s *spy) Errorf(format string, args ...any) {
	for _, a := range args {
		if text, ok := a.([]byte); ok {
			s.bugs = append(s.bugs, string(text))
		}
	}
}

// TestSampleFindsABrokenPromise breaks the ledger by hand: reconcile has to shout.
func TestSampleFindsABrokenPromise(t *testing.T) {
	s := &spy{TB: t}
	w := sim.New(s)
	w.Config.SampleEvery = 1
	w.Controller = w.Instance(w.Config)
	w.Ask(sim.Job{ID: "a", CPU: 1})
	w.After(time.Second)
	if len(s.bugs) != 0 {
		t.Fatalf("a sound ledger is called broken: %v", s.bugs)
	}
	key := w.Record("a").Key
	err := w.Ledger.Update(context.Background(), ledger.Resources(sim.Resource), func(tx ledger.Tx) error {
		res := tx.Resource(sim.Resource)
		h := res.Holds[key]
		h.Ask[0].Replicas = 3
		res.Holds[key] = h
		tx.Put(res)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.After(time.Second)
	if len(s.bugs) == 0 || !strings.Contains(s.bugs[0], "hold-matches") || !strings.Contains(s.bugs[0], string(key)) {
		t.Errorf("reports: %v; want one of hold-matches that names the request", s.bugs)
	}
	if w.State("a") != lifecycle.Submitted {
		t.Errorf("the request is %s", w.State("a"))
	}
}
