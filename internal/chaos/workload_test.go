package chaos

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"example.com/berth/internal/message"
)

func workloadOf(seed uint64, n int) []plannedMessage {
	c := &workload{rng: rand.New(rand.NewPCG(seed, 0))}
	return c.wave(n, time.Minute)
}

func TestWorkloadRepeats(t *testing.T) {
	if !reflect.DeepEqual(workloadOf(1, 200), workloadOf(1, 200)) {
		t.Error("one seed, two workloads")
	}
	if reflect.DeepEqual(workloadOf(1, 200), workloadOf(2, 200)) {
		t.Error("two seeds, one workload")
	}
}

// TestWorkload reads every message as a function does, and counts what a run must have
// of each kind.
func TestWorkload(t *testing.T) {
	seen := map[string]int{}
	copies := map[*order]int{}
	var last time.Duration
	for _, p := range workloadOf(3, 600) {
		if p.at < last {
			t.Errorf("published at %s, after %s", p.at, last)
		}
		last = p.at
		seen[string(p.purpose)]++
		if p.cancels { // its text follows when the id is known
			seen["cancel by message id"]++
			continue
		}
		m, err := message.Decode(message.Delivery{ID: "1", Data: p.data, Attributes: p.attributes})
		if (err != nil) != (p.purpose == forNothing) {
			t.Errorf("%s: %v", p.purpose, err)
			continue
		}
		if err != nil {
			continue
		}
		if (m.Cancel != nil) != (p.purpose == forCancel) || m.Request != nil && m.Request.DryRun != (p.purpose == forQuote) {
			t.Errorf("%s: read as %+v", p.purpose, m)
		}
		if p.purpose == forJob {
			seen[p.order.Kind]++
			copies[p.order]++
			if p.order.NoID != (m.Request.RequestID == "") || !p.order.NoID && m.Request.RequestID != p.order.Name {
				t.Errorf("%s: request id %q", p.order.Name, m.Request.RequestID)
			}
			if p.order.NoID && copies[p.order] > 1 {
				t.Errorf("%s has a copy, which would be another request", p.order.Name)
			}
		}
	}
	for _, k := range kinds {
		if seen[k.name] == 0 {
			t.Errorf("no %s among 600", k.name)
		}
	}
	for _, p := range []purpose{forOther, forCancel, "cancel by message id"} {
		if seen[string(p)] == 0 {
			t.Errorf("no %s among 600", p)
		}
	}
	most := 0
	for _, n := range copies {
		most = max(most, n)
	}
	if most != 5 {
		t.Errorf("at most %d copies, want 5", most)
	}
	if !slices.IsSortedFunc(workloadOf(4, 50), func(a, b plannedMessage) int { return int(a.at - b.at) }) {
		t.Error("planned messages are not in order of their times")
	}
}
