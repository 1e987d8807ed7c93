package admission

import (
	"fmt"
	"testing"
	"time"

	"example.com/berth/internal/capacity"
	"example.com/berth/internal/message"
)

// busy is the largest content of a resource document: 2,000 holds, and 256
// classes of eight known heads, of which none can start.
func busy() (PlanSnapshot, PlanPolicy) {
	shapes := make([]capacity.Shape, 4)
	s := PlanSnapshot{Now: planNow, Use: capacity.Use{}, Queue: Queue{}}
	for i := range shapes {
		shapes[i] = capacity.Spec{MachineType: fmt.Sprintf("m%d", i)}.Normal()
		s.Pools = append(s.Pools, capacity.Pool{ID: fmt.Sprint(i), Shape: shapes[i], Count: 500})
	}
	for i := range 2000 {
		ask := capacity.Ask{{Shape: shapes[i%4], Replicas: 1}}
		s.Use.Add(ask)
		s.Held = append(s.Held, Held{ID: message.Key(fmt.Sprintf("h%d", i)), Demand: ask, End: planNow.Add(time.Duration(1+i*7919%100000) * time.Second)})
	}
	for i := range 256 * MaxHeads {
		class := i % 256
		key := planNow.Add(-time.Duration(i) * time.Minute)
		h := Head{ID: message.Key(fmt.Sprintf("w%d", i)), Key: key, Limit: time.Hour, Demand: capacity.Ask{{Shape: shapes[class%4], Replicas: capacity.Replicas(1 + class/4)}}}
		h.Order = "1000-" + key.Format("20060102T150405.000000000") + "-" + string(h.ID)
		id := ClassID(fmt.Sprint(class))
		c := s.Queue[id]
		c.Count++
		c.Heads = append([]Head{h}, c.Heads...)
		s.Queue[id] = c
	}
	return s, PlanPolicy{Horizon: time.Hour, Patience: 24 * time.Hour}
}

func BenchmarkPlan(b *testing.B) {
	s, p := busy()
	b.ReportAllocs()
	for b.Loop() {
		MakePlan(s, p)
	}
}

// TestPlanAllocations: the allocations of a plan over a full document stay
// within a band.
func TestPlanAllocations(t *testing.T) {
	s, p := busy()
	if plan := MakePlan(s, p); len(plan.Reserved) != 4 || len(plan.Starts) != 0 {
		t.Fatalf("%d reservations and %d starts, want one a shape and none", len(plan.Reserved), len(plan.Starts))
	}
	if n := testing.AllocsPerRun(5, func() { MakePlan(s, p) }); n > 400 {
		t.Errorf("a plan over 2,000 holds and 256 classes allocates %.0f times", n)
	}
}
